"""Pages, the budget they spend, how long they took, and what is remembered of those that ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from monitor.domain import AlertState, Reason, StreamKey, Transition
from monitor.drills import rehearsed
from monitor.ledger import BOUNDS_S, ENDED_MAX, PAGES_MAX, DelayCounts, Ledger
from monitor.rules import Budget
from tests.unit.sinks.examples import START_S, alert, transition

DAY_S: Final = 86_400.0
MODEL: Final = ("credit", "7")
FIRING, RESOLVED, PENDING = AlertState.FIRING, AlertState.RESOLVED, AlertState.PENDING


def fired(at_s: float = START_S, name: str = "a", **changes: Any) -> Transition:  # noqa: ANN401 - fields of an alert
    changed = {"firing_s": at_s, "since_s": at_s - 30, **changes}
    return transition(alert(name, FIRING, **changed), at_s=at_s, before=None)


def ended(name: str, at_s: float = START_S + 60, **changes: Any) -> Transition:  # noqa: ANN401 - fields of an alert
    return transition(alert(name, RESOLVED, **changes), at_s=at_s)


def ledger(*transitions: Transition, pages: float = 2.0, period_s: float = 30 * DAY_S) -> Ledger:
    made = Ledger(Budget(pages, period_s))
    made.take(transitions)
    return made


class TestHandingOn:
    def test_pages_and_alerts_go_over_and_delays_stay(self) -> None:
        first = ledger(fired(START_S), fired(START_S + 5, "b"), ended("b"))
        second = ledger()
        second.take_over(first.state())
        first.drop(lambda _rule, _model: True)
        left = first.pages(START_S)

        assert {MODEL: 1.0} == second.pages(START_S + 9).spent
        assert ["key-b"] == [each.dedup_key for each in second.pages(START_S + 9).ended]
        assert 0 == sum(second.pages(START_S).decided.counts)
        assert ({}, (), 2) == (left.spent, left.ended, sum(left.decided.counts))

    def test_others_pages_are_dropped_and_ones_own_stay(self) -> None:
        other = StreamKey("churn", "1", "score")
        kept = ledger(fired(), fired(name="b", key=other), ended("b", key=other))
        kept.drop(lambda _, model: model == "churn")

        assert {MODEL: 0.5} == kept.pages(START_S).spent
        assert () == kept.pages(START_S).ended


class TestBudget:
    def test_each_page_spends_its_share(self) -> None:
        kept = ledger(fired(START_S), fired(START_S + 5, "b"), fired(START_S + 9, "c"))

        assert {MODEL: 1.5} == kept.pages(START_S + 10).spent

    def test_models_and_versions_spend_apart(self) -> None:
        other = StreamKey("credit", "8", "score")
        kept = ledger(fired(), fired(name="b", key=other))

        assert {MODEL: 0.5, ("credit", "8"): 0.5} == kept.pages(START_S).spent

    @pytest.mark.parametrize(("after_s", "expected"), [(DAY_S - 1, {MODEL: 0.5}), (DAY_S, {})])
    def test_what_is_older_than_the_period_is_forgotten_by_event_time(
        self, after_s: float, expected: dict[tuple[str, str], float]
    ) -> None:
        assert expected == ledger(fired(), period_s=DAY_S).pages(START_S + after_s).spent

    def test_only_the_beginning_of_an_alert_is_a_page(self) -> None:
        worse = transition(alert(), before=FIRING)
        pending = transition(alert(state=PENDING))

        assert {} == ledger(worse, pending, ended("a")).pages(START_S).spent

    def test_drills_spend_nothing_and_are_not_timed(self) -> None:
        pages = ledger(fired(is_drill=True)).pages(START_S)

        assert ({}, 0) == (pages.spent, sum(pages.decided.counts))

    def test_pages_kept_are_bounded(self) -> None:
        kept = ledger(*(fired(START_S + n) for n in range(PAGES_MAX + 5)), pages=1.0)

        assert {MODEL: PAGES_MAX} == kept.pages(START_S).spent


class TestDelays:
    def test_decision_is_timed_from_the_estimated_onset(self) -> None:
        decided = ledger(fired(), fired(since_s=START_S - 3)).pages(START_S).decided

        assert 33.0 == decided.sum_s
        assert {30.0: 1, 5.0: 1} == {b: n for b, n in zip(decided.bounds_s, decided.counts, strict=False) if n}

    def test_how_far_the_decision_was_behind_events_is_told_where_there_is_a_clock(self) -> None:
        kept = Ledger(Budget())
        kept.take([fired()], START_S + 3.5)
        kept.take([fired()])

        assert (3.5, 1) == (kept.pages(START_S).behind.sum_s, sum(kept.pages(START_S).behind.counts))

    def test_time_to_repair_is_from_onset_to_the_end_of_what_fired(self) -> None:
        passed = transition(alert("never", RESOLVED, firing_s=None), before=PENDING)
        removed = replace(ended("gone"), reason=Reason.REMOVED)
        kept = ledger(ended("a", since_s=START_S - 100.0), ended("b", since_s=START_S - 2_000.0), passed, removed)
        kept.restore(kept.state())
        resolved = kept.pages(START_S).resolved

        assert 160.0 + 2_060.0 == resolved.sum_s
        assert {300.0: 1, 3_600.0: 1} == {b: n for b, n in zip(resolved.bounds_s, resolved.counts, strict=False) if n}

    @pytest.mark.parametrize(("delay_s", "at"), [(-1.0, 0), (0.0, 0), (0.5, 0), (0.51, 1), (1e9, len(BOUNDS_S))])
    def test_bounds_belong_to_their_bucket(self, delay_s: float, at: int) -> None:
        counts = DelayCounts()
        counts.add(delay_s)

        assert at == counts.frozen().counts.index(1)
        assert max(0.0, delay_s) == counts.frozen().sum_s


class TestEnded:
    def test_alerts_that_fired_are_kept_after_their_end_the_newest_last(self) -> None:
        passed = transition(alert("never", RESOLVED, firing_s=None), before=PENDING)
        kept = ledger(ended("a"), ended("b"), passed, ended("a", START_S + 99))

        assert ["key-b", "key-a"] == [each.dedup_key for each in kept.pages(START_S).ended]

    def test_they_are_kept_as_they_were_while_they_fired(self) -> None:
        (kept,) = ledger(fired(value=0.9), transition(alert(value=0.1, state=RESOLVED))).pages(START_S).ended

        assert (RESOLVED, 0.9, START_S + 60) == (kept.state, kept.value, kept.resolved_s)

    def test_they_are_bounded(self) -> None:
        kept = ledger(*(ended(str(n)) for n in range(ENDED_MAX + 3))).pages(START_S).ended

        assert ENDED_MAX == len(kept)
        assert "key-3" == kept[0].dedup_key


class TestDrills:
    def test_rehearsal_of_a_real_model_has_names_of_its_own(self) -> None:
        drill = rehearsed(transition(alert())).alert

        assert (True, "drill-key-a", "drill-inc-1") == (drill.is_drill, drill.dedup_key, drill.incident)
