"""Quality before labels come: what the scores of now promise, by what such scores were worth when labels were there.

Also its gap to the realised quality, once that is known: a gap that stays means that scores no longer are worth what
they were, which is concept drift and not another mix of scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final, NamedTuple

import numpy as np

from monitor.bins import NUMERIC_INNER
from monitor.detectors.evidence import chi_square_nats
from monitor.domain import BoolArray, FloatArray, IntArray
from monitor.kpis.base import UNKNOWN, Cell, Estimate, flags_of, unit_counts_of
from monitor.kpis.limits import difference_of, share_of, z_of

WORTH: Final = ("score_right", "score_wrong")
"""Fields that tell what a score is worth."""
EVENTS_MIN: Final = 25
"""Joined rows that stand behind the share of each score: fewer are put together with their neighbours'."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMap:
    """Share of correct predictions by score, as it was where labels were known. Frozen; make it by score_map_of.

    group: of each of the 57 bins, shape (57,), ascending without gaps. share, events: of each group, shape (G,).
    is_seen: bins in which there was a score, shape (57,).
    """

    group: IntArray
    share: FloatArray
    events: FloatArray
    is_seen: BoolArray


def score_map_of(cell: Cell) -> ScoreMap | None:
    """Give the map from `score_right` and `score_wrong` of a cell with labels; None below EVENTS_MIN joined rows.

    Neighbouring bins are put together from the left until a group has EVENTS_MIN rows; what is left over at the end
    joins the last one. No shape is assumed: for a score of the positive class the share is high at both ends.
    """
    right, wrong = unit_counts_of(cell, "score_right"), unit_counts_of(cell, "score_wrong")
    both = right + wrong
    if both.sum() < EVENTS_MIN:
        return None
    group, filled, number = np.zeros(NUMERIC_INNER, dtype=np.int64), 0.0, 0
    for bin_ in range(NUMERIC_INNER):
        group[bin_] = number
        filled += both[bin_]
        if filled >= EVENTS_MIN and both[bin_ + 1 :].sum() >= EVENTS_MIN:
            filled, number = 0.0, number + 1
    of_bins = group == np.arange(group[-1] + 1)[:, None]
    events: FloatArray = of_bins @ both
    share: FloatArray = of_bins @ right / events
    return ScoreMap(group, share, events, both > 0.0)


class _Promise(NamedTuple):
    """value, its variance, and how much lower and higher it may be for scores that the map never saw."""

    value: float
    variance: float
    below: float
    above: float
    samples: int


@dataclass(frozen=True, slots=True)
class EstimatedAccuracy:
    """Accuracy of all predictions of now, labelled or not, as their scores promise: sum q_b a_b; ratio.

    q: shares of the live `score` in the 57 bins (from any grid, base.unit_counts_of), a: the map's share of correct
    predictions. Variance: sum q_g^2 a_g (1 - a_g) / m_g for the map's own m rows, each a pulled half an event towards
    1/2, plus (sum q_g a_g^2 - value^2) / n for which n scores came. Interval: normal, 0 to 1; where a score lies in a
    bin that the map never saw, it may be all wrong or all right, and the ends are as much further out.
    Guarantee: asymptotic, while the share that is correct at each score is what it was (no concept drift): else the
    gap to the realised accuracy (gap_of) shows it. Any change of the mix of scores is accounted for.
    Source: confidence-based performance estimation; Guillory et al. (2021), ICCV; Garg et al. (2022), ICLR.
    """

    score_map: ScoreMap
    name: str = "estimated_accuracy"
    unit: str = "ratio"
    fields: tuple[str, ...] = ("score",)
    is_higher_better: bool | None = True

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the estimate; unknown without scores."""
        promise = _promise_of(self.score_map, cell)
        if promise is None:
            return UNKNOWN
        half = z_of(alpha) * math.sqrt(promise.variance)
        low, high = promise.value - half - promise.below, promise.value + half + promise.above
        return Estimate(promise.value, max(low, 0.0), min(high, 1.0), promise.samples)


@dataclass(frozen=True, slots=True)
class PromisedAccuracy:
    """EstimatedAccuracy by the map of the reference's own labels; ratio. Guarantee, interval and source: there."""

    name: str = "estimated_accuracy"
    unit: str = "ratio"
    fields: tuple[str, ...] = ("score",)
    is_higher_better: bool | None = True

    def estimate_against(self, usual: Cell, now: Cell, alpha: float) -> Estimate:
        """Give the estimate; unknown without scores, and where the reference has too few labels."""
        score_map = score_map_of(usual)
        return UNKNOWN if score_map is None else EstimatedAccuracy(score_map).estimate(now, alpha)


