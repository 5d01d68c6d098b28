"""The judge from one process to the next: whatever was seen, and whenever it is stored, it goes on as before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bins import Arena
from monitor.domain import DRILL_MODEL, AlertState, IntArray, Reason, StreamKey, Transition
from monitor.errors import StateError
from monitor.kept import Moves, State
from monitor.rules import Plan
from monitor.streams import StreamTable
from tests.unit.state.benches import PANES, PLAN, PLANTED, RULES, Bench, Traffic, differing, reference_of

TRAFFIC: Final = Traffic(1, PLANTED)


def row_of(table: StreamTable, key: StreamKey) -> tuple[Arena, int]:
    return next((rows.arena, rows.keys.index(key)) for rows in table.arenas if key in rows.keys)


def told(transitions: list[Transition]) -> list[tuple[float, str, str, str]]:
    return [(t.time_s, t.alert.rule, t.alert.key.field, str(t.alert.state)) for t in transitions]


@pytest.fixture(scope="module")
def midway() -> Bench:
    """Give a bench amidst several alerts; not to be changed."""
    bench = Bench.of()
    bench.run(TRAFFIC, 105)
    assert len(bench.judge.book.alerts) >= 4
    return bench


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1_000), st.lists(st.integers(1, PANES - 1), min_size=1, max_size=3, unique=True))
def test_it_goes_on_as_if_it_had_never_stopped(seed: int, stops: list[int]) -> None:
    traffic = Traffic(seed, PLANTED)
    one, other = Bench.of(), Bench.of()
    went_on = one.run(traffic, PANES)

    came_back = []
    for stop in sorted(stops):
        came_back += other.run(traffic, stop)
        other = other.again()
    came_back += other.run(traffic, PANES)

    fired = {t.alert.rule for t in went_on}
    assert {"drift", "unsafe", "null_rate", "null_twice", "slow", "silence", "budget"} <= fired
    assert went_on == came_back
    assert [] == differing(one.stored(), other.stored())


def test_what_comes_back_is_what_was_stored(midway: Bench) -> None:
    assert [] == differing(midway.stored(), midway.again().stored())


def test_a_stream_that_came_since_the_last_look_waits_as_it_did() -> None:
    """Its lines are made at the next look, there and here: what comes before is not counted twice or judged sooner."""
    one = Bench.of()
    one.run(TRAFFIC, 60)
    scope = one.table.subjects[0].scopes[""].index
    one.table.field_rows("error", [True], np.array([scope]))
    assert one.table.changed == {0}

    other = one.again()
    went_on, came_back = one.run(TRAFFIC, 90), other.run(TRAFFIC, 90)

    assert went_on == came_back
    assert [] == differing(one.stored(), other.stored())


def test_a_model_that_is_not_judged_yet_is_not_after_a_restart() -> None:
    one = Bench([reference_of("a")])
    one.run(TRAFFIC, 30)
    one.table._references["b", "1"] = reference_of("b")
    one.table.scopes_of(["b"], ["1"])

    other = one.again()

    assert [] == differing(one.stored(), other.stored())
    assert one.run(TRAFFIC, 130) == other.run(TRAFFIC, 130)
    assert [] == differing(one.stored(), other.stored())


def test_rows_that_lie_elsewhere_go_on() -> None:
    """As when a model is gone: those that follow have other rows, and another number."""
    one, other = Bench.of(("a", "b")), Bench.of(("b", "a"))
    before, _ = one.run(TRAFFIC, 105), other.run(TRAFFIC, 105)
    moves = moves_by_name(one.table, other.table)
    other.judge = other.new_judge()
    other.judge.restore(one.stored(), moves, float(other.pane))

    went_on, came_back = one.run(TRAFFIC, PANES), other.run(TRAFFIC, PANES)

    assert len(before) > 5
    assert len(went_on) > 5
    by_name = {rule.name: place for place, rule in enumerate(RULES)}
    assert sorted(told(went_on)) == sorted(told(came_back)), by_name
    for key in (StreamKey("a", "1", "features.x"), StreamKey("b", "1", "features.x")):
        (arena, row), (_, now) = row_of(one.table, key), row_of(other.table, key)
        engines = [bench.judge._drifts._watches[arena].engine for bench in (one, other)]
        assert engines[0].evidence[row] == engines[1].evidence[now]


def moves_by_name(then: StreamTable, now: StreamTable) -> Moves:
    moves: dict[Arena, IntArray] = {}
    for rows in then.arenas:
        places = {key: row for row, key in enumerate(now.arenas[rows.arena].keys)}
        moves[rows.arena] = np.array([places[key] for key in rows.keys])
    return moves


# ---- what is no longer there


def test_a_stream_that_begins_anew_ends_its_alerts_and_forgets_its_evidence(midway: Bench) -> None:
    gone = StreamKey("a", "1", "latency_s")
    other = midway.again(drop=lambda key: key == gone)
    assert gone in {alert.key for alert in other.judge.book.alerts}

    transitions = other.close(Traffic(1))

    removed = [t for t in transitions if t.reason is Reason.REMOVED]
    assert {(t.alert.key, t.alert.state) for t in removed} == {(gone, AlertState.RESOLVED)}
    assert {t.alert.rule for t in removed} >= {"drift", "slow"}
    evidence = other.judge._drifts._watches[Arena.LOGS].engine.evidence[row_of(other.table, gone)[1]]
    assert evidence < 20.0 < midway.judge._drifts._watches[Arena.LOGS].engine.evidence[0]


def test_an_alert_whose_rule_is_gone_ends_at_the_first_look_with_its_reason(midway: Bench) -> None:
    plan = Plan(PLAN.watch, tuple(rule for rule in RULES if rule.name not in ("drift", "slow")))
    other = midway.again(plans={"a": plan, "b": plan})

    transitions = other.close(TRAFFIC)

    ended = {t.alert.rule for t in transitions if t.reason is Reason.REMOVED}
    assert ended == {"drift", "slow"}
    assert {alert.rule for alert in other.judge.book.alerts} == {
        alert.rule for alert in midway.judge.book.alerts if alert.rule not in ended
    }


def test_a_removed_alert_waits_through_another_restart(midway: Bench) -> None:
    plan = Plan(PLAN.watch, tuple(rule for rule in RULES if rule.name != "drift"))
    other = midway.again(plans={"a": plan, "b": plan}).again()

    assert "drift" in {t.alert.rule for t in other.close(TRAFFIC) if t.reason is Reason.REMOVED}


# ---- states of other versions


@pytest.mark.parametrize(
    "section", ["judge", "judge/river", "judge/anomalies", "judge/drifts/VALUES", "judge/lines/p95/LOGS"]
)
def test_a_section_that_an_older_version_did_not_know_begins_empty(midway: Bench, section: str) -> None:
    states = midway.stored()
    del states[section]

    other = midway.again(states)

    other.run(TRAFFIC, 125)
    assert other.judge.book.alerts


def test_a_name_that_an_older_version_did_not_know_keeps_its_default(midway: Bench) -> None:
    states = midway.stored()
    for section, name in [(s, n) for s in ("judge", "judge/drifts/VALUES", "judge/lines/p95/LOGS") for n in states[s]]:
        less = {at: dict(state) for at, state in states.items()}
        del less[section][name]
        midway.again(less).close(TRAFFIC)


def test_a_name_that_a_newer_version_knew_is_passed_over(midway: Bench) -> None:
    states = {name: {**state, "of_later": {"x": 1}} for name, state in midway.stored().items()}

    assert [] == differing(midway.stored(), midway.again({**states, "judge/of_later": {}}).stored())


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("judge/drifts/VALUES", {"since_s": np.zeros((2, 3))}),
        ("judge/drifts/VALUES", {"told": np.zeros(0, dtype=np.int8)}),
        ("judge/lines/p95/LOGS", {"row": None}),
        ("judge", {"book": {"entries": [{"alert": {"rule": "x"}}]}}),
        ("judge", {"memory": {"over": [["x"]]}}),
        ("judge/anomalies/0", {"row": np.zeros(1, dtype=np.int64)}),
    ],
)
def test_a_state_that_can_be_none_stops_with_an_error(midway: Bench, section: str, changes: State) -> None:
    states: Mapping[str, State] = {name: dict(state) for name, state in midway.stored().items()}
    states[section].update(changes)

    with pytest.raises(StateError):
        midway.again(states)


# ---- drills


def test_alerts_of_the_drills_model_are_drills_and_its_traffic_is_no_finding() -> None:
    bench = Bench([reference_of(DRILL_MODEL)])
    bench.table.scopes_of([DRILL_MODEL], ["1"])
    traffic = Traffic(1, PLANTED)
    real = traffic.bins

    class Drill(Traffic):
        def bins(self, pane: int) -> dict[StreamKey, IntArray]:
            return {key._replace(model=DRILL_MODEL): own for key, own in real(pane).items() if key.model == "a"}

    transitions = bench.run(Drill(), 180)

    assert {"drift", "unsafe"} <= {t.alert.rule for t in transitions}
    assert all(t.alert.is_drill for t in transitions)
    assert not {"traffic", "silence"} & {t.alert.rule for t in transitions}


def test_the_evidence_of_an_alert_is_always_of_one_kind() -> None:
    """Of thresholds that odds decide on, both numbers are odds, from the first word of an alert to its last."""
    bench = Bench.of()
    needed: dict[str, set[float]] = {}
    for t in bench.run(TRAFFIC, PANES):
        needed.setdefault(t.alert.rule, set()).add(round(t.alert.evidence_needed, 9))
        assert t.alert.evidence >= 0.0
    lines = sum(int((own.subject == 0).sum()) for own in bench.judge._lines.values())
    for rule in ("unsafe", "slow", "null_rate"):
        assert needed[rule] == {round(bench.budget.line_nats(lines), 9)}
