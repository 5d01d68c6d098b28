"""The compacted topic of courts' states: a court's is in the partition of its number; see snapshots for its records."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from monitor import __version__
from monitor.domain import TopicPartition
from monitor.errors import SourceError, StateError
from monitor.kept import Section
from monitor.relay.absent import UNKNOWN, is_absent
from monitor.snapshot_writer import Writer, WriterTerms
from monitor.snapshots import Record, Snapshot

PRODUCER: Final[Mapping[str, object]] = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 2,
    "message.timeout.ms": 30_000,
    "queue.buffering.max.kbytes": 64 << 10,
    "log_level": 2,
}
CONSUMER: Final[Mapping[str, object]] = {
    "group.id": "unused",
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "check.crcs": True,
    "fetch.message.max.bytes": 8 << 20,
    "fetch.wait.max.ms": 50,
    "queued.max.messages.kbytes": 32 << 10,
    "log_level": 2,
}
"""No group is ever joined, and nothing committed."""
ASK_S: Final = 10.0
"""Partitions without a leader are asked for again for so long."""
SILENT_S: Final = 30.0
"""Without a record or an acknowledgement for so long, the brokers count as out of reach."""
POLL_S: Final = 0.2
PROGRESS_S: Final = 1.0
UNKNOWN_S: Final = 3.0
"""A broker may hear later of a topic that has just been made."""
REFUSED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - the public names
        KafkaError._SSL,  # noqa: SLF001
    }
)
"""Errors that waiting does not mend."""

log = structlog.get_logger()


class Progress(NamedTuple):
    """How far a state is read. next: offset, of end."""

    partition: int
    next: int
    end: int
    bytes: int


class Account(NamedTuple):
    """What a save took. bytes: of values written. sections: that had changed. state_bytes: all that is stored."""

    bytes: int
    records: int
    sections: int
    tombstones: int
    state_bytes: int
    cost_s: float


class StateTopic:
    """Reads and writes the states of courts. One thread calls it. options: librdkafka's, to connect.

    report: told once in PROGRESS_S, and at the end, how far a load is; it may serve others meanwhile.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        topic: str,
        report: Callable[[Progress], None] = lambda _: None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._wall_clock = wall_clock
        self._token = secrets.token_hex(4)
        self._writers: dict[int, Writer] = {}
        self._client = _Client(options, topic, report)

    def load(self, q: int) -> Snapshot | None:
        """Become the writer of a court's state, and give the last whole one; None: there is none yet.

        Whoever wrote it before is refused from now on. Raises StateError: what is there can't be read, or not
        written; SourceError: brokers can't be reached (not fatal), or don't let us (fatal).
        """
        self._writers.pop(q, None)
        terms = WriterTerms(self._client.what(q), __version__, self._token)
        self._writers[q], found = Writer.begin(_Partition(self._client, q), terms, self._wall_clock())
        if found is not None and found.passed_over:
            log.error(
                "damaged state passed over",
                error_code="state_passed_over",
                error="; ".join(found.passed_over),
                taken=f"snapshot {found.save} of writer {found.who.number}/{found.who.token}",
            )
        return found

    def save(
        self, q: int, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float
    ) -> Account:
        """Store a court's state, and wait until it is. `load` comes first.

        Raises StateError: the state before is still there, and the next call tries anew; snapshot_writer.Superseded:
        another has begun to write it, which a process that still owns the partition answers by loading anew.
        """
        began_s = time.perf_counter()
        try:
            written = self._writers[q].save(sections, positions, now_wall_s)
        except SourceError as error:
            raise StateError(f"{self._client.what(q)}: not saved: {error}") from error
        return Account(*written, time.perf_counter() - began_s)

    def look(self, q: int) -> None:
        """See whether a court's state is still ours to write: two round trips at most. `load` comes first.

        Raises snapshot_writer.Superseded, and StateError where nobody answers.
        """
        try:
            self._writers[q].look()
        except SourceError as error:
            raise StateError(str(error)) from error

    def release(self, q: int) -> None:
        """Forget a court whose partition has gone to another. What is not known does nothing."""
        self._writers.pop(q, None)

    def close(self) -> None:
        """Let go. Again does nothing."""
        self._writers.clear()
        self._client.close()


