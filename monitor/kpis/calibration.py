"""Whether scores mean what they say: the share that came true beside the score that was given.

Of two kinds, by the streams that are read. `score_positive` and `score_negative`: the score is the chance of the
positive class. `score_right` and `score_wrong`: it is the model's confidence in its own prediction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from monitor.domain import FloatArray
from monitor.kpis.base import UNIT_ERROR, UNIT_VALUES, UNKNOWN, Cell, Estimate, unit_counts_of
from monitor.kpis.limits import mean_limits, moments_of, share_of, z_of

CLASSES: Final = ("score_positive", "score_negative")
CONFIDENCE: Final = ("score_right", "score_wrong")
RELIABILITY_BINS: Final = 19
"""Each is three bins of the grid: 0.053 wide. Common choices are 10 to 20."""
FOLDED_MEAN: Final = math.sqrt(2.0 / math.pi)
"""Mean of |x| for a standard normal x: what chance alone adds to a gap that is 0."""


class ReliabilityBin(NamedTuple):
    """Scores from `low` to `high`: their mean, and the share that came true with its interval."""

    low: float
    high: float
    score: float
    share: Estimate


class Reliability(NamedTuple):
    """By bin, of those that hold scores: weight (all sum to 1), mean score, share that came true, events."""

    weight: FloatArray
    score: FloatArray
    share: FloatArray
    events: FloatArray

    def gap(self) -> FloatArray:
        """Give how far the share lies above the score."""
        return self.share - self.score

    def error(self) -> FloatArray:
        """Give the standard error of each share, of a share pulled half an event towards 1/2: never 0."""
        pulled = (self.share * self.events + 0.5) / (self.events + 1.0)
        return np.sqrt(pulled * (1.0 - pulled) / self.events)


def reliability_of(cell: Cell, fields: tuple[str, str]) -> Reliability:
    """Give the reliability table from the streams of scores that came true and those that did not."""
    true, false = (unit_counts_of(cell, field).reshape(RELIABILITY_BINS, -1) for field in fields)
    both = true + false
    events = both.sum(axis=1)
    used = events > 0.0
    score = (both * UNIT_VALUES.reshape(RELIABILITY_BINS, -1)).sum(axis=1)[used] / events[used]
    events = events[used]
    return Reliability(events / max(events.sum(), 1.0), score, true.sum(axis=1)[used] / events, events)


def reliability_bins(cell: Cell, fields: tuple[str, str], alpha: float) -> tuple[ReliabilityBin, ...]:
    """Give the reliability diagram: bins that hold scores, in order, each share with an interval of its own."""
    true, false = (unit_counts_of(cell, field).reshape(RELIABILITY_BINS, -1).sum(axis=1) for field in fields)
    used = np.flatnonzero(true + false)
    table = reliability_of(cell, fields)
    step = 1.0 / RELIABILITY_BINS
    return tuple(
        ReliabilityBin(
            float(bin_ * step), float((bin_ + 1) * step), float(score), share_of(int(true[bin_]), int(events), alpha)
        )
        for bin_, score, events in zip(used, table.score, table.events, strict=True)
    )


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration error: sum over 19 bins of weight |share that came true - mean score|; ratio.

    The plug-in value is what others compute, with scores told to 1/114; chance adds to it, since |gap| never averages
    out: for a gap of 0 with standard error s, s sqrt(2/pi). So low is the value less sum w s sqrt(2/pi) and z se; high
    is the value and z se, with se^2 = sum w^2 s^2 + (sum w gap^2 - value^2) / n for shares and weights. Both are 1/114
    further out, for the grid. Guarantee: asymptotic, conservative at either side: the spread of |gap| is at most that
    of the gap, and its bias at most that at 0.
    Source: Naeini, Cooper and Hauskrecht (2015), AAAI; of the bias, Bröcker (2012), Climate Dynamics 39.
    """

    name: str
    fields: tuple[str, str]
    unit: str = "ratio"
    is_higher_better: bool | None = False

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the error; unknown without scores."""
        table = reliability_of(cell, self.fields)
        if not len(table.events):
            return UNKNOWN
        value = float(table.weight @ np.abs(table.gap()))
        each = table.weight * table.error()
        events = float(table.events.sum())
        of_weights = max(float(table.weight @ table.gap() ** 2) - value * value, 0.0) / events
        half = z_of(alpha) * math.sqrt(float(each @ each) + of_weights) + UNIT_ERROR
        low = value - FOLDED_MEAN * float(each.sum()) - half
        return Estimate(value, max(low, 0.0), min(value + half, 1.0), int(events))


@dataclass(frozen=True, slots=True)
class MaxCalibrationError:
    """Maximum calibration error: the largest |share that came true - mean score| of the 19 bins; ratio.

    Interval: from those of all used bins' shares at alpha over their number, so that all hold together: the largest of
    the least, and of the greatest, gap that each allows, 1/114 further out for the grid. Guarantee: misses with at most
    alpha, for independent rows; wide where a bin holds few. Source: limits.share_limits, Bonferroni's inequality.
    """

    name: str
    fields: tuple[str, str]
    unit: str = "ratio"
    is_higher_better: bool | None = False

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the error; unknown without scores."""
        table = reliability_of(cell, self.fields)
        if not len(table.events):
            return UNKNOWN
        each = alpha / len(table.events)
        shares = (share_of(round(s * n), int(n), each) for s, n in zip(table.share, table.events, strict=True))
        gaps = [(x.low - score, x.high - score) for x, score in zip(shares, table.score, strict=True)]
        low = max(max(below, -above) for below, above in gaps) - UNIT_ERROR
        high = max(max(above, -below) for below, above in gaps) + UNIT_ERROR
        return Estimate(float(np.abs(table.gap()).max()), max(low, 0.0), min(high, 1.0), int(table.events.sum()))


