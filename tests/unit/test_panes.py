"""Open panes give back what was put in, by pane and arena."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.bins import Arena
from monitor.counts import Counts
from monitor.panes import OpenPanes

ADDED = st.lists(
    st.tuples(st.sampled_from(Arena), st.lists(st.tuples(st.integers(0, 99), st.integers(-3, 5)))), max_size=8
)


@given(ADDED)
def test_every_hit_comes_back_once_from_its_pane_and_arena(added: list[tuple[Arena, list[tuple[int, int]]]]) -> None:
    panes = OpenPanes()
    put: Counter[tuple[int, Arena, int]] = Counter()
    for arena, hits in added:
        flat, at = np.array([f for f, _ in hits], dtype=np.int64), np.array([p for _, p in hits], dtype=np.int64)
        panes.add(arena, flat, at)
        put.update((pane, arena, hit) for hit, pane in hits)
    used = {pane for pane, _, _ in put}
    assert (min(used, default=None), max(used, default=None), len(used)) == (panes.first, panes.last, len(panes))

    got: Counter[tuple[int, Arena, int]] = Counter()
    for pane in range(-4, 7):
        for arena, parts in zip(Arena, panes.take(pane), strict=True):
            for part in parts:
                assert not isinstance(part, Counts)
                got.update((pane, arena, int(hit)) for hit in part)

    assert put == got
    assert 0 == len(panes)


def test_pane_that_was_taken_is_empty() -> None:
    panes = OpenPanes()
    panes.add(Arena.FLAGS, np.array([1]), np.array([7]))

    panes.take(7)

    assert ([], [], []) == panes.take(7)
    assert panes.first is None


@given(ADDED, st.integers(1, 20))
def test_bytes_held_are_those_of_the_parts_and_none_once_all_is_taken(
    added: list[tuple[Arena, list[tuple[int, int]]]], hits_max: int
) -> None:
    panes = OpenPanes(hits_max)
    for arena, hits in added:
        flat = np.array([f for f, _ in hits], dtype=np.int64)
        panes.add(arena, flat, np.array([p for _, p in hits], dtype=np.int64))
        panes.add_late(arena, flat)
    states = {section.name: section.make() for section in panes.sections("open")}
    again = OpenPanes()
    again.restore("open", states)

    for each in (panes, again):
        held = each.nbytes
        parts = [part for pane in range(-4, 7) for waiting in each.take(pane) for part in waiting]
        parts += [part for arena in Arena for part in each.take_late(arena)]
        assert held == sum(part.nbytes for part in parts)
        assert 0 == each.nbytes
