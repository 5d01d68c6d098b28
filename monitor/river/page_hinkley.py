"""Page-Hinkley: a sum of deviations from the mean so far that has risen or fallen too far."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from monitor.kept import State
from monitor.river.base import NUMBERS, Feed, Watchman, bring_kept, kept_of, maker, mean_at

TABLE: Final = np.array(
    [
        (1.0e3, 20.0),
        (4.9e3, 80.0),
        (1.2e4, 120.0),
        (3.7e4, 200.0),
        (1.1e5, 300.0),
        (5.1e5, 400.0),
        (1.9e6, 460.0),
        (6.5e6, 500.0),
        (2.8e7, 540.0),
    ]
)
"""Independent N(0, 1) values between two false alarms, and the threshold that gives so many: 1,000 streams of a million
values by `python -m benchmarks.detection.page_hinkley`."""
GROWTH: Final = 3.3e-5
"""By how much the logarithm of the interval grows with the threshold's square, over the last hundred of the table. The
sums are forgotten with a rate of 1e-4, so they have a stationary distribution, and its tail is that of a normal one."""
KEPT: Final = (
    *("_drift_detected", "_sum_increase", "_sum_decrease", "_min_increase", "_max_decrease"),
    *mean_at("_x_mean"),
)


class PageHinkley:
    """Page-Hinkley, two-sided: drift where sum(x - mean - 0.005) is more than a threshold above its least so far.

    Or sum(x - mean + 0.005) below its greatest; both forget with a rate of 1e-4. Budget: the threshold of TABLE.
    Source: Page (1954), Biometrika 41; Hinkley (1971), Biometrika 58.
    Guarantee: none. Measured at river's threshold of 50 on single events, false alarms per stream-day at 1 event/s: 54
    on N(0, 1), 231 on lognormal, 75 on Pareto(2.5), 105 and 289 on AR(1) of 0.3 and 0.7, 7 on a daily cycle; with 267,
    which gives one in 100,000 events of N(0, 1), 11 on AR(1) of 0.7 and 2 on a daily cycle. As driftd asks it: 0.6 on
    AR(1) of 0.7, 0.2 on a daily cycle, none in 5 days on others and on rates; a shift of 0.5 sd is told after 1,190
    events, 1 % that becomes 5 % not within 7,200.
    Cost: 0.7 us per pane; 1 kB per stream.
    """

    name = "page_hinkley"
    kinds = NUMBERS
    feed = Feed.MEAN
    pane_s = 2e-6

    def make(self, interval: float) -> Watchman:
        """Give a test whose threshold is that of the interval."""
        return maker("river.drift", "PageHinkley")(threshold=threshold_for(interval))

    def state(self, watchman: Watchman) -> State:
        """Give the sums, their extremes, and the mean so far."""
        return kept_of(watchman, KEPT)

    def restore(self, watchman: Watchman, state: State) -> None:
        """Go on from a state."""
        bring_kept(watchman, KEPT, state)


def threshold_for(interval: float) -> float:
    """Give the threshold with one false alarm in so many independent normal values; beyond the table, extrapolated."""
    intervals, thresholds = TABLE.T
    beyond = math.log(max(1.0, interval / intervals[-1]))
    inside = float(np.interp(math.log(interval), np.log(intervals), thresholds))
    return math.sqrt(inside * inside + beyond / GROWTH)
