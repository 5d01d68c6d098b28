"""Alerts and their transitions as plain values, and back: what the alert book and the outboxes keep. Pure.

Every field goes by its name, enumerations by theirs, so that the order and the numbers in the code may change. What a
state lacks, an older version did not know: it has the default that a new alert has. What it has beyond is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from monitor.domain import Alert, AlertState, Band, Histogram, Reason, Severity, StreamKey, Transition
from monitor.errors import StateError
from monitor.kept import State
from monitor.lineage import Lineage

_AS_THEY_ARE: Final = (
    *("rule", "statistic", "value", "threshold", "samples", "evidence", "evidence_needed", "window_s", "since_s"),
    *("pending_s", "firing_s", "resolved_s", "incident", "dedup_key", "owner", "runbook", "reference", "summary"),
    *("change", "rank", "together", "is_drill", "response", "config_version"),
)
"""The fields of an alert that are plain values themselves."""
_Result = TypeVar("_Result")


def alert_state(alert: Alert) -> State:
    """Give an alert as plain values."""
    return {
        **{name: getattr(alert, name) for name in _AS_THEY_ARE},
        "key": list(alert.key),
        "state": alert.state.value,
        "severity": alert.severity.label,
        "band": alert.band.label,
        "interval": list(alert.interval),
        "histogram": None if alert.histogram is None else histogram_state(alert.histogram),
        "details": dict(alert.details),
        "lineage": alert.lineage._asdict(),
    }


def alert_of(state: Mapping[str, Any]) -> Alert:
    """Give the alert that `alert_state` gave as plain values. Raises StateError when it is none."""
    return _read("an alert", _alert, state)


def transition_state(transition: Transition) -> State:
    """Give a transition as plain values, with the alert it is of."""
    return {
        "time_s": transition.time_s,
        "before": None if transition.before is None else transition.before.value,
        "alert": alert_state(transition.alert),
        "reason": transition.reason.name,
    }


def transition_of(state: Mapping[str, Any]) -> Transition:
    """Give the transition that `transition_state` gave as plain values. Raises StateError when it is none."""
    return _read("a transition", _transition, state)


def _read(what: str, make: Callable[[Mapping[str, Any]], _Result], state: Mapping[str, Any]) -> _Result:
    try:
        return make(state)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateError(f"stored state: what should be {what} is none: {type(error).__name__}: {error}") from None


def _alert(state: Mapping[str, Any]) -> Alert:
    low, high = state["interval"]
    histogram = state.get("histogram")
    return Alert(
        key=StreamKey(*state["key"]),
        state=AlertState(state["state"]),
        severity=Severity[state["severity"].upper()],
        band=Band[state["band"].upper()],
        interval=(low, high),
        histogram=None if histogram is None else histogram_of(histogram),
        details=dict(state.get("details", {})),
        lineage=Lineage.of(state.get("lineage", {})),
        **{name: state[name] for name in _AS_THEY_ARE if name in state},
    )


def _transition(state: Mapping[str, Any]) -> Transition:
    before = state["before"]
    return Transition(
        time_s=state["time_s"],
        before=None if before is None else AlertState(before),
        alert=_alert(state["alert"]),
        reason=Reason[state["reason"]],
    )


def histogram_state(histogram: Histogram) -> State:
    """Give a histogram as plain values."""
    return {
        "labels": list(histogram.labels),
        "reference": list(histogram.reference),
        "current": list(histogram.current),
        "samples": histogram.samples,
        "reference_samples": histogram.reference_samples,
    }


def histogram_of(state: Mapping[str, Any]) -> Histogram:
    """Give the histogram that `histogram_state` gave. Raises KeyError or TypeError when it is none."""
    return Histogram(
        labels=tuple(state["labels"]),
        reference=tuple(state["reference"]),
        current=tuple(state["current"]),
        samples=state["samples"],
        reference_samples=state["reference_samples"],
    )
