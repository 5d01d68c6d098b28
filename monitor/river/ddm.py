"""DDM: an error rate well above its lowest so far."""

from __future__ import annotations

from typing import Final

from monitor.kept import State
from monitor.river.base import BOOLEANS_MAX, FLAGS, SIGNALS, Feed, Watchman, bring_kept, kept_of, maker, mean_at

KEPT: Final = (*SIGNALS, "_p_min", "_s_min", "_ps_min", *mean_at("_p"))


class Ddm:
    """DDM: drift where p + s > p_min + 3 s_min, p the rate since the beginning, s = sqrt(p (1 - p) / n).

    p_min and s_min are those of the lowest p + s so far. Budget: none can be kept. The lowest of many is low by chance,
    and no threshold we tried gave one false alarm in 100,000 events at a rate of 1 %, so river's default stands.
    Source: Gama and others (2004), SBIA.
    Guarantee: none. Measured at river's defaults on single events, false alarms per stream-day at 1 event/s: 73, 11
    and 3 on rates of 0.1, 1 and 5 %; 40 on a rate with bursts. As driftd feeds it, of which it tells changes of 0.1 sd
    and more: 22, 6 and 1; 8 with bursts. 1 % that becomes 5 % is told after 411 events.
    Cost: 0.7 us per event, 64 events a pane at most; 1 kB per stream.
    """

    name = "ddm"
    kinds = FLAGS
    feed = Feed.BOOLEANS
    pane_s = 0.8e-6 * BOOLEANS_MAX

    def make(self, interval: float) -> Watchman:  # noqa: ARG002
        """Give a DDM as river has it."""
        return maker("river.drift.binary", "DDM")()

    def state(self, watchman: Watchman) -> State:
        """Give the rate, and the lowest so far."""
        return kept_of(watchman, KEPT)

    def restore(self, watchman: Watchman, state: State) -> None:
        """Go on from a state."""
        bring_kept(watchman, KEPT, state)
