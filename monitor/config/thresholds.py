"""One rule: a statistic of some fields, where it turns yellow and red, and what that means to people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, Field, WithJsonSchema, model_validator

from monitor.config.base import SECTION
from monitor.config.builtin import BUILT_IN_RULES
from monitor.config.guess import did_you_mean
from monitor.config.refusals import Refusals, refusal, shorten, show_key
from monitor.config.units import Duration, Limit, LimitValue, Names, SeverityValue, Share, Window, format_duration
from monitor.detectors import DETECTORS
from monitor.domain import Severity
from monitor.fields import FEATURE_PREFIX, LABEL, PREDICTION, VOLUME
from monitor.river import RIVER
from monitor.rules import ANOMALY, BURN, DRIFT, KPI, SILENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

# Distinct windows a rule may look at; each costs one merged count vector per stream and look.
WINDOWS_MAX: Final = 6
_INPUTS: Final = (f"{FEATURE_PREFIX}*",)
_OUTPUTS: Final = (PREDICTION, "score")
# What is positive and heavy-tailed: how long it took and how much it was.
_AMOUNTS: Final = ("latency_s", "ttft_s", "tokens_in", "tokens_out", "cost_usd")
_FLAGS: Final = ("error", "unsafe", "refused", "fallback")
# Where river's detectors begin to be told of: a tenth of a standard deviation.
_CHANGE: Final = 0.1
# Inputs, outputs and workflow: drift of the way an answer came about counts as well. What was right, once it is known.
_DRIFTING: Final = (*_INPUTS, *_OUTPUTS, "finish_reason", "guardrail_action", "endpoint", "route", LABEL)

_APART: Final = frozenset({DRIFT, ANOMALY, *RIVER})
"""Statistics that are judged by parts of their own, and not in windows."""
BANDS: Final = ("yellow", "red")
Direction = Literal["above", "below"]


@dataclass(frozen=True, slots=True)
class Statistic:
    """What is known of a statistic before any configuration. high: its largest possible value, if there is one.

    yellow: where yellow begins if a rule has no limit at all.
    """

    fields: tuple[str, ...]
    high: float | None = None
    yellow: float | None = None
    is_signed: bool = False
    is_time: bool = False


STATISTICS: Final[Mapping[str, Statistic]] = {
    DRIFT: Statistic((*_DRIFTING, *_AMOUNTS, "abs_error")),
    "psi": Statistic(_DRIFTING),
    "js": Statistic(_DRIFTING, high=1.0),
    "ks": Statistic((*_INPUTS, *_OUTPUTS), high=1.0),
    "wasserstein": Statistic((*_INPUTS, *_OUTPUTS)),
    "chi_square": Statistic(_DRIFTING),
    "null_rate": Statistic((*_INPUTS, *_OUTPUTS), high=1.0),
    "invalid_rate": Statistic((*_INPUTS, *_OUTPUTS), high=1.0),
    "unseen_rate": Statistic(_INPUTS, high=1.0),
    "out_of_range_rate": Statistic(_INPUTS, high=1.0),
    "yes_rate": Statistic(("unsafe",), high=1.0),
    "mode_share": Statistic(("route",), high=1.0),
    BURN: Statistic(("error",)),
    KPI: Statistic(("f1",), is_signed=True),
    "p50": Statistic(("latency_s",), is_time=True, is_signed=True),
    "p95": Statistic(("latency_s",), is_time=True, is_signed=True),
    "p99": Statistic(("latency_s",), is_time=True, is_signed=True),
    "mean": Statistic(("latency_s",), is_time=True, is_signed=True),
    "volume": Statistic((VOLUME,)),
    SILENCE: Statistic((VOLUME,), is_time=True),
    ANOMALY: Statistic((VOLUME, "latency_s", "tokens_in", "tokens_out", "cost_usd", *_FLAGS), high=1.0, yellow=0.5),
    "adwin": Statistic(_OUTPUTS, yellow=_CHANGE),
    "page_hinkley": Statistic(_OUTPUTS, yellow=_CHANGE),
    "kswin": Statistic(_OUTPUTS, yellow=_CHANGE),
    "ddm": Statistic(("error",), yellow=_CHANGE),
    "eddm": Statistic(("error",), yellow=_CHANGE),
    "hddm_a": Statistic(("error",), yellow=_CHANGE),
    "hddm_w": Statistic(("error",), yellow=_CHANGE),
    "fhddm": Statistic(("error",), yellow=_CHANGE),
}


class BurnSettings(BaseModel):
    """A burn of an error budget that is told: so many times too fast, over a long window and over a short one."""

    model_config = SECTION

    factor: float = Field(
        default=14.4, gt=0, le=1e6, description="How many times faster than the objective allows; 1: as fast."
    )
    windows: tuple[Window, Window] = Field(
        default=(300.0, 3600.0), description="The short window and the long one, such as [5m, 1h]."
    )
    band: Literal["yellow", "red"] = Field(default="red", description="Whether it is yellow or red.")


BURNS: Final = (
    BurnSettings(),
    BurnSettings(factor=6.0, windows=(1800.0, 21_600.0)),
    BurnSettings(factor=1.0, windows=(21_600.0, 259_200.0), band="yellow"),
)
"""A fiftieth of a month's budget in an hour, a twentieth in six, a tenth in three days."""


