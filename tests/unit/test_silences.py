"""Maintenance: who is told of what, while it lasts and after."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import AlertState, Reason, Severity, StreamKey, Transition
from monitor.errors import StateError
from monitor.silences import Maintenance, Silences
from tests.unit.sinks.examples import alert

FROM_S, TO_S = 100.0, 200.0
WORK = Maintenance(FROM_S, TO_S, ("fraud-*",), "new feature store")


def change(
    time_s: float,
    state: str,
    before: str | None = None,
    model: str = "fraud-eu",
    key: str = "k",
    severity: Severity = Severity.SEV2,
) -> Transition:
    told = alert(key=StreamKey(model, "1", "score"), state=AlertState(state), dedup_key=key, severity=severity)
    return Transition(time_s, None if before is None else AlertState(before), told, Reason.BREACHED)


def test_what_fires_meanwhile_is_held_and_told_when_it_is_over() -> None:
    silences = Silences([WORK])
    fired = change(150.0, "firing")

    assert [] == silences.passed([fired])
    assert [] == silences.release(199.0)
    assert [fired] == silences.release(200.0)
    assert [] == silences.release(201.0), "once"


def test_what_is_over_before_the_maintenance_is_never_told() -> None:
    silences = Silences([WORK])

    assert [] == silences.passed([change(110.0, "firing"), change(180.0, "resolved", "firing")])
    assert [] == silences.release(300.0)
    assert 2 == silences.status(300.0).silenced


def test_end_of_what_people_know_is_told_at_once() -> None:
    silences = Silences([WORK])
    known, worse = change(90.0, "firing"), change(120.0, "firing", "firing", severity=Severity.SEV1)
    over = change(150.0, "resolved", "firing")

    assert [known] == silences.passed([known])
    assert [] == silences.passed([worse])
    assert [over] == silences.passed([over])


def test_end_after_the_maintenance_of_what_was_held_back_until_then_is_not_told() -> None:
    """Nobody heard that it fired: it ended between the maintenance's end and the next release."""
    silences = Silences([WORK])

    assert [] == silences.passed([change(150.0, "firing"), change(200.5, "resolved", "firing")])


def test_pending_alerts_are_not_told_either() -> None:
    silences = Silences([WORK])

    assert [] == silences.passed([change(150.0, "pending"), change(160.0, "resolved", "pending")])
    assert {} == silences.status(170.0).held


@pytest.mark.parametrize(
    "other", [change(150.0, "firing", model="assistant"), change(99.9, "firing"), change(200.0, "firing")]
)
def test_other_models_and_times_are_told(other: Transition) -> None:
    assert [other] == Silences([WORK]).passed([other])


def test_newest_change_is_the_one_that_is_told() -> None:
    silences = Silences([WORK])
    worse = change(160.0, "firing", "firing", severity=Severity.SEV1)
    silences.passed([change(150.0, "firing"), worse])

    assert [worse] == silences.release(250.0)


def test_overlapping_maintenance_goes_on_silencing() -> None:
    silences = Silences([WORK, Maintenance(190.0, 300.0)])
    silences.passed([change(150.0, "firing")])

    assert [] == silences.release(250.0)
    assert 1 == len(silences.release(300.0))


def test_it_is_shown() -> None:
    silences = Silences([WORK, Maintenance(500.0, 600.0)])
    silences.passed([change(150.0, "firing")])

    status = silences.status(150.0)

    assert ((FROM_S, TO_S, ("fraud-*",), "new feature store"),) == status.windows
    assert ({"k": "new feature store"}, 1) == (status.held, status.silenced)
    assert () == silences.status(None).windows


def test_receivers_are_not_reminded_of_what_is_held_back() -> None:
    silences = Silences([WORK])
    held, other = change(150.0, "firing"), change(150.0, "firing", model="assistant", key="other")
    silences.passed([held, other])

    assert [other.alert] == silences.audible([held.alert, other.alert])


def test_maintenance_that_is_taken_away_ends_at_once() -> None:
    silences = Silences([WORK])
    fired = change(150.0, "firing")
    silences.passed([fired])
    silences.apply([])

    assert [fired] == silences.release(151.0)


def test_what_is_held_outlives_the_process() -> None:
    before, after = Silences([WORK]), Silences([WORK])
    before.passed(
        [change(150.0, "firing"), change(90.0, "firing", key="x"), change(120.0, "firing", "firing", key="x")]
    )
    after.restore(before.state())

    assert before.status(150.0) == after.status(150.0)
    assert before.release(250.0) == after.release(250.0)


def test_state_that_is_none_is_refused() -> None:
    with pytest.raises(StateError):
        Silences().restore({"held": [[{"time_s": 1.0}, False]]})


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.floats(1.0, 40.0)), max_size=20))
def test_people_hear_of_every_alert_that_fires_outside_and_of_no_end_without_a_beginning(
    steps: list[tuple[str, bool, float]],
) -> None:
    silences, now_s = Silences([WORK]), 60.0
    fires: dict[str, bool] = {}
    known: set[str] = set()
    for key, wants, after_s in steps:
        now_s += after_s
        before = fires.get(key, False)
        if before == wants:
            continue
        fires[key] = wants
        state = "firing" if wants else "resolved"
        told = silences.release(now_s) + silences.passed([change(now_s, state, "firing" if before else None, key=key)])
        for each in told:
            if each.alert.state is AlertState.RESOLVED:
                assert each.alert.dedup_key in known
                known.discard(each.alert.dedup_key)
            else:
                known.add(each.alert.dedup_key)
        if not FROM_S <= now_s < TO_S:
            assert {name for name, does in fires.items() if does} == known
    for each in silences.release(max(now_s, TO_S)):
        known.add(each.alert.dedup_key)
    assert {name for name, does in fires.items() if does} == known
