"""Alerts of a rehearsal: told as drills, and counted in no statistic of pages. Pure."""

from __future__ import annotations

from dataclasses import replace

from monitor.domain import Transition


def rehearsed(transition: Transition) -> Transition:
    """Give a transition of a real model as a drill's: with names of its own, so that it never ends the real alert."""
    alert = transition.alert
    drill = replace(alert, is_drill=True, dedup_key=f"drill-{alert.dedup_key}", incident=f"drill-{alert.incident}")
    return replace(transition, alert=drill)
