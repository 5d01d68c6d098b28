"""Mean of positive, heavy-tailed streams (tokens, cost, latency), from logarithmic counts."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.detectors.base import Measure, View
from monitor.detectors.evidence import gap_evidence
from monitor.detectors.intervals import Z_TWO_SIDED
from monitor.detectors.log_counts import VALUE_SPAN, VALUES
from monitor.domain import CountArray, FloatArray, Kind

BIN_ERROR: Final = 0.01
"""A bin's value lies within 1 % of every value in it, so a mean of them lies within 1 % of the mean of the values."""
SQUARES: Final = VALUES * VALUES
ROWS_AT_ONCE: Final = 256
"""Rows turned into float64 at a time: 2 MB, which stays in the cache."""


class Mean:
    """Mean of the bins' values, in the stream's unit, within 1 % of the mean of the values inside the grid.

    Values below the grid count as 0 and values above it as its end, so a few enormous ones are understated, never lost.
    Evidence: the self-normalised bound n gap^2 / 2 (variance + gap^2) by the sample variance of the bins' values, where
    the gap is what is left of value - threshold after 1 % of the value is given to the grid's error.
    Guarantee: approximate. For skewed values it is conservative for "above" and too sure for "below" (a mean is low
    when the rare large ones stayed away, and then so is the variance): prefer a quantile for a decision on "below".
    Cost: one pass over the counts.
    """

    name = "mean"
    kinds = frozenset({Kind.LOG})
    needs_reference = False

    def measure(self, view: View) -> Measure:
        """Give the mean; NaN without values."""
        samples, mean, variance = moments_of(view.counts, view.low)
        with np.errstate(divide="ignore", invalid="ignore"):
            half = Z_TWO_SIDED * np.sqrt(variance / samples)
        samples = np.where(np.isnan(mean), 0.0, samples)
        return Measure(value=mean, samples=samples, low=np.maximum(mean - half, 0.0), high=mean + half)

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:  # noqa: ARG002
        """Give the signed evidence that the true mean lies above the threshold."""
        samples, mean, variance = moments_of(view.counts, view.low)
        limit = np.where(np.isfinite(threshold), threshold, np.nan)
        above = np.maximum(mean * (1.0 - BIN_ERROR) - limit, 0.0)
        below = np.maximum(limit - mean * (1.0 + BIN_ERROR), 0.0)
        return gap_evidence(above - below, variance, samples)

    def of_reference(self, view: View) -> FloatArray:
        """Give the reference's mean; NaN without one."""
        return moments_of(view.reference, view.low)[1]


def moments_of(counts: CountArray, low: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give samples, mean and variance (of one value) per row, in the stream's unit; NaN without values."""
    samples, first, second = (np.empty(len(counts)) for _ in range(3))
    for start in range(0, len(counts), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        block = counts[rows, :VALUE_SPAN].astype(np.float64)
        # einsum and not a matrix product, whose rounding may depend on how many rows it was given.
        np.einsum("ij->i", block, out=samples[rows])
        np.einsum("ij,j->i", block, VALUES, out=first[rows])
        np.einsum("ij,j->i", block, SQUARES, out=second[rows])
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = first / samples
        variance = np.maximum(second / samples - mean * mean, 0.0)
    return samples, mean * low, variance * (low * low)
