"""Quantiles of positive, heavy-tailed streams (latency, tokens, cost), from logarithmic counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.bins import WIDTHS, Arena
from monitor.detectors.base import Measure, View
from monitor.detectors.evidence import rate_evidence
from monitor.detectors.intervals import quantile_ranks
from monitor.detectors.log_counts import VALUE_SPAN, VALUES, LogCounts, log_bin_of, log_counts_of
from monitor.domain import BoolArray, FloatArray, IntArray, Kind


@dataclass(frozen=True, slots=True)
class QuantileDetector:
    """The value that a share `quantile` of all values does not exceed, in the stream's unit.

    Value: that of the bin holding the ceil(n q)-th smallest, within 1 % of it: a p95 of 1.000 s is told as 0.990 to
    1.010 s. Interval: the same reading at binomial ranks, free of distribution.
    Evidence: a p95 above t means that more than 5 % of values exceed t, so it is the exact evidence of that rate
    (rate_evidence), from counts in bins wholly above t's; for "below", the bin of t counts as above. Either way
    the grid can only weaken it. Values beyond the grid's ends keep their side but not their size.
    Guarantee: P(evidence >= e) <= exp(-e) for any n and distribution, for independent events. Cost: two passes.
    of_reference: the reference's own quantile, as a point.
    """

    name: str
    quantile: float
    kinds: frozenset[Kind] = frozenset({Kind.LOG})
    needs_reference: bool = False

    def measure(self, view: View) -> Measure:
        """Give the quantile; NaN without values."""
        counts = log_counts_of(view.counts)
        samples = counts.samples().astype(np.float64)
        low, high = quantile_ranks(samples, self.quantile)
        return Measure(
            value=self._at(counts, self._rank(samples), view.low),
            samples=np.where(np.isfinite(view.low), samples, 0.0),
            low=self._at(counts, low, view.low),
            high=self._at(counts, high, view.low),
        )

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:
        """Give the signed evidence that the true quantile lies above the threshold."""
        counts = log_counts_of(view.counts)
        bin_ = log_bin_of(threshold, view.low)
        is_known = np.isfinite(threshold) & np.isfinite(measure.value)
        above = self._exceedance(counts, np.minimum(bin_ + 1, VALUE_SPAN))
        not_below = self._exceedance(counts, bin_)
        nats = np.maximum(above, 0.0) + np.minimum(not_below, 0.0)
        return np.where(is_known, nats, 0.0)

    def of_reference(self, view: View) -> FloatArray:
        """Give the reference's quantile; NaN without one."""
        counts = log_counts_of(view.reference)
        return self._at(counts, self._rank(counts.samples().astype(np.float64)), view.low)

    def ranks(self, arena: Arena) -> IntArray:
        """Give each value bin its place, and -1 to the rest, shape (width,)."""
        places = np.arange(WIDTHS[arena])
        return np.where(places < VALUE_SPAN, places, -1)

    def cuts(self, view: View, threshold: FloatArray, is_above: BoolArray) -> tuple[IntArray, FloatArray]:
        """Give the first bin wholly above the threshold (for "below", its own), and the share that may lie there."""
        bin_ = log_bin_of(threshold, view.low)
        is_known = np.isfinite(threshold) & np.isfinite(view.low)
        rate = np.where(is_known, 1.0 - self.quantile, np.nan)
        return np.where(is_above, np.minimum(bin_ + 1, VALUE_SPAN), bin_), rate

    def _rank(self, samples: FloatArray) -> FloatArray:
        """Give the rank ceil(n q), at least 1; the little taken off keeps 0.95 * 100 at 95 though it rounds up."""
        return np.maximum(np.ceil(samples * self.quantile - 1e-9), 1.0)

    def _at(self, counts: LogCounts, rank: FloatArray, low: FloatArray) -> FloatArray:
        value = VALUES[counts.bin_of_rank(rank)] * low
        return np.where(counts.samples() > 0, value, np.nan)

    def _exceedance(self, counts: LogCounts, bin_: IntArray) -> FloatArray:
        """Give the signed evidence that more than 1 - q of values lie in `bin_` or above."""
        samples = counts.samples()
        hits = (samples - counts.before(bin_)).astype(np.float64)
        return rate_evidence(hits, samples.astype(np.float64), np.full(len(hits), 1.0 - self.quantile))


P50: Final = QuantileDetector("p50", 0.50)
P95: Final = QuantileDetector("p95", 0.95)
P99: Final = QuantileDetector("p99", 0.99)
