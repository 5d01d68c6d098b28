"""Error budgets: how fast errors use up what an objective allows, over pairs of windows, one long and one short.

An objective of 99.9 % allows one bad event in a thousand. A burn rate is the share of bad events over the share that is
allowed: at 1 the budget is used up exactly at the end of its period. A burn is told when the long window proves that
the rate is beyond its factor, within the false-alarm budget, and the short one says that it still is.

Source: Beyer and others, The Site Reliability Workbook (2018), chapter 5, "multiwindow, multi-burn-rate alerts". There
a single bad event of ten in a quiet hour pages; here it takes as many as chance does not bring.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.alerts import AlertBook, Observation
from monitor.bins import NO, YES, Arena
from monitor.detectors.evidence import rate_evidence
from monitor.detectors.intervals import wilson_interval
from monitor.detectors.rates import YES_RATE
from monitor.domain import BoolArray, FloatArray, IntArray, Kind, Seen
from monitor.incomplete import Incomplete
from monitor.lines import LOOKS_PER_SPAN, Terms
from monitor.objectives import ErrorBudget
from monitor.onsets import Limit, Onsets
from monitor.rules import BURN, Burn, Objective, PlanOf, Rule
from monitor.scopes import Subject
from monitor.streams import StreamTable
from monitor.tables import span_text
from monitor.views import Views

CHANGE: Final = "error budget"
"""What kind of change a burn is, in alerts."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What windows hold of n lines, arrays of shape (windows, n). bad, samples: events. span_s: shape (windows,)."""

    bad: FloatArray
    samples: FloatArray
    span_s: FloatArray

    def rate(self, window: IntArray, line: IntArray) -> FloatArray:
        """Give the share of bad events of some windows of some lines; NaN without any event."""
        bad, samples = self.bad[window, line], self.samples[window, line]
        rate: FloatArray = np.divide(bad, samples, out=np.full(len(bad), np.nan), where=samples > 0)
        return rate


@dataclass(frozen=True, slots=True)
class Clauses:
    """Pairs of windows of all lines, arrays of shape (c,): the line, the windows, and the rate from which it burns."""

    line: IntArray
    long: IntArray
    short: IntArray
    limit: FloatArray
    factor: FloatArray
    is_red: BoolArray
    needed: FloatArray


