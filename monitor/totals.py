"""What was received since the start: totals by topic, and how many events each served model version had, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np

from monitor.decode import Columns
from monitor.domain import FloatArray, IntArray
from monitor.kept import State, state_of


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
        for message, kind in zip(columns.outcomes.messages, columns.outcomes.kinds, strict=True):
            self.counted[topics[partitions[message]], kind] += 1
        for message, _ in columns.annotations:
            self.counted[topics[partitions[message]], "annotation"] += 1
        if columns.dropped_features:
            self.overflow["features"] += columns.dropped_features

    def state(self) -> State:
        """Give what is kept."""
        return {each.name: counter_state(getattr(self, each.name)) for each in fields(self)}

    def restore(self, state: State) -> None:
        """Go on from a state."""
        for each in fields(self):
            setattr(self, each.name, counter_of(state.get(each.name, ())))


def counter_state(counter: Mapping[str, int] | Mapping[tuple[str, str], int]) -> list[list[str | int]]:
    """Give a counter by a name, or by several, as plain values."""
    return [[*([key] if isinstance(key, str) else key), count] for key, count in counter.items()]


def counter_of(state: Sequence[Sequence[Any]]) -> Counter[Any]:
    """Give the counter that `counter_state` gave the values of."""
    return Counter({names[0] if len(names) == 1 else tuple(names): int(count) for *names, count in state})


TIMES: Final = ("events", "first_s", "last_s")


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

    def add(self, subject: int, events: int, first_s: float, last_s: float) -> None:
        """Take in events of one subject that there is room for, counted by somebody else."""
        self.events[subject] += events
        self.first_s[subject] = min(self.first_s[subject], first_s)
        self.last_s[subject] = max(self.last_s[subject], last_s)

    def of(self, subject: int) -> tuple[int, float, float]:
        """Give how many events a subject had, and when its first and last was; zeros while there is no room for it."""
        if subject >= len(self.events):
            return 0, 0.0, 0.0
        return int(self.events[subject]), float(self.first_s[subject]), float(self.last_s[subject])

    def state(self, subjects: int) -> State:
        """Give what is kept of so many."""
        return {name: values[:subjects] for name, values in state_of(self, TIMES).items()}

    def restore(self, state: State) -> None:
        """Go on from a state; subjects are the same."""
        found: dict[str, Any] = {name: state[name] for name in TIMES if name in state}
        if found:
            self.reserve(max(map(len, found.values())))
        for name, values in found.items():
            getattr(self, name)[: len(values)] = values