@dataclass(frozen=True, slots=True)
class MeanScore:
    """Mean score of the joined rows, to be read beside the share that came true; ratio.

    Each score is taken for the middle of its bin, within 1/114, and the ends of the interval are that much further out.
    Guarantee, source: limits.mean_limits.
    """

    name: str
    fields: tuple[str, str]
    unit: str = "ratio"
    is_higher_better: bool | None = None

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the mean; unknown without scores."""
        counts = unit_counts_of(cell, self.fields[0]) + unit_counts_of(cell, self.fields[1])
        if counts.sum() == 0.0:
            return UNKNOWN
        moments = moments_of(UNIT_VALUES, counts)
        low, high = mean_limits(moments, alpha)
        return Estimate(moments.mean, max(low - UNIT_ERROR, 0.0), min(high + UNIT_ERROR, 1.0), int(moments.samples))


@dataclass(frozen=True, slots=True)
class ScoreGap:
    """Mean of score - what came (1 or 0): above 0 the scores promise too much; between -1 and 1.

    Of CONFIDENCE it is confidence less accuracy; of CLASSES, calibration in the large. Each row has one difference, so
    score and outcome are paired. Ends are 1/114 further out, for the grid. Guarantee, source: limits.mean_limits.
    """

    name: str
    fields: tuple[str, str]
    unit: str = "ratio"
    is_higher_better: bool | None = None

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the gap; unknown without scores."""
        true, false = (unit_counts_of(cell, field) for field in self.fields)
        counts = np.concatenate([true, false])
        if counts.sum() == 0.0:
            return UNKNOWN
        moments = moments_of(np.concatenate([UNIT_VALUES - 1.0, UNIT_VALUES]), counts)
        low, high = mean_limits(moments, alpha)
        return Estimate(moments.mean, max(low - UNIT_ERROR, -1.0), min(high + UNIT_ERROR, 1.0), int(moments.samples))
