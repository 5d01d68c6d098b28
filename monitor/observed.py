"""What was last observed of alerted streams, as plain values and back: it goes on being told after a restart. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from monitor.alert_state import histogram_of, histogram_state
from monitor.alerts import Observation
from monitor.bins import Arena
from monitor.domain import Seen
from monitor.kept import State
from monitor.kept_rows import key_list, key_of, reading
from monitor.rules import Plan, PlanOf, Rule

_AS_THEY_ARE: Final = (
    *("value", "threshold", "samples", "evidence", "evidence_needed", "window_s", "reference", "since_s", "change"),
    *("rank", "together"),
)
"""The fields of an observation that are plain values themselves."""


def observation_state(seen: Observation) -> State:
    """Give an observation as plain values; the rule by its name, and what its thresholds were."""
    return {
        **{name: getattr(seen, name) for name in _AS_THEY_ARE},
        "rule": seen.rule.name,
        "terms": terms_text(seen.rule),
        "key": key_list(seen.key),
        "seen": seen.seen.name,
        "interval": list(seen.interval),
        "statistic": seen.where[0],
        "histogram": None if seen.histogram is None else histogram_state(seen.histogram),
    }


def observation_of(state: Mapping[str, Any], rule: Rule, arena: Arena, row: int) -> Observation:
    """Give the observation that `observation_state` gave, under the rule of today and on the row of today.

    Raises StateError when it is none.
    """
    with reading("an observation"):
        low, high = state["interval"]
        histogram = state.get("histogram")
        return Observation(
            rule=rule,
            key=key_of(state["key"]),
            seen=Seen[state["seen"]],
            interval=(low, high),
            where=(state["statistic"], arena),
            row=row,
            histogram=None if histogram is None else histogram_of(histogram),
            **{name: state[name] for name in _AS_THEY_ARE if name in state},
        )


def terms_text(rule: Rule) -> str:
    """Give what a rule's verdict depends on, as text that is the same while it does not change."""
    return f"{rule.yellow!r} {rule.red!r} {rule.is_above} {rule.samples_min} {rule.hysteresis!r}"


def has_changed(state: Mapping[str, Any], rule: Rule) -> bool:
    """Tell whether the rule was another when an observation was made."""
    return state.get("terms") != terms_text(rule)


def rule_named(plan_of: PlanOf, model: Sequence[str], name: str) -> Rule | None:
    """Give the rule of this name in the plan of a model and version; None: there is none any more."""
    plan: Plan = plan_of(model[0], model[1])
    return next((rule for rule in plan.rules if rule.name == name), None)
