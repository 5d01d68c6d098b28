"""Rules on KPIs that are functions of several streams: F1, AUC, calibration, cost per success, fairness and the like.

Such a rule has the statistic `kpi`, and names KPIs in place of fields. It is judged window by window, as all that has
no sequential evidence: a level is passed when an interval of the confidence that the budget asks for lies beyond it,
and the value is on the good side when such an interval does. The evidence told is that of a normal estimate with this
interval: minus the logarithm of the chance of a value so far beyond the level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp, inf, isfinite, log, nan
from typing import Final

from scipy.special import log_ndtr, ndtri

from monitor.alerts import AlertBook, Observation
from monitor.bins import Arena
from monitor.domain import Seen, StreamKey
from monitor.incomplete import Incomplete
from monitor.kpi_cells import Cells, Rows
from monitor.kpis import KPIS_ACROSS
from monitor.kpis.base import UNKNOWN, Estimate
from monitor.lines import Terms
from monitor.rules import KPI, Level, PlanOf, Rule
from monitor.scopes import Subject
from monitor.streams import StreamTable
from monitor.users import DISTINCT_USERS

LINES_MAX: Final = 500
"""A rule on a KPI of a segment; those beyond are not judged, and counted as overflow. Up to a millisecond each."""
ALPHA_MIN: Final = 1e-12


class KpiWatch:
    """Judges KPIs. Called by the judge, in the loop thread. It holds nothing but what the alert book holds."""

    def __init__(self, table: StreamTable, plan_of: PlanOf, terms: Terms, cells: Cells) -> None:
        self._table = table
        self._plan_of = plan_of
        self._terms = terms
        self._cells = cells

    def rule_of(self, key: StreamKey, name: str) -> Rule | None:
        """Give the rule of this name that watches a KPI, if any does."""
        rules = self._plan_of(key.model, key.model_version).rules
        return next((r for r in rules if r.name == name and r.statistic == KPI and r.watches(key.field)), None)

    def look(self, book: AlertBook, due: Sequence[int], end_s: float, incomplete: Incomplete) -> Iterator[Observation]:
        """Judge the windows that are due."""
        if not due:
            return
        left = LINES_MAX
        for subject in self._table.subjects:
            rules = self._cells.rules_of(subject)
            if not rules:
                continue
            by_segment = self._cells.rows_of(subject)
            lines = sum(len(rule.fields) for rule in rules) * len(by_segment)
            if lines > left:
                self._table.overflow["kpi_lines"] += lines
                continue
            left -= lines
            needed = self._terms.budget.evidence_needed(max(1, lines), self._terms.windows_s)
            for rule in rules:
                yield from self._of_rule(rule, subject, (book, due, end_s, incomplete), needed)

    def _of_rule(
        self,
        rule: Rule,
        subject: Subject,
        at: tuple[AlertBook, Sequence[int], float, Incomplete],
        needed: float,
    ) -> Iterator[Observation]:
        book, due, end_s, incomplete = at
        by_segment = self._cells.rows_of(subject)
        windows = [at for at in due if self._terms.windows_s[at] in rule.windows_s]
        for name in rule.fields:
            for segment in self._segments(name, by_segment):
                key = StreamKey(subject.model, subject.model_version, name, segment)
                found = [
                    seen
                    for window in windows
                    if (seen := self._seen(rule, key, (by_segment, window, needed), (end_s, incomplete))) is not None
                ]
                said = _first_certain(found)
                if said is not None and (said.seen >= Seen.YELLOW or (rule.name, key) in book):
                    yield said

    @staticmethod
    def _segments(name: str, by_segment: Mapping[str, object]) -> list[str]:
        """Give the segments of which a KPI is one number; those that compare segments are told by a segment's name."""
        if name in KPIS_ACROSS:
            return sorted({segment.partition("=")[0] for segment in by_segment if segment})
        return [""] if name == DISTINCT_USERS else sorted(by_segment)

    def _seen(
        self,
        rule: Rule,
        key: StreamKey,
        of: tuple[Mapping[str, Rows], int, float],
        time: tuple[float, Incomplete],
    ) -> Observation | None:
        """Give what one window says of one KPI; None where it is not known in it."""
        (by_segment, window, needed), (end_s, incomplete) = of, time
        rows = by_segment.get(key.segment, {})
        span_s = self._cells.span_s(window)
        if incomplete.touch(end_s - span_s, end_s):
            return None
        alpha = max(2.0 * exp(-needed), ALPHA_MIN)
        found = self._estimate(key, by_segment, window, alpha)
        if not isfinite(found.value):
            return None
        usual = self._estimate(key, by_segment, None, alpha).value if rule.is_relative else nan
        yellow, red = (None if level is None else _value_of(level, usual) for level in (rule.yellow, rule.red))
        lowest = yellow if yellow is not None else red
        if lowest is None:
            return None
        seen = _judged(rule, found, (yellow, red))
        threshold = red if seen is Seen.RED and red is not None else lowest
        reference = self._table.subjects[self._index(key)].reference
        arena, row = next(iter(rows.values()), (Arena.FLAGS, 0))
        return Observation(
            rule=rule,
            key=key,
            seen=seen if found.samples >= rule.samples_min else Seen.UNKNOWN,
            value=found.value,
            threshold=threshold,
            interval=(found.low, found.high),
            samples=found.samples,
            evidence=_nats(rule, found, threshold, alpha),
            evidence_needed=needed,
            window_s=span_s,
            reference=reference.identity if reference else "",
            where=(KPI, arena),
            row=row,
            since_s=end_s - span_s,
        )

    def _index(self, key: StreamKey) -> int:
        return int(self._table.subject_of[self._table.scopes_of([key.model], [key.model_version])[0]])

    def _estimate(self, key: StreamKey, by_segment: Mapping[str, Rows], window: int | None, alpha: float) -> Estimate:
        """Give a KPI of a window; None: in the reference."""
        if key.field == DISTINCT_USERS:
            return UNKNOWN if window is None else self._cells.users(self._index(key), window, alpha)
        if key.field in KPIS_ACROSS:
            own = {name: rows for name, rows in by_segment.items() if name.startswith(f"{key.segment}=")}
            return self._cells.across(key.field, own, window, alpha)
        rows = by_segment[key.segment]
        if window is None:
            return self._cells.usual(key.field, rows, alpha)
        return self._cells.estimate(key.field, rows, window, alpha)


