"""ADWIN: a window that is cut where its two parts have different means."""

from __future__ import annotations

from typing import Final

from monitor.kept import State
from monitor.river.adaptive import AdaptiveWindow
from monitor.river.base import MEAN_MAX, NUMBERS, Feed, Watchman

CLOCK: Final = 32
"""Values from one of ADWIN's looks to the next; river's default."""


class Adwin:
    """ADWIN: drift where some cut of the window leaves |mean_0 - mean_1| > sqrt(2 v L / m) + 2 L / 3 m.

    v: variance of the window; 1/m = 1/n_0 + 1/n_1; L = ln(2 ln n / delta). Values are brought into [0, 1], as this
    bound supposes. Budget: delta = 32 / interval, as delta bounds the chance of a false cut at a look and it looks at
    every 32nd value. Source: Bifet and Gavalda (2007), SDM.
    Guarantee: none here. The bound holds for independent values, not for their normal approximation by v, nor for a
    stream that depends on itself. Measured at river's defaults on single events, false alarms per stream-day at 1
    event/s: none in 1.2 days on N(0, 1) and on rates of 0.1 to 5 %; 4 on lognormal, 10 on Pareto(2.5), 5 and 152 on
    AR(1) of 0.3 and 0.7, 4 on a daily cycle. As driftd asks it: 1 on AR(1) of 0.7, 0.2 on a daily cycle, none in 5 days
    on the others; a shift of 0.5 sd is told after 440 events, 1 % that becomes 5 % after 1,720.
    Cost: 3 us per pane; some 3 kB per stream. The window is driftd's own, river's number by number (`adaptive`).
    """

    name = "adwin"
    kinds = NUMBERS
    feed = Feed.MEAN
    pane_s = 3e-6

    def make(self, interval: float) -> Watchman:
        """Give an ADWIN whose delta is that of the interval."""
        return Scaled(AdaptiveWindow(min(0.5, CLOCK / interval), CLOCK))

    def state(self, watchman: Watchman) -> State:
        """Give the window's sums, some 60 of them."""
        assert isinstance(watchman, Scaled), "one of ours"
        return watchman.window.state()

    def restore(self, watchman: Watchman, state: State) -> None:
        """Go on from a state."""
        assert isinstance(watchman, Scaled), "one of ours"
        watchman.window.restore(state)


class Scaled:
    """Brings means into [0, 1]."""

    def __init__(self, window: AdaptiveWindow) -> None:
        self.window = window

    @property
    def drift_detected(self) -> bool:
        """Tell what ADWIN tells."""
        return self.window.drift_detected

    def update(self, x: float) -> None:
        """Take one value within -MEAN_MAX to MEAN_MAX."""
        self.window.update(0.5 + x / (2.0 * MEAN_MAX))
