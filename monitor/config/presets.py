"""A preset under what the user wrote: the user wins, key by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monitor import presets
from monitor.config.guess import did_you_mean
from monitor.config.refusals import Refusals, shorten, show_key
from monitor.config.thresholds import drop_other_unit

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_preset(entry: dict[Any, Any], found: Refusals) -> dict[Any, Any]:
    """Gives an entry of `models` with the preset that it names beneath it; found: what can't be done."""
    name = entry.get("preset")
    if name is None:
        return entry
    if not isinstance(name, str) or name not in presets.names():
        told = shorten(name) if isinstance(name, str) else "no name"
        found.add(("preset",), f"found {told}, not a preset", did_you_mean(str(name), presets.names()))
        return entry
    beneath = presets.entry(name)
    whole: dict[Any, Any] = {**beneath, **entry}
    given = entry.get("thresholds") or {}
    if isinstance(given, dict):
        whole["thresholds"] = _rules(name, beneath["thresholds"], given, found)
    return whole


def _rules(
    preset: str, beneath: Mapping[str, Mapping[str, object]], given: Mapping[Any, Any], found: Refusals
) -> dict[Any, Any]:
    rules: dict[Any, Any] = {**beneath, **given}
    for name, rule in given.items():
        own = {} if rule is None else rule
        if name not in beneath or not isinstance(own, dict):
            continue
        inherited = dict(beneath[str(name)])
        statistic = inherited.get("statistic")
        if statistic is not None and own.get("statistic", statistic) != statistic:
            message = f"the rule {show_key(str(name))} of preset {show_key(preset)} judges {statistic!r}"
            found.add(("thresholds", str(name), "statistic"), message, "give your own rule a name of its own")
            continue
        drop_other_unit(inherited, own)
        rules[name] = {**inherited, **own}
    return rules