def _value_of(level: Level, usual: float) -> float | None:
    """Give a level as a number; None where it is relative to what is not known."""
    if not level.is_relative:
        return level.value
    return level.value * usual if isfinite(usual) else None


def _judged(rule: Rule, found: Estimate, levels: tuple[float | None, float | None]) -> Seen:
    """Give where an interval lies."""
    yellow, red = levels
    sign = 1.0 if rule.is_above else -1.0
    low, high = (found.low, found.high) if rule.is_above else (found.high, found.low)

    def is_beyond(level: float | None) -> bool:
        return level is not None and sign * (low - level) > 0

    if is_beyond(red):
        return Seen.RED
    if is_beyond(yellow):
        return Seen.YELLOW
    lowest = yellow if yellow is not None else red
    assert lowest is not None
    clear = lowest - sign * rule.hysteresis * abs(lowest)
    return Seen.CLEAR if sign * (clear - high) > 0 else Seen.HOLD


def _first_certain(found: Sequence[Observation]) -> Observation | None:
    """Give what the shortest window that is certain of anything says, else that of the longest."""
    certain = [seen for seen in found if seen.seen in (Seen.CLEAR, Seen.YELLOW, Seen.RED)]
    return (certain or list(found[-1:]) or [None])[0]  # type: ignore[list-item]  # nothing was found


def _nats(rule: Rule, found: Estimate, level: float, alpha: float) -> float:
    """Give the evidence that the true value is beyond a level, 0 where the value is not."""
    beyond = (found.value - level) * (1.0 if rule.is_above else -1.0)
    near = found.value - found.low if rule.is_above else found.high - found.value
    if beyond <= 0 or not isfinite(near):
        return 0.0
    if near <= 0:
        return -log(ALPHA_MIN)
    z = beyond / near * float(-ndtri(alpha / 2.0))
    return float(min(-log_ndtr(-z), inf))
