"""Panes: hits wait in open ones until the watermark closes their slice of time; and which panes are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from monitor.bins import Arena
from monitor.domain import IntArray

EMPTY_PANES_LOOKED_AT: Final = 600
"""After so many panes in a row without an event, only one in EMPTY_STRIDE is looked at."""
EMPTY_STRIDE: Final = 60
LOOKS_PER_GAP: Final = 4
"""Where events are far apart, empty panes between them are looked at this often, so that years of a quiet stream can be
replayed."""
GAP_WEIGHT: Final = 0.1
"""Weight of the newest gap between panes with events in the usual one."""
GAP_PANES_MAX: Final = 86_400
"""A gap in event time longer than this is jumped over: whatever was to be said of silence has been said."""


class OpenPanes:
    """Hits by pane and arena, in order of arrival, which does not matter to counts."""

    def __init__(self) -> None:
        self._hits: dict[int, tuple[list[IntArray], ...]] = {}
        self._late: tuple[list[IntArray], ...] = tuple([] for _ in Arena)

    def __len__(self) -> int:
        return len(self._hits)

    @property
    def first(self) -> int | None:
        """The earliest open pane that holds anything."""
        return min(self._hits, default=None)

    @property
    def last(self) -> int | None:
        """The latest open pane that holds anything."""
        return max(self._hits, default=None)

    def add(self, arena: Arena, flat: IntArray, panes: IntArray) -> None:
        """Add hits of shape (n,) with the pane of each. Cost: one pass per distinct pane."""
        if not flat.size:
            return
        low, high = int(panes.min()), int(panes.max())
        if low == high:
            self._of(low)[arena].append(flat)
            return
        for pane in np.unique(panes).tolist():
            self._of(pane)[arena].append(flat[panes == pane])

    def add_late(self, arena: Arena, flat: IntArray) -> None:
        """Add hits of panes that have closed, for what goes on with the next one."""
        self._late[arena].append(flat)

    def take_late(self, arena: Arena) -> list[IntArray]:
        """Give the late hits of an arena since the last pane closed, and forget them."""
        late = self._late[arena][:]
        self._late[arena].clear()
        return late

    def _of(self, pane: int) -> tuple[list[IntArray], ...]:
        held = self._hits.get(pane)
        if held is None:
            held = self._hits[pane] = tuple([] for _ in Arena)
        return held

    def take(self, pane: int) -> tuple[list[IntArray], ...]:
        """Give the hits of a pane, by arena, and forget them."""
        return self._hits.pop(pane, None) or tuple([] for _ in Arena)


class Cadence:
    """Which panes are closed and looked at, in order: those with hits, and of empty ones as many as can matter.

    next: the first pane that is not closed yet, None before the first event. Which panes are looked at depends on the
    hits alone, not on when it is asked.
    """

    def __init__(self) -> None:
        self.next: int | None = None
        self._full = 0
        self._gap = 1.0

    def due(self, until: int, panes: OpenPanes) -> Iterator[int]:
        """Give the panes before `until` that are due; each counts as closed when it is given."""
        first = panes.first
        if self.next is None:
            self._full = self.next = until if first is None else min(until, first)
        while self.next < until:
            first = panes.first
            if first is None or first > self.next:
                if self._skip(self.next, min(until, first if first is not None else until)):
                    continue
            else:
                self._gap += GAP_WEIGHT * (min(self.next - self._full, GAP_PANES_MAX) - self._gap)
                self._full = self.next
            self.next += 1  # before it closes: what a freeze sets free counts in the next one
            yield self.next - 1

    def _skip(self, now: int, until: int) -> bool:
        """Pass over empty panes that need no look; tell whether any was passed."""
        if until - now > GAP_PANES_MAX:
            self.next = until - 1
            return False
        seldom = self._full + EMPTY_PANES_LOOKED_AT
        stride = max(1 if now < seldom else EMPTY_STRIDE, int(min(self._gap, GAP_PANES_MAX) / LOOKS_PER_GAP))
        if (now + 1) % stride == 0:
            return False
        due = now + stride - 1 - now % stride
        # Not beyond where the stride changes: which panes are looked at must not hang on where batches end.
        self.next = min(until, due, seldom if now < seldom else due)
        return True
