"""Quiet streams have the moments they say, go on across blocks, and are the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection.families import CYCLE_SD, FAMILIES, WEEKEND_SD, Episodes, Family
from benchmarks.detection.scenarios import SCENARIOS
from monitor.domain import FloatArray

BY_NAME = {family.name: family for family in FAMILIES}


def drawn(family: Family, streams: int, looks: int, seed: int = 1, block: int = 1_000) -> FloatArray:
    source = family.make(np.random.default_rng(seed), streams)
    times_s = np.arange(looks, dtype=np.float64) * family.look_s
    return np.hstack([source.block(times_s[start : start + block]) for start in range(0, looks, block)])


@pytest.mark.parametrize(
    ("name", "mean", "sd"),
    [
        ("N(0,1)", 0.0, 1.0),
        ("rate .001", 0.001, 0.0316),
        ("rate .05", 0.05, 0.2179),
        ("AR(1) 0.3", 0.0, 1.0),
        ("AR(1) 0.7", 0.0, 1.0),
        ("bursts", 0.0, (1.0 + 0.25 * 40.0 / 190.0) ** 0.5),
        ("wild bursts", 0.0, (1.0 + 0.25 * 40.0 / 190.0) ** 0.5),
        ("bursts of a rate", 0.01 + 0.03 * 40.0 / 190.0, 0.127),
        ("wild bursts, rate", 0.01 + 0.04 * 40.0 / 190.0, 0.1343),
    ],
)
def test_moments_are_those_stated(name: str, mean: float, sd: float) -> None:
    values = drawn(BY_NAME[name], 50, 10_000)
    assert mean == pytest.approx(values.mean(), abs=0.02 * max(sd, 0.05))
    assert sd == pytest.approx(values.std(), rel=0.05)


def test_heavy_tails_are_those_stated() -> None:
    log = np.log(drawn(BY_NAME["lognormal 1"], 20, 5_000))
    pareto = drawn(BY_NAME["Pareto 2.5"], 20, 5_000)
    assert [0.0, 1.0] == pytest.approx([log.mean(), log.std()], abs=0.02)
    assert 10.0**-2.5 == pytest.approx(np.mean(pareto > 10.0), rel=0.15)


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_neighbours_are_correlated_across_blocks_too(rho: float) -> None:
    values = drawn(BY_NAME[f"AR(1) {rho:g}"], 4_000, 20, block=10)
    within = np.mean(values[:, 4] * values[:, 5])
    across = np.mean(values[:, 9] * values[:, 10])
    assert [rho, rho] == pytest.approx([within, across], abs=0.06)


def test_the_weekly_cycle_has_days_and_weekends() -> None:
    family = BY_NAME["daily+weekly"]
    weeks, per_day = 6, int(family.looks_per_day)
    values = drawn(family, 20, weeks * 7 * per_day).reshape(20, weeks, 7 * per_day).mean(axis=1)
    # What is left of one day's noise is small against the levels of days.
    daily = values.reshape(20, 7, per_day).mean(axis=2)
    spread = daily.max(axis=1) - daily.min(axis=1)
    assert WEEKEND_SD == pytest.approx(spread.mean(), abs=0.1)
    assert 1.0 + CYCLE_SD**2 / 2.0 + WEEKEND_SD**2 * 10.0 / 49.0 == pytest.approx(
        drawn(family, 20, 12_096).var(), rel=0.05
    )


def test_low_traffic_has_its_events_per_hour_and_long_gaps() -> None:
    family = BY_NAME["low traffic"]
    has_event = ~np.isnan(drawn(family, 50, 30_000))
    assert family.events_per_look == pytest.approx(has_event.mean(), rel=0.05)
    longest = max(len(run) for run in "".join("x" if at else "." for at in has_event[0]).split("x"))
    assert longest > 60


@pytest.mark.parametrize(
    "family", [*FAMILIES, *(scenario.before for scenario in SCENARIOS)], ids=lambda family: family.name
)
def test_a_stream_has_as_many_events_a_second_as_its_kind_says(family: Family) -> None:
    looks = 20_000 if family.events_per_look < 1.0 else 100
    events = np.count_nonzero(~np.isnan(drawn(family, 50, looks)))
    assert family.kind.events_per_s == pytest.approx(events / (50 * looks * family.look_s), rel=0.05)


def test_episodes_last_as_long_as_asked_for() -> None:
    inside, number = Episodes(90.0, 10.0, np.random.default_rng(1), 200).block(5_000)
    assert 0.1 == pytest.approx(inside.mean(), rel=0.05)
    assert 5_000 / 100.0 == pytest.approx(number[:, -1].mean(), rel=0.05)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_same_seed_gives_the_same_stream(family: Family) -> None:
    first, again, other = (drawn(family, 3, 2_000, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)
