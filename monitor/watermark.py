"""Event time: how far it has come for sure, over all partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from monitor.domain import FloatArray, IntArray, TopicPartition
from monitor.kept import State

NEVER = -np.inf


class Watermark:
    """The least over partitions of the latest event time seen, less the allowed disorder. It never goes back.

    A partition that was assigned and has given nothing yet holds it back until it is idle (caught up): its first events
    may be old. Memory: one number per partition.
    """

    def __init__(self, disorder_s: float) -> None:
        self._disorder_s = disorder_s
        self._latest: dict[TopicPartition, float] = {}
        self._idle: frozenset[TopicPartition] = frozenset()
        self._timeless: set[TopicPartition] = set()
        self.value_s = NEVER

    @property
    def latest_s(self) -> float:
        """The latest event time seen in any partition."""
        return max(self._latest.values(), default=NEVER)

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Say which partitions there are; those gone no longer count."""
        self._latest = {partition: self._latest.get(partition, NEVER) for partition in partitions}

    def set_idle(self, idle: Iterable[TopicPartition]) -> None:
        """Say which partitions are caught up and quiet: they do not hold event time back until their next event."""
        self._idle = frozenset(idle)
        self._rise(self._least())

    def advance_to(self, time_s: float) -> None:
        """Move on without events (all partitions are idle)."""
        self._rise(time_s)

    def set_timeless(self, partitions: Iterable[TopicPartition]) -> None:
        """Say which partitions were read but gave no event time (outcomes, nothing valid): they hold nothing back."""
        self._timeless.update(p for p in partitions if self._latest.get(p, NEVER) == NEVER)

    def follow(self, sources: Sequence[TopicPartition], partitions: IntArray, times_s: FloatArray) -> FloatArray:
        """Take in the events of a batch, in order of arrival; give the watermark just before each, shape (n,).

        partitions: index into sources of each event. Cost: O(n) per partition in the batch.
        """
        n = len(times_s)
        inside = {sources[i]: i for i in np.unique(partitions).tolist()}
        least = np.full(n + 1, self._least(but=inside))
        for source, at in inside.items():
            is_own = partitions == at
            latest = np.empty(n + 1)
            latest[0] = self._latest.get(source, NEVER)
            latest[1:] = np.where(is_own, times_s, NEVER)
            np.maximum.accumulate(latest, out=latest)
            self._latest[source] = float(latest[-1])
            if source in self._idle or source in self._timeless:
                latest[: int(np.argmax(is_own)) + 1] = np.inf  # it holds nothing back before its first event here
            np.minimum(least, latest, out=least)
        self._idle = self._idle.difference(inside)
        self._timeless.difference_update(inside)
        least[np.isposinf(least)] = NEVER
        running = np.maximum(np.maximum.accumulate(least) - self._disorder_s, self.value_s)
        self.value_s = float(running[-1])
        return running[:-1]

    def hear(self, source: TopicPartition, latest_s: float) -> None:
        """Take in how far a partition's events have come, none of which is still to be counted; -inf: none has a time.

        What that closes is told by the next change of who is idle.
        """
        self._idle = self._idle.difference((source,))
        if latest_s > NEVER:
            self._latest[source] = max(self._latest.get(source, NEVER), latest_s)
            self._timeless.discard(source)
        else:
            self.set_timeless((source,))

    def ahead(self, limit_s: float) -> Sequence[TopicPartition]:
        """Give the partitions whose latest event is further than this ahead of the watermark."""
        if not np.isfinite(self.value_s):
            return ()
        return [partition for partition, latest_s in self._latest.items() if latest_s > self.value_s + limit_s]

    def state(self) -> State:
        """Give what is kept. Not which partitions are idle: what has come since nobody knows until it is read."""
        return {
            "value_s": self.value_s,
            "latest": [[topic, number, latest_s] for (topic, number), latest_s in self._latest.items()],
            "timeless": [list(partition) for partition in sorted(self._timeless)],
        }

    def restore(self, state: State) -> None:
        """Go on from a state; partitions stay known until others are assigned."""
        self.value_s = float(state.get("value_s", NEVER))
        self._latest = {TopicPartition(topic, number): float(at) for topic, number, at in state.get("latest", ())}
        self._timeless = {TopicPartition(topic, number) for topic, number in state.get("timeless", ())}

    def _least(self, but: Mapping[TopicPartition, int] | None = None) -> float:
        quiet = self._idle | self._timeless
        held = [t for p, t in self._latest.items() if p not in quiet and (but is None or p not in but)]
        return min(held, default=np.inf)

    def _rise(self, time_s: float) -> None:
        if np.isfinite(time_s):
            self.value_s = max(self.value_s, time_s - self._disorder_s)
