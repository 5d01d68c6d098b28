"""The gate on counts: verdicts, intervals, needs, mixes, segments, and its errors when it is looked at all the time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from benchmarks import gate as bench
from monitor.bins import FLAGS_WIDTH
from monitor.domain import Kind
from monitor.gate.arms import rate_of, strata_of
from monitor.gate.contrasts import Contrast, Scale
from monitor.gate.evidence import fixed_info, info_to_decide, log_evidence
from monitor.gate.findings import Finding, Verdict
from monitor.gate.policy import UPGRADE, Criterion, Measure, Policy
from monitor.gate.rates import Rate, rate_contrast
from monitor.gate.release import Release, judge_release
from monitor.kpis.base import Cell, StreamCounts
from tests.unit.kpis.cells import flags, logs

SUCCESS, COST, VIOLATIONS, LATENCY = UPGRADE
ALL = ""


def volume(events: int) -> StreamCounts:
    counts = np.zeros(FLAGS_WIDTH, dtype=np.int64)
    counts[0] = events
    return StreamCounts(Kind.VOLUME, counts)


def rate(hits: int, samples: int) -> Cell:
    return {"success": flags(hits, samples - hits), "events": volume(samples)}


def of(release: Release, name: str, segment: str = "") -> Finding:
    return next(f for f in (*release.findings, *release.by_segment) if (f.criterion.name, f.segment) == (name, segment))


def only(*criteria: Criterion, **options: object) -> Policy:
    return replace(Policy(criteria=criteria), **options)  # type: ignore[arg-type]


def whole(n: int, success: float, unsafe: float, cost: float, latency: float, seed: int = 1) -> Cell:
    rng = np.random.default_rng(seed)
    return {
        "success": flags(round(n * success), n - round(n * success)),
        "unsafe": flags(round(n * unsafe), n - round(n * unsafe)),
        "cost_usd": logs(cost * rng.lognormal(0.0, 0.7, n)),
        "latency_s": logs(latency * rng.lognormal(0.0, 0.5, n)),
        "events": volume(n),
    }


def test_better_candidate_passes_the_upgrade_gate_with_a_score_above_zero() -> None:
    release = judge_release(
        {ALL: whole(30_000, 0.93, 0.001, 0.01, 0.9)}, {ALL: whole(40_000, 0.85, 0.001, 0.01, 1.0)}, Policy()
    )

    assert Verdict.PASS is release.verdict
    assert {Verdict.PASS} == {finding.verdict for finding in release.findings}
    assert 0.0 < release.score.low < release.score.value < release.score.high <= 100.0


@pytest.mark.parametrize(
    ("worse", "name"),
    [
        ({"success": 0.85}, "success"),
        ({"cost": 0.013}, "cost"),
        ({"unsafe": 0.01}, "violations"),
    ],
)
def test_candidate_that_is_worse_in_one_thing_fails_by_that_alone(worse: dict[str, float], name: str) -> None:
    values = {"success": 0.93, "unsafe": 0.001, "cost": 0.01} | worse
    candidate = whole(30_000, values["success"], values["unsafe"], values["cost"], 1.0)
    release = judge_release({ALL: candidate}, {ALL: whole(30_000, 0.85, 0.001, 0.01, 1.0, 2)}, Policy())

    assert Verdict.FAIL is release.verdict
    assert [name] == [f.criterion.name for f in release.findings if f.verdict is Verdict.FAIL]


def test_slower_candidate_is_told_and_decides_nothing() -> None:
    release = judge_release(
        {ALL: whole(30_000, 0.93, 0.001, 0.01, 1.5)}, {ALL: whole(30_000, 0.85, 0.001, 0.01, 1.0)}, Policy()
    )

    assert Verdict.FAIL is of(release, "latency").verdict
    assert Verdict.PASS is release.verdict


def test_forty_events_are_insufficient_evidence_and_it_is_told_how_many_are_missing() -> None:
    release = judge_release(
        {ALL: whole(40, 0.95, 0.0, 0.01, 1.0)}, {ALL: whole(40_000, 0.85, 0.001, 0.01, 1.0)}, Policy()
    )

    assert Verdict.INSUFFICIENT is release.verdict
    for finding in release.findings:
        assert Verdict.INSUFFICIENT is finding.verdict
        assert "at least 100" in finding.reason
        assert (finding.more_events or 0) >= 60


@pytest.mark.parametrize("cells", [{}, {ALL: {}}, {ALL: whole(0, 0.0, 0.0, 1.0, 1.0)}, {ALL: {"success": logs([1.0])}}])
def test_missing_streams_of_another_kind_or_none_are_told(cells: dict[str, Cell]) -> None:
    release = judge_release(cells, cells, Policy())

    assert Verdict.INSUFFICIENT is release.verdict
    assert all("yet" in finding.reason for finding in release.findings)
    assert math.isnan(release.score.value)


counts = st.integers(0, 3_000)


@settings(max_examples=30, deadline=None)
@given(own=st.tuples(counts, counts), other=st.tuples(counts, counts), scale=st.sampled_from(Scale))
def test_any_counts_give_an_interval_around_the_estimate_that_agrees_with_the_verdict(
    own: tuple[int, int], other: tuple[int, int], scale: Scale
) -> None:
    criterion = replace(SUCCESS, scale=scale)
    found = judge_release({ALL: {"success": flags(*own)}}, {ALL: {"success": flags(*other)}}, only(criterion)).findings[
        0
    ]

    if math.isnan(found.low):
        assert Verdict.INSUFFICIENT is found.verdict
    else:
        assert found.low <= found.change <= found.high
        if found.verdict is Verdict.PASS:
            assert found.low >= criterion.margin - 1e-3
        if found.verdict is Verdict.FAIL:
            assert found.high <= criterion.margin + 1e-3


# ---- what the statistics rest on


def test_contrast_of_large_rates_is_the_z_test_that_everybody_knows() -> None:
    own, other = Rate(np.array([8_600.0]), np.array([10_000.0])), Rate(np.array([17_000.0]), np.array([20_000.0]))

    contrast = rate_contrast(own, other, np.zeros(1), Scale.POINTS)

    pooled = 25_600 / 30_000
    error = math.sqrt(pooled * (1.0 - pooled) * (1 / 10_000 + 1 / 20_000))
    assert 0.01 / error == pytest.approx(contrast.z[0], rel=0.005)
    assert error**-2 == pytest.approx(contrast.info[0], rel=1e-6)


def test_evidence_is_one_on_average_for_brownian_motion_without_drift() -> None:
    """E exp(theta B - theta^2 I / 2) = 1 for each alternative, so for their mixture: by numerical integration."""
    info = 3.0
    b, step = np.linspace(-60.0, 220.0, 400_001, retstep=True)
    evidence = log_evidence(Contrast(b / math.sqrt(info), np.full_like(b, info)), 1.0)

    assert 1.0 == pytest.approx(float(np.exp(evidence + norm.logpdf(b, scale=math.sqrt(info))).sum() * step), rel=1e-3)


def test_needs_shrink_as_evidence_comes_and_end_at_zero() -> None:
    effect, alpha = 0.05, 0.05
    planned = fixed_info(effect, alpha, 0.8)

    needs = [
        info_to_decide(effect * info, info, effect, alpha, effect) - info for info in planned * np.array([0.01, 0.5, 3])
    ]

    assert needs[0] > needs[1] > needs[2] == 0.0
    assert 0.7 * planned < needs[0] < 1.5 * planned


def test_strata_of_one_are_the_counts_themselves() -> None:
    found = rate_of([flags(30, 70)], np.ones(1))

    assert (30.0, 100.0) == pytest.approx((float(found.hits[0]), float(found.samples[0])))


# ---- errors and events under continuous looking: the benchmark's own, smaller


@pytest.mark.parametrize(
    ("case", "simulate", "runs"), [(bench.RATES[0], bench.rates, 120), (bench.MEANS[0], bench.means, 50)]
)
def test_errors_stay_within_alpha_and_decisions_come_in_time(
    case: bench.Case, simulate: bench.Simulate, runs: int
) -> None:
    found = bench.run(case, simulate, runs, np.random.default_rng(20))

    most = runs * bench.ALPHA + 3.1 * math.sqrt(runs * bench.ALPHA)  # one in a thousand for errors at alpha
    assert max(found.false_pass, found.false_fail) <= most
    assert found.events_ratio <= bench.RATIO_MAX
    assert found.wrong <= 0.02


# ---- mixes and segments


def two_segments(easy: tuple[int, int], hard: tuple[int, int]) -> dict[str, Cell]:
    """Give cells of hits and samples by segment, with their sum."""
    return {
        "level=easy": rate(*easy),
        "level=hard": rate(*hard),
        ALL: rate(easy[0] + hard[0], easy[1] + hard[1]),
    }


SIMPSON = (
    two_segments((8_550, 9_000), (500, 1_000)),  # the candidate: worse in both, and with an easier mix
    two_segments((4_850, 5_000), (2_750, 5_000)),
)


def test_easier_mix_does_not_pass_for_a_better_candidate() -> None:
    candidate, incumbent = SIMPSON
    policy = only(replace(SUCCESS, margin=0.0))

    assert Verdict.PASS is judge_release(candidate, incumbent, policy).verdict
    for mix in ("pooled", "incumbent"):
        adjusted = judge_release(candidate, incumbent, replace(policy, segment="level", mix=mix))
        assert Verdict.FAIL is adjusted.verdict
        assert adjusted.findings[0].change < 0.0
        assert Verdict.FAIL is of(adjusted, "success", "level=easy").verdict


def test_value_of_the_mix_is_the_weighted_one() -> None:
    candidate, incumbent = SIMPSON
    release = judge_release(candidate, incumbent, only(SUCCESS, segment="level", mix="incumbent"))

    assert 0.5 * 0.95 + 0.5 * 0.5 == pytest.approx(release.findings[0].candidate)
    assert 0.5 * 0.97 + 0.5 * 0.55 == pytest.approx(release.findings[0].incumbent)


def test_segment_that_the_candidate_has_not_served_is_told_and_nothing_passes() -> None:
    candidate = {"level=easy": rate(9_800, 10_000), ALL: rate(9_800, 10_000)}
    release = judge_release(candidate, SIMPSON[1], only(replace(SUCCESS, margin=-0.5), segment="level"))

    finding = release.findings[0]
    assert Verdict.INSUFFICIENT is release.verdict
    assert "level=hard" in finding.reason
    assert 15_000 / 20_000 == pytest.approx(finding.coverage)


def test_small_strata_are_put_together() -> None:
    candidate = {f"region={i}": rate(9, 10) for i in range(10)} | {"region=big": rate(800, 1_000)}
    incumbent = {f"region={i}": rate(8, 10) for i in range(10)} | {"region=big": rate(800, 1_000)}

    strata = strata_of(candidate, incumbent, SUCCESS, "region", "pooled")

    assert strata is not None
    assert [1_000, 100] == [own.samples() for own, _ in strata.strata]
    assert [10 / 11, 1 / 11] == pytest.approx(strata.weights.tolist())
    assert 1.0 == strata.coverage


def test_failure_in_a_critical_segment_fails_the_release() -> None:
    candidate = two_segments((48_500, 50_000), (1_000, 2_000))
    incumbent = two_segments((45_000, 50_000), (1_500, 2_000))
    policy = only(SUCCESS)

    assert Verdict.PASS is judge_release(candidate, incumbent, policy).verdict
    critical = judge_release(candidate, incumbent, replace(policy, critical=("level=hard",)))
    assert Verdict.FAIL is critical.verdict
    assert Verdict.PASS is critical.findings[0].verdict


def test_more_segments_ask_for_more_evidence_of_each() -> None:
    few = {f"s={i}": rate(460, 500) for i in range(2)}, {f"s={i}": rate(415, 500) for i in range(2)}
    many = {f"s={i}": rate(460, 500) for i in range(50)}, {f"s={i}": rate(415, 500) for i in range(50)}

    (one, *_), (other, *_) = (judge_release(*cells, only(SUCCESS, segment="s")).by_segment for cells in (few, many))

    assert other.low < one.low < one.high < other.high


def test_alpha_of_a_failure_is_shared_and_that_of_a_pass_is_not() -> None:
    policy = Policy(critical=("a=b",))

    assert policy.alpha == policy.alpha_pass()
    assert policy.alpha == pytest.approx(sum(policy.alpha_fail(c) for c in policy.criteria if c.is_required) * 2)


def test_rate_that_was_zero_has_no_relative_change_and_it_is_told() -> None:
    criterion = Criterion("errors", "success", Measure.RATE, is_higher_better=False, margin=0.0, effect=0.1)
    release = judge_release({ALL: rate(5, 1_000)}, {ALL: rate(0, 1_000)}, only(criterion))

    assert Verdict.INSUFFICIENT is release.verdict
    assert "the incumbent's value is 0" in release.findings[0].reason
