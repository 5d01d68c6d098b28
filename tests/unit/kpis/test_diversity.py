"""Ways to fail: what was seen, what may be hidden, and evidence that they spread."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.domain import FloatArray
from monitor.kpis import KPIS
from monitor.kpis.base import Cell
from monitor.kpis.diversity import DistinctModes, expansion_of
from tests.unit.kpis.cells import modes, names

ALPHA = 0.05
DRAWS = 500
NATS = np.array([1.0, 2.0, 3.0, 5.0])
SLACK = 4.0
FEW = np.array([0.6, 0.25, 0.1, 0.05])
MANY = np.full(30, 1 / 30)
ONE_AND_RARE = np.array([0.95, 0.03, 0.02])
LONG_TAIL = 1 / np.arange(1, 41) / (1 / np.arange(1, 41)).sum()


def drawn(random: np.random.Generator, rows: int, chances: FloatArray) -> Cell:
    return modes(**{f"m{i}": n for i, n in enumerate(random.multinomial(rows, chances).tolist())})


def test_modes_that_were_seen_are_certain_and_single_ones_hint_at_more() -> None:
    often, once = (KPIS["distinct_modes"].estimate(modes(**n), ALPHA) for n in ({"a": 9, "b": 9}, {"a": 9, "b": 1}))
    tail = KPIS["distinct_modes"].estimate(modes(a=1, b=1, c=1, d=1, e=4), ALPHA)

    assert (2.0, 2.0, 2.0, 18) == often
    assert (2.0, 2.0) == once[:2]
    assert 5.0 == tail.value
    assert tail.high > 8.0


def test_critical_modes_may_be_named_and_are_then_bounded_by_their_number() -> None:
    kpi = DistinctModes("named", only=frozenset({"fire", "flood", "theft"}))

    assert (1.0, 1.0) == kpi.estimate(modes(fire=1, late=5, rude=7), ALPHA)[:2]
    assert kpi.estimate(modes(fire=1, flood=1, rude=7), ALPHA).high <= 3.0
    assert 0.0 == kpi.estimate(modes(rude=7), ALPHA).value


def test_modes_without_a_bin_of_their_own_count_as_one() -> None:
    cell = {"failure_mode": names(["a", "b", "x", "y", "z"], ["a", "b"])}

    assert 3.0 == KPIS["distinct_modes"].estimate(cell, ALPHA).value
    assert KPIS["failure_largest_share"].estimate(cell, ALPHA).value == pytest.approx(0.6)


def test_one_mode_alone_has_no_entropy_and_all_concentration() -> None:
    entropy, largest, pairs = (
        KPIS[name].estimate(modes(a=40), ALPHA)
        for name in ("failure_entropy", "failure_largest_share", "failure_herfindahl")
    )

    assert (0.0, 0.0) == entropy[:2]
    assert 0.2 < entropy.high < 0.4
    assert 1.0 == largest.value == largest.high
    assert 0.75 < pairs.low < pairs.value == 1.0


def test_new_modes_are_named_commonest_first() -> None:
    found = expansion_of(modes(a=50, b=30), modes(a=20, c=4, b=10, d=9), ALPHA)

    assert ("d", "c") == found.new
    assert found.of_set > 5.0
    assert found.evidence >= found.of_set - math.log(2.0)
    assert found.growth.low > 1.0


def test_the_same_mix_of_more_failures_is_no_growth() -> None:
    found = expansion_of(modes(a=50, b=30, c=20), modes(a=500, b=300, c=200), ALPHA)

    assert () == found.new
    assert 0.0 == found.of_set
    assert 0.0 == found.evidence
    assert found.growth.low < 1.0 < found.growth.high


def test_one_new_mode_that_came_once_is_little_and_often_is_much() -> None:
    before = modes(a=50, b=30, c=5)
    once, often = (expansion_of(before, modes(a=50, b=30, c=5, new=n), ALPHA) for n in (1, 40))

    assert once.of_set < 1.5
    assert often.of_set > 3.0
    assert often.evidence > 8.0


def test_spread_grows_without_a_new_mode() -> None:
    found = expansion_of(modes(a=95, b=3, c=2), modes(a=40, b=30, c=30), ALPHA)

    assert () == found.new
    assert found.of_spread > 20.0
    assert found.evidence == pytest.approx(found.of_spread - math.log(2.0))


def test_without_failures_on_both_sides_there_is_no_evidence() -> None:
    for before, now in (({}, modes(a=5)), (modes(a=5), {}), ({}, {})):
        found = expansion_of(before, now, ALPHA)
        assert 0.0 == found.evidence
        assert math.isnan(found.growth.value)


@pytest.mark.parametrize("chances", [FEW, MANY, LONG_TAIL], ids=["few", "many", "long tail"])
@pytest.mark.parametrize(("before", "now"), [(40, 40), (400, 60), (30, 300)])
def test_evidence_that_the_set_grew_is_bounded_for_any_numbers(chances: FloatArray, before: int, now: int) -> None:
    random = np.random.default_rng(23)
    nats = np.array(
        [expansion_of(drawn(random, before, chances), drawn(random, now, chances), ALPHA).of_set for _ in range(DRAWS)]
    )
    share, bound = (nats[:, None] >= NATS).mean(axis=0), np.exp(-NATS)

    assert (share <= bound + SLACK * np.sqrt(bound / len(nats))).all(), share / bound


@pytest.mark.parametrize("chances", [FEW, LONG_TAIL, ONE_AND_RARE], ids=["few", "long tail", "one and rare"])
@pytest.mark.parametrize(("before", "now"), [(500, 500), (30, 300), (300, 30)])
def test_evidence_that_failures_spread_is_bounded(chances: FloatArray, before: int, now: int) -> None:
    """An entropy of few failures is too low, so 30 against 300 seem to spread by it; chances of a pair are not."""
    random = np.random.default_rng(29)
    nats = np.array(
        [
            expansion_of(drawn(random, before, chances), drawn(random, now, chances), ALPHA).evidence
            for _ in range(DRAWS)
        ]
    )
    share, bound = (nats[:, None] >= NATS).mean(axis=0), np.exp(-NATS)

    assert (share <= bound + SLACK * np.sqrt(bound / len(nats))).all(), share / bound
