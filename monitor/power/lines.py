"""Every line of a model, a rule on a stream, with what it takes to change its mind: the engine's and judge's own terms.

Lines are made by what makes them for the daemon, from the same references, so limits, powers and budgets are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from monitor.bins import ARENA_OF, NO, VALUE_SPANS, Arena
from monitor.counts import Ladder
from monitor.court import PAST_S
from monitor.detectors import DETECTORS
from monitor.detectors.base import View
from monitor.domain import FloatArray, Kind
from monitor.lines import LineMaker, Lines
from monitor.lines import Terms as JudgeTerms
from monitor.pipeline_terms import PipelineTerms
from monitor.power.changes import Change, change_of, shares_of
from monitor.power.delays import cells_of, delays_s, psi_of, race_of_drift, race_of_rates
from monitor.power.windows import delay_s, value_in_reference
from monitor.references import Reference, StreamReference
from monitor.rules import DRIFT, Rule
from monitor.scopes import Subject
from monitor.sequential.fluctuation import Inflation
from monitor.sequential.normal import Normal
from monitor.sequential.rates import ABOVE, weights_of
from monitor.sequential.scores import CLASSES, class_shares
from monitor.sequential.terms import terms_of
from monitor.streams import StreamTable
from monitor.tracks import UNKNOWN, Countable
from monitor.views import Views

NOTHING: Final = np.zeros(0)


@dataclass(frozen=True, slots=True)
class Line:
    """A rule on a stream of a model with traffic.

    per_s: all values a second. nats: needed. delay_of: gives the seconds until a change to such shares of bins is
    told, infinity if it never is. own, limit: the statistic in the reference itself and where the first band begins,
    NaN where there is none. hits, hits_limit: the same as shares of hits, of what is judged so, and swing: how much an
    hour's share varies beyond chance, one standard deviation. inflation: how many times more than independent values
    it varies, at most.
    """

    rule: Rule
    stream: StreamReference
    change: Change | None
    per_s: float
    nats: float
    delay_of: Callable[[FloatArray], float]
    own: float = np.nan
    limit: float = np.nan
    hits: float = np.nan
    hits_limit: float = np.nan
    swing: float = 0.0
    inflation: float = 1.0

    @property
    def name(self) -> str:
        """The stream's name, with its segment."""
        return f"{self.stream.field} {self.stream.segment}".strip()


