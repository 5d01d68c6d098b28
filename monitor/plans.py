"""Plans: what is watched of each model version, from the settings."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from monitor.anomalies import ANOMALY_KINDS
from monitor.config import BUILT_IN_RULES, Settings
from monitor.config.alerts import AlertSettings, ModelSettings
from monitor.config.guess import did_you_mean
from monitor.config.thresholds import Threshold, complete_rule
from monitor.config.units import Limit
from monitor.court import PAST_S
from monitor.detectors import DETECTORS
from monitor.domain import Kind
from monitor.errors import ConfigError
from monitor.fields import FEEDBACK, FIELDS, LABEL, OUTCOME_FIELDS, PREDICTION, VOLUME, Watch, known_kinds
from monitor.kpi_cells import KPI_NAMES, is_kpi
from monitor.river import RIVER
from monitor.rules import ANOMALY, BURN, DRIFT, DRIFT_KINDS, KPI, Burn, Level, Objective, Plan, Rule
from monitor.tables import span_text

T = TypeVar("T")

_FIELDS_KNOWN: Final = (*FIELDS, PREDICTION, VOLUME, *OUTCOME_FIELDS, LABEL, FEEDBACK)
"""Fields that have one name; the rest are features.*, evaluation.* and feedback.*."""


class Plans:
    """The plan of each model version: the first entry of `models` that matches, or the built-in rules."""

    def __init__(self, settings: Settings) -> None:
        self._entries = [(entry, plan_of_entry(entry, settings.alerts)) for entry in settings.models]
        self._default = plan_of_entry(ModelSettings(), settings.alerts)

    def __call__(self, model: str, version: str) -> Plan:
        """Give the plan of a model version."""
        for entry, plan in self._entries:
            if fnmatchcase(model, entry.match) and fnmatchcase(version, entry.versions or "*"):
                return plan
        return self._default

    def named(self) -> list[tuple[str, Plan]]:
        """Give all plans with what they are for, in the order in which they are tried."""
        named = [(f"{e.match} {e.versions}" if e.versions else e.match, plan) for e, plan in self._entries]
        return named if any(name == "*" for name, _ in named) else [*named, ("*", self._default)]

    def windows_s(self) -> tuple[float, ...]:
        """Give all windows that any rule looks at, ascending."""
        rules = [rule for _, plan in self.named() for rule in plan.rules]
        return tuple(sorted({window_s for rule in rules for window_s in rule.windows_s}))

    def burn_windows_s(self) -> tuple[float, ...]:
        """Give all windows that any rule of an error budget looks at, ascending."""
        objectives = [rule.objective for _, plan in self.named() for rule in plan.rules if rule.objective is not None]
        return tuple(sorted({window_s for objective in objectives for window_s in objective.windows_s}))

    def has_river(self) -> bool:
        """Tell whether any rule asks for one of river's detectors."""
        return any(rule.statistic in RIVER for _, plan in self.named() for rule in plan.rules)


def plan_of_entry(entry: ModelSettings, alerts: AlertSettings) -> Plan:
    """Give the plan of one entry: the built-in rules, changed and added to by its own."""
    thresholds: dict[str, Threshold] = {}
    if alerts.default_rules:
        thresholds = {name: Threshold.model_validate(complete_rule(name, {})) for name in BUILT_IN_RULES}
    thresholds |= entry.thresholds
    rules = (_rule(name, given, entry, alerts) for name, given in thresholds.items() if given.enabled)
    watch = Watch(tuple(entry.segments), tuple(entry.features.items()), entry.outcomes.terms(), entry.auto_segments)
    return Plan(watch, tuple(rules))


