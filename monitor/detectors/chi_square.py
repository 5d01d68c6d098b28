"""Chi-square effect size: Pearson's statistic of window against reference, made independent of traffic."""

from __future__ import annotations

import numpy as np

from monitor.detectors.base import Measure, View
from monitor.detectors.divergence import Divergence, divergence_of, sampling_variance, zero_where_known
from monitor.detectors.evidence import g_evidence, limit_of
from monitor.detectors.groups import Shares, shares_of, spread_of
from monitor.domain import FloatArray, Kind


class ChiSquare:
    """Phi: the root of the two-sample chi-square over N = nm/(n+m), less its noise floor (G-1)/N.

    phi^2 = sum (p - q)^2 / pool with pool = (n p + m q) / (n + m); for a reference much larger than the window it is
    Cohen's w^2 = sum (p - q)^2 / q: 0.1 is small, 0.3 medium, 0.5 large (Cohen 1988, chapter 7).
    Evidence above a threshold: the lesser of the divergence bound, as for psi, and the G-test's -log p of any change at
    all, which has the lighter tail when groups are sparse; each alone is sound, so the lesser is. With a threshold of 0
    ("changed at all") it is the G-test alone. Guarantee: as psi, for n >= 200 in 4 to 20 groups.
    Cost: no logarithm for the value, two per group for the evidence.
    Source: Pearson (1900), Philosophical Magazine 50.
    """

    name = "chi_square"
    kinds = frozenset({Kind.NUMERIC, Kind.CATEGORICAL})
    needs_reference = True

    def measure(self, view: View) -> Measure:
        """Give phi; samples are the window's values."""
        squared = chi_square_divergence(shares_of(view, pseudo_count=0.0)).measure()
        return Measure(
            value=np.sqrt(squared.value), samples=squared.samples, low=np.sqrt(squared.low), high=np.sqrt(squared.high)
        )

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:  # noqa: ARG002
        """Give the signed evidence that the true phi lies above the threshold."""
        shares = shares_of(view, pseudo_count=0.0)
        limit = limit_of(threshold)
        by_effect = chi_square_divergence(shares).evidence(limit * limit)
        by_change = np.where(shares.is_known, g_evidence(view.grouped, view.reference_grouped), 0.0)
        return np.where(limit == 0.0, by_change, np.minimum(by_effect, by_change))

    def of_reference(self, view: View) -> FloatArray:
        """Give 0 where there is a reference."""
        return zero_where_known(view.reference_grouped.sum(axis=1))


def chi_square_divergence(shares: Shares) -> Divergence:
    """Give phi^2 with its noise; shares are not smoothed, since nothing is divided by one that is 0.

    With r = (p - q) / pool and w = m/(n+m) the slopes are 2r - (1-w) r^2 by the window's shares and -2r - w r^2 by the
    reference's.
    """
    weight = (shares.reference_samples / np.maximum(shares.samples + shares.reference_samples, 1.0))[:, None]
    pool = (1.0 - weight) * shares.window + weight * shares.reference
    difference = shares.window - shares.reference
    relative = np.divide(difference, pool, out=np.zeros_like(pool), where=pool > 0.0)
    raw = np.einsum("ij,ij->i", difference, relative)
    squared = relative * relative
    by_window = spread_of(2.0 * relative - (1.0 - weight) * squared, shares.window)
    by_reference = spread_of(-2.0 * relative - weight * squared, shares.reference)
    return divergence_of(shares, raw, shares.variance_unit, sampling_variance(shares, by_window, by_reference))
