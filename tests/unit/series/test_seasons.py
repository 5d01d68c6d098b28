"""Seasons: the level and the deviations of the time of day."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.series.seasons import DAY_S, SLOTS, Seasons, place_of

ROW = np.array([0])


def fed(days: int, *, spike_at_s: float | None = None, until_s: float = 0.0) -> Seasons:
    """Feed a cosine of the time of day, each five minutes, and deviations of 1, or 50 at one time of day."""
    seasons = Seasons(1, 1)
    for time_s in np.arange(0.0, days * DAY_S + until_s, 300.0):
        place = place_of(np.array([time_s]))
        seasons.enter(ROW, place)
        is_spike = spike_at_s is not None and abs(time_s % DAY_S - spike_at_s) < 1.0
        seasons.note(ROW, np.array([[50.0 if is_spike else 1.0]]))
        seasons.learn(ROW, place, np.array([np.cos(2 * np.pi * time_s / DAY_S)]), np.array([np.inf]))
    return seasons


@pytest.mark.parametrize(
    ("time_s", "slot", "between", "share"),
    [
        (450.0, 0, [0, 1], [1.0, 0.0]),
        (0.0, 0, [95, 0], [0.5, 0.5]),
        (900.0, 1, [0, 1], [0.5, 0.5]),
        (86_399.0, 95, [95, 0], [0.501, 0.499]),
        (-450.0, 95, [95, 0], [1.0, 0.0]),
    ],
)
def test_places(time_s: float, slot: int, between: list[int], share: list[float]) -> None:
    place = place_of(np.array([time_s]))

    assert [slot] == place.slot.tolist()
    assert between == place.between[0].tolist()
    np.testing.assert_allclose(place.share[0], share, atol=1e-3)


def test_the_level_is_unknown_on_the_first_day() -> None:
    seasons = fed(0, until_s=6 * 3_600.0)

    assert not seasons.level(ROW, place_of(np.array([7 * 3_600.0])))[1][0]


def test_the_level_follows_the_time_of_day() -> None:
    seasons = fed(10)

    for hour in range(24):
        level, is_known = seasons.level(ROW, place_of(np.array([11 * DAY_S + hour * 3_600.0])))
        assert is_known[0]
        assert level[0] == pytest.approx(np.cos(2 * np.pi * hour / 24), abs=0.05)


def test_a_deviation_that_comes_each_day_is_usual_around_its_time_only() -> None:
    seasons = fed(8, spike_at_s=43_200.0)

    for offset_s, usual in ((-900.0, 50.0), (0.0, 50.0), (900.0, 50.0), (7_200.0, 1.0)):
        seasons.enter(ROW, place_of(np.array([8 * DAY_S + 43_200.0 + offset_s])))
        assert seasons.deviation(ROW)[0, 0] == pytest.approx(usual, rel=0.1)


def test_a_deviation_does_not_excuse_the_next_slot() -> None:
    seasons = fed(3, until_s=43_200.0 + 300.0, spike_at_s=None)
    seasons.note(ROW, np.array([[50.0]]))

    seasons.enter(ROW, place_of(np.array([3 * DAY_S + 43_200.0 + 900.0])))

    assert [[1.0]] == seasons.deviation(ROW).tolist()


def test_a_day_has_slots_of_a_quarter_of_an_hour() -> None:
    assert DAY_S / SLOTS == 900.0
