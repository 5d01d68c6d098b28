"""How far apart the points of series are, and so how many the first days have. Cost: ten numpy calls; 24 bytes."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.domain import FloatArray, IntArray

LEAST_S: Final = 4 * 86_400.0
"""A point must be rare among the points of this time, at least: habits of a day take about three days to learn."""
GAP: Final = 3.0
"""Mean steps beyond which a step is a gap, and counts as this many."""
RATE: Final = 1.0 / 500.0
"""Weight of one step in the mean, at least; the first ones weigh as in a plain mean."""
KEPT: Final = ("_last", "_mean", "_steps")
"""All that is known of a series: arrays by series."""


class Spacing:
    """The mean step of many series, gaps and steps back aside."""

    def __init__(self, series: int) -> None:
        self._last = np.full(series, np.nan)
        self._mean = np.full(series, np.nan)
        self._steps = np.zeros(series)

    def least_points(self, rows: IntArray, times_s: FloatArray) -> FloatArray:
        """Learn from the next times of rows; give the points that `LEAST_S` has, 0 where that is not known."""
        step = times_s - self._last[rows]
        self._last[rows] = times_s
        is_step = step > 0.0
        before = self._mean[rows]
        step = np.fmin(step, GAP * before)
        before = np.where(np.isnan(before), step, before)
        steps = self._steps[rows] + is_step
        mean = before + np.maximum(RATE, 1.0 / np.maximum(steps, 1.0)) * (step - before)
        self._steps[rows] = steps
        mean = np.where(is_step, mean, self._mean[rows])
        self._mean[rows] = mean
        return np.asarray(np.nan_to_num(LEAST_S / mean))
