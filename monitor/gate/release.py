"""A release judged: every criterion, every segment, the score, and one verdict. Pure: counts in, a value out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from monitor.gate.arms import Cells, Strata, strata_of, stream_of
from monitor.gate.findings import Demand, Finding, Verdict, find
from monitor.gate.policy import Criterion, Policy

SEGMENTS_MAX: Final = 100
"""Values of a segment that are judged apart, those with most values first."""


class Score(NamedTuple):
    """The weighted score, -100 to 100, above 0 for better; NaN where a component is unknown.

    low, high: hold at all looks together, from the intervals of the components. components: by name, before weighting.
    """

    value: float
    low: float
    high: float
    components: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Release:
    """What was found of a candidate. by_segment: the worst first."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    by_segment: tuple[Finding, ...]
    score: Score


def judge_release(candidate: Cells, incumbent: Cells, policy: Policy) -> Release:
    """Judge a candidate against an incumbent by their counts over the same stretch of time. Never raises on counts.

    May be asked as often as one likes: of all looks together, a candidate that misses a margin passes with a chance of
    at most policy.alpha, and one that misses none fails with at most policy.alpha. Segments are judged apart at alpha
    divided by how many there are (Bonferroni), so that what is said of all of them together is wrong with at most
    alpha; they decide nothing but for those that policy.critical names, which have a part of the criteria's own alpha.
    Source: see monitor.gate.evidence. Cost: some milliseconds per criterion and segment.
    """
    findings = tuple(
        find(
            criterion,
            strata_of(candidate, incumbent, criterion, policy.segment, policy.mix),
            Demand(policy.alpha_pass(), policy.alpha_fail(criterion), policy.samples_min, policy.coverage_min),
        )
        for criterion in policy.criteria
    )
    apart = tuple(_segments(candidate, incumbent, policy))
    order = {Verdict.FAIL: 0, Verdict.INSUFFICIENT: 1, Verdict.PASS: 2}
    required = [finding for finding in findings if finding.criterion.is_required]
    vetoes = [f for f in apart if f.segment in policy.critical and f.criterion.is_required]
    return Release(
        verdict=_verdict(required, vetoes),
        findings=findings,
        by_segment=tuple(sorted(apart, key=lambda finding: (order[finding.verdict], finding.segment))),
        score=_score(candidate, incumbent, policy),
    )


def _verdict(required: list[Finding], vetoes: list[Finding]) -> Verdict:
    if any(finding.verdict is Verdict.FAIL for finding in (*required, *vetoes)):
        return Verdict.FAIL
    is_pass = bool(required) and all(finding.verdict is Verdict.PASS for finding in required)
    return Verdict.PASS if is_pass else Verdict.INSUFFICIENT


def _segments(candidate: Cells, incumbent: Cells, policy: Policy) -> Iterator[Finding]:
    for criterion in policy.criteria:
        known = _known_segments(candidate, incumbent, criterion, policy)
        for segment, strata in known.items():
            apart = policy.alpha / max(1, len(known))
            is_critical = segment in policy.critical
            alpha_fail = policy.alpha_fail(criterion) if is_critical else apart
            yield find(criterion, strata, Demand(apart, alpha_fail, policy.samples_min, 0.0), segment)


def _known_segments(
    candidate: Cells, incumbent: Cells, criterion: Criterion, policy: Policy
) -> Mapping[str, Strata | None]:
    """Give the segments that either version has served, and the critical ones in any case."""
    prefix = f"{policy.segment}=" if policy.segment else None
    named = {name for name in {*candidate, *incumbent} if prefix and name.startswith(prefix)}

    def samples(name: str) -> int:
        found = (stream_of(cells, name, criterion) for cells in (candidate, incumbent))
        return sum(stream.samples() for stream in found if stream is not None)

    largest = sorted(named - set(policy.critical), key=lambda name: (-samples(name), name))[:SEGMENTS_MAX]
    out: dict[str, Strata | None] = {}
    for name in (*policy.critical, *largest):
        one = {"": candidate.get(name, {})}, {"": incumbent.get(name, {})}
        out[name] = strata_of(*one, criterion, "", policy.mix)
    return out


def _score(candidate: Cells, incumbent: Cells, policy: Policy) -> Score:
    """Weigh the changes for the better, each as a share of the change that counts as full.

    Each component's interval has alpha / components, both ends together, so their weighted sum holds them all.
    """
    scored = [criterion for criterion in policy.criteria if criterion.component in policy.weights]
    total = sum(policy.weights[criterion.component] for criterion in scored)
    value = low = high = 0.0
    components: dict[str, float] = {}
    for criterion in scored:
        own = replace(criterion, is_required=True)
        alpha = policy.alpha / len(scored) / 2.0
        strata = strata_of(candidate, incumbent, own, policy.segment, policy.mix)
        finding = find(own, strata, Demand(alpha, alpha, policy.samples_min, policy.coverage_min))
        sign = 1.0 if criterion.is_higher_better else -1.0
        parts = [_part(sign * end / criterion.full) for end in (finding.change, finding.low, finding.high)]
        components[criterion.component] = parts[0]
        weight = policy.weights[criterion.component] / total
        value += weight * parts[0]
        low += weight * min(parts[1:], key=_nan_first)
        high += weight * max(parts[1:], key=_nan_first)
    if not scored:
        return Score(math.nan, math.nan, math.nan, components)
    return Score(value, low, high, components)


def _part(ratio: float) -> float:
    return ratio if math.isnan(ratio) else 100.0 * min(1.0, max(-1.0, ratio))


def _nan_first(value: float) -> float:
    return math.inf if math.isnan(value) else value
