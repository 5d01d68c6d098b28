"""Population stability index: how far the shares of the frozen groups moved, in nats, symmetric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.detectors.divergence import Divergence, divergence_of, sampling_variance, zero_where_known
from monitor.detectors.groups import Shares, shares_of, spread_of
from monitor.domain import FloatArray, Kind

if TYPE_CHECKING:
    from monitor.detectors.base import Measure, View


class Psi:
    """PSI of the value groups, less its noise floor.

    raw = sum (p - q) log(p / q) over G groups: p, n of the window, q, m of the reference; Jeffreys' divergence.
    floor = (G-1)(1/n + 1/m): what raw is on average when nothing changed. The value is the excess over it, cut at 0.
    Why: with 10 groups and nothing wrong, raw exceeds 0.1 in 83 % of windows of 50 events; the excess is centred on 0.
    Guarantee: P(evidence >= e) <= exp(-e), by simulation: for true values of 0 to 0.25, n >= 200, m >= 2,000 and 4 to
    20 groups it was at most 0.3 exp(-e) above and 0.6 exp(-e) below (tests/unit/detectors/test_calibration.py).
    Groups are frozen with the reference; nulls are not in them. Cost: one logarithm per group.
    Source: Jeffreys (1946), Proceedings of the Royal Society A 186; floor: Yurdakul and Naranjo (2020), Journal of
    Risk Model Validation 14.
    """

    name = "psi"
    kinds = frozenset({Kind.NUMERIC, Kind.CATEGORICAL})
    needs_reference = True

    def measure(self, view: View) -> Measure:
        """Give the excess; samples are the window's values."""
        return psi_divergence(shares_of(view)).measure()

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:  # noqa: ARG002
        """Give the signed evidence that the true PSI (that of endless samples) lies above the threshold."""
        return psi_divergence(shares_of(view)).evidence(threshold)

    def of_reference(self, view: View) -> FloatArray:
        """Give 0 where there is a reference."""
        return zero_where_known(view.reference_grouped.sum(axis=1))


def psi_raw(view: View) -> FloatArray:
    """Give the plug-in PSI, shape (S,), at least 0; NaN where there is nothing to compare."""
    shares = shares_of(view)
    difference = shares.window - shares.reference
    raw = np.einsum("ij,ij->i", difference, np.log(shares.window / shares.reference))
    return np.where(shares.is_known, np.maximum(raw, 0.0), np.nan)


def psi_floor(view: View) -> FloatArray:
    """Give what psi_raw is on average when nothing changed, shape (S,); NaN where there is nothing to compare."""
    shares = shares_of(view)
    return np.where(shares.is_known, shares.freedom * shares.variance_unit, np.nan)


def psi_divergence(shares: Shares) -> Divergence:
    """Give PSI with its noise; with r = p/q the slopes are log r + 1 - 1/r by p and -log r + 1 - r by q."""
    p, q = shares.window, shares.reference
    ratio = p / q
    log_ratio = np.log(ratio)
    raw = np.einsum("ij,ij->i", p - q, log_ratio)
    by_window = spread_of(log_ratio + 1.0 - 1.0 / ratio, p)
    by_reference = spread_of(1.0 - log_ratio - ratio, q)
    return divergence_of(shares, raw, shares.variance_unit, sampling_variance(shares, by_window, by_reference))
