"""The snapshot as JSON, for programs and for the page."""

from __future__ import annotations

from collections import Counter
from typing import Final

from monitor.domain import Alert, Picture, Snapshot

ITEMS_MAX: Final = 1_000  # of each list in the JSON status; beyond that, look at /metrics


def status_of(snapshot: Snapshot) -> dict[str, object]:
    """Give the snapshot as JSON types and plain dataclasses, without the statistics; lists of at most ITEMS_MAX."""
    picture = snapshot.picture
    return {
        "ready": snapshot.is_ready,
        "not_ready_because": snapshot.not_ready_because,
        "time": snapshot.wall_s,
        "started": snapshot.started_wall_s,
        "watermark": picture.watermark_s,
        "totals": _totals(picture),
        "models_count": len(picture.models),
        "models": picture.models[:ITEMS_MAX],
        "alerts_count": len(picture.alerts),
        "alerts": [_told(alert) for alert in worst_first(picture)[:ITEMS_MAX]],
        "partitions": [
            {"topic": p.source.topic, "partition": p.source.partition, "lag_records": p.lag_records, "lag_s": p.lag_s}
            | {"position": p.position, "stalled_s": p.stalled_s}
            for p in snapshot.partitions[:ITEMS_MAX]
        ],
        "sinks": snapshot.sinks,
        "source_errors": snapshot.source_errors,
    }


def worst_first(picture: Picture) -> list[Alert]:
    """Give the alerts, firing before pending, then by severity, then the newest."""
    return sorted(picture.alerts, key=lambda a: (a.firing_s is None, -a.severity, -a.pending_s))


def _totals(picture: Picture) -> dict[str, object]:
    reasons: Counter[str] = Counter()
    for (_, reason), count in picture.rejected.items():
        reasons[reason] += count
    return {
        "received": sum(picture.received.values()),
        "counted": sum(picture.counted.values()),
        "rejected": sum(picture.rejected.values()),
        "rejected_reasons": reasons,
        "late": sum(picture.late.values()),
        "duplicate": sum(picture.duplicate.values()),
        "clamped": sum(picture.clamped.values()),
        "overflow": picture.overflow,
        "series_dropped": picture.series_dropped,
        "streams": picture.streams,
        "looks": picture.looks,
    }


def _told(alert: Alert) -> dict[str, object]:
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
        "window_s": alert.window_s,
        "since": alert.since_s,
        "pending": alert.pending_s,
        "firing": alert.firing_s,
        "reference": alert.reference,
        "incident": alert.incident,
        "dedup_key": alert.dedup_key,
        "owner": alert.owner,
        "runbook": alert.runbook,
    }
