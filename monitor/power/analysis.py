"""The power analysis of a configuration: of each model that has a reference, or at a traffic that is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from pydantic_core import PydanticCustomError

from monitor import build
from monitor.config import Settings
from monitor.config.units import parse_duration
from monitor.errors import ConfigError
from monitor.plans import Plans
from monitor.power.assumed import WORDS, assumed_reference
from monitor.power.cautions import duration
from monitor.power.estimates import Estimate, Power
from monitor.power.models import WITHIN_S, ModelPower, power_of
from monitor.references import Reference
from monitor.rules import Plan

CURE: Final = "build a baseline (driftd baseline build), or give --events-per-s"
CAUTIONS_SHOWN: Final = 6
"""Of one model, in text; --json has all."""
HEAD: Final = ("rule", "streams", "change", "typical", "slowest", "smallest")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is asked. events_per_s: of each model, None: as in its reference. within_s: in which to detect."""

    events_per_s: float | None = None
    within_s: float = WITHIN_S

    @classmethod
    def of(cls, events_per_s: float | None, within: str) -> Traffic:
        """Give what the options say. Raises ConfigError that names the option."""
        try:
            within_s = parse_duration(within)
        except PydanticCustomError:
            within_s = None
        if not isinstance(within_s, (int, float)) or not within_s > 0:
            raise ConfigError(f"--within: {within!r} is not a duration such as 10m or 1h")
        if events_per_s is not None and not 0 < events_per_s < float("inf"):
            raise ConfigError(f"--events-per-s: found {events_per_s:g}, which is no traffic; write a number over 0")
        return cls(events_per_s, float(within_s))


@dataclass(frozen=True, slots=True)
class Analysis:
    """What can be detected. unknown: models of which nothing can be told, and what is needed."""

    within_s: float
    models: Sequence[ModelPower]
    unknown: Sequence[tuple[str, str]]

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs; never is null."""
        return {
            "within_s": self.within_s,
            "models": [_finite(asdict(model)) for model in self.models],
            "unknown": [{"match": name, "needed": needed} for name, needed in self.unknown],
        }

    def to_lines(self) -> list[str]:
        """Give it for people."""
        lines: list[str] = []
        for model in self.models:
            lines += ["", *_model_lines(model, self.within_s)]
        return lines + [line for name, needed in self.unknown for line in ("", f"power of {name}: unknown; {needed}")]

    def warnings(self) -> list[str]:
        """Give all cautions, with the model they are of, for programs."""
        return [f"{_name(model)}: {text}" for model in self.models for text in model.cautions]


def analysis(settings: Settings, references: Sequence[Reference], traffic: Traffic) -> Analysis:
    """Give what the rules of a configuration can detect."""
    terms, plans = build.pipeline_terms(settings), Plans(settings)
    models, unknown = [], []
    for reference in references:
        per_s = traffic.events_per_s or (reference.events / reference.span_s if reference.span_s > 0.0 else None)
        if per_s is None:
            name = f"{reference.model} {reference.model_version}".strip()
            unknown.append((name, "its reference covers no time: give --events-per-s"))
        else:
            models.append(power_of(reference, terms, per_s, traffic.within_s))
    known = [plans(reference.model, reference.model_version) for reference in references]
    for name, plan in plans.named():
        if any(plan is own for own in known) or not plan.rules:
            continue
        if traffic.events_per_s is None:
            unknown.append((f"models {name}", f"they have no reference: {CURE}"))
            continue
        made = assumed_reference(name, plan.rules, settings.reference.learn_events, traffic.events_per_s)
        own = replace(terms, plan_of=partial(_always, plan))
        models.append(power_of(made, own, traffic.events_per_s, traffic.within_s, assumed=True))
    return Analysis(traffic.within_s, models, unknown)


def _always(plan: Plan, _model: str, _version: str) -> Plan:
    """Give a plan, whatever the model is called: a pattern is no name."""
    return plan


def _finite(value: Any) -> Any:  # noqa: ANN401 - whatever asdict gives
    if isinstance(value, dict):
        return {name: _finite(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _name(model: ModelPower) -> str:
    return f"{'models ' if model.assumed else ''}{model.model} {model.model_version}".strip()


def _model_lines(model: ModelPower, within_s: float) -> list[str]:
    known = f" (reference {model.reference}, {model.events:,} events in {duration(model.span_s)})"
    pages = f"false pages in 30d: {model.drift_pages + model.line_pages:.2g} at most, {model.drift_pages:.2g}"
    lines = [
        f"power of {_name(model)} at {model.events_per_s:.3g} events/s{'' if model.assumed else known}",
        *([f"  {WORDS}"] if model.assumed else []),
        f"  {pages} of drift ({model.drift_streams} streams), {model.line_pages:.2g} of limits ({model.lines} lines)",
    ]
    rows = [(*HEAD[:-1], f"smallest in {duration(within_s)}"), *(_row(power) for power in model.powers)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    lines += ["  " + "  ".join(f"{text:<{w}}" for text, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    if model.idle:
        lines.append(f"  without streams: {', '.join(model.idle)}")
    lines += [f"  warning: {text}" for text in model.cautions[:CAUTIONS_SHOWN]]
    more = len(model.cautions) - CAUTIONS_SHOWN
    return lines + [f"  warning: and {more} more, see --json"] * (more > 0)


def _row(power: Power) -> tuple[str, ...]:
    slow = power.slowest
    slowest = f"{duration(slow.delay_s)} {slow.stream}" if power.streams > 1 else ""
    typical = power.typical
    return (
        power.rule,
        str(power.streams),
        typical.change,
        f"{duration(typical.delay_s)} {typical.stream}",
        slowest,
        _smallest(typical),
    )


def _smallest(estimate: Estimate) -> str:
    return estimate.smallest_words or ("-" if np.isfinite(estimate.delay_s) else "nothing")