class Threshold(BaseModel):
    """One rule of one model. What is left out comes from the built-in rule of this name, then from `alerts`."""

    model_config = SECTION

    statistic: Annotated[str, WithJsonSchema({"type": "string", "enum": list(STATISTICS)})] = Field(
        default="", description="What is judged; by default the statistic or built-in rule of the rule's own name."
    )
    fields: Names = Field(default=(), description="Globs of the fields it applies to; default by statistic.")
    yellow: LimitValue | None = Field(
        default=None,
        description='Where yellow begins: a number, or "1.5x" for 1.5 times the reference\'s value; "1.5s + 15%".',
    )
    red: LimitValue | None = Field(
        default=None,
        description='Where red begins: a number, or "1.5x" for 1.5 times the reference\'s value; "1.5s + 30%".',
    )
    margin: Share = Field(
        default=0.0, ge=0, lt=1, description='How far beyond yellow and red the bands begin: a share, or "15%".'
    )
    direction: Direction = Field(default="above", description="Which side of the limits is bad: above or below.")
    windows: tuple[Window, ...] | None = Field(
        default=None, max_length=WINDOWS_MAX, description="Windows looked at, ascending; default alerts.windows."
    )
    samples_min: int | None = Field(
        default=None, ge=1, le=10**9, description="Fewest samples for a verdict; default alerts.samples_min."
    )
    objective: Share | None = Field(
        default=None, gt=0, lt=1, description='For burn: the share of good events that is promised, such as "99.9%".'
    )
    period_s: Duration = Field(
        default=30 * 86_400.0, ge=60, le=92 * 86_400, description="For burn: the period of the objective, in seconds."
    )
    burns: tuple[BurnSettings, ...] = Field(
        default=BURNS,
        min_length=1,
        max_length=6,
        description="For burn: what is told, fast burns red, slow ones yellow.",
    )
    severity: SeverityValue = Field(default=Severity.SEV3, description="How bad red is: sev1 (worst) to sev4.")
    yellow_severity: SeverityValue | None = Field(
        default=None, description="How bad yellow is; by default one step milder than red."
    )
    for_s: Duration | None = Field(
        default=None, ge=0, le=7 * 86_400, description="How long a breach must last, in seconds; default alerts.for_s."
    )
    for_windows: int = Field(
        default=1, ge=1, le=10, description="How many windows in a row must be beyond the limit; works beside for_s."
    )
    keep_firing_for_s: Duration | None = Field(
        default=None, ge=0, le=7 * 86_400, description="How long it must be quiet; default alerts.keep_firing_for_s."
    )
    hysteresis: float | None = Field(
        default=None, ge=0, lt=1, description="Share of the limit it must get better by; default alerts.hysteresis."
    )
    owner: str | None = Field(default=None, max_length=200, description="Who answers; default the model's owner.")
    runbook: str | None = Field(default=None, max_length=2000, description="Where the response is written down.")
    response: str | None = Field(
        default=None, max_length=1000, description="What a person should do first, told with the alert."
    )
    enabled: bool = Field(default=True, description="False turns the rule off for these models.")

    @model_validator(mode="after")
    def _check(self) -> Threshold:
        found = Refusals()
        if self.statistic not in STATISTICS:
            _refuse_statistic(self.statistic, found)
        elif self.enabled and self.statistic == BURN:
            _check_burns(self, found)
        elif self.enabled:
            _check_limits(self, found)
        found.raise_in_validator("Threshold")
        return self

    @property
    def severities(self) -> tuple[Severity, Severity]:
        """How bad yellow and red are."""
        milder = Severity(max(Severity.SEV4, self.severity - 1))
        return (milder if self.yellow_severity is None else self.yellow_severity), self.severity

    @property
    def levels(self) -> tuple[Limit | None, Limit | None]:
        """Where yellow and red begin, margin included."""
        margin = self.margin if self.direction == "above" else -self.margin
        yellow, red = (None if limit is None else limit.beyond(margin) for limit in (self.yellow, self.red))
        return yellow, red


