"""One criterion on two versions' counts: its verdict, its interval, and what it still needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from monitor.gate.arms import OF, Strata, value_of
from monitor.gate.contrasts import Contrast, Scale
from monitor.gate.evidence import info_to_decide, log_evidence
from monitor.gate.means import Mean, mean_contrast
from monitor.gate.policy import Criterion, Measure
from monitor.gate.quantiles import Distribution, quantile_contrast
from monitor.gate.rates import Rate, rate_contrast

Against = Callable[[float], Contrast]
"""The contrast of two versions beside a supposed change."""
LIMIT: Final = 1e6
"""Beyond this change an end of an interval is told as infinite."""
NAMES_MAX: Final = 5
"""Segments that a reason names."""


class Verdict(StrEnum):
    """What may be said of a candidate."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one criterion, of all traffic or of a segment.

    candidate, incumbent: the values, of the mix; NaN where unknown. change: of the incumbent's value, with what the
    true one lies within: low and high hold at all looks together, the end that proves a pass but for the policy's
    alpha, the other but for the criterion's share of it. samples: values, of candidate and incumbent. more_events:
    values of the candidate that are likely missing for a verdict, None where it is there or nothing tells. reason: in
    words.
    """

    criterion: Criterion
    verdict: Verdict
    reason: str
    segment: str = ""
    candidate: float = math.nan
    incumbent: float = math.nan
    change: float = math.nan
    low: float = math.nan
    high: float = math.nan
    samples: tuple[int, int] = (0, 0)
    more_events: int | None = None
    coverage: float = 1.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What a verdict takes: the chances of a false pass and a false fail, and the fewest values of either version."""

    alpha_pass: float
    alpha_fail: float
    samples_min: int
    coverage_min: float


def find(criterion: Criterion, strata: Strata | None, demand: Demand, segment: str = "") -> Finding:
    """Judge one criterion. Never raises on counts. Cost: some milliseconds, most of them for the interval."""
    if strata is None:
        reason = f"no such counts yet: neither or only one version has values of {criterion.field}"
        return Finding(criterion, Verdict.INSUFFICIENT, reason, segment)
    own, other = zip(*strata.strata, strict=True)
    samples = sum(s.samples() for s in own), sum(s.samples() for s in other)
    least = min(samples)
    if least == 0:
        return Finding(criterion, Verdict.INSUFFICIENT, f"no values of {criterion.field} yet", segment, samples=samples)
    arms = [OF[criterion.measure](streams, strata.weights, criterion.quantile) for streams in (own, other)]
    values = [value_of(arm, criterion.quantile) for arm in arms]
    against = _against(criterion, arms[0], arms[1])
    change = _change(criterion, *values)
    low_alpha, high_alpha = demand.alpha_pass, demand.alpha_fail
    if not criterion.is_higher_better:
        low_alpha, high_alpha = high_alpha, low_alpha
    found = Finding(
        criterion,
        Verdict.INSUFFICIENT,
        "the incumbent's value is 0: no change is relative to it",
        segment,
        candidate=values[0],
        incumbent=values[1],
        change=change,
        samples=samples,
        coverage=strata.coverage,
    )
    if math.isnan(change):
        return found
    if least < demand.samples_min:
        more = max(demand.samples_min - samples[0], _more(criterion, against, change, demand, samples) or 0, 1)
        reason = f"{least} values of a version, at least {demand.samples_min} are asked for"
        return replace(found, reason=reason, more_events=more)
    found = replace(
        found,
        low=_end(criterion, against, change, low_alpha, is_low=True),
        high=_end(criterion, against, change, high_alpha, is_low=False),
    )
    if strata.coverage < demand.coverage_min:
        reason = (
            f"only {strata.coverage:.0%} of the mix was served by both versions, {demand.coverage_min:.0%} is asked"
            f" for; missing: {', '.join(strata.left_out[:NAMES_MAX])}"
        )
        return replace(found, reason=reason)
    for is_pass, verdict in ((True, Verdict.PASS), (False, Verdict.FAIL)):
        alpha = demand.alpha_pass if is_pass else demand.alpha_fail
        if _evidence(criterion, against(criterion.margin), is_pass=is_pass) >= -math.log(alpha):
            return replace(found, verdict=verdict, reason=_words(criterion, is_pass=is_pass))
    more_events = _more(criterion, against, change, demand, samples)
    return replace(found, reason="not decided yet", more_events=more_events)


