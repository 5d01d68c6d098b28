"""Dead letters put back to where they came from, once what was wrong is mended: `driftd dlq replay`.

Of each letter the payload is produced again, or read again from where it lies if it was not kept. A header counts how
often, so that a message that fails again is not put back for ever. How far it got is committed for each reason to a
group of its own, so that a second run does not double the first.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from monitor import build
from monitor.config import Settings
from monitor.dead_letters import CLIENT_OPTIONS, Letter, letter_of
from monitor.domain import Rejection
from monitor.errors import ConfigError, SourceError
from monitor.intake import REPLAYS

GROUP_SUFFIX: Final = "-dlq-replay"
TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.5
QUIET_POLLS_MAX: Final = 40
CHUNK: Final = 1_000
REPLAYS_MAX: Final = 3
READ_ON_MAX: Final = 1_000
"""A message so many offsets ahead is read on to, rather than asked for anew."""
GONE: Final = (
    KafkaError._PARTITION_EOF,  # noqa: SLF001 - the public name, as the next
    KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
"""What is answered for a message behind the log's end, before its start, or of a topic that is no more."""

OnDelivery = Callable[[KafkaError | None, Message], None]


@dataclass(frozen=True, slots=True)
class Replay:
    """What to put back. to: the topic, "" for that each message came from. reasons: empty for all.

    is_dry: only count. is_again: also what an earlier run has put back. replays_max: leave those put back so often.
    """

    source: str
    to: str = ""
    reasons: frozenset[str] = frozenset()
    is_dry: bool = False
    is_again: bool = False
    replays_max: int = REPLAYS_MAX


@dataclass(slots=True)
class Replayed:
    """What came of it. replayed: by topic. left: why letters were not put back, and how many."""

    is_dry: bool
    read: int = 0
    replayed: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        return {
            "dry_run": self.is_dry,
            "read": self.read,
            "replayed": dict(sorted(self.replayed.items())),
            "left": dict(sorted(self.left.items())),
        }

    def to_text(self) -> str:
        """Give it for people."""
        verb = "would be put back" if self.is_dry else "put back"
        lines = [f"{self.read:,} letters read, {self.replayed.total():,} {verb}"]
        lines += [f"  {count:>9,} to {topic}" for topic, count in sorted(self.replayed.items())]
        lines += [f"  {count:>9,} left: {why}" for why, count in sorted(self.left.items())]
        return "\n".join(lines)


def check(settings: Settings, order: Replay) -> None:
    """Refuse an order that can't be meant. Raises ConfigError."""
    unknown = sorted(order.reasons - {str(each) for each in Rejection})
    if unknown:
        known = ", ".join(str(each) for each in Rejection)
        raise ConfigError(f"--reason {unknown[0]}: no reason of rejection; these are: {known}")
    if order.source in (*settings.kafka.topics, order.to):
        raise ConfigError(f"--from-topic {order.source}: is one of the topics that messages would be put back to")


def replay(settings: Settings, order: Replay) -> Replayed:
    """Put letters back, from where the last run ended to what is there now. Raises ConfigError, SourceError."""
    check(settings, order)
    given = build.kafka_options(settings.kafka)
    try:
        with Letters(given, order.source) as letters, Originals(given) as originals:
            return _replay(letters, originals, _producer(given), order)
    except KafkaException as error:
        raise SourceError(f"kafka: {error.args[0].str()}") from None


