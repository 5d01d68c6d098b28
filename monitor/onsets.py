"""Onsets: one line through its past, suffix by suffix: since when a limit is passed, and whether that is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitor.detectors.base import Detector, Measure
from monitor.domain import FloatArray
from monitor.lines import Where
from monitor.views import Views


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on a stream. where: statistic and arena. sign: 1 passed above, -1 below."""

    where: Where
    row: int
    sign: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Passed:
    """What came since a limit seems to be passed, and the nats that it is. is_told: enough of it, and beyond it."""

    since_s: float
    value: float
    interval: tuple[float, float]
    samples: int
    nats: float
    is_told: bool


@dataclass(frozen=True, slots=True)
class Over:
    """What the past says of an alert: since when all is good again (None: it is not), and whether nothing comes."""

    since_s: float | None
    is_silent: bool


class Onsets:
    """Looks at suffixes of the past, for some lines at a time. Cost: about a millisecond for each question."""

    def __init__(self, views: Views, detectors: Mapping[str, Detector]) -> None:
        self._views = views
        self._detectors = detectors

    def passed(self, limit: Limit, samples_min: float, after_s: float) -> Passed:
        """Give what came since the limit is passed: the suffix with the strongest evidence of it.

        after_s: none that begins earlier (but the newest), for what was told before is over.
        """
        starts, measure, evidence = self._through(limit)
        is_own = starts >= after_s
        is_own[0] = True
        is_told = is_own & (measure.samples >= samples_min) & (limit.sign * (measure.value - limit.threshold) > 0)
        at = int(np.argmax(np.where(is_told if is_told.any() else is_own, evidence, -np.inf)))
        return Passed(
            since_s=float(starts[at]),
            value=float(measure.value[at]),
            interval=(float(measure.low[at]), float(measure.high[at])),
            samples=int(measure.samples[at]),
            nats=float(evidence[at]),
            is_told=bool(is_told[at]),
        )

    def over(self, limit: Limit, clear: float, samples_min: float, least: tuple[float, float, float]) -> Over:
        """Tell since when the limit is certainly passed no longer, and the value beyond what clears it.

        least: nats that prove it; the onset, from before which the suffix may hold nothing; since when there must have
        been samples.
        """
        starts, measure, evidence = self._through(limit)
        nats, onset_s, spoke_s = least
        is_good = (limit.sign * (measure.value - clear) <= 0) & (evidence <= -nats)
        is_good &= (measure.samples >= samples_min) & (starts >= onset_s)
        since_s = float(starts[int(np.argmax(is_good))]) if is_good.any() else None
        return Over(since_s, is_silent=not np.any(measure.samples[starts >= spoke_s] > 0))

    def in_a_row(self, limit: Limit, window_s: float, samples_min: float, at_most: int) -> int:
        """Give how many windows that follow each other up to now are beyond the limit, each with samples enough."""
        statistic, arena = limit.where
        measure = self._detectors[statistic].measure(self._views.in_a_row(arena, limit.row, window_s, at_most))
        is_beyond = (measure.samples >= samples_min) & (limit.sign * (measure.value - limit.threshold) > 0)
        return int(np.logical_and.accumulate(is_beyond).sum())

    def date(self, limit: Limit) -> float | None:
        """Give where the suffix with the strongest evidence begins, None where no suffix has any."""
        starts, _, evidence = self._through(limit)
        return float(starts[int(np.argmax(evidence))]) if np.any(evidence > 0) else None

    def _through(self, limit: Limit) -> tuple[FloatArray, Measure, FloatArray]:
        """Give where each suffix begins, newest first, what it measures, and its evidence that the limit is passed."""
        detector = self._detectors[limit.where[0]]
        view, starts = self._views.suffixes(limit.where[1], limit.row)
        measure = detector.measure(view)
        evidence = limit.sign * detector.evidence(view, measure, np.full(len(starts), limit.threshold))
        return starts, measure, evidence
