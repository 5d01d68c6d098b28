"""Parts of references out of profiles: what is known is taken over, what is not is never judged."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bins import LOG_INNER, NULL, OTHER, VALUE_BINS, log_values, numeric_bin
from monitor.domain import FloatArray, IntArray, Kind
from monitor.references import StreamReference
from monitor.shapes import Bars, Names, Ranks, stream_of

SHARES: Final = np.array([0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0])
FINE: Final = np.linspace(0.0, 1.0, 201)


def made(name: str, column: Bars | Ranks | Names) -> StreamReference:
    stream = stream_of(name, column)
    assert stream is not None
    return stream


def binned(values: FloatArray, stream: StreamReference) -> IntArray:
    assert stream.grid is not None
    grid = stream.grid
    parts = (np.array([part]) for part in (grid.centre, grid.width, grid.low, grid.step))
    return np.bincount(numeric_bin(values, *parts), minlength=VALUE_BINS)


def by_group(counts: IntArray, stream: StreamReference) -> IntArray:
    return np.bincount(stream.groups, weights=counts[:VALUE_BINS]).astype(np.int64)


@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=130).filter(lambda held: sum(held) >= 30),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
)
def test_histogram_of_even_bins_is_taken_over_exactly(held: list[int], low: float, width: float) -> None:
    """Of values within its bins, those of the histogram itself, each group has as many as it says."""
    edges = np.asarray(low + width * np.arange(len(held) + 1), dtype=np.float64)
    values = np.repeat((edges[:-1] + edges[1:]) / 2, held)

    stream = made("x", Bars(edges, np.array(held, dtype=np.float64)))

    assert sum(held) == stream.counts[:VALUE_BINS].sum()
    assert (
        by_group(stream.counts.astype(np.int64), stream).tolist() == by_group(binned(values, stream), stream).tolist()
    )


def test_histogram_of_uneven_bins_is_as_well_known_as_its_ranks() -> None:
    values = np.random.default_rng(4).lognormal(0.0, 1.0, 20_000)
    edges = np.concatenate([[0.0], np.geomspace(0.05, 40.0, 25)])
    held, _ = np.histogram(values, bins=edges)

    stream = made("x", Bars(edges, held.astype(np.float64)))

    known = by_group(stream.counts.astype(np.int64), stream) / stream.counts.sum()
    assert np.abs(known - by_group(binned(values, stream), stream) / 20_000).max() < 0.01


def test_values_on_edges_are_counted_as_the_histogram_does() -> None:
    edges = np.arange(11, dtype=np.float64)
    values = np.repeat(edges, 100)
    held, _ = np.histogram(values, bins=edges)

    stream = made("x", Bars(edges, held.astype(np.float64)))

    assert (
        by_group(stream.counts.astype(np.int64), stream).tolist() == by_group(binned(values, stream), stream).tolist()
    )
    assert 10 == stream.cells_known


def test_nothing_that_judges_tells_bins_of_one_cell_apart() -> None:
    edges = np.linspace(0.0, 1.0, 6)
    stream = made("x", Bars(edges, np.array([10.0, 50.0, 20.0, 0.0, 20.0])))

    assert stream.normal is not None
    inner = stream.groups[2:57].reshape(5, 11)  # eleven bins of the grid for one of the histogram
    classes = stream.normal.classes[2:57].reshape(5, 11)
    assert (inner == inner[:, :1]).all()
    assert (classes == classes[:, :1]).all()


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_give_ranks_as_well_known_as_told(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for values in (rng.normal(50.0, 10.0, 20_000), rng.lognormal(0.0, 1.0, 20_000), rng.random(20_000)):
        for shares, most in ((SHARES, 0.01), (FINE, 0.004)):
            stream = made("x", Ranks(np.quantile(values, shares), shares, 20_000))
            known = stream.counts[:VALUE_BINS].astype(np.float64)

            apart = by_group(known * 1e6 / known.sum(), stream) / 1e6
            found = by_group(binned(values, stream), stream) / 20_000

            assert np.abs(apart - found).max() < most
            # A sample of so many values would be as far off, give or take.
            assert np.abs(apart - found).max() < 4 * 0.5 / np.sqrt(known.sum())


def test_value_that_holds_a_share_by_itself_is_told_as_badly_known_by_few_quantiles() -> None:
    rng = np.random.default_rng(1)
    values = np.where(rng.random(20_000) < 0.4, 0.0, rng.exponential(5.0, 20_000))

    few = made("x", Ranks(np.quantile(values, SHARES), SHARES, 20_000))
    many = made("x", Ranks(np.quantile(values, FINE), FINE, 20_000))

    assert few.counts.sum() < 200  # of 20,000: where the zeros end, nine quantiles do not tell
    assert many.counts.sum() > 5_000
    share = many.counts[:VALUE_BINS][binned(np.zeros(1), many).argmax()] / many.counts.sum()
    assert share == pytest.approx(0.4, abs=0.03)


def test_error_of_a_sketch_makes_a_smaller_reference() -> None:
    values = np.random.default_rng(2).normal(size=50_000)

    stream = made("x", Ranks(np.quantile(values, FINE), FINE, 50_000, nulls=5_000, error=0.01))

    assert stream.counts[:VALUE_BINS].sum() == pytest.approx(0.25 / 0.01**2, rel=0.05)
    assert stream.counts[NULL] == pytest.approx(250, rel=0.05)


def test_latency_keeps_the_quantiles_that_are_known() -> None:
    values = np.random.default_rng(3).lognormal(-1.0, 0.5, 20_000)

    stream = made("latency_s", Ranks(np.quantile(values, SHARES), SHARES, 20_000))

    assert Kind.LOG is stream.kind
    share = np.cumsum(stream.counts[: LOG_INNER + 2]) / stream.counts[: LOG_INNER + 2].sum()
    at = log_values(stream.exponent)[np.searchsorted(share, [0.5, 0.95, 0.99])]
    assert at == pytest.approx(np.quantile(values, [0.5, 0.95, 0.99]), rel=0.03)


def test_names_are_exact_and_what_is_not_told_is_other() -> None:
    stream = made("colour", Names({"red": 60, "blue": 30}, rest=10, nulls=5))

    assert ("features.colour", ("blue", "red"), False) == (stream.field, stream.categories, stream.is_complete)
    assert [30, 60, 10, 5] == [int(stream.counts[at]) for at in (0, 1, OTHER, NULL)]


def test_all_names_told_are_all_there_are() -> None:
    assert made("route", Names({"a": 1, "b": 2})).is_complete


def test_yes_no_of_any_spelling() -> None:
    assert [12, 3, 2] == made("unsafe", Names({"True": 3, "False": 12}, nulls=2)).counts[:3].tolist()


@pytest.mark.parametrize(
    ("name", "column", "told"),
    [
        ("unsafe", Names({"maybe": 3}), "yes or no"),
        ("latency_s", Names({"fast": 3}), "must be numbers"),
        ("route", Bars(np.arange(3.0), np.array([20.0, 20.0])), "must be categorical"),
        ("latency_s", Ranks(np.array([-1.0, 2.0]), np.array([0.0, 1.0]), 100), "negative"),
    ],
)
def test_field_that_can_not_be_of_such_values_is_refused(name: str, column: Bars | Names | Ranks, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        stream_of(name, column)


@pytest.mark.parametrize(
    "column",
    [
        Names({}),
        Names({"red": 0}, nulls=9),
        Bars(np.arange(3.0), np.zeros(2)),
        Bars(np.arange(3.0), np.array([10.0, 5.0])),
    ],
)
def test_column_that_holds_too_little_is_left_out(column: Bars | Names) -> None:
    assert stream_of("x", column) is None


@given(st.lists(st.floats(-1e300, 1e300), min_size=30, max_size=60), st.booleans())
def test_any_values_make_a_reference_that_sums_up(values: list[float], are_few: bool) -> None:  # noqa: FBT001
    shares = SHARES if are_few else FINE
    ordered = np.sort(np.array(values))
    known = ordered[(shares * (len(ordered) - 1)).astype(np.int64)]

    stream = made("x", Ranks(known, shares, len(values)))

    assert 30 <= stream.counts[:VALUE_BINS].sum() <= len(values)
    assert stream.groups.max() < 10
