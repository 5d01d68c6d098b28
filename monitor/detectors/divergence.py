"""What PSI, Jensen-Shannon and chi-square share: each is, near no change, a scaled chi-square statistic.

With no change, raw / unit follows chi-square with k = G-1 degrees of freedom; with a true value d it follows about the
noncentral one with noncentrality d / unit, mean k + d/unit and variance 2 (k + 2 d/unit). The k (in raw terms the
`floor`) is pure noise and is taken off the estimate. Further away the delta method may find more variance than that;
`inflation` says how many times, so the noise of no change never vanishes from the standard error and large changes
keep their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.detectors.base import Measure
from monitor.detectors.evidence import limit_of
from monitor.detectors.intervals import Z_TWO_SIDED

if TYPE_CHECKING:
    from monitor.detectors.groups import Shares
    from monitor.domain import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Divergence:
    """One divergence of S streams from their references, all arrays of shape (S,).

    raw: the plug-in estimate, at least 0. unit: raw per unit of chi-square. freedom: k. inflation: at least 1, the
    delta method's variance over the noncentral chi-square's. samples: events in the window. is_known: False gives NaN.
    """

    raw: FloatArray
    unit: FloatArray
    freedom: FloatArray
    inflation: FloatArray
    samples: FloatArray
    is_known: BoolArray

    def excess(self) -> FloatArray:
        """Give the estimate with the noise floor k * unit taken off, not below 0; NaN where unknown."""
        return np.where(self.is_known, np.maximum(self.raw - self.freedom * self.unit, 0.0), np.nan)

    def measure(self) -> Measure:
        """Give the excess with an interval of 1.96 standard errors around it, cut at 0."""
        value = self.excess()
        half = Z_TWO_SIDED * self.unit * np.sqrt(2.0 * self._spread(value))
        return Measure(value=value, samples=self.samples, low=np.maximum(value - half, 0.0), high=value + half)

    def evidence(self, threshold: FloatArray) -> FloatArray:
        """Give the signed evidence that the true divergence lies above `threshold`, in raw's unit.

        With x the distance of raw / unit from its mean at the threshold, and s^2 half its variance there:
        above, (x / (s + sqrt(s^2 + 2x)))^2, which is z^2/2 near and x/2 far out, as a chi-square's tail is;
        below, x^2 / 4s^2.
        Guarantee: with inflation 1, Birge's bounds (2001, in State of the Art in Probability and Statistics, lemma 8.1)
        on the noncentral chi-square. Always 0 where raw is no more than its floor and the threshold is 0.
        """
        limit = limit_of(threshold)
        spread = self._spread(limit)
        distance = (self.raw - limit) / self.unit - self.freedom
        with np.errstate(invalid="ignore"):
            above = (distance / (np.sqrt(spread) + np.sqrt(spread + 2.0 * np.maximum(distance, 0.0)))) ** 2
            nats = np.where(distance > 0.0, above, -distance * distance / (4.0 * spread))
        return np.where(self.is_known & np.isfinite(nats), nats, 0.0)

    def _spread(self, value: FloatArray) -> FloatArray:
        """Give half the variance of raw / unit where the true divergence is `value`."""
        return self.inflation * (self.freedom + 2.0 * value / self.unit)


def divergence_of(shares: Shares, raw: FloatArray, unit: FloatArray, slope_variance: FloatArray) -> Divergence:
    """Give the divergence with its inflation: slope_variance (the delta method's) over 4 * raw * unit, at least 1."""
    raw = np.maximum(raw, 0.0)
    expected = 4.0 * raw * unit
    ratio = np.divide(slope_variance, expected, out=np.ones_like(raw), where=expected > 0.0)
    return Divergence(
        raw=raw,
        unit=unit,
        freedom=shares.freedom,
        inflation=np.maximum(ratio, 1.0),
        samples=shares.samples,
        is_known=shares.is_known,
    )


def sampling_variance(shares: Shares, by_window: FloatArray, by_reference: FloatArray) -> FloatArray:
    """Give the variance of an estimate from the variances of its slopes in window and reference, all of shape (S,)."""
    return by_window / np.maximum(shares.samples, 1.0) + by_reference / np.maximum(shares.reference_samples, 1.0)


def zero_where_known(samples: FloatArray) -> FloatArray:
    """Give 0, a reference's divergence from itself, and NaN where it has no events."""
    return np.where(samples > 0.0, 0.0, np.nan)