class Bench:
    """The streams of one reference, set up as the daemon would, without traffic."""

    def __init__(self, reference: Reference, terms: PipelineTerms, events_per_s: float) -> None:
        self._terms = terms
        self._per_s = events_per_s / max(1.0, float(reference.events))
        self._table = StreamTable(terms.limits, lambda m, v: terms.plan_of(m, v).watch, [reference])
        self._table.scopes_of([reference.model], [reference.model_version])
        self._subject: Subject = self._table.subjects[0]
        self._views = Views(self._table, [Ladder(sorted(set(terms.windows_s))) for _ in Arena])
        self._views.refresh(self._subject)
        self._streams = {(s.field, s.segment): s for s in reference.streams}
        self._rules = terms.plan_of(reference.model, reference.model_version).rules

    def lines(self) -> list[Line]:
        """Give all lines of the model."""
        return [*self._drifts(), *self._limits()]

    # ---- drift

    def _drifts(self) -> Iterator[Line]:
        rules = [rule for rule in self._rules if rule.statistic == DRIFT]
        found = [
            (own, stream, normal)
            for arena, row in self._subject.rows
            if arena is not Arena.FLAGS and (normal := self._table.normals.get((arena, row))) is not None
            for stream in [self._stream(arena, row)]
            if (own := [rule for rule in rules if rule.watches(stream.field)])
        ]
        nats = self._terms.budget.drift_nats(max(1, len(found)))
        for own, stream, normal in found:
            yield from (self._drift(rule, stream, normal, nats) for rule in own)

    def _drift(self, rule: Rule, stream: StreamReference, normal: Normal, nats: float) -> Line:
        span = len(normal.classes)
        counts = stream.counts[None, :span]
        terms = terms_of(counts, [normal], np.array([nats]))
        known, _ = class_shares(counts, normal.classes[None, :])
        lowest = min(level.value for level in (rule.yellow, rule.red) if level is not None)
        per_s, pane_s = float(stream.counts.sum()) * self._per_s, self._terms.time.pane_s

        def delay_of(shares: FloatArray) -> float:
            values = shares[:span].sum()
            of_class = np.bincount(np.minimum(normal.classes, CLASSES), weights=shares[:span], minlength=CLASSES + 1)
            changed = of_class[None, :CLASSES] / max(values, 1e-12)
            if psi_of(terms.cells, cells_of(changed), terms.events)[0] < lowest:
                return np.inf
            rate = np.array([per_s * values])
            delay = delays_s(race_of_drift(terms, known, changed), np.array([nats]), rate, pane_s)[0]
            return self._told(float(delay), rule, float(rate[0]))

        return Line(rule, stream, change_of(rule, stream), per_s, nats, delay_of, inflation=_inflation(normal))

    # ---- limits

    def _limits(self) -> Iterator[Line]:
        terms = JudgeTerms.of(self._terms.budget, self._terms.windows_s, self._terms.time.pane_s)
        maker = LineMaker(self._table, self._views, DETECTORS, self._terms.plan_of, terms)
        for (statistic, arena), lines in maker.lines_of(self._subject):
            rules = [maker.rules[int(at)] for at in lines.rule]
            for at, rule in enumerate(rules):
                if isinstance(DETECTORS[statistic], Countable):
                    yield self._track(arena, rule, lines, at)
                elif statistic == "silence":
                    yield self._silence(arena, rule, lines, at)
                else:
                    yield self._window(arena, rule, lines, at)

    def _track(self, arena: Arena, rule: Rule, lines: Lines, at: int) -> Line:
        row = int(lines.row[at])
        detector, stream = DETECTORS[rule.statistic], self._stream(arena, row)
        assert isinstance(detector, Countable)
        ranks = detector.ranks(arena)
        is_counted = ranks >= 0
        is_hit = is_counted & ((ranks >= lines.cut[at]) == rule.is_above)
        limit, nats = lines.rate[at : at + 1], float(lines.nats[at])
        power = lines.temper[:, at].astype(np.float64)[None, :]
        weight = weights_of(np.array([ABOVE])) * (power > 0.0)
        weight = weight / max(float(weight.sum()), 1e-12)
        known = shares_of(stream)
        hits = float(known[is_hit].sum() / max(known[is_counted].sum(), 1e-12))
        past_s = max(PAST_S, *self._terms.windows_s)
        per_s, pane_s = float(stream.counts.sum()) * self._per_s, self._terms.time.pane_s

        def delay_of(shares: FloatArray) -> float:
            counted = float(shares[is_counted].sum())
            changed = np.array([float(shares[is_hit].sum()) / max(counted, 1e-12)])
            if not changed[0] > limit[0]:
                return np.inf
            rate = np.array([per_s * counted])
            if rate[0] * past_s < rule.samples_min:
                return np.inf
            race = race_of_rates(limit, weight, power, np.array([hits]), changed)
            return self._told(float(delays_s(race, np.array([nats]), rate, pane_s)[0]), rule, float(rate[0]))

        normal = self._table.normals.get((arena, row), UNKNOWN)
        own, first = value_in_reference(detector, self._view(arena, row)), float(lines.lowest[at])
        return Line(
            rule,
            stream,
            change_of(rule, stream, first, own),
            per_s,
            nats,
            delay_of,
            own=own,
            limit=first,
            hits=hits,
            hits_limit=float(limit[0]),
            swing=_swing(normal, hits, per_s),
            inflation=_inflation(normal),
        )

    def _window(self, arena: Arena, rule: Rule, lines: Lines, at: int) -> Line:
        row, nats = int(lines.row[at]), float(lines.needed[at])
        detector, stream, view = DETECTORS[rule.statistic], self._stream(arena, row), self._view(arena, row)
        limit = _lowest(rule, 1.0) if rule.statistic == "volume" else float(lines.lowest[at])
        groups = self._table.values.groups[[row]] if arena is Arena.VALUES else None
        known = shares_of(stream)
        line = (view, limit, nats)

        def delay_of(shares: FloatArray) -> float:
            found = delay_s(detector, rule, line, groups, np.stack([known, shares]))
            return found + self._lag(rule)

        own = value_in_reference(detector, view)
        change = change_of(rule, stream, limit, own)
        return Line(rule, stream, change, float(view.rate_per_s[0]), nats, delay_of, own, limit)

    def _silence(self, arena: Arena, rule: Rule, lines: Lines, at: int) -> Line:
        stream, nats = self._stream(arena, int(lines.row[at])), float(lines.needed[at])
        per_s = float(stream.counts[NO]) * self._per_s
        limit = _lowest(rule, 1.0 / max(per_s, 1e-12))
        delay = max(limit, nats / per_s) + rule.for_s if per_s > 0.0 else np.inf
        gone = Change(lambda _: NOTHING, 0.0, 0.0, 0.0, "", lambda _: "no event comes any more")
        return Line(rule, stream, gone, per_s, nats, lambda _: delay, limit=limit)

    # ---- parts

    def _stream(self, arena: Arena, row: int) -> StreamReference:
        key = self._table.arenas[arena].keys[row]
        return self._streams[key.field, key.segment]

    def _view(self, arena: Arena, row: int) -> View:
        view = self._views.some(arena, 0, np.array([row]))
        return replace(view, rate_per_s=np.array([float(view.reference.sum()) * self._per_s]))

    def _told(self, delay: float, rule: Rule, per_s: float) -> float:
        """Give when a line is told that is certain after `delay`: with samples enough, and after stragglers."""
        if per_s <= 0.0:
            return np.inf
        return max(delay, rule.samples_min / per_s) + self._lag(rule)

    def _lag(self, rule: Rule) -> float:
        """Give what passes before a verdict is told: panes close after stragglers, and a breach must last."""
        return self._terms.time.disorder_s + rule.for_s


def _lowest(rule: Rule, usual: float) -> float:
    """Give where the first band begins of what is `usual` in the reference, by its traffic, which here has no views."""
    level = rule.yellow or rule.red
    assert level is not None
    return level.value * usual if level.is_relative else level.value


def _inflation(normal: Normal) -> float:
    if normal.inflation is None:
        return 1.0 / normal.scale
    return float(normal.inflation.max()) / normal.scale


def _swing(normal: Normal, hits: float, per_s: float) -> float:
    """Give the standard deviation of an hour's share of hits beyond what chance explains, as the reference had it."""
    if normal.events is None or normal.inflation is None:
        return 0.0
    hour = np.array([[3600.0 * per_s]])
    scores = len(normal.inflation)
    factor = Inflation.of([normal], scores).at_horizon(hour, np.zeros(1, dtype=np.int64))[0, 0]
    return float(np.sqrt(hits * (1.0 - hits) * (factor - 1.0) / max(float(hour[0, 0]), 1.0)))


def values_per_s(line: Line) -> float:
    """Give how many values a second a line has: of a stream's own, nulls left out."""
    counts = line.stream.counts
    if line.stream.kind is Kind.VOLUME:
        return line.per_s
    share = counts[: VALUE_SPANS[ARENA_OF[line.stream.kind]]].sum() / max(1, int(counts.sum()))
    return line.per_s * float(share)
