"""Posts: one rule of river's on one stream each, what its watchman is fed pane by pane, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from monitor.alerts import Observation
from monitor.bins import YES, Arena
from monitor.domain import CountArray, FloatArray, IntArray
from monitor.kept import State
from monitor.observed import has_changed, observation_of, observation_state
from monitor.river.base import BOOLEANS_MAX, MEAN_MAX, Feed, RiverDetector, Watchman
from monitor.rules import Rule

_OF_POST: Final = ("owed", "after_s", "is_alarmed", "measured_s")
"""What is known of a post beside its alert and its watchman."""


@dataclass(slots=True)
class Post:
    """One rule on one stream, and the watchman there. scores: of each value bin, in standard deviations.

    interval: values between two false alarms, as asked for. owed: the part of a hit not fed yet. after_s: what began
    earlier is told. is_alarmed: since the last look.
    """

    rule: Rule
    detector: RiverDetector
    subject: int
    arena: Arena
    row: int
    scores: FloatArray
    interval: float
    watchman: Watchman
    owed: float = 0.0
    after_s: float = -np.inf
    is_alarmed: bool = False
    raised: Observation | None = None
    measured_s: float = -np.inf

    def feed(self, bins: IntArray, held: CountArray) -> None:
        """Feed what a pane holds: at least one value."""
        events = int(held.sum(dtype=np.int64))
        if self.detector.feed is Feed.MEAN:
            mean = float(self.scores[bins] @ held) / events
            # By its own standard deviation, so that neither noise nor false alarms depend on traffic.
            self._take(min(MEAN_MAX, max(-MEAN_MAX, mean * events**0.5)))
            return
        hits = int(held[bins == YES].sum(dtype=np.int64))
        fed, self.owed = spread(hits, events, self.owed)
        for is_hit in fed:
            self._take(is_hit)

    def _take(self, value: float) -> None:
        self.watchman.update(value)
        self.is_alarmed |= bool(self.watchman.drift_detected)

    def state(self) -> State:
        """Give what is known of it, and of its watchman."""
        return {
            "rule": self.rule.name,
            "arena": self.arena.name,
            "row": self.row,
            "interval": self.interval,
            **{name: getattr(self, name) for name in _OF_POST},
            "raised": None if self.raised is None else observation_state(self.raised),
            "watchman": self.detector.state(self.watchman),
        }

    def restore(self, state: State) -> None:
        """Go on from a state; the watchman begins anew if it is asked for another number of false alarms now."""
        for name in _OF_POST:
            setattr(self, name, state.get(name, getattr(self, name)))
        if state.get("interval") == self.interval:
            self.detector.restore(self.watchman, state["watchman"])
        found = state.get("raised")
        if found is not None:
            self.raised = observation_of(found, self.rule, self.arena, self.row)
            self.measured_s = -np.inf if has_changed(found, self.rule) else self.measured_s

    def begin_anew(self, end_s: float) -> None:
        """Forget the past: what an alert told is told."""
        self.watchman = self.detector.make(self.interval)
        self.raised, self.is_alarmed, self.after_s, self.owed = None, False, end_s, 0.0


@dataclass(slots=True)
class Posts:
    """The posts of one arena. rows: those with one, ascending."""

    by_row: dict[int, list[Post]] = field(default_factory=dict)
    rows: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def add(self, post: Post) -> None:
        """Take in one more."""
        self.by_row.setdefault(post.row, []).append(post)
        self.rows = np.array(sorted(self.by_row), dtype=np.int64)


def spread(hits: int, events: int, owed: float) -> tuple[list[bool], float]:
    """Give BOOLEANS_MAX of some events at most, hits among them evenly, and the part of a hit that is owed then."""
    fed = min(events, BOOLEANS_MAX)
    exact = hits * fed / events + owed
    count = min(fed, int(exact))
    return [(i + 1) * count // fed > i * count // fed for i in range(fed)], exact - count
