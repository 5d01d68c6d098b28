"""Histograms for people: the cells of a stream with what lies in them, reference beside what is judged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from monitor.bins import NUMERIC_INNER, OTHER, UNSEEN, Arena, log_edges, numeric_edges
from monitor.domain import FloatArray, Histogram, IntArray, Kind
from monitor.sequential.engine import Engine
from monitor.sequential.scores import CELL_OF_CLASS, CELLS, CLASSES
from monitor.streams import StreamTable

NAMES_MAX: Final = 3
"""Categories named in one cell; the rest are counted."""


def histogram_of(table: StreamTable, arena: Arena, row: int, engine: Engine, seen: FloatArray) -> Histogram:
    """Give the histogram of what was seen in each cell, shape (CELLS,), beside the reference's."""
    reference = engine.cells[row].astype(np.float64)
    cell_of_bin = np.full(engine.classes.shape[1], -1)
    has_class = engine.classes[row] < CLASSES
    cell_of_bin[has_class] = CELL_OF_CLASS[engine.classes[row][has_class]]
    held = np.bincount(cell_of_bin[has_class], table.arenas[arena].reference[row][has_class], CELLS)
    shown = np.flatnonzero((seen > 0.0) | (held > 0.0))
    named = _namer(table, arena, row)
    return Histogram(
        labels=tuple(named(np.flatnonzero(cell_of_bin == cell)) for cell in shown.tolist()),
        reference=_shares(reference[shown]),
        current=_shares(seen[shown]),
        samples=int(seen.sum()),
        reference_samples=int(engine.events[row]),
    )


def _shares(cells: FloatArray) -> tuple[float, ...]:
    """Give the shares that some cells have of all of them, as people read them."""
    total = max(float(cells.sum()), 1e-12)
    return tuple(float(f"{share:.4g}") for share in (cells / total).tolist())


def _namer(table: StreamTable, arena: Arena, row: int) -> Callable[[IntArray], str]:
    """Give what puts some bins of a stream into words."""
    if table.arenas[arena].kinds[row] is Kind.CATEGORICAL:
        return partial(_names, table, row)
    return partial(_range, _edges(table, arena, row))


def _range(edges: FloatArray, bins: IntArray) -> str:
    if not bins.size:
        return "(none)"
    if bins[-1] - bins[0] >= len(bins):
        return "outside of the reference"
    low, high = edges[bins[0]], edges[bins[-1] + 1]
    if np.isinf(low):
        return f"< {high:.4g}"
    return f">= {low:.4g}" if np.isinf(high) else f"{low:.4g} to {high:.4g}"


def _edges(table: StreamTable, arena: Arena, row: int) -> FloatArray:
    """Give where the value bins of a stream begin, and the last one ends."""
    if arena is Arena.LOGS:
        inner = log_edges(int(table.logs.exponents[row]))
    else:
        grid = table.values.grid[row][:, None]
        inner = numeric_edges(*grid)[0][: NUMERIC_INNER + 1]
    return np.concatenate([[-np.inf], inner, [np.inf]])


def _names(table: StreamTable, row: int, bins: IntArray) -> str:
    names = dict(enumerate(table.values.categories[row].names)) | {OTHER: "(other)"}
    held = table.values.reference[row]
    ordered = sorted((b for b in bins.tolist() if held[b]), key=lambda b: -int(held[b]))
    if not ordered:
        return "(new)" if UNSEEN in bins else "(none)"
    more = len(ordered) - NAMES_MAX
    return ", ".join(str(names.get(b)) for b in ordered[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")
