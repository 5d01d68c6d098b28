"""Learned tails: how many points as large as this one are to be expected among those remembered.

Each view of a series has a histogram of the sizes seen (quarter octaves, forgotten exponentially). Up to the point that
a hundredth of them exceed, it speaks for itself. Beyond, the log of the size is taken as exponential (a Pareto tail,
Hill), with its mean excess estimated from the body of the tail: what lies more than two octaves out counts as
"at least two octaves" (the maximum-likelihood estimate under censoring), so that a few outliers don't widen the tail
that is to judge the next one.

    log expected = log c - c log(1 + log(size / u) / (c xi))      c: points remembered at or above u, for size >= u
    xi = sum of min(log(size / u), log 4) over those c, over how many of them are within log 4

The first line is log c - log(size / u) / xi with the error of xi in it (the predictive distribution of an exponential
learned from c points): ten points can't vouch for a tail as five hundred can.

Why expected counts and not probabilities: with M points remembered, an alarm at "fewer than one expected among M" has
the multiplicity of M looks in it, whatever the length of a step or the age of the series.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.domain import FloatArray, IntArray

MEMORY: Final = 50_000
"""Points after which a size counts 1/e; also how far the usual sizes of `scales` look back."""
BINS: Final = 96
PER_OCTAVE: Final = 4
LEAST: Final = 2.0**-4
"""Size where the second bin begins, in usual sizes. The last bin begins at 2^19.75."""
TAIL_SHARE: Final = 0.01
TAIL_LEAST: Final = 10.0
"""Points that make a tail, at least: fewer and its index would be noise."""
CENSOR_BINS: Final = 2 * PER_OCTAVE
SHAPE_LEAST: Final = 0.03
"""Least mean log excess: a thirtieth of an e-fold is less than a bin, where the histogram can't tell."""
PRIOR_POINTS: Final = 100.0
PRIOR_SHAPE: Final = 0.2
"""Every tail begins as this many points of a generalised Pareto tail of this shape: between exponential and Cauchy."""
REFRESH: Final = 8
"""Points of a series between two estimates of its tails, to save time; its histogram is always up to date."""
KEPT: Final = ("_counts", "_remembered", "_from", "_per_bin", "_count", "_log_count")
"""All that is known of a series: arrays by series."""


class Tails:
    """The tails of all views of all series. Cost: O(views) per point, O(views x 96) each eighth; 4 kB for ten views."""

    def __init__(self, series: int, views: int) -> None:
        self._counts = np.empty((series, views, BINS), dtype=np.float32)
        self._counts[:] = _prior()
        self._remembered = np.zeros(series)
        self._from = np.zeros((series, views))
        self._per_bin = np.zeros((series, views))
        self._count = np.zeros((series, views))
        self._log_count = np.zeros((series, views))
        self._views = np.arange(views)
        self.refresh(np.arange(series))

    def surprise(self, rows: IntArray, positions: FloatArray, least: FloatArray) -> FloatArray:
        """Give -log of the expected count, for the most surprising view; positions: (n, views).

        least: points to expect it among, shape (n,), where fewer are remembered; at most `MEMORY`. Within the body of
        the histogram, where nothing can be surprising, it is -infinity.
        """
        beyond = positions - self._from[rows]
        count = self._count[rows]
        # log1p is of no negative number: what lies below the tail is replaced in the end.
        surprise = count * np.log1p(np.maximum(beyond, 0.0) * self._per_bin[rows]) - self._log_count[rows]
        surprise[beyond <= 0.0] = -np.inf
        among = np.minimum(least, MEMORY) / self._remembered[rows]
        return np.asarray(surprise.max(axis=1) - np.log(np.maximum(among, 1.0)))

    def learn(self, rows: IntArray, positions: FloatArray, weight: FloatArray) -> None:
        """Add sizes, by their positions, to the histograms; rows are distinct."""
        self._counts[rows[:, None], self._views, positions.astype(np.intp)] += weight[:, None]

    def refresh(self, rows: IntArray) -> None:
        """Forget for `REFRESH` points, and estimate the tails anew."""
        counts = self._counts[rows] * np.float32(1.0 - REFRESH / MEMORY)
        self._counts[rows] = counts
        above = np.zeros((*counts.shape[:2], BINS + CENSOR_BINS + 1))
        above[..., :BINS] = np.cumsum(counts[..., ::-1], axis=2, dtype=np.float64)[..., ::-1]
        self._remembered[rows] = above[:, 0, 0]
        needed = np.maximum(TAIL_LEAST, TAIL_SHARE * above[..., :1])
        first = (above >= needed).sum(axis=2) - 1
        steps = np.take_along_axis(above, first[..., None] + np.arange(CENSOR_BINS + 1), axis=2)
        count, censored = steps[..., 0], steps[..., -1]
        # Summing how many are above each further bin sums how many bins each is above the first.
        seen = np.maximum(count - censored, np.finfo(np.float64).tiny)
        excess_bins = (steps[..., 1:].sum(axis=2) + 0.5 * seen) / seen
        shape = np.maximum(SHAPE_LEAST, excess_bins * (np.log(2.0) / PER_OCTAVE))
        self._from[rows] = first
        self._per_bin[rows] = np.log(2.0) / PER_OCTAVE / (shape * count)
        self._count[rows], self._log_count[rows] = count, np.log(count)


def positions_of(sizes: FloatArray) -> FloatArray:
    """Give sizes, at least 0, as positions on the axis of the histograms, in bins, within it."""
    position = np.log2(np.maximum(sizes, LEAST))
    position -= np.log2(LEAST)
    position *= PER_OCTAVE
    return np.asarray(np.minimum(position, BINS - 0.001))


def _prior() -> FloatArray:
    edges = LEAST * 2.0 ** (np.arange(BINS + 1) / PER_OCTAVE)
    above = (1.0 + PRIOR_SHAPE * edges) ** (-1.0 / PRIOR_SHAPE)
    above[0] = 1.0
    return np.asarray(PRIOR_POINTS * -np.diff(above))