def _rule(name: str, given: Threshold, entry: ModelSettings, alerts: AlertSettings) -> Rule:
    yellow_severity, severity = given.severities
    yellow, red = map(_level, given.levels)
    objective = None
    if given.statistic == BURN:
        objective = _objective(given)
        yellow, red = (_burn_level(objective, is_red=is_red) for is_red in (False, True))
    windows_s = tuple(given.windows or alerts.windows)
    _check_fields(name, given, entry)
    _check_reach(name, given, entry, windows_s)
    return Rule(
        name=name,
        statistic=given.statistic,
        fields=tuple(given.fields),
        yellow=yellow,
        red=red,
        windows_s=windows_s,
        is_above=given.direction == "above",
        samples_min=_given(given.samples_min, alerts.samples_min),
        severity=severity,
        yellow_severity=yellow_severity,
        for_s=_given(given.for_s, alerts.for_s),
        for_windows=given.for_windows,
        keep_firing_for_s=_given(given.keep_firing_for_s, alerts.keep_firing_for_s),
        hysteresis=_given(given.hysteresis, alerts.hysteresis),
        owner=given.owner or entry.owner or alerts.owner or "",
        runbook=given.runbook or entry.runbook or alerts.runbook or "",
        response=given.response or entry.response or alerts.response or "",
        objective=objective,
    )


def _objective(given: Threshold) -> Objective:
    assert given.objective is not None
    burns = (Burn(each.factor, each.windows[1], each.windows[0], each.band == "red") for each in given.burns)
    return Objective(given.objective, given.period_s, tuple(burns))


def _burn_level(objective: Objective, *, is_red: bool) -> Level | None:
    """Give where a band of an error budget begins: with the slowest burn that is told in it."""
    own = [burn for burn in objective.burns if burn.is_red is is_red]
    text = " or ".join(f"{b.factor:g}x in {span_text(b.long_s)} and {span_text(b.short_s)}" for b in own)
    return Level(min(burn.factor for burn in own), text=text) if own else None


def _given(own: T | None, default: T) -> T:
    return default if own is None else own


def _level(limit: Limit | None) -> Level | None:
    if limit is None:
        return None
    return Level(
        limit.value, is_relative=limit.is_relative, text=str(limit) if limit.margin or limit.is_duration else ""
    )


def _check_fields(name: str, given: Threshold, entry: ModelSettings) -> None:
    """Refuse a rule that names a field which does not exist, or its statistic can't judge: it would never speak."""
    where = f"models[{entry.match}].thresholds.{name}"
    if given.statistic == KPI:
        for kpi in given.fields:
            if not is_kpi(kpi):
                raise ConfigError(f"{where}: there is no KPI {kpi!r}; {did_you_mean(kpi, KPI_NAMES)}")
        return
    kinds = _kinds(given.statistic)
    for field in given.fields:
        if any(wild in field for wild in "*?["):
            continue
        known = known_kinds(field)
        if not known:
            raise ConfigError(f"{where}: there is no field {field!r}; {did_you_mean(field, _FIELDS_KNOWN)}")
        if not known & kinds:
            able = ", ".join(sorted(f for f, k in FIELDS.items() if k in kinds)) or "features.*"
            raise ConfigError(
                f"{where}: the statistic {given.statistic!r} can't judge the field"
                f" {field!r} ({'/'.join(sorted(known))}); fields it can judge: {able}"
            )


def _check_reach(name: str, given: Threshold, entry: ModelSettings, windows_s: Sequence[float]) -> None:
    """Refuse windows in a row that reach back beyond what is kept: they would never be seen to be all bad."""
    kept_s = max(PAST_S, *windows_s)
    if given.for_windows * min(windows_s) > kept_s:
        raise ConfigError(
            f"models[{entry.match}].thresholds.{name}.for_windows: {given.for_windows} windows of"
            f" {span_text(min(windows_s))} reach back further than the {span_text(kept_s)} that counts are kept for;"
            " write fewer, or give the rule shorter windows"
        )


def _kinds(statistic: str) -> frozenset[Kind]:
    apart = {
        BURN: frozenset({Kind.YES_NO}),
        DRIFT: DRIFT_KINDS,
        ANOMALY: ANOMALY_KINDS,
        **{name: own.kinds for name, own in RIVER.items()},
    }
    return apart[statistic] if statistic in apart else DETECTORS[statistic].kinds
