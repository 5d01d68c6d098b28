"""Duplicates within bounded memory, whatever the batches."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from monitor.duplicates import Duplicates


def seen(duplicates: Duplicates, ids: list[str | None]) -> list[bool]:
    found = duplicates.seen(ids)
    return [False] * len(ids) if found is None else found.tolist()


def test_ids_are_told_within_and_across_batches() -> None:
    duplicates = Duplicates(100)

    assert [False, False, True] == seen(duplicates, ["a", "b", "a"])
    assert [True, False] == seen(duplicates, ["b", "c"])


def test_plain_batches_cost_no_array() -> None:
    duplicates = Duplicates(100)

    assert duplicates.seen(["a", None, None, "b"]) is None
    assert duplicates.seen([]) is None


def test_no_id_is_no_duplicate() -> None:
    assert [False, False, False, True] == seen(Duplicates(9), [None, None, "a", "a"])


def test_zero_switches_it_off() -> None:
    assert Duplicates(0).seen(["a", "a"]) is None


IDS = st.lists(st.none() | st.integers(0, 25).map(str), max_size=60)


@given(IDS, st.integers(1, 8), st.lists(st.integers(0, 60)))
def test_cutting_into_batches_changes_nothing(ids: list[str | None], ids_max: int, cuts: list[int]) -> None:
    whole, pieces = Duplicates(ids_max), Duplicates(ids_max)
    bounds = sorted({0, len(ids), *(cut for cut in cuts if cut < len(ids))})

    parts = [seen(pieces, ids[a:b]) for a, b in pairwise(bounds)]

    assert seen(whole, ids) == [one for part in parts for one in part]


@given(IDS, st.integers(1, 8))
def test_at_least_the_last_ids_are_remembered_and_memory_is_bounded(ids: list[str | None], ids_max: int) -> None:
    duplicates = Duplicates(ids_max)
    for at, event_id in enumerate(ids):
        last = [i for i in ids[:at] if i is not None]
        recent = set(last[-ids_max:])
        (found,) = seen(duplicates, [event_id])
        assert not (event_id in recent and not found)
        assert not (found and event_id not in last)
        assert duplicates._young.count + duplicates._old.count <= 2 * ids_max
