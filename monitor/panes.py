"""Panes that are still open: hits wait here until the watermark closes their slice of time."""

from __future__ import annotations

import numpy as np

from monitor.bins import Arena
from monitor.domain import IntArray


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
