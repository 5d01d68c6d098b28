"""Classes: where a value stands in its reference, in a form that all streams share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor.bins import VALUE_BINS
from monitor.sequential.scores import (
    CELLS,
    CLASSES,
    LOCATION,
    NOVEL,
    SCORES,
    TAILS,
    cell_shares,
    class_shares,
    classes_by_frequency,
    classes_by_value,
)

COUNTS = arrays(np.uint32, (1, VALUE_BINS), elements=st.integers(0, 10_000)).filter(lambda counts: bool(counts.any()))
MIDDLE = (NOVEL - 1) // 2


def counts_of(**at: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    counts = np.zeros((1, VALUE_BINS), dtype=np.uint32)
    for name, count in at.items():
        counts[0, int(name.removeprefix("bin"))] = count
    return counts


def test_the_median_is_in_the_middle_and_what_is_beyond_all_values_is_outermost() -> None:
    classes = classes_by_value(counts_of(bin10=100, bin20=100, bin30=100))[0]
    assert classes[20] == MIDDLE
    assert classes[10] < MIDDLE < classes[30]
    assert all(classes[:10] == 0)
    assert all(classes[31:] == NOVEL - 1)


def test_an_empty_bin_between_values_takes_the_rank_it_stands_at() -> None:
    classes = classes_by_value(counts_of(bin10=100, bin30=100))[0]
    assert all(classes[11:30] == MIDDLE)


def test_a_constant_stream_is_all_middle_and_all_else_is_outermost() -> None:
    classes = classes_by_value(counts_of(bin7=1_000))[0]
    assert classes[7] == MIDDLE
    assert all(classes[:7] == 0)
    assert all(classes[8:] == NOVEL - 1)


@given(COUNTS)
def test_classes_ascend_with_value(counts: np.ndarray[tuple[int, int], np.dtype[np.uint32]]) -> None:
    classes = classes_by_value(counts)[0]
    assert all(np.diff(classes.astype(int)) >= 0)
    assert all(classes < NOVEL)


@given(COUNTS, st.integers(1, 5))
def test_any_monotone_change_of_unit_gives_the_same_classes(
    counts: np.ndarray[tuple[int, int], np.dtype[np.uint32]], seed: int
) -> None:
    # A monotone map moves the same values, in the same order, to other bins: here, to any others.
    held = np.flatnonzero(counts[0])
    moved = np.sort(np.random.default_rng(seed).choice(VALUE_BINS, len(held), replace=False))
    other = np.zeros_like(counts)
    other[0, moved] = counts[0, held]
    assert classes_by_value(counts)[0, held].tolist() == classes_by_value(other)[0, moved].tolist()


@given(COUNTS)
def test_the_commonest_category_has_the_lowest_class_and_what_was_never_seen_is_novel(
    counts: np.ndarray[tuple[int, int], np.dtype[np.uint32]],
) -> None:
    classes = classes_by_frequency(counts)[0]
    by_count = np.argsort(-counts[0].astype(np.int64), kind="stable")
    seen = by_count[counts[0, by_count] > 0]
    assert all(np.diff(classes[seen].astype(int)) >= 0)
    assert all((classes == NOVEL) == (counts[0] == 0))


def test_ties_of_categories_are_taken_in_the_order_of_bins() -> None:
    classes = classes_by_frequency(counts_of(bin3=50, bin8=50))[0]
    assert classes[3] < classes[8]


@given(COUNTS, st.booleans())
def test_shares_of_classes_and_of_cells_are_of_one_whole(
    counts: np.ndarray[tuple[int, int], np.dtype[np.uint32]],
    is_categorical: bool,  # noqa: FBT001
) -> None:
    classes = (classes_by_frequency if is_categorical else classes_by_value)(counts)
    shares, events = class_shares(counts, classes)
    assert shares.sum() == pytest.approx(1.0)
    assert np.all(shares >= 0.0)
    assert shares[0, NOVEL] > 0.0
    assert events[0] == counts.sum()
    assert cell_shares(shares).sum() == pytest.approx(1.0, abs=1e-4)


def test_polynomial_scores_are_orthonormal_under_the_normal_distribution() -> None:
    rng = np.random.default_rng(5)
    counts = np.bincount(np.clip(np.rint(rng.normal(29.0, 4.0, 200_000)), 0, 58).astype(int), minlength=59)[None]
    shares, _ = class_shares(counts.astype(np.uint32), classes_by_value(counts.astype(np.uint32)))
    scores = SCORES[:, :TAILS]
    products = (shares[0][:, None, None] * scores[:, :, None] * scores[:, None, :]).sum(axis=0)
    # Classes end at 3 standard deviations, so high powers lack a part of their tails; the fourth almost a half.
    assert products == pytest.approx(np.eye(TAILS), abs=0.25)
    assert products[LOCATION, LOCATION] == pytest.approx(1.0, abs=0.02)


def test_there_is_a_score_for_each_class_and_none_for_the_novel() -> None:
    assert len(SCORES) == CLASSES
    assert not SCORES[NOVEL].any()
    assert CELLS == 11
