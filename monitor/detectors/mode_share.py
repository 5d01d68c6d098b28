"""How usual the usual is: the share of the category that was the most frequent one in the reference."""

from __future__ import annotations

import numpy as np

from monitor.bins import CATEGORIES_MAX, VALUE_BINS
from monitor.detectors.base import Measure, View
from monitor.detectors.evidence import rate_evidence
from monitor.detectors.intervals import wilson_interval
from monitor.domain import CountArray, FloatArray, Kind


class ModeShare:
    """Events in the reference's most frequent category over all events with a category, 0 to 1.

    Of `route` it is the share of the fast path, of `provider` or `cache` that of the usual one. Of two that were
    equally frequent the first counts. Evidence: as of a rate (rate_evidence). Interval: Wilson's.
    Guarantee: P(evidence >= e) <= exp(-e), for independent events. NaN without a reference. Cost: two passes.
    """

    name = "mode_share"
    kinds = frozenset({Kind.CATEGORICAL})
    needs_reference = True

    def measure(self, view: View) -> Measure:
        """Give the share in the window."""
        hits, samples = self._tally(view, view.counts)
        low, high = wilson_interval(hits, samples)
        return Measure(value=_ratio(hits, samples), samples=samples, low=low, high=high)

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:
        """Give the signed evidence that the true share lies above the threshold."""
        hits, samples = self._tally(view, view.counts)
        return rate_evidence(hits, samples, np.where(np.isnan(measure.value), np.nan, threshold))

    def of_reference(self, view: View) -> FloatArray:
        """Give the share in the reference itself; NaN without one."""
        hits, samples = self._tally(view, view.reference)
        return _ratio(hits, samples)

    def _tally(self, view: View, counts: CountArray) -> tuple[FloatArray, FloatArray]:
        """Give hits and samples, each of shape (S,)."""
        known = view.reference[:, :CATEGORIES_MAX]
        mode = known.argmax(axis=1)
        hits = np.take_along_axis(counts, mode[:, None], axis=1)[:, 0].astype(np.float64)
        samples = counts[:, :VALUE_BINS].sum(axis=1, dtype=np.int64).astype(np.float64)
        has_mode = known.any(axis=1)
        return np.where(has_mode, hits, 0.0), np.where(has_mode, samples, 0.0)


def _ratio(hits: FloatArray, samples: FloatArray) -> FloatArray:
    ratio: FloatArray = np.divide(hits, samples, out=np.full(len(hits), np.nan), where=samples > 0)
    return ratio
