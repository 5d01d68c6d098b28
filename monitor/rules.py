"""Rules: which statistic of which fields is watched, and where its bands begin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from monitor.domain import Kind, Severity
from monitor.fields import Watch
from monitor.sequential.budget import nats_for

DRIFT: Final = "drift"
"""The statistic that the sequential engine judges by itself, see drifts."""
ANOMALY: Final = "anomaly"
"""The statistic of metric series, see anomalies."""
SILENCE: Final = "silence"
"""The statistic whose span is not the window's: it reaches back to the last event."""
BURN: Final = "burn"
"""The statistic of error budgets, see burns."""
KPI: Final = "kpi"
"""The statistic of rules whose fields are KPIs, see kpi_watch."""
DRIFT_KINDS: Final = frozenset({Kind.NUMERIC, Kind.CATEGORICAL, Kind.LOG})
DRIFT_SHARE: Final = 0.5
"""Share of a model's budget that drift has; thresholds have the rest."""
RIVER_SHARE: Final = 0.1
"""Share that rules of river's detectors are asked to keep to, taken from thresholds where there are such rules."""
BURN_SHARE: Final = 0.1
"""The same for rules of error budgets."""
LOOKS_PER_WINDOW: Final = 10
"""Overlapping windows are looked at far more often than this, but are nearly the same data: about ten looks count as
independent ones. Chosen to be on the safe side, for statistics that are judged in windows alone."""


@dataclass(frozen=True, slots=True)
class Level:
    """Where a band begins: a value in the statistic's unit, or times the reference's own value.

    text: as people wrote it, with its margin; "" where nobody did.
    """

    value: float
    is_relative: bool = False
    text: str = ""

    def __str__(self) -> str:
        return self.text or (f"{self.value:g}x" if self.is_relative else f"{self.value:g}")


@dataclass(frozen=True, slots=True)
class Burn:
    """How fast an error budget may be used up: so many times as fast as allowed, over the long and the short window."""

    factor: float
    long_s: float
    short_s: float
    is_red: bool


@dataclass(frozen=True, slots=True)
class Objective:
    """The share of good events that is promised over a period, and the burns that are told."""

    share: float
    period_s: float
    burns: tuple[Burn, ...]

    @property
    def windows_s(self) -> tuple[float, ...]:
        """Every window that is looked at, ascending; the last is the period."""
        return tuple(sorted({self.period_s, *(span_s for b in self.burns for span_s in (b.long_s, b.short_s))}))


@dataclass(frozen=True, slots=True)
class Rule:
    """One threshold with its consequences.

    fields: globs on the stream's field. is_above: breached above (else below) the levels. windows_s: judged from the
    shortest to the longest. for_windows: windows in a row, of one of these lengths, that must all be beyond the level
    before it fires. severity is of the red band, yellow_severity of the yellow one. response: what a person should do.
    objective: of error budgets alone; their levels are where the slowest burn of each band begins.
    """

    name: str
    statistic: str
    fields: tuple[str, ...]
    yellow: Level | None
    red: Level | None
    windows_s: tuple[float, ...]
    is_above: bool = True
    samples_min: int = 100
    severity: Severity = Severity.SEV3
    yellow_severity: Severity = Severity.SEV4
    for_s: float = 0.0
    for_windows: int = 1
    keep_firing_for_s: float = 60.0
    hysteresis: float = 0.1
    owner: str = ""
    runbook: str = ""
    response: str = ""
    objective: Objective | None = None

    def watches(self, field: str) -> bool:
        """Tell whether the rule is for this field."""
        return any(fnmatchcase(field, glob) for glob in self.fields)

    @property
    def is_relative(self) -> bool:
        """Tell whether any level is told in terms of the reference."""
        return any(level is not None and level.is_relative for level in (self.yellow, self.red))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is watched of one model: how its events are taken apart, and its rules."""

    watch: Watch
    rules: tuple[Rule, ...]


PlanOf = Callable[[str, str], Plan]
"""Gives the plan of a model version."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The false-alarm budget of one model: at most `pages` false alerts per `period_s`.

    It is spread over the model's rules, streams and looks. has_river, has_burn: whether any model has rules of river's
    detectors, or of error budgets.
    """

    pages: float = 1.0
    period_s: float = 30 * 86400.0
    has_river: bool = False
    has_burn: bool = False

    def drift_nats(self, streams: int) -> float:
        """Give the evidence that one of a model's streams must reach alone for its drift to be told."""
        return nats_for(self.period_s / self.pages, DRIFT_SHARE / streams)

    def line_nats(self, lines: int) -> float:
        """Give the sequential evidence that one of a model's `lines` must reach."""
        return nats_for(self.period_s / self.pages, self._line_share / lines)

    @property
    def line_pages(self) -> float:
        """The pages that all rules but drift may cost; each line, in windows or not, has an equal share."""
        return self.pages * self._line_share

    @property
    def _line_share(self) -> float:
        return 1.0 - DRIFT_SHARE - RIVER_SHARE * self.has_river - BURN_SHARE * self.has_burn

    def burn_nats(self, burns: int, long_s: float) -> float:
        """Give the nats that a look at one of a model's `burns` (a pair of windows on a stream) must reach."""
        return math.log(max(2.0, burns * self.looks((long_s,)) / (self.pages * BURN_SHARE)))

    def river_interval_s(self, streams: int) -> float:
        """Give the seconds between false alarms that river's detector on one of a model's streams is asked for."""
        return self.period_s * streams / (self.pages * RIVER_SHARE)

    def looks(self, windows_s: tuple[float, ...]) -> float:
        """Give how many independent looks at one line there are in the period."""
        return sum(LOOKS_PER_WINDOW * self.period_s / window_s for window_s in windows_s)

    def evidence_needed(self, lines: int, windows_s: tuple[float, ...]) -> float:
        """Give the nats that a look at one of a model's `lines` (a rule on a stream) must reach: Bonferroni's bound."""
        return math.log(max(2.0, lines * self.looks(windows_s) / self.line_pages))
