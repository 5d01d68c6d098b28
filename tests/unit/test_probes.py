"""Waiting values, and the grid they place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bins import VALUE_BINS, numeric_bin
from monitor.probes import Probes, place_grid

SHAPES = {
    "normal": lambda rng: rng.normal(100.0, 15.0, 10_000),
    "heavy tails": lambda rng: rng.standard_t(2, 10_000),
    "skewed": lambda rng: rng.lognormal(0.0, 1.5, 10_000),
    "even": lambda rng: rng.uniform(0.0, 1.0, 10_000),
    "two humps": lambda rng: np.concatenate([rng.normal(0, 1, 5_000), rng.normal(50, 1, 5_000)]),
    "mostly one value": lambda rng: np.where(rng.random(10_000) < 0.9, 0.0, rng.normal(size=10_000)),
    "few integers": lambda rng: rng.integers(0, 12, 10_000).astype(float),
    "huge": lambda rng: rng.normal(1e200, 1e190, 10_000),
    "tiny": lambda rng: rng.normal(0, 1e-200, 10_000),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_grid_from_the_first_values_suits_the_rest(shape: object) -> None:
    """Fine where the mass is: no bin holds much more than its share, and little lies beyond the ends."""
    assert callable(shape)
    values = np.asarray(shape(np.random.default_rng(1)), dtype=np.float64)
    np.random.default_rng(2).shuffle(values)
    grid = place_grid(values[:256])

    bins = numeric_bin(values, *(np.full(len(values), x) for x in (grid.centre, grid.width, grid.low, grid.step)))
    shares = np.bincount(bins, minlength=VALUE_BINS) / len(values)

    assert shares[0] + shares[-1] < 0.03
    commonest = np.unique(values, return_counts=True)[1].max() / len(values)
    assert shares.max() <= max(0.45, commonest + 0.05)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e300, 5e-324])
def test_constant_values_have_a_grid_with_the_value_inside(value: float) -> None:
    grid = place_grid(np.full(256, value))

    found = numeric_bin(np.array([value]), *(np.array([x]) for x in (grid.centre, grid.width, grid.low, grid.step)))

    assert grid.width > 0
    assert grid.step > 0
    assert abs(value) > 1e299 or 0 < found[0] < VALUE_BINS - 1


ROWS = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=10), max_size=8)


@given(ROWS, st.sets(st.integers(0, 6)))
def test_taking_gives_all_that_waits_for_the_rows_in_order_of_arrival(
    batches: list[list[int]], wanted: set[int]
) -> None:
    probes = Probes()
    arrived: list[tuple[int, float]] = []
    for rows in batches:
        values = np.arange(len(arrived), len(arrived) + len(rows), dtype=np.float64)
        arrived += zip(rows, values.tolist(), strict=True)
        probes.add(np.array(rows), values, values.astype(np.int64))

    row, value, pane = probes.take(np.array(sorted(wanted), dtype=np.int64))
    rest = probes.take(np.arange(5))

    assert sorted((r, v) for r, v in arrived if r in wanted) == list(zip(row.tolist(), value.tolist(), strict=True))
    assert value.tolist() == pane.tolist()
    assert sorted((r, v) for r, v in arrived if r not in wanted) == list(
        zip(rest[0].tolist(), rest[1].tolist(), strict=True)
    )


def test_rows_with_enough_values_are_told() -> None:
    probes = Probes()
    probes.add(np.array([0, 2, 2]), np.zeros(3), np.zeros(3, dtype=np.int64))
    probes.add(np.array([2, 1]), np.zeros(2), np.zeros(2, dtype=np.int64))

    assert [2] == probes.with_at_least(3).tolist()
    probes.take(np.array([2]))
    assert [] == probes.with_at_least(3).tolist()
    assert [0, 1] == probes.with_at_least(1).tolist()


def test_nothing_waits_at_first() -> None:
    assert [0, 0, 0] == [len(column) for column in Probes().take(np.array([0, 1]))]
