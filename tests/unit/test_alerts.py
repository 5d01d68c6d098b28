"""Every row of the table of states, and what the times of a rule do; one heading per case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from monitor.alerts import EASE_AFTER_S, TABLE, AlertBook, Event, Observation
from monitor.bins import Arena
from monitor.domain import DRILL_MODEL, AlertState, Band, Reason, Seen, Severity, StreamKey, Transition
from monitor.rules import Level, Rule

KEY = StreamKey("fraud", "1", "score")
RULE = Rule(
    "drift", "psi", ("score",), Level(0.1), Level(0.25), (60.0,), severity=Severity.SEV2, owner="ml", runbook="r"
)
U, H, C, Y, R = Seen.UNKNOWN, Seen.HOLD, Seen.CLEAR, Seen.YELLOW, Seen.RED


def look(seen: Seen, rule: Rule = RULE, key: StreamKey = KEY, **changes: object) -> Observation:
    threshold = 0.25 if seen is R else 0.1
    plain: dict[str, Any] = {
        "value": 0.3,
        "threshold": threshold,
        "interval": (0.2, 0.4),
        "samples": 500,
        "evidence": 20.0,
        "evidence_needed": 12.0,
        "window_s": 60.0,
        "reference": "abc",
        "where": ("psi", Arena.VALUES),
        "row": 0,
    }
    return Observation(rule=rule, key=key, seen=seen, **{**plain, **changes})


def onset(_: Observation) -> float:
    return 77.0


def run(looks: list[tuple[float, Seen]], rule: Rule = RULE) -> list[Transition]:
    book = AlertBook()
    return [t for now_s, seen in looks for t in book.advance([look(seen, rule)], now_s, onset)]


def told(transitions: list[Transition]) -> list[tuple[float, str, Reason]]:
    return [(t.time_s, str(t.alert.state), t.reason) for t in transitions]


@dataclass(frozen=True)
class Case:
    looks: list[tuple[float, Seen]]
    expected: list[tuple[float, str, Reason]]
    for_s: float = 0.0
    keep_s: float = 60.0


FIRED = (0, "firing", Reason.BREACHED)
PENDING = (0, "pending", Reason.BREACHED)
CASES = {
    "nothing is said of what is fine": Case([(0, U), (1, H), (2, C)], []),
    "a breach without `for` fires at once": Case([(0, R)], [FIRED]),
    "a yellow breach fires too": Case([(0, Y)], [FIRED]),
    "a breach with `for` is pending first": Case([(0, R)], [PENDING], for_s=30),
    "a breach that lasts fires at the end of `for`": Case(
        [(0, R), (29, R), (30, R)], [PENDING, (30, "firing", Reason.LASTED)], for_s=30
    ),
    "a breach that ends before it lasted is over at once": Case(
        [(0, R), (10, C)], [PENDING, (10, "resolved", Reason.PASSED)], for_s=30
    ),
    "neither breach nor quiet leaves a pending alert as it is": Case(
        [(0, R), (10, H), (30, R)], [PENDING, (30, "firing", Reason.LASTED)], for_s=30
    ),
    "a pending alert without samples for long is stale": Case(
        [(0, R), (10, U), (129, U), (130, U)], [PENDING, (130, "resolved", Reason.STALE)], for_s=1000
    ),
    "quiet resolves only after keep_firing_for": Case(
        [(0, R), (10, C), (69, C), (70, C)], [FIRED, (70, "resolved", Reason.CLEARED)]
    ),
    "quiet resolves at once where keep_firing_for is 0": Case(
        [(0, R), (10, C)], [FIRED, (10, "resolved", Reason.CLEARED)], keep_s=0
    ),
    "a breach starts keep_firing_for anew": Case(
        [(0, R), (10, C), (60, R), (65, C), (124, C), (125, C)], [FIRED, (125, "resolved", Reason.CLEARED)]
    ),
    "what is not proven quiet starts keep_firing_for anew": Case(
        [(0, R), (10, C), (60, H), (65, C), (125, C)], [FIRED, (125, "resolved", Reason.CLEARED)]
    ),
    "a value that stays between breach and quiet never ends the alert": Case(
        [(0, R), *((float(t), H) for t in range(1, 2000, 50))], [FIRED]
    ),
    "a value around the threshold does not flap": Case(
        [(0, Y), *((float(t), (Y, H)[t % 2]) for t in range(1, 200))], [FIRED]
    ),
    "yellow that turns red is told again": Case([(0, Y), (5, R)], [FIRED, (5, "firing", Reason.ESCALATED)]),
    "red that turns yellow is told after a while": Case(
        [(0, R), (5, Y), (64, Y), (65, Y)], [FIRED, (65, "firing", Reason.EASED)]
    ),
    "red and yellow in turn are told once": Case(
        [(0, R), *((float(t), (R, Y)[t % 2]) for t in range(1, 200))], [FIRED]
    ),
    "a firing alert without samples for twice its window is stale": Case(
        [(0, R), (10, U), (129, U), (130, U)], [FIRED, (130, "resolved", Reason.STALE)]
    ),
    "one look with samples starts staleness anew": Case([(0, R), (10, U), (100, H), (110, U), (220, U)], [FIRED]),
    "a breach after the end is a new alert": Case(
        [(0, R), (1, C), (2, R)], [FIRED, (1, "resolved", Reason.CLEARED), (2, "firing", Reason.BREACHED)], keep_s=0
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_looks_move_an_alert(case: Case) -> None:
    rule = replace(RULE, for_s=case.for_s, keep_firing_for_s=case.keep_s)

    assert case.expected == told(run(case.looks, rule))


def test_every_row_of_the_table_names_states_that_follow_each_other() -> None:
    for (before, event), (after, reason) in TABLE.items():
        assert before is not AlertState.RESOLVED
        assert isinstance(event, Event)
        assert isinstance(reason, Reason)
        assert (after is AlertState.RESOLVED) == (
            reason in (Reason.PASSED, Reason.CLEARED, Reason.STALE, Reason.REMOVED)
        )


def test_cases_reach_every_change_of_state() -> None:
    reached = set()
    for case in CASES.values():
        rule = replace(RULE, for_s=case.for_s, keep_firing_for_s=case.keep_s)
        reached |= {(t.before, t.alert.state, t.reason) for t in run(case.looks, rule)}

    wanted = {(before, after, reason) for (before, _), (after, reason) in TABLE.items()}
    removed = {(s, AlertState.RESOLVED, Reason.REMOVED) for s in (AlertState.PENDING, AlertState.FIRING)}
    assert wanted == reached | removed


@pytest.mark.parametrize(("for_s", "state"), [(0.0, AlertState.FIRING), (9.0, AlertState.PENDING)])
def test_alert_whose_rule_is_gone_is_resolved(for_s: float, state: AlertState) -> None:
    book = AlertBook()
    book.advance([look(R, replace(RULE, for_s=for_s))], 0.0, onset)

    gone = book.remove(lambda alert: alert.rule == "drift", 5.0)

    assert [(state, AlertState.RESOLVED, Reason.REMOVED)] == [(t.before, t.alert.state, t.reason) for t in gone]
    assert [] == book.alerts
    assert [] == book.remove(lambda _: True, 6.0)


def test_alert_carries_its_evidence_and_times() -> None:
    first, last = run([(0, R), (30, R)], replace(RULE, for_s=30))

    alert = last.alert
    assert (0.0, 30.0, None, 77.0) == (alert.pending_s, alert.firing_s, alert.resolved_s, alert.since_s)
    assert (0.3, 0.25, (0.2, 0.4), 500) == (alert.value, alert.threshold, alert.interval, alert.samples)
    assert (20.0, 12.0, 60.0, "abc") == (alert.evidence, alert.evidence_needed, alert.window_s, alert.reference)
    assert (Severity.SEV2, Band.RED, "ml", "r") == (alert.severity, alert.band, alert.owner, alert.runbook)
    assert first.alert.dedup_key == alert.dedup_key
    assert first.alert.incident == alert.incident
    assert "fraud: drift of score is 0.3, above 0.25: prediction drift (500 samples in 60 s)" == alert.summary


def test_severity_follows_the_band() -> None:
    yellow, red = run([(0, Y), (1, R)])

    assert (Severity.SEV4, Severity.SEV2) == (yellow.alert.severity, red.alert.severity)


def test_pending_alert_that_became_milder_fires_mild() -> None:
    """A red blip at the start must not page at the severity of red after the minutes of yellow that followed it."""
    transitions = run([(0, R), (10, Y), (30, Y)], replace(RULE, for_s=30))

    assert (Band.YELLOW, Severity.SEV4, 0.1) == (
        transitions[-1].alert.band,
        transitions[-1].alert.severity,
        transitions[-1].alert.threshold,
    )


def test_pending_alert_that_became_worse_fires_once_and_severe() -> None:
    transitions = run([(0, Y), (30, R), (31, R)], replace(RULE, for_s=30))

    assert [AlertState.PENDING, AlertState.FIRING] == [t.alert.state for t in transitions]
    assert Severity.SEV2 is transitions[-1].alert.severity


def test_onset_is_dated_for_new_alerts_only() -> None:
    """Dating costs a pass over the past, so it must not be done at every look."""
    dated: list[Observation] = []

    def date(seen: Observation) -> float:
        dated.append(seen)
        return 5.0

    book = AlertBook()
    for now_s in (0.0, 1.0, 2.0):
        book.advance([look(R)], now_s, date)

    assert 1 == len(dated)


def test_alerts_of_one_model_share_an_incident_while_they_overlap() -> None:
    book = AlertBook()
    other = KEY._replace(field="latency_s")
    (first,) = book.advance([look(R)], 0.0, onset)
    (second,) = book.advance([look(R, key=other)], 9.0, onset)
    (elsewhere,) = book.advance([look(R, key=KEY._replace(model="search"))], 9.0, onset)
    book.remove(lambda _: True, 20.0)
    (later,) = book.advance([look(R)], 30.0, onset)

    assert first.alert.incident == second.alert.incident
    assert 3 == len({first.alert.incident, elsewhere.alert.incident, later.alert.incident})


def test_dedup_keys_tell_every_rule_and_stream_apart() -> None:
    keys = [
        KEY,
        KEY._replace(segment="c=DE"),
        StreamKey("a", "b|c", "d"),
        StreamKey("a|b", "c", "d"),
        StreamKey("a", "b", "c|d"),
    ]
    book = AlertBook()

    transitions = book.advance([look(R, key=key) for key in keys], 0.0, onset)
    transitions += book.advance([look(R, replace(RULE, name="other"))], 0.0, onset)

    assert 6 == len({t.alert.dedup_key for t in transitions})


def test_transitions_are_counted_by_rule_and_state() -> None:
    book = AlertBook()
    for now_s, seen in ((0.0, R), (1.0, C), (61.0, C)):
        book.advance([look(seen)], now_s, onset)

    assert {("drift", "firing"): 1, ("drift", "resolved"): 1} == dict(book.transitions)


def test_alert_names_the_configuration_that_it_was_judged_by_last() -> None:
    book = AlertBook("first")
    (begun,) = book.advance([look(R)], 0.0, onset)
    book.config_version = "second"
    quiet = [t.alert for now_s in (1.0, 61.0) for t in book.advance([look(C)], now_s, onset)]
    (anew,) = book.advance([look(R)], 100.0, onset)
    book.config_version = "third"
    book.advance([look(R)], 101.0, onset)
    (judged,) = book.alerts

    assert ["first", "first", "second", "third"] == [
        each.config_version for each in (begun.alert, *quiet, anew.alert, judged)
    ]


def test_summary_names_the_segment_and_the_side() -> None:
    book = AlertBook()
    low = replace(RULE, name="volume_low", statistic="volume", is_above=False)

    (transition,) = book.advance([look(R, low, KEY._replace(field="events", segment="country=DE"))], 0.0, onset)

    assert (
        "fraud: volume_low of events (country=DE) is 0.3, below 0.25 (500 samples in 60 s)" == transition.alert.summary
    )


def test_ease_after_is_longer_than_a_look() -> None:
    assert EASE_AFTER_S > 1.0


def test_alerts_of_the_drills_model_are_drills_from_the_first_and_others_are_not() -> None:
    """Also what becomes of them: whoever was told of a drill is told that the drill is over."""
    of_drill = StreamKey(DRILL_MODEL, "1", "score")
    book = AlertBook()
    begun = book.advance([look(R), look(R, key=of_drill)], 0.0, onset)
    ended = book.advance([look(C, key=of_drill)], 10.0, onset) + book.advance([look(C, key=of_drill)], 70.0, onset)

    assert [(KEY, False), (of_drill, True)] == [(t.alert.key, t.alert.is_drill) for t in begun]
    assert [(of_drill, "resolved", True)] == [(t.alert.key, str(t.alert.state), t.alert.is_drill) for t in ended]


ACCURACY = Rule("concept", "yes_rate", ("correct",), Level(0.9), None, (60.0,), is_above=False)


@pytest.mark.parametrize(
    ("field", "sort"),
    [
        ("features.amount", "feature drift"),
        ("score", "prediction drift"),
        ("prediction", "prediction drift"),
        ("label", "label drift"),
        ("abs_error", "concept drift"),
    ],
)
def test_sort_of_drift_is_told(field: str, sort: str) -> None:
    seen = look(R, replace(RULE, fields=(field,)), StreamKey("fraud", "1", field), change="location")
    (fired,) = AlertBook().advance([seen], 0.0, onset)

    assert f"fraud: drift of {field} is 0.3, above 0.25: {sort}, location (500 samples in 60 s)" == fired.alert.summary


@pytest.mark.parametrize(("statistic", "field"), [("null_rate", "features.amount"), ("p95", "latency_s")])
def test_what_is_no_drift_is_not_called_so(statistic: str, field: str) -> None:
    rule = replace(RULE, statistic=statistic, fields=(field,))
    (fired,) = AlertBook().advance([look(R, rule, StreamKey("fraud", "1", field))], 0.0, onset)

    assert "drift (" not in fired.alert.summary
    assert ":" not in fired.alert.summary.removeprefix("fraud:")


def test_concept_drift_names_the_drift_beside_it_while_that_lasts() -> None:
    """Of its own model version alone, and after a restart too."""
    book, key = AlertBook(), StreamKey("fraud", "1", "correct")
    book.advance([look(R, key=StreamKey(*model, "label")) for model in (("other", "1"), ("fraud", "2"))], 0.0, onset)
    (alone,) = book.advance([look(Y, ACCURACY, key)], 1.0, onset)
    book.advance([look(R, key=StreamKey("fraud", "1", name)) for name in ("score", "features.x")], 2.0, onset)
    (again,) = (book := brought_back(book)).advance([look(R, ACCURACY, key)], 3.0, onset)
    book.advance([look(C), look(C, key=StreamKey("fraud", "1", "features.x"))], 4.0, onset)
    book.advance([look(C), look(C, key=StreamKey("fraud", "1", "features.x"))], 99.0, onset)
    book.advance([look(R, ACCURACY, key)], 100.0, onset)
    at_last = book.get(("concept", key))

    assert at_last is not None
    assert alone.alert.summary.endswith("below 0.1: concept drift (500 samples in 60 s)")
    assert ": concept drift, beside feature drift and prediction drift (" in again.alert.summary
    assert at_last.summary.endswith(": concept drift (500 samples in 60 s)")


def brought_back(book: AlertBook) -> AlertBook:
    """Give what the next process has of a book."""
    rules = {rule.name: rule for rule in (RULE, ACCURACY)}
    made = AlertBook()
    made.restore(book.state(), lambda alert: rules[alert.rule])
    return made
