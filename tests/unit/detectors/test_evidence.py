from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitor.detectors.evidence import (
    chi_square_nats,
    count_evidence,
    g_evidence,
    gap_evidence,
    ks_evidence,
    rate_evidence,
)

COUNTS = st.integers(0, 10**9).map(float)
ANY = st.floats(allow_nan=True, allow_infinity=True)


def one(value: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([value])


@pytest.mark.parametrize(
    ("hits", "samples", "threshold", "nats"),
    [
        # 10 log(10) + 190 log(.95/.995)
        (10, 200, 0.005, 14.2321),
        (0, 1000, 0.01, -10.0503),  # 1000 log(.99)
        (5, 5, 0.5, 3.4657),  # 5 log 2
        (5, 10, 0.5, 0.0),
        (0, 10, 0.0, 0.0),
        (0, 0, 0.1, 0.0),
        (3, 10, np.nan, 0.0),
    ],
)
def test_rate_evidence_by_hand(hits: float, samples: float, threshold: float, nats: float) -> None:
    assert nats == pytest.approx(rate_evidence(one(hits), one(samples), one(threshold))[0], abs=1e-3)


def test_a_single_hit_against_a_rate_of_zero_is_finite_and_overwhelming() -> None:
    nats = rate_evidence(one(1), one(1000), one(0.0))[0]

    assert 600.0 < nats < 1000.0


@given(COUNTS, COUNTS, ANY, ANY)
def test_rate_evidence_is_finite_and_falls_as_the_threshold_rises(
    hits: float, misses: float, threshold: float, other: float
) -> None:
    samples = one(hits + misses)
    low, high = (rate_evidence(one(hits), samples, one(t))[0] for t in sorted((threshold, other)))

    assert np.isfinite([low, high]).all()
    if not np.isnan(threshold + other):
        assert low >= high - 1e-9 * abs(high)


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("samples", [1, 7, 50, 2000])
def test_rate_evidence_bounds_the_exact_binomial_tail(rate: float, samples: int) -> None:
    hits = np.arange(samples + 1.0)
    nats = rate_evidence(hits, np.full_like(hits, samples), np.full_like(hits, rate))
    above, below = nats > 0.0, nats < 0.0

    assert (stats.binom.sf(hits[above] - 1, samples, rate) <= np.exp(-nats[above]) * (1 + 1e-9)).all()
    assert (stats.binom.cdf(hits[below], samples, rate) <= np.exp(nats[below]) * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("count", "expected", "nats"), [(0, 10, -10.0), (20, 10, 3.8629), (10, 10, 0.0), (5, np.nan, 0)]
)
def test_count_evidence_by_hand(count: float, expected: float, nats: float) -> None:
    assert nats == pytest.approx(count_evidence(one(count), one(expected))[0], abs=1e-4)


@pytest.mark.parametrize("mean", [0.5, 5.0, 300.0])
def test_count_evidence_bounds_the_exact_poisson_tail(mean: float) -> None:
    counts = np.arange(1000.0)
    nats = count_evidence(counts, np.full_like(counts, mean))
    above, below = nats > 0.0, nats < 0.0

    assert (stats.poisson.sf(counts[above] - 1, mean) <= np.exp(-nats[above]) * (1 + 1e-9)).all()
    assert (stats.poisson.cdf(counts[below], mean) <= np.exp(nats[below]) * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("distance", "threshold", "nats"),
    [(0.3, 0.1, 8 - np.log(2.0)), (0.1, 0.3, -8.0), (0.11, 0.1, 0.0), (0.1, 0.1, 0.0), (np.nan, 0.1, 0.0)],
)
def test_ks_evidence_by_hand(distance: float, threshold: float, nats: float) -> None:
    assert nats == pytest.approx(ks_evidence(one(distance), one(100.0), one(threshold))[0])


@pytest.mark.parametrize(
    ("gap", "variance", "nats"),
    # 100 * 1 / (2 * (3 + 1)); a spread of nothing gives n/2
    [(1.0, 3.0, 12.5), (-1.0, 3.0, -12.5), (1.0, 0.0, 50.0), (0.0, 3.0, 0.0), (0.0, 0.0, 0.0), (np.nan, 1.0, 0.0)],
)
def test_gap_evidence_by_hand(gap: float, variance: float, nats: float) -> None:
    assert nats == pytest.approx(gap_evidence(one(gap), one(variance), one(100.0))[0])


@pytest.mark.parametrize("freedom", [1.0, 2.0, 9.0, 11.0, 58.0])
def test_chi_square_nats_agree_with_scipy_and_go_on_where_it_underflows(freedom: float) -> None:
    statistic = np.array([0.5, 5.0, 50.0, 500.0, 1300.0, 1500.0, 1e4, 1e8])
    nats = chi_square_nats(statistic, np.full_like(statistic, freedom))

    expected = -stats.chi2.logsf(statistic[:5], freedom)
    assert nats[:5] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert (np.diff(nats) >= 0.0).all()
    assert nats[-1] == pytest.approx(5e7, rel=1e-4)


@pytest.mark.parametrize("freedom", [1.0, 9.0, 58.0])
def test_chi_square_nats_do_not_jump_where_the_asymptote_takes_over(freedom: float) -> None:
    statistic = np.linspace(1300.0, 1800.0, 5001)
    steps = np.diff(chi_square_nats(statistic, np.full_like(statistic, freedom)))

    assert steps.max() < 0.06
    assert steps.min() > 0.035


def test_g_evidence_agrees_with_scipy_times_williams_correction() -> None:
    window, reference = np.array([30.0, 20.0, 50.0]), np.array([100.0, 150.0, 150.0])
    statistic = stats.chi2_contingency([window, reference], lambda_="log-likelihood", correction=False).statistic
    total, columns = 500.0, window + reference
    williams = 1 + (total / 100 + total / 400 - 1) * ((total / columns).sum() - 1) / (6 * total * 2)

    expected = -stats.chi2.logsf(statistic / williams, 2)
    assert expected == pytest.approx(g_evidence(window[None], reference[None])[0], rel=1e-9)


@pytest.mark.parametrize(
    ("window", "reference"),
    [([0, 0, 0], [5, 5, 5]), ([5, 5, 5], [0, 0, 0]), ([7, 0, 0], [3, 0, 0]), ([5, 6, 0], [5, 6, 0]), ([0], [0])],
)
def test_g_evidence_is_nothing_without_counts_or_without_difference(window: list[int], reference: list[int]) -> None:
    nats = g_evidence(np.array([window], dtype=float), np.array([reference], dtype=float))

    assert nats[0] == pytest.approx(0.0, abs=1e-9)


def test_g_evidence_ignores_groups_that_are_empty_on_both_sides() -> None:
    plain = g_evidence(np.array([[9.0, 1.0]]), np.array([[50.0, 50.0]]))
    padded = g_evidence(np.array([[9.0, 1.0, 0.0]]), np.array([[50.0, 50.0, 0.0]]))

    assert plain == pytest.approx(padded)
