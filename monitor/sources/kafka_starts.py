"""Where each partition is read from: what is known of positions, and what brokers are asked where nothing is.

A position that is known here goes before everything: what state rests on, and what this process has read itself. Then
comes what the group has committed, then `kafka.start`. Where the log no longer has the message at a position, nothing
is passed over without a word: it is fatal, or a gap that is counted and told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.domain import Gap, TopicPartition
from monitor.errors import SourceError
from monitor.sources.kafka_terms import KafkaTerms, StartsAt

ASK_S: Final = 1.0
"""Least wait for an answer: on a quiet connection it comes after that to a fetch, which may take half a second."""
ASK_S_MAX: Final = 5.0
AGAIN_S: Final = 1.0
"""How long after a question without an answer the next one is asked."""


@dataclass(frozen=True, slots=True)
class StartTerms:
    """How to start.

    start: where a group without offsets begins. on_gap: what to do where the log lacks the next message. asks_group:
    whether what the group has committed says where to start. starts_at, followers: see KafkaTerms. leader: theirs.
    """

    start: Literal["latest", "earliest"] = "latest"
    on_gap: Literal["fail", "accept-gap"] = "fail"
    asks_group: bool = True
    starts_at: StartsAt | None = None
    leader: str = ""
    followers: tuple[str, ...] = ()

    @classmethod
    def of(cls, terms: KafkaTerms) -> StartTerms:
        """Give how to start by how Kafka is read."""
        is_whole = terms.options.get("auto.offset.reset", "latest") == "earliest"
        start: Literal["earliest", "latest"] = "earliest" if is_whole else "latest"
        asks_group = terms.positions != "ours"
        return cls(start, terms.on_gap, asks_group, terms.starts_at, terms.topics[0], terms.followers)


class Starts:
    """Positions of partitions. report: told of questions without an answer (reason, text, cure)."""

    def __init__(self, terms: StartTerms, report: Callable[[KafkaException], None]) -> None:
        self._terms = terms
        self._report = report
        self.positions: dict[TopicPartition, int] = {}
        self.gaps: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        self.is_unanswered = False
        self._doubted: set[TopicPartition] = set()
        self._new: list[Gap] = []
        self._counts: dict[str, int] = {}
        self._ask_s = ASK_S
        self._due_s = float("-inf")

    def open(self, stored: Mapping[TopicPartition, int]) -> None:
        """Go on with stored positions."""
        self.positions.update(stored)
        for topic, number in stored:
            self._counts[topic] = max(number + 1, self._counts.get(topic, 0))

    def forget(self, source: TopicPartition) -> None:
        """Know nothing of a partition any more."""
        self.positions.pop(source, None)

    def renew(self, topic: str, partitions: int) -> None:
        """Take note that a topic was made anew, with so many partitions: all of it is unread.

        Raises SourceError where that is not accepted.
        """
        old = {each: at for each, at in self.positions.items() if each.topic == topic and at}
        if old and self._terms.on_gap == "fail":
            raise SourceError(_renewed_text(topic, old))
        for source, position in old.items():
            if source.partition >= partitions:
                self.forget(source)
                continue
            self.positions[source] = 0
            self.gaps[topic] += 1
            self._new.append(Gap(source, position, 0))
        self._counts[topic] = partitions

    def seek(self, source: TopicPartition, offset: int | None) -> None:
        """Begin a partition at an offset; None: know nothing of it any more."""
        self.forget(source)
        if offset is not None:
            self.positions[source] = offset

    def doubt(self, source: TopicPartition) -> None:
        """Take note that a broker does not have the message at a partition's position."""
        self._doubted.add(source)

    def settle(
        self, consumer: Consumer, waiting: Collection[TopicPartition], clock: Callable[[], float]
    ) -> Mapping[TopicPartition, int]:
        """Give where those can start that are to be read; the others wait for an answer, and are asked for again.

        Waits for brokers up to four times ASK_S, after failures of ASK_S_MAX. Raises SourceError for a gap that is not
        accepted.
        """
        unknown = [each for each in waiting if each in self._doubted or each not in self.positions]
        if unknown and clock() >= self._due_s:
            try:
                self._ask(consumer, unknown)
                self._ask_s, self.is_unanswered = ASK_S, False
            except KafkaException as error:
                self._report(error)
                self._ask_s, self.is_unanswered = min(ASK_S_MAX, 2 * self._ask_s), True
            self._due_s = clock() + AGAIN_S
        return {each: self.positions[each] for each in waiting if each in self.positions and each not in self._doubted}

    def take_gaps(self) -> Sequence[Gap]:
        """Give the gaps since this was last asked."""
        found, self._new = self._new, []
        return found

    # ---- questions

    def _ask(self, consumer: Consumer, unknown: Sequence[TopicPartition]) -> None:
        fresh = [each for each in unknown if each not in self.positions]
        self._count(consumer, {each.topic for each in fresh})
        if fresh and self._terms.asks_group:
            asked = {*fresh, *map(self._with_whom, fresh)}
            committed = consumer.committed([KafkaPartition(*each) for each in sorted(asked)], self._ask_s)
            if self._terms.starts_at is None:
                self.positions |= answers(committed)
            else:
                again = self._begin(consumer, fresh, committed)
                unknown = [each for each in unknown if each not in again]
        rest = [each for each in unknown if each in self._doubted or each not in self.positions]
        if not rest:
            return
        lows = log_offsets(consumer, rest, OFFSET_BEGINNING, self._ask_s)
        highs = log_offsets(consumer, rest, OFFSET_END, self._ask_s)
        for source in rest:
            if source in lows and source in highs:
                self._place(source, lows[source], highs[source])
                self._doubted.discard(source)

    def _with_whom(self, source: TopicPartition) -> TopicPartition:
        """Give the partition with which is committed where one is read from."""
        terms = self._terms
        return TopicPartition(terms.leader, source.partition) if source.topic in terms.followers else source

    def _begin(
        self, consumer: Consumer, fresh: Sequence[TopicPartition], committed: Sequence[KafkaPartition]
    ) -> Collection[TopicPartition]:
        """Begin before what counts, as far as is asked for; give those of whose log nobody told the beginning."""
        terms, starts_at = self._terms, self._terms.starts_at
        assert starts_at is not None
        offsets = answers(committed)
        texts = {TopicPartition(p.topic, p.partition): p.metadata for p in committed}
        starts: dict[TopicPartition, tuple[int, int]] = {}
        for each in fresh:
            whole = self._with_whom(each)
            number = 1 + terms.followers.index(each.topic) if each.topic in terms.followers else 0
            start = starts_at(offsets[whole], texts[whole], number) if whole in offsets else None
            if start is None and each in offsets:  # by somebody who does not read them as one
                start = offsets[each], offsets[each]
            if start is not None:
                starts[each] = start
        lows = log_offsets(consumer, list(starts), OFFSET_BEGINNING, self._ask_s) if starts else {}
        self.positions |= {
            each: max(begins, min(counts, lows[each])) for each, (counts, begins) in starts.items() if each in lows
        }
        return starts.keys() - lows.keys()

    def _count(self, consumer: Consumer, topics: Collection[str]) -> None:
        """Find how many partitions a topic has when it is met, to tell those apart that are added to it later."""
        for topic in topics:
            if topic not in self._counts:
                found = consumer.list_topics(topic, self._ask_s).topics.get(topic)
                if found is not None and found.error is None:
                    self._counts[topic] = len(found.partitions)

    def _place(self, source: TopicPartition, low: int, high: int) -> None:
        position = self.positions.get(source)
        if position is None:
            # All of a partition that was added later came after the start: its messages are not history.
            is_added = source.partition >= self._counts.get(source.topic, source.partition + 1)
            self.positions[source] = low if is_added or self._terms.start == "earliest" else high
        elif not low <= position <= high:
            self._pass_over(source, position, low, high)

    def _pass_over(self, source: TopicPartition, position: int, low: int, high: int) -> None:
        """Go on at the first message there is, if that is allowed.

        Also where the log ends before the position: what was read had reached all replicas, so a log that is shorter
        now is another one, of a topic made anew, and all of it is unread.
        """
        if self._terms.on_gap == "fail":
            raise SourceError(_gap_text(source, position, low, high))
        self.positions[source] = low
        self.gaps[source.topic] += 1
        self.missing[source.topic] += max(0, low - position)
        self._new.append(Gap(source, position, low))


