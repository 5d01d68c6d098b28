"""The detector of series: what it finds, what it leaves alone, and what its answers must not depend on."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import BoolArray, FloatArray
from monitor.series import ALARM_SCORE, SeriesWatch
from monitor.series.watch import HELD_SCORE, QUIET, SETTLED

STEP_S: Final = 300.0
DAY: Final = 288
"""Points of a day."""
START_S: Final = 1_700_000_000.0


def run(values: FloatArray, times_s: FloatArray | None = None) -> tuple[FloatArray, BoolArray]:
    """Feed series, shape (points, series); give scores and alarms of the same shape."""
    if times_s is None:
        times_s = times_of(values.shape[0])
    watch = SeriesWatch(values.shape[1])
    found = [watch.observe(np.full(values.shape[1], at), row) for at, row in zip(times_s, values, strict=True)]
    return np.array([scores for scores, _ in found]), np.array([is_alarm for _, is_alarm in found])


def times_of(points: int) -> FloatArray:
    return START_S + STEP_S * np.arange(points, dtype=np.float64)


def noise(points: int, series: int = 1, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(points, series))


def daily(points: int, series: int = 1, seed: int = 1) -> FloatArray:
    """Give series with a cycle of a day of ten deviations, and noise."""
    of_day = np.sin(2.0 * np.pi * np.arange(points) / DAY)[:, None]
    return np.asarray(100.0 + 10.0 * of_day + noise(points, series, seed))


def at(is_alarm: BoolArray) -> list[int]:
    return np.flatnonzero(is_alarm).tolist()


def test_a_spike_is_one_alarm_at_its_first_point() -> None:
    values = noise(1_300, 2)
    values[1_000] += 20.0
    values[1_200:1_205] -= 20.0

    _, is_alarm = run(values)

    for number in range(2):
        assert [1_000, 1_200] == [900 + alarm for alarm in at(is_alarm[900:, number])]


def test_a_new_level_is_one_alarm_and_then_usual_until_it_ends() -> None:
    values = noise(2_500)
    values[1_000:2_000] += 30.0

    scores, is_alarm = run(values)

    assert at(is_alarm[900:, 0]) == [100, 1_100]
    assert scores[1_700:2_000].max() < ALARM_SCORE


def test_a_day_without_its_peak_is_found_although_its_values_are_usual() -> None:
    values = daily(8 * DAY)
    outage = slice(7 * DAY + 40, 7 * DAY + 110)
    values[outage] = 100.0 + noise(70, seed=2)

    _, is_alarm = run(values)

    assert any(outage.start <= alarm < outage.start + 20 for alarm in at(is_alarm[:, 0]))


def test_a_burst_of_moderate_deviations_is_found() -> None:
    values = noise(2_000)
    values[1_900:1_915] += 4.0

    _, is_alarm = run(values)

    assert [alarm for alarm in at(is_alarm[:, 0]) if 1_900 <= alarm < 1_915]


def test_a_spike_at_the_same_time_each_day_becomes_usual() -> None:
    values = noise(12 * DAY)
    values[100::DAY] += 30.0

    _, is_alarm = run(values)

    first, last = (set(at(is_alarm[half, 0])) for half in (slice(0, 6 * DAY), slice(6 * DAY, None)))
    assert 100 in first
    assert not {day * DAY + 100 for day in range(6)} & last, "positions within the second half"


def test_thirty_days_of_cycles_and_noise_have_few_false_alarms() -> None:
    cycle = np.sin(2.0 * np.pi * np.arange(30 * DAY) / DAY)[:, None]
    skewed = np.exp(0.5 * noise(30 * DAY, 12, seed=3)) * (2.0 + cycle)

    _, is_alarm = run(np.concatenate([daily(30 * DAY, 12), skewed], axis=1))

    of_normal, of_skewed = is_alarm[:, :12].sum() / 360.0, is_alarm[:, 12:].sum() / 360.0
    assert of_normal <= 0.03, "per stream-day"
    assert of_skewed <= 0.35, "per stream-day: heavy tails cost more while a series is young"
    assert is_alarm[15 * DAY :, 12:].sum() / 180.0 <= 0.2, "per stream-day: and less when it is older"


def test_a_constant_series_never_alarms() -> None:
    scores, is_alarm = run(np.tile([0.0, 0.1, -1e9, 1e300], (800, 1)))

    assert scores.max() == 0.0
    assert not is_alarm.any()


def test_a_constant_series_that_changes_alarms_at_once() -> None:
    values = np.full((1_500, 1), 0.1)
    values[1_000:] = 0.2

    _, is_alarm = run(values)

    assert at(is_alarm[:, 0])[0] == 1_000
    assert len(at(is_alarm[:, 0])) <= 2, "nothing was known of its noise"


def test_a_short_series_has_no_scores() -> None:
    values = noise(SETTLED - 1)
    values[30] = 1e6

    scores, _ = run(values)

    assert not scores.any()


def test_what_is_no_number_is_no_point() -> None:
    values = noise(500)
    holes = values.copy().repeat(3, axis=0)
    holes[1::3], holes[2::3] = np.nan, np.inf
    times_s = times_of(500)

    scores, is_alarm = run(holes, times_s.repeat(3))
    without, alarms_without = run(values, times_s)

    assert not scores[1::3].any()
    assert not scores[2::3].any()
    np.testing.assert_array_equal(without, scores[::3])
    np.testing.assert_array_equal(alarms_without, is_alarm[::3])


def test_a_time_that_is_no_number_is_no_point() -> None:
    scores, is_alarm = SeriesWatch(1).observe(np.array([np.nan]), np.array([1.0]))

    assert [0.0] == scores.tolist()
    assert [False] == is_alarm.tolist()


@pytest.mark.parametrize("times_s", [np.full(900, START_S), times_of(900)[::-1], times_of(900) * 1e9, -times_of(900)])
def test_times_of_any_kind_give_scores(times_s: FloatArray) -> None:
    values = noise(900)
    values[800] = 50.0

    scores, is_alarm = run(values, times_s)

    assert np.isfinite(scores).all()
    assert is_alarm[800, 0]


def test_values_of_any_size_give_scores() -> None:
    values = noise(1_000)
    values[600], values[601], values[700] = 1.7e308, -1.7e308, 1e-308

    with np.errstate(all="raise", under="ignore"):
        scores, is_alarm = run(values)

    assert ((scores >= 0.0) & (scores <= 1.0)).all()
    assert is_alarm[600, 0]


def test_one_wild_value_does_not_hide_the_next_incident() -> None:
    values = noise(2_000)
    values[500], values[1_900] = 1e6, 30.0

    _, is_alarm = run(values)

    assert {500, 1_900} <= set(at(is_alarm[:, 0]))


def test_scores_within_an_incident_stay_below_an_alarm() -> None:
    values = noise(1_500)
    values[1_200:1_240] += np.array([[20.0], [-20.0]] * 20)

    scores, is_alarm = run(values)

    assert at(is_alarm[1_200:, 0])[0] == 0
    np.testing.assert_array_equal(is_alarm, scores >= ALARM_SCORE)
    assert HELD_SCORE in scores[1_201:1_240]


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), kept=st.integers(60, 290))
def test_what_follows_does_not_matter(seed: int, kept: int) -> None:
    values = noise(300, 2, seed) ** 3
    values[:, 1] = values[:, 0]
    values[kept:, 1] = 1e3 * noise(300 - kept, seed=seed + 1)[:, 0]

    scores, _ = run(values)

    np.testing.assert_array_equal(scores[:kept, 0], scores[:kept, 1])


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-6, 1e6), shift=st.floats(-100.0, 100.0))
def test_units_do_not_matter(seed: int, scale: float, shift: float) -> None:
    values = noise(500, 1, seed) ** 3

    _, is_alarm = run(np.concatenate([values, scale * (values + shift)], axis=1))

    np.testing.assert_array_equal(is_alarm[:, 0], is_alarm[:, 1])


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000), present=st.floats(0.3, 0.9))
def test_other_series_and_the_cut_of_calls_do_not_matter(seed: int, present: float) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(400, 3)) ** 3
    values[random.random(values.shape) > present] = np.nan

    together, alarms_together = run(values)
    alone = [run(values[:, [number]]) for number in range(3)]

    np.testing.assert_allclose(together, np.concatenate([scores for scores, _ in alone], axis=1), rtol=1e-9)
    np.testing.assert_array_equal(alarms_together, np.concatenate([alarms for _, alarms in alone], axis=1))


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_two_alarms_of_one_incident(seed: int) -> None:
    values = noise(600, 4, seed) ** 5

    scores, is_alarm = run(values)

    for number in range(4):
        places = at(is_alarm[:, number])
        assert all(b - a > QUIET for a, b in pairwise(places))
    np.testing.assert_array_equal(is_alarm, scores >= ALARM_SCORE)
