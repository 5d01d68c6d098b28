"""Counts in the form that detectors take: whole arenas, some rows of one, or one row through its past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.bins import VALUES_WIDTH, WIDTHS, Arena, numeric_edges
from monitor.counts import Counts, Ladder
from monitor.detectors.base import View
from monitor.domain import FloatArray, IntArray, Kind
from monitor.kept import State
from monitor.references import GROUPS
from monitor.rows import group_counts, grown
from monitor.scopes import Subject
from monitor.streams import StreamTable

PER_ROW: Final = (
    "counts",
    "reference",
    "grouped",
    "reference_grouped",
    "edges",
    "groups_used",
    "scale",
    "low",
    "rate_per_s",
    "silence_s",
)
SETTLING_PANES: Final = 10
"""Before so many, how much traffic there should have been is not known: the first pane began before anything was read,
or holds only those that were not late."""


class Views:
    """Builds views over the ladders of all arenas. A view is valid until the next pane closes.

    Memory beyond the ladders: about 400 bytes per numeric or categorical stream for the groups of its reference.
    """

    def __init__(self, table: StreamTable, ladders: Sequence[Ladder]) -> None:
        self._table = table
        self._ladders = ladders
        self._cache: dict[tuple[Arena, int], View] = {}
        self._shared: dict[tuple[Arena, int, int], View] = {}
        self._end_s = self._pane_s = 0.0
        self._grouped = np.zeros((0, GROUPS))
        self._edges = np.zeros((0, GROUPS + 1))
        self._rate_per_s = np.zeros(0)
        self._first_s = np.zeros(0)
        self._last_s = np.zeros(0)

    def close(self, end_s: float, start_s: float, flags: Counts) -> None:
        """Note that a pane has closed, and when each model had events. flags: the pane's counts of the FLAGS arena."""
        self.forget()
        self._end_s, self._pane_s = end_s, end_s - start_s
        self._reserve()
        hit = np.unique(flags.hits() // WIDTHS[Arena.FLAGS])
        self._last_s[hit] = end_s
        new = hit[np.isnan(self._first_s[hit])]
        self._first_s[new] = start_s

    def state(self) -> State:
        """Give what is kept: when each model had events. The rest is made anew by `refresh`."""
        self._reserve()
        n = len(self._table.flags)
        times = {"end_s": self._end_s, "pane_s": self._pane_s}
        return {**times, "first_s": self._first_s[:n], "last_s": self._last_s[:n]}

    def restore(self, state: State, rows: IntArray | None = None) -> None:
        """Go on from a state. rows: by the row of FLAGS till now the row from now on, or -1; None: as then."""
        self._reserve()
        self._end_s, self._pane_s = float(state.get("end_s", 0.0)), float(state.get("pane_s", 0.0))
        for name, own in (("first_s", self._first_s), ("last_s", self._last_s)):
            if name in state:
                found = state[name]
                now = np.arange(len(found)) if rows is None else rows[: len(found)]
                own[now[now >= 0]] = found[now >= 0]

    def forget(self) -> None:
        """Note that counts have changed within a pane."""
        self._cache.clear()
        self._shared.clear()

    def refresh(self, subject: Subject) -> None:
        """Take in that a subject has new streams or a reference."""
        self.forget()
        self._reserve()
        values = self._table.values
        reference = subject.reference
        if reference is None:
            return
        rows = np.array([row for arena, row in subject.rows if arena is Arena.VALUES], dtype=np.int64)
        rows = rows[values.groups_used[rows] > 0]
        self._grouped[rows] = group_counts(values.reference[rows], values.groups[rows])
        self._edges[rows] = self._group_edges(rows)
        if reference.span_s > 0:
            for arena, row in subject.rows:
                flags = self._table.flags
                if arena is Arena.FLAGS and flags.kinds[row] is Kind.VOLUME and not flags.is_learning[row]:
                    self._rate_per_s[row] = self._table.flags.reference[row, 0] / reference.span_s

    def _group_edges(self, rows: IntArray) -> FloatArray:
        """Give the values at the group edges of numeric rows, NaN for others; shape (R, GROUPS + 1)."""
        values = self._table.values
        out = np.full((len(rows), GROUPS + 1), np.nan)
        numeric = np.flatnonzero(values.has_grid[rows])
        own = rows[numeric]
        edges, used = numeric_edges(*values.grid[own].T), values.groups_used[own]
        # Groups of numbers ascend, so that one begins after as many bins as are of lesser groups.
        first = (values.groups[own, : VALUES_WIDTH - 5, None] < np.arange(GROUPS)).sum(axis=1)
        starts = np.take_along_axis(edges, np.clip(first - 1, 0, edges.shape[1] - 1), axis=1)
        out[numeric, :GROUPS] = np.where(np.arange(GROUPS) < used[:, None], starts, np.nan)
        out[numeric, used] = edges[:, -1]
        return out

    def spans_s(self, arena: Arena) -> Sequence[float]:
        """Give how long the windows of an arena are, in their order."""
        return [window.span_s for window in self._ladders[arena].windows]

    def of(self, arena: Arena, window: int) -> View:
        """Give all rows of an arena in a window. Cost: one pass over its bins, once per pane."""
        view = self._cache.get((arena, window))
        if view is None or len(view.counts) < len(self._table.arenas[arena]):
            view = self._cache[arena, window] = self.some(arena, window, slice(0, len(self._table.arenas[arena])))
        return view

    def some(self, arena: Arena, window: int, at: IntArray | slice) -> View:
        """Give some rows of an arena in a window, without looking at the others."""
        self._reserve()
        held, rows = self._ladders[arena].windows[window], self._table.arenas[arena]
        counts = held.total(rows.size).reshape(len(rows), rows.width)[at]
        span_s = 0.0 if held.first_s is None else self._end_s - held.first_s
        n = len(counts)
        none, no_groups = np.full(n, np.nan), np.zeros((n, GROUPS))
        view = View(
            counts=counts,
            reference=rows.reference[at],
            grouped=no_groups,
            reference_grouped=no_groups,
            edges=np.full((n, GROUPS + 1), np.nan),
            groups_used=np.zeros(n, dtype=np.int64),
            scale=none,
            low=none,
            span_s=span_s,
            rate_per_s=none,
            silence_s=none,
        )
        if arena is Arena.LOGS:
            return replace(view, low=np.ldexp(1.0, rows.exponents[at]))
        if arena is Arena.FLAGS:
            silence_s = self._end_s - self._last_s[at]
            return replace(view, rate_per_s=self._expected(at, span_s), silence_s=silence_s)
        values = self._table.values
        return replace(
            view,
            grouped=group_counts(counts, values.groups[at]),
            reference_grouped=self._grouped[at],
            edges=self._edges[at],
            groups_used=values.groups_used[at],
            scale=values.grid[at, 1],
        )

    def _reserve(self) -> None:
        """Make room for every stream there is."""
        values, flags = len(self._table.values), len(self._table.flags)
        if values > len(self._grouped):
            capacity = max(64, values * 5 // 4)
            self._grouped, self._edges = grown(self._grouped, capacity), grown(self._edges, capacity)
        if flags > len(self._last_s):
            capacity = max(64, flags * 5 // 4)
            self._first_s, self._last_s = _filled(self._first_s, capacity), _filled(self._last_s, capacity)
            self._rate_per_s = _filled(self._rate_per_s, capacity)

    def _expected(self, at: IntArray | slice, span_s: float) -> FloatArray:
        """Give the reference's rate, less where a model was seen for only part of the window; NaN while it is new."""
        present = self._end_s - np.maximum(self._first_s[at], self._end_s - span_s)
        is_new = self._end_s - self._first_s[at] < SETTLING_PANES * self._pane_s
        return np.where(is_new, np.nan, self._rate_per_s[at] * (present / span_s if span_s > 0 else np.nan))

    def usual(self, view: View, arena: Arena, at: IntArray) -> View:
        """Give a view with the reference's whole rate: what is usual is known before the first pane has closed."""
        return replace(view, span_s=1.0, rate_per_s=self._rate_per_s[at]) if arena is Arena.FLAGS else view

    def part(self, view: View, rows: IntArray) -> View:
        """Give some rows of a view; the view itself when they are all of them, in order."""
        if len(rows) == len(view.counts) and (not len(rows) or (rows[0] == 0 and np.all(np.diff(rows) == 1))):
            return view
        return replace(view, **{name: getattr(view, name)[rows] for name in PER_ROW})

    def shared(self, arena: Arena, window: int, rows: IntArray) -> View:
        """Give some rows as `some` does, once per pane for each array of rows (the same object)."""
        key = (arena, window, id(rows))
        view = self._shared.get(key)
        if view is None:
            view = self._shared[key] = self.part(self.of(arena, window), rows)
        return view

    def suffixes(self, arena: Arena, row: int) -> tuple[View, FloatArray]:
        """Give one row over every suffix of its past, as rows of a view, newest suffix first, and where each begins.

        The spans differ by row, so span_s is that of the longest and rates are scaled to it.
        """
        rows = self._table.arenas[arena]
        buckets = self._ladders[arena].buckets[::-1]
        at = row * rows.width
        counts = np.cumsum([b.counts.span(at, at + rows.width) for b in buckets], axis=0, dtype=np.uint32)
        starts = np.array([b.start_s for b in buckets])
        view = self.some(arena, 0, np.full(len(buckets), row))
        spans = self._end_s - starts
        view = replace(view, counts=counts, span_s=float(spans[-1]), rate_per_s=view.rate_per_s * spans / spans[-1])
        if arena is Arena.VALUES:
            groups = np.repeat(self._table.values.groups[row][None, :], len(buckets), axis=0)
            view = replace(view, grouped=group_counts(counts, groups))
        return view, starts

    def in_a_row(self, arena: Arena, row: int, span_s: float, at_most: int) -> View:
        """Give one row over windows of span_s that follow each other up to now, as rows of a view, newest first.

        Only those that the past reaches. They begin and end where buckets do, so older ones are as coarse as these.
        """
        view, starts = self.suffixes(arena, row)
        reached = min(at_most, int((self._end_s - starts[-1]) / span_s + 1e-9))
        places = np.arange(reached)
        wanted = self._end_s - span_s * (places + 1.0)
        at = np.abs(starts[None, :] - wanted[:, None]).argmin(axis=1)
        at = np.maximum.accumulate(at - places) + places  # one bucket each at least
        at = at[at < len(starts)]
        whole, before = self.part(view, at), self.part(view, at[:-1])
        sums = {name: getattr(whole, name).copy() for name in ("counts", "grouped", "rate_per_s")}
        for name, values in sums.items():
            values[1:] -= getattr(before, name)
        return replace(whole, **sums)


def _filled(old: FloatArray, capacity: int) -> FloatArray:
    new = np.full(capacity, np.nan)
    new[: len(old)] = old
    return new