@dataclass(frozen=True, slots=True)
class EstimationGap:
    """Realised less estimated accuracy of a cell, by the map of the reference's labels: gap_of; ratio, signed.

    Of the very rows that have labels: scores that came meanwhile may be of another hour, and of other scores.
    Guarantee, interval: there. A gap that stays is concept drift.
    """

    name: str = "estimation_gap"
    unit: str = "ratio"
    fields: tuple[str, ...] = ("correct",)
    is_higher_better: bool | None = None

    def estimate_against(self, usual: Cell, now: Cell, alpha: float) -> Estimate:
        """Give the gap; unknown without scores or labels, and where the reference has too few of them."""
        score_map, joined = score_map_of(usual), [now[field] for field in WORTH if field in now]
        if score_map is None or not joined:
            return UNKNOWN
        found = gap_of(score_map, {"score": reduce(add, joined)}, now, alpha).estimate
        return found if math.isfinite(found.value) else UNKNOWN


class Gap(NamedTuple):
    """Realised less estimated accuracy with its interval, and the evidence that it is not 0: nats, signed as it."""

    estimate: Estimate
    evidence: float


def gap_of(score_map: ScoreMap, live: Cell, joined: Cell, alpha: float) -> Gap:
    """Give how far the realised accuracy (`correct` of the joined cell) lies from what the live scores promised.

    Interval: limits.difference_of. Evidence: -log of the normal chance of a gap so far from 0 on either side, less
    what scores unknown to the map may account for. Guarantee: asymptotic; conservative where both are of the same rows,
    since the gap then varies less. 0 nats, and unknown, where either is unknown.
    """
    promise, (right, samples) = _promise_of(score_map, live), flags_of(joined, "correct")
    realised = share_of(right, samples, alpha)
    gap = difference_of(realised, EstimatedAccuracy(score_map).estimate(live, alpha))
    if promise is None or samples == 0:
        return Gap(gap, 0.0)
    pulled = (right + 0.5) / (samples + 1.0)
    variance = promise.variance + pulled * (1.0 - pulled) / samples
    unexplained = max(gap.value - promise.above, -gap.value - promise.below, 0.0)
    nats = chi_square_nats(np.array([unexplained**2 / variance]), np.ones(1))
    return Gap(gap, math.copysign(float(nats[0]), gap.value))


def _promise_of(score_map: ScoreMap, live: Cell) -> _Promise | None:
    counts = unit_counts_of(live, "score")
    samples = float(counts.sum())
    if samples == 0.0:
        return None
    weight = np.bincount(score_map.group, weights=counts, minlength=len(score_map.share)) / samples
    value = float(weight @ score_map.share)
    pulled = (score_map.share * score_map.events + 0.5) / (score_map.events + 1.0)
    of_map = float(weight**2 @ (pulled * (1.0 - pulled) / score_map.events))
    of_mix = max(float(weight @ score_map.share**2) - value * value, 0.0) / samples
    unseen = np.where(score_map.is_seen, 0.0, counts) / samples
    below = float(unseen @ score_map.share[score_map.group])
    return _Promise(value, of_map + of_mix, below, float(unseen.sum()) - below, round(samples))
