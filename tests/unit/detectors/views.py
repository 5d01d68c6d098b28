"""Small views for tests of detectors: say what matters, the rest is harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.bins import ARENA_OF, WIDTHS, Arena
from monitor.detectors.base import View
from monitor.domain import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from monitor.domain import CountArray, FloatArray


SPAN_S = 60.0


def view_of(counts: CountArray, reference: CountArray | None = None, **changes: object) -> View:
    """Give a view of whole rows of counts; every other field may be set by name."""
    size = len(counts)
    unknown = np.full(size, np.nan)
    fields: dict[str, object] = {
        "counts": counts,
        "reference": np.zeros_like(counts) if reference is None else reference,
        "grouped": np.zeros((size, 1)),
        "reference_grouped": np.zeros((size, 1)),
        "edges": np.full((size, 2), np.nan),
        "groups_used": np.zeros(size, dtype=np.int64),
        "scale": unknown,
        "low": unknown,
        "span_s": SPAN_S,
        "rate_per_s": unknown,
        "silence_s": np.zeros(size),
    }
    return View(**{**fields, **changes})  # type: ignore[arg-type] # a builder for tests: names are checked by View


def grouped_view(
    window: npt.ArrayLike, reference: npt.ArrayLike, edges: npt.ArrayLike | None = None, **changes: object
) -> View:
    """Give a view of grouped counts, all groups used; edges default to 0, 1, 2, ... and the scale to 1."""
    grouped = np.asarray(window, dtype=np.float64)
    size, groups = grouped.shape
    fields: dict[str, object] = {
        "grouped": grouped,
        "reference_grouped": np.asarray(reference, dtype=np.float64),
        "edges": np.tile(np.arange(groups + 1.0), (size, 1)) if edges is None else np.asarray(edges, dtype=np.float64),
        "groups_used": np.full(size, groups, dtype=np.int64),
        "scale": np.ones(size),
    }
    return view_of(np.zeros((size, WIDTHS[Arena.VALUES]), dtype=np.uint32), **{**fields, **changes})  # type: ignore[arg-type] # see view_of


def bins_view(kind: Kind, rows: Sequence[Mapping[int, int]], reference: Sequence[Mapping[int, int]] = ()) -> View:
    """Give a view of rows written as bin -> count; logarithmic grids start at 1."""
    width = WIDTHS[ARENA_OF[kind]]
    empty: Sequence[Mapping[int, int]] = [{}] * len(rows)
    low = np.full(len(rows), 1.0 if kind is Kind.LOG else np.nan)
    return view_of(_rows(rows, width), _rows(reference or empty, width), low=low)


def busy_view(kind: Kind, rows: int, seed: int = 7) -> View:
    """Give a view with something in every field, some rows empty, some without a reference."""
    random = np.random.default_rng(seed)
    width = WIDTHS[ARENA_OF[kind]]
    counts = random.poisson(3.0, (rows, width)).astype(np.uint32)
    reference = random.poisson(9.0, (rows, width)).astype(np.uint32)
    grouped = random.poisson(30.0, (rows, 6)).astype(np.float64)
    reference_grouped = random.poisson(90.0, (rows, 6)).astype(np.float64)
    groups_used = random.integers(0, 7, rows)
    unused = np.arange(6) >= groups_used[:, None]
    grouped[unused] = reference_grouped[unused] = 0.0
    for array in (counts, grouped):
        array[1::5] = 0
    for array in (reference, reference_grouped):
        array[2::5] = 0
    is_numeric = kind is Kind.NUMERIC
    edges = np.cumsum(random.exponential(1.0, (rows, 7)), axis=1) if is_numeric else np.full((rows, 7), np.nan)
    rate = random.exponential(5.0, rows)
    rate[2::5] = np.nan
    return view_of(
        counts,
        reference,
        grouped=grouped,
        reference_grouped=reference_grouped,
        edges=edges,
        groups_used=groups_used,
        scale=random.exponential(1.0, rows) if is_numeric else np.full(rows, np.nan),
        low=np.ldexp(1.0, random.integers(-20, 5, rows)) if kind is Kind.LOG else np.full(rows, np.nan),
        rate_per_s=rate,
        silence_s=random.exponential(30.0, rows),
    )


def at(threshold: float, view: View) -> FloatArray:
    """Give one threshold for every row."""
    return np.full(len(view.counts), threshold)


def _rows(rows: Sequence[Mapping[int, int]], width: int) -> CountArray:
    counts = np.zeros((len(rows), width), dtype=np.uint32)
    for row, filled in enumerate(rows):
        for bin_, count in filled.items():
            counts[row, bin_] = count
    return counts
