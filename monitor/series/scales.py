"""What sizes are usual for the views of a series: over the memory, and over the last 500 points."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.domain import BoolArray, FloatArray, IntArray
from monitor.series.tails import MEMORY

BOUND: Final = 10.0
"""Recent usual sizes beyond which a deviation teaches no more than one of that many."""
BOUND_LEAST: Final = 0.1
"""Of the long usual size, counts as recent at least: after a frozen stretch, life does not look like an outlier."""
OUTLIER: Final = 100.0
"""Usual sizes beyond which a deviation is cut before it moves the usual size itself."""
RECENT: Final = 1.0 / 500.0
"""Rate of recent usual sizes: some hours of minutes, two days of five minutes."""
FREE: Final = 20
"""Points that are taken as they are, at the beginning."""
HABIT: Final = 1.0 / 3.0
"""Of the largest deviation that is usual at this time of day: the largest of a slot is some three mean ones."""
RESOLUTION: Final = 1e-9
"""Of the values themselves, what differences are at least: below is rounding."""
TINY: Final = float(np.finfo(np.float64).tiny)
STRETCH: Final = 1.0 / 6.0
"""Rate of the means of stretches: about the last six points."""
WIDTH: Final = np.array([1.0, STRETCH, 1.0, STRETCH, 1.0])
"""Share of a single deviation in each view."""
KIND: Final = np.array([0, 0, 1, 1, 2])
"""Which deviation each view is of: from the forecast, from the season, from the slow level."""
SINGLE: Final = np.array([0, 2, 4])
SEASONAL: Final = np.array([False, False, True, True, False])
KEPT: Final = ("_usual", "_recent", "_known")
"""All that is known of a series: arrays by series."""


class Scales:
    """Usual sizes of five views, and of the three deviations they are made of. Cost: some numpy calls; 9 numbers."""

    def __init__(self, series: int) -> None:
        self._usual = np.zeros((series, KIND.size))
        self._recent = np.zeros((series, SINGLE.size))
        self._known = np.zeros(series)
        """Points since the season is known."""

    @staticmethod
    def rate(seen: FloatArray) -> FloatArray:
        """Give the rate of recent means after so many points: that of a plain mean at first."""
        return np.maximum(RECENT, 1.0 / seen)

    def recent(self, rows: IntArray) -> FloatArray:
        """Give the recent usual sizes of the three deviations, shape (n, 3)."""
        return self._recent[rows]

    def bound(self, rows: IntArray, seen: FloatArray) -> FloatArray:
        """Give the bounds beyond which deviations teach nothing more, shape (n, 3)."""
        bound = BOUND * np.maximum(self._recent[rows], BOUND_LEAST * self._usual[rows[:, None], SINGLE])
        bound[seen <= FREE] = np.inf
        return np.asarray(bound)

    def usual(self, rows: IntArray, of_day: FloatArray, resolution: FloatArray) -> FloatArray:
        """Give what is usual for the five views now, above zero, shape (n, 5).

        of_day: the largest deviations that are usual at this time of day, shape (n, 3). resolution: size of the values.
        """
        usual = np.maximum(self._usual[rows], (HABIT * of_day)[:, KIND] * WIDTH)
        usual[:, SINGLE] = np.maximum(usual[:, SINGLE], self._recent[rows])
        return np.asarray(np.maximum(usual, (RESOLUTION * resolution + TINY)[:, None]))

    def learn(
        self, rows: IntArray, views: FloatArray, usual: FloatArray, is_known: BoolArray, seen: FloatArray
    ) -> None:
        """Learn long usual sizes from views; usual: what was usual for them. The season's wait until it is known."""
        known = self._known[rows] + is_known
        self._known[rows] = known
        count = np.where(SEASONAL, known[:, None], seen[:, None])
        sizes = np.minimum(np.abs(views), np.where(count > FREE, OUTLIER * usual, np.inf))
        rate = np.maximum(1.0 / MEMORY, 1.0 / np.maximum(count, 1.0)) * (count > 0.0)
        self._usual[rows] += rate * (sizes - self._usual[rows])

    def learn_recent(self, rows: IntArray, clean: FloatArray, seen: FloatArray) -> None:
        """Learn the recent usual sizes from bounded deviations."""
        self._recent[rows] += self.rate(seen)[:, None] * (np.abs(clean) - self._recent[rows])
