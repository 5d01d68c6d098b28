"""Pages against the budget and incidents in order of time, from the transitions of a history."""

from __future__ import annotations

from typing import Any, Final

from monitor.backtest import Backtest, backtest
from monitor.domain import AlertState, Severity, StreamKey, Transition
from monitor.rules import Budget
from tests.unit.sinks.examples import START_S, alert, transition

DAY_S: Final = 86_400.0
FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED


def fired(name: str, at_s: float, **changes: Any) -> Transition:  # noqa: ANN401 - fields of an alert
    return transition(alert(name, firing_s=at_s, since_s=at_s - 30.0, **changes), at_s=at_s, before=None)


def ended(name: str, at_s: float, **changes: Any) -> Transition:  # noqa: ANN401 - fields of an alert
    return transition(alert(name, RESOLVED, resolved_s=at_s, **changes), at_s=at_s)


def of(*transitions: Transition, days: float = 3.0, period_s: float = 2 * DAY_S) -> Backtest:
    return backtest(transitions, Budget(2.0, period_s), START_S, START_S + days * DAY_S)


class TestIncidents:
    def test_pages_of_one_incident_stand_together_the_strongest_first(self) -> None:
        (found,) = of(
            fired("weak", START_S, evidence=10.0, rank=2),
            fired("strong", START_S + 5, evidence=90.0),
            fired("strongest", START_S + 9, evidence=99.0),
        ).incidents

        assert ["key-strongest", "key-strong", "key-weak"] == [page.alert.dedup_key for page in found.pages]
        assert (START_S - 30, START_S) == (found.since_s, found.start_s)

    def test_incident_ends_with_its_last_alert(self) -> None:
        (found,) = of(
            fired("a", START_S), fired("b", START_S + 5), ended("b", START_S + 50), ended("a", START_S + 90)
        ).incidents

        assert START_S + 90 == found.end_s

    def test_incident_without_an_end_in_the_history_has_none(self) -> None:
        (found,) = of(fired("a", START_S), fired("b", START_S), ended("a", START_S + 9)).incidents

        assert found.end_s is None
        assert "to the end of the input" in "\n".join(of(fired("a", START_S)).to_text())

    def test_severity_is_the_worst_it_came_to(self) -> None:
        worse = transition(alert("a", severity=Severity.SEV1), at_s=START_S + 5, before=FIRING)
        (found,) = of(fired("a", START_S), worse, ended("a", START_S + 9)).incidents

        assert Severity.SEV1 is found.severity

    def test_what_never_fired_is_no_page(self) -> None:
        pending = transition(alert("a", AlertState.PENDING), at_s=START_S)
        passed = transition(alert("a", RESOLVED, firing_s=None), at_s=START_S, before=AlertState.PENDING)

        assert [] == of(pending, passed).pages
        assert ["no page would have been sent"] == of(pending, passed).to_text()

    def test_alert_that_fires_again_is_another_page(self) -> None:
        found = of(fired("a", START_S), ended("a", START_S + 9), fired("a", START_S + 20))

        assert 2 == len(found.pages)
        assert [START_S + 9, None] == [page.resolved_s for page in found.pages]


class TestBudget:
    def test_pages_are_told_by_model_day_and_budget_period(self) -> None:
        other = StreamKey("fraud", "2", "score")
        found = of(
            fired("a", START_S),
            fired("b", START_S + 1),
            fired("c", START_S + 1.5 * DAY_S),
            fired("d", START_S + 2.5 * DAY_S, key=other, incident="inc-2"),
        ).to_dict()

        credit, fraud = found["models"]
        assert 4 == found["pages"]
        assert {"pages": 2.0, "period_s": 2 * DAY_S} == found["budget"]
        assert {"2027-01-15": 2, "2027-01-16": 1} == credit["by_day"]
        assert [(START_S, 3, 1.5)] == [tuple(period.values()) for period in credit["by_budget_period"]]
        assert ("fraud", "2", 1) == (fraud["model"], fraud["model_version"], fraud["pages"])
        assert START_S + 2 * DAY_S == fraud["by_budget_period"][0]["from_s"]

    def test_text_tells_how_much_of_a_period_there_was(self) -> None:
        text = "\n".join(of(fired("a", START_S)).to_text())

        assert "1 page(s) would have been sent, in 1 incident(s); the budget is 2 in 2.0 days" in text
        assert "credit 7: 1 page(s); by day 2027-01-15: 1" in text
        assert "budget period from 2027-01-15 08:00:00Z: 1 of 2 spent (2.0 days of it in the input)" in text

    def test_incidents_are_told_with_how_long_they_took_to_find(self) -> None:
        (incident,) = of(fired("a", START_S, change="location")).to_dict()["incidents"]
        text = "\n".join(of(fired("a", START_S, change="location")).to_text())

        assert (30.0, START_S, None) == (incident["mttd_s"], incident["start"], incident["end"])
        assert (30.0, "location", 1) == tuple(
            incident["alerts"][0][name] for name in ("decision_delay_s", "change", "rank")
        )
        assert "a has drifted [location]; decided 30 s after its onset" in text
