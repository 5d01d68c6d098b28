"""Settings of releases: what a candidate must meet to take the incumbent's place."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from monitor.config.base import SECTION
from monitor.config.refusals import Refusals, show_key
from monitor.config.units import Names
from monitor.domain import Kind
from monitor.fields import FIELDS
from monitor.gate.contrasts import Scale
from monitor.gate.counts import NEWEST, PREVIOUS
from monitor.gate.policy import UPGRADE, WEIGHTS, Criterion, Measure, Policy
from monitor.kpis import KPIS
from monitor.kpis.means import Mean, Quantile
from monitor.kpis.shares import Finding, Share
from monitor.releases import ReleaseTerms

Component = Literal["quality", "cost", "latency", "risk"]


class CriterionSettings(BaseModel):
    """One criterion: a share of yes, a mean or a quantile, and the change at which the verdict turns."""

    model_config = SECTION

    field: str | None = Field(
        default=None, max_length=200, description="Stream that is compared, such as success, cost_usd, unsafe."
    )
    kpi: str | None = Field(
        default=None,
        max_length=200,
        description="In place of field and measure: a KPI (a rate, mean or quantile).",
    )
    measure: Literal["rate", "mean", "quantile"] | None = Field(
        default=None, description="rate (yes/no fields), mean or quantile [default: rate, or mean, by the field]."
    )
    quantile: float = Field(default=0.95, gt=0, lt=1, description="Which quantile.")
    better: Literal["higher", "lower"] = Field(default="lower", description="Which way is better.")
    margin: float = Field(
        default=0.0, ge=-1, le=100, description="Change at which the verdict turns: 0.05 is 5 % up, -0.05 is 5 % down."
    )
    effect: float = Field(
        default=0.05, gt=0, le=100, description="Distance from the margin at which a decision should come soon."
    )
    scale: Literal["relative", "points"] = Field(
        default="relative", description="Whether margin and effect are relative, or in the value's own unit."
    )
    share: float = Field(default=1.0, gt=0, le=1000, description="Part of alpha, beside the other required criteria.")
    required: bool = Field(default=True, description="Whether it decides; else it is only told.")
    component: Component | None = Field(default=None, description="Of the score: quality, cost, latency, risk.")
    full: float = Field(default=0.2, gt=0, le=100, description="Change for the better that scores 100.")


class GateSettings(BaseModel):
    """A gate that the daemon itself keeps asking, for metrics."""

    model_config = SECTION

    model: str = Field(
        default="*", min_length=1, max_length=500, description="Glob for the names of models that have two versions."
    )
    incumbent: str = Field(
        default=PREVIOUS, max_length=500, description="Its version, or previous: the one before the candidate."
    )
    candidate: str = Field(default=NEWEST, max_length=500, description="Its version, or newest: the one seen last.")


def _written(criterion: Criterion) -> dict[str, object]:
    """Give a criterion as it would be written in the file."""
    return {
        "field": criterion.field,
        "measure": str(criterion.measure),
        "quantile": criterion.quantile,
        "better": "higher" if criterion.is_higher_better else "lower",
        "margin": criterion.margin,
        "effect": criterion.effect,
        "scale": str(criterion.scale),
        "share": criterion.share,
        "required": criterion.is_required,
        "component": criterion.component or None,
        "full": criterion.full,
    }


def _default_weights() -> dict[Component, float]:
    return {
        "quality": WEIGHTS["quality"],
        "cost": WEIGHTS["cost"],
        "latency": WEIGHTS["latency"],
        "risk": WEIGHTS["risk"],
    }


BUILT_IN_CRITERIA: Final = {each.name: _written(each) for each in UPGRADE}
"""The upgrade gate, as it would be written in the file."""
_SIMPLE: Final = tuple(
    sorted(
        name
        for name, kpi in KPIS.items()
        if isinstance(kpi, Mean | Quantile | Finding) or (isinstance(kpi, Share) and not kpi.is_complement)
    )
)
"""KPIs that are a rate, mean or quantile of one stream."""


class ReleaseSettings(BaseModel):
    """When a candidate may take the incumbent's place: `driftd gate`, /api/v1/gates and driftd_gate_verdict."""

    model_config = SECTION

    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="Chance of a false pass, and of a false fail, over all looks together."
    )
    samples_min: int = Field(
        default=100, ge=10, le=10**9, description="Values of either version below which nothing is decided."
    )
    segment: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Name of a watched segment; both versions are compared value by value, at one mix of them.",
    )
    mix: Literal["pooled", "incumbent"] = Field(
        default="pooled", description="Whose mix: of both versions together (pooled), or the incumbent's."
    )
    coverage_min: float = Field(
        default=0.9, ge=0, le=1, description="Least share of the mix that both versions must have served, 0 to 1."
    )
    critical_segments: Names = Field(
        default=(), max_length=16, description="Segments, such as region=eu, in which a failure fails the release."
    )
    default_criteria: bool = Field(default=True, description="Whether the upgrade gate applies; false leaves your own.")
    criteria: dict[str, CriterionSettings] = Field(
        default_factory=dict,
        max_length=32,
        description="Criteria by name; one of the upgrade gate's names changes what it names and keeps the rest.",
    )
    weights: dict[Component, float] = Field(
        default_factory=_default_weights, description="What each component weighs in the score."
    )
    gates: tuple[GateSettings, ...] = Field(
        default=(), max_length=100, description="Gates that the daemon keeps asking, for metrics and /api/v1/gates."
    )

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, value: object) -> object:
        """Complete criteria that have a name of the upgrade gate."""
        given = value.get("criteria") if isinstance(value, dict) else None
        if (
            not isinstance(value, dict)
            or not isinstance(given, dict)
            or value.get("default_criteria", True) is not True
        ):
            return value
        whole = {
            name: {**_kept(BUILT_IN_CRITERIA.get(name, {}), own), **own} if isinstance(own, dict) else own
            for name, own in given.items()
        }
        return {**value, "criteria": whole}

    @field_validator("criteria")
    @classmethod
    def _check_criteria(cls, value: dict[str, CriterionSettings]) -> dict[str, CriterionSettings]:
        found = Refusals()
        for name, given in value.items():
            if not name or len(name) > 100:
                found.add((name,), "not a name", "use 1 to 100 characters")
            elif (given.field is None) == (given.kpi is None):
                found.add((name,), "needs either a field or a kpi", "write 'field: success', for instance")
            elif given.kpi is not None and given.kpi not in _SIMPLE:
                message = f"{show_key(given.kpi)} is no KPI that can be compared between versions"
                found.add((name, "kpi"), message, f"use one of: {', '.join(_SIMPLE)}")
            elif given.field is not None and (known := FIELDS.get(given.field)) not in {None, _kind_of(given)}:
                message = f"the field {show_key(given.field)} is {known}, which has no {_measure_of(given)}"
                found.add((name, "measure"), message, "rate is for yes/no fields, mean and quantile for amounts")
        found.raise_in_validator("criteria")
        return value

    def policy(self, segment: str | None = None) -> Policy:
        """Give the policy. segment: in place of the configured one."""
        own = tuple(criterion_of(name, given) for name, given in self.criteria.items())
        built_in = (each for each in UPGRADE if self.default_criteria and each.name not in self.criteria)
        return Policy(
            criteria=(*built_in, *own),
            alpha=self.alpha,
            samples_min=self.samples_min,
            segment=segment if segment is not None else self.segment or "",
            mix=self.mix,
            coverage_min=self.coverage_min,
            critical=self.critical_segments,
            weights={str(name): weight for name, weight in self.weights.items()},
        )

    def terms(self) -> ReleaseTerms:
        """Give what must be added up for it: the criteria's fields, of all traffic and of every watched segment."""
        return ReleaseTerms(frozenset(criterion.field for criterion in self.policy().criteria))