class Burns:
    """Judges the error budgets of all models. Called by the judge, in the loop thread; it keeps nothing of its own.

    Cost of a look: a few microseconds for each line, a rule on a stream, at every twentieth of the shortest window.
    """

    def __init__(self, table: StreamTable, views: Views, plan_of: PlanOf, terms: Terms) -> None:
        self._table = table
        self._views = views
        self._plan_of = plan_of
        self._terms = terms
        self._onsets = Onsets(views, {YES_RATE.name: YES_RATE})
        self._spans = {span_s: window for window, span_s in enumerate(views.spans_s(Arena.FLAGS))}
        self._of_subject: dict[int, list[tuple[Rule, int]]] = {}
        self._lines: list[tuple[Rule, int]] = []
        self._clauses: Clauses | None = None
        self._every = 1

    # ---- which lines

    def refresh(self, subjects: Iterable[Subject]) -> None:
        """Take in that subjects have new streams or plans."""
        for subject in subjects:
            rules = [
                rule for rule in self._plan_of(subject.model, subject.model_version).rules if rule.statistic == BURN
            ]
            rows = [row for arena, row in subject.rows if arena is Arena.FLAGS and rules]
            own = [(rule, row) for row in rows for rule in rules if self._is_for(rule, row)]
            if own != self._of_subject.get(subject.index, []):
                self._of_subject[subject.index] = own
                self._clauses = None

    def _is_for(self, rule: Rule, row: int) -> bool:
        flags = self._table.flags
        return flags.kinds[row] is Kind.YES_NO and rule.watches(flags.keys[row].field)

    def rule_of(self, row: int, name: str) -> Rule | None:
        """Give the rule of this name that watches a row of FLAGS, if any does, whether its line is made yet or not."""
        key = self._table.flags.keys[row]
        rules = (rule for rule in self._plan_of(key.model, key.model_version).rules if rule.statistic == BURN)
        return next((rule for rule in rules if rule.name == name and self._is_for(rule, row)), None)

    def _made(self) -> Clauses:
        """Give the clauses of all lines, made anew where lines have changed."""
        if self._clauses is None:
            self._lines = []
            found: list[tuple[float, ...]] = []
            for _, own in sorted(self._of_subject.items()):
                clauses = sum(len(_objective(rule).burns) for rule, _ in own)
                for rule, row in own:
                    burns = _objective(rule).burns
                    found += [self._clause(len(self._lines), rule, burn, clauses) for burn in burns]
                    self._lines.append((rule, row))
            columns = np.array(found).reshape(-1, 7).T
            line, long, short = columns[:3].astype(np.int64)
            shortest_s = min((_objective(rule).windows_s[0] for rule, _ in self._lines), default=0.0)
            self._every = max(1, int(shortest_s / self._terms.pane_s) // LOOKS_PER_SPAN)
            self._clauses = Clauses(line, long, short, columns[3], columns[4], columns[5] > 0, columns[6])
        return self._clauses

    def _clause(self, line: int, rule: Rule, burn: Burn, clauses: int) -> tuple[float, ...]:
        allowed = 1.0 - _objective(rule).share
        needed = self._terms.budget.burn_nats(clauses, burn.long_s)
        windows = self._spans[burn.long_s], self._spans[burn.short_s]
        return (line, *windows, min(1.0, burn.factor * allowed), burn.factor, burn.is_red, needed)

    # ---- a look

    def look(self, book: AlertBook, incomplete: Incomplete, pane: int, end_s: float) -> Iterator[Observation]:
        """Give what there is to say at the end of a pane: of lines that burn, and of those with an alert."""
        clauses = self._made()
        if not self._lines or (pane + 1) % self._every:
            return
        tally = self._tally()
        seen, evidence = self._judged(clauses, tally, incomplete, end_s)
        for line, (rule, row) in enumerate(self._lines):
            own = np.flatnonzero(clauses.line == line)
            verdict = _together(seen[own])
            is_new = (rule.name, self._table.flags.keys[row]) not in book
            if is_new and verdict < Seen.YELLOW:
                continue
            told = own[seen[own] == verdict] if verdict >= Seen.YELLOW else own
            at = int(told[np.argmax(clauses.factor[told])])
            yield self._observation((line, at), verdict, tally, float(evidence[at]), is_new=is_new, end_s=end_s)

    def _tally(self) -> Tally:
        """Give what every window of FLAGS holds of the lines."""
        rows = np.array([row for _, row in self._lines])
        is_above = np.array([rule.is_above for rule, _ in self._lines])
        views = [self._views.some(Arena.FLAGS, window, rows) for window in self._spans.values()]
        counts = np.stack([view.counts for view in views]).astype(np.float64)
        yes, no = counts[:, :, YES], counts[:, :, NO]
        return Tally(np.where(is_above, yes, no), yes + no, np.array([view.span_s for view in views]))

    def _judged(
        self, clauses: Clauses, tally: Tally, incomplete: Incomplete, end_s: float
    ) -> tuple[IntArray, FloatArray]:
        """Give what each clause says, and the evidence of its long window, both of shape (c,)."""
        least = np.array([rule.samples_min for rule, _ in self._lines])[clauses.line]
        clear = clauses.limit * (1.0 - np.array([rule.hysteresis for rule, _ in self._lines])[clauses.line])
        rate, now = tally.rate(clauses.long, clauses.line), tally.rate(clauses.short, clauses.line)
        samples = tally.samples[clauses.long, clauses.line]
        evidence = rate_evidence(tally.bad[clauses.long, clauses.line], samples, clauses.limit)
        lacks = np.array([incomplete.touch(end_s - span_s, end_s) for span_s in tally.span_s], dtype=bool)
        seen = np.full(len(rate), Seen.HOLD, dtype=np.int64)
        seen[(rate <= clear) | (now <= clear)] = Seen.CLEAR
        is_burning = (evidence >= clauses.needed) & (rate > clauses.limit) & (now > clauses.limit)
        seen[is_burning] = np.where(clauses.is_red, Seen.RED, Seen.YELLOW)[is_burning]
        seen[(samples < least) | lacks[clauses.long] | lacks[clauses.short]] = Seen.UNKNOWN
        return seen, evidence

    def _observation(
        self, place: tuple[int, int], seen: Seen, tally: Tally, evidence: float, *, is_new: bool, end_s: float
    ) -> Observation:
        line, at = place
        (rule, row), clauses = self._lines[line], self._made()
        window, allowed = int(clauses.long[at]), 1.0 - _objective(rule).share
        bad, samples = tally.bad[window, [line]], tally.samples[window, [line]]
        low, high = wilson_interval(bad, samples)
        return Observation(
            rule=rule,
            key=self._table.flags.keys[row],
            seen=seen,
            value=float(bad[0] / samples[0] / allowed) if samples[0] else np.nan,
            threshold=float(clauses.factor[at]),
            interval=(float(low[0] / allowed), float(high[0] / allowed)),
            samples=int(samples[0]),
            evidence=max(0.0, evidence),
            evidence_needed=float(clauses.needed[at]),
            window_s=float(tally.span_s[window]),
            reference="",
            where=(BURN, Arena.FLAGS),
            row=row,
            since_s=self._onset(
                rule, row, float(clauses.limit[at]), end_s - float(tally.span_s[window]), is_new=is_new
            ),
            change=CHANGE,
        )

    def _onset(self, rule: Rule, row: int, limit: float, began_s: float, *, is_new: bool) -> float:
        """Estimate since when a rate is beyond its limit; an alert that is known has its onset already."""
        if not is_new:
            return began_s
        sign, threshold = (1.0, limit) if rule.is_above else (-1.0, 1.0 - limit)
        dated_s = self._onsets.date(Limit((YES_RATE.name, Arena.FLAGS), row, sign, threshold))
        return began_s if dated_s is None else dated_s

    # ---- what there is to see

    def budgets(self) -> Sequence[ErrorBudget]:
        """Give how every budget stands now."""
        self._made()
        if not self._lines:
            return ()
        tally = self._tally()
        return [self._stands(line, rule, row, tally) for line, (rule, row) in enumerate(self._lines)]

    def _stands(self, line: int, rule: Rule, row: int, tally: Tally) -> ErrorBudget:
        own = _objective(rule)
        windows = np.array([self._spans[span_s] for span_s in own.windows_s])
        rate = tally.rate(windows, np.full(len(windows), line))
        burn = rate / (1.0 - own.share)
        told = {span_text(s): float(b) for s, b in zip(own.windows_s, burn, strict=True) if np.isfinite(b)}
        return ErrorBudget(*self._table.flags.keys[row], rule.name, told, 1.0 - float(burn[-1]), 1.0 - float(rate[-1]))


def _objective(rule: Rule) -> Objective:
    assert rule.objective is not None
    return rule.objective


def _together(seen: IntArray) -> Seen:
    """Give what the clauses of a line say together: the worst that is proven; the end only where none contradicts."""
    worst = Seen(int(seen.max()))
    if worst is Seen.CLEAR and (seen == Seen.HOLD).any():
        return Seen.HOLD
    return worst