def complete_rule(name: str, given: object) -> object:
    """Gives the values of a rule with those it inherits by its name; what is no mapping is left to be refused later."""
    if given is None:
        given = {}
    if not isinstance(given, dict):
        return given
    inherited = dict(BUILT_IN_RULES.get(name, {}))
    if not inherited and name in STATISTICS:
        inherited = {"statistic": name}
    if "statistic" in given and name in BUILT_IN_RULES and given["statistic"] != inherited["statistic"]:
        raise refusal(
            f"the built-in rule {show_key(name)} judges {inherited['statistic']!r}",
            "give your own rule a name of its own",
        )
    drop_other_unit(inherited, given)
    rule = {**inherited, **given}
    statistic = rule.get("statistic")
    if isinstance(statistic, str) and statistic in STATISTICS:
        rule.setdefault("fields", list(STATISTICS[statistic].fields))
        if STATISTICS[statistic].yellow is not None and rule.get("red") is None:
            rule.setdefault("yellow", STATISTICS[statistic].yellow)
    return rule


def drop_other_unit(inherited: dict[str, object], given: dict[str, object]) -> None:
    """An absolute red beside an inherited relative yellow can't be put in order, so the first replaces both."""
    relative = {_is_relative(given[band]) for band in ("yellow", "red") if given.get(band) is not None}
    for band in ("yellow", "red"):
        if band in inherited and relative and _is_relative(inherited[band]) not in relative:
            del inherited[band]


def _is_relative(limit: object) -> bool:
    return isinstance(limit, str) and "x" in limit  # of all limits, only "1.5x" and "1.5x + 15%" have one


def _refuse_statistic(statistic: str, found: Refusals) -> None:
    known = ", ".join(STATISTICS)
    if statistic:
        found.add(("statistic",), f"found {shorten(statistic)}; known are {known}", did_you_mean(statistic, STATISTICS))
    else:
        found.add(
            (), "the rule's name is neither a statistic nor a built-in rule", f"add 'statistic:' with one of {known}"
        )


def _check_limits(rule: Threshold, found: Refusals) -> None:
    if rule.objective is not None:
        found.add(("objective",), f"{rule.statistic} has none", "write 'statistic: burn', or leave it out")
    if rule.yellow is None and rule.red is None:
        found.add((), "has neither yellow nor red", "set at least one, or 'enabled: false' to turn the rule off")
    if not rule.fields:
        found.add(("fields",), "found an empty list", "name at least one field, or leave it out for the default")
    for band, limit in zip(BANDS, rule.levels, strict=True):
        if limit is not None:
            _check_limit(rule.statistic, band, limit, found)
    _check_order(*rule.levels, rule.direction, found)
    if rule.for_windows > 1 and (rule.statistic not in DETECTORS or rule.statistic == SILENCE):
        found.add(("for_windows",), f"{rule.statistic} is not judged in windows", "leave it out, or write for_s")
    if rule.statistic in _APART:
        _check_apart(rule, found)


