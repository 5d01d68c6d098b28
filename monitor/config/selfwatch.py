"""How driftd watches itself: what it tells of its own troubles, and the heartbeat that a dead man's switch awaits."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Final, Literal

from httpx2 import URL
from pydantic import BaseModel, Field, SecretStr, field_validator

from monitor.config.base import SECTION
from monitor.config.refusals import refusal
from monitor.config.units import Duration, SeverityValue
from monitor.selfwatch import HANDLING, Handling, SelfTerms
from monitor.sinks.addresses import why_internal
from monitor.sinks.http import check_url

DAY_S: Final = 86_400.0
_TERMS: Final = frozenset(each.name for each in fields(SelfTerms))
Share = Annotated[float, Field(gt=0, le=1)]
Condition = Literal[
    "no_data",
    "lag",
    "stalled",
    "brokers",
    "away",
    "gap",
    "poison",
    "rejected",
    "late",
    "clock",
    "labels",
    "state",
    "disk",
    "receiver",
    "outbox",
    "overflow",
    "series",
    "memory",
    "reload",
]


class ConditionSettings(BaseModel):
    """What is done about one condition; what is left out stays as built in."""

    model_config = SECTION

    enabled: bool = Field(default=True, description="False turns the alert off.")
    severity: SeverityValue | None = Field(default=None, description="How bad it is: sev1 (worst) to sev4.")
    for_s: Duration | None = Field(
        default=None, ge=0, le=7 * DAY_S, description="How long it must last before it fires, in seconds."
    )
    keep_firing_for_s: Duration | None = Field(
        default=None, ge=0, le=7 * DAY_S, description="How long it must be over before the alert ends, in seconds."
    )


class SelfWatchSettings(BaseModel):
    """Alerts about driftd itself, told to all receivers; docs/operations.md says what to do about each."""

    model_config = SECTION

    enabled: bool = Field(default=True, description="Whether driftd alerts about itself.")
    owner: str | None = Field(default=None, max_length=200, description="Who answers for driftd; default alerts.owner.")
    runbook: str = Field(
        default="docs/operations.md",
        max_length=2000,
        description="Page with an entry for each of these alerts, under the rule's name; put your copy's address.",
    )
    no_data_s: Duration = Field(
        default=900.0,
        ge=10,
        le=30 * DAY_S,
        description="No message for so long is told, in seconds; more than your longest usual pause.",
    )
    lag_s: Duration = Field(
        default=300.0, ge=1, le=30 * DAY_S, description="Reading so late, and not catching up, is told, in seconds."
    )
    stalled_s: Duration = Field(
        default=45.0,
        ge=1,
        le=DAY_S,
        description="A partition that is not read for so long is told, in seconds; less than http.progress_s.",
    )
    brokers_s: Duration = Field(
        default=60.0, ge=1, le=DAY_S, description="Brokers out of reach for so long are told, in seconds."
    )
    away_s: Duration = Field(
        default=60.0,
        ge=1,
        le=DAY_S,
        description="Partitions that another member has for so long are told, in seconds.",
    )
    rejected_share: Share = Field(
        default=0.05, description="Share of rejected messages of a topic in 5 minutes that is told, 0 to 1."
    )
    late_share: Share = Field(default=0.05, description="The same, of messages that come too late to be counted.")
    future_share: Share = Field(default=0.01, description="The same, of messages from the future.")
    labels_s: Duration = Field(
        default=21_600.0,
        ge=60,
        le=92 * DAY_S,
        description="Outcomes of a kind that came before are missed after so long, in seconds; more than a day where"
        " they come daily.",
    )
    unsaved_s: Duration = Field(
        default=60.0, ge=1, le=DAY_S, description="State that can't be stored for so long is told, in seconds."
    )
    disk_share: Share = Field(default=0.9, description="Used share of the disk with the state that is told, 0 to 1.")
    receiver_down_s: Duration = Field(
        default=300.0, ge=1, le=DAY_S, description="A receiver that takes nothing for so long is told, in seconds."
    )
    memory_share: Share = Field(
        default=0.8, description="Used share of the control group's memory that is told, 0 to 1."
    )
    conditions: dict[Condition, ConditionSettings] = Field(
        default_factory=dict,
        description="Changes to single alerts by name: enabled, severity, for_s, keep_firing_for_s. Names:"
        " no_data, lag, stalled, brokers, away, gap, poison, rejected, late, clock, labels, state, disk, receiver,"
        " outbox, overflow, series, memory, reload.",
    )

    def terms(self, owner: str, window_s: float) -> SelfTerms:
        """Give these settings as the watch takes them. owner: who answers otherwise. window_s: the longest window."""
        same = {name: getattr(self, name) for name in type(self).model_fields if name in _TERMS}
        chosen = {"owner": self.owner or owner, "gap_s": window_s, "conditions": self._handlings()}
        return SelfTerms(**{**same, **chosen})

    def _handlings(self) -> dict[str, Handling]:
        return {name: self._handling(name) for name in HANDLING}

    def _handling(self, name: str) -> Handling:
        own, built_in = self.conditions.get(name), HANDLING[name]  # type: ignore[call-overload]
        if own is None:
            return built_in._replace(is_on=self.enabled)
        return Handling(
            severity=built_in.severity if own.severity is None else own.severity,
            for_s=built_in.for_s if own.for_s is None else own.for_s,
            keep_firing_for_s=built_in.keep_firing_for_s if own.keep_firing_for_s is None else own.keep_firing_for_s,
            is_on=self.enabled and own.enabled,
        )


class HeartbeatSettings(BaseModel):
    """A dead man's switch: an address that is asked for only while driftd reads, judges, stores and can tell."""

    model_config = SECTION

    url: SecretStr | None = Field(
        default=None, description="The switch's address, https://...; better ${VARIABLE} or url_file than text here."
    )
    url_file: str | None = Field(default=None, description="File with the address, read at start.")
    interval_s: Duration = Field(default=60.0, ge=30, le=DAY_S, description="How often it is asked for, in seconds.")
    timeout_s: Duration = Field(default=10.0, ge=1, le=25, description="For the whole of one attempt, in seconds.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            address = value.get_secret_value()
            try:
                check_url(address, "it")
            except ValueError as error:
                raise refusal(f"{error}", "write https://host/path") from None
            # No name is looked up: it is asked with GET, nothing of ours is sent, and the answer is not read.
            if why := why_internal(URL(address).host, is_loopback_allowed=True):
                raise refusal(f"is {why}", "write the address that the switch's keeper gave you")
        return value
