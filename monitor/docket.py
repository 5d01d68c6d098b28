"""The docket: all that is judged, line by line and stream by stream, and what is known of it from process to process.

Lines of one statistic and arena are judged together, as arrays, whatever their models. When a subject changes, or the
plans do, what follows from them is made anew, and what was seen goes on where it is of the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from monitor.alerts import AlertBook
from monitor.anomalies import Anomalies
from monitor.bins import Arena
from monitor.burns import Burns
from monitor.detectors.base import Detector
from monitor.domain import Alert, IntArray, StreamKey, Transition
from monitor.drift_looks import DriftLooks
from monitor.drifts import ARENAS, Drifts
from monitor.fields import VOLUME
from monitor.incomplete import Incomplete
from monitor.judge_state import (
    Identity,
    Memory,
    kept_rows,
    lines_state,
    pending_lines,
    restore_lines,
)
from monitor.kept import Moves, Section, State
from monitor.kept_rows import moved, reading
from monitor.kpi_cells import Cells
from monitor.kpi_watch import KpiWatch
from monitor.lines import LineMaker, Lines, Terms, Where
from monitor.onsets import Onsets
from monitor.river import RIVER
from monitor.rules import ANOMALY, BURN, DRIFT, KPI, Budget, PlanOf, Rule
from monitor.scopes import Subject
from monitor.streams import StreamTable
from monitor.tracks import Countable, Limits, Tracks
from monitor.verdicts import Verdicts
from monitor.views import Views
from monitor.watchmen import Watchmen

REFRESHES_MAX: Final = 200
"""Models whose lines are made at one look: a fifth of a millisecond each."""
KEPT_SPANS: Final = 2.0
"""Longest windows after which a span of which messages are missing is forgotten: a window may be a third longer."""
NAME: Final = "judge"
"""What the names of its sections begin with."""


class Docket:
    """Holds the lines of all models, their tracks, and what else watches streams. Called in the loop thread."""

    def __init__(
        self,
        table: StreamTable,
        views: Views,
        detectors: Mapping[str, Detector],
        plan_of: PlanOf,
        terms: Terms,
        cells: Cells | None = None,
    ) -> None:
        self._table = table
        self._views = views
        self._detectors = detectors
        self._plan_of = plan_of
        self._terms = terms
        self._onsets = Onsets(views, detectors)
        self._incomplete = Incomplete(KEPT_SPANS * max(views.spans_s(Arena.FLAGS)))
        self._verdicts = Verdicts(views, detectors, self._incomplete)
        self._end_s = 0.0
        self._pasts = self._overs = 0
        self.anomalies = Anomalies(table, views, plan_of, terms.windows_s)
        self.drift_looks = DriftLooks(table)
        self._cells = cells
        self._begin()

    def _begin(self) -> None:
        """Make all that follows from the plans anew, with nothing seen yet."""
        self._maker = LineMaker(self._table, self._views, self._detectors, self._plan_of, self._terms)
        self._rules = self._maker.rules
        self._lines: dict[Where, Lines] = {}
        self._tracks: dict[Where, Tracks] = {}
        self._memory = Memory()
        self._gone: set[Identity] = set()
        self._drifts = Drifts(self._table, self._views, self._plan_of, self._terms.budget)
        self._watchmen = Watchmen(self._table, self._views, self._plan_of, self._terms.budget)
        self.burns = Burns(self._table, self._views, self._plan_of, self._terms)
        self._kpis = None if self._cells is None else KpiWatch(self._table, self._plan_of, self._terms, self._cells)
        self.book = AlertBook(self._terms.config_version)

    # ---- which lines

    def _refresh(self) -> None:
        """Make the lines of changed subjects anew, some at a look: a thousand new models must not stall the loop."""
        changed = sorted(self._table.changed)[:REFRESHES_MAX]
        if not changed:
            return
        self._table.changed.difference_update(changed)
        subjects = [self._table.subjects[index] for index in changed]
        for subject in subjects:
            self._views.refresh(subject)
        self._drifts.refresh(subjects, self._end_s)
        self._watchmen.refresh(subjects)
        self.burns.refresh(subjects)
        self.anomalies.refresh(subjects, self._end_s)
        self._set_lines(subjects)

    def _set_lines(self, subjects: Sequence[Subject]) -> None:
        """Make the lines of subjects anew, and the tracks of all."""
        gone, made = np.array([subject.index for subject in subjects]), self._maker.lines_of_all(subjects)
        self._join(
            {where: before.with_others(gone, made.pop(where, None)) for where, before in self._lines.items()} | made
        )

    def _join(self, lines: Mapping[Where, Lines]) -> None:
        """Take these lines, in an order that does not tell which came when, and make their tracks."""
        self._lines = {where: lines[where] for where in sorted(lines) if len(lines[where].row)}
        same: dict[bytes, IntArray] = {}
        for own in self._lines.values():  # lines on the same rows share one array, and so one view per look
            own.row = same.setdefault(own.row.tobytes(), own.row)
        self._track()

    def _track(self) -> None:
        """Make the tracks of all lines anew, going on with those there were."""
        before, self._tracks = self._tracks, {}
        for where, lines in self._lines.items():
            detector = self._detectors[where[0]]
            if isinstance(detector, Countable):
                limits = Limits(lines.cut, lines.rate, lines.temper, lines.nats)
                named = (lines.rule, lines.row, lines.sign > 0)
                self._tracks[where] = tracks = Tracks(detector.ranks(where[1]), limits, named, self._end_s)
                if where in before:
                    tracks.adopt(before[where])

    def skip(self, start_s: float, end_s: float) -> None:
        """Note that messages of a span of event time are missing, before its panes are counted.

        Its panes tell nothing of any change, and nothing is said of windows that reach there.
        """
        self._incomplete.add(start_s, end_s)

    # ---- from one process to the next

    def sections(self) -> Iterator[Section]:
        """Give all that is known, piece by piece; each is valid until the next count or look."""
        pending = np.array(sorted(self._table.changed), dtype=np.int64)
        yield Section(NAME, None, self._state)
        for where, lines in self._lines.items():
            make = partial(lines_state, lines, self._rules, self._tracks.get(where), pending, self._terms.windows_s)
            yield Section(f"{NAME}/lines/{where[0]}/{where[1].name}", None, make)
        for arena in ARENAS:
            yield Section(f"{NAME}/drifts/{arena.name}", None, partial(self._drifts.state, arena))
        yield Section(f"{NAME}/river", None, self._watchmen.state)
        yield from self.anomalies.sections(f"{NAME}/anomalies")

    def _state(self) -> State:
        changed = [self._table.subjects[index] for index in sorted(self._table.changed)]
        return {
            "end_s": self._end_s,
            "pending": [[subject.model, subject.model_version] for subject in changed],
            "book": self.book.state(),
            "memory": self._memory.state(self._terms.windows_s),
            "waves": self._drifts.waves(),
            "incomplete": self._incomplete.state(),
            "drift_looks": self.drift_looks.state(),
        }

    def restore(self, states: Mapping[str, State], moves: Moves, end_s: float) -> None:
        """Go on from states, by the names of their sections; of a judge that is new, whose table and views are there.

        moves: where the rows of the state lie now, by arena. end_s: the end of the last pane that had closed. What the
        plans of today no longer watch is dropped, and its alerts end at the next look. Cost: 2 ms per model. Raises
        StateError for what is none.
        """
        with reading("of the judge"):
            self._incomplete.restore(states.get(NAME, {}).get("incomplete", {}))
            self.drift_looks.restore(states.get(NAME, {}).get("drift_looks", {}))
            self.anomalies.restore(f"{NAME}/anomalies", states, moves)
            self._go_on(states, moves, end_s)

    def replan(self, end_s: float, budget: Budget | None = None, config_version: str = "") -> list[Transition]:
        """Take in that the plans of models are others now, or the budget is; give the alerts that this ends.

        What was counted stays, and so does what was seen of lines and streams whose rule, by its name, and limit are
        the same. An alert goes on while a rule of its name watches its stream, and is judged by its new thresholds from
        the next look on. The set of all windows is that of the ladders and stays as it is: another one, and a rule with
        a window that is not among them, needs a restart. Cost: as of `restore`.
        """
        states = {section.name: section.make() for section in self.sections()}
        self._terms = self._terms.renewed(self._terms.budget if budget is None else budget, config_version)
        self._begin()
        self.anomalies.renew()
        self._go_on(states, {rows.arena: np.arange(len(rows)) for rows in self._table.arenas}, end_s)
        return self._remove_gone(end_s)

    def _go_on(self, states: Mapping[str, State], moves: Moves, end_s: float) -> None:
        """Make what follows from the plans of today, and let it go on where the states left it.

        Subjects that were still waiting for their lines to be made anew go on waiting, with the lines they had.
        """
        self._end_s = end_s
        state = states.get(NAME, {})
        drifts = {arena: states.get(f"{NAME}/drifts/{arena.name}", {}) for arena in ARENAS}
        known = self._drifts.known(drifts, moves)
        by_name = {(subject.model, subject.model_version): subject for subject in self._table.subjects}
        waiting = [by_name.get((model, version)) for model, version in state.get("pending", [])]
        pending = {subject.index for subject in waiting if subject is not None}
        self._table.changed.clear()
        self._table.changed.update(pending)
        subjects = [subject for subject in self._table.subjects if subject.index not in pending]
        for subject in subjects:
            self._views.refresh(subject)
        self._watchmen.restore(states.get(f"{NAME}/river", {}), moves)
        self._watchmen.refresh(subjects)
        self.burns.refresh(subjects)
        self.anomalies.refresh(subjects, end_s)
        self._drifts.refresh([s for s in self._table.subjects if s.index not in pending or s.index in known], end_s)
        waves = {by_name[m, v].index: (b, n) for m, v, b, n in state.get("waves", []) if (m, v) in by_name}
        self._drifts.restore(drifts, waves, moves, end_s)
        self._restore_lines(self._maker.lines_of_all(subjects), states, moves)
        self._restore_alerts(state, moves)

    def _restore_lines(self, lines: dict[Where, Lines], states: Mapping[str, State], moves: Moves) -> None:
        windows_s, nobody = self._terms.windows_s, np.zeros(0, dtype=np.int64)
        places = [(name, arena) for name in self._detectors for arena in Arena]
        found = {where: states.get(f"{NAME}/lines/{where[0]}/{where[1].name}") for where in places}
        for where, state in found.items():
            if state is not None:
                arena = where[1]
                own = pending_lines(state, windows_s, moves[arena], self._table.arenas[arena].subjects, self._number_of)
                if own is not None:
                    lines[where] = lines[where].with_others(nobody, own) if where in lines else own
        self._join(lines)
        for where, own in self._lines.items():
            state = found[where]
            if state is not None:
                restore_lines(state, own, self._rules, self._tracks.get(where), windows_s, moves[where[1]])

    def _number_of(self, subject: int, name: str) -> int | None:
        return self._maker.number_of(self._table.subjects[subject], name)

    def _restore_alerts(self, state: State, moves: Moves) -> None:
        """Go on with alerts and what is remembered of them; those that nothing watches any more wait to be removed."""
        if not (state.get("book", {}).get("entries") or any(state.get("memory", {}).values())):
            self.book.restore(state.get("book", {}), lambda _: None)
            return
        kept = kept_rows(moves, {rows.arena: len(rows) for rows in self._table.arenas})
        places = {key: (rows.arena, row) for rows in self._table.arenas for row, key in enumerate(rows.keys)}

        def is_kept(key: StreamKey) -> bool:
            place = places.get(key)
            if place is None and is_kpi(key):
                return True
            return place is not None and bool(kept[place[0]][place[1]])

        def is_kpi(key: StreamKey) -> bool:
            return StreamKey(key.model, key.model_version, VOLUME, "") in places and key not in places

        def rule_of(alert: Alert) -> Rule | None:
            if alert.statistic == KPI:
                return None if self._kpis is None else self._kpis.rule_of(alert.key, alert.rule)
            return self._rule_of(alert, *places[alert.key]) if is_kept(alert.key) else None

        def begun_of(where: Where, row: int, name: str) -> tuple[Where, int, int] | None:
            now = int(moved(np.array([row]), moves[where[1]])[0])
            number = self._line_of(where, now, name)
            return None if number is None else (where, number, now)

        self._gone = self.book.restore(state.get("book", {}), rule_of)
        self._memory.restore(state.get("memory", {}), self._terms.windows_s, is_kept, begun_of)

    def _rule_of(self, alert: Alert, arena: Arena, row: int) -> Rule | None:
        """Give the rule that watches the stream of an alert today under the alert's name for it, if any does."""
        if alert.statistic == DRIFT:
            return self._drifts.rule_of(arena, row, alert.rule)
        if alert.statistic == ANOMALY:
            return self.anomalies.rule_of(alert.key, alert.rule)
        if alert.statistic == BURN:
            return self.burns.rule_of(row, alert.rule)
        if alert.statistic in RIVER:
            return self._watchmen.rule_of(arena, row, alert.rule)
        number = self._line_of((alert.statistic, arena), row, alert.rule)
        return None if number is None else self._rules[number]

    def _line_of(self, where: Where, row: int, name: str) -> int | None:
        """Give the number of the rule of this name that has a line on a row, if any has."""
        lines = self._lines.get(where)
        numbers = [] if lines is None else lines.rule[lines.row == row].tolist()
        return next((number for number in numbers if self._rules[number].name == name), None)

    def _remove_gone(self, end_s: float) -> list[Transition]:
        """Resolve the alerts that nothing watches any more."""
        if not self._gone:
            return []
        gone, self._gone = self._gone, set()
        return self.book.remove(lambda alert: (alert.rule, alert.key) in gone, end_s)
