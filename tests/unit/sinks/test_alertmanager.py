from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from monitor.domain import AlertState, Severity
from monitor.sinks.alertmanager import AlertmanagerParams, AlertmanagerSink, LabelSets, make_alertmanager
from monitor.sinks.base import Notice
from monitor.sinks.message import timestamp
from tests.unit.sinks.examples import START_S, alert, notice, transition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.receiver import Receiver


@pytest.fixture
def sink(receiver: Receiver) -> Iterator[AlertmanagerSink]:
    (sink,) = make_alertmanager(
        "pager", AlertmanagerParams((f"{receiver.url}/am/",), generator_url="https://driftd.example/")
    )
    yield sink
    sink.close()


def _told(sink: AlertmanagerSink, receiver: Receiver, now_s: float, *notices: Notice) -> list[dict[str, Any]]:
    sink.deliver(notices, now_s)
    alerts: list[dict[str, Any]] = receiver.requests[-1].json()
    return alerts


def _with_severity(severity: Severity, state: AlertState = AlertState.FIRING) -> Notice:
    return Notice(transition(alert(state=state, severity=severity), before=AlertState.FIRING), START_S)


def test_firing_alert_ends_four_repeats_ahead(receiver: Receiver, sink: AlertmanagerSink) -> None:
    (told,) = _told(sink, receiver, START_S + 5, notice())

    assert receiver.requests[0].path == "/am/api/v2/alerts"
    assert (told["startsAt"], told["endsAt"]) == (timestamp(START_S), timestamp(START_S + 5 + 240))
    assert told["labels"]["alertname"] == "feature_drift"
    assert told["annotations"]["runbook_url"] == "https://runbooks.example/drift"
    assert told["generatorURL"] == "https://driftd.example/"


def test_resolved_alert_carries_its_true_end_at_each_repeat(receiver: Receiver, sink: AlertmanagerSink) -> None:
    resolved = notice(state=AlertState.RESOLVED)
    ends = [_told(sink, receiver, START_S + now_s, resolved)[0]["endsAt"] for now_s in (61, 121)]

    assert ends == [timestamp(START_S + 60)] * 2


def test_end_is_never_ahead_for_resolved_nor_before_the_start(receiver: Receiver, sink: AlertmanagerSink) -> None:
    """A producer's clock may be ahead: it would go on firing until then, or be refused for ending before its start."""
    (told,) = _told(sink, receiver, START_S - 100, notice(state=AlertState.RESOLVED))

    assert told["startsAt"] == told["endsAt"] == timestamp(START_S - 100)


def test_change_of_severity_ends_the_old_label_set(receiver: Receiver, sink: AlertmanagerSink) -> None:
    _told(sink, receiver, START_S, notice())
    old, new = _told(sink, receiver, START_S + 30, _with_severity(Severity.SEV1))
    again, _ = _told(sink, receiver, START_S + 90, _with_severity(Severity.SEV1))
    (settled,) = _told(sink, receiver, START_S + 400, _with_severity(Severity.SEV1))

    assert (old["labels"]["severity"], old["endsAt"]) == ("sev3", timestamp(START_S + 30))
    assert (new["labels"]["severity"], new["endsAt"]) == ("sev1", timestamp(START_S + 30 + 240))
    assert {**old["labels"], "severity": "sev1"} == new["labels"]
    assert again == old  # the true end, again
    assert settled["labels"]["severity"] == "sev1"


def test_old_label_set_is_named_for_longer_than_it_fires_by_itself(receiver: Receiver) -> None:
    (sink,) = make_alertmanager("pager", AlertmanagerParams((receiver.url,), resend_s=300.0))
    _told(sink, receiver, START_S, notice())
    told = [
        len(_told(sink, receiver, START_S + now_s, _with_severity(Severity.SEV1))) for now_s in (10.0, 1200.0, 1220.0)
    ]
    sink.close()

    assert told == [2, 2, 1]


def test_severity_that_comes_back_fires_again(receiver: Receiver, sink: AlertmanagerSink) -> None:
    for now_s, severity in ((0, Severity.SEV3), (30, Severity.SEV1), (60, Severity.SEV3)):
        told = _told(sink, receiver, START_S + now_s, _with_severity(severity))

    ends = {each["labels"]["severity"]: each["endsAt"] for each in told}
    assert ends == {"sev1": timestamp(START_S + 60), "sev3": timestamp(START_S + 60 + 240)}


def test_failed_attempt_counts_since_it_may_have_arrived(receiver: Receiver, sink: AlertmanagerSink) -> None:
    receiver.answer_next(500)
    with pytest.raises(Exception, match="answered 500"):
        sink.deliver([notice()], START_S)
    told = _told(sink, receiver, START_S + 70, _with_severity(Severity.SEV2, AlertState.RESOLVED))

    assert {each["labels"]["severity"]: each["endsAt"] for each in told} == {
        "sev3": timestamp(START_S + 70),
        "sev2": timestamp(START_S + 60),
    }


def test_several_alerts_go_in_one_request(receiver: Receiver, sink: AlertmanagerSink) -> None:
    told = _told(sink, receiver, START_S, notice("a"), notice("b"))

    assert [each["labels"]["field"] for each in told] == ["feature.a", "feature.b"]
    assert len(receiver.requests) == 1


def test_label_sets_of_alerts_long_over_are_forgotten() -> None:
    sets = LabelSets(keep_s=300.0)
    for index in range(2000):
        sets.leave(notice(f"alert-{index}", AlertState.RESOLVED), START_S + index * 10)

    assert len(sets) <= 128


def test_label_sets_of_firing_alerts_are_kept() -> None:
    sets = LabelSets(keep_s=300.0)
    for index in range(200):
        sets.leave(notice(f"alert-{index}"), START_S + index * 100)

    assert len(sets) == 200


def test_each_replica_is_a_sink_of_its_own() -> None:
    sinks = make_alertmanager("pager", AlertmanagerParams(("http://am-0:9093", "https://am-1:9093/prefix/")))

    assert [sink.name for sink in sinks] == ["pager/am-0:9093", "pager/am-1:9093/prefix"]
    assert {sink.terms.resend_s for sink in sinks} == {60.0}
    for sink in sinks:
        sink.close()


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        ({"urls": ()}, "urls must name 1 to 16 replicas, got 0"),
        ({"urls": ("http://a", "http://a")}, "must not name a replica twice"),
        ({"urls": ("http://a", "b:9093")}, r"urls\[1\] must start with http"),
        ({"generator_url": "javascript:x"}, "generator_url must start with http"),
        ({"resend_s": 0.5}, "resend_s must be 1 to 3600, got 0.5"),
        ({"resend_s": float("nan")}, "resend_s must be 1 to 3600"),
        ({"timeout_s": 0}, "timeout_s must be above 0"),
    ],
)
def test_params_out_of_range_are_refused_by_name(broken: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        replace(AlertmanagerParams(("http://am:9093",)), **broken)
