"""What was received since the start: totals by topic, and how many events each served model version had, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.decode import Columns
from monitor.domain import FloatArray, IntArray


@dataclass(slots=True)
class Totals:
    """Counters since start. Per topic: received = counted + rejected + late + duplicate."""

    received: Counter[str] = field(default_factory=Counter)
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    duplicate: Counter[str] = field(default_factory=Counter)
    clamped: Counter[str] = field(default_factory=Counter)
    overflow: Counter[str] = field(default_factory=Counter)

    def take(self, partitions: IntArray, columns: Columns, topics: Sequence[str]) -> None:
        """Count the messages of a batch by what they were. partitions: index of each into topics, shape (n,)."""
        for at, count in enumerate(np.bincount(partitions, minlength=len(topics)).tolist()):
            self.received[topics[at]] += count
        for message, rejection in columns.rejected:
            self.rejected[topics[partitions[message]], str(rejection)] += 1
        for message, kind in columns.outcomes:
            self.counted[topics[partitions[message]], kind] += 1
        if columns.dropped_features:
            self.overflow["features"] += columns.dropped_features


class SubjectTimes:
    """How many events each model version had, and when its first and last was; arrays by subject."""

    def __init__(self) -> None:
        self.events = np.zeros(0, dtype=np.int64)
        self.first_s = np.zeros(0)
        self.last_s = np.zeros(0)

    def reserve(self, subjects: int) -> None:
        """Make room for so many; one may be known and have had no event that counted."""
        if subjects > len(self.events):
            room = max(64, subjects * 3 // 2) - len(self.events)
            self.events = np.concatenate([self.events, np.zeros(room, dtype=np.int64)])
            self.first_s = np.concatenate([self.first_s, np.full(room, np.inf)])
            self.last_s = np.concatenate([self.last_s, np.full(room, -np.inf)])

    def touch(self, subjects: IntArray, times_s: FloatArray) -> None:
        """Take in the events of a batch, of subjects there is room for; both of shape (n,)."""
        self.events += np.bincount(subjects, minlength=len(self.events))
        np.minimum.at(self.first_s, subjects, times_s)
        np.maximum.at(self.last_s, subjects, times_s)

    def of(self, subject: int) -> tuple[int, float, float]:
        """Give how many events a subject had, and when its first and last was; zeros while there is no room for it."""
        if subject >= len(self.events):
            return 0, 0.0, 0.0
        return int(self.events[subject]), float(self.first_s[subject]), float(self.last_s[subject])
