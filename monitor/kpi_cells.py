"""Cells: the counts of one model version, segment and window by field, from which KPIs are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isnan
from typing import Final, NamedTuple

import numpy as np

from monitor.bins import Arena
from monitor.counts import Ladder
from monitor.domain import IntArray, Kind
from monitor.kpis import KPIS, KPIS_ACROSS, KPIS_AGAINST, RATES, TOTALS, kpi_named
from monitor.kpis.base import UNKNOWN, Cell, Estimate, StreamCounts
from monitor.kpis.shares import shares_by_category
from monitor.kpis.traffic import per_time
from monitor.quality import REFERENCE, KpiValue, ModeShare
from monitor.rows import ValueRows
from monitor.rules import KPI, PlanOf, Rule
from monitor.scopes import Subject
from monitor.streams import StreamTable
from monitor.tables import span_text
from monitor.users import DISTINCT_USERS, Users

ALPHA: Final = 0.05
"""What intervals that are shown leave out."""
CELLS_MAX: Final = 90
"""Cells of a picture, a window counted apart: 2 ms each. Those beyond are left out, and counted."""

KPI_NAMES: Final = (*KPIS, *KPIS_ACROSS, *KPIS_AGAINST, *RATES, DISTINCT_USERS)
"""Those with names of their own; an evaluation or feedback is one by its field's name."""
_READ_ALONE: Final = frozenset(kpi.fields[0] for kpi in KPIS.values() if len(kpi.fields) == 1)
"""Fields that a KPI with a name of its own tells already."""

MODE_FIELDS: Final = frozenset({"failure_mode", "critical_failure_mode", "bypass_reason"})
"""Of which each value is shown with its share: at most 57 of each."""

Rows = Mapping[str, tuple[Arena, int]]
"""By field: where a stream of one model version and segment is counted."""


class Shown(NamedTuple):
    """What a picture shows of KPIs. left_out: cells that there was no time for."""

    kpis: tuple[KpiValue, ...]
    modes: tuple[ModeShare, ...]
    left_out: int


class _Read(Mapping[str, StreamCounts]):
    """A cell of which counts are read when they are asked for, once: most KPIs ask for one or two streams of many."""

    def __init__(self, rows: Rows, read: Callable[[Arena, int], StreamCounts]) -> None:
        self._rows = rows
        self._read = read
        self._known: dict[str, StreamCounts] = {}

    def __getitem__(self, field: str) -> StreamCounts:
        if field not in self._known:
            self._known[field] = self._read(*self._rows[field])
        return self._known[field]

    def __contains__(self, field: object) -> bool:
        return field in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def is_kpi(name: str) -> bool:
    """Tell whether there is a KPI of this name."""
    return name in KPI_NAMES or kpi_named(name) is not None


