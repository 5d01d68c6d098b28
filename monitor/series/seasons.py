"""What is usual at this time of day: the level, and the largest deviations, in 96 slots of 15 minutes.

The level is the mean offset from the series' own slow level, interpolated between the centres of slots. The deviations
are the mean over days of the largest one in the slot: a job that makes a spike at each noon, or an edge that is a few
minutes early or late, is usual there. They count one slot to either side, and only from earlier visits, so that an
incident can't excuse itself. A slot is known once it has been left for the first time.
Cost: some gathers per point; 96 x (3 + deviations) numbers per series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.domain import BoolArray, FloatArray, IntArray

DAY_S: Final = 86_400.0
SLOTS: Final = 96
LEVEL_RATE: Final = 0.1
"""Weight of one point in the level of its slot, at least; the first ones weigh as in a plain mean."""
DEVIATION_RATE: Final = 0.3
"""Weight of one day in the usual largest deviation: a habit is learned in about three days, and forgotten as fast."""
KEPT: Final = ("_level", "_weight", "_visits", "_usual", "_slot", "_largest", "_around", "_held", "_held_usual")
"""All that is known of a series: arrays by series."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where points lie in the day: their slot, and the two slots whose centres they lie between, with shares."""

    slot: IntArray
    between: IntArray
    share: FloatArray


def place_of(times_s: FloatArray) -> Place:
    """Give the places of epoch seconds; between and share have shape (n, 2)."""
    of_day = np.mod(times_s, DAY_S) * (SLOTS / DAY_S)
    slot = of_day.astype(np.int64)
    # The centre of a slot is half a slot after its start: before it, the slot to the left is the other neighbour.
    later = of_day - slot + 0.5
    is_left = later < 1.0
    later -= ~is_left
    between = np.empty((slot.size, 2), dtype=np.int64)
    between[:, 0] = slot - is_left
    between[:, 1] = between[:, 0] + 1
    share = np.empty((slot.size, 2))
    share[:, 0], share[:, 1] = 1.0 - later, later
    return Place(slot % SLOTS, between % SLOTS, share)


class Seasons:
    """The days of many series, for a number of kinds of deviations."""

    def __init__(self, series: int, kinds: int) -> None:
        self._level = np.zeros((series, SLOTS))
        self._weight = np.zeros((series, SLOTS))
        self._visits = np.zeros((series, SLOTS))
        self._usual = np.zeros((series, SLOTS, kinds))
        self._slot = np.full(series, -1, dtype=np.int64)
        self._largest = np.zeros((series, kinds))
        self._around = np.zeros((series, kinds))
        self._held = np.full(series, -1, dtype=np.int64)
        self._held_usual = np.zeros((series, kinds))

    def level(self, rows: IntArray, place: Place) -> tuple[FloatArray, BoolArray]:
        """Give the usual offset from the slow level, 0 where it is not known, and whether it is."""
        at = rows[:, None], place.between
        is_known = self._visits[at].min(axis=1) > 0.0
        return (self._level[at] * place.share).sum(axis=1) * is_known, is_known

    def deviation(self, rows: IntArray) -> FloatArray:
        """Give the usual largest deviation of each kind around the place last entered, shape (n, kinds)."""
        return self._around[rows]

    def enter(self, rows: IntArray, place: Place) -> None:
        """Go to the places of one point of each row. What was noted in a slot counts a slot after it was left."""
        moved = np.flatnonzero(self._slot[rows] != place.slot)
        if moved.size:
            rows, slot = rows[moved], place.slot[moved]
            self._leave(rows)
            self._slot[rows] = slot
            self._largest[rows] = 0.0
            around = (slot[:, None] + np.array([-1, 0, 1])) % SLOTS
            self._around[rows] = self._usual[rows[:, None], around].max(axis=1)

    def note(self, rows: IntArray, deviations: FloatArray) -> None:
        """Take the deviations of one point of each row, where it was entered, into account."""
        self._largest[rows] = np.maximum(self._largest[rows], deviations)

    def _leave(self, rows: IntArray) -> None:
        held = self._held[rows]
        had = held >= 0
        self._usual[rows[had], held[had]] = self._held_usual[rows[had]]
        left = self._slot[rows]
        was, left = rows[left >= 0], left[left >= 0]
        self._visits[was, left] += 1.0
        rate = np.maximum(DEVIATION_RATE, 1.0 / self._visits[was, left])[:, None]
        usual = self._usual[was, left]
        self._held_usual[was] = usual + rate * (self._largest[was] - usual)
        self._held[was] = left

    def learn(self, rows: IntArray, place: Place, offset: FloatArray, limit: FloatArray) -> None:
        """Move the levels towards an offset from the slow level, by at most `limit` once they have some points."""
        at = rows[:, None], place.between
        weight = self._weight[at] + place.share
        distance = offset[:, None] - self._level[at]
        bound = np.where(weight > 2.0, limit[:, None], np.inf)
        rate = np.maximum(LEVEL_RATE * place.share, 1.0 / (1.0 + weight))
        self._level[at] += place.share * rate * np.minimum(np.maximum(distance, -bound), bound)
        self._weight[at] = weight
