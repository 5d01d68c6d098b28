from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from monitor.detectors.intervals import count_interval, quantile_ranks, wilson_interval, wilson_upper


@pytest.mark.parametrize(("hits", "samples"), [(0, 1), (0, 1000), (1, 1), (5, 1000), (500, 1000), (1000, 1000)])
def test_wilson_interval_agrees_with_scipy(hits: int, samples: int) -> None:
    expected = binomtest(hits, samples).proportion_ci(method="wilson")

    low, high = wilson_interval(np.array([float(hits)]), np.array([float(samples)]))

    assert (expected.low, expected.high) == pytest.approx((low[0], high[0]), abs=1e-12)


def test_no_samples_have_no_interval() -> None:
    low, high = wilson_interval(np.zeros(1), np.zeros(1))

    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_upper_limit_of_a_rate_never_seen_is_about_three_over_m() -> None:
    """z^2 / (m + z^2) with the one-sided z."""
    assert wilson_upper(np.zeros(1), np.array([1000.0]))[0] == pytest.approx(2.7055 / 1002.7055, rel=1e-4)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_wilson_interval_holds_the_rate_and_stays_within_0_and_1(hits: int, misses: int) -> None:
    samples = np.array([float(hits + misses)])
    low, high = wilson_interval(np.array([float(hits)]), samples)

    if samples[0]:
        assert 0.0 <= low[0] <= hits / samples[0] <= high[0] <= 1.0


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.841), (100, 82.23, 121.62)])
def test_count_interval(count: int, low: float, high: float) -> None:
    limits = count_interval(np.array([float(count)]))

    assert (low, high) == pytest.approx((limits[0][0], limits[1][0]), abs=0.01)


@pytest.mark.parametrize(
    ("samples", "quantile", "low", "high"),
    [
        # 1000 * .95 -+ 1.96 * 6.892: 936.49 and 963.51, rounded outwards
        (1000, 0.95, 936, 965),
        (10, 0.5, 1, 10),
        (1, 0.99, 1, 1),
        (0, 0.5, 1, 1),
    ],
)
def test_ranks_around_a_quantile(samples: int, quantile: float, low: int, high: int) -> None:
    ranks = quantile_ranks(np.array([float(samples)]), quantile)

    assert (low, high) == (ranks[0][0], ranks[1][0])
