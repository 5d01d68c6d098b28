"""Maintenance in the loop: nobody is told, all is shown and counted, and what still fires is told when it is over."""

from __future__ import annotations

from monitor.aides import Aides
from monitor.app import AppTerms
from monitor.domain import Reason, Snapshot
from monitor.silences import Maintenance, Silences
from tests.unit.staging import CERTAIN, NOON_S, Stage, Ticking, batch

FIRED = ("unsafe_rate", "firing", Reason.BREACHED)


def run(*windows: Maintenance) -> tuple[list[tuple[str, str, Reason]], Snapshot]:
    """Give what was told of a minute of health and a minute of unsafe answers, and the last snapshot."""
    answers = [batch(0, 60), *(batch(60 + 10 * n, 10, unsafe=True) for n in range(6))]
    terms = AppTerms(aides=Aides(silences=Silences(windows)))
    stage = Stage(answers, terms, Ticking(NOON_S + 130.0, 1.5), CERTAIN)
    stage.run()
    snapshot = stage.board.latest()
    assert snapshot is not None
    return [(each.alert.rule, str(each.alert.state), each.reason) for each, _ in stage.delivery.told], snapshot


def test_without_maintenance_it_is_told() -> None:
    told, snapshot = run()

    assert [FIRED] == told
    assert ((), 0) == (snapshot.silences.windows, snapshot.silences.silenced)


def test_meanwhile_nobody_is_told_and_all_is_shown_and_counted() -> None:
    told, snapshot = run(Maintenance(NOON_S, NOON_S + 3600.0, ("m",), "new prompt"))

    assert [] == told
    (alert,) = snapshot.picture.alerts
    assert {alert.dedup_key: "new prompt"} == snapshot.silences.held
    assert ("new prompt", 1) == (snapshot.silences.windows[0][3], snapshot.silences.silenced)
    assert snapshot.pages.spent, "it counts against the budget"


def test_what_still_fires_when_it_is_over_is_told_then() -> None:
    told, snapshot = run(Maintenance(NOON_S, NOON_S + 90.0))

    assert [FIRED] == told
    assert ({}, 1) == (snapshot.silences.held, snapshot.silences.silenced)


def test_maintenance_of_other_models_changes_nothing() -> None:
    assert [FIRED] == run(Maintenance(NOON_S, NOON_S + 3600.0, ("other-*",)))[0]
