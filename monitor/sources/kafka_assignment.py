"""What a group member holds of its partitions, from one rebalance to the next."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Message

from monitor.domain import TopicPartition

REVOKES_KEPT: Final = 1_000


@dataclass(slots=True)
class Progress:
    """One partition that is ours. tenure: a new number each time that it becomes so, at since_s. Times: wall clock."""

    tenure: int
    since_s: float = 0.0
    last: Message | None = None
    moved_s: float = 0.0
    read_s: float = 0.0


@dataclass(slots=True)
class Assignment:
    """What is ours, kept by the rebalance callbacks, which run inside poll.

    running: what the client fetches, part of `ours`. is_settled: all of `ours` that is not held is running.
    """

    ours: dict[TopicPartition, Progress] = field(default_factory=dict)
    running: set[TopicPartition] = field(default_factory=set)
    is_known: bool = False
    is_settled: bool = True
    rebalances: Counter[str] = field(default_factory=Counter)
    revokes_s: deque[float] = field(default_factory=lambda: deque(maxlen=REVOKES_KEPT))

    def silent(self, now_s: float, quiet_s: float) -> list[TopicPartition]:
        """Give the partitions that have given nothing for so long, although they are read."""
        ours = self.ours.items()
        return [each for each, progress in ours if each in self.running and now_s - progress.read_s >= quiet_s]
