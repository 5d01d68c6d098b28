"""What a judge takes of the deltas of each source partition, so that every event counts once. Pure.

A delta log may hold a stretch several times, in other cuts, by an owner that has lost the partition long ago. While
folds keep to the rules of claims.py, what is taken covers every offset once: an owner's stretches join each other, the
first of a new owner begin at or before the end of what is here, and where they overlap with it they are fine. What the
judge decides depends on the log alone. Memory: two numbers per source partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from monitor.claims import Stretch
from monitor.domain import TopicPartition
from monitor.kept import State


class Verdict(StrEnum):
    """What becomes of a delta.

    EMPTY: it says that nothing has come. OLD: all of it is here already. STALE: it is of an owner that another has
    followed. TORN: counts of which some are here already and others not; can't be while folds keep to the rules.
    """

    TAKEN = "taken"
    EMPTY = "empty"
    OLD = "old"
    STALE = "stale"
    TORN = "torn"


class Receipt(NamedTuple):
    """The answer to a delta. from_offset: its events before it are to be skipped. missing: offsets that never came."""

    verdict: Verdict
    from_offset: int
    missing: int = 0


class Position(NamedTuple):
    """How far a source partition has come. epoch: of its owner. next: everything before this offset is counted."""

    epoch: int
    next: int


class Receipts:
    """What one delta partition has given of each source partition."""

    def __init__(self) -> None:
        self._positions: dict[TopicPartition, Position] = {}

    @property
    def positions(self) -> Mapping[TopicPartition, Position]:
        """How far each source partition has come; a view, not a copy."""
        return MappingProxyType(self._positions)

    def take(self, source: TopicPartition, epoch: int, stretch: Stretch) -> Receipt:
        """Decide on a delta, in the order of the log. Only of one that is TAKEN anything is counted. Cost: constant."""
        first, after, is_fine = stretch
        assert 0 <= first <= after, f"a stretch from {first} to {after}"
        known = self._positions.get(source, Position(epoch, first))  # nothing known: the log begins here
        if epoch < known.epoch:
            return Receipt(Verdict.STALE, after)
        here = known.next
        self._positions[source] = Position(epoch, max(here, after))
        if after <= here:
            return Receipt(Verdict.EMPTY if first == after == here else Verdict.OLD, after)
        if first < here and not is_fine:
            return Receipt(Verdict.TORN, after, after - here)
        return Receipt(Verdict.TAKEN, max(first, here), max(0, first - here))

    # ---- what is kept

    def state(self) -> State:
        """Give what is kept: all of it."""
        return {"positions": [[*source, *position] for source, position in self._positions.items()]}

    def restore(self, state: State) -> None:
        """Go on from a state."""
        for topic, partition, epoch, after in state.get("positions", ()):
            self._positions[TopicPartition(topic, partition)] = Position(epoch, after)
