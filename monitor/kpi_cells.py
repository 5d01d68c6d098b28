"""Cells: the counts of one model version, segment and window by field, from which KPIs are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import reduce
from operator import add
from typing import Final

import numpy as np

from monitor.bins import Arena
from monitor.counts import Ladder
from monitor.domain import IntArray, Kind
from monitor.kpis import KPIS, KPIS_ACROSS, kpi_named
from monitor.kpis.base import Cell, Estimate, StreamCounts
from monitor.kpis.estimated import EstimatedAccuracy, ScoreMap, gap_of, score_map_of
from monitor.quality import KpiValue
from monitor.rows import ValueRows
from monitor.scopes import Subject
from monitor.streams import StreamTable
from monitor.tables import span_text

ALPHA: Final = 0.05
"""What intervals that are shown leave out."""
CELLS_MAX: Final = 90
"""Cells of a picture, a window counted apart: 2 ms each. Those beyond are left out, and counted."""
ESTIMATED: Final = "estimated_accuracy"
GAP: Final = "estimation_gap"

ESTIMATED_FROM: Final = ("score", "score_right", "score_wrong", "correct")
"""What both of these read."""
WORTH: Final = ("score_right", "score_wrong")
"""What tells what a score is worth."""
MAPS_MAX: Final = 1_000
KPI_NAMES: Final = (*KPIS, *KPIS_ACROSS, ESTIMATED, GAP)
"""Those with names of their own; an evaluation or feedback is one by its field's name."""


def is_kpi(name: str) -> bool:
    """Tell whether there is a KPI of this name."""
    return name in KPI_NAMES or kpi_named(name) is not None


