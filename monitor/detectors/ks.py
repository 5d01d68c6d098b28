"""Kolmogorov-Smirnov distance: the largest gap between the two distribution functions, 0 to 1."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.detectors.base import Measure, View
from monitor.detectors.divergence import zero_where_known
from monitor.detectors.evidence import ks_evidence, limit_of
from monitor.detectors.groups import Shares, shares_of
from monitor.domain import FloatArray, Kind

BAND: Final = float(np.sqrt(np.log(2.0 / 0.05) / 2.0))
"""Half width of the 95 % band of a distribution function times sqrt(N): 1.358."""


class KolmogorovSmirnov:
    """Largest |F - F_reference| over the edges of the frozen groups.

    At most the distance of the raw values, and equal to it when the values are grouped alike; with G equal-mass groups
    a shift loses at most 1/G. The value is not bias-corrected (people compare it with scipy's ks_2samp); nothing
    changed gives about 0.8 / sqrt(N), N = nm/(n+m), which the evidence allows for.
    Guarantee: P(evidence >= e) <= exp(-e); for a change of 0 asymptotically, below the threshold for any n.
    Cost: no logarithm. Source: Kolmogorov (1933), Smirnov (1939); bounds in monitor.detectors.evidence.ks_evidence.
    """

    name = "ks"
    kinds = frozenset({Kind.NUMERIC})
    needs_reference = True

    def measure(self, view: View) -> Measure:
        """Give the distance; samples are the window's values."""
        shares = shares_of(view, pseudo_count=0.0)
        value = np.where(shares.is_known, largest_gap(shares), np.nan)
        half = BAND * np.sqrt(shares.variance_unit)
        return Measure(
            value=value,
            samples=shares.samples,
            low=np.maximum(value - half, 0.0),
            high=np.minimum(value + half, 1.0),
        )

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:
        """Give the signed evidence that the true distance over the groups' edges lies above the threshold."""
        reference_samples = view.reference_grouped.sum(axis=1)
        total = np.maximum(measure.samples + reference_samples, 1.0)
        return ks_evidence(measure.value, measure.samples * reference_samples / total, limit_of(threshold))

    def of_reference(self, view: View) -> FloatArray:
        """Give 0 where there is a reference."""
        return zero_where_known(view.reference_grouped.sum(axis=1))


def largest_gap(shares: Shares) -> FloatArray:
    """Give the largest absolute cumulated difference, shape (S,), at most 1."""
    gaps = np.cumsum(shares.window - shares.reference, axis=1)
    largest: FloatArray = np.minimum(np.abs(gaps).max(axis=1, initial=0.0), 1.0)
    return largest
