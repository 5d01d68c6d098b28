from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from monitor.domain import AlertState
from monitor.errors import SinkError
from monitor.sinks.log import LogParams, LogSink
from tests.unit.sinks.examples import START_S, alert, notice


def test_one_line_per_transition() -> None:
    sink = LogSink("log", LogParams())
    with capture_logs() as lines:
        sink.deliver([notice(state=state) for state in AlertState], START_S)

    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("alert pending", "info"),
        ("alert firing", "warning"),
        ("alert resolved", "info"),
    ]
    assert lines[1] == {
        "event": "alert firing",
        "log_level": "warning",
        "rule": "feature_drift",
        "model": "credit",
        "model_version": "7",
        "field": "feature.a",
        "segment": "region=eu",
        "severity": "sev3",
        "band": "yellow",
        "owner": "risk-team",
        "summary": "a has drifted",
        "runbook_url": "https://runbooks.example/drift",
        "statistic": "psi",
        "value": 0.314159,
        "threshold": 0.2,
        "samples": 12_000,
        "since": "2027-01-15T07:58:30.000Z",
        "reference": "ref-abc",
        "incident": "inc-1",
        "dedup_key": "key-a",
        "detection_delay": "90 s",
        "reason": "breach lasted",
        "time": "2027-01-15T08:00:00.000Z",
    }


def test_unwritable_log_is_a_sink_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def warning(self, *_: object, **__: object) -> None:
            raise OSError("no space left")

    sink = LogSink("log", LogParams())
    monkeypatch.setattr(sink, "_log", Full())
    with pytest.raises(SinkError, match="no space left") as raised:
        sink.deliver([notice()], START_S)

    assert (raised.value.is_retryable, raised.value.reason) == (True, "other")


def test_foreign_text_cannot_forge_lines() -> None:
    sink = LogSink("log", LogParams())
    told = notice()
    object.__setattr__(told.transition, "alert", alert(summary="fine\nERROR forged"))
    with capture_logs() as lines:
        sink.deliver([told], START_S)

    assert lines[0]["summary"] == "fine ERROR forged"
