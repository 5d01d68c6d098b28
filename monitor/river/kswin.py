"""KSWIN: the last values against some of those before, by Kolmogorov and Smirnov."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol, cast

import numpy as np

from monitor.kept import State
from monitor.kept_rows import reading
from monitor.river.base import NUMBERS, Feed, Watchman, bring_kept, inner, kept_of, maker

KEPT: Final = ("_drift_detected", "n")

SEED: Final = 1
"""Of what it draws from the older values: the same events give the same alarms."""


class Drawing(Protocol):
    """What draws: a random.Random, which is seeded."""

    def getstate(self) -> tuple[int, tuple[int, ...], float | None]:
        """Give where it has got to."""
        ...

    def setstate(self, state: tuple[int, tuple[int, ...], float | None]) -> None:
        """Go on from there."""
        ...


class Kswin:
    """KSWIN: drift where the last 30 values differ from 30 drawn among the 70 before, with a p-value below alpha.

    Budget: alpha = 1 / interval, the chance of a false alarm at each value; neighbouring looks are nearly the same
    data, so it errs on the safe side. At the default budget alpha is near 1e-9, which only a shift of some three
    standard deviations of a pane's mean passes. Source: Raab, Heusinger and Schleif (2020), Neurocomputing.
    Guarantee: 1 / alpha values or more between false alarms, on average, for independent values; none for others.
    Measured at river's defaults on single events: 151 false alarms per stream-day at 1 event/s on N(0, 1). As driftd
    asks it: 12 on AR(1) of 0.7, none in half a day on N(0, 1), lognormal values and bursts, nor in ten days on a daily
    cycle; a shift of 0.5 sd of single events is not told within 7,200.
    Cost: 300 us per pane, so it is for a few streams; some 1 kB per stream.
    """

    name = "kswin"
    kinds = NUMBERS
    feed = Feed.MEAN
    pane_s = 300e-6

    def make(self, interval: float) -> Watchman:
        """Give a KSWIN whose alpha is that of the interval."""
        return maker("river.drift", "KSWIN")(alpha=min(0.01, 1.0 / interval), seed=SEED)

    def state(self, watchman: Watchman) -> State:
        """Give the window, at most a hundred values, and where the drawing has got to: 625 numbers."""
        version, words, gauss = _drawing(watchman).getstate()
        drawn = {"version": version, "words": np.array(words, dtype=np.uint32), "gauss": gauss}
        return {**kept_of(watchman, KEPT), "window": np.array(_window(watchman), dtype=np.float64), "drawn": drawn}

    def restore(self, watchman: Watchman, state: State) -> None:
        """Go on from a state."""
        bring_kept(watchman, KEPT, state)
        with reading("of KSWIN"):
            _window(watchman).extend(state["window"].tolist())
            drawn = state["drawn"]
            _drawing(watchman).setstate((drawn["version"], tuple(drawn["words"].tolist()), drawn["gauss"]))


def _window(watchman: Watchman) -> deque[float]:
    return cast("deque[float]", inner(watchman, "window"))


def _drawing(watchman: Watchman) -> Drawing:
    return cast("Drawing", inner(watchman, "_rng"))
