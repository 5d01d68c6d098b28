"""All settings of driftd, as one frozen value: each option with a default, unit, bounds and a sentence."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from monitor.config.alerts import DAY_S, AlertSettings, ModelSettings
from monitor.config.base import SECTION
from monitor.config.dead_letters import DeadLetterSettings
from monitor.config.http import HttpSettings
from monitor.config.kafka import KafkaSettings
from monitor.config.outcomes import OutcomeSettings
from monitor.config.refusals import Refusals, mask, reveal, show_key, told
from monitor.config.releases import ReleaseSettings
from monitor.config.scaleout import ScaleoutSettings
from monitor.config.selfwatch import HeartbeatSettings, SelfWatchSettings
from monitor.config.state import StateSettings
from monitor.config.units import Duration, format_duration, parse_duration
from monitor.rules import BURN

ENV_PREFIX: Final = "DRIFTD_"
ENV_DELIMITER: Final = "__"


class TimeSettings(BaseModel):
    """Event time: how it is cut into panes, and how long stragglers are waited for."""

    model_config = SECTION

    pane_s: Duration = Field(
        default=1.0, ge=0.1, le=3600, description="The shortest slice of time that is counted apart, in seconds."
    )
    disorder_s: Duration = Field(
        default=2.0, ge=0, le=3600, description="How far events may be out of order before a pane closes, in seconds."
    )
    grace_s: Duration = Field(
        default=60.0, ge=0, le=DAY_S, description="Events later than that are still added for so long, in seconds."
    )
    future_s: Duration = Field(
        default=60.0, ge=0, le=DAY_S, description="Times further ahead of now than this are clamped, in seconds."
    )
    idle_s: Duration = Field(
        default=10.0,
        ge=1,
        le=3600,
        description="A caught-up partition without data for so long no longer holds time back, in seconds.",
    )


class LimitSettings(BaseModel):
    """Bounds on everything that grows with the traffic's variety; what is beyond them is counted, never silent."""

    model_config = SECTION

    streams_max: int = Field(default=50_000, ge=1, le=10_000_000, description="Most streams (model, field, segment).")
    model_streams_max: int = Field(
        default=25_000, ge=1, le=10_000_000, description="Most streams of one model, so that it leaves room for others."
    )
    models_max: int = Field(default=2_000, ge=1, le=1_000_000, description="Most served model versions.")
    features_max: int = Field(default=10_000, ge=1, le=1_000_000, description="Most features read from one event.")
    segment_values_max: int = Field(default=50, ge=1, le=10_000, description="Most values of one segment.")
    event_ids_max: int = Field(
        default=200_000, ge=0, le=100_000_000, description="Event ids remembered to find duplicates; 0 turns it off."
    )
    label_series_max: int = Field(
        default=50_000, ge=200, le=10_000_000, description="Most series with labels on /metrics."
    )


class ReferenceSettings(BaseModel):
    """What is normal: where references lie, and how one is learned when there is none."""

    model_config = SECTION

    directory: str = Field(default="references", min_length=1, max_length=4096, description="Folder with references.")
    learn_events: int = Field(
        default=10_000, ge=100, le=10**9, description="A missing reference is learned from so many events."
    )
    learn_s: Duration = Field(
        default=DAY_S, ge=1, le=366 * DAY_S, description="Learning also ends after so long, in seconds."
    )
    learn_events_min: int = Field(
        default=500, ge=10, le=10**9, description="Learning never ends with fewer events than this."
    )
    new_version: Literal["learn", "incumbent"] = Field(
        default="learn",
        description="What is normal for a new version of a known model: what it shows itself (learn), or what is normal"
        " for the version before it (incumbent).",
    )
    save_learned: bool = Field(default=True, description="Whether a learned reference is written to the folder.")

    @model_validator(mode="after")
    def _check(self) -> ReferenceSettings:
        found = Refusals()
        if self.learn_events_min > self.learn_events:
            message = f"found {self.learn_events_min}, more than learn_events ({self.learn_events})"
            found.add(("learn_events_min",), message, f"write at most {self.learn_events}, or raise learn_events")
        found.raise_in_validator("reference")
        return self


class ReceiverSettings(BaseModel):
    """Who is told. The options beside `type` belong to the receiver, which checks them."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    type: Literal["log", "alertmanager", "webhook"] = Field(
        default="log", description="What kind of receiver this is: log, alertmanager or webhook."
    )

    @property
    def options(self) -> dict[str, object]:
        """The receiver's own options, with secrets in the clear: for building it, never for printing."""
        return {name: reveal(value) for name, value in (self.model_extra or {}).items()}

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, value: object) -> object:
        """Wraps secrets, and turns durations into seconds, which the receivers expect."""
        if not isinstance(value, dict):
            return value
        found = Refusals()
        options = {str(name): _receiver_option(str(name), inner, found) for name, inner in value.items()}
        found.raise_in_validator("receiver")
        return options


def _receiver_option(name: str, value: object, found: Refusals) -> object:
    if not name.endswith("_s"):
        return mask(value, (name,))
    try:
        return parse_duration(value)
    except PydanticCustomError as error:
        found.add((name,), *told(error))
        return value


class LogSettings(BaseModel):
    """What driftd says about itself."""

    model_config = SECTION

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe messages to print: debug, info, warning or error."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json for machines, console for people; auto tells by the terminal."
    )


class RunSettings(BaseModel):
    """The daemon's life."""

    model_config = SECTION

    shutdown_s: Duration = Field(
        default=20.0, ge=1, le=600, description="Time budget for stopping in good order, in seconds."
    )


JUDGING: Final = ("time", "limits", "reference", "outcomes", "alerts", "models", "selfwatch", "releases")
"""The parts by which is judged; what is left says from where and to whom."""


