"""What a detector is: counts of many streams in one window, turned into values and evidence.

A detector holds no state and no clock. It sees streams as rows of one array, so a call costs the same whether the
rows are features of one model or of a thousand. The sequential engine (evidence over many suffix windows) stands
behind the same two calls: a value, and the evidence that the true value lies beyond a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from monitor.domain import CountArray, FloatArray, IntArray, Kind


@dataclass(frozen=True, slots=True)
class View:
    """Counts of S streams of one arena in one window, beside their references. Nothing here may be changed.

    counts: shape (S, B), all bins of the arena (see monitor.bins). reference: shape (S, B), zeros where there is none.
    grouped, reference_grouped: shape (S, G), float64: the value bins summed into the groups frozen with the reference,
    groups ordered as the values are (numeric), unused groups last and zero in both. edges: shape (S, G + 1), the
    value at each group's edges for numeric streams (NaN for others): group g spans edges[g] to edges[g + 1].
    groups_used: shape (S,), how many groups each stream has (0 or 1: nothing to compare).
    scale: shape (S,), the width of the reference's middle (a robust standard deviation) in the stream's own unit.
    low: shape (S,), lower end of the logarithmic grid (LOG streams only, else NaN).
    span_s: how long the window is; rate_per_s: shape (S,), events per second in the reference (NaN: none).
    silence_s: shape (S,), time since the stream's model last had an event, at the window's end.
    """

    counts: CountArray
    reference: CountArray
    grouped: FloatArray
    reference_grouped: FloatArray
    edges: FloatArray
    groups_used: IntArray
    scale: FloatArray
    low: FloatArray
    span_s: float
    rate_per_s: FloatArray
    silence_s: FloatArray


@dataclass(frozen=True, slots=True)
class Measure:
    """The estimate for each stream. value: shape (S,), NaN where undefined. samples: shape (S,), what it rests on.

    low, high: shape (S,), an interval of about 95 % for people to read; decisions rest on evidence, not on it.
    """

    value: FloatArray
    samples: FloatArray
    low: FloatArray
    high: FloatArray


class Detector(Protocol):
    """A statistic and how sure it is. Called by the judge in the loop thread, once per rule set and window."""

    # Properties, so that a frozen dataclass may be a detector: nobody assigns to them.
    @property
    def name(self) -> str:
        """Give the key in DETECTORS, and the statistic's name in rules, metrics and alerts."""
        ...

    @property
    def kinds(self) -> frozenset[Kind]:
        """Give the kinds of stream it can judge; kinds of two arenas come in separate views."""
        ...

    @property
    def needs_reference(self) -> bool:
        """Tell whether everything is undefined without a reference."""
        ...

    def measure(self, view: View) -> Measure:
        """Give the estimates. Never raises on data: undefined is NaN with zero samples. Must not change the view."""
        ...

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:
        """Give the signed evidence, in nats, shape (S,), that the true value lies above `threshold`, shape (S,).

        Positive e: if the true value were at or below the threshold, so extreme an estimate would have probability of
        at most about exp(-e). Negative: the same for the true value lying below. NaN thresholds or values give 0.
        """
        ...

    def of_reference(self, view: View) -> FloatArray:
        """Give the statistic's value in the reference itself, shape (S,), for thresholds such as 1.5x; NaN if none."""
        ...
