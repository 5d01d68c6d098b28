"""Which alerts are drills, so that they are told as such and counted in no statistic of pages. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from monitor.domain import DRILL_MODEL, Alert, Transition
from monitor.fields import VOLUME


def marked(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """Give the alerts with those of the drill's model marked, less those about its traffic.

    A drill begins and ends all of a sudden, so what is said of its volume and silence is no finding.
    """
    return tuple(_marked(alert) for alert in alerts if not _is_about_its_traffic(alert))


def marked_transitions(transitions: Iterable[Transition]) -> list[Transition]:
    """Give the transitions with the same done to their alerts."""
    return [replace(t, alert=_marked(t.alert)) for t in transitions if not _is_about_its_traffic(t.alert)]


def rehearsed(transition: Transition) -> Transition:
    """Give a transition of a real model as a drill's: with names of its own, so that it never ends the real alert."""
    alert = transition.alert
    drill = replace(alert, is_drill=True, dedup_key=f"drill-{alert.dedup_key}", incident=f"drill-{alert.incident}")
    return replace(transition, alert=drill)


def _marked(alert: Alert) -> Alert:
    return replace(alert, is_drill=True) if alert.key.model == DRILL_MODEL and not alert.is_drill else alert


def _is_about_its_traffic(alert: Alert) -> bool:
    return alert.key.model == DRILL_MODEL and alert.key.field == VOLUME
