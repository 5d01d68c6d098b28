"""Events from Kafka, by the synchronous client in the loop thread.

The group's committed offsets say where to go on after a restart; they are committed after the messages were counted, so
a crash counts some again rather than none at all. (Offsets in the same transaction as the counts come with durable
state.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.domain import Batch, PartitionStatus, TopicPartition
from monitor.errors import SourceError

QUEUED_MESSAGES_MIN: Final = 100_000
"""Messages per partition that are fetched ahead; the bound in bytes is what limits memory."""
FETCH_BACKOFF_MS: Final = 10
"""How long fetching rests when the prefetch is full: librdkafka's 1,000 ms starves a reader that drains it sooner."""
PROBE_S: Final = 5.0
"""When nothing came for so long, a broker is asked for the end of a partition: quiet is told from cut off."""
PROBE_TIMEOUT_S: Final = 0.5
SILENT_S: Final = 15.0
"""Without a message or an answer for so long, the brokers count as out of reach."""
CURES: Final[Mapping[int, str]] = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: (
        "the topic does not exist or may not be described: create it, or check kafka.topics and the ACLs"
    ),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the user may not read the topic: grant READ and DESCRIBE on it",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the user may not use the group: grant READ on the group kafka.group_id",
    KafkaError._AUTHENTICATION: "the broker refused the credentials: check kafka.sasl_* and kafka.security_protocol",  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN: "no broker can be reached: check kafka.bootstrap_servers and the network",  # noqa: SLF001
    KafkaError._TRANSPORT: "a broker can't be reached: check kafka.bootstrap_servers; it is tried again",  # noqa: SLF001
    KafkaError._RESOLVE: "the name is unknown: check the host names in kafka.bootstrap_servers",  # noqa: SLF001
    KafkaError._SSL: "the TLS handshake failed: check kafka.ssl_* and kafka.security_protocol",  # noqa: SLF001
}
"""What a person can do about the errors that are most often met."""


@dataclass(frozen=True, slots=True)
class KafkaTerms:
    """How to read.

    options: librdkafka's own, complete (servers, security, pass-through). idle_s: quiet for so long is idle.
    """

    topics: tuple[str, ...]
    options: Mapping[str, Any]
    batch_records_max: int = 5_000
    idle_s: float = 10.0


@dataclass(slots=True)
class Progress:
    """One partition read now. Times are wall clock."""

    last: Message | None = None
    position: int | None = None
    moved_s: float = 0.0
    read_s: float = 0.0


@dataclass(slots=True)
class Assignment:
    """The partitions read now, kept by the rebalance callbacks, which run inside poll."""

    partitions: dict[TopicPartition, Progress] = field(default_factory=dict)
    is_known: bool = False


