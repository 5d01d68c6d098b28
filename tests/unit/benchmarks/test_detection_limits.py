"""The physical limit against the table of exact numbers (detection.md 2.1), and the divergences by other ways."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.detection import limits
from benchmarks.detection.scenarios import MODE, SCENARIOS, SPREAD, two_humps_density


@pytest.mark.parametrize(
    ("kl", "arl0", "expected"),
    [
        (limits.kl_mean_shift(0.25), 1e4, 153.0),
        (limits.kl_mean_shift(0.25), 1e5, 226.0),
        (limits.kl_mean_shift(0.5), 1e5, 67.5),
        (limits.kl_mean_shift(0.5), 8.6e7, 122.0),
        (limits.kl_mean_shift(1.0), 1e4, 15.0),
        (limits.kl_mean_shift(1.0), 1e6, 24.3),
    ],
)
def test_the_limit_of_mean_shifts_is_within_a_hundredth_of_the_exact_one(
    kl: float, arl0: float, expected: float
) -> None:
    assert expected == pytest.approx(limits.optimal_delay(arl0, kl), rel=0.01)


@pytest.mark.parametrize(
    ("before", "after", "arl0", "expected"),
    [
        (0.01, 0.02, 1e5, 1_224.0),
        (0.01, 0.03, 1e6, 621.0),
        (0.01, 0.05, 1e7, 289.0),
        (0.005, 0.05, 1e6, 135.0),
    ],
)
def test_the_limit_of_rates_is_within_seven_hundredths_of_the_exact_one(
    before: float, after: float, arl0: float, expected: float
) -> None:
    assert expected == pytest.approx(limits.optimal_delay(arl0, limits.kl_rate(before, after)), rel=0.07)


@pytest.mark.parametrize("goal", [1e-6, 1.0, 1e12])
def test_the_limit_solves_its_own_equation(goal: float) -> None:
    kl = 0.1
    delay = limits.optimal_delay(goal / kl, kl)
    low, high = 1e-12, 100.0
    for _ in range(200):
        h = (low + high) / 2.0
        low, high = (h, high) if math.expm1(h) - h < goal else (low, h)
    assert (low + math.expm1(-low)) / kl == pytest.approx(delay, rel=1e-4)


def test_divergence_of_densities_agrees_with_the_closed_form() -> None:
    def after(x: float) -> float:
        return float(norm.pdf(x, 0.0, math.sqrt(1.5)))

    def before(x: float) -> float:
        return float(norm.pdf(x))

    assert limits.kl_variance(1.5) == pytest.approx(limits.kl_densities(before, after, -9.0, 9.0), rel=1e-6)


def test_two_humps_have_the_mean_and_variance_of_one() -> None:
    x = np.linspace(-8.0, 8.0, 20_001)
    density = np.array([two_humps_density(float(at)) for at in x])
    moments = [float(np.sum(density * x**k) * (x[1] - x[0])) for k in range(3)]
    assert [1.0, 0.0, 1.0] == pytest.approx(moments, abs=1e-6)
    assert MODE**2 + SPREAD**2 == pytest.approx(1.0)


def test_a_newcomer_takes_its_share_from_all_others() -> None:
    before, after = limits.shares_with_newcomer(np.array([0.75, 0.25]), 999, 0.05)
    assert [1.0, 1.0] == pytest.approx([sum(before), sum(after)])
    assert before[-1] == pytest.approx(0.0005)
    assert after == pytest.approx([0.7125, 0.2375, 0.05])


def test_every_scenario_has_a_limit() -> None:
    assert all(0.0 < scenario.limit_events < scenario.deadline_events for scenario in SCENARIOS)
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
