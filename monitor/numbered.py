"""Streams as numbers for one delta: place in the layout, behind those of the subjects before, court by court."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from monitor.closed_table import ClosedTable
from monitor.counts import Counts
from monitor.deltas import Counted, court_of
from monitor.domain import IntArray
from monitor.panes import Waiting
from monitor.streams import NONE


class Numbered:
    """The numbers of the streams of some subjects, in this order.

    courts: of each subject. places: of each subject among those of its court. Cost: a pass over all rows.
    """

    def __init__(self, table: ClosedTable, subjects: Sequence[int], courts: int) -> None:
        self._table = table
        self.courts = {at: court_of(table.subjects[at].model, courts) for at in subjects}
        self.places: dict[int, int] = {}
        self._base: IntArray = np.zeros(len(table.subjects), dtype=np.int64)
        sizes, numbers = np.zeros(courts, dtype=np.int64), np.zeros(courts, dtype=np.int64)
        for at, court in self.courts.items():
            self._base[at], self.places[at] = sizes[court], int(numbers[court])
            sizes[court] += len(table.layout(at).streams)
            numbers[court] += 1
        self._court_by = np.array([self.courts.get(at, NONE) for at in range(len(table.subjects))], dtype=np.int64)

    def counted(self, waiting: Iterable[tuple[int, Sequence[Waiting]]]) -> dict[int, list[Counted]]:
        """Give what waits as counts, court by court. waiting: hits by pane and arena, of rows of these subjects."""
        table, places, out = self._table, self._table.places(), dict[int, list[Counted]]()
        for pane, hits in waiting:
            for arena in table.arenas:
                flat, counts = Counts.of_hits(hits[arena.arena], arena.size).pairs()
                rows = flat // arena.width
                owners = arena.subjects[rows]
                numbers = (self._base[owners] + places[arena.arena][rows]) * arena.width + flat % arena.width
                for court in np.unique(self._court_by[owners]).tolist():
                    mine = np.flatnonzero(self._court_by[owners] == court)
                    mine = mine[np.argsort(numbers[mine], kind="stable")]
                    out.setdefault(court, []).append(Counted(pane, arena.arena, numbers[mine], counts[mine]))
        return out
