"""ADWIN's window as plain numbers: river's own is a compiled class that can be neither read nor stored.

It gives what river's ADWIN (0.26) gives, to the last bit, so that what river is known to do is what driftd does; a test
holds the two against each other. Unlike river's it can go on from what another one held.

An exponential histogram (Datar and others 2002): level i holds at most ROOM sums of 2^i values each, with their
variances, oldest first; one more, and the two oldest become one of the next level.
"""

from __future__ import annotations

from math import log, sqrt
from typing import Final

import numpy as np

from monitor.errors import StateError
from monitor.kept import State
from monitor.kept_rows import reading

ROOM: Final = 5
PART_MIN: Final = 5
"""Values that either part of a cut has, at least."""
GRACE: Final = 10
"""Values before anything is cut."""


class AdaptiveWindow:
    """One stream of values within [0, 1]. Cost: 3 us per value; memory: 16 bytes per sum, some 60 of them."""

    def __init__(self, delta: float, clock: int) -> None:
        self._delta = delta
        self._clock = clock
        self._detected = False
        self._begin()

    def _begin(self) -> None:
        self._totals: list[list[float]] = [[]]
        self._variances: list[list[float]] = [[]]
        self._width = 0
        self._total = 0.0
        self._variance = 0.0

    @property
    def drift_detected(self) -> bool:
        """Tell whether the last value made it find two parts of different means."""
        return self._detected

    @property
    def held(self) -> tuple[int, float, float]:
        """Give how many values it holds, their sum, and the sum of their squared deviations."""
        return self._width, self._total, self._variance

    def update(self, x: float) -> None:
        """Take one value. After a detection it begins anew."""
        if self._detected:
            self._begin()
        self._width += 1
        if self._width > 1:
            off = x - self._total / (self._width - 1.0)
            self._variance += (self._width - 1.0) * off * off / self._width
        self._total += x
        self._totals[0].append(x)
        self._variances[0].append(0.0)
        if len(self._totals[0]) > ROOM:
            self._compress()
        self._detected = self._width % self._clock == 0 and self._width > GRACE and self._is_cut()

    def _compress(self) -> None:
        """Join the two oldest sums of each level that holds too many into one of the next."""
        level = 0
        while len(self._totals[level]) > ROOM:
            if level + 1 == len(self._totals):
                self._totals.append([])
                self._variances.append([])
            totals, variances = self._totals[level], self._variances[level]
            size = float(1 << level)
            gap = totals[0] / size - totals[1] / size
            self._totals[level + 1].append(totals[0] + totals[1])
            self._variances[level + 1].append(variances[0] + variances[1] + size * 0.5 * gap * gap)
            del totals[:2], variances[:2]
            level += 1

    def _is_cut(self) -> bool:
        """Tell whether some cut leaves two parts whose means differ by more than their bound."""
        spread = self._variance / self._width
        surprise = log(2.0 * log(self._width) / self._delta)
        before, before_total, after, after_total = 0.0, 0.0, float(self._width), self._total
        for level in range(len(self._totals) - 1, -1, -1):
            size = float(1 << level)
            for total in self._totals[level]:
                before += size
                after -= size
                before_total += total
                after_total -= total
                if after < PART_MIN:
                    return False
                if before < PART_MIN:
                    continue
                weight = 1.0 / (before - PART_MIN + 1.0) + 1.0 / (after - PART_MIN + 1.0)
                bound = sqrt(2.0 * weight * spread * surprise) + 2.0 / 3.0 * surprise * weight
                if abs(before_total / before - after_total / after) > bound:
                    return True
        return False

    def state(self) -> State:
        """Give all sums, level by level."""
        return {
            "detected": self._detected,
            "width": self._width,
            "total": self._total,
            "variance": self._variance,
            "sizes": [len(level) for level in self._totals],
            "totals": np.array([total for level in self._totals for total in level]),
            "variances": np.array([variance for level in self._variances for variance in level]),
        }

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError for what is none."""
        with reading("of ADWIN"):
            ends = np.cumsum(state["sizes"]).tolist()
            totals, variances = state["totals"].tolist(), state["variances"].tolist()
            parts = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
            self._totals, self._variances = [totals[own] for own in parts], [variances[own] for own in parts]
            self._width, self._detected = int(state["width"]), bool(state["detected"])
            self._total, self._variance = float(state["total"]), float(state["variance"])
            is_whole = len(totals) == len(variances) == ends[-1]
        if not is_whole:
            raise StateError("stored state: of ADWIN has levels of another size than what they hold")
