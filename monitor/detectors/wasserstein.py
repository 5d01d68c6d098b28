"""Wasserstein-1 distance: how far the values moved on average, in widths of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.detectors.base import Measure, View
from monitor.detectors.divergence import zero_where_known
from monitor.detectors.evidence import limit_of
from monitor.detectors.groups import shares_of, spread_of
from monitor.detectors.intervals import Z_TWO_SIDED
from monitor.domain import FloatArray, Kind

OUTER_SCALES_MAX: Final = 1.5
"""An outer group reaches at most this many scales beyond its inner edge. Its far edge is the end of the range ever
seen, one outlier's doing. Chosen by calculation: with 12 equal-mass groups, shifts of 0.25 and 1 scale are then read as
0.96 to 1.06 times themselves for normal, Laplace and t(3) values, and upwards 0.95 to 0.99 for lognormal and
exponential ones. Moves of values beyond the range ever seen are understated."""
FOLDED: Final = float(np.sqrt(2.0 / np.pi))
"""Mean of |z| for a standard normal z."""


class Wasserstein:
    """Mean distance that values must move to turn the reference into the window, over view.scale; 0.5 is half a scale.

    raw = sum |F - F_reference| * (distance of neighbouring groups' middles) / scale, which is scipy's
    wasserstein_distance of the middles. floor = what raw is on average when nothing changed. As noise adds to a gap in
    squares, the value is sqrt(raw^2 - floor^2), cut at 0. Middles of the outermost groups: see OUTER_SCALES_MAX.
    Evidence: (value - t)^2 / 2v above; below, -(t - raw)^2 / 2v; between value and raw 0. v is the variance if all
    gaps had one sign, the greatest it can be: Var(middles) / n + Var_reference(middles) / m.
    Guarantee: by normal approximation; P(evidence >= e) <= exp(-e) in simulations with n >= 200 (test_calibration.py).
    Cost: no logarithm. Source: Vallender (1974), Theory of Probability and its Applications 18, for the formula by
    distribution functions; the floor and v are ours.
    """

    name = "wasserstein"
    kinds = frozenset({Kind.NUMERIC})
    needs_reference = True

    def measure(self, view: View) -> Measure:
        """Give the distance in scales; samples are the window's values."""
        moved = transport_of(view)
        value = moved.value()
        half = Z_TWO_SIDED * np.sqrt(moved.variance)
        samples = np.where(np.isnan(value), 0.0, moved.samples)
        return Measure(value=value, samples=samples, low=np.maximum(value - half, 0.0), high=value + half)

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:  # noqa: ARG002
        """Give the signed evidence that the true distance lies above the threshold."""
        moved = transport_of(view)
        limit = limit_of(threshold)
        above = np.maximum(moved.value() - limit, 0.0)
        below = np.maximum(limit - moved.raw, 0.0)
        nats = (above * above - below * below) / (2.0 * moved.variance)
        return np.where(np.isfinite(nats), nats, 0.0)

    def of_reference(self, view: View) -> FloatArray:
        """Give 0 where there is a reference."""
        return zero_where_known(view.reference_grouped.sum(axis=1))


@dataclass(frozen=True, slots=True)
class Transport:
    """The distance of S streams, in scales, with its noise; of shape (S,), NaN where there is nothing to compare."""

    raw: FloatArray
    floor: FloatArray
    variance: FloatArray
    samples: FloatArray

    def value(self) -> FloatArray:
        """Give the distance with the noise taken off."""
        return np.sqrt(np.maximum(self.raw * self.raw - self.floor * self.floor, 0.0))


def transport_of(view: View) -> Transport:
    """Give the distance of each stream; NaN also where the scale or an edge is unusable."""
    shares = shares_of(view)
    middles = middles_of(view)
    steps = np.diff(middles, axis=1)
    n, m = np.maximum(shares.samples, 1.0), np.maximum(shares.reference_samples, 1.0)
    below = np.cumsum(shares.reference, axis=1)[:, :-1]
    gaps = np.cumsum(shares.window - shares.reference, axis=1)[:, :-1]
    pooled = below + (n / (n + m))[:, None] * gaps
    noise = np.sqrt(np.maximum(pooled * (1.0 - pooled), 0.0))
    raw = np.einsum("ij,ij->i", np.abs(gaps), steps)
    floor = FOLDED * np.sqrt(shares.variance_unit) * np.einsum("ij,ij->i", noise, steps)
    variance = spread_of(middles, shares.window) / n + spread_of(middles, shares.reference) / m
    is_known = shares.is_known & (variance > 0.0) & np.isfinite(raw)
    return Transport(
        raw=np.where(is_known, raw, np.nan),
        floor=np.where(is_known, floor, np.nan),
        variance=np.where(is_known, variance, np.nan),
        samples=shares.samples,
    )


def middles_of(view: View) -> FloatArray:
    """Give the middle of each group in scales: shape (S, G), constant from the last used one.

    Measured from the last used group's middle, which makes that constant 0: unused groups then weigh nothing in steps
    and variances. Before that from the first inner edge, so that values far from zero lose no digits.
    """
    rows, last = np.arange(len(view.edges)), np.maximum(view.groups_used, 1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        edges = (view.edges - view.edges[:, 1:2]) / np.where(view.scale > 0.0, view.scale, np.nan)[:, None]
    edges[:, 0] = np.maximum(edges[:, 0], -OUTER_SCALES_MAX)
    edges[rows, last] = np.minimum(edges[rows, last], edges[rows, last - 1] + OUTER_SCALES_MAX)
    middles = 0.5 * (edges[:, 1:] + edges[:, :-1])
    is_used = np.arange(middles.shape[1]) < last[:, None]
    return np.where(is_used, middles - middles[rows, last - 1][:, None], 0.0)
