"""Error budgets: how fast they burn, when that is told, and what is left, against sums done by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from monitor.bins import NO, WIDTHS, YES, Arena
from monitor.counts import EMPTY, Counts, Ladder
from monitor.detectors import DETECTORS
from monitor.domain import AlertState, Band, Reason, Transition
from monitor.fields import Watch
from monitor.judge import Judge
from monitor.lines import Terms
from monitor.objectives import ErrorBudget
from monitor.rules import Budget, Burn, Level, Objective, Plan, Rule
from monitor.scopes import StreamLimits
from monitor.streams import StreamTable
from monitor.views import Views

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR = 3600.0
FAST = (Burn(14.4, HOUR, 300.0, is_red=True), Burn(6.0, 6 * HOUR, 1800.0, is_red=True))
SRE = (*FAST, Burn(1.0, 72 * HOUR, 6 * HOUR, is_red=False))


def rule(share: float = 0.999, burns: Iterable[Burn] = SRE, **changes: object) -> Rule:
    told: dict[str, object] = {
        "name": "availability",
        "statistic": "burn",
        "fields": ("error",),
        "yellow": Level(1.0),
        "red": Level(6.0),
        "windows_s": (60.0,),
        "samples_min": 10,
        "keep_firing_for_s": 0.0,
        "objective": Objective(share, 30 * 24 * HOUR, tuple(burns)),
    }
    return Rule(**{**told, **changes})  # type: ignore[arg-type] # a builder for tests: names are checked by Rule


@dataclass
class Court:
    """A judge over the errors of one model, fed with counts by the minute."""

    rule: Rule
    pane_s: float = 60.0

    def __post_init__(self) -> None:
        plan = Plan(Watch(), (self.rule,))
        assert self.rule.objective is not None
        self.table = StreamTable(StreamLimits(), lambda _m, _v: plan.watch)
        spans = {arena: (60.0, *self.rule.objective.windows_s) if arena is Arena.FLAGS else (60.0,) for arena in Arena}
        self.ladders = tuple(Ladder(spans[arena], 24 * HOUR) for arena in Arena)
        self.views = Views(self.table, self.ladders)
        terms = Terms.of(Budget(has_burn=True), (60.0,), self.pane_s)
        self.judge = Judge(self.table, self.views, DETECTORS, lambda _m, _v: plan, terms)
        scope = self.table.scopes_of(["m"], ["1"])
        (self.row,) = self.table.field_rows("error", [True], scope).tolist()
        self.table.field_rows("events", None, scope)
        self.pane = 0

    def minutes(self, count: float, good: int = 0, bad: int = 0) -> list[Transition]:
        return [change for _ in range(int(count)) for change in self.minute(good, bad)]

    def minute(self, good: int, bad: int) -> list[Transition]:
        at = self.row * WIDTHS[Arena.FLAGS]
        counts = Counts.of_hits([np.repeat([at + NO, at + YES], [good, bad])], self.table.flags.size)
        start_s, end_s = self.pane * self.pane_s, (self.pane + 1) * self.pane_s
        for arena, ladder in zip(Arena, self.ladders, strict=True):
            ladder.append(start_s, end_s, counts if arena is Arena.FLAGS else EMPTY)
        self.views.close(end_s, start_s, counts)
        self.pane += 1
        return self.judge.look(self.pane - 1, end_s)

    @property
    def budget(self) -> ErrorBudget:
        (found,) = self.judge.burns.budgets()
        return found


def test_burn_is_the_bad_share_over_the_allowed_one_and_what_is_left_is_of_the_period() -> None:
    court = Court(rule(share=0.99))
    court.minutes(60, good=98, bad=2)

    found = court.budget

    assert ("m", "1", "error", "", "availability") == found[:5]
    assert {"5m", "30m", "1h", "6h", "3d", "30d"} == set(found.burns)
    assert [pytest.approx(2.0)] * 6 == list(found.burns.values())
    assert [pytest.approx(-1.0), pytest.approx(0.98)] == [found.left, found.uptime]


def test_left_goes_by_all_events_of_the_period() -> None:
    court = Court(rule(share=0.99))
    court.minutes(90, good=100)
    court.minutes(10, good=95, bad=5)

    assert pytest.approx(1.0 - 50 / (0.01 * 10_000)) == court.budget.left
    assert pytest.approx(5.0) == court.budget.burns["5m"]


def test_nothing_is_told_within_the_objective() -> None:
    court = Court(rule(share=0.999))

    assert [] == court.minutes(24 * 60, good=1999, bad=1)


def test_outage_is_red_within_minutes_and_dated() -> None:
    court = Court(rule(burns=FAST))
    court.minutes(180, good=600)

    first, *_ = court.minutes(10, bad=600)

    assert (AlertState.FIRING, Band.RED) == (first.alert.state, first.alert.band)
    assert first.time_s - 180 * 60 <= 180
    assert pytest.approx(180 * 60, abs=60) == first.alert.since_s
    assert first.alert.value > 14.4
    assert "error budget" == first.alert.change


def test_slow_burn_is_yellow_and_needs_both_windows() -> None:
    """Three times as fast as allowed: no fast burn, but the month's budget would last ten days."""
    court = Court(rule())
    court.minutes(6 * 60, good=1000)

    changes = court.minutes(24 * 60, good=997, bad=3)

    assert [(AlertState.FIRING, Band.YELLOW)] == [(t.alert.state, t.alert.band) for t in changes]
    assert (1.0, True) == (changes[0].alert.threshold, changes[0].alert.window_s > 6 * HOUR)


