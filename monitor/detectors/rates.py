"""Rates: the share of a stream's events that fell into certain bins. One instance per rate, no other code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from monitor import bins
from monitor.bins import Arena
from monitor.detectors.base import Measure, View
from monitor.detectors.evidence import rate_evidence
from monitor.detectors.intervals import wilson_interval, wilson_lower, wilson_upper
from monitor.domain import BoolArray, CountArray, FloatArray, IntArray, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Share:
    """Which bins of an arena are hits, and of which bins they are a share: 0 to `of`, exclusive."""

    hits: tuple[int, ...]
    of: int


@dataclass(frozen=True, slots=True)
class RateDetector:
    """Hits over samples, 0 to 1; the arena is known by the width of its counts.

    Evidence: n * KL(rate || threshold) with the side's sign, exact for any n (rate_evidence). Interval: Wilson's.
    For a relative threshold, of_reference gives the reference's one-sided 95 % Wilson limit: with 0 of m it is
    about 2.7/m and not 0, so "twice the reference" can't be breached by the first hit after a short reference. Below,
    it is the lower limit, for the same reason: a short reference may have been lucky.
    Cost: one pass over the counts. Guarantee: P(evidence >= e) <= exp(-e), for independent events.
    """

    name: str
    kinds: frozenset[Kind]
    shares: Mapping[Arena, Share]
    needs_reference: bool = False

    def measure(self, view: View) -> Measure:
        """Give the rate of the window; NaN without samples, and without a reference where one is needed."""
        hits, samples = self._tally(view.counts)
        if self.needs_reference:
            samples = np.where(self._tally(view.reference)[1] > 0, samples, 0.0)
        value = np.divide(hits, samples, out=np.full(len(hits), np.nan), where=samples > 0)
        low, high = wilson_interval(hits, samples)
        return Measure(value=value, samples=samples, low=low, high=high)

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:
        """Give the signed evidence that the true rate lies above the threshold."""
        hits, samples = self._tally(view.counts)
        threshold = np.where(np.isnan(measure.value), np.nan, threshold)
        return rate_evidence(hits, samples, threshold)

    def of_reference(self, view: View) -> FloatArray:
        """Give the upper limit of the reference's rate; NaN without a reference."""
        return wilson_upper(*self._tally(view.reference))

    def low_of_reference(self, view: View) -> FloatArray:
        """Give the lower limit of the reference's rate; NaN without a reference."""
        return wilson_lower(*self._tally(view.reference))

    def ranks(self, arena: Arena) -> IntArray:
        """Give 1 for hits, 0 for other bins that are counted, -1 for the rest, shape (width,)."""
        ranks = np.full(bins.WIDTHS[arena], -1)
        ranks[: self.shares[arena].of] = 0
        ranks[list(self.shares[arena].hits)] = 1
        return ranks

    def cuts(self, view: View, threshold: FloatArray, is_above: BoolArray) -> tuple[IntArray, FloatArray]:  # noqa: ARG002
        """Give 1, and the threshold, which is a rate itself."""
        return np.ones(len(threshold), dtype=np.int64), threshold

    def _tally(self, counts: CountArray) -> tuple[FloatArray, FloatArray]:
        """Give hits and samples, each of shape (S,)."""
        share = self.shares[Arena(bins.WIDTHS.index(counts.shape[1]))]
        samples = counts[:, : share.of].sum(axis=1, dtype=np.int64)
        hits = sum((counts[:, bin_].astype(np.int64) for bin_ in share.hits), np.zeros_like(samples))
        return hits.astype(np.float64), samples.astype(np.float64)


VALUED: Final = frozenset({Kind.NUMERIC, Kind.CATEGORICAL, Kind.LOG})

NULL_RATE: Final = RateDetector(
    name="null_rate",
    kinds=VALUED,
    shares={arena: Share((bins.NULLS[arena],), bins.WIDTHS[arena]) for arena in (Arena.VALUES, Arena.LOGS)},
)
"""Missing values of all values."""

INVALID_RATE: Final = RateDetector(
    name="invalid_rate",
    kinds=VALUED | {Kind.YES_NO},
    shares={arena: Share(bins.INVALIDS[arena], bins.WIDTHS[arena]) for arena in Arena},
)
"""Values that are not finite or of the wrong type, of all values."""

UNSEEN_RATE: Final = RateDetector(
    name="unseen_rate",
    kinds=frozenset({Kind.CATEGORICAL}),
    shares={Arena.VALUES: Share((bins.UNSEEN,), bins.VALUE_BINS)},
    needs_reference=True,
)
"""Categories that the reference never saw, of all categories; nulls are left out."""

OUT_OF_RANGE_RATE: Final = RateDetector(
    name="out_of_range_rate",
    kinds=frozenset({Kind.NUMERIC}),
    shares={Arena.VALUES: Share((bins.BELOW, bins.ABOVE), bins.VALUE_BINS)},
    needs_reference=True,
)
"""Values below or above the range seen in the reference, of all finite values."""

YES_RATE: Final = RateDetector(
    name="yes_rate",
    kinds=frozenset({Kind.YES_NO}),
    shares={Arena.FLAGS: Share((bins.YES,), bins.VALUE_SPANS[Arena.FLAGS])},
)
"""Yes of yes and no; "not checked" is never in the denominator."""
