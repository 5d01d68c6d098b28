"""Which partitions event time waits for. Pure: the caller brings the clock.

A partition that another member has taken for a moment comes back with all its messages, and they must still find their
panes open: event time waits for it, but not for ever, since meanwhile nothing is judged. Nor for a partition that gives
nothing for very long although records wait. What closes without them is incomplete, and is not judged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from monitor.domain import FloatArray, IntArray, PartitionStatus, TopicPartition
from monitor.kept import State


class Absences:
    """Keeps since when partitions are away. away_s, stalled_s: how long one is waited for that is away, or stalled."""

    def __init__(self, away_s: float, stalled_s: float) -> None:
        self._away_s = away_s
        self._stalled_s = stalled_s
        self._since_s: dict[TopicPartition, float] = {}
        self.absent: frozenset[TopicPartition] = frozenset()

    def waited_for(
        self,
        assigned: Collection[TopicPartition],
        away: Iterable[TopicPartition],
        statuses: Iterable[PartitionStatus],
        now_s: float,
    ) -> frozenset[TopicPartition]:
        """Give the partitions that event time waits for; `absent` are the others.

        away: that another member has, or that are held. statuses: of those assigned; none while in trouble.
        """
        self._since_s = {each: self._since_s.get(each, now_s) for each in away}
        gone = {each for each, since_s in self._since_s.items() if now_s - since_s >= self._away_s}
        stalled = {each.source for each in statuses if each.lag_records and each.stalled_s >= self._stalled_s}
        stalled &= set(assigned)  # statuses are some moments old, and may be of one that has left meanwhile
        if len(stalled) == len(assigned):
            stalled = set()  # where nothing moves at all, there is nothing to go on with
        self.absent = frozenset(gone | stalled)
        return frozenset(assigned).union(self._since_s) - self.absent


class Missing:
    """Whether messages are missing from what closes: partitions that are absent, or that have lost some to retention.

    is_absent: some partition is. A gap lasts until the first event after it.
    """

    def __init__(self) -> None:
        self.is_absent = False
        self._gaps: set[TopicPartition] = set()
        self._until_s = -np.inf

    def note_gaps(self, partitions: Iterable[TopicPartition]) -> None:
        """Say in which partitions messages are gone that were never read."""
        self._gaps.update(partitions)

    def follow(self, sources: Sequence[TopicPartition], partitions: IntArray, times_s: FloatArray) -> None:
        """Take in the events of a batch, in order of arrival. partitions: index into sources of each event."""
        if not self._gaps:
            return
        for at in np.unique(partitions).tolist():
            if sources[at] in self._gaps:
                self._until_s = max(self._until_s, float(times_s[np.argmax(partitions == at)]))
                self._gaps.discard(sources[at])

    def resume(self, source: TopicPartition, time_s: float) -> None:
        """Take in when the first event after a gap was, if there is one in this partition."""
        if source in self._gaps:
            self._until_s = max(self._until_s, time_s)
            self._gaps.discard(source)

    def is_any(self, start_s: float) -> bool:
        """Tell whether messages may be missing from a pane that closes now and began then."""
        return self.is_absent or bool(self._gaps) or start_s < self._until_s

    def state(self) -> State:
        """Give what is kept; who is absent is found again."""
        return {"gaps": [list(source) for source in sorted(self._gaps)], "until_s": self._until_s}

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self._gaps = {TopicPartition(*source) for source in state.get("gaps", ())}
        self._until_s = state.get("until_s", -np.inf)