def test_long_window_that_remembers_is_overruled_by_the_short_one() -> None:
    """Once nothing burns any more the hour still holds the errors, but five minutes do not: that fast burn is over."""
    court = Court(rule(burns=FAST[:1]))
    court.minutes(120, good=600)
    court.minutes(10, bad=600)

    changes = court.minutes(20, good=600)

    assert [(AlertState.RESOLVED, Reason.CLEARED)] == [(t.alert.state, t.reason) for t in changes]
    assert changes[0].time_s <= (120 + 10 + 10) * 60


def test_burst_that_is_over_before_it_is_proven_tells_nothing() -> None:
    court = Court(rule(burns=FAST[:1]))
    court.minutes(120, good=600)
    court.minutes(1, bad=30, good=570)

    assert [] == court.minutes(60, good=600)


def test_few_events_of_a_quiet_hour_are_chance() -> None:
    """One of ten is a burn of a hundred, by which the workbook's rule pages; by chance it comes often enough."""
    court = Court(rule(burns=FAST[:1]))

    assert [] == court.minutes(1, good=9) + court.minutes(1, good=0, bad=1) + court.minutes(58)
    assert court.budget.burns["1h"] > 14.4


def test_of_streams_where_yes_is_good_no_is_bad() -> None:
    court = Court(rule(share=0.9, is_above=False))
    changes = court.minutes(30, good=0, bad=100) + court.minutes(30, good=100)

    assert pytest.approx(5.0) == court.budget.burns["1h"]
    assert [(AlertState.FIRING, Band.YELLOW)] == [(t.alert.state, t.alert.band) for t in changes]
    assert pytest.approx(0.5) == court.budget.uptime


def test_silence_ends_what_nobody_can_say_any_more() -> None:
    court = Court(rule(burns=FAST[:1]))
    court.minutes(120, good=600)
    court.minutes(10, bad=600)

    changes = court.minutes(200)

    assert Reason.STALE == changes[-1].reason


def test_windows_that_lack_messages_are_not_judged() -> None:
    court = Court(rule(burns=FAST[:1]))
    court.minutes(120, good=600)
    court.judge.skip(120 * 60.0, 121 * 60.0)

    assert [] == court.minutes(30, bad=600)


def test_alert_of_a_rule_that_is_gone_is_removed() -> None:
    court = Court(rule())
    court.minutes(180, good=600)
    court.minutes(10, bad=600)
    court.judge._plan_of = court.judge._maker._plan_of = lambda _m, _v: Plan(Watch(), ())

    (change,) = court.judge.replan(court.pane * 60.0)

    assert Reason.REMOVED == change.reason
