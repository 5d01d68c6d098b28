"""Hours of the week: learned as far as they stand out of noise, and none is invented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import FloatArray
from monitor.sequential.seasons import HOURS, Profiles, Seasons, at_time

PER_HOUR = 60


def learned(level: FloatArray, days: int, seed: int = 1) -> FloatArray | None:
    """Give the profile of a stream of N(level, 1) with so many events an hour; level: shape (HOURS,)."""
    seasons, rng = Seasons(1), np.random.default_rng(seed)
    seasons.reserve(1)
    one, hours = np.array([0]), 24 * days + 1
    for hour in range(hours):
        total = PER_HOUR * level[hour % HOURS] + np.sqrt(PER_HOUR) * rng.standard_normal()
        seasons.observe(hour * 3_600.0, one, np.array([[total]]), np.array([float(PER_HOUR)]))
    profile = seasons.profile(one, np.ones((1, 1)), np.ones(1))
    return None if profile is None else profile[0, :, 0]


HOUR = np.arange(HOURS)
SINE = 0.5 * np.sin(2.0 * np.pi * HOUR / 24.0)
WEEKEND = np.where(HOUR // 24 >= 5, -1.0, 0.0)


def test_a_daily_sine_is_learned_within_its_noise() -> None:
    found = learned(SINE, 7)
    assert found is not None
    noise = 1.0 / np.sqrt(7 * PER_HOUR)
    assert np.sqrt(np.mean((found - SINE) ** 2)) < 1.5 * noise


def test_a_weekend_is_learned_from_two_weeks_on() -> None:
    short, long = learned(SINE + WEEKEND, 13), learned(SINE + WEEKEND, 28)
    truth = SINE + WEEKEND - WEEKEND.mean()
    assert short is not None
    assert long is not None
    assert np.abs(short.reshape(7, 24) - short[:24]).max() < 1e-9
    assert np.sqrt(np.mean((long - truth) ** 2)) < 0.1


@pytest.mark.parametrize("days", [7, 28])
def test_nothing_is_invented_for_a_stream_whose_hours_are_alike(days: int) -> None:
    found = [learned(np.zeros(HOURS), days, seed) for seed in range(20)]
    raw = 1.0 / np.sqrt(days * PER_HOUR)
    assert np.sqrt(np.mean([np.mean(own**2) for own in found if own is not None])) < 0.6 * raw


def test_less_than_three_days_tell_nothing() -> None:
    assert learned(SINE, 2) is None


def test_to_ask_for_a_profile_changes_nothing() -> None:
    asked, silent = Seasons(1), Seasons(1)
    one = np.array([0])
    for own in (asked, silent):
        own.reserve(1)
        for hour in range(24 * 5):
            for half in (0.0, 1_800.0):
                own.observe(hour * 3_600.0 + half, one, np.array([[float(hour % 24)]]), np.ones(1))
                if own is asked:
                    own.profile(one, np.ones((1, 1)), np.ones(1))
    assert silent._hours_seen.tolist() == asked._hours_seen.tolist()
    assert silent._sums.tolist() == asked._sums.tolist()


def test_late_panes_do_not_end_the_hour_again() -> None:
    seasons = Seasons(1)
    seasons.reserve(1)
    for time_s in (3_590.0, 3_601.0, 3_599.0, 3_602.0, 3_598.0, 7_300.0):
        seasons.observe(time_s, np.array([0]), np.ones((1, 1)), np.ones(1))
    assert [2.0] == seasons._hours_seen.tolist()


@given(st.floats(0.0, 3e9), st.floats(0.01, 10.0))
def test_profiles_never_jump(time_s: float, step_s: float) -> None:
    values = np.random.default_rng(1).normal(size=(HOURS, 1, 2)).astype(np.float16)
    before, after = (at_time(values, np.array([0]), at) for at in (time_s, time_s + step_s))
    steepest = float(np.abs(np.diff(values.astype(np.float64), axis=0, append=values[:1])).max()) / 3_600.0
    assert np.abs(after - before).max() <= steepest * step_s + 1e-5


def test_the_middle_of_an_hour_has_its_own_value() -> None:
    values = np.arange(HOURS, dtype=np.float16).reshape(HOURS, 1, 1)
    assert at_time(values, np.array([0]), 3_600.0 * (HOURS * 9 + 5.5))[0, 0] == pytest.approx(5.0, abs=1e-3)


def test_a_profile_kept_anew_takes_its_old_place() -> None:
    profiles = Profiles(2)
    first = profiles.kept(0, np.ones((HOURS, 2)))
    second = profiles.kept(0, np.full((HOURS, 2), 2.0))
    assert first == profiles.kept(first, np.full((HOURS, 2), 3.0))
    assert first == profiles.kept(first, None)
    assert [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]] == profiles.at(np.array([0, second, first]), 1e6).tolist()
    assert 2 == len(profiles)
