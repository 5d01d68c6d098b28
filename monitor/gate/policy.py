"""What a release must meet: criteria with margins, and how often the verdict may be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from monitor.gate.contrasts import Scale

Mix = Literal["pooled", "incumbent"]


class Measure(StrEnum):
    """What of a stream is compared: share of yes, mean, or a quantile (of log streams)."""

    RATE = "rate"
    MEAN = "mean"
    QUANTILE = "quantile"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that the candidate must be better at, or not worse at than by a margin.

    margin: change of the incumbent's value, up where that is positive, at which the verdict turns. effect: distance
    from the margin at which a decision should come soon, > 0. quantile: of Measure.QUANTILE. share: of the chance of a
    false fail, relative to the other criteria. is_required: False: told, and decides nothing. component, full: what of
    the score it is, "" for nothing, and the change that counts as 100.
    """

    name: str
    field: str
    measure: Measure
    is_higher_better: bool
    margin: float
    effect: float
    scale: Scale = Scale.RELATIVE
    quantile: float = 0.95
    share: float = 1.0
    is_required: bool = True
    component: str = ""
    full: float = 0.2


UPGRADE: Final = (
    Criterion("success", "success", Measure.RATE, True, 0.05, 0.05, component="quality", full=0.1),  # noqa: FBT003
    Criterion("cost", "cost_usd", Measure.MEAN, False, 0.10, 0.10, component="cost"),  # noqa: FBT003
    Criterion("violations", "unsafe", Measure.RATE, False, 0.002, 0.002, Scale.POINTS, component="risk", full=0.01),  # noqa: FBT003
    Criterion("latency", "latency_s", Measure.QUANTILE, False, 0.10, 0.10, is_required=False, component="latency"),  # noqa: FBT003
)
"""The upgrade gate: success at least 5 % up, cost at most 10 % up, no rise in violations beyond 0.2 points."""
WEIGHTS: Final[Mapping[str, float]] = MappingProxyType({"quality": 0.40, "cost": 0.25, "latency": 0.20, "risk": 0.15})


@dataclass(frozen=True, slots=True)
class Policy:
    """How a release is judged.

    alpha: chance, over all looks together, that a candidate passes which misses a margin, and that one fails which
    misses none. power: of the fixed test that needs are told by. samples_min: values of either version below which
    nothing is said. segment: traffic is compared value by value of it, and brought to one mix; "": as it came. mix: of
    both versions together, or the incumbent's. coverage_min: least share of that mix which both have served. critical:
    segments ("region=eu") in which a failure fails the release. weights: of the score's components.
    """

    criteria: tuple[Criterion, ...] = UPGRADE
    alpha: float = 0.05
    power: float = 0.8
    samples_min: int = 100
    segment: str = ""
    mix: Mix = "pooled"
    coverage_min: float = 0.9
    critical: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)

    def alpha_pass(self) -> float:
        """Give what one criterion's pass may be wrong with.

        All must pass, so a false pass is at least that of the criterion that is missed (Berger 1982): nothing is
        shared.
        """
        return self.alpha

    def alpha_fail(self, criterion: Criterion) -> float:
        """Give what one criterion's failure may be wrong with: one is enough, so alpha is shared among all that can."""
        if not criterion.is_required:
            return self.alpha
        total = sum(each.share for each in self.criteria if each.is_required)
        return self.alpha * criterion.share / total / (1 + len(self.critical))
