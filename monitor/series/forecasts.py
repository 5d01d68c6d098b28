"""The next point from the last ones: six plain forecasts, weighted by how well each has done lately.

Three exponential means (rates 0.05, 0.2, 0.6), the last value, a level with a trend (Holt, rates 0.5 and 0.1), and a
level that follows the time of day. A weight is (least error / its error)^8 over mean absolute errors of about the last
500 points: close to picking the best, without jumps. White noise ends with the slow mean, a random walk with the last
value, a smooth daily curve with the last two. Source: Holt (1957); weights by inverse error, Bates and Granger (1969).
Cost: about 25 numpy calls for any number of series; 13 numbers per series.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.domain import BoolArray, FloatArray, IntArray

RATES: Final = np.array([0.05, 0.2, 0.6])
TREND_LEVEL_RATE: Final = 0.5
TREND_RATE: Final = 0.1
SEASON_LEVEL_RATE: Final = 0.2
SHARPNESS: Final = 8.0
LAST, TREND, SEASONAL, FORECASTS = 3, 4, 5, 6
KEPT: Final = ("_means", "_last", "_trend", "_season_level", "_error")
"""All that is known of a series: arrays by series."""


class Forecasts:
    """The bank of forecasts of many series."""

    def __init__(self, series: int) -> None:
        self._means = np.zeros((series, RATES.size))
        self._last = np.zeros(series)
        self._trend = np.zeros((series, 2))
        self._season_level = np.full(series, np.nan)
        self._error = np.zeros((series, FORECASTS))

    def start(self, rows: IntArray, values: FloatArray) -> None:
        """Begin series with their first values."""
        self._means[rows] = values[:, None]
        self._last[rows] = values
        self._trend[rows, 0] = values

    def give(self, rows: IntArray, season: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give the weighted forecast, and each of the six, shape (n, 6)."""
        each = np.empty((rows.size, FORECASTS))
        each[:, :LAST] = self._means[rows]
        each[:, LAST] = self._last[rows]
        each[:, TREND] = self._trend[rows].sum(axis=1)
        seasonal = self._season_level[rows] + season
        each[:, SEASONAL] = np.where(np.isnan(seasonal), each[:, 1], seasonal)
        error = self._error[rows]
        least = error.min(axis=1, keepdims=True)
        # Where the best was never wrong, those that were not wrong either share the weight.
        weight = np.divide(least, error, out=np.ones_like(error), where=error > 0.0) ** SHARPNESS
        return np.asarray((each * weight).sum(axis=1) / weight.sum(axis=1)), each

    def learn(self, rows: IntArray, each: FloatArray, value: FloatArray, clean: FloatArray, rate: FloatArray) -> None:
        """Learn from a value; clean: the value, brought within bounds of the forecast, so that outliers pass in a step.

        rate: of the errors, and the least one of the means.
        """
        self._error[rows] += rate[:, None] * (np.abs(clean[:, None] - each) - self._error[rows])
        means = self._means[rows]
        self._means[rows] = means + np.maximum(RATES, rate[:, None]) * (clean[:, None] - means)
        self._last[rows] = value
        surprise = (clean - each[:, TREND])[:, None]
        trend = self._trend[rows]
        trend[:, 0] = each[:, TREND]
        self._trend[rows] = trend + surprise * np.array([TREND_LEVEL_RATE, TREND_RATE])

    def learn_season(self, rows: IntArray, level: FloatArray, is_known: BoolArray) -> None:
        """Learn the level that is left of clean values when the season is taken off."""
        rows, level = rows[is_known], level[is_known]
        before = self._season_level[rows]
        before = np.where(np.isnan(before), level, before)
        self._season_level[rows] = before + SEASON_LEVEL_RATE * (level - before)
