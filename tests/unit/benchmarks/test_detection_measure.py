"""What is measured, on candidates whose measures are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks.detection.candidates import Past, StreamKind, Terms
from benchmarks.detection.degenerate import Every, Never
from benchmarks.detection.families import FAMILIES
from benchmarks.detection.measure import Delays, Quiet, watch_change, watch_quiet
from benchmarks.detection.scenarios import SCENARIOS
from monitor.domain import BoolArray, FloatArray

FAMILY = {family.name: family for family in FAMILIES}
SCENARIO = {scenario.name: scenario for scenario in SCENARIOS}


@dataclass(frozen=True)
class Cusum:
    """The optimal detector of a known shift of N(0, 1): none can beat it."""

    shift: float
    name: str = "CUSUM"

    def watch(self, stream: StreamKind, past: Past, terms: Terms) -> CusumWatcher:
        kl = self.shift**2 / 2.0
        low, high = 0.0, 50.0
        for _ in range(60):
            h = (low + high) / 2.0
            low, high = (h, high) if math.expm1(h) - h < terms.arl0_events * kl else (low, h)
        # Siegmund's correction for looking only at whole events: the walk overshoots by 0.583 sd at either end.
        return CusumWatcher(self.shift, low - 2.0 * 0.583 * self.shift, len(past.values))


class CusumWatcher:
    def __init__(self, shift: float, limit: float, streams: int) -> None:
        self._shift, self._limit, self._sum = shift, limit, np.zeros(streams)

    def feed(self, values: FloatArray, times_s: FloatArray) -> BoolArray:
        alarms = np.zeros(values.shape, np.bool_)
        for i in range(values.shape[1]):
            self._sum = np.maximum(0.0, self._sum + self._shift * (values[:, i] - self._shift / 2.0))
            alarms[:, i] = self._sum >= self._limit
            self._sum[alarms[:, i]] = 0.0
        return alarms


def test_the_optimal_detector_takes_the_least_delay_and_keeps_its_interval() -> None:
    delays = watch_change(Cusum(0.5), SCENARIO["mean +0.5 sd"], 400)
    quiet = watch_quiet(Cusum(0.5), FAMILY["N(0,1)"], 1e4, 100, 5_000)
    assert delays is not None
    assert quiet is not None
    assert delays.ratio == pytest.approx(0.97, abs=0.1)
    assert delays.missed == 0.0
    low, high = quiet.interval_ratio(1e4)[1:]
    assert low < 1.05
    assert high > 0.95


def test_who_never_fires_is_charged_the_most_for_every_change() -> None:
    delays = watch_change(Never(), SCENARIO["mean +1 sd"], 20)
    assert delays is not None
    assert delays.ratio == pytest.approx(10.0)
    assert delays.missed == 1.0
    assert delays.missed_upper == 1.0


def test_who_always_fires_is_fast_and_pays_with_false_alarms() -> None:
    delays = watch_change(Every(1), SCENARIO["mean +1 sd"], 20)
    quiet = watch_quiet(Every(1), FAMILY["N(0,1)"], 1e5, 5, 1_000)
    assert delays is not None
    assert quiet is not None
    assert delays.mean == 1.0
    assert quiet.per_day == 86_400.0
    assert quiet.interval_ratio(1e5)[0] == pytest.approx(1e-5)


def test_only_events_count_where_most_looks_have_none() -> None:
    quiet = watch_quiet(Every(100), FAMILY["low traffic"], 1e5, 10, 10_000)
    delays = watch_change(Every(100), SCENARIO["low traffic rate .01 to .05"], 200)
    assert quiet is not None
    assert delays is not None
    assert quiet.events // 100 - 10 <= quiet.alarms <= quiet.events // 100
    assert quiet.days == pytest.approx(10 * 10_000 / 1_440)
    assert delays.mean == pytest.approx(50.5, abs=8.0)
    assert delays.events.max() <= 100.0


def test_a_change_that_grows_may_take_as_long_as_it_grows() -> None:
    scenario = SCENARIO["ramp to 1 sd over 1,000"]
    assert scenario.deadline_events == pytest.approx(1_000.0 + 10.0 * scenario.limit_events)


def test_without_alarms_the_interval_has_a_lower_end_only() -> None:
    ratio, low, high = Quiet(alarms=0, events=1_000_000, days=11.57).interval_ratio(1e5)
    assert math.isinf(ratio)
    assert math.isinf(high)
    assert low == pytest.approx(10.0 / 3.689, rel=1e-3)
    assert Quiet(0, 1, 100.0).per_day_upper == pytest.approx(0.029957, rel=1e-4)


def test_alarms_that_come_from_a_few_streams_count_for_fewer() -> None:
    alone = Quiet(100, 10_000_000, 115.7).interval_ratio(1e5)
    clustered = Quiet(100, 10_000_000, 115.7, dispersion=4.0).interval_ratio(1e5)
    assert alone[0] == clustered[0] == pytest.approx(1.0)
    assert clustered[1] < alone[1] < 1.0 < alone[2] < clustered[2]


def test_misses_are_charged_and_late_ones_count_as_missed() -> None:
    delays = Delays(np.array([10.0, 60.0, math.inf, 30.0]), 10.0, 50.0, 100.0)
    assert delays.mean == 50.0
    assert delays.missed == 0.5