class Cells:
    """Gives cells, and the KPIs of them. Called in the loop thread."""

    def __init__(
        self,
        table: StreamTable,
        ladders: Sequence[Ladder],
        windows_s: Sequence[float],
        plan_of: PlanOf,
        users: Users,
    ) -> None:
        self._table = table
        self._ladders = ladders
        self._windows_s = windows_s
        self._plan_of = plan_of
        self._users = users
        self._rows: dict[int, tuple[int, dict[str, dict[str, tuple[Arena, int]]]]] = {}
        self._rules: dict[int, tuple[Rule, ...]] = {}
        self._usual: dict[int, tuple[object, tuple[KpiValue, ...]]] = {}
        self._pictured: Shown | None = None

    def forget(self) -> None:
        """Hear that a window moved, or what it holds: KPIs are worked out anew when they are asked for."""
        self._pictured = None

    def replan(self) -> None:
        """Hear that plans are others now."""
        self._rules.clear()
        self._usual.clear()
        self.forget()

    def rules_of(self, subject: Subject) -> tuple[Rule, ...]:
        """Give the rules of a model version that judge KPIs."""
        found = self._rules.get(subject.index)
        if found is None:
            rules = self._plan_of(subject.model, subject.model_version).rules
            found = self._rules[subject.index] = tuple(rule for rule in rules if rule.statistic == KPI)
        return found

    def rows_of(self, subject: Subject) -> Mapping[str, Rows]:
        """Give the rows of a model version, by segment and field."""
        count, found = self._rows.get(subject.index, (-1, {}))
        if count != len(subject.rows):
            found = {}
            for arena, row in subject.rows:
                key = self._table.arenas[arena].keys[row]
                found.setdefault(key.segment, {})[key.field] = (arena, row)
            self._rows[subject.index] = (len(subject.rows), found)
        return found

    def cell(self, rows: Rows, window: int) -> Cell:
        """Give what a window holds of some rows, which are named by field."""
        return _Read(rows, lambda arena, row: self._counts(arena, row, self._in_window(arena, row, window)))

    def reference_cell(self, rows: Rows) -> Cell:
        """Give what the reference holds of those rows that have one."""
        arenas = self._table.arenas
        known = {field: (arena, row) for field, (arena, row) in rows.items() if not arenas[arena].is_learning[row]}
        return _Read(known, lambda arena, row: self._counts(arena, row, arenas[arena].reference[row].astype(np.int64)))

    def _in_window(self, arena: Arena, row: int, window: int) -> IntArray:
        rows = self._table.arenas[arena]
        held = self._ladders[arena].windows[window].total(rows.size)
        return held[row * rows.width : (row + 1) * rows.width].astype(np.int64)

    def _end_s(self) -> float:
        buckets = self._ladders[Arena.FLAGS].buckets
        return buckets[-1].end_s if buckets else 0.0

    def span_s(self, window: int) -> float:
        """Give how long a window is in truth: less than was asked while there was not so much time yet."""
        first_s = self._ladders[Arena.FLAGS].windows[window].first_s
        return 0.0 if first_s is None else self._end_s() - first_s

    def _counts(self, arena: Arena, row: int, counts: IntArray) -> StreamCounts:
        rows = self._table.arenas[arena]
        kind = rows.kinds[row]
        if not isinstance(rows, ValueRows):
            return StreamCounts(kind, counts, exponent=int(rows.exponents[row]))
        names = tuple(rows.categories[row].names) if kind is Kind.CATEGORICAL else ()
        return StreamCounts(kind, counts, grid=rows.get_grid(row), categories=names)

    # ---- one KPI

    def estimate(self, name: str, rows: Rows, window: int, alpha: float) -> Estimate:
        """Give a KPI of one segment in a window; of those that compare segments see `across`."""
        return self._estimate(name, rows, self.cell(rows, window), self.span_s(window), alpha)

    def usual(self, name: str, rows: Rows, alpha: float) -> Estimate:
        """Give a KPI of one segment as the reference has it; unknown for totals, which are of no length of time."""
        return UNKNOWN if name in TOTALS else self._estimate(name, rows, self.reference_cell(rows), 0.0, alpha)

    def users(self, subject: int, window: int, alpha: float) -> Estimate:
        """Give the distinct users of a model version in a window."""
        return self._users.estimate(subject, window, self._end_s(), alpha)

    def across(self, name: str, by_segment: Mapping[str, Rows], window: int | None, alpha: float) -> Estimate:
        """Give a KPI that compares segments, in a window; None: in the reference."""
        cells = {
            segment: self.reference_cell(rows) if window is None else self.cell(rows, window)
            for segment, rows in by_segment.items()
        }
        return KPIS_ACROSS[name].estimate_across(cells, alpha)

    def _estimate(self, name: str, rows: Rows, cell: Cell, span_s: float, alpha: float) -> Estimate:
        if name in RATES:
            total, unit_s = RATES[name]
            return per_time(KPIS[total].estimate(cell, alpha), span_s, unit_s)
        if name in KPIS_AGAINST:
            kpi = KPIS_AGAINST[name]
            return kpi.estimate_against(self.reference_cell(rows), cell, alpha)
        named = kpi_named(name)
        return UNKNOWN if named is None else named.estimate(cell, alpha)

    # ---- the KPIs of a picture

    def values(self) -> Shown:
        """Give the KPIs of the models that have outcomes, and those that rules name, in all windows and the reference.

        Cost: 2 ms for each window of a cell, once after a pane has closed.
        """
        if self._pictured is None:
            self._pictured = self._work_out()
        return self._pictured

    def _work_out(self) -> Shown:
        out: list[KpiValue] = []
        left, dropped = CELLS_MAX, 0
        for subject in self._table.subjects:
            named = None
            if subject.index not in self._table.with_outcomes:
                named = {field for rule in self.rules_of(subject) for field in rule.fields}
                if not named and subject.index not in self._users:
                    continue
            by_segment = self.rows_of(subject)
            cells = len(by_segment) * len(self._windows_s)
            if left < cells:
                dropped += cells
                continue
            left -= cells
            for window, span_s in enumerate(self._windows_s):
                found = self.users(subject.index, window, ALPHA)
                if not isnan(found.value):
                    name = (subject.model, subject.model_version, "", span_text(span_s), DISTINCT_USERS)
                    out.append(KpiValue(*name, *found))
                out += self._of(subject, by_segment, named, (window, span_text(span_s)))
            out += self._usual_of(subject, by_segment, named)
        modes = (mode for subject in self._table.subjects for mode in self._modes(subject))
        return Shown(tuple(out), tuple(modes), dropped)

    def _modes(self, subject: Subject) -> Iterator[ModeShare]:
        rows = {field: row for field, row in self.rows_of(subject).get("", {}).items() if field in MODE_FIELDS}
        for window, span_s in enumerate(self._windows_s if rows else ()):
            cell = self.cell(rows, window)
            for field in rows:
                for mode, share in shares_by_category(cell, field, ALPHA).items():
                    name = (subject.model, subject.model_version, span_text(span_s))
                    yield ModeShare(*name, field, mode, share.value)

    def _usual_of(
        self, subject: Subject, by_segment: Mapping[str, Rows], named: set[str] | None
    ) -> tuple[KpiValue, ...]:
        """Give the KPIs of a reference, worked out once for it."""
        key = (subject.reference and subject.reference.identity, len(subject.rows))
        known = self._usual.get(subject.index)
        if known is None or known[0] != key:
            known = self._usual[subject.index] = key, tuple(self._of(subject, by_segment, named, (None, REFERENCE)))
        return known[1]

    def _of(
        self,
        subject: Subject,
        by_segment: Mapping[str, Rows],
        named: set[str] | None,
        at: tuple[int | None, str],
    ) -> Iterator[KpiValue]:
        """Give the KPIs of one model version in one window (None: the reference), all or those that are named."""
        window, text = at
        for segment, name, found in self._found(by_segment, named, window):
            if not isnan(found.value):
                yield KpiValue(subject.model, subject.model_version, segment, text, name, *found)

    def _found(
        self, by_segment: Mapping[str, Rows], named: set[str] | None, window: int | None
    ) -> Iterator[tuple[str, str, Estimate]]:
        cells: dict[str, Cell] = {}
        span_s = 0.0 if window is None else self.span_s(window)
        for segment, rows in by_segment.items():
            cells[segment] = cell = self.reference_cell(rows) if window is None else self.cell(rows, window)
            for name in self._names(cell) if named is None else sorted(named):
                is_known = window is not None or not (name in TOTALS or name in KPIS_AGAINST)
                if is_known and name not in KPIS_ACROSS:
                    yield segment, name, self._estimate(name, rows, cell, span_s, ALPHA)
        for segment_name in sorted({segment.partition("=")[0] for segment in cells if segment}):
            groups = {segment: cell for segment, cell in cells.items() if segment.startswith(f"{segment_name}=")}
            for name, across in KPIS_ACROSS.items():
                if named is None or name in named:
                    yield segment_name, name, across.estimate_across(groups, ALPHA)

    @staticmethod
    def _names(cell: Cell) -> Iterable[str]:
        """Give the names of the KPIs that a cell may have the fields of."""
        yield from KPIS
        yield from RATES
        yield from (name for name, kpi in KPIS_AGAINST.items() if all(field in cell for field in kpi.fields))
        yield from (field for field in cell if field not in _READ_ALONE and kpi_named(field) is not None)
