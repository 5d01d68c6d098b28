"""The judge: windows of counts against references, by the rules of each model, once per closed pane.

A line is one rule on one stream. Lines of one statistic and arena are judged together, as arrays, whatever their
models, so a look costs the same for one model with a thousand streams as for a thousand models with one. A look never
sees an event: its cost does not depend on traffic.

Windows are judged from the shortest to the longest, and the first that proves something decides: a strong breach fires
from a short window, a faint one from a long window, and a long window that still remembers an incident is overruled
once a shorter one proves that it is over: then, and for as long as it remembers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.alerts import AlertBook, Observation
from monitor.bins import Arena
from monitor.detectors.base import Detector, View
from monitor.domain import BoolArray, FloatArray, IntArray, Kind, Seen, StreamKey, Transition
from monitor.rules import Budget, Level, Plan, PlanOf, Rule
from monitor.scopes import Subject
from monitor.streams import StreamTable
from monitor.views import Views

CLEAR_EVIDENCE: Final = 6.9
"""Nats that the good side must be proven with (one in a thousand) before an alert may end."""
REFRESHES_MAX: Final = 200
"""Models whose lines are made at one look: a fifth of a millisecond each."""
DATINGS_MAX: Final = 100
"""New alerts whose onset is estimated at one look: a millisecond each."""
LOOKS_PER_SPAN: Final = 60
"""A window is judged this often in its own length, but not more often than once per pane."""


@dataclass(slots=True)
class Lines:
    """Lines of one statistic on one arena; arrays of shape (n,), or (windows, n) where it says so.

    subject, rule: indices; yellow, red: thresholds (NaN: none). lowest: the first of them reached. clear: where an
    alert may end. sign: 1 breached above, -1 below. needed: nats. in_window, seen (windows, n): which windows count,
    and what they last said.
    """

    subject: IntArray
    rule: IntArray
    row: IntArray
    sign: FloatArray
    yellow: FloatArray
    red: FloatArray
    lowest: FloatArray
    clear: FloatArray
    samples_min: FloatArray
    needed: FloatArray
    in_window: BoolArray
    seen: npt.NDArray[np.int8]

    @classmethod
    def joined(cls, parts: Sequence[Lines]) -> Lines:
        """Join the lines of many subjects. The parts go on sharing `seen` with the whole: what was seen is kept."""
        whole = cls(*(np.concatenate([getattr(part, f.name) for part in parts], axis=-1) for f in fields(cls)))
        start = 0
        for part in parts:
            stop = start + len(part.row)
            part.seen = whole.seen[:, start:stop]
            start = stop
        return whole


Where = tuple[str, Arena]
"""A statistic and the arena it is judged on."""


class Judge:
    """Holds the lines of all models and what each window last said of them.

    Called by the pipeline, in the loop thread.
    """

    def __init__(
        self, table: StreamTable, views: Views, detectors: Mapping[str, Detector], plan_of: PlanOf, terms: Terms
    ) -> None:
        self._table = table
        self._views = views
        self._detectors = detectors
        self._plan_of = plan_of
        self._terms = terms
        self._rules: list[Rule] = []
        self._tables: dict[int, RuleTable] = {}
        self._parts: dict[Where, dict[int, Lines]] = defaultdict(dict)
        self._lines: dict[Where, Lines] = {}
        self._end_s = 0.0
        self._datings = 0
        self._ended: dict[tuple[str, StreamKey], tuple[float, int]] = {}
        self.book = AlertBook()

    def look(self, pane: int, end_s: float) -> list[Transition]:
        """Judge the windows that are due at the end of a pane; give the alerts that changed."""
        self._end_s, self._datings = end_s, 0
        self._refresh()
        transitions: list[Transition] = []
        due = [i for i, every in enumerate(self._terms.every) if (pane + 1) % every == 0]
        for where, lines in self._lines.items():
            alerted = self._alerted(where, lines)
            for window in reversed(due):  # so that what a long window finds, the shorter ones look at too
                is_watched = alerted | (lines.seen >= Seen.YELLOW).any(axis=0)
                lines.seen[window] = self._seen(where, lines, window, is_watched)
            transitions += self.book.advance(self._observations(where, lines, alerted), end_s, self._date)
        return transitions

    # ---- lines

    def _refresh(self) -> None:
        """Make the lines of changed subjects anew, some at a look: a thousand new models must not stall the loop."""
        changed = sorted(self._table.changed)[:REFRESHES_MAX]
        if not changed:
            return
        self._table.changed.difference_update(changed)
        for index in changed:
            subject = self._table.subjects[index]
            self._views.refresh(subject)
            for parts in self._parts.values():
                parts.pop(index, None)
            for where, lines in self._lines_of(subject):
                self._parts[where][index] = lines
        self._lines = {where: Lines.joined(list(parts.values())) for where, parts in self._parts.items() if parts}
        same: dict[bytes, IntArray] = {}
        for lines in self._lines.values():  # lines on the same rows share one array, and so one view per look
            lines.row = same.setdefault(lines.row.tobytes(), lines.row)

    def _lines_of(self, subject: Subject) -> Iterator[tuple[Where, Lines]]:
        rules = self._rules_of(self._plan_of(subject.model, subject.model_version))
        found: dict[Where, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for arena, row in subject.rows:
            rows = self._table.arenas[arena]
            if rows.kinds[row] is Kind.NUMERIC and not self._table.values.has_grid[row]:
                continue  # its values still wait, so its nulls alone say nothing
            has_reference = subject.is_ready and not rows.is_learning[row]
            for at in rules.matching(rows.keys[row].field, rows.kinds[row], has_reference=has_reference):
                which, where = found[rules.rules[at].statistic, arena]
                which.append(at)
                where.append(row)
        count = sum(len(which) for which, _ in found.values())
        for place, (which, at_rows) in found.items():
            yield place, self._make(subject, place, (rules, np.array(which)), np.array(at_rows), count)

    def _rules_of(self, plan: Plan) -> RuleTable:
        table = self._tables.get(id(plan))
        if table is None:
            table = self._tables[id(plan)] = RuleTable(plan, self._detectors, self._terms, len(self._rules))
            self._rules.extend(plan.rules)
        return table

    def _make(
        self, subject: Subject, where: Where, chosen: tuple[RuleTable, IntArray], rows: IntArray, count: int
    ) -> Lines:
        table, which = chosen
        own = self._detectors[where[0]].of_reference(self._views.some(where[1], 0, rows))
        yellow = table.yellow[which] * np.where(table.is_yellow_relative[which], own, 1.0)
        red = table.red[which] * np.where(table.is_red_relative[which], own, 1.0)
        lowest = np.where(np.isnan(yellow), red, yellow)
        in_window = table.in_window[:, which]
        return Lines(
            subject=np.full(len(rows), subject.index),
            rule=which + table.first,
            row=rows,
            sign=table.sign[which],
            yellow=yellow,
            red=red,
            lowest=lowest,
            clear=lowest * (1.0 - table.sign[which] * table.hysteresis[which]),
            samples_min=table.samples_min[which],
            needed=np.log(np.maximum(2.0, count * table.looks[which] / self._terms.budget.pages)),
            in_window=in_window,
            seen=np.zeros(in_window.shape, dtype=np.int8),
        )

    # ---- a look

    def _alerted(self, where: Where, lines: Lines) -> BoolArray:
        """Tell which lines may have an alert: those of subjects that have one of this statistic."""
        alerted = {alert.key[:2] for alert in self.book.alerts if alert.statistic == where[0]}
        if not alerted:
            return np.zeros(len(lines.row), dtype=bool)
        indices = [s.index for s in self._table.subjects if (s.model, s.model_version) in alerted]
        return np.isin(lines.subject, indices)

    def _seen(self, where: Where, lines: Lines, window: int, is_watched: BoolArray) -> npt.NDArray[np.int8]:
        """Give what a window says of each line: HOLD, unproven, of those on the good side that nobody asks about."""
        detector = self._detectors[where[0]]
        view = self._views.shared(where[1], window, lines.row)
        measure = detector.measure(view)
        seen = np.full(len(lines.row), Seen.HOLD, dtype=np.int8)
        is_bad = lines.sign * (measure.value - lines.lowest) > 0
        at = np.flatnonzero(is_bad | is_watched)
        if at.size:
            seen[at] = self._proven(detector, self._views.part(view, at), lines, at)
        seen[(measure.samples < lines.samples_min) | np.isnan(measure.value) | np.isnan(lines.lowest)] = Seen.UNKNOWN
        return seen

    def _proven(self, detector: Detector, view: View, lines: Lines, at: IntArray) -> npt.NDArray[np.int8]:
        """Give what the evidence proves of the lines at `at`, whose rows the view holds."""
        measure, sign, needed = detector.measure(view), lines.sign[at], lines.needed[at]
        evidence = sign * detector.evidence(view, measure, lines.lowest[at])
        seen = np.full(len(at), Seen.HOLD, dtype=np.int8)
        is_good = sign * (measure.value - lines.clear[at]) <= 0
        seen[is_good & (evidence <= -CLEAR_EVIDENCE)] = Seen.CLEAR
        red = lines.red[at]
        is_red = ~np.isnan(red) & (sign * detector.evidence(view, measure, red) >= needed)
        is_breach = evidence >= needed
        seen[is_breach] = np.where(is_red, Seen.RED, Seen.YELLOW)[is_breach]
        return seen

    def _observations(self, where: Where, lines: Lines, alerted: BoolArray) -> Iterator[Observation]:
        """Give what the windows say together, for the lines that breach or have an alert."""
        verdict = np.zeros(len(lines.row), dtype=np.int8)
        decided_by = np.zeros(len(lines.row), dtype=np.int64)
        for window, seen in enumerate(lines.seen):
            says = np.where(lines.in_window[window], seen, Seen.UNKNOWN)
            better = (verdict < Seen.CLEAR) & (says > verdict)
            verdict[better] = says[better]
            decided_by[better] = window
        of_interest = alerted | (verdict >= Seen.YELLOW)
        chosen: list[int] = []
        for i in np.flatnonzero(of_interest).tolist():
            rule, key = self._rules[int(lines.rule[i])], self._table.arenas[where[1]].keys[int(lines.row[i])]
            seen, window = Seen(int(verdict[i])), int(decided_by[i])
            if (rule.name, key) in self.book:
                if seen is Seen.CLEAR:
                    self._ended[rule.name, key] = (self._end_s, window)
            elif seen < Seen.YELLOW or self._remembers((rule.name, key), where[1], window):
                continue
            chosen.append(i)
        at = np.array(chosen, dtype=np.int64)
        for window in np.unique(decided_by[at]).tolist():
            yield from self._observe(where, lines, at[decided_by[at] == window], (verdict, window))

    def _remembers(self, identity: tuple[str, StreamKey], arena: Arena, window: int) -> bool:
        """Tell whether a window still holds an incident that a shorter one has proven to be over."""
        ended_s, ended_by = self._ended.get(identity, (-np.inf, window))
        return window > ended_by and self._end_s - self._views.of(arena, window).span_s < ended_s

    def _observe(
        self, where: Where, lines: Lines, at: IntArray, decided: tuple[npt.NDArray[np.int8], int]
    ) -> Iterator[Observation]:
        """Put the evidence of some lines, all decided by one window, into words' reach."""
        verdict, window = decided
        detector, rows = self._detectors[where[0]], lines.row[at]
        view = self._views.some(where[1], window, rows)
        measure = detector.measure(view)
        threshold = np.where(verdict[at] == Seen.RED, lines.red[at], lines.lowest[at])
        evidence = lines.sign[at] * detector.evidence(view, measure, threshold)
        keys = self._table.arenas[where[1]].keys
        for i, line in enumerate(at.tolist()):
            subject = self._table.subjects[int(lines.subject[line])]
            yield Observation(
                rule=self._rules[int(lines.rule[line])],
                key=keys[int(rows[i])],
                seen=Seen(int(verdict[line])),
                value=float(measure.value[i]),
                threshold=float(threshold[i]),
                interval=(float(measure.low[i]), float(measure.high[i])),
                samples=int(measure.samples[i]),
                evidence=float(evidence[i]),
                evidence_needed=float(lines.needed[line]),
                window_s=view.span_s,
                reference=subject.reference.identity if subject.reference else "",
                where=where,
                row=int(rows[i]),
            )

    def _date(self, seen: Observation) -> float:
        """Estimate the onset: the start of the suffix of the past in which the evidence is strongest. Cost: 1 ms.

        When very many alerts begin at one look, only the first DATINGS_MAX are dated so; the rest with their window's
        start.
        """
        self._datings += 1
        if self._datings > DATINGS_MAX:
            return self._end_s - seen.window_s
        detector = self._detectors[seen.where[0]]
        view, starts = self._views.suffixes(seen.where[1], seen.row)
        threshold = np.full(len(starts), seen.threshold)
        sign = 1.0 if seen.rule.is_above else -1.0
        evidence = sign * detector.evidence(view, detector.measure(view), threshold)
        return float(starts[int(np.argmax(evidence))]) if np.any(evidence > 0) else self._end_s - seen.window_s


