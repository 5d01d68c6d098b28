"""Jensen-Shannon distance: how far the shares of the frozen groups moved, 0 (same) to 1 (nothing in common)."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.detectors.base import Measure, View
from monitor.detectors.divergence import Divergence, divergence_of, sampling_variance, zero_where_known
from monitor.detectors.evidence import limit_of
from monitor.detectors.groups import Shares, shares_of, spread_of
from monitor.domain import FloatArray, Kind

NATS_PER_BIT: Final = float(np.log(2.0))


class JensenShannon:
    """Square root of the base-2 Jensen-Shannon divergence of the value groups, less its noise floor.

    divergence = (KL(p || mid) + KL(q || mid)) / 2 with mid = (p + q) / 2; its floor when nothing changed is
    (G-1)(1/n + 1/m) / 8 nats, which is taken off before the root. The same number as scipy's
    jensenshannon(p, q, base=2) for large samples. Thresholds are distances; evidence is on the divergence's scale.
    Guarantee: as psi; bounded, so one empty group can't carry it away. Cost: two logarithms per group.
    Source: Lin (1991), IEEE Transactions on Information Theory 37; Endres and Schindelin (2003), same journal, 49.
    """

    name = "js"
    kinds = frozenset({Kind.NUMERIC, Kind.CATEGORICAL})
    needs_reference = True

    def measure(self, view: View) -> Measure:
        """Give the distance; samples are the window's values."""
        nats = js_divergence(shares_of(view)).measure()
        return Measure(
            value=np.sqrt(nats.value / NATS_PER_BIT),
            samples=nats.samples,
            low=np.sqrt(nats.low / NATS_PER_BIT),
            high=np.minimum(np.sqrt(nats.high / NATS_PER_BIT), 1.0),
        )

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:  # noqa: ARG002
        """Give the signed evidence that the true distance lies above the threshold."""
        limit = limit_of(threshold)
        return js_divergence(shares_of(view)).evidence(limit * limit * NATS_PER_BIT)

    def of_reference(self, view: View) -> FloatArray:
        """Give 0 where there is a reference."""
        return zero_where_known(view.reference_grouped.sum(axis=1))


def js_divergence(shares: Shares) -> Divergence:
    """Give the divergence in nats with its noise; the slopes are log(p/mid) / 2 by p and log(q/mid) / 2 by q."""
    p, q = shares.window, shares.reference
    middle = 0.5 * (p + q)
    by_p = 0.5 * np.log(p / middle)
    by_q = 0.5 * np.log(q / middle)
    raw = np.einsum("ij,ij->i", p, by_p) + np.einsum("ij,ij->i", q, by_q)
    variance = sampling_variance(shares, spread_of(by_p, p), spread_of(by_q, q))
    return divergence_of(shares, raw, shares.variance_unit / 8.0, variance)
