"""Lines: one rule on one stream each, as arrays over all streams that a statistic is judged on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.bins import Arena
from monitor.detectors.base import Detector
from monitor.domain import BoolArray, FloatArray, IntArray, Kind
from monitor.rules import Budget, Level, Plan, PlanOf, Rule
from monitor.scopes import Subject
from monitor.streams import StreamTable
from monitor.tracks import NO_LIMITS, UNKNOWN, Countable, Limits
from monitor.views import Views

LOOKS_PER_SPAN: Final = 20
"""A window is judged this often in its own length, but not more often than once per pane."""


@dataclass(slots=True)
class Lines:
    """Lines of one statistic on one arena; arrays of shape (n,), or (windows, n) where it says so.

    subject, rule: indices; yellow, red: thresholds (NaN: none). lowest: the first of them reached. clear: where an
    alert may end. sign: 1 breached above, -1 below. needed: nats in windows. cut, rate, temper, nats: as in
    tracks.Limits, nothing where a statistic has no tracks. in_window, seen (windows, n): which windows count, and what
    they last said.
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
    cut: IntArray
    rate: FloatArray
    temper: npt.NDArray[np.float32]
    nats: FloatArray
    in_window: BoolArray
    seen: npt.NDArray[np.int8]

    @classmethod
    def joined(cls, parts: Iterable[Lines]) -> Lines:
        """Join the lines of many subjects."""
        held = list(parts)
        return cls(*(np.concatenate([getattr(part, f.name) for part in held], axis=-1) for f in fields(cls)))

    def part(self, start: int, stop: int) -> Lines:
        """Give some of the lines, which share all with the whole."""
        return Lines(*(getattr(self, f.name)[..., start:stop] for f in fields(Lines)))


@dataclass(frozen=True, slots=True)
class Part:
    """The lines of one subject among those of all, so that nothing of them is held twice."""

    whole: Lines
    start: int
    stop: int

    @property
    def lines(self) -> Lines:
        """The lines, with what was last seen of them."""
        return self.whole.part(self.start, self.stop)

    @classmethod
    def of(cls, lines: Lines) -> Part:
        """Give lines that are not joined to any others yet."""
        return cls(lines, 0, len(lines.row))


def rejoined(parts: dict[int, Part]) -> Lines:
    """Join parts, by subject, into a new whole, and make them parts of it."""
    whole = Lines.joined(part.lines for part in parts.values())
    start = 0
    for subject, part in parts.items():
        stop = start + part.stop - part.start
        parts[subject] = Part(whole, start, stop)
        start = stop
    return whole


Where = tuple[str, Arena]
"""A statistic and the arena it is judged on."""


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
        rules = tuple(rule for rule in plan.rules if rule.statistic in detectors)
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


class LineMaker:
    """Makes the lines of a subject by its plan. rules: of all plans so far, in the order of their numbers."""

    def __init__(
        self, table: StreamTable, views: Views, detectors: Mapping[str, Detector], plan_of: PlanOf, terms: Terms
    ) -> None:
        self._table = table
        self._views = views
        self._detectors = detectors
        self._plan_of = plan_of
        self._terms = terms
        self._tables: dict[int, RuleTable] = {}
        self.rules: list[Rule] = []

    def lines_of(self, subject: Subject) -> Iterator[tuple[Where, Lines]]:
        """Give the lines of a subject, place by place."""
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
            table = self._tables[id(plan)] = RuleTable(plan, self._detectors, self._terms, len(self.rules))
            self.rules.extend(table.rules)
        return table

    def _make(
        self, subject: Subject, where: Where, chosen: tuple[RuleTable, IntArray], rows: IntArray, count: int
    ) -> Lines:
        table, which = chosen
        detector, view = self._detectors[where[0]], self._views.some(where[1], 0, rows)
        own = detector.of_reference(view)
        yellow = table.yellow[which] * np.where(table.is_yellow_relative[which], own, 1.0)
        red = table.red[which] * np.where(table.is_red_relative[which], own, 1.0)
        lowest = np.where(np.isnan(yellow), red, yellow)
        in_window = table.in_window[:, which]
        limits = NO_LIMITS
        if isinstance(detector, Countable):
            learned = [self._table.normals.get((where[1], row), UNKNOWN) for row in rows.tolist()]
            limits = Limits.of(detector, view, lowest, table.sign[which] > 0, learned)
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
            needed=np.log(np.maximum(2.0, count * table.looks[which] / self._terms.budget.line_pages)),
            cut=limits.cut,
            rate=limits.rate,
            temper=limits.temper,
            nats=np.full(len(rows), self._terms.budget.line_nats(count)),
            in_window=in_window,
            seen=np.zeros(in_window.shape, dtype=np.int8),
        )


def _levels(levels: Sequence[Level | None]) -> tuple[FloatArray, BoolArray]:
    values = np.array([np.nan if level is None else level.value for level in levels])
    return values, np.array([level is not None and level.is_relative for level in levels], dtype=bool)