def _gap_text(source: TopicPartition, position: int, low: int, high: int) -> str:
    if position < low:
        what = f"the log begins at {low}: {low - position} messages were deleted before they were read (retention)"
        cure = f"to go on at {low} and mark the affected windows incomplete, set state.on_gap to accept-gap"
    else:
        what = f"the log ends at {high}: the topic was made anew, or lost records"
        cure = f"to read the log that is there from its start ({low}), set state.on_gap to accept-gap"
    return (
        f"kafka: topic {source.topic!r}, partition {source.partition}: the next message to read is {position}, but"
        f" {what}; {cure}; to begin anew without what was counted, move the state folder away"
    )


def _renewed_text(topic: str, old: Mapping[TopicPartition, int]) -> str:
    at = ", ".join(f"{source.partition}: {position}" for source, position in sorted(old.items()))
    return (
        f"kafka: topic {topic!r} was deleted and made anew since it was read: what state rests on (next offsets by"
        f" partition: {at}) is of the old one, of which the rest can't be read any more; to read the one that is there"
        " from its start and mark the affected windows incomplete, set state.on_gap to accept-gap; to begin anew"
        " without what was counted, move the state folder away"
    )


def log_offsets(
    consumer: Consumer, sources: Collection[TopicPartition], which: int, timeout_s: float
) -> dict[TopicPartition, int]:
    """Ask for the first (OFFSET_BEGINNING) or next (OFFSET_END) offset of logs, all at once; what failed is left out.

    Raises KafkaException if no answer came within timeout_s.
    """
    return answers(consumer.offsets_for_times([KafkaPartition(*each, which) for each in sources], timeout_s))


def answers(found: Sequence[KafkaPartition]) -> dict[TopicPartition, int]:
    """Give the offsets that were found."""
    return {TopicPartition(p.topic, p.partition): p.offset for p in found if p.error is None and p.offset >= 0}
