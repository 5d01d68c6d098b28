"""Messages that can't be used, told to a topic: where each lies, why, and its payload if that is wanted.

At least once: a letter is kept until a broker has accepted it, and goes with the state where there is one. It never
waits and drops nothing: when no more fit, `is_full` tells the loop to read no further.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from monitor.domain import Batch, Rejection, TopicPartition
from monitor.errors import SinkError
from monitor.intake import REPLAYS, DeadLetterStatus
from monitor.kept import State

LETTERS_MAX: Final = 10_000
"""Letters that may wait; the batch in hand comes on top. One takes about 1 kB, and its payload where that is kept."""
PAYLOAD_BYTES_MAX: Final = 32 << 20
RETRY_S: Final = 2.0
RETRY_FATAL_S: Final = 10.0
MESSAGE_TIMEOUT_MS: Final = 30_000
MESSAGE_BYTES_MAX: Final = 65 << 20
"""More than kafka.message_bytes_max may be: what the topic does not take is told without its payload."""
LIBRDKAFKA_LOG_LEVEL: Final = 2
PURGED: Final = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)  # noqa: SLF001 - the public names
CLIENT_OPTIONS: Final = (
    "bootstrap.",
    "broker.",
    "client.",
    "enable.ssl.",
    "https.",
    "reconnect.",
    "sasl.",
    "security.",
    "socket.",
    "ssl.",
)
"""Beginnings of the options of the configured consumer that are a producer's too."""

TOPIC: Final = "driftd-topic"
PARTITION: Final = "driftd-partition"
OFFSET: Final = "driftd-offset"
TIMESTAMP: Final = "driftd-timestamp-ms"
REASON: Final = "driftd-reason"
SHA256: Final = "driftd-sha256"
VERSION: Final = "driftd-version"


class Letter(NamedTuple):
    """One message that can't be used. timestamp_ms: of its record, -1: none. payload: None where it is not kept."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: str
    sha256: str
    replays: int
    payload: bytes | None


def headers_of(letter: Letter, version: str) -> list[tuple[str, str | bytes | None]]:
    """Give the headers of a letter, all of them text."""
    found = {
        TOPIC: letter.topic,
        PARTITION: letter.partition,
        OFFSET: letter.offset,
        TIMESTAMP: letter.timestamp_ms,
        REASON: letter.reason,
        SHA256: letter.sha256,
        REPLAYS: letter.replays,
        VERSION: version,
    }
    return [(name, str(value).encode()) for name, value in found.items()]


def letter_of(headers: Sequence[tuple[str, bytes | None]], payload: bytes | None) -> Letter | None:
    """Give the letter that a message holds, None if it holds none."""
    found = {name: (value or b"").decode(errors="replace") for name, value in headers}
    try:
        numbers = [int(found[name]) for name in (PARTITION, OFFSET, TIMESTAMP, REPLAYS)]
        partition, offset, timestamp_ms, replays = numbers
        return Letter(found[TOPIC], partition, offset, timestamp_ms, found[REASON], found[SHA256], replays, payload)
    except (KeyError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class DeadLetterTerms:
    """topic: to tell to. options: librdkafka's of the consumer, of which a producer's are taken. version: driftd's."""

    topic: str
    options: Mapping[str, Any]
    version: str
    payload: bool = False