def _check_burns(rule: Threshold, found: Refusals) -> None:
    """The bands of an error budget are its burns; what other rules have would say the same twice."""
    if rule.objective is None:
        found.add((), "has no objective", 'add the share of good events that is promised, such as "objective: 99.9%"')
    for name in ("yellow", "red", "windows", "margin"):
        if getattr(rule, name):
            found.add((name,), "burn's bands are its burns", "leave it out, or write 'burns:' with factor and windows")
    if rule.for_windows > 1:
        found.add(
            ("for_windows",), "burn has a short window for that", "leave it out, or make the short windows longer"
        )
    for at, burn in enumerate(rule.burns):
        short_s, long_s = burn.windows
        if short_s >= long_s:
            message = f"{format_duration(short_s)} is not shorter than {format_duration(long_s)}"
            found.add(("burns", at, "windows"), message, "write the short window first, such as [5m, 1h]")
        if long_s > rule.period_s:
            message = f"{format_duration(long_s)} is longer than the period, {format_duration(rule.period_s)}"
            found.add(("burns", at, "windows"), message, "write a shorter window, or a longer period_s")


def _check_limit(name: str, band: str, limit: Limit, found: Refusals) -> None:
    statistic = STATISTICS[name]
    if limit.is_duration and not statistic.is_time:
        found.add((band,), f"found the duration {limit}; {name} is not a time", "write a plain number")
    elif limit.is_relative and limit.value == 0:
        found.add((band,), "found 0x, which is nothing", "write a factor over 0, such as 1.5x")
    elif limit.value < 0 and not statistic.is_signed:
        found.add((band,), f"found {limit}; {name} is never below 0", "write a number of 0 or more")
    elif statistic.high is not None and not limit.is_relative and limit.value > statistic.high:
        found.add(
            (band,),
            f"found {limit}; {name} is at most {statistic.high:g}",
            f"write a share, such as {min(limit.value / 100, statistic.high):g}",
        )


def _check_apart(rule: Threshold, found: Refusals) -> None:
    """What is not judged in windows has limits that say what is negligible, and what is not."""
    name = rule.statistic
    least = "a PSI, such as 0.02" if name == DRIFT else f"a number, such as {STATISTICS[name].yellow}"
    if rule.direction == "below":
        found.add(("direction",), f"found 'below'; {name} is only ever too much", "leave it out")
    if rule.windows is not None:
        found.add(("windows",), f"{name} is not judged in windows", "leave it out, or judge psi in windows")
    for band, limit in (("yellow", rule.yellow), ("red", rule.red)):
        if limit is not None and limit.is_relative:
            message = f"found {limit}; the reference's own {name} is 0"
            found.add((band,), message, f"write {least}, below which a change is negligible")


def _check_order(yellow: Limit | None, red: Limit | None, direction: Direction, found: Refusals) -> None:
    if yellow is None or red is None:
        return
    if yellow.is_relative != red.is_relative:
        message = f"yellow {yellow} and red {red} have different units"
        found.add(("red",), message, 'write both as numbers or both as "1.5x"')
    elif direction == "above" and yellow.value > red.value:
        message = f"yellow {yellow} is above red {red}, and above is bad"
        found.add(("red",), message, "make yellow the lower one (one you did not write is built in: write both)")
    elif direction == "below" and yellow.value < red.value:
        message = f"yellow {yellow} is below red {red}, and below is bad"
        found.add(("red",), message, "make yellow the higher one (one you did not write is built in: write both)")
