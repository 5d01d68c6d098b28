"""What is measured: a Candidate makes a Watcher of some streams, and the watcher says at which looks it alarms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from monitor.domain import BoolArray, FloatArray

DAY_S = 86_400.0


class Shape(StrEnum):
    """What the values of a stream are."""

    NUMERIC = "numeric"
    POSITIVE = "positive"
    """Numbers > 0 that are to be read on a log scale: latencies, tokens, costs."""
    CATEGORICAL = "categorical"
    """Whole numbers >= 0, each the code of a category; one not in the past may come."""
    RATE = "rate"
    """0 or 1."""


@dataclass(frozen=True, slots=True)
class StreamKind:
    """What a candidate is told about a stream: no more than a person would configure."""

    shape: Shape
    events_per_s: float = 1.0
    """On average, over all looks."""
    p95_budget: float | None = None
    """The rule is: p95 > this. The candidate may use it, or the past, or both."""
    rate_threshold: float | None = None
    """The rule is: rate > this; only a rise is to be found. The candidate may use it, or the past, or both."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is known before the watch begins: quiet, and as long as the product would learn from."""

    values: FloatArray
    """Shape (S, m); NaN is a look without an event."""
    times_s: FloatArray
    """Shape (m,), of the looks; the watch goes on where they end."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of the candidate."""

    arl0_events: float
    """Mean events between false alarms, per stream; events are values that are not NaN."""
    seed: int = 0
    """For candidates that draw random numbers."""


class Watcher(Protocol):
    """Watches S independent streams. After an alarm, a stream's watch starts again by itself, as new."""

    def feed(self, values: FloatArray, times_s: FloatArray) -> BoolArray:
        """Give where an alarm is raised, shape (S, n), for n more looks of one event each.

        values: (S, n), NaN where a look has no event; times_s: (n,), shared by the streams, ascending over all calls.
        """


class Candidate(Protocol):
    """A detector with its one frozen configuration."""

    @property
    def name(self) -> str:
        """Give the name in the tables."""

    def watch(self, stream: StreamKind, past: Past, terms: Terms) -> Watcher | None:
        """Begin to watch as many streams as `past` has; None if the candidate is not for this kind of stream."""