class Cells:
    """Gives cells, and the KPIs of them. Called in the loop thread."""

    def __init__(self, table: StreamTable, ladders: Sequence[Ladder], windows_s: Sequence[float]) -> None:
        self._table = table
        self._ladders = ladders
        self._windows_s = windows_s
        self._maps: dict[tuple[object, ...], ScoreMap | None] = {}
        self._rows: dict[int, tuple[int, dict[str, dict[str, tuple[Arena, int]]]]] = {}

    def rows_of(self, subject: Subject) -> Mapping[str, Mapping[str, tuple[Arena, int]]]:
        """Give the rows of a model version, by segment and field."""
        count, found = self._rows.get(subject.index, (-1, {}))
        if count != len(subject.rows):
            found = {}
            for arena, row in subject.rows:
                key = self._table.arenas[arena].keys[row]
                found.setdefault(key.segment, {})[key.field] = (arena, row)
            self._rows[subject.index] = (len(subject.rows), found)
        return found

    def cell(self, rows: Mapping[str, tuple[Arena, int]], window: int) -> Cell:
        """Give what a window holds of some rows, which are named by field."""
        return {
            field: self._counts(arena, row, self._in_window(arena, row, window)) for field, (arena, row) in rows.items()
        }

    def reference_cell(self, rows: Mapping[str, tuple[Arena, int]]) -> Cell:
        """Give what the reference holds of those rows that have one."""
        found = {}
        for field, (arena, row) in rows.items():
            own = self._table.arenas[arena]
            if not own.is_learning[row]:
                found[field] = self._counts(arena, row, own.reference[row].astype(np.int64))
        return found

    def _in_window(self, arena: Arena, row: int, window: int) -> IntArray:
        rows = self._table.arenas[arena]
        held = self._ladders[arena].windows[window].total(rows.size)
        return held[row * rows.width : (row + 1) * rows.width].astype(np.int64)

    def _counts(self, arena: Arena, row: int, counts: IntArray) -> StreamCounts:
        rows = self._table.arenas[arena]
        kind = rows.kinds[row]
        if not isinstance(rows, ValueRows):
            return StreamCounts(kind, counts, exponent=int(rows.exponents[row]))
        names = tuple(rows.categories[row].names) if kind is Kind.CATEGORICAL else ()
        return StreamCounts(kind, counts, grid=rows.get_grid(row), categories=names)

    # ---- KPIs

    def values(self) -> tuple[tuple[KpiValue, ...], int]:
        """Give the KPIs of the models that have outcomes, in all windows; and how many cells were left out."""
        out: list[KpiValue] = []
        left, dropped = CELLS_MAX, 0
        for index in sorted(self._table.with_outcomes):
            subject = self._table.subjects[index]
            by_segment = self.rows_of(subject)
            if left < len(by_segment) * len(self._windows_s):
                dropped += len(by_segment) * len(self._windows_s)
                continue
            left -= len(by_segment) * len(self._windows_s)
            for window, span_s in enumerate(self._windows_s):
                cells = {segment: self.cell(rows, window) for segment, rows in by_segment.items()}
                for segment, name, found in self._of_cells(by_segment, cells):
                    about = (subject.model, subject.model_version, segment, span_text(span_s))
                    out.append(KpiValue(*about, name, *found))
        return tuple(out), dropped

    def _of_cells(
        self, rows: Mapping[str, Mapping[str, tuple[Arena, int]]], cells: Mapping[str, Cell]
    ) -> Iterator[tuple[str, str, Estimate]]:
        for segment, cell in cells.items():
            for name in self._names(cell):
                found = self.estimate(name, rows[segment], cell, ALPHA)
                if not np.isnan(found.value):
                    yield segment, name, found
        names = {segment.partition("=")[0] for segment in cells if segment}
        for segment_name in sorted(names):
            groups = {segment: cell for segment, cell in cells.items() if segment.startswith(f"{segment_name}=")}
            for name, across in KPIS_ACROSS.items():
                compared = across.estimate_across(groups, ALPHA)
                if not np.isnan(compared.value):
                    yield segment_name, name, compared

    def _names(self, cell: Cell) -> Iterator[str]:
        """Give the names of the KPIs that a cell has the fields of."""
        yield from (name for name, kpi in KPIS.items() if all(field in cell for field in kpi.fields))
        named = {kpi.fields[0] for kpi in KPIS.values() if len(kpi.fields) == 1}
        yield from (field for field in cell if field not in named and kpi_named(field) is not None)
        if "score" in cell:
            yield from (ESTIMATED, GAP)

    @staticmethod
    def needed(name: str, rows: Mapping[str, tuple[Arena, int]]) -> Mapping[str, tuple[Arena, int]]:
        """Give those rows of a segment that a KPI reads: the others need not be counted for it."""
        kpi = None if name in (ESTIMATED, GAP) else kpi_named(name)
        fields = ESTIMATED_FROM if kpi is None else kpi.fields
        return {f: own for f, own in rows.items() if any(fnmatchcase(f, field) for field in fields)}

    def estimate(self, name: str, rows: Mapping[str, tuple[Arena, int]], cell: Cell, alpha: float) -> Estimate:
        """Give a KPI of a cell; what labels promised for scores comes of the reference."""
        if name not in (ESTIMATED, GAP):
            kpi = kpi_named(name)
            return Estimate(np.nan, np.nan, np.nan, 0) if kpi is None else kpi.estimate(cell, alpha)
        score_map = self._score_map(rows)
        if score_map is None or "score" not in cell:
            return Estimate(np.nan, np.nan, np.nan, 0)
        if name == ESTIMATED:
            return EstimatedAccuracy(score_map).estimate(cell, alpha)
        joined = {field: cell[field] for field in WORTH if field in cell}
        if "correct" not in cell or not joined:
            return Estimate(np.nan, np.nan, np.nan, 0)
        # Of the very rows that have labels: those that came meanwhile may be of another hour, and of other scores.
        promised = {"score": reduce(add, joined.values())}
        return gap_of(score_map, promised, cell, alpha).estimate

    def _score_map(self, rows: Mapping[str, tuple[Arena, int]]) -> ScoreMap | None:
        """Give what scores were worth in the reference, None where it does not tell; made once, as that is frozen."""
        own = {field: rows[field] for field in WORTH if field in rows}
        known = tuple(at for at in own.values() if not self._table.arenas[at[0]].is_learning[at[1]])
        key = (self._table.epoch, *known)
        if key not in self._maps:
            if len(self._maps) >= MAPS_MAX:
                self._maps.clear()
            self._maps[key] = score_map_of(self.reference_cell(own))
        return self._maps[key]
