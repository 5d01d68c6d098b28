"""What a court has taken of each source partition: every event once, whoever sends it, however often and late."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from monitor.claims import Stretch
from monitor.domain import TopicPartition
from monitor.kept import State


class Verdict(StrEnum):
    """What becomes of a stretch.

    old: all of it was taken before. stale: it is of an owner that is no longer. torn: part of it was taken before, and
    it is counts, which can't be while all keep to the rules; it is refused.
    """

    TAKEN = "taken"
    OLD = "old"
    STALE = "stale"
    TORN = "torn"


class Receipt(NamedTuple):
    """from_offset: what lies before it is to be passed over. missing: so many offsets before it were never sent."""

    verdict: Verdict
    from_offset: int = 0
    missing: int = 0


class Receipts:
    """Epoch and next offset of each source partition. Memory: two numbers for each."""

    def __init__(self) -> None:
        self._epochs: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}

    @property
    def next(self) -> Mapping[TopicPartition, int]:
        """The next offset of each partition."""
        return MappingProxyType(self._next)

    def take(self, source: TopicPartition, epoch: int, stretch: Stretch) -> Receipt:
        """Say what becomes of a stretch, and note it. Of a partition heard of for the first time all is taken."""
        if epoch < self._epochs.get(source, 0):
            return Receipt(Verdict.STALE)
        self._epochs[source] = epoch
        done = self._next.setdefault(source, stretch.first)
        if stretch.next <= done:
            return Receipt(Verdict.OLD)
        self._next[source] = stretch.next
        if stretch.first < done and not stretch.is_fine:
            return Receipt(Verdict.TORN, missing=stretch.next - done)
        return Receipt(Verdict.TAKEN, max(done, stretch.first), max(0, stretch.first - done))

    def state(self) -> State:
        """Give what is kept."""
        return {"sources": [[*source, self._epochs[source], self._next[source]] for source in sorted(self._next)]}

    def restore(self, state: State) -> None:
        """Go on from a state."""
        for topic, number, epoch, done in state.get("sources", ()):
            source = TopicPartition(topic, number)
            self._epochs[source], self._next[source] = int(epoch), int(done)
