"""When people are woken: the budget for false alarms, windows, and the rules of each model."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from monitor.config.base import SECTION
from monitor.config.maintenance import MaintenanceSettings
from monitor.config.outcomes import TaskSettings
from monitor.config.presets import with_preset
from monitor.config.refusals import Refusals, told
from monitor.config.thresholds import WINDOWS_MAX, Threshold, complete_rule
from monitor.config.units import Duration, Names, Window

DAY_S: Final = 86_400.0


class AlertSettings(BaseModel):
    """Defaults of all rules."""

    model_config = SECTION

    false_alarm_budget: float = Field(
        default=1.0, gt=0, le=1000, description="False pages that are acceptable per model in one budget period."
    )
    budget_period_s: Duration = Field(
        default=30 * DAY_S, ge=3600, le=366 * DAY_S, description="The period of the false-alarm budget, in seconds."
    )
    windows: tuple[Window, ...] = Field(
        default=(60.0, 600.0, 3600.0),
        min_length=1,
        max_length=WINDOWS_MAX,
        description="Windows that rules look at, ascending, each a multiple of time.pane_s; at most 6.",
    )
    for_s: Duration = Field(
        default=0.0, ge=0, le=7 * DAY_S, description="How long a breach must last before it fires, in seconds."
    )
    keep_firing_for_s: Duration = Field(
        default=60.0, ge=0, le=7 * DAY_S, description="How long it must be quiet before an alert resolves, in seconds."
    )
    hysteresis: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the limit a value must get better by before it counts as quiet."
    )
    samples_min: int = Field(default=100, ge=1, le=10**9, description="Fewest samples in a window for a verdict.")
    default_rules: bool = Field(default=True, description="Whether the built-in rules apply; false leaves your own.")
    owner: str | None = Field(
        default=None, max_length=200, description="Who answers, for rules and models that name nobody."
    )
    runbook: str | None = Field(
        default=None, max_length=2000, description="Where the response is written down, for rules that have none."
    )
    response: str | None = Field(
        default=None, max_length=1000, description="What a person should do first, for rules that say nothing."
    )
    maintenance: tuple[MaintenanceSettings, ...] = Field(
        default=(), max_length=100, description="Times in which nobody is told: from, to, models and reason of each."
    )


class ModelSettings(BaseModel):
    """What is special about the models that a pattern matches; the first entry that matches counts."""

    model_config = SECTION

    preset: str | None = Field(
        default=None, description="Rules for a kind of deployment, beneath your own: see `driftd presets`."
    )
    match: str = Field(default="*", min_length=1, max_length=500, description="Glob for the names of models.")
    versions: str | None = Field(
        default=None, min_length=1, max_length=500, description="Glob for model versions; by default all."
    )
    owner: str | None = Field(default=None, max_length=200, description="Who answers; default alerts.owner.")
    use_case: str | None = Field(default=None, max_length=200, description="What it is for; told by its scorecard.")
    runbook: str | None = Field(
        default=None, max_length=2000, description="Where the response is written down; default alerts.runbook."
    )
    response: str | None = Field(
        default=None, max_length=1000, description="What a person should do first; default alerts.response."
    )
    segments: Names = Field(
        default=(), max_length=16, description="Names of segments that are also watched apart, value by value."
    )
    auto_segments: int = Field(
        default=0,
        ge=0,
        le=1_000,
        description="Most segments found by themselves: those that one event in a hundred has, of any other name.",
    )
    features: dict[str, Literal["ignore", "numeric", "categorical"]] = Field(
        default_factory=dict,
        description="Glob of feature names to ignore, numeric or categorical; by default told from the values.",
    )
    outcomes: TaskSettings = Field(
        default_factory=TaskSettings, description="What the answers are, and when one is right."
    )
    thresholds: dict[str, Threshold] = Field(
        default_factory=dict, description="Rules by name; a built-in rule's name changes that rule."
    )

    @model_validator(mode="before")
    @classmethod
    def _put_beneath(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        found = Refusals()
        whole = with_preset(value, found)
        found.raise_in_validator("models")
        return whole

    @field_validator("thresholds", mode="before")
    @classmethod
    def _inherit(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        found = Refusals()
        rules: dict[object, object] = {}
        for name, given in value.items():
            try:
                rules[name] = complete_rule(str(name), given)
            except PydanticCustomError as error:
                found.add((str(name), "statistic"), *told(error))
        found.raise_in_validator("thresholds")
        return rules
