"""EDDM: errors that come in quicker succession than they used to."""

from __future__ import annotations

from typing import Final

from monitor.kept import State
from monitor.river.base import BOOLEANS_MAX, FLAGS, SIGNALS, Feed, Watchman, bring_kept, kept_of, maker, mean_at

KEPT: Final = (
    *SIGNALS,
    *("_n", "_last_error", "_n_errors", "_p2s_prime_max", "_error_distances._S"),
    *mean_at("_error_distances.mean"),
)

BETA: Final = 0.674
"""Gives one false alarm in 100,000 events at a rate of 1 % (benchmarks/detection/peers_river.py); river's is 0.9."""


class Eddm:
    """EDDM: drift where (d + 2 s) / max(d + 2 s) < beta, d and s mean and deviation of the distance between errors.

    Budget: none can be kept: the maximum is that of a few distances at first, and beta means another false-alarm rate
    at every error rate. Source: Baena-Garcia and others (2006), IWKDDS.
    Guarantee: none. Measured on single events, false alarms per stream-day at 1 event/s: with river's beta 22 and 113
    on rates of 1 and 5 %, with ours 5 and 6; none in 1.2 days on 0.1 %; 29 and 8 on a rate with bursts. As driftd feeds
    it, of which it tells changes of 0.1 sd and more: 1 and 4; 2 with bursts. 1 % that becomes 5 % is told after 1,156
    events.
    Cost: 0.3 us per event, 64 events a pane at most; 1 kB per stream.
    """

    name = "eddm"
    kinds = FLAGS
    feed = Feed.BOOLEANS
    pane_s = 0.5e-6 * BOOLEANS_MAX

    def make(self, interval: float) -> Watchman:  # noqa: ARG002
        """Give an EDDM with BETA."""
        return maker("river.drift.binary", "EDDM")(alpha=max(0.95, BETA), beta=BETA)

    def state(self, watchman: Watchman) -> State:
        """Give the distances' mean and variance, and the greatest so far."""
        return kept_of(watchman, KEPT)

    def restore(self, watchman: Watchman, state: State) -> None:
        """Go on from a state."""
        bring_kept(watchman, KEPT, state)