def _against(criterion: Criterion, own: Rate | Mean | Distribution, other: Rate | Mean | Distribution) -> Against:
    def against(change: float) -> Contrast:
        at = np.array([change])
        if isinstance(own, Rate) and isinstance(other, Rate):
            return rate_contrast(own, other, at, criterion.scale)
        if isinstance(own, Mean) and isinstance(other, Mean):
            return mean_contrast(own, other, at, criterion.scale)
        assert isinstance(own, Distribution)
        assert isinstance(other, Distribution)
        return quantile_contrast(own, other, criterion.quantile, change)

    return against


def _change(criterion: Criterion, own: float, other: float) -> float:
    if criterion.scale is Scale.POINTS and criterion.measure is not Measure.QUANTILE:
        return own - other
    return own / other - 1.0 if other > 0.0 else math.nan


def _evidence(criterion: Criterion, contrast: Contrast, *, is_pass: bool) -> float:
    """Give log E that the change lies on the side of a pass, or of a fail."""
    is_above = criterion.is_higher_better is is_pass
    signed = contrast if is_above else Contrast(-contrast.z, contrast.info)
    return float(log_evidence(signed, criterion.effect)[0])


def _end(criterion: Criterion, against: Against, change: float, alpha: float, *, is_low: bool) -> float:
    """Give the end of the interval: the change nearest to the estimate that is excluded."""
    sign = -1.0 if is_low else 1.0
    is_rate = criterion.measure is Measure.RATE
    floor = -1.0 if criterion.scale is Scale.RELATIVE or is_rate else -math.inf
    ceiling = 1.0 if is_rate and criterion.scale is Scale.POINTS else math.inf

    def excess(at: float) -> float:
        contrast = against(at)
        signed = contrast if is_low else Contrast(-contrast.z, contrast.info)
        return float(log_evidence(signed, criterion.effect)[0] + math.log(alpha))

    from scipy.optimize import brentq  # noqa: PLC0415 - half a second, which a daemon's start need not take

    near, step = change, criterion.effect
    while True:
        far = min(max(change + sign * step, floor + 1e-9), ceiling - 1e-9)
        if excess(far) >= 0.0:
            return float(brentq(excess, near, far, xtol=criterion.effect * 1e-4))
        if abs(far) > LIMIT:
            return sign * math.inf
        if far in {floor + 1e-9, ceiling - 1e-9}:
            return floor if is_low else ceiling
        near, step = far, step * 2.0


def _more(
    criterion: Criterion, against: Against, change: float, demand: Demand, samples: tuple[int, int]
) -> int | None:
    """Give how many more values of the candidate a verdict likely takes, both versions going on in this proportion.

    If the change is as measured, or as far from the margin as the effect, whichever is further.
    """
    contrast = against(criterion.margin)
    info = float(contrast.info[0])
    if info <= 0.0 or not math.isfinite(info):
        return None
    drift = max(abs(change - criterion.margin), criterion.effect)
    is_pass = (change > criterion.margin) is criterion.is_higher_better
    alpha = demand.alpha_pass if is_pass else demand.alpha_fail
    score = abs(float(contrast.z[0])) * math.sqrt(info)
    total = info_to_decide(score, info, criterion.effect, alpha, drift)
    return max(1, math.ceil(samples[0] * (total / info - 1.0))) if math.isfinite(total) else None


def _words(criterion: Criterion, *, is_pass: bool) -> str:
    is_above = criterion.is_higher_better is is_pass
    unit = f"{criterion.margin:+.1%}" if criterion.scale is Scale.RELATIVE else f"{criterion.margin:+.4g}"
    return f"the change is {'above' if is_above else 'below'} {unit}"
