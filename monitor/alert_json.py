"""One alert as JSON types, and back: what the API gives, and what `driftd explain` and `driftd drill` read. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from monitor.domain import Alert, AlertState, Band, Histogram, Severity, SinkStatus, StreamKey
from monitor.lineage import Lineage


def alert_dict(alert: Alert) -> dict[str, object]:
    """Give an alert without its histogram; times are epoch seconds of event time."""
    return {
        "rule": alert.rule,
        "state": alert.state,
        "severity": alert.severity.label,
        "band": alert.band.label,
        "model": alert.key.model,
        "model_version": alert.key.model_version,
        "field": alert.key.field,
        "segment": alert.key.segment,
        "summary": alert.summary,
        "statistic": alert.statistic,
        "value": alert.value,
        "threshold": alert.threshold,
        "interval": alert.interval,
        "samples": alert.samples,
        "evidence": alert.evidence,
        "evidence_needed": alert.evidence_needed,
        "window_s": alert.window_s,
        "since": alert.since_s,
        "pending": alert.pending_s,
        "firing": alert.firing_s,
        "resolved": alert.resolved_s,
        "decision_delay_s": None if alert.firing_s is None else max(0.0, alert.firing_s - alert.since_s),
        "change": alert.change,
        "rank": alert.rank,
        "together": alert.together,
        "reference": alert.reference,
        **alert.lineage._asdict(),
        "config_version": alert.config_version,
        "incident": alert.incident,
        "dedup_key": alert.dedup_key,
        "owner": alert.owner,
        "runbook": alert.runbook,
        "response": alert.response,
        "drill": alert.is_drill,
    }


def histogram_dict(histogram: Histogram | None) -> dict[str, object] | None:
    """Give a histogram; None where there is none."""
    if histogram is None:
        return None
    return {
        "labels": list(histogram.labels),
        "reference": list(histogram.reference),
        "current": list(histogram.current),
        "samples": histogram.samples,
        "reference_samples": histogram.reference_samples,
    }


def whole_dict(alert: Alert, sinks: Sequence[SinkStatus] = ()) -> dict[str, object]:
    """Give an alert with all that is known of it: histogram, and when each sink accepted it."""
    return {
        **alert_dict(alert),
        "details": dict(alert.details),
        "histogram": histogram_dict(alert.histogram),
        "deliveries": dict(_deliveries(alert, sinks)),
    }


def _deliveries(alert: Alert, sinks: Sequence[SinkStatus]) -> Iterator[tuple[str, dict[str, float] | None]]:
    """Give what each sink's receiver accepted: when, and how long after the decision; None: not yet, or forgotten."""
    for sink in sinks:
        found = [r for r in sink.receipts if (r.dedup_key, r.firing_s) == (alert.dedup_key, alert.firing_s)]
        yield (
            sink.name,
            {
                "accepted": found[-1].accepted_wall_s,
                "delay_s": round(max(0.0, found[-1].accepted_wall_s - found[-1].decided_wall_s), 3),
            }
            if found
            else None,
        )


def alert_of(told: Mapping[str, Any]) -> Alert:
    """Give the alert that `alert_dict` or `whole_dict` told; what is missing is unknown."""
    low, high = told.get("interval") or (None, None)
    return Alert(
        rule=str(told.get("rule", "")),
        key=StreamKey(*(str(told.get(name) or "") for name in ("model", "model_version", "field", "segment"))),
        statistic=str(told.get("statistic", "")),
        state=AlertState(told["state"]),
        severity=Severity[str(told["severity"]).upper()],
        band=Band[str(told.get("band") or "yellow").upper()],
        value=_number(told.get("value")),
        threshold=_number(told.get("threshold")),
        interval=(_number(low), _number(high)),
        samples=int(told.get("samples") or 0),
        evidence=_number(told.get("evidence")),
        evidence_needed=_number(told.get("evidence_needed")),
        window_s=_number(told.get("window_s")),
        since_s=_number(told.get("since")),
        pending_s=_number(told.get("pending")),
        firing_s=told.get("firing"),
        resolved_s=told.get("resolved"),
        incident=str(told.get("incident") or ""),
        dedup_key=str(told.get("dedup_key") or ""),
        owner=str(told.get("owner") or ""),
        runbook=str(told.get("runbook") or ""),
        reference=str(told.get("reference") or ""),
        summary=str(told.get("summary") or ""),
        change=str(told.get("change") or ""),
        rank=int(told.get("rank") or 1),
        together=int(told.get("together") or 1),
        histogram=_histogram(told.get("histogram")),
        is_drill=bool(told.get("drill")),
        response=str(told.get("response") or ""),
        lineage=Lineage.of(told),
        config_version=str(told.get("config_version") or ""),
        details={str(name): str(value) for name, value in (told.get("details") or {}).items()},
    )


def _histogram(told: Mapping[str, Any] | None) -> Histogram | None:
    if told is None:
        return None
    return Histogram(
        labels=tuple(map(str, told["labels"])),
        reference=tuple(map(_number, told["reference"])),
        current=tuple(map(_number, told["current"])),
        samples=int(told["samples"]),
        reference_samples=int(told["reference_samples"]),
    )


def _number(value: float | None) -> float:
    """Give a number; JSON has no other word for one that is none, or without end."""
    return math.nan if value is None else float(value)
