"""Where values are counted, and what is promised of a bin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bins import (
    ABOVE,
    ARENA_OF,
    BELOW,
    FAR,
    INVALIDS,
    LOG_ABOVE,
    LOG_BELOW,
    LOG_INNER,
    NULLS,
    NUMERIC_INNER,
    OCTAVES,
    VALUE_SPANS,
    WIDTHS,
    WRONG_TYPES,
    Arena,
    log_bin,
    log_edges,
    log_values,
    numeric_bin,
    numeric_edges,
    scaled,
    squash,
    unsquash,
)
from monitor.domain import FloatArray, IntArray, Kind
from monitor.fields import EXPONENTS
from monitor.probes import place_grid
from monitor.references import Grid

GRID = Grid(10.0, 2.0, -0.9, 1.8 / NUMERIC_INNER)
STARTS = sorted(set(EXPONENTS.values()))


def numeric(values: list[float] | FloatArray, grid: Grid = GRID) -> IntArray:
    column = np.asarray(values, dtype=np.float64)
    return numeric_bin(column, *(np.full(len(column), x) for x in (grid.centre, grid.width, grid.low, grid.step)))


def logarithmic(values: list[float] | FloatArray, exponent: int = -14) -> IntArray:
    column = np.asarray(values, dtype=np.float64)
    return log_bin(column, np.full(len(column), exponent))


# ---- logarithmic grids


@pytest.mark.parametrize("exponent", STARTS)
def test_every_value_of_the_range_is_told_within_one_percent(exponent: int) -> None:
    rng = np.random.default_rng(1)
    low, high = float(exponent), float(exponent + OCTAVES)
    values = np.exp2(rng.uniform(low, high, 300_000))
    edges = log_edges(exponent)
    values = np.concatenate([values, edges[:-1], np.nextafter(edges[1:], 0.0)])

    told = log_values(exponent)[logarithmic(values, exponent)]

    assert np.abs(told / values - 1.0).max() <= 0.01


@pytest.mark.parametrize("exponent", STARTS)
def test_logarithmic_edges_ascend_and_begin_their_bins(exponent: int) -> None:
    edges = log_edges(exponent)

    assert LOG_INNER + 1 == len(edges)
    assert np.all(np.diff(edges) > 0)
    assert (2.0**exponent, 2.0 ** (exponent + OCTAVES)) == (edges[0], edges[-1])
    assert list(range(1, LOG_INNER + 1)) == logarithmic(edges[:-1] * (1 + 1e-12), exponent).tolist()


ENDS = {
    "zero": (0.0, LOG_BELOW),
    "minus zero": (-0.0, LOG_BELOW),
    "the least number": (5e-324, LOG_BELOW),
    "just below the grid": (float(np.nextafter(2.0**-14, 0.0)), LOG_BELOW),
    "the first edge": (2.0**-14, 1),
    "just below the end": (2.0**13 * (1 - 1e-12), LOG_INNER),
    "the last edge": (2.0**13, LOG_ABOVE),
    "the greatest number": (1.7976931348623157e308, LOG_ABOVE),
}


@pytest.mark.parametrize(("value", "bin_"), ENDS.values(), ids=ENDS.keys())
def test_ends_of_the_logarithmic_grid(value: float, bin_: int) -> None:
    assert [bin_] == logarithmic([value]).tolist()


@given(st.lists(st.floats(0.0, allow_infinity=False, allow_nan=False), min_size=2), st.sampled_from(STARTS))
def test_logarithmic_bins_keep_the_order_of_values(values: list[float], exponent: int) -> None:
    found = logarithmic(sorted(values), exponent)

    assert np.all(np.diff(found) >= 0)
    assert found.min() >= LOG_BELOW
    assert found.max() <= LOG_ABOVE


@given(st.floats(1e-4, 8000.0), st.integers(-10, 10))
def test_doubling_moves_a_value_by_one_octave_of_bins(value: float, octaves: int) -> None:
    """So grids that start elsewhere cut alike, and a count means the same in all of them."""
    assert logarithmic([value], -14).tolist() == logarithmic([value * 2.0**octaves], -14 + octaves).tolist()


# ---- numeric grids


def test_numeric_edges_ascend_and_begin_their_bins() -> None:
    edges = numeric_edges(*(np.array([x]) for x in (GRID.centre, GRID.width, GRID.low, GRID.step)))[0]
    middles = (edges[:-1] + edges[1:]) / 2

    assert NUMERIC_INNER + 1 == len(edges)
    assert np.all(np.diff(edges) > 0)
    assert list(range(1, NUMERIC_INNER + 1)) == numeric(middles).tolist()
    assert [BELOW, ABOVE] == numeric([edges[0] - 1e-6, edges[-1] + 1e-6]).tolist()


ANY = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(ANY, min_size=1, max_size=40), st.lists(ANY, min_size=1, max_size=40))
def test_any_values_fall_into_a_grid_placed_for_any_others_in_order(placed: list[float], counted: list[float]) -> None:
    """Finite is all that is asked: 1e308 beside a width of 1e-300 must neither overflow nor leave the arena."""
    grid = place_grid(np.array(placed))

    found = numeric(sorted(counted), grid)

    assert np.all(np.diff(found) >= 0)
    assert found.min() >= BELOW
    assert found.max() <= ABOVE


@given(st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=60))
def test_values_that_placed_a_grid_are_within_it_but_for_far_tails(placed: list[float]) -> None:
    grid = place_grid(np.array(placed))
    inner = np.abs(scaled(np.array(placed), grid.centre, grid.width)) < 40

    assert not set(numeric(np.array(placed)[inner], grid).tolist()) & {BELOW, ABOVE}


@given(st.floats(-1e6, 1e6))
def test_unsquash_undoes_squash(u: float) -> None:
    assert pytest.approx(u, rel=1e-6, abs=1e-9) == float(unsquash(squash(np.array([u])))[0])


def test_distance_is_cut_where_it_no_longer_matters() -> None:
    found = scaled(np.array([1.7e308, -1.7e308, 0.0, 3.0]), 0.0, 1e-300)

    assert [FAR, -FAR, 0.0, FAR] == found.tolist()


def test_same_value_falls_into_the_same_bin_alone_and_among_others() -> None:
    values = np.random.default_rng(1).normal(10, 5, 1_000)

    assert numeric(values).tolist() == [int(numeric([value])[0]) for value in values.tolist()]


# ---- arenas


def test_every_kind_has_an_arena_and_special_bins_are_no_value_bins() -> None:
    assert set(Kind) == set(ARENA_OF)
    for arena in Arena:
        special = {NULLS[arena], *INVALIDS[arena], WRONG_TYPES[arena]}
        assert VALUE_SPANS[arena] <= min(special)
        assert max(special) < WIDTHS[arena]
