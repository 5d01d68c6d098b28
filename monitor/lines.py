"""Lines: one rule on one stream each, as arrays over all streams that a statistic is judged on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.bins import Arena
from monitor.detectors.base import Detector
from monitor.detectors.rates import RateDetector
from monitor.domain import DRILL_MODEL, BoolArray, FloatArray, IntArray, Kind
from monitor.fields import VOLUME
from monitor.rules import Budget, Level, Plan, PlanOf, Rule
from monitor.scopes import Subject
from monitor.streams import StreamTable
from monitor.tracks import NO_LIMITS, UNKNOWN, Countable, Limits
from monitor.views import Views

LOOKS_PER_SPAN: Final = 20
"""A window is judged this often in its own length, but not more often than once per pane."""
BLOCK: Final = 1024
"""Lines made together: 8 MB of passing memory where a stream has a thousand bins."""


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
        """Join some lines and others."""
        held = list(parts)
        return cls(*(np.concatenate([getattr(part, f.name) for part in held], axis=-1) for f in fields(cls)))

    def taken(self, at: IntArray | BoolArray) -> Lines:
        """Give some of the lines, as copies."""
        own = (getattr(self, f.name) for f in fields(Lines))
        return Lines(*(array[..., at] if array.shape[-1] else array for array in own))

    def with_others(self, gone: IntArray, new: Lines | None) -> Lines:
        """Give the lines without those of some subjects, but with new ones, in the order of subjects.

        So the order does not tell which subject had its lines made when.
        """
        kept = self.taken(~np.isin(self.subject, gone))
        if new is None:
            return kept
        joined = Lines.joined([kept, new])
        return joined.taken(np.argsort(joined.subject, kind="stable"))


Where = tuple[str, Arena]
"""A statistic and the arena it is judged on."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the judge goes by for all models.

    windows_s: ascending. every: panes from one look at each window to the next. pane_s: how long a pane is.
    config_version: of the configuration that all this is from.
    """

    budget: Budget
    windows_s: tuple[float, ...]
    every: tuple[int, ...]
    pane_s: float = 1.0
    config_version: str = ""

    @classmethod
    def of(cls, budget: Budget, windows_s: Iterable[float], pane_s: float, config_version: str = "") -> Terms:
        """Give the terms for panes of this length."""
        ordered = tuple(sorted(set(windows_s)))
        every = tuple(max(1, int(w / pane_s) // LOOKS_PER_SPAN) for w in ordered)
        return cls(budget, ordered, every, pane_s, config_version)

    def renewed(self, budget: Budget, config_version: str) -> Terms:
        """Give the same terms under another budget, by another configuration."""
        return replace(self, budget=budget, config_version=config_version)


@dataclass(frozen=True, slots=True)
class RuleArrays:
    """Rules as arrays of shape (rules,), in_window (windows, rules).

    looks: independent looks in the budget's period, see rules.Budget.
    """

    sign: FloatArray
    yellow: FloatArray
    is_yellow_relative: BoolArray
    red: FloatArray
    is_red_relative: BoolArray
    hysteresis: FloatArray
    samples_min: FloatArray
    looks: FloatArray
    in_window: BoolArray

    @classmethod
    def of(cls, rules: Sequence[Rule], terms: Terms) -> RuleArrays:
        """Give those of some rules."""
        yellow, is_yellow_relative = _levels([rule.yellow for rule in rules])
        red, is_red_relative = _levels([rule.red for rule in rules])
        return cls(
            sign=np.array([1.0 if rule.is_above else -1.0 for rule in rules]),
            yellow=yellow,
            is_yellow_relative=is_yellow_relative,
            red=red,
            is_red_relative=is_red_relative,
            hysteresis=np.array([rule.hysteresis for rule in rules]),
            samples_min=np.array([float(rule.samples_min) for rule in rules]),
            looks=np.array([terms.budget.looks(rule.windows_s) for rule in rules]),
            in_window=np.array([[w in rule.windows_s for rule in rules] for w in terms.windows_s], dtype=bool),
        )


class RuleTable:
    """The rules of a plan, and which of them are for a stream. first: where they begin among all rules."""

    def __init__(self, plan: Plan, detectors: Mapping[str, Detector], first: int) -> None:
        self.plan = plan  # held, so that its id stays its own
        self.rules = tuple(rule for rule in plan.rules if rule.statistic in detectors)
        self._first = first
        self._detectors = [detectors[rule.statistic] for rule in self.rules]
        self._matching: dict[tuple[str, Kind, bool], Mapping[str, Sequence[int]]] = {}

    def number_of(self, name: str) -> int | None:
        """Give the number of the rule of this name."""
        return next((at for at, rule in enumerate(self.rules, start=self._first) if rule.name == name), None)

    def matching(self, field: str, kind: Kind, *, has_reference: bool) -> Mapping[str, Sequence[int]]:
        """Give the numbers of the rules for a stream, by statistic; without a reference only those that need none."""
        key = (field, kind, has_reference)
        found = self._matching.get(key)
        if found is None:
            made: dict[str, list[int]] = {}
            for at, (rule, detector) in enumerate(zip(self.rules, self._detectors, strict=True), start=self._first):
                is_able = has_reference or not (detector.needs_reference or rule.is_relative)
                if kind in detector.kinds and rule.watches(field) and is_able:
                    made.setdefault(rule.statistic, []).append(at)
            found = self._matching[key] = made
        return found


Chosen = tuple[list[int], list[int]]
"""Numbers of rules and rows, line by line."""


class LineMaker:
    """Makes the lines of subjects by their plans. rules: of all plans so far, in the order of their numbers."""

    def __init__(
        self, table: StreamTable, views: Views, detectors: Mapping[str, Detector], plan_of: PlanOf, terms: Terms
    ) -> None:
        self._table = table
        self._views = views
        self._detectors = detectors
        self._plan_of = plan_of
        self._terms = terms
        self._tables: dict[int, RuleTable] = {}
        self._arrays = RuleArrays.of((), terms)
        self.rules: list[Rule] = []

    def lines_of(self, subject: Subject) -> Iterator[tuple[Where, Lines]]:
        """Give the lines of a subject, place by place."""
        yield from self.lines_of_all([subject]).items()

    def lines_of_all(self, subjects: Iterable[Subject]) -> dict[Where, Lines]:
        """Give the lines of subjects, place by place, in the order of the subjects. Cost: 15 us per line."""
        found: dict[Where, Chosen] = defaultdict(lambda: ([], []))
        counts = np.zeros(len(self._table.subjects), dtype=np.int64)
        for subject in subjects:
            counts[subject.index] = self._choose(subject, found)
        if len(self._arrays.sign) < len(self.rules):
            self._arrays = RuleArrays.of(self.rules, self._terms)
        return {
            where: Lines.joined(
                self._make(where, np.array(which[at : at + BLOCK]), np.array(rows[at : at + BLOCK]), counts)
                for at in range(0, len(rows), BLOCK)
            )
            for where, (which, rows) in found.items()
        }

    def _choose(self, subject: Subject, found: dict[Where, Chosen]) -> int:
        """Add the lines of a subject to those found; give how many they are."""
        rules = self._rules_of(self._plan_of(subject.model, subject.model_version))
        is_drill, count = subject.model == DRILL_MODEL, 0
        for arena, row in subject.rows:
            rows = self._table.arenas[arena]
            key, kind = rows.keys[row], rows.kinds[row]
            if kind is Kind.NUMERIC and not self._table.values.has_grid[row]:
                continue  # its values still wait, so its nulls alone say nothing
            if is_drill and key.field == VOLUME:
                continue  # a drill begins and ends all of a sudden, so what is said of its traffic is no finding
            has_reference = subject.is_ready and not rows.is_learning[row]
            for statistic, own in rules.matching(key.field, kind, has_reference=has_reference).items():
                which, where = found[statistic, arena]
                which.extend(own)
                where.extend([row] * len(own))
                count += len(own)
        return count

    def number_of(self, subject: Subject, name: str) -> int | None:
        """Give the number of a subject's rule by its name; None: it has none of this name."""
        return self._rules_of(self._plan_of(subject.model, subject.model_version)).number_of(name)

    def _rules_of(self, plan: Plan) -> RuleTable:
        table = self._tables.get(id(plan))
        if table is None:
            table = self._tables[id(plan)] = RuleTable(plan, self._detectors, len(self.rules))
            self.rules.extend(table.rules)
        return table

    def _make(self, where: Where, which: IntArray, rows: IntArray, counts: IntArray) -> Lines:
        """Give lines: the numbers of their rules, and their rows. counts: lines of each subject."""
        rules, subject = self._arrays, self._table.arenas[where[1]].subjects[rows]
        detector, view = self._detectors[where[0]], self._views.some(where[1], 0, rows)
        usual = self._views.usual(view, where[1], rows)
        own = detector.of_reference(usual)
        if isinstance(detector, RateDetector):
            own = np.where(rules.sign[which] > 0, own, detector.low_of_reference(usual))
        yellow = rules.yellow[which] * np.where(rules.is_yellow_relative[which], own, 1.0)
        red = rules.red[which] * np.where(rules.is_red_relative[which], own, 1.0)
        lowest = np.where(np.isnan(yellow), red, yellow)
        in_window = rules.in_window[:, which]
        limits = NO_LIMITS
        if isinstance(detector, Countable):
            learned = [self._table.normals.get((where[1], row), UNKNOWN) for row in rows.tolist()]
            limits = Limits.of(detector, view, lowest, rules.sign[which] > 0, learned)
        count, budget = counts[subject], self._terms.budget
        sizes, at = np.unique(count, return_inverse=True)
        return Lines(
            subject=subject,
            rule=which,
            row=rows,
            sign=rules.sign[which],
            yellow=yellow,
            red=red,
            lowest=lowest,
            clear=lowest * (1.0 - rules.sign[which] * rules.hysteresis[which]),
            samples_min=rules.samples_min[which],
            needed=np.log(np.maximum(2.0, count * rules.looks[which] / budget.line_pages)),
            cut=limits.cut,
            rate=limits.rate,
            temper=limits.temper,
            nats=np.array([budget.line_nats(size) for size in sizes.tolist()])[at],
            in_window=in_window,
            seen=np.zeros(in_window.shape, dtype=np.int8),
        )


def _levels(levels: Sequence[Level | None]) -> tuple[FloatArray, BoolArray]:
    values = np.array([np.nan if level is None else level.value for level in levels])
    return values, np.array([level is not None and level.is_relative for level in levels], dtype=bool)
