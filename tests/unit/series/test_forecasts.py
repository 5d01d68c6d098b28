"""Forecasts: the bank ends with what suits the series."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.domain import FloatArray
from monitor.series.forecasts import Forecasts

ROW = np.array([0])


def error_of(values: FloatArray, season: FloatArray | None = None) -> float:
    """Give the mean absolute error over the second half."""
    forecasts = Forecasts(1)
    forecasts.start(ROW, values[:1])
    seasons = np.zeros(values.size) if season is None else season
    is_known = np.array([season is not None])
    errors = []
    for number in range(1, values.size):
        value = values[number : number + 1]
        forecast, each = forecasts.give(ROW, seasons[number : number + 1])
        errors.append(abs(float(forecast[0] - value[0])))
        forecasts.learn(ROW, each, value, value, np.array([max(1 / 500, 1 / number)]))
        forecasts.learn_season(ROW, value - seasons[number : number + 1], is_known)
    return float(np.mean(errors[values.size // 2 :]))


def test_white_noise_is_forecast_by_a_slow_mean() -> None:
    noise = np.random.default_rng(1).normal(size=2_000)

    assert error_of(noise) < 1.1 * np.sqrt(2.0 / np.pi)


def test_a_random_walk_is_forecast_by_its_last_value() -> None:
    steps = np.random.default_rng(2).normal(size=2_000)

    assert error_of(np.cumsum(steps)) < 1.1 * np.sqrt(2.0 / np.pi)


def test_a_slope_is_forecast_by_its_trend() -> None:
    assert error_of(3.0 * np.arange(1_000.0)) < 0.01


def test_a_known_season_is_used() -> None:
    season = np.where(np.arange(2_000) % 2 == 0, 10.0, -10.0)
    values = season + np.random.default_rng(3).normal(size=2_000)

    assert error_of(values, season) < 1.2


@pytest.mark.parametrize("level", [0.0, -7.25])
def test_a_constant_is_forecast_exactly(level: float) -> None:
    assert error_of(np.full(100, level)) == 0.0