def _replay(letters: Letters, originals: Originals, producer: Producer, order: Replay) -> Replayed:
    done, failed = Replayed(order.is_dry), Counter[str]()

    def on_delivery(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed[error.str()] += 1

    wanted = order.reasons or frozenset(str(each) for each in Rejection)
    progress = {} if order.is_again else letters.progress()
    for place, chunk in letters.chunks(wanted, progress):
        for message in chunk:
            done.read += 1
            before = progress.get(place, {})
            letter, why = _chosen(message, order, before)
            payload = originals.payload_of(letter) if letter is not None and not why else None
            if letter is None or why or payload is None:
                done.left[why or "its payload is gone"] += 1
                continue
            topic = order.to or letter.topic
            done.replayed[topic] += 1
            if not order.is_dry:
                _produce(producer, topic, payload, letter.replays + 1, on_delivery)
        if order.is_dry:
            continue
        waiting = producer.flush(TIMEOUT_S)
        if waiting or failed:
            reason = next(iter(failed), "no broker has accepted them in time")
            raise SourceError(
                f"kafka: {waiting + failed.total()} messages were not put back: {reason}; run it again: those that were"
                " are passed over, but for the last thousand"
            )
        letters.note(place, int(chunk[-1].offset() or 0) + 1, wanted)
    return done


def _produce(producer: Producer, topic: str, payload: bytes, replays: int, on_delivery: OnDelivery) -> None:
    headers: list[tuple[str, str | bytes | None]] = [(REPLAYS, str(replays).encode())]
    while True:
        try:
            producer.produce(topic, payload, headers=headers, on_delivery=on_delivery)
        except BufferError:
            producer.poll(POLL_S)
        else:
            producer.poll(0)
            return


def _chosen(message: Message, order: Replay, before: Mapping[str, int]) -> tuple[Letter | None, str]:
    """Give the letter of a message, and why it is left, "" if it is not."""
    headers: list[tuple[str, bytes | None]] = message.headers() or []  # type: ignore[assignment]
    letter = letter_of(headers, message.value())
    if letter is None:
        return None, "not a dead letter of driftd"
    if order.reasons and letter.reason not in order.reasons:
        return letter, f"another reason ({letter.reason})"
    if int(message.offset() or 0) < before.get(letter.reason, 0):
        return letter, "put back by an earlier run"
    if letter.replays >= order.replays_max:
        return letter, f"put back {order.replays_max} times before"
    if (order.to or letter.topic) == order.source:
        return letter, "its own topic is the one with dead letters"
    return letter, ""


def _producer(given: Mapping[str, Any]) -> Producer:
    own = {"enable.idempotence": True, "linger.ms": 20, "log_level": 2}
    return Producer({**{n: v for n, v in given.items() if n.startswith(CLIENT_OPTIONS)}, **own})


def _consumer(given: Mapping[str, Any], **more: object) -> Consumer:
    own = {
        "group.id": f"{given['group.id']}{GROUP_SUFFIX}",
        "group.protocol": "classic",
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 50,
    }
    options = {name: value for name, value in given.items() if name != "group.instance.id"}
    return Consumer({**options, **own, **more})


class Letters:
    """The dead-letter topic, read once from where an earlier run ended to where it ends now."""

    def __init__(self, given: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self._consumer = _consumer(given)
        self._noted: dict[int, dict[str, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def _numbers(self) -> list[int]:
        found = self._consumer.list_topics(self._topic, TIMEOUT_S).topics[self._topic]
        if found.error is not None:
            raise SourceError(f"kafka: topic {self._topic!r}: {found.error.str()}")
        return sorted(found.partitions)

    def progress(self) -> dict[int, dict[str, int]]:
        """Give by partition and reason the offset that earlier runs have come to."""
        asked = [KafkaPartition(self._topic, number) for number in self._numbers()]
        for found in self._consumer.committed(asked, TIMEOUT_S):
            if found.offset >= 0 and found.metadata:
                self._noted[found.partition] = {str(k): int(v) for k, v in json.loads(found.metadata).items()}
        return {number: dict(reasons) for number, reasons in self._noted.items()}

    def note(self, number: int, offset: int, reasons: frozenset[str]) -> None:
        """Commit that all letters of some reasons before an offset were put back."""
        noted = self._noted.setdefault(number, {})
        for reason in reasons:
            noted[reason] = max(offset, noted.get(reason, 0))
        where = KafkaPartition(self._topic, number, max(noted.values()), json.dumps(noted, separators=(",", ":")))
        self._consumer.commit(offsets=[where], asynchronous=False)

    def chunks(
        self, wanted: frozenset[str], progress: Mapping[int, Mapping[str, int]]
    ) -> Iterator[tuple[int, Sequence[Message]]]:
        """Give the messages of one partition after the other, with its number, at most CHUNK at a time."""
        for number in self._numbers():
            (low,), (high,) = (
                self._consumer.offsets_for_times([KafkaPartition(self._topic, number, which)], TIMEOUT_S)
                for which in (OFFSET_BEGINNING, OFFSET_END)
            )
            done = progress.get(number, {})
            at = max(low.offset, min(done.get(reason, 0) for reason in wanted))
            self._consumer.assign([KafkaPartition(self._topic, number, at)])
            quiet = 0
            while at < high.offset:
                found = self._consumer.consume(CHUNK, POLL_S)
                messages = [each for each in found if _is_message(each)]
                quiet = 0 if found else quiet + 1
                if quiet > QUIET_POLLS_MAX:
                    raise SourceError(f"kafka: no more letters arrived from {self._topic!r}, partition {number}")
                within = [each for each in messages if int(each.offset() or 0) < high.offset]
                if within:
                    yield number, within
                (now,) = self._consumer.position([KafkaPartition(self._topic, number)])
                at = max(at, now.offset)


def _is_message(message: Message) -> bool:
    """Tell whether it is one, and not the end of a partition. Raises KafkaException for errors."""
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the public name
        raise KafkaException(error)
    return error is None


class Originals:
    """Payloads that were not kept with their letters, read from where they lie."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._consumer = _consumer(given)
        self._at: tuple[str, int, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def payload_of(self, letter: Letter) -> bytes | None:
        """Give a letter's payload, None if it is gone or never was. Raises SourceError if no broker answers."""
        payload = letter.payload if letter.payload is not None else self._read(letter)
        if payload is None or hashlib.sha256(payload).hexdigest() != letter.sha256:
            return None
        return payload

    def _read(self, letter: Letter) -> bytes | None:
        if letter.offset < 0 or not letter.topic:
            return None
        at = self._at
        if at is None or at[:2] != letter[:2] or not at[2] <= letter.offset <= at[2] + READ_ON_MAX:
            self._consumer.assign([KafkaPartition(letter.topic, letter.partition, letter.offset)])
        self._at = None
        for _ in range(QUIET_POLLS_MAX):
            for message in iter(lambda: self._consumer.poll(POLL_S), None):
                error, offset = message.error(), message.offset()
                if error is not None and error.code() not in GONE:
                    raise KafkaException(error)
                if error is not None or offset is None or offset > letter.offset:
                    return None
                if offset == letter.offset:
                    self._at = (letter.topic, letter.partition, offset + 1)
                    return message.value()
        raise SourceError(f"kafka: no answer from topic {letter.topic!r}, partition {letter.partition}")
