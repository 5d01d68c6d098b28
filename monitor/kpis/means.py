"""Means and quantiles of amounts (errors, losses, cost, tokens, seconds), read off their counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from monitor.bins import ABOVE, BELOW, numeric_edges
from monitor.detectors.mean import BIN_ERROR
from monitor.domain import FloatArray, Kind
from monitor.kpis.base import UNKNOWN, Cell, Estimate, StreamCounts, log_counts_of
from monitor.kpis.limits import mapped, mean_limits, moments_of, quantile_ranks, scaled, share_limits


def log_mean_of(cell: Cell, field: str, alpha: float, ceiling: float = math.inf) -> Estimate:
    """Give the mean of a LOG stream, in its unit.

    Each value is told within 1 %, so the mean of the sample lies within 1 % of the one told, and the ends of the
    interval (limits.mean_limits) are 1 % further out. Values below the grid count as 0; high allows for their size.
    Values above it are understated, and high is then the ceiling: the largest value there can be, infinite if unknown.
    A sample of zeros alone: high is the ceiling times the most that can be more than 0, 1 - (alpha/2)^(1/n).
    """
    values, counts = log_counts_of(cell, field)
    moments = moments_of(np.minimum(values, ceiling), counts)
    samples = int(moments.samples)
    if samples == 0:
        return UNKNOWN
    if moments.mean == 0.0:
        return Estimate(0.0, 0.0, ceiling * share_limits(0.0, moments.samples, alpha)[1], samples)
    low, high = mean_limits(moments, alpha)
    smallest = cell[field].exponent
    high = high * (1.0 + BIN_ERROR) + math.ldexp(counts[0] / moments.samples, smallest)
    high = ceiling if counts[-1] > 0.0 else min(high, ceiling)
    return Estimate(moments.mean, max(low, 0.0) * (1.0 - BIN_ERROR), max(high, moments.mean), samples)


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean of a LOG stream, `per` times: cost_usd per 1,000 is per=1000. Formula, guarantee and source: log_mean_of.

    unit: that of the field times `per`. ceiling: the largest value that the field can have, if there is one.
    """

    name: str
    unit: str
    field: str
    per: float = 1.0
    ceiling: float = math.inf
    is_higher_better: bool | None = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the mean; unknown without values."""
        return scaled(log_mean_of(cell, self.field, alpha, self.ceiling), self.per)


@dataclass(frozen=True, slots=True)
class RootMeanSquare:
    """sqrt(mean of squares) of a LOG stream of squares: RMSE, in the label's unit.

    The interval is that of the mean of squares, its ends' roots, so the grid adds 0.5 %. Guarantee, source: Mean.
    """

    name: str
    unit: str
    field: str
    is_higher_better: bool | None = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the root; unknown without values."""
        return mapped(log_mean_of(cell, self.field, alpha), math.sqrt)


@dataclass(frozen=True, slots=True)
class SignedMean:
    """Mean of a signed amount that was counted by its positive and negative parts: bias = mean(p - y), label's unit.

    Both streams count every row, one of the two with 0, so the signed values are known as well as their sizes, with
    all moments. The grid adds 1 % of mean |p - y| to either side. Guarantee, source: limits.mean_limits.
    """

    name: str
    unit: str
    positive: str
    negative: str
    is_higher_better: bool | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Give both fields."""
        return (self.positive, self.negative)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the mean; unknown without values of both. An end is infinite where a value lies beyond the grid."""
        (up, ups), (down, downs) = (log_counts_of(cell, field) for field in self.fields)
        if not (ups.sum() > 0.0 and downs.sum() > 0.0):
            return UNKNOWN
        rows = max(ups.sum(), downs.sum())
        nothing = max(rows - ups[1:].sum() - downs[1:].sum(), 0.0)
        values = np.concatenate([up[1:], -down[1:], [0.0]])
        counts = np.concatenate([ups[1:], downs[1:], [nothing]])
        moments = moments_of(values, counts)
        low, high = mean_limits(moments, alpha)
        slack = BIN_ERROR * float(counts @ np.abs(values)) / moments.samples
        slack += max(math.ldexp(1.0, cell[field].exponent) for field in self.fields) * nothing / moments.samples
        low = -math.inf if downs[-1] > 0.0 else low - slack
        high = math.inf if ups[-1] > 0.0 else high + slack
        return Estimate(moments.mean, low, high, int(moments.samples))


def numeric_mean_of(stream: StreamCounts, alpha: float) -> Estimate:
    """Give the mean of a NUMERIC stream, in its unit, each value taken for the middle of its bin.

    The ends of the interval (limits.mean_limits) are the mean half width of the bins further out, so it holds wherever
    the values lie in their bins. Infinite on the side where a value fell outside of the grid. Unknown without a grid.
    """
    if stream.grid is None or stream.samples() == 0:
        return UNKNOWN
    place = (stream.grid.centre, stream.grid.width, stream.grid.low, stream.grid.step)
    edges = numeric_edges(*(np.array([x]) for x in place))[0]
    middles: FloatArray = np.concatenate([edges[:1], (edges[:-1] + edges[1:]) / 2.0, edges[-1:]])
    halves: FloatArray = np.concatenate([[0.0], np.diff(edges) / 2.0, [0.0]])
    counts = stream.valued().astype(np.float64)
    moments = moments_of(middles, counts)
    low, high = mean_limits(moments, alpha)
    slack = float(counts @ halves) / moments.samples
    low = -math.inf if counts[BELOW] > 0.0 else low - slack
    high = math.inf if counts[ABOVE] > 0.0 else high + slack
    return Estimate(moments.mean, low, high, int(moments.samples))


@dataclass(frozen=True, slots=True)
class Quantile:
    """The value that a share `quantile` of a LOG stream does not exceed, in the stream's unit.

    Value: of the bin that holds the ceil(n q)-th smallest, within 1 % of it. Interval: between the values at
    limits.quantile_ranks, free of distribution; 1 % further out for the grid. 0, or infinite, where there are too few
    values for such a rank (a p99 at 0.05: fewer than 368), or the value lies beyond the grid. Guarantee, source: there.
    """

    name: str
    unit: str
    field: str
    quantile: float
    is_higher_better: bool | None = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the quantile; unknown without values."""
        stream = cell.get(self.field)
        if stream is None or stream.kind is not Kind.LOG or stream.samples() == 0:
            return UNKNOWN
        values, _ = log_counts_of(cell, self.field)
        until = np.cumsum(stream.valued())
        samples = int(until[-1])
        first, last = quantile_ranks(samples, self.quantile, alpha)
        middle = max(math.ceil(samples * self.quantile - 1e-9), 1)
        value, low, high = (
            float(values[min(int(np.searchsorted(until, rank)), len(values) - 1)]) for rank in (middle, first, last)
        )
        low = low * (1.0 - BIN_ERROR) if first >= 1 else 0.0
        high = max(high, math.ldexp(1.0, stream.exponent))  # where values below the grid may end
        is_bounded = last <= samples - int(stream.valued()[-1])
        return Estimate(value, low, high * (1.0 + BIN_ERROR) if is_bounded else math.inf, samples)
