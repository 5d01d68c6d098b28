"""Settings of outcomes: how they are joined with inferences, and when an answer is right."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from monitor.config.base import SECTION
from monitor.config.refusals import Refusals
from monitor.config.units import Duration, Names, Size, format_duration
from monitor.join.terms import SEVERITIES, JoinTerms, Task

DAY_S: Final = 86_400.0
MIB: Final = 1 << 20


class OutcomeSettings(BaseModel):
    """How outcomes (labels, overrides, feedback, evaluations) are joined with the inferences they are about."""

    model_config = SECTION

    join: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether inferences are remembered for their outcomes: always, never, or auto: from the first "
        "outcome on (a replay: always; a fold: never).",
    )
    ttl_s: Duration = Field(
        default=7 * DAY_S,
        ge=60,
        le=366 * DAY_S,
        description="How long one waits for the other, in seconds; so far back a fold reads that takes over.",
    )
    maturity_s: Duration = Field(
        default=0.0,
        ge=0,
        le=366 * DAY_S,
        description="Labels count once their inference is so old, so that quick ones do not speak for all, in seconds.",
    )
    absence_s: Duration = Field(
        default=3_600.0,
        ge=1,
        le=366 * DAY_S,
        description="Without an override or escalation for so long, an inference had none, in seconds.",
    )
    sample: float = Field(
        default=1.0, gt=0, le=1, description="Share of requests that are joined, told by a hash of their id."
    )
    pending_max: int = Field(
        default=10_000_000, ge=1_000, le=10**9, description="Most inferences that wait; the oldest give way."
    )
    disk_bytes: Size = Field(
        default=4 * 1024 * MIB, ge=16 * MIB, le=1 << 44, description="Most that what waits takes on disk."
    )
    event_id: bool = Field(
        default=True, description="Whether outcomes may name an inference without request_id by its event_id."
    )
    learn_rows: int = Field(
        default=500, ge=30, le=10**9, description="What is normal of outcomes is learned from so many of each stream."
    )

    def terms(self) -> JoinTerms:
        """Give what the join is told."""
        return JoinTerms(
            mode={"auto": "auto", "always": "on", "never": "off"}[self.join],
            ttl_s=self.ttl_s,
            maturity_s=self.maturity_s,
            absence_s=self.absence_s,
            sample=self.sample,
            pending_max=self.pending_max,
            key_by_event=self.event_id,
            learn_rows=self.learn_rows,
        )

    @model_validator(mode="after")
    def _check(self) -> OutcomeSettings:
        found = Refusals()
        for name in ("maturity_s", "absence_s"):
            if getattr(self, name) > self.ttl_s:
                message = f"found {format_duration(getattr(self, name))}, longer than outcomes.ttl_s"
                found.add((name,), message, f"write at most {format_duration(self.ttl_s)}, or raise ttl_s")
        found.raise_in_validator("outcomes")
        return self


class TaskSettings(BaseModel):
    """What a model's answers are, and when one is right."""

    model_config = SECTION

    task: Literal["auto", "classification", "regression"] = Field(
        default="auto",
        description="What is predicted; auto: told by the first label (numbers but 0 and 1: regression).",
    )
    positive: Names = Field(
        default=(),
        max_length=32,
        description="Names of the positive class, for precision, recall and AUC; by default 1, true, yes, positive.",
    )
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="Score from which on an event without a prediction counts as positive."
    )
    severities: dict[str, float] = Field(
        default_factory=lambda: dict(SEVERITIES),
        max_length=64,
        description="What an error weighs by the severity of its outcome; others weigh 1.",
    )
    abstentions: Names = Field(default=(), max_length=32, description="Predictions that mean that the model abstained.")
    abstain_below: float | None = Field(
        default=None, ge=0, le=1, description="A confidence below which the model's answer counts as abstaining."
    )
    success: str = Field(
        default="auto",
        min_length=1,
        max_length=200,
        description="Yes/no field that says whether the task succeeded; auto: correct, or evaluation.task_success.",
    )
    maturity_s: Duration | None = Field(
        default=None, ge=0, le=366 * DAY_S, description="As outcomes.maturity_s, for these models."
    )

    @field_validator("severities")
    @classmethod
    def _weigh(cls, value: dict[str, float]) -> dict[str, float]:
        found = Refusals()
        for name, weight in value.items():
            if not 0 <= weight <= 1_000:
                found.add((name,), f"found {weight:g}", "write a weight of 0 to 1000")
        found.raise_in_validator("severities")
        return value

    def terms(self) -> Task:
        """Give what the join is told of a model."""
        return Task(
            kind=self.task,
            positive=tuple(name.lower() for name in self.positive),
            threshold=self.threshold,
            severities=dict(self.severities),
            abstentions=tuple(self.abstentions),
            abstain_below=self.abstain_below,
            success=self.success,
            maturity_s=self.maturity_s,
        )