class DeadLetters:
    """Tells letters. report: told of each error (reason, text, cure) for the log. Only one thread may call it."""

    def __init__(
        self,
        terms: DeadLetterTerms,
        report: Callable[[str, str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terms = terms
        self._report = report
        self._clock = clock
        self._producer: Producer | None = None
        self._is_open = False
        self._waiting: dict[int, Letter] = {}
        self._unsent: deque[int] = deque()
        self._numbers = 0
        self._bytes = 0
        self._due_s = float("-inf")
        self._has_failed = False
        self._sent: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def open(self) -> None:
        """Create the producer, which connects by itself. Raises SinkError for wrong options."""
        self._connect()
        self._is_open = True

    def _connect(self) -> None:
        own = {
            "enable.idempotence": True,
            "linger.ms": 20,
            "message.timeout.ms": MESSAGE_TIMEOUT_MS,
            "queue.buffering.max.messages": LETTERS_MAX,
            "message.max.bytes": MESSAGE_BYTES_MAX,
            "log_level": LIBRDKAFKA_LOG_LEVEL,
            "error_cb": self._on_client_error,
        }
        given = {name: value for name, value in self._terms.options.items() if name.startswith(CLIENT_OPTIONS)}
        try:
            self._producer = Producer({**given, **own})
        except (KafkaException, ValueError, TypeError) as error:
            text = error.args[0].str() if isinstance(error.args[0], KafkaError) else str(error)
            raise SinkError(f"dead letters: {text}", is_retryable=False, reason="config") from None

    @property
    def is_full(self) -> bool:
        """Whether no more fit, so that nothing more may be read."""
        return len(self._waiting) >= LETTERS_MAX or self._bytes >= PAYLOAD_BYTES_MAX

    def offer(self, batch: Batch, rejected: Sequence[tuple[int, Rejection]]) -> None:
        """Take in the messages of a batch that were rejected: their index, and why. Never waits, never raises."""
        last = -1
        for message, reason in rejected:
            if message == last:
                continue  # several rows of one message: the first reason stands for all
            last = message
            source: TopicPartition = batch.sources[batch.partitions[message]]
            payload = batch.values[message]
            timestamp_ms, replays = batch.origins[message] if len(batch.origins) else (-1, 0)
            offset = int(batch.offsets[message]) if len(batch.offsets) else -1
            sha256 = hashlib.sha256(payload or b"").hexdigest()
            kept = payload if self._terms.payload else None
            self._add(Letter(*source, offset, timestamp_ms, str(reason), sha256, replays, kept))
        self.pump()

    def _add(self, letter: Letter) -> None:
        self._numbers += 1
        self._waiting[self._numbers] = letter
        self._unsent.append(self._numbers)
        self._bytes += len(letter.payload or b"")

    def pump(self) -> None:
        """Hand over what waits, and take note of what was accepted. To be called at every turn of the loop."""
        if self._is_open and self._producer is None and self._clock() >= self._due_s:
            self._connect()
        try:
            while self._producer is not None and self._unsent and self._clock() >= self._due_s:
                self._produce(self._producer, self._unsent[0])
                self._unsent.popleft()
        except BufferError:
            pass  # the client's queue is full: the rest goes later
        except KafkaException as error:
            self._refuse(self._unsent[0], error.args[0])
        self._serve(0.0)

    def _produce(self, producer: Producer, number: int) -> None:
        letter = self._waiting[number]
        headers = headers_of(letter, self._terms.version)
        on_delivery = partial(self._on_delivery, number)
        producer.produce(self._terms.topic, letter.payload, headers=headers, on_delivery=on_delivery)

    def _serve(self, timeout_s: float) -> None:
        """Wait at most so long for news of what was handed over; replace a producer that can't go on."""
        if self._producer is None:
            return
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:
            self._on_client_error(error.args[0])
        if self._has_failed:
            self._has_failed = False
            self._producer.purge()
            self._producer = None  # unpolled from here on: what it held is told again by the next
            self._unsent = deque(self._waiting)
            self._due_s = self._clock() + RETRY_FATAL_S

    def _on_delivery(self, number: int, error: KafkaError | None, _: Message) -> None:
        letter = self._waiting.get(number)
        if letter is None:
            return
        if error is None:
            del self._waiting[number]
            self._bytes -= len(letter.payload or b"")
            self._sent[letter.reason] += 1
            return
        self._unsent.append(number)
        if error.code() not in PURGED:
            self._refuse(number, error)

    def _refuse(self, number: int, error: KafkaError) -> None:
        """Take note that a letter was refused: it goes again after a while; too large, at once without its payload."""
        self._on_error(error)
        letter = self._waiting[number]
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and letter.payload is not None:
            self._bytes -= len(letter.payload)
            self._waiting[number] = letter._replace(payload=None)
        else:
            self._due_s = self._clock() + RETRY_S

    def _on_error(self, error: KafkaError) -> None:
        self._failed[error.name().lower()] += 1
        self._on_client_error(error)

    def _on_client_error(self, error: KafkaError) -> None:
        """Tell the log, also of what concerns no letter yet, such as brokers that can't be reached."""
        cure = f"check that the topic {self._terms.topic} (dead_letters.topic) exists and that WRITE on it is granted"
        self._report(f"dead_letters_{error.name().lower()}", error.str(), cure)
        self._has_failed = self._has_failed or error.fatal()

    def flush(self, timeout_s: float) -> bool:
        """Wait at most timeout_s for all letters to be accepted; tell whether they are."""
        end_s = self._clock() + timeout_s
        self.pump()
        while self._waiting and self._producer is not None and (left_s := end_s - self._clock()) > 0:
            self._serve(min(0.1, left_s))
            self.pump()
        return not self._waiting

    def oldest(self) -> Mapping[TopicPartition, int]:
        """Give the least offset of each partition whose letter no broker has accepted yet. Cost: O(waiting)."""
        out: dict[TopicPartition, int] = {}
        for letter in self._waiting.values():
            source = TopicPartition(letter.topic, letter.partition)
            out[source] = min(letter.offset, out.get(source, letter.offset))
        return out

    def status(self, broken: Mapping[TopicPartition, str]) -> DeadLetterStatus:
        """Give how letters fare. broken: partitions whose breaker is open, and why."""
        sent = {str(reason): self._sent[reason] for reason in Rejection}
        by_place = {(topic, number): why for (topic, number), why in broken.items()}
        return DeadLetterStatus(sent, dict(self._failed), len(self._waiting), self.is_full, by_place)

    def state(self) -> State:
        """Give the letters that no broker has accepted yet: with them stored, nothing need be waited for."""
        return {"letters": [letter._asdict() for letter in self._waiting.values()]}

    def restore(self, state: State) -> None:
        """Tell what an earlier process had still to tell."""
        for each in state.get("letters", []):
            self._add(Letter(**{name: each[name] for name in Letter._fields}))

    def close(self, timeout_s: float = 0.0) -> int:
        """Let go, after waiting at most timeout_s; give how many letters were not accepted."""
        self.flush(timeout_s)
        self._is_open = False
        if self._producer is not None:
            self._producer.purge()
            self._serve(0.0)
            self._producer = None
        return len(self._waiting)
