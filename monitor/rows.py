"""The streams of each arena as rows of arrays: names, kinds, grids, reference counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.bins import VALUE_BINS, WIDTHS, Arena
from monitor.categories import Categories
from monitor.domain import Kind, StreamKey
from monitor.references import GROUPS, UNGROUPED, Grid, GroupArray

GROUP_BLOCK: Final = 1024
"""Rows grouped together: half a megabyte of passing memory stays in the processor's cache."""


def grown(old: npt.NDArray[Any], capacity: int) -> npt.NDArray[Any]:
    """Give a copy with room for `capacity` rows, zeros at the end."""
    new = np.zeros((capacity, *old.shape[1:]), dtype=old.dtype)
    new[: len(old)] = old
    return new


class Rows:
    """The streams of one arena by row. Rows are only ever added, never removed or moved.

    reference: shape (capacity, width), what was learned so far, or the frozen reference. Arrays hold more rows than
    there are streams. Memory: 4 bytes per bin and stream.
    """

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.width = WIDTHS[arena]
        self.keys: list[StreamKey] = []
        self.kinds: list[Kind] = []
        self.reference = np.zeros((0, self.width), dtype=np.uint32)
        self.is_learning = np.zeros(0, dtype=bool)
        self.has_type_change = np.zeros(0, dtype=bool)
        self.exponents = np.zeros(0, dtype=np.int64)
        self.subjects = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> int:
        """Bins in use: the length of a flat array over all rows."""
        return len(self.keys) * self.width

    def add(self, key: StreamKey, kind: Kind, subject: int, exponent: int = 0) -> int:
        """Give the row of a new stream, which learns until it is told otherwise."""
        row = len(self.keys)
        self.keys.append(key)
        self.kinds.append(kind)
        if row >= len(self.reference):
            self._grow(max(64, (row + 1) * 5 // 4))
        self.is_learning[row] = True
        self.exponents[row] = exponent
        self.subjects[row] = subject
        return row

    def _grow(self, capacity: int) -> None:
        self.reference = grown(self.reference, capacity)
        self.is_learning = grown(self.is_learning, capacity)
        self.has_type_change = grown(self.has_type_change, capacity)
        self.exponents = grown(self.exponents, capacity)
        self.subjects = grown(self.subjects, capacity)


class ValueRows(Rows):
    """Numeric and categorical streams, with their grids or categories and their groups.

    grid: shape (capacity, 4): centre, width, low, step (see bins.numeric_bin). groups: shape (capacity, 64), the group
    of each bin, UNGROUPED where a bin holds no value. groups_used: shape (capacity,), 0 while learning.
    """

    def __init__(self) -> None:
        super().__init__(Arena.VALUES)
        self.grid = np.zeros((0, 4))
        self.has_grid = np.zeros(0, dtype=bool)
        self.is_categorical = np.zeros(0, dtype=bool)
        self.groups = np.zeros((0, self.width), dtype=np.int8)
        self.groups_used = np.zeros(0, dtype=np.int64)
        self.categories: dict[int, Categories] = {}

    def _grow(self, capacity: int) -> None:
        super()._grow(capacity)
        self.grid = grown(self.grid, capacity)
        self.has_grid = grown(self.has_grid, capacity)
        self.is_categorical = grown(self.is_categorical, capacity)
        self.groups = grown(self.groups, capacity)
        self.groups_used = grown(self.groups_used, capacity)

    def add(self, key: StreamKey, kind: Kind, subject: int, exponent: int = 0) -> int:
        """Give the row of a new stream."""
        row = super().add(key, kind, subject, exponent)
        self.is_categorical[row] = kind is Kind.CATEGORICAL
        return row

    def set_grids(self, grids: Mapping[int, Grid]) -> None:
        """Place the bins of numeric streams, by row, once and for all."""
        if grids:
            rows = list(grids)
            self.grid[rows] = [(grid.centre, grid.width, grid.low, grid.step) for grid in grids.values()]
            self.has_grid[rows] = True

    def get_grid(self, row: int) -> Grid | None:
        """Give the grid, None while the stream has none."""
        return Grid(*map(float, self.grid[row])) if self.has_grid[row] else None

    def set_groups(self, groups: Mapping[int, GroupArray]) -> None:
        """Freeze the groups of the value bins of streams, by row; shape (VALUE_BINS,) each."""
        if groups:
            rows, own = list(groups), np.array(list(groups.values()))
            self.groups[rows] = UNGROUPED
            self.groups[rows, :VALUE_BINS] = own
            self.groups_used[rows] = own.max(axis=1).astype(np.int64) + 1


def group_counts(counts: npt.NDArray[Any], groups: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Sum value bins into groups: counts and groups of shape (S, 64) to shape (S, GROUPS), float64.

    Cost: 5 ns per bin; block by block, since memory that is touched for the first time costs several times that.
    """
    summed = np.empty((len(counts), GROUPS))
    first = (np.arange(min(GROUP_BLOCK, len(counts)), dtype=np.int64) * (GROUPS + 1))[:, None]
    for start in range(0, len(counts), GROUP_BLOCK):
        own = slice(start, start + GROUP_BLOCK)
        n = len(counts[own])
        at, weights = groups[own] + first[:n], counts[own].ravel()
        sums = np.bincount(at.ravel(), weights=weights, minlength=n * (GROUPS + 1))
        summed[own] = sums.reshape(n, GROUPS + 1)[:, :GROUPS]
    return summed