@dataclass(frozen=True, slots=True)
class Terms:
    """What the judge goes by for all models.

    windows_s: ascending. every: panes from one look at each window to the next.
    """

    budget: Budget
    windows_s: tuple[float, ...]
    every: tuple[int, ...]

    @classmethod
    def of(cls, budget: Budget, windows_s: Iterable[float], pane_s: float) -> Terms:
        """Give the terms for panes of this length."""
        ordered = tuple(sorted(set(windows_s)))
        return cls(budget, ordered, tuple(max(1, int(w / pane_s) // LOOKS_PER_SPAN) for w in ordered))


class RuleTable:
    """The rules of a plan as arrays of shape (rules,), in_window (windows, rules), and which rules are for a stream.

    first: where the plan's rules begin among all rules. looks: independent looks in the budget's period, see
    rules.Budget.
    """

    def __init__(self, plan: Plan, detectors: Mapping[str, Detector], terms: Terms, first: int) -> None:
        rules = plan.rules
        self.plan = plan  # held, so that its id stays its own
        self.rules = rules
        self.first = first
        self._detectors = [detectors[rule.statistic] for rule in rules]
        self._matching: dict[tuple[str, Kind, bool], list[int]] = {}
        self.sign = np.array([1.0 if rule.is_above else -1.0 for rule in rules])
        self.yellow, self.is_yellow_relative = _levels([rule.yellow for rule in rules])
        self.red, self.is_red_relative = _levels([rule.red for rule in rules])
        self.hysteresis = np.array([rule.hysteresis for rule in rules])
        self.samples_min = np.array([float(rule.samples_min) for rule in rules])
        self.looks = np.array([terms.budget.looks(rule.windows_s) for rule in rules])
        self.in_window = np.array([[w in rule.windows_s for rule in rules] for w in terms.windows_s], dtype=bool)

    def matching(self, field: str, kind: Kind, *, has_reference: bool) -> list[int]:
        """Give the rules for a stream; without a reference only those that need none."""
        key = (field, kind, has_reference)
        if key not in self._matching:
            self._matching[key] = [
                at
                for at, (rule, detector) in enumerate(zip(self.rules, self._detectors, strict=True))
                if kind in detector.kinds
                and rule.watches(field)
                and (has_reference or not (detector.needs_reference or rule.is_relative))
            ]
        return self._matching[key]


def _levels(levels: Sequence[Level | None]) -> tuple[FloatArray, BoolArray]:
    values = np.array([np.nan if level is None else level.value for level in levels])
    return values, np.array([level is not None and level.is_relative for level in levels], dtype=bool)
