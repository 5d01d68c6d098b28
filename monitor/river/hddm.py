"""HDDM: an error rate above what it was, by bounds on means."""

from __future__ import annotations

from typing import Final, Protocol, cast

from monitor.kept import State
from monitor.kept_rows import reading
from monitor.river.base import (
    BOOLEANS_MAX,
    FLAGS,
    SIGNALS,
    Feed,
    Watchman,
    bring_kept,
    inner,
    kept_of,
    maker,
    mean_at,
)

KEPT_A: Final = (*SIGNALS, *mean_at("_x_min"), *mean_at("_x_max"), *mean_at("_z"))
"""Means up to the cut for a rise, for a fall, and of all."""
SAMPLES: Final = ("_total", "_s1_decr", "_s1_incr", "_s2_decr", "_s2_incr")
"""Weighted means of all, and before and since the cut for a fall, and for a rise."""
KEPT_W: Final = (
    *(*SIGNALS, "_incr_cutpoint", "_decr_cutpoint"),
    *(f"{sample}.{name}" for sample in SAMPLES for name in ("_is_init", "_ibc")),
)


class _Weighted(Protocol):
    """river.stats.EWMean."""

    def get(self) -> float: ...

    def update(self, x: float) -> None: ...


class HddmA:
    """HDDM_A: drift where the mean since a cut lies above the one before by sqrt(m ln(2 / c) / 2).

    m = (n - n_cut) / (n_cut n), by Hoeffding's inequality; the cut is where the mean's upper bound was least. Budget:
    c = 1 / interval. Source: Frias-Blanco and others (2015), IEEE TKDE 27(3), test A.
    Guarantee: at most a chance of c of a false alarm at each event for a cut chosen beforehand; that it is chosen is
    not accounted for, but Hoeffding's bound, which knows no variance, is so wide for low rates that it is hardly felt:
    at rates of 0.1 to 5 % no false alarm in 1.2 days at 1 event/s with river's default, 1 a day with bursts; and 1 % to
    5 % was missed within 1,800 events. As driftd asks it: none in 2.5 days, with bursts neither; and 1 % to 5 % was
    missed within 7,200 events.
    Cost: 13 us per event, 64 events a pane at most; 1 kB per stream.
    """

    name = "hddm_a"
    kinds = FLAGS
    feed = Feed.BOOLEANS
    pane_s = 13e-6 * BOOLEANS_MAX

    def make(self, interval: float) -> Watchman:
        """Give a test A whose confidence is that of the interval."""
        return _hddm("HDDMA", interval)

    def state(self, watchman: Watchman) -> State:
        """Give the means."""
        return kept_of(watchman, KEPT_A)

    def restore(self, watchman: Watchman, state: State) -> None:
        """Go on from a state."""
        bring_kept(watchman, KEPT_A, state)


class HddmW:
    """HDDM_W: as HDDM_A, with exponentially weighted means (weight 0.05) and McDiarmid's inequality.

    Budget: confidence = 1 / interval. The gap it needs is 42 points with river's default of 0.001 and 80 at the default
    budget, so it sees only a breakdown. Source: Frias-Blanco and others (2015), IEEE TKDE 27(3), test W.
    Guarantee: as HDDM_A's. Measured with river's default: no false alarm in 1.2 days at 1 event/s on rates of 0.1 to
    5 %, nor on one with bursts; and 1 % to 5 % was missed within 1,800 events. As driftd asks it: the same.
    Cost: 4 us per event, 64 events a pane at most; 1 kB per stream.
    """

    name = "hddm_w"
    kinds = FLAGS
    feed = Feed.BOOLEANS
    pane_s = 5e-6 * BOOLEANS_MAX

    def make(self, interval: float) -> Watchman:
        """Give a test W whose confidence is that of the interval."""
        return _hddm("HDDMW", interval)

    def state(self, watchman: Watchman) -> State:
        """Give the weighted means."""
        means = {sample: float(_weighted(watchman, sample).get()) for sample in SAMPLES}
        return {**kept_of(watchman, KEPT_W), "means": means}

    def restore(self, watchman: Watchman, state: State) -> None:
        """Go on from a state."""
        bring_kept(watchman, KEPT_W, state)
        with reading("of HDDM_W"):
            for sample in (sample for sample in SAMPLES if state[f"{sample}._is_init"]):
                # river's mean is compiled and can't be set, but its first value is its mean, to the last bit.
                _weighted(watchman, sample).update(float(state["means"][sample]))


def _weighted(watchman: Watchman, sample: str) -> _Weighted:
    return cast("_Weighted", inner(watchman, f"{sample}._ewma"))


def _hddm(name: str, interval: float) -> Watchman:
    confidence = min(0.001, 1.0 / interval)
    return maker("river.drift.binary", name)(drift_confidence=confidence, warning_confidence=max(0.005, confidence))
