"""What a KPI is: counts of one model version, segment and stretch of time, turned into an estimate with its interval.

A KPI holds no state and no clock. It sees a cell: the counts of streams by field. Counts add up exactly, so a KPI of a
week is that of the added counts of its days, and never a mean of the days' KPIs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

import numpy as np

from monitor.bins import ABOVE, ARENA_OF, BELOW, NO, NUMERIC_INNER, VALUE_SPANS, YES, numeric_edges
from monitor.detectors.log_counts import VALUES as LOG_VALUES
from monitor.domain import FloatArray, IntArray, Kind
from monitor.references import Grid

_UNIT_WIDTH: Final = 2.0**60
_UNIT_MARGIN: Final = 2.0**-40
UNIT_GRID: Final = Grid(
    centre=0.5,
    width=_UNIT_WIDTH,
    low=-0.5 * (1.0 + _UNIT_MARGIN) / _UNIT_WIDTH,
    step=(1.0 + _UNIT_MARGIN) / _UNIT_WIDTH / NUMERIC_INNER,
)
"""57 equal bins on [0, 1], for scores: the first and last inner bin hold 0 and 1, what lies outside is BELOW or ABOVE.

The width is so great that u / (1 + |u|) is u to the last bit, so the bins are equal; the margin, half of 2**-40 of the
range at either end, keeps 0 and 1 inside. An edge lies within 1e-12 of its multiple of 1/57.
"""
UNIT_VALUES: Final[FloatArray] = (np.arange(NUMERIC_INNER) + 0.5) / NUMERIC_INNER
"""The middle of each of the 57 bins, shape (57,): within UNIT_ERROR of every score in it."""
UNIT_ERROR: Final = 0.5 / NUMERIC_INNER


class Estimate(NamedTuple):
    """A value and the interval that holds the true one, NaN where unknown. samples: how many events it rests on.

    An end is infinite where nothing bounds it: a ratio over what has not been seen, values beyond a grid's end.
    """

    value: float
    low: float
    high: float
    samples: int


UNKNOWN: Final = Estimate(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True, slots=True, eq=False)
class StreamCounts:
    """What was counted of one stream. Nothing here may be changed.

    counts: shape (width of its arena,); see monitor.bins. grid: numeric streams. exponent: LOG streams, whose grid
    starts at 2**exponent. categories: categorical streams, in bin order.
    """

    kind: Kind
    counts: IntArray
    grid: Grid | None = None
    exponent: int = 0
    categories: tuple[str, ...] = ()

    def valued(self) -> IntArray:
        """Give the counts of the bins that hold values; null, invalid and not checked are left out."""
        return self.counts[: VALUE_SPANS[ARENA_OF[self.kind]]]

    def samples(self) -> int:
        """Give the number of values."""
        return int(self.valued().sum())

    def __add__(self, other: StreamCounts) -> StreamCounts:
        """Give the counts of both; they are of one stream, so of one kind, grid and categories."""
        if (self.kind, self.grid, self.exponent, self.categories) != (
            other.kind,
            other.grid,
            other.exponent,
            other.categories,
        ):
            raise ValueError("counts of different bins do not add up")
        return replace(self, counts=self.counts + other.counts)


Cell = Mapping[str, StreamCounts]
"""By field: one model version, one segment, one stretch of time."""


class Indicator(Protocol):
    """What all indicators tell of themselves."""

    # Properties, so that a frozen dataclass may be a KPI: nobody assigns to them.
    @property
    def name(self) -> str:
        """Give the key in the registry, and the name in rules, metrics and reports."""
        ...

    @property
    def unit(self) -> str:
        """Give the unit of the value: "ratio" for 0 to 1, "usd", "s", "nats", "count", ..."""
        ...

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the fields that it reads; unknown without them."""
        ...

    @property
    def is_higher_better(self) -> bool | None:
        """Tell which way is better; None where neither is, or it depends on the use."""
        ...


class Kpi(Indicator, Protocol):
    """One indicator of one cell."""

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the value and an interval that holds the true one with probability 1 - alpha; never raises on data.

        alpha: chance of missing, above 0 and below 1, both sides together.
        """
        ...


class KpiAcross(Indicator, Protocol):
    """One indicator that compares the cells of one model version's segments."""

    def estimate_across(self, cells: Mapping[str, Cell], alpha: float) -> Estimate:
        """Give the value over cells by segment, with an interval for all comparisons together; unknown below two."""
        ...


class KpiAgainst(Indicator, Protocol):
    """One indicator of one cell beside that of its reference, which says what is usual."""

    def estimate_against(self, usual: Cell, now: Cell, alpha: float) -> Estimate:
        """Give the value of `now`, with its interval; unknown where `usual`, the reference, does not hold enough."""
        ...


def flags_of(cell: Cell, field: str) -> tuple[int, int]:
    """Give yes, and yes and no together, of a yes/no stream; zeros where there is none of that kind."""
    stream = cell.get(field)
    if stream is None or stream.kind is not Kind.YES_NO:
        return 0, 0
    yes = int(stream.counts[YES])
    return yes, yes + int(stream.counts[NO])


def log_counts_of(cell: Cell, field: str) -> tuple[FloatArray, FloatArray]:
    """Give the value of each value bin of a LOG stream and how often it came; two empty arrays where there is none.

    The first bin holds values below the grid (told as 0), the last those above it (told as its end).
    """
    stream = cell.get(field)
    if stream is None or stream.kind is not Kind.LOG:
        return np.zeros(0), np.zeros(0)
    return np.ldexp(LOG_VALUES, stream.exponent), stream.valued().astype(np.float64)


def unit_counts_of(cell: Cell, field: str) -> FloatArray:
    """Give how often a score fell into each of the 57 bins of [0, 1]; zeros where there is none.

    A stream on another grid is spread over them: a bin's scores are taken to lie evenly in it, those below and above
    the grid's range between its ends and 0 or 1. Each is then told within one bin of its own grid.
    """
    stream = cell.get(field)
    if stream is None or stream.kind is not Kind.NUMERIC or stream.grid is None:
        return np.zeros(NUMERIC_INNER)
    counts = stream.valued().astype(np.float64)
    if stream.grid == UNIT_GRID:
        inner = counts[BELOW + 1 : ABOVE]
        inner[0] += counts[BELOW]
        inner[-1] += counts[ABOVE]
        return inner
    place = (stream.grid.centre, stream.grid.width, stream.grid.low, stream.grid.step)
    edges = np.clip(numeric_edges(*(np.array([x]) for x in place))[0], 0.0, 1.0)
    return _spread(counts, np.concatenate([[0.0], edges, [1.0]]))


def _spread(counts: FloatArray, edges: FloatArray) -> FloatArray:
    """Give the counts of bins between `edges` (ascending, within 0 to 1) as counts of the 57 bins of [0, 1]."""
    targets = np.linspace(0.0, 1.0, NUMERIC_INNER + 1)
    low, high = edges[:-1, None], edges[1:, None]
    overlap = np.minimum(high, targets[1:]) - np.maximum(low, targets[:-1])
    width = high - low
    # A bin of no width is a point: all of it goes where the point is.
    point = np.minimum((low * NUMERIC_INNER).astype(np.int64), NUMERIC_INNER - 1) == np.arange(NUMERIC_INNER)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(width > 0.0, np.maximum(overlap, 0.0) / width, point)
    spread: FloatArray = counts @ share
    return spread
