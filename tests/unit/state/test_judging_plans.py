"""Other rules for the same counts: after a restart, and at a reload, what was seen goes on where it is of the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from monitor.bins import Arena
from monitor.domain import AlertState, Band, Reason, Seen, StreamKey, Transition
from monitor.rules import Budget, Level, Plan, Rule
from tests.unit.state.benches import BUDGET, PANES, PLAN, PLANTED, RULES, WINDOWS_S, Bench, Traffic, differing

TRAFFIC: Final = Traffic(1, PLANTED)
AMIDST: Final = 105
X: Final = StreamKey("a", "1", "features.x")

Change = Callable[[Bench, Plan], tuple[Bench, list[Transition]]]


def at_a_restart(bench: Bench, plan: Plan) -> tuple[Bench, list[Transition]]:
    """Give a bench that came back under another plan, and what its first look gave."""
    other = bench.again(plans={"a": plan, "b": plan})
    return other, other.close(TRAFFIC)


def at_a_reload(bench: Bench, plan: Plan) -> tuple[Bench, list[Transition]]:
    """Give a bench whose plan was replaced under way, and what that and the first look gave."""
    other = bench.again()
    other.plans.update({"a": plan, "b": plan})
    return other, other.judge.replan(float(other.pane)) + other.close(TRAFFIC)


CHANGES: Final = pytest.mark.parametrize("change", [at_a_restart, at_a_reload])


@pytest.fixture(scope="module")
def midway() -> Bench:
    """Give a bench amidst several alerts; not to be changed."""
    bench = Bench.of()
    bench.run(TRAFFIC, AMIDST)
    return bench


def planned(**changes: Rule | None) -> Plan:
    """Give the plan with some rules replaced, or left out, by name; new ones come last."""
    kept = [changes.pop(rule.name, rule) for rule in RULES]
    return Plan(PLAN.watch, tuple(rule for rule in [*kept, *changes.values()] if rule is not None))


def named(name: str) -> Rule:
    return next(rule for rule in RULES if rule.name == name)


def odds(bench: Bench, where: tuple[str, Arena]) -> list[float]:
    evidence: list[float] = bench.judge._tracks[where].evidence.tolist()
    return evidence


# ---- nothing changes


def test_a_reload_of_the_same_rules_changes_nothing() -> None:
    one, other = Bench.of(), Bench.of()
    for pane in range(20, PANES, 30):
        assert one.run(TRAFFIC, pane) == other.run(TRAFFIC, pane)
        assert other.judge.replan(float(pane)) == []
        assert [] == differing(one.stored(), other.stored())

    assert one.run(TRAFFIC, PANES) == other.run(TRAFFIC, PANES)


# ---- other thresholds


@CHANGES
def test_an_alert_is_judged_by_its_new_threshold(midway: Bench, change: Change) -> None:
    before = {alert.rule: alert for alert in midway.judge.book.alerts if alert.key == X}
    assert before["drift"].band is Band.RED
    milder = replace(named("drift"), yellow=Level(0.05), red=Level(1e6))

    other, transitions = change(midway, planned(drift=milder))
    transitions += other.run(TRAFFIC, AMIDST + 80)

    (eased,) = [t for t in transitions if t.alert.rule == "drift" and t.reason is Reason.EASED and t.alert.key == X]
    assert eased.alert.since_s == before["drift"].since_s
    assert eased.alert.threshold == 0.05
    assert Reason.REMOVED not in {t.reason for t in transitions}


@CHANGES
def test_odds_go_on_where_the_limit_is_the_same_and_begin_anew_where_it_is_not(midway: Bench, change: Change) -> None:
    where, others = ("null_rate", Arena.VALUES), ("p95", Arena.LOGS)
    assert max(odds(midway, where)) > 10.0

    unchanged, _ = change(midway, planned(null_rate=replace(named("null_rate"), severity=named("slow").severity)))
    changed, _ = change(midway, planned(null_rate=replace(named("null_rate"), yellow=Level(0.06))))
    went_on = midway.again()
    went_on.close(TRAFFIC)

    assert odds(unchanged, where) == odds(went_on, where)
    both = zip(odds(changed, where), odds(went_on, where), strict=True)
    assert any(anew < before for anew, before in both)  # those of another rule on the same streams go on
    assert odds(changed, others) == odds(went_on, others)


@CHANGES
def test_what_a_window_said_by_another_threshold_is_forgotten(midway: Bench, change: Change) -> None:
    where = ("psi", Arena.VALUES)
    psi = replace(named("psi"), yellow=Level(1e6), red=Level(2e6))
    assert (midway.judge._lines[where].seen >= Seen.YELLOW).any()

    other, transitions = change(midway, planned(psi=psi))

    assert not (other.judge._lines[where].seen >= Seen.YELLOW).any()
    assert "psi" not in {t.alert.rule for t in transitions if t.alert.state is AlertState.FIRING}


@CHANGES
def test_drift_goes_on_to_the_last_bit_whatever_other_rules_are(midway: Bench, change: Change) -> None:
    went_on = midway.again()
    went_on.close(TRAFFIC)

    other, _ = change(
        midway, planned(psi=None, slow=None, more=replace(named("unsafe"), name="more", yellow=Level(0.3)))
    )

    for arena in (Arena.VALUES, Arena.LOGS):
        engines = [bench.judge._drifts._watches[arena].engine for bench in (went_on, other)]
        assert engines[0].evidence.tolist() == engines[1].evidence.tolist()


# ---- rules that come and go


@CHANGES
def test_what_a_rule_no_longer_watches_ends(midway: Bench, change: Change) -> None:
    alerts = {(alert.rule, alert.key.field) for alert in midway.judge.book.alerts}
    assert {("drift", "features.x"), ("drift", "latency_s")} <= alerts

    _, transitions = change(midway, planned(drift=replace(named("drift"), fields=("latency_s",))))

    removed = {(t.alert.rule, t.alert.key.field) for t in transitions if t.reason is Reason.REMOVED}
    assert removed == {at for at in alerts if at[0] == "drift" and at[1] != "latency_s"}


@CHANGES
def test_a_new_rule_begins_with_nothing(midway: Bench, change: Change) -> None:
    later = replace(named("unsafe"), name="later", yellow=Level(0.2))

    other, _ = change(midway, planned(later=later))

    lines = other.judge._lines["yes_rate", Arena.FLAGS]
    names = [other.judge._rules[number].name for number in lines.rule.tolist()]
    evidence = dict(
        zip(zip(names, lines.row.tolist(), strict=True), odds(other, ("yes_rate", Arena.FLAGS)), strict=True)
    )
    assert evidence["later", 0] < 1.0
    assert evidence["unsafe", 0] == pytest.approx(max(odds(midway, ("yes_rate", Arena.FLAGS))), abs=5.0)


@CHANGES
def test_a_rule_of_another_name_is_another_rule(midway: Bench, change: Change) -> None:
    other, transitions = change(midway, planned(slow=replace(named("slow"), name="very slow")))

    assert "slow" in {t.alert.rule for t in transitions if t.reason is Reason.REMOVED}
    assert np.isneginf(
        odds(
            midway.again(plans={m: planned(slow=replace(named("slow"), name="very slow")) for m in "ab"}),
            ("p95", Arena.LOGS),
        )
    ).all()
    assert "very slow" in {t.alert.rule for t in transitions + other.run(TRAFFIC, AMIDST + 30)}


@CHANGES
def test_rules_of_rivers_come_and_go(midway: Bench, change: Change) -> None:
    kept = {"ddm", "eddm", "fhddm", "hddm_a", "hddm_w", "adwin", "kswin", "page_hinkley"} & {r.name for r in RULES}
    other, _ = change(midway, planned(**dict.fromkeys(kept - {"eddm"})))

    posts = [p for own in other.judge._watchmen._posts.values() for at in own.by_row.values() for p in at]

    assert {post.rule.name for post in posts} == {"eddm"}


def test_another_budget_asks_for_other_evidence(midway: Bench) -> None:
    other = midway.again()
    before = other.judge._lines["p95", Arena.LOGS].nats.copy()
    budget = Budget(pages=BUDGET.pages / 10.0, has_river=True)

    assert other.judge.replan(float(other.pane), budget) == []

    assert np.allclose(other.judge._lines["p95", Arena.LOGS].nats - before, np.log(10.0))
    watch, ours = (bench.judge._drifts._watches[Arena.VALUES] for bench in (midway, other))
    known = np.isfinite(watch.alone)
    assert np.allclose(ours.alone[known] - watch.alone[known], np.log(10.0))
    assert odds(other, ("p95", Arena.LOGS)) == odds(midway, ("p95", Arena.LOGS))


# ---- incomplete panes


def test_incomplete_panes_tell_nothing() -> None:
    """As if another member had the partition of model a: what comes in half of them looks like drift, and silence."""
    bench, gap = Bench.of(), range(95, 175)
    bench.run(TRAFFIC, gap.start)
    engine = bench.judge._drifts._watches[Arena.VALUES].engine
    before, known = engine.evidence.copy(), len(bench.transitions)
    planted = Traffic(1, {"features.x": gap, "silent": range(150, 175), "null": gap})

    for pane in gap:
        bench.judge.skip(float(pane), float(pane + 1))
        bench.close(planted)

    assert engine.evidence.tolist() == before.tolist()
    assert not [t for t in bench.transitions[known:] if t.before is None]
    for where, lines in bench.judge._lines.items():
        assert (lines.seen[:2] <= Seen.HOLD).all(), where


def test_judging_goes_on_after_the_gap() -> None:
    bench = Bench.of()
    bench.run(Traffic(1), 50)
    bench.judge.skip(50.0, 60.0)
    bench.run(Traffic(1), 60)

    transitions = bench.run(Traffic(1, {"features.x": range(60, 200), "silent": range(320, 400)}), 340)

    assert {"drift", "silence", "traffic"} <= {t.alert.rule for t in transitions}


def test_a_gap_is_remembered_through_a_restart() -> None:
    one = Bench.of()
    one.run(TRAFFIC, 70)
    one.judge.skip(68.0, 100.0)
    one.run(TRAFFIC, 80)

    other = one.again()

    assert one.run(TRAFFIC, PANES) == other.run(TRAFFIC, PANES)
    assert [] == differing(one.stored(), other.stored())


def test_gaps_are_forgotten_in_the_end() -> None:
    bench = Bench.of()
    bench.judge.skip(0.0, 10.0)

    bench.run(Traffic(1), int(10 + 2 * WINDOWS_S[-1]))

    assert [] == bench.stored()["judge"]["incomplete"]["spans"]