def _kept(built_in: dict[str, object], own: dict[str, object]) -> dict[str, object]:
    """Give what a criterion keeps of the built-in one: of another field not how that was measured."""
    left_out = {"field", "measure"} if "kpi" in own else {"measure"} if "field" in own else set()
    return {name: value for name, value in built_in.items() if name not in left_out}


def _measure_of(given: CriterionSettings) -> Measure:
    if given.measure is not None:
        return Measure(given.measure)
    return Measure.MEAN if FIELDS.get(given.field or "") is Kind.LOG else Measure.RATE


def _kind_of(given: CriterionSettings) -> Kind:
    return Kind.YES_NO if _measure_of(given) is Measure.RATE else Kind.LOG


def criterion_of(name: str, given: CriterionSettings) -> Criterion:
    """Give a criterion from its settings; a KPI says field and measure by itself."""
    field, measure, quantile = given.field or "", _measure_of(given), given.quantile
    if given.kpi is not None:
        kpi = KPIS[given.kpi]
        (field,) = kpi.fields
        if isinstance(kpi, Quantile):
            measure, quantile = Measure.QUANTILE, kpi.quantile
        else:
            measure = Measure.MEAN if isinstance(kpi, Mean) else Measure.RATE
    return Criterion(
        name=name,
        field=field,
        measure=measure,
        is_higher_better=given.better == "higher",
        margin=given.margin,
        effect=given.effect,
        scale=Scale(given.scale),
        quantile=quantile,
        share=given.share,
        is_required=given.required,
        component=given.component or "",
        full=given.full,
    )