class KafkaSource:
    """A consumer group member. report: told of each error (reason, text, cure) for the log; it must not raise."""

    def __init__(self, terms: KafkaTerms, clock: Callable[[], float], report: Callable[[str, str, str], None]) -> None:
        self._terms = terms
        self._clock = clock
        self._report = report
        self._consumer: Consumer | None = None
        self._held = Assignment()
        self._errors: Counter[str] = Counter()
        self._sources: list[TopicPartition] = []
        self._index: dict[TopicPartition, int] = {}
        self._dirty = False
        self._heard_s = self._probed_s = clock()
        self._has_many_topics = len(terms.topics) > 1 or terms.topics[0].startswith("^")

    def open(self) -> None:
        """Create the consumer and subscribe; brokers that are down are waited for, wrong options are not."""
        try:
            self._consumer = Consumer({**self._terms.options, "error_cb": self._on_error})
            self._consumer.subscribe(
                list(self._terms.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
        except (KafkaException, ValueError, TypeError) as error:
            raise SourceError(f"kafka: {_text(error)}") from None

    def poll(self, timeout_s: float) -> Batch:
        """Give up to batch_records_max messages; waits at most timeout_s for them."""
        try:
            messages = self._require().consume(self._terms.batch_records_max, timeout_s)
        except KafkaException as error:
            self._on_error(error.args[0])
            return Batch()
        if not messages:
            return Batch()
        errors = list(map(Message.error, messages))
        if any(errors):  # not by count(None) or ==: a KafkaError can't be compared with None
            for found in filter(None, errors):
                self._on_error(found)
            messages = [message for message, found in zip(messages, errors, strict=True) if found is None]
        return self._batch(messages)

    def _batch(self, messages: list[Message]) -> Batch:
        numbers = list(map(Message.partition, messages))
        topics = set(map(Message.topic, messages)) if self._has_many_topics else {self._terms.topics[0]}
        # With one topic, which is usual, the partition's number alone tells where a message is from.
        keys: list[Any] = numbers if len(topics) == 1 else list(zip(map(Message.topic, messages), numbers, strict=True))
        last = dict(zip(keys, messages, strict=True))
        now_s = self._clock()
        index: dict[Any, int] = {}
        for key, message in last.items():
            source = TopicPartition(str(message.topic()), int(message.partition() or 0))
            if source not in self._index:
                self._index[source] = len(self._sources)
                self._sources.append(source)
            index[key] = self._index[source]
            offset = message.offset()
            progress = self._held.partitions.setdefault(source, Progress())
            progress.last, progress.position = message, None if offset is None else offset + 1
            progress.moved_s = progress.read_s = now_s
        self._dirty = True
        at = np.fromiter(map(index.__getitem__, keys), np.int64, len(keys))
        return Batch(list(map(Message.value, messages)), at, self._sources)

    # ---- partitions

    def _on_assign(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        self._held.is_known = True
        now_s = self._clock()
        for p in partitions:
            self._held.partitions[TopicPartition(p.topic, p.partition)] = Progress(moved_s=now_s, read_s=now_s)

    def _on_revoke(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        self._commit(wait=True)
        self._drop(partitions)

    def _on_lost(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        self._drop(partitions)  # they belong to another member already: nothing to commit

    def _drop(self, partitions: list[KafkaPartition]) -> None:
        for p in partitions:
            self._held.partitions.pop(TopicPartition(p.topic, p.partition), None)

    def assigned(self) -> Sequence[TopicPartition] | None:
        """Give the partitions assigned to this member; None before the first assignment."""
        return tuple(self._held.partitions) if self._held.is_known else None

    def idle(self) -> tuple[Sequence[TopicPartition], float]:
        """Give the partitions with nothing left to read that were silent for idle_s; at once if they always were."""
        now_s, idle, quiet = self._clock(), [], []
        self._probe(now_s)
        if self.trouble():
            return (), 0.0  # what looks like quiet may be a broker out of reach
        for source, progress in self._held.partitions.items():
            waited_s = now_s - progress.read_s
            if self._lag(source, progress) == 0 and (progress.last is None or waited_s >= self._terms.idle_s):
                idle.append(source)
                quiet.append(waited_s)
        is_all = bool(idle) and len(idle) == len(self._held.partitions)
        return idle, min(quiet) if is_all else 0.0

    def _probe(self, now_s: float) -> None:
        """Ask a broker, if nothing was heard from any for a while. Waits at most PROBE_TIMEOUT_S."""
        self._heard_s = max([self._heard_s, *(p.read_s for p in self._held.partitions.values() if p.last is not None)])
        if now_s - max(self._heard_s, self._probed_s) < PROBE_S or not self._held.partitions:
            return
        self._probed_s = now_s
        try:
            source = next(iter(self._held.partitions))
            self._require().get_watermark_offsets(KafkaPartition(*source), PROBE_TIMEOUT_S, cached=False)
            self._heard_s = self._clock()
        except KafkaException:
            pass  # counted by trouble

    def trouble(self) -> str:
        """Give why nothing can be read at the moment, "" if it can."""
        if self._held.is_known and self._held.partitions and self._clock() - self._heard_s > SILENT_S:
            return "no broker has answered for a while"
        return ""

    def _end(self, source: TopicPartition) -> int | None:
        try:
            _, high = self._require().get_watermark_offsets(KafkaPartition(*source), cached=True)
        except KafkaException:
            return None
        return high if high >= 0 else None

    def _position(self, source: TopicPartition, progress: Progress) -> int | None:
        if progress.position is None:
            try:
                (found,) = self._require().position([KafkaPartition(*source)])
            except KafkaException:
                return None
            return found.offset if found.offset >= 0 else None
        return progress.position

    def _lag(self, source: TopicPartition, progress: Progress) -> int | None:
        end, position = self._end(source), self._position(source, progress)
        if end is None:
            return None
        if position is not None:
            return max(0, end - position)
        # Nothing was read yet. Starting at the end, there is nothing to read until something comes.
        return 0 if end == 0 or self._terms.options.get("auto.offset.reset") == "latest" else None

    def status(self) -> Sequence[PartitionStatus]:
        """Give what is known of each partition; a lag that is not known is None, never a guess."""
        now_s, out = self._clock(), []
        for source, progress in self._held.partitions.items():
            lag = self._lag(source, progress)
            if not lag:
                progress.moved_s = now_s
            lag_s = None if lag is None else 0.0
            if lag and progress.last is not None:
                kind, time_ms = progress.last.timestamp()
                lag_s = max(0.0, now_s - time_ms / 1000.0) if kind else None
            position = self._position(source, progress)
            out.append(PartitionStatus(source, position or 0, self._end(source), lag, lag_s, now_s - progress.moved_s))
        return out

    # ---- commits, errors, end

    def commit(self) -> None:
        """Commit, without waiting, what was polled."""
        self._commit(wait=False)

    def _commit(self, *, wait: bool) -> None:
        if not self._dirty:
            return
        offsets = [KafkaPartition(*s, p.position) for s, p in self._held.partitions.items() if p.position is not None]
        try:
            if offsets and wait:
                self._require().commit(offsets=offsets, asynchronous=False)
            elif offsets:
                self._require().commit(offsets=offsets, asynchronous=True)
            self._dirty = False
        except KafkaException as error:
            self._on_error(error.args[0])

    def errors(self) -> Mapping[str, int]:
        """Give the errors met, by librdkafka's name for them."""
        return self._errors

    def _on_error(self, error: KafkaError) -> None:
        reason = error.name().lower()
        self._errors[reason] += 1
        self._report(reason, error.str(), CURES.get(error.code(), ""))
        if error.fatal():
            raise SourceError(f"kafka: {error.str()}")

    def close(self) -> None:
        """Commit, leave the group and let go."""
        if self._consumer is None:
            return
        self._commit(wait=True)
        try:
            self._consumer.close()
        except (KafkaException, RuntimeError) as error:
            raise SourceError(f"kafka: closing failed: {_text(error)}", is_fatal=False) from None
        self._consumer = None

    def _require(self) -> Consumer:
        if self._consumer is None:
            raise SourceError("kafka: the source is not open")
        return self._consumer


def _text(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return str(cause.str()) if isinstance(cause, KafkaError) else str(cause)
