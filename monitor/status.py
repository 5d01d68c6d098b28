"""The snapshot as JSON: the status, the alerts in full, and the worst segments."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Final

from monitor.alert_json import alert_dict, whole_dict
from monitor.domain import Alert, ModelStatus, Picture, SinkStatus, Snapshot
from monitor.upkeep import Delays
from monitor.worst import FALSE_SHARE, WorstSegment, is_yes_bad, worst_segments

ITEMS_MAX: Final = 1_000  # of each list in the JSON status; beyond that, look at /metrics


def status_of(snapshot: Snapshot, model: str | None = None) -> dict[str, object]:
    """Give the snapshot as JSON types and plain dataclasses, without the statistics; lists of at most ITEMS_MAX.

    model: the one whose versions and alerts are told, None: all.
    """
    picture = snapshot.picture
    models = [each for each in picture.models if model in (None, each.model)]
    alerts = [each for each in worst_first(picture) if model in (None, each.key.model)]
    return {
        "ready": snapshot.is_ready,
        "not_ready_because": snapshot.not_ready_because,
        "time": snapshot.wall_s,
        "started": snapshot.started_wall_s,
        "watermark": picture.watermark_s,
        "totals": _totals(picture),
        "models_count": len(models),
        "models": [_model(each) for each in models[:ITEMS_MAX]],
        "alerts_count": len(alerts),
        "alerts": [
            {**alert_dict(alert), "silenced": snapshot.silences.held.get(alert.dedup_key)}
            for alert in alerts[:ITEMS_MAX]
        ],
        "maintenance": [
            {"from": start_s, "to": end_s, "models": globs, "reason": reason}
            for start_s, end_s, globs, reason in snapshot.silences.windows
        ],
        "partitions": [
            {"topic": p.source.topic, "partition": p.source.partition, "lag_records": p.lag_records, "lag_s": p.lag_s}
            | {"position": p.position, "stalled_s": p.stalled_s}
            for p in snapshot.partitions[:ITEMS_MAX]
        ],
        "sinks": [_sink(sink) for sink in snapshot.sinks],
        "budget_spent": [
            {"model": model, "model_version": version, "ratio": ratio}
            for (model, version), ratio in sorted(snapshot.pages.spent.items(), key=lambda item: -item[1])[:ITEMS_MAX]
        ],
        "error_budgets": [budget._asdict() for budget in picture.budgets[:ITEMS_MAX] if model in (None, budget.model)],
        "join": join_dict(picture),
        "kpis": [kpi._asdict() for kpi in picture.kpis if model in (None, kpi.model)][:ITEMS_MAX],
        "detection_delay": _delay(snapshot.pages.decided),
        "source_errors": snapshot.source_errors,
        "partitions_away": [f"{each.topic}/{each.partition}" for each in snapshot.away[:ITEMS_MAX]],
        "partitions_held": [
            {"topic": topic, "partition": number, "why": why}
            for (topic, number), why in sorted(snapshot.dead_letters.broken.items())[:ITEMS_MAX]
        ],
        "state": snapshot.state,
        "config_reload": snapshot.reload,
        "heartbeat": snapshot.heartbeat,
    }


def join_dict(picture: Picture) -> dict[str, object]:
    """Give what became of outcomes, as JSON types."""
    join = picture.join
    results: dict[str, dict[str, int]] = {}
    for (kind, result), count in join.outcomes.items():
        results.setdefault(kind, {})[result] = count
    about = {"pending": join.pending, "waiting": join.waiting, "expired": join.expired, "forgotten": join.forgotten}
    return {"on": join.is_on, "outcomes": results, **about, "bytes": join.nbytes}


def alerts_dict(snapshot: Snapshot, model: str | None = None) -> dict[str, object]:
    """Give the alerts of a model, or of all, with everything that is known of them; at most ITEMS_MAX."""
    found = [alert for alert in _known(snapshot) if model in (None, alert.key.model)]
    return {
        "time": snapshot.wall_s,
        "watermark": snapshot.picture.watermark_s,
        "alerts_count": len(found),
        "alerts": [whole_dict(alert, snapshot.sinks) for alert in found[:ITEMS_MAX]],
    }


def one_alert_dict(snapshot: Snapshot, dedup_key: str) -> dict[str, object] | None:
    """Give one alert with all that is known of it; None where there is none of that key."""
    found = next((alert for alert in _known(snapshot) if alert.dedup_key == dedup_key), None)
    return None if found is None else whole_dict(found, snapshot.sinks)


def segments_dict(snapshot: Snapshot, model: str | None = None) -> dict[str, object]:
    """Give the segments that are worse than the rest of a model's traffic, or of any; at most ITEMS_MAX."""
    found = snapshot.picture.segments
    told = [] if found is None else worst_segments(found, model)
    compared = [] if found is None else [key for key in found.keys if model in (None, key[0])]
    return {
        "time": snapshot.wall_s,
        "watermark": snapshot.picture.watermark_s,
        "window": None if found is None else found.window,
        "false_share": FALSE_SHARE,
        "compared": len(compared),
        "segments_count": len(told),
        "segments": [_segment(each) for each in told[:ITEMS_MAX]],
    }


def _segment(worst: WorstSegment) -> dict[str, object]:
    bad = "yes" if is_yes_bad(worst.key.field) else "no"
    return {
        **worst.key._asdict(),
        "beyond": "p95" if worst.is_above else bad,
        "share": worst.share,
        "rest": worst.rest,
        "samples": worst.samples,
        "chance": worst.chance,
        "false_share": worst.false_share,
    }


def _known(snapshot: Snapshot) -> list[Alert]:
    """Give the alerts that are pending or firing, the worst first, and after them those that ended, the newest first.

    An alert that fires again is told once, as it is now.
    """
    active = worst_first(snapshot.picture)
    keys = {alert.dedup_key for alert in active}
    return [*active, *(alert for alert in reversed(snapshot.pages.ended) if alert.dedup_key not in keys)]


def worst_first(picture: Picture) -> list[Alert]:
    """Give the alerts, firing before pending, then by severity, then the newest."""
    return sorted(picture.alerts, key=lambda a: (a.firing_s is None, -a.severity, -a.pending_s))


def _model(status: ModelStatus) -> dict[str, object]:
    own = {each.name: getattr(status, each.name) for each in fields(status) if each.name != "lineage"}
    return {**own, **status.lineage._asdict()}


def _sink(sink: SinkStatus) -> dict[str, object]:
    return {
        "name": sink.name,
        "delivered": sink.delivered,
        "failed": sink.failed,
        "queued": sink.queued,
        "oldest_s": sink.oldest_s,
        "is_healthy": sink.is_healthy,
        "breaker": sink.breaker,
        "delivery_delay": _delay(sink.delays),
    }


def _delay(delays: Delays) -> dict[str, object]:
    count = sum(delays.counts)
    return {"count": count, "mean_s": delays.sum_s / count if count else None}


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
