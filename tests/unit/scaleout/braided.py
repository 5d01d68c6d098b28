"""As joined, with outcomes in a topic of their own: two logs to a partition, read as one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from monitor.braided_fold import BraidedFold
from monitor.braids import Braids, BraidTerms, starts_at
from monitor.domain import Batch, TopicPartition
from monitor.intake import Origin
from tests.unit.scaleout.joined import BACK, PARTITIONS, SOURCES, JoinedCluster, Member

if TYPE_CHECKING:
    from monitor.delta_fold import DeltaFold
    from monitor.fold_house import FoldHouse, Hands
    from tests.unit.scaleout.joined import Sent

TOPICS: Final = ("t", "told")


@dataclass
class Logs:
    """What was sent, by partition. rng: by which it is told wrongly that nothing is left, as where more comes."""

    values: dict[TopicPartition, list[bytes]] = field(default_factory=dict)
    times_ms: dict[TopicPartition, list[int]] = field(default_factory=dict)
    rng: random.Random | None = None

    def fill(self, messages: Sequence[Sent]) -> None:
        for topic in TOPICS:
            for source in SOURCES:
                self.values[TopicPartition(topic, source.partition)] = []
                self.times_ms[TopicPartition(topic, source.partition)] = []
        for number, value in messages:
            source = TopicPartition(TOPICS[b'"outcome"' in value], number)
            self.values[source].append(value)
            self.times_ms[source].append(int(json.loads(value)["event_time"] * 1e3))


class BraidedMember(Member):
    """A fold that reads two topics."""

    logs: Logs

    def _house(self, fold: DeltaFold, hands: Hands) -> FoldHouse:
        terms = BraidTerms(TOPICS, self, hands.tenures, hands.positions, self.untold, self.lag)
        return BraidedFold(fold, hands, "fold", self._broker.courts, Braids(terms))

    def lag(self, source: TopicPartition) -> int:
        if self.logs.rng is not None and self.logs.rng.random() < 0.5:
            return 0
        return len(self.logs.values[source]) - self.at[source]

    def untold(self) -> Mapping[TopicPartition, int]:
        """Give letters that nobody has yet: now and then one of the last messages."""
        rng = self.logs.rng
        if rng is None or rng.random() < 0.5:
            return {}
        return {source: max(0, at - rng.randrange(1, 30)) for source, at in self.at.items() if rng.random() < 0.3}

    def partitions(self) -> Mapping[str, int]:
        return dict.fromkeys(TOPICS, PARTITIONS)

    def read_texts(self, sources: Iterable[TopicPartition]) -> Mapping[TopicPartition, tuple[int, str | None] | None]:
        return {source: self._broker.committed.get(source) for source in sources}

    def commit_texts(self, entries: Mapping[TopicPartition, tuple[int, str]]) -> bool:
        if not self.is_fenced:
            self._broker.committed |= entries
        return not self.is_fenced

    def begin(self, source: TopicPartition, tenure: int) -> None:
        found = self._broker.committed.get(source)
        for number, topic in enumerate(TOPICS):
            start = None if found is None else starts_at(*found, number, BACK, len(TOPICS))
            self.tenures[TopicPartition(topic, source.partition)] = tenure
            self.at[TopicPartition(topic, source.partition)] = 0 if start is None else max(0, start[1])

    def read_on(self, source: TopicPartition, count: int) -> None:
        first = self.at[source]
        values = self.logs.values[source][first : first + count]
        times_ms = self.logs.times_ms[source][first : first + count]
        self.at[source] += len(values)
        if values:
            offsets, origins = list(range(first, self.at[source])), [Origin(each, 0) for each in times_ms]
            batch = Batch(values, [0] * len(values), [source], offsets=offsets, origins=origins)
            self.house.step(batch, self.now_s)

    def end(self, source: TopicPartition) -> None:
        for topic in TOPICS:
            super().end(TopicPartition(topic, source.partition))


@dataclass
class BraidedCluster(JoinedCluster):
    """See JoinedCluster."""

    logs: Logs = field(default_factory=Logs)

    def member(self) -> Member:
        made = BraidedMember(self.broker, self.terms, self._now_s)
        made.logs = self.logs
        return made

    def fill(self, messages: Sequence[Sent]) -> None:
        self.logs.fill(messages)

    def is_read(self) -> bool:
        every = (TopicPartition(topic, source.partition) for topic in TOPICS for source in SOURCES)
        return all(self.owners[TopicPartition("t", s.partition)].at[s] >= len(self.logs.values[s]) for s in every)

    def _read(self, member: Member, source: TopicPartition) -> None:
        assert isinstance(member, BraidedMember)
        for topic in self.rng.sample(TOPICS, self.rng.randrange(1, len(TOPICS) + 1)):
            own = TopicPartition(topic, source.partition)
            self.again += member.at[own] < self.broker.committed.get(own, (0, ""))[0]
            member.read_on(own, self.rng.randrange(1, 13))