class _Client:
    """The topic's reader and writer, made when first used."""

    def __init__(self, options: Mapping[str, Any], topic: str, report: Callable[[Progress], None]) -> None:
        self.topic = topic
        self.report = report
        self._options = options
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self.trouble = ""
        """What the clients said last."""

    def what(self, q: int) -> str:
        return f"kafka: topic {self.topic!r}, partition {q}"

    def consumer(self) -> Consumer:
        if self._consumer is None:
            try:
                self._consumer = Consumer({**self._options, **CONSUMER, "error_cb": self._note})
            except KafkaException as error:
                raise SourceError(f"kafka: {error.args[0].str()}") from None
        return self._consumer

    def producer(self) -> Producer:
        if self._producer is None:
            try:
                self._producer = Producer({**self._options, **PRODUCER, "error_cb": self._note})
            except KafkaException as error:
                raise StateError(f"kafka: {error.args[0].str()}") from None
        return self._producer

    def abandon(self) -> None:
        """Drop what is under way; the next writer has another identity, so nothing of it blocks the way."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(0)

    def close(self) -> None:
        self.abandon()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def failed(self, q: int, error: KafkaError) -> SourceError:
        text, code = f"{self.what(q)}: {error.str()}", error.code()
        is_lasting = code in REFUSED or (
            code in UNKNOWN and is_absent(self.consumer(), KafkaPartition(self.topic, q), UNKNOWN_S)
        )
        if is_lasting:
            text += ": see that `driftd topics create` made it, and that READ, WRITE and DESCRIBE on it are granted"
        elif self.trouble and self.trouble not in text:
            text += f" ({self.trouble})"
        return SourceError(text, is_fatal=is_lasting)

    def _note(self, error: KafkaError) -> None:
        self.trouble = error.str()


class _Partition:
    """One partition as `snapshot_writer.Log`."""

    def __init__(self, client: _Client, q: int) -> None:
        self._client = client
        self._q = q

    def end(self) -> int:
        consumer, place = self._client.consumer(), KafkaPartition(self._client.topic, self._q)
        began_s = time.monotonic()
        while True:
            try:
                found = consumer.get_watermark_offsets(place, ASK_S)
            except KafkaException as error:
                if time.monotonic() - began_s > _patience_s(error.args[0].code()):
                    raise self._client.failed(self._q, error.args[0]) from None
                time.sleep(POLL_S)
                continue
            if found is None:
                raise SourceError(f"{self._client.what(self._q)}: no answer within {ASK_S:g} s", is_fatal=False)
            return int(found[1])

    def read(self, first: int, upto: int) -> Iterator[tuple[bytes | None, bytes | None]]:
        if first >= upto:
            return
        consumer = self._client.consumer()
        consumer.assign([KafkaPartition(self._client.topic, self._q, first or OFFSET_BEGINNING)])
        try:
            yield from self._records(consumer, upto)
        finally:
            consumer.unassign()

    def _records(self, consumer: Consumer, upto: int) -> Iterator[tuple[bytes | None, bytes | None]]:
        heard_s = told_s = time.monotonic()
        size = 0
        while True:
            message = consumer.poll(POLL_S)
            now_s = time.monotonic()
            if message is None:
                if now_s - heard_s > SILENT_S:
                    text = f"nothing was heard for {SILENT_S:g} s while it was read ({self._client.trouble})"
                    raise SourceError(f"{self._client.what(self._q)}: {text}", is_fatal=False)
                continue
            error, offset = message.error(), int(message.offset() or 0)
            is_end = error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - the public name
            if error is not None and not is_end:
                if error.fatal() or error.code() in REFUSED | UNKNOWN:
                    raise self._client.failed(self._q, error)
                continue  # the client tries it again, until SILENT_S is over
            heard_s = now_s
            if not is_end and offset < upto:
                key, value = message.key(), message.value()
                size += len(value or b"")
                yield key, value
            has_all = offset >= (upto if is_end else upto - 1)
            if has_all or now_s - told_s >= PROGRESS_S:
                told_s = now_s
                self._client.report(Progress(self._q, min(offset + 1, upto), upto, size))
            if has_all:
                return

    def write(self, records: Iterable[Record]) -> list[int]:
        try:
            return _Sending(self._client.producer(), self._failed).all(self._client.topic, self._q, records)
        except BaseException:
            self._client.abandon()
            raise

    def _failed(self, text: str) -> StateError:
        if self._client.trouble and self._client.trouble not in text:
            text += f" ({self._client.trouble})"
        return StateError(f"{self._client.what(self._q)}: not saved: {text}; what was saved before is still there")


def _patience_s(code: int) -> float:
    if code in REFUSED:
        return 0.0
    return UNKNOWN_S if code in UNKNOWN else ASK_S


class _Sending:
    """Records on their way."""

    def __init__(self, producer: Producer, failed: Callable[[str], StateError]) -> None:
        self._producer = producer
        self._failed = failed
        self._offsets: list[int] = []
        self._error: KafkaError | None = None
        self._heard_s = time.monotonic()

    def all(self, topic: str, q: int, records: Iterable[Record]) -> list[int]:
        """Send all, and wait for all; give their offsets. Raises StateError."""
        count = 0
        for key, value in records:
            while not self._is_taken(topic, q, key, value):
                self._wait(0.05)
            self._wait(0.0)
            self._heard_s = time.monotonic()  # making a section may take long
            count += 1
        while len(self._offsets) < count:
            self._wait(POLL_S)
        return self._offsets

    def _is_taken(self, topic: str, q: int, key: bytes, value: bytes | None) -> bool:
        try:
            self._producer.produce(topic, value, key, partition=q, on_delivery=self._note)
        except BufferError:
            return False
        except KafkaException as error:
            raise self._failed(error.args[0].str()) from None
        return True

    def _wait(self, timeout_s: float) -> None:
        self._producer.poll(timeout_s)
        if self._error is not None:
            raise self._failed(self._error.str())
        if time.monotonic() - self._heard_s > SILENT_S:
            raise self._failed(f"no acknowledgement came for {SILENT_S:g} s")

    def _note(self, error: KafkaError | None, message: Message) -> None:
        self._heard_s = time.monotonic()
        offset = message.offset()
        if error is not None or offset is None:
            self._error = error or KafkaError(KafkaError.UNKNOWN)
        else:
            self._offsets.append(offset)
