"""All that a pipeline is told: time, learning, limits, rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from monitor.bins import Arena
from monitor.detectors.base import Detector
from monitor.join.pending import Backing, InMemory
from monitor.join.terms import JoinTerms
from monitor.releases import ReleaseTerms
from monitor.rules import Budget, PlanOf
from monitor.scopes import StreamLimits


@dataclass(frozen=True, slots=True)
class TimeTerms:
    """How event time is dealt with.

    live_s: a source whose events are older than this is not live, and idleness tells nothing.
    """

    pane_s: float = 1.0
    disorder_s: float = 2.0
    grace_s: float = 60.0
    future_s: float = 60.0
    live_s: float = 300.0


@dataclass(frozen=True, slots=True)
class LearnTerms:
    """When a model's reference is learned: after so many events, or so long with at least events_min.

    is_inherited: a new version of a known model takes the incumbent's instead.
    """

    events: int = 10_000
    seconds: float = 86_400.0
    events_min: int = 500
    is_inherited: bool = False


@dataclass(frozen=True, slots=True)
class PipelineTerms:
    """All that a pipeline is told. windows_s: of all rules together. seed: by which event ids are hashed, 64 bits.

    burn_windows_s: of error budgets besides, over the counts of yes/no streams alone, which are small. backing_of:
    gives where inferences and outcomes that wait for each other are kept, by a name. config_version: of the
    configuration that all this is from.
    """

    plan_of: PlanOf
    detectors: Mapping[str, Detector]
    windows_s: tuple[float, ...] = (60.0, 600.0, 3600.0)
    budget: Budget = field(default_factory=Budget)
    time: TimeTerms = TimeTerms()
    learn: LearnTerms = LearnTerms()
    limits: StreamLimits = field(default_factory=StreamLimits)
    event_ids_max: int = 200_000
    series_max: int = 50_000
    seed: int = 0
    releases: ReleaseTerms = field(default_factory=ReleaseTerms)
    join: JoinTerms = field(default_factory=JoinTerms)
    backing_of: Callable[[str], Backing] = lambda _: InMemory()
    burn_windows_s: tuple[float, ...] = ()
    config_version: str = ""

    def spans_s(self, arena: Arena) -> tuple[float, ...]:
        """Give how long the windows over an arena's counts are: first those of all arenas, ascending."""
        common = sorted(set(self.windows_s))
        own = sorted(set(self.burn_windows_s) - set(common)) if arena is Arena.FLAGS else ()
        return (*common, *own)
