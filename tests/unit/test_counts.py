"""Counts and their windows against sums made the long way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.counts import EMPTY, Counts, Ladder
from monitor.domain import IntArray

HITS = st.lists(st.integers(0, 39), max_size=60)


def counts_of(hits: list[int], size: int = 40) -> Counts:
    return Counts.of_hits([np.array(hits, dtype=np.int64)], size)


def dense(counts: Counts, size: int = 40) -> IntArray:
    return counts.span(0, size).astype(np.int64)


# ---- counts


@given(HITS, st.integers(40, 2_000))
def test_counting_is_the_same_however_few_bins_are_hit(hits: list[int], size: int) -> None:
    counts = counts_of(hits, size)

    at, values = counts.pairs()

    assert np.bincount(hits, minlength=size).tolist() == dense(counts, size).tolist()
    assert sorted(set(hits)) == counts.hits().tolist() == at.tolist()
    assert len(hits) == values.sum()


@given(HITS, HITS)
def test_sum_of_two_is_the_count_of_both(ones: list[int], others: list[int]) -> None:
    total = counts_of(ones).plus(counts_of(others, 90))

    assert dense(counts_of(ones + others, 90), 90).tolist() == dense(total, 90).tolist()


@given(HITS)
def test_adding_and_taking_leaves_what_was_there(hits: list[int]) -> None:
    total = np.arange(50, dtype=np.uint32)
    counts = counts_of(hits)

    counts.add_to(total)
    assert len(hits) == total.sum() - np.arange(50).sum()
    counts.take_from(total)

    assert list(range(50)) == total.tolist()


@given(HITS, st.integers(0, 60), st.integers(0, 60))
def test_span_is_a_slice_with_zeros_beyond(hits: list[int], start: int, length: int) -> None:
    expected = np.bincount(hits, minlength=130)[start : start + length]

    assert expected.tolist() == counts_of(hits).span(start, start + length).tolist()


def test_empty_is_neutral() -> None:
    counts = counts_of([1, 1, 2])

    assert counts.plus(EMPTY) is counts
    assert EMPTY.plus(counts) is counts
    assert 0 == EMPTY.nbytes


# ---- the ladder


PANES = st.lists(
    st.tuples(st.sampled_from([0, 0, 0, 0, 1, 7, 90, 5_000]), HITS, st.integers(0, 40)), min_size=1, max_size=80
)


@settings(deadline=None)
@given(PANES)
def test_windows_are_exact_sums_of_the_time_they_tell(panes: list[tuple[int, list[int], int]]) -> None:
    """With gaps in time, streams that appear, and late counts, against every hit ever made with its time."""
    ladder = Ladder([10.0, 60.0])
    made: list[tuple[float, list[int]]] = []
    now = 0
    for gap, hits, back in panes:
        now += gap
        ladder.append(now, now + 1, counts_of(hits))
        made.append((now, hits))
        now += 1
        late_s = now - back - 0.5
        if ladder.add_late(late_s, counts_of([3, 3, 39])):
            made.append((np.floor(late_s), [3, 3, 39]))
        for window in ladder.windows:
            assert window.first_s is not None
            inside = [hit for start_s, held in made if start_s >= window.first_s for hit in held]
            assert np.bincount(inside, minlength=40).tolist() == window.total(40).tolist()


@settings(deadline=None)
@given(PANES)
def test_span_of_a_window_is_what_was_asked_or_a_third_more(panes: list[tuple[int, list[int], int]]) -> None:
    ladder = Ladder([10.0, 60.0])
    now = 0
    for gap, hits, _ in panes:
        now += gap
        ladder.append(now, now + 1, counts_of(hits))
        now += 1
        for window in ladder.windows:
            assert window.first_s is not None
            reaching = [bucket.end_s - bucket.start_s for bucket in ladder.buckets if window.includes(bucket)]
            assert now - window.first_s <= max(window.span_s * 4 / 3 + 1, window.span_s + max(reaching))


@settings(deadline=None)
@given(PANES)
def test_window_never_goes_back_in_time(panes: list[tuple[int, list[int], int]]) -> None:
    """A short window that has proven the end of an incident must not see it again when buckets are merged."""
    ladder = Ladder([10.0, 60.0])
    began = [-np.inf, -np.inf]
    now = 0
    for gap, hits, _ in panes:
        now += gap
        ladder.append(now, now + 1, counts_of(hits))
        now += 1
        begins = [window.first_s for window in ladder.windows if window.first_s is not None]
        assert all(after >= before for before, after in zip(began, begins, strict=True))
        began = begins


def test_span_is_exact_again_right_after_a_gap() -> None:
    ladder = Ladder([10.0])
    for now in (*range(100), 5_000):
        ladder.append(now, now + 1, counts_of([1]))

    assert 4_991 == ladder.windows[0].first_s
    assert 1 == ladder.windows[0].total(40)[1]


def test_long_run_stays_exact_and_small() -> None:
    """A few thousand panes with streams that appear and late counts, as in a day's life."""
    rng = np.random.default_rng(1)
    ladder = Ladder([10.0, 60.0, 600.0])
    history: list[tuple[int, IntArray]] = []
    size = 40
    for now in range(1_500):
        size += now % 50 == 0
        hits = rng.integers(0, size, rng.integers(0, 30))
        ladder.append(now, now + 1, Counts.of_hits([hits], size))
        history.append((now, np.bincount(hits, minlength=100)))
        if now % 7 == 0 and now > 30:
            late = now - int(rng.integers(0, 25))
            hits = rng.integers(0, size, 3)
            assert ladder.add_late(late + 0.5, Counts.of_hits([hits], size))
            history.append((late, np.bincount(hits, minlength=100)))
        if now % 50 == 0 or now > 1_490:
            for window in ladder.windows:
                assert window.first_s is not None
                expected = sum(h for start_s, h in history if start_s >= window.first_s)
                assert (window.total(100) == expected).all()
                span_s = now + 1 - window.first_s
                assert window.span_s <= span_s <= window.span_s * 4 / 3 or now < window.span_s

    assert len(ladder.buckets) < 40
    assert ladder.nbytes < 100_000


def test_counts_too_old_for_every_bucket_are_refused() -> None:
    ladder = Ladder([10.0])
    for now in range(50):
        ladder.append(now, now + 1, counts_of([1]))

    assert not ladder.add_late(3.5, counts_of([1]))
    assert not ladder.add_late(60.5, counts_of([1]))


def test_every_bucket_begins_where_the_last_one_ended_or_later() -> None:
    ladder = Ladder([60.0])
    for now in range(500):
        ladder.append(now, now + 1, counts_of([1]))
        ends = [bucket.end_s for bucket in ladder.buckets]
        assert [bucket.start_s for bucket in ladder.buckets][1:] == ends[:-1]


@pytest.mark.parametrize("panes", [1, 7, 61])
def test_nothing_is_lost_before_the_window_is_full(panes: int) -> None:
    ladder = Ladder([60.0, 3600.0])
    for now in range(panes):
        ladder.append(now, now + 1, counts_of([5]))

    assert panes == ladder.windows[1].total(40)[5]
