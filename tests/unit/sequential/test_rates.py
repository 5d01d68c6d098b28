"""Rates against limits: right whatever the traffic, in the direction that was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import FloatArray
from monitor.sequential.budget import nats_for
from monitor.sequential.fluctuation import LEVELS, Inflation
from monitor.sequential.rates import (
    ABOVE,
    ALTERNATIVES,
    BELOW,
    BOTH,
    THETAS,
    RateTracks,
    cumulant,
    temper_of,
    weights_of,
)

FULL = np.ones((1, ALTERNATIVES))


def track(limit: float, direction: int = BOTH, temper: FloatArray = FULL, tracks: int = 1) -> RateTracks:
    found = RateTracks()
    all_of = np.ones(tracks)
    powers = np.repeat(temper, tracks, axis=0)
    found.watch(np.arange(tracks), all_of * limit, np.full(tracks, direction), powers, 0.0)
    return found


def tell(tracks: RateTracks, hits: float, events: float, end_s: float, quiet: float | None = None) -> None:
    told = None if quiet is None else np.array([quiet])
    tracks.observe(np.array([0]), np.array([hits]), np.array([events]), end_s, told)


@given(st.floats(1e-5, 1.0 - 1e-5))
def test_likelihood_ratios_are_1_on_average_at_the_limit(limit: float) -> None:
    psi = cumulant(np.array([limit]))[0]
    assert limit * np.exp(THETAS - psi) + (1.0 - limit) * np.exp(-psi) == pytest.approx(np.ones(ALTERNATIVES))


@given(st.sampled_from([ABOVE, BELOW, BOTH]))
def test_weights_are_of_one_whole(direction: int) -> None:
    assert weights_of(np.array([direction])).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("direction", "finds_more", "finds_less"), [(ABOVE, True, False), (BELOW, False, True), (BOTH, True, True)]
)
def test_a_track_finds_what_is_in_its_direction_alone(direction: int, *, finds_more: bool, finds_less: bool) -> None:
    more, less = track(0.1, direction), track(0.1, direction)
    for look in range(60):
        tell(more, 3.0, 10.0, look + 1.0)
        tell(less, 0.0, 10.0, look + 1.0)
    assert finds_more == (more.evidence[0] > 15.0)
    assert finds_less == (less.evidence[0] > 15.0)


def test_the_expected_odds_of_a_pane_are_those_before_and_its_seconds_however_many_events_it_has() -> None:
    limit, events = 0.05, 12
    hits = np.arange(events + 1)
    chance = np.array([float(np.prod((events - np.arange(h)) / (1.0 + np.arange(h)))) for h in hits])
    chance *= limit**hits * (1.0 - limit) ** (events - hits)
    tracks = track(limit, tracks=len(hits))
    every = np.arange(len(hits))
    tracks.observe(every, np.full(len(hits), 2.0), np.full(len(hits), 20.0), 5.0)
    before = np.exp(tracks.evidence[0])
    tracks.observe(every, hits.astype(np.float64), np.full(len(hits), float(events)), 12.0)
    assert before + 7.0 == pytest.approx(chance @ np.exp(tracks.evidence[every]))


def test_quiet_panes_need_not_be_told_one_by_one() -> None:
    each, once = track(0.01), track(0.01)
    for second in range(1, 1_001):
        tell(each, 0.0, 0.4, float(second))
    tell(each, 1.0, 2.0, 1_001.0)
    tell(once, 1.0, 402.0, 1_001.0, quiet=400.0)
    assert each.evidence[0] == pytest.approx(once.evidence[0], abs=0.05)


def test_quiet_is_what_each_track_had_whoever_else_is_told() -> None:
    alone, among = track(0.01, tracks=2), track(0.01, tracks=2)
    hits, events = np.array([1.0, 0.0]), np.array([5.0, 300.0])
    alone.observe(np.array([0]), hits[:1], events[:1], 9.0)
    among.observe(np.arange(2), hits, events, 9.0, quiet=np.array([0.0, 300.0]))
    assert alone.evidence[0] == among.evidence[0]


def test_restart_forgets_all() -> None:
    tracks = track(0.01)
    tell(tracks, 9.0, 10.0, 1.0)
    tracks.restart(np.array([0]), 2.0)
    assert -np.inf == tracks.evidence[0]
    fresh = track(0.01)
    fresh.restart(np.array([0]), 2.0)
    for own in (tracks, fresh):
        tell(own, 1.0, 10.0, 3.0)
    assert fresh.evidence[0] == tracks.evidence[0]


@pytest.mark.parametrize("events", [1e3, 1e6, 1e9])
@pytest.mark.parametrize("end_s", [0.0, 1.0, -5.0])
def test_any_pane_gives_a_number(events: float, end_s: float) -> None:
    for hits in (0.0, events / 2.0, events):
        for quiet in (None, 0.0, events - hits):
            tracks = track(0.5)
            tell(tracks, hits, events, end_s, quiet)
            assert not np.isnan(tracks.evidence[0])
            tell(tracks, hits, events, end_s + 1.0, quiet)
            assert not np.isnan(tracks.evidence[0])
            assert tracks.evidence[0] < 70.0


def test_a_known_limit_of_independent_events_is_taken_at_full_power() -> None:
    assert np.all(temper_of(np.array([0.01]), np.array([15.0])) == 1.0)


def test_a_learned_limit_is_tested_by_what_its_own_error_can_not_look_like() -> None:
    limit, nats = np.full(3, 0.01), np.full(3, 15.0)
    few, some, many = temper_of(limit, nats, None, np.array([300.0, 10_000.0, 1e8]))
    assert (few > 0.0).sum() < (some > 0.0).sum() < (many > 0.0).sum() == ALTERNATIVES
    assert np.all(some[few > 0.0] >= few[few > 0.0])
    assert np.all(many > 0.9)


def test_what_fluctuates_more_proves_less() -> None:
    inflation = Inflation(np.tile(np.exp2(np.arange(LEVELS, dtype=np.float64)), (1, 1)), np.full((1, 1, LEVELS), 2.0))
    assert temper_of(np.array([0.1]), np.array([15.0]), inflation) == pytest.approx(np.full((1, ALTERNATIVES), 0.5))


def test_what_is_left_out_leaves_its_weight_to_the_others() -> None:
    temper = np.zeros((1, ALTERNATIVES))
    temper[0, 3] = 1.0
    tracks = track(0.01, temper=temper)
    tell(tracks, 1.0, 1.0, 1.0)
    assert THETAS[3] - cumulant(np.array([0.01]))[0, 3] == pytest.approx(tracks.evidence[0])
    nothing = track(0.01, temper=0.0 * temper)
    tell(nothing, 1.0, 1.0, 1.0)
    assert -np.inf == nothing.evidence[0]


@pytest.mark.parametrize(("rate", "per_pane"), [(0.01, 1), (0.01, 300), (0.2, 30)])
def test_false_alarms_keep_to_the_budget_at_any_traffic(rate: float, per_pane: int) -> None:
    streams, looks, budget_s = 300, 1_500, 500.0
    tracks, rows = track(rate, tracks=streams), np.arange(streams)
    rng, alarms = np.random.default_rng(1), 0
    for look in range(looks):
        hits = rng.binomial(per_pane, rate, streams).astype(np.float64)
        tracks.observe(rows, hits, np.full(streams, float(per_pane)), look + 1.0)
        alarmed = rows[tracks.evidence[rows] >= nats_for(budget_s)]
        tracks.restart(alarmed, look + 1.0)
        alarms += len(alarmed)
    # Big panes are seen late: their mean interval is longer, never shorter.
    assert 0.7 < streams * looks / (alarms * budget_s) < 8.0