class Settings(BaseSettings):
    """All settings. Made by `load_settings`, which knows files, places and the environment."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        allow_inf_nan=False,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
    )

    kafka: KafkaSettings = Field(default_factory=KafkaSettings, description="Where events come from.")
    time: TimeSettings = Field(default_factory=TimeSettings, description="Event time, panes and stragglers.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="Bounds; what is beyond is counted.")
    state: StateSettings = Field(default_factory=StateSettings, description="What survives a restart.")
    dead_letters: DeadLetterSettings = Field(
        default_factory=DeadLetterSettings, description="What becomes of messages that can't be used."
    )
    reference: ReferenceSettings = Field(default_factory=ReferenceSettings, description="What is normal.")
    outcomes: OutcomeSettings = Field(
        default_factory=OutcomeSettings, description="What becomes of predictions, joined with them."
    )
    alerts: AlertSettings = Field(default_factory=AlertSettings, description="Defaults of all rules.")
    models: tuple[ModelSettings, ...] = Field(
        default=(), max_length=10_000, description="What is special about some models; the first match counts."
    )
    receivers: dict[str, ReceiverSettings] = Field(
        default_factory=lambda: {"log": ReceiverSettings()}, description="Who is told about alerts, by name."
    )
    selfwatch: SelfWatchSettings = Field(default_factory=SelfWatchSettings, description="Alerts about driftd itself.")
    heartbeat: HeartbeatSettings = Field(
        default_factory=HeartbeatSettings, description="A dead man's switch, told regularly that driftd does its work."
    )
    releases: ReleaseSettings = Field(
        default_factory=ReleaseSettings, description="When a candidate may take the incumbent's place."
    )
    scaleout: ScaleoutSettings = Field(default_factory=ScaleoutSettings, description="Past one process.")
    http: HttpSettings = Field(default_factory=HttpSettings, description="/metrics, probes and the status page.")
    log: LogSettings = Field(default_factory=LogSettings, description="What driftd says about itself.")
    run: RunSettings = Field(default_factory=RunSettings, description="The daemon's life.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Takes the loader's values only: it reads file and environment itself, to name the place of each error."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def judging_version(self) -> str:
        """The configuration that alerts follow from, as 12 hex digits: the same wherever that is the same."""
        told = self.model_dump_json(include=set(JUDGING), exclude={"reference": {"directory"}})
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    @field_validator("receivers")
    @classmethod
    def _name_receivers(cls, value: dict[str, ReceiverSettings]) -> dict[str, ReceiverSettings]:
        found = Refusals()
        for name in value:
            if not name or len(name) > 100:
                found.add((name,), "not a name", "use 1 to 100 characters")
        found.raise_in_validator("receivers")
        return value

    @model_validator(mode="after")
    def _check(self) -> Settings:
        found = Refusals()
        _check_windows(("alerts",), self.alerts.windows, self.time.pane_s, found)
        if self.dead_letters.topic in self.kafka.topics:
            message = f"found {show_key(str(self.dead_letters.topic))}, which is one of kafka.topics"
            found.add(("dead_letters", "topic"), message, "name a topic of its own")
        for index, model in enumerate(self.models):
            _check_reachable(index, self.models, found)
            for name, rule in model.thresholds.items():
                path = ("models", index, "thresholds", name)
                _check_windows(path, rule.windows or (), self.time.pane_s, found)
                for at, burn in enumerate(rule.burns if rule.statistic == BURN else ()):
                    _check_windows((*path, "burns", at), burn.windows, self.time.pane_s, found)
                if rule.enabled:
                    _check_people(
                        ("models", index, "preset") if model.preset else path, (rule, model, self.alerts), found
                    )
        found.raise_in_validator("Settings")
        return self


def _check_windows(path: tuple[str | int, ...], windows: tuple[float, ...], pane_s: float, found: Refusals) -> None:
    for index, window in enumerate(windows):
        panes = window / pane_s
        if window < pane_s or abs(panes - round(panes)) > 1e-6:
            message = f"found {format_duration(window)}, not a multiple of time.pane_s ({format_duration(pane_s)})"
            nearest = format_duration(max(1, round(panes)) * pane_s)
            found.add((*path, "windows", index), message, f"write {nearest}, for instance")
        if index and window <= windows[index - 1]:
            message = f"{format_duration(window)} comes after {format_duration(windows[index - 1])}"
            found.add((*path, "windows", index), message, "write windows in ascending order, each once")


def _check_reachable(index: int, models: tuple[ModelSettings, ...], found: Refusals) -> None:
    """The first match counts, so an entry behind one that takes all it could match would be dead without a word."""
    later = models[index]
    for before, earlier in enumerate(models[:index]):
        is_wider = earlier.match in {"*", later.match} or _is_glob_free(later.match, earlier.match)
        if is_wider and earlier.versions in {None, "*", later.versions}:
            message = f"is never used: models[{before}] ({show_key(earlier.match)}) matches first"
            found.add(("models", index, "match"), message, "put this entry before that one, or narrow that one")
            return


def _is_glob_free(name: str, pattern: str) -> bool:
    """Says whether a name without wildcards is taken by the pattern."""
    return not any(character in name for character in "*?[") and fnmatchcase(name, pattern)


def _check_people(path: tuple[str | int, ...], levels: tuple[object, ...], found: Refusals) -> None:
    """A rule someone configured must name who answers and what to do, itself or by its model or by the defaults."""
    for name, cure in (("owner", "team-fraud"), ("runbook", "https://wiki.example.com/drift")):
        if not any(getattr(level, name) for level in levels):
            message = f"has no {name}"
            found.add(path, message, f"set '{name}: {cure}' here, in the model, or for all in alerts.{name}")
