"""The power of each model's rules: on its typical and its slowest stream, and what the budget allows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.detectors import DETECTORS
from monitor.domain import Kind
from monitor.pipeline_terms import PipelineTerms
from monitor.power.cautions import cautions_of, of_model
from monitor.power.changes import is_by_kind
from monitor.power.estimates import Power, estimated
from monitor.power.lines import Bench, Line
from monitor.references import Reference
from monitor.rules import DRIFT, DRIFT_SHARE, KPI, Rule
from monitor.sequential.seasons import HOUR_S

WITHIN_S: Final = HOUR_S
MONTH_S: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class ModelPower:
    """What the rules can do on one model's traffic.

    assumed: the reference is made up, there being none. drift_streams, lines: that share the budget of drift_pages and
    line_pages in 30 days. idle: rules that no stream is for.
    """

    model: str
    model_version: str
    reference: str
    assumed: bool
    events: int
    span_s: float
    events_per_s: float
    drift_streams: int
    lines: int
    drift_pages: float
    line_pages: float
    powers: Sequence[Power]
    idle: Sequence[str]
    cautions: Sequence[str]


def power_of(
    reference: Reference, terms: PipelineTerms, events_per_s: float, within_s: float, *, assumed: bool = False
) -> ModelPower:
    """Give the power of a model's rules at some traffic. Cost: 50 ms for each rule, and one for each of its streams."""
    lines = Bench(reference, terms, events_per_s).lines()
    rules = terms.plan_of(reference.model, reference.model_version).rules
    months = MONTH_S / terms.budget.period_s
    drift_pages, line_pages = terms.budget.pages * DRIFT_SHARE * months, terms.budget.line_pages * months
    drifting = [line for line in lines if line.rule.statistic == DRIFT]
    limits = len(lines) - len(drifting)
    powers, cautions = [], list(of_model(reference, events_per_s, lines, assumed=assumed))
    for own in _grouped(rules, lines):
        is_drift = own[0].rule.statistic == DRIFT
        each = drift_pages / len(drifting) if is_drift else line_pages / limits
        power = estimated(own, each * len(own), within_s)
        powers.append(power)
        cautions += cautions_of(own, power.typical.delay_s, power.slowest, reference.events)
    cautions += [
        f"{rule.name} ({rule.statistic}) keeps to no budget; nothing is promised of its false alarms and delays"
        for rule in rules
        if not _is_budgeted(rule) and rule.statistic != KPI  # whose intervals are as wide as the budget asks for
    ]
    return ModelPower(
        model=reference.model,
        model_version=reference.model_version,
        reference=reference.identity,
        assumed=assumed,
        events=reference.events,
        span_s=reference.span_s,
        events_per_s=events_per_s,
        drift_streams=len({line.name for line in drifting}),
        lines=limits,
        drift_pages=drift_pages if drifting else 0.0,
        line_pages=line_pages if limits else 0.0,
        powers=powers,
        idle=_idle(rules, lines),
        cautions=cautions,
    )


def _grouped(rules: Sequence[Rule], lines: Sequence[Line]) -> list[list[Line]]:
    """Give the lines whose power is told together: of one rule, in the order of rules, numbers before categories."""
    order = {rule.name: at for at, rule in enumerate(rules)}
    grouped: dict[tuple[int, bool], list[Line]] = defaultdict(list)
    for line in lines:
        if line.change is not None:
            is_apart = line.stream.kind is Kind.CATEGORICAL and is_by_kind(line.rule.statistic)
            grouped[order[line.rule.name], is_apart].append(line)
    return [own for _, own in sorted(grouped.items())]


def _idle(rules: Sequence[Rule], lines: Sequence[Line]) -> list[str]:
    busy = {line.rule.name for line in lines}
    return [rule.name for rule in rules if rule.name not in busy and _is_budgeted(rule)]


def _is_budgeted(rule: Rule) -> bool:
    return rule.statistic == DRIFT or rule.statistic in DETECTORS
