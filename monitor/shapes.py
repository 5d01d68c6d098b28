"""Parts of a reference out of what others have kept of a column: a histogram, a curve of ranks, counts of names.

What such a profile does not tell is not made up: between two values whose ranks are known, where the values lie is not,
so all that judges (groups and classes) keeps to those values, and never tells two bins apart that lie between them. The
values of such a cell are spread evenly over its bins, for people to look at.

* Histograms of even bins are taken over exactly: a grid is laid whose bins divide theirs.
* Other edges, and ranks, are moved to the nearest edge of a grid like any other, and their ranks with them, along the
  monotone cubic through what is known (Fritsch and Carlson, 1980). How far that is from a straight line is taken for
  its error.
* Where ranks are not exact, counts are those of a sample that would know them as well: of 0.25 / error^2 values, since
  the share of half of n values has the variance 0.25 / n. So all that goes by the size of a reference goes by that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from monitor.bins import (
    ARENA_OF,
    CATEGORIES_MAX,
    NO,
    NULLS,
    NUMERIC_INNER,
    OTHER,
    UNCHECKED,
    UNSEEN,
    VALUE_BINS,
    VALUE_SPANS,
    WIDTHS,
    YES,
    log_edges,
    scaled,
    squash,
)
from monitor.categories import CATEGORY_CHARS_MAX
from monitor.domain import CountArray, FloatArray, IntArray, Kind
from monitor.fields import EXPONENTS, FEATURE_PREFIX, FIELDS, PREDICTION
from monitor.probes import place_grid
from monitor.references import Grid, StreamReference, categorical_groups, numeric_groups
from monitor.sequential.normal import Normal
from monitor.sequential.scores import classes_by_value

VALUES_MIN: Final = 30
"""As everywhere: a numeric stream with fewer values gets no grid."""
EVEN: Final = 1e-6
"""Bins whose widths differ by less than this share of them are even: histograms are told in some ten digits."""
SPARE_BINS: Final = 2
"""Inner bins of a grid beside those of a histogram: its greatest value, which is on its last edge, is in one."""
FLATNESS: Final = 2.0**20
"""Widths of an even grid in its range: there the squashed scale is straight to 2^-41 of its width."""
STRAIGHT: Final = 2.0**-41
DECIMALS: Final = 7
"""Of places on a scale whose bins are some hundredths wide."""
ATOM_WIDTH: Final = 1e-8
"""How steeply a curve climbs at a value that holds a share by itself."""
TRUTHS: Final = {"true": YES, "True": YES, "1": YES, "false": NO, "False": NO, "0": NO}


@dataclass(frozen=True, slots=True)
class Bars:
    """A histogram: counts of the values from each edge (inclusive) to the next; edges of shape (B + 1,), ascending."""

    edges: FloatArray
    counts: FloatArray
    nulls: int = 0


@dataclass(frozen=True, slots=True)
class Ranks:
    """What share of a column's values lies at or below some values; both of shape (Q,), ascending, the ends 0 and 1.

    samples: how many values there were. error: standard error of a share.
    """

    values: FloatArray
    shares: FloatArray
    samples: int
    nulls: int = 0
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Names:
    """How often each name was seen. rest: values of names that are not told."""

    counts: Mapping[str, int]
    rest: int = 0
    nulls: int = 0


Column = Bars | Ranks | Names


class Cells(NamedTuple):
    """Stretches of value that are told apart. of_bin: shape (bins,), the cell of each; mass: shape (cells,), shares."""

    of_bin: IntArray
    mass: FloatArray


def stream_of(name: str, column: Column) -> StreamReference | None:
    """Give a column's part of a reference; None where it holds too little to be one.

    name: of a field of events (latency_s, prediction, ...), or of a feature. Raises ValueError where the field can't be
    of such values.
    """
    field = name if name in FIELDS or name == PREDICTION else FEATURE_PREFIX + name
    kind = FIELDS.get(name)
    if isinstance(column, Names):
        if kind is Kind.YES_NO:
            return _yes_no(field, column)
        if kind not in (None, Kind.CATEGORICAL):
            raise ValueError(f"{name} must be numbers, and the profile has names")
        return _categorical(field, column)
    if kind not in (None, Kind.NUMERIC, Kind.LOG):
        raise ValueError(f"{name} must be {kind}, and the profile has numbers")
    ranks = _ranks(column) if isinstance(column, Bars) else column
    if ranks is None or ranks.samples < VALUES_MIN:
        return None
    if kind is Kind.LOG:
        return _log(field, ranks)
    return _even(field, column) if isinstance(column, Bars) and _is_even(column.edges) else _numeric(field, ranks)


# ---- names


def _yes_no(field: str, column: Names) -> StreamReference | None:
    counts = np.zeros(WIDTHS[ARENA_OF[Kind.YES_NO]], dtype=np.uint32)
    for name, count in column.counts.items():
        if name not in TRUTHS:
            raise ValueError(f"{field} must be yes or no, found {name[:40]!r}")
        counts[TRUTHS[name]] += count
    counts[UNCHECKED] = column.nulls
    return StreamReference(field, "", Kind.YES_NO, counts, np.empty(0, dtype=np.int8)) if counts[:2].any() else None


def _categorical(field: str, column: Names) -> StreamReference | None:
    short = {name: count for name, count in column.counts.items() if len(name) <= CATEGORY_CHARS_MAX and count > 0}
    common = sorted(short, key=lambda name: (-short[name], name))[:CATEGORIES_MAX]
    names = tuple(sorted(common))
    counts = np.zeros(WIDTHS[ARENA_OF[Kind.CATEGORICAL]], dtype=np.uint32)
    counts[: len(names)] = [short[name] for name in names]
    counts[OTHER] = column.rest + sum(column.counts.values()) - int(counts[: len(names)].sum())
    counts[NULLS[ARENA_OF[Kind.CATEGORICAL]]] = column.nulls
    if not counts[:UNSEEN].any():
        return None
    groups, is_complete = categorical_groups(counts, len(names)), not counts[OTHER]
    return StreamReference(field, "", Kind.CATEGORICAL, counts, groups, categories=names, is_complete=is_complete)


# ---- numbers


def _is_even(edges: FloatArray) -> bool:
    widths = np.diff(edges)
    return bool(np.all(np.abs(widths - widths.mean()) <= EVEN * widths.mean() + 1e-12 * np.abs(edges).max()))


def _even(field: str, column: Bars) -> StreamReference:
    """Take over a histogram of even bins as it is; of more than fit, some neighbours together."""
    room = NUMERIC_INNER - SPARE_BINS
    merged = -(-len(column.counts) // room)
    mass = np.add.reduceat(column.counts, np.arange(0, len(column.counts), merged))
    each = room // len(mass)  # bins of the grid for one of the histogram
    low, span = float(column.edges[0]), float(column.edges[-1] - column.edges[0]) / len(column.counts) * merged
    width, before = span * len(mass) * FLATNESS, (NUMERIC_INNER - each * len(mass)) // 2
    centre, step = low + span * len(mass) / 2, span / each / width
    grid = Grid(centre, width, (low - centre) / width - before * step - STRAIGHT, step)
    inner = np.clip((np.arange(NUMERIC_INNER) - before) // each, 0, len(mass) - 1)
    total = int(column.counts.sum())
    cells = Cells(np.concatenate([[0], inner, [len(mass) - 1]]), mass / total)
    has_mass = np.concatenate([[False], (np.arange(NUMERIC_INNER) - before) // each == inner, [False]])
    return _in_values(field, grid, (cells, has_mass), (total, column.nulls))


def _ranks(column: Bars) -> Ranks | None:
    """Give what a histogram tells of ranks, without the empty bins at its ends."""
    held = np.flatnonzero(column.counts)
    if not held.size:
        return None
    part = slice(held[0], held[-1] + 1)
    shares = np.concatenate([[0.0], np.cumsum(column.counts[part])])
    values = column.edges[held[0] : held[-1] + 2]
    return Ranks(values, shares / shares[-1], int(shares[-1]), column.nulls)


def _numeric(field: str, ranks: Ranks) -> StreamReference:
    grid = place_grid(np.interp(np.linspace(0.0, 1.0, 257), ranks.shares, ranks.values))
    places = squash(scaled(ranks.values.copy(), grid.centre, grid.width))
    edges = grid.low + grid.step * np.arange(NUMERIC_INNER + 1, dtype=np.float64)
    cells, error = _snapped(ranks, places, edges.astype(np.float64))
    return _in_values(field, grid, (cells, np.ones(VALUE_BINS, dtype=bool)), _sizes(ranks, error))


def _log(field: str, ranks: Ranks) -> StreamReference:
    if ranks.values[0] < 0:
        raise ValueError(f"{field} has negative values")
    arena, exponent = ARENA_OF[Kind.LOG], EXPONENTS[field]
    edges = log_edges(exponent)
    cells, error = _snapped(ranks, np.log2(np.maximum(ranks.values, edges[0] / 2)), np.log2(edges))
    samples, nulls = _sizes(ranks, error)
    counts = np.zeros(WIDTHS[arena], dtype=np.uint32)
    counts[: VALUE_SPANS[arena]] = _spread(cells, np.ones(VALUE_SPANS[arena], dtype=bool), samples)
    counts[NULLS[arena]] = nulls
    normal, none = Normal(_classes(cells, samples)), np.empty(0, dtype=np.int8)
    cells_known = len(cells.mass)
    return StreamReference(field, "", Kind.LOG, counts, none, exponent=exponent, normal=normal, cells_known=cells_known)


def _snapped(ranks: Ranks, places: FloatArray, edges: FloatArray) -> tuple[Cells, float]:
    """Give the cells between the edges that are nearest to the known values, and the standard error of their ranks.

    places: of the known values, shape (Q,). edges: shape (E,), the inner edges of E + 1 bins. Both on the scale on
    which bins are about even. A value that holds a share by itself (it has several ranks) stays between the edges
    beside it, and so do the least and the greatest.
    """
    from scipy.interpolate import PchipInterpolator  # noqa: PLC0415 - half a second, and only where one is imported

    values, first = np.unique(np.round(places, DECIMALS), return_index=True)
    last = np.append(first[1:], len(places)) - 1
    below, above = ranks.shares[first], ranks.shares[last]
    left = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 1)
    right = np.minimum(left + 1, len(edges) - 1)
    is_plain = first == last
    is_plain[[0, -1]] = False
    points = np.stack([values - np.where(is_plain, 0.0, ATOM_WIDTH), values], axis=1).ravel()
    kept = np.stack([~is_plain, np.ones(len(values), dtype=bool)], axis=1).ravel()
    points, shares = points[kept], np.stack([below, above], axis=1).ravel()[kept]
    nearest = np.clip(np.searchsorted((edges[:-1] + edges[1:]) / 2, values[is_plain]), 0, len(edges) - 1)
    at = np.unique(np.concatenate([left[~is_plain], right[~is_plain], nearest]))
    # An edge may be the value itself, whose share is above it.
    is_atom = np.isin(np.round(edges[at], DECIMALS), values[~is_plain])
    asked = np.clip(edges[at] - np.where(is_atom, 2 * ATOM_WIDTH, 0.0), points[0], points[-1])
    known, straight = PchipInterpolator(points, shares)(asked), np.interp(asked, points, shares)
    mass = np.diff(np.concatenate([[0.0], np.maximum.accumulate(known), [1.0]]))
    of_bin = np.searchsorted(at, np.arange(len(edges) + 1), side="left")
    between = float(np.abs(known - straight).max())
    return Cells(of_bin, mass), float(np.linalg.norm([ranks.error, between, _unknown(ranks.shares, first, last)]))


def _unknown(shares: FloatArray, first: IntArray, last: IntArray) -> float:
    """Give the standard error of what a value with several ranks holds: where it begins and ends, no rank may tell.

    first, last: of the ranks of each distinct value. Each of its ends is anywhere between two known ranks.
    """
    is_atom = first < last
    before = shares[first] - shares[np.maximum(first - 1, 0)]
    after = shares[np.minimum(last + 1, len(shares) - 1)] - shares[last]
    return float(np.maximum(before, after)[is_atom].max(initial=0.0) / np.sqrt(12.0))


def _sizes(ranks: Ranks, error: float) -> tuple[int, int]:
    """Give how many values would know the ranks as well, and how many nulls go with so many."""
    samples = ranks.samples if error == 0.0 else max(VALUES_MIN, min(ranks.samples, int(0.25 / error**2)))
    return samples, round(ranks.nulls * samples / ranks.samples)


def _in_values(field: str, grid: Grid, told: tuple[Cells, CountArray], sizes: tuple[int, int]) -> StreamReference:
    (cells, has_mass), (samples, nulls) = told, sizes
    arena = ARENA_OF[Kind.NUMERIC]
    counts = np.zeros(WIDTHS[arena], dtype=np.uint32)
    counts[:VALUE_BINS] = _spread(cells, has_mass, samples)
    lumped = np.zeros_like(counts)  # all of a cell in its last bin: the bins before have none, so they are of its group
    last = np.searchsorted(cells.of_bin, np.arange(len(cells.mass)), side="right") - 1
    lumped[last] = np.bincount(cells.of_bin, weights=counts[:VALUE_BINS], minlength=len(cells.mass))
    counts[NULLS[arena]] = nulls
    return StreamReference(
        field=field,
        segment="",
        kind=Kind.NUMERIC,
        counts=counts,
        groups=numeric_groups(lumped),
        grid=grid,
        normal=Normal(_classes(cells, samples)),
        cells_known=len(cells.mass),
    )


def _classes(cells: Cells, samples: int) -> np.typing.NDArray[np.uint8]:
    mass = np.rint(cells.mass * samples).astype(np.uint32)
    classes: np.typing.NDArray[np.uint8] = classes_by_value(mass[None, :])[0][cells.of_bin]
    return classes


def _spread(cells: Cells, has_mass: CountArray, samples: int) -> CountArray:
    """Spread the mass of each cell evenly over its bins, as whole numbers that sum to `samples`; shape (bins,)."""
    bins = np.bincount(cells.of_bin, weights=has_mass, minlength=len(cells.mass))
    until = np.cumsum(np.where(has_mass, (cells.mass / np.maximum(bins, 1))[cells.of_bin], 0.0))
    whole: CountArray = np.diff(np.rint(until / until[-1] * samples), prepend=0.0).astype(np.uint32)
    return whole
