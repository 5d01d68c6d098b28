"""The words that all KPIs share: the grid of scores, and counts that add up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bins import ABOVE, BELOW, NUMERIC_INNER, VALUES_WIDTH, numeric_bin, numeric_edges
from monitor.domain import FloatArray, IntArray, Kind
from monitor.kpis.base import UNIT_ERROR, UNIT_GRID, UNIT_VALUES, StreamCounts, unit_counts_of
from monitor.probes import place_grid
from monitor.references import Grid


def bins_of(values: list[float] | FloatArray, grid: Grid = UNIT_GRID) -> IntArray:
    place = (np.array(x) for x in (grid.centre, grid.width, grid.low, grid.step))
    return numeric_bin(np.asarray(values, dtype=np.float64), *place)


def numeric(values: FloatArray, grid: Grid = UNIT_GRID) -> StreamCounts:
    return StreamCounts(Kind.NUMERIC, np.bincount(bins_of(values, grid), minlength=VALUES_WIDTH), grid)


def test_zero_and_one_fall_into_the_first_and_last_inner_bin() -> None:
    assert [1, 1, 1, NUMERIC_INNER, NUMERIC_INNER] == bins_of([0.0, -0.0, 5e-324, 1.0, math.nextafter(1, 0)]).tolist()


def test_what_is_no_probability_falls_outside() -> None:
    assert [BELOW, BELOW, BELOW] == bins_of([-1e-9, -0.5, -1e300]).tolist()
    assert [ABOVE, ABOVE, ABOVE] == bins_of([1.0 + 1e-9, 1.5, 1e300]).tolist()


def test_bins_are_equal() -> None:
    edges = numeric_edges(*(np.array([x]) for x in (UNIT_GRID.centre, UNIT_GRID.width, UNIT_GRID.low, UNIT_GRID.step)))

    assert np.abs(edges[0] - np.arange(NUMERIC_INNER + 1) / NUMERIC_INNER).max() < 1e-12


@given(st.floats(0.0, 1.0))
def test_a_score_lies_in_the_bin_of_its_57th(score: float) -> None:
    (bin_,) = bins_of([score])

    assert 1 <= bin_ <= NUMERIC_INNER
    assert abs(float(UNIT_VALUES[bin_ - 1]) - score) <= UNIT_ERROR + 1e-12


def test_a_middle_lies_in_its_own_bin() -> None:
    assert list(range(1, NUMERIC_INNER + 1)) == bins_of(UNIT_VALUES).tolist()


@given(st.lists(st.floats(0.0, 1.0), max_size=50), st.lists(st.floats(0.0, 1.0), max_size=50))
def test_counts_of_parts_add_up_to_counts_of_all(first: list[float], second: list[float]) -> None:
    parts = numeric(np.array(first)) + numeric(np.array(second))

    assert numeric(np.array(first + second)).counts.tolist() == parts.counts.tolist()


def test_counts_of_other_bins_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="different bins"):
        numeric(np.array([0.5])) + numeric(np.array([0.5]), Grid(0.5, 1.0, -0.5, 0.01))


@pytest.mark.parametrize("power", [1, 5])
def test_a_histogram_on_another_grid_keeps_its_mass_and_nearly_its_shape(power: int) -> None:
    scores = np.random.default_rng(3).uniform(size=20_000) ** power
    exact = unit_counts_of({"score": numeric(scores)}, "score")
    spread = unit_counts_of({"score": numeric(scores, place_grid(scores[:256]))}, "score")

    assert math.isclose(len(scores), spread.sum(), rel_tol=1e-9)
    # The distribution functions differ by less than what one bin of either holds.
    assert np.abs(np.cumsum(exact - spread)).max() < 1.5 * exact.max()
    assert math.isclose(float(exact @ UNIT_VALUES), float(spread @ UNIT_VALUES), rel_tol=0.02)


def test_a_score_that_is_always_the_same_stays_where_it_is() -> None:
    scores = np.full(300, 1.0)
    spread = unit_counts_of({"score": numeric(scores, place_grid(scores))}, "score")

    assert math.isclose(300.0, spread[-1], rel_tol=1e-9)


def test_a_score_outside_counts_at_the_end() -> None:
    counts = unit_counts_of({"score": numeric(np.array([-3.0, 0.0, 1.0, 7.0]))}, "score")

    assert [2.0, 2.0, 4.0] == [counts[0], counts[-1], counts.sum()]
