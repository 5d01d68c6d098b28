"""Places, positions and marks of several logs that are read as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import braid
from monitor.braid import Braid, Marks, Path, Piece, marks_of
from monitor.braids import starts_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.braid import Place

walks = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), min_size=1, max_size=60)
numbers = st.integers(0, 10**15)


def walked(steps: Sequence[tuple[int, int]]) -> tuple[Path, list[Place]]:
    """Give a path, and the place at each of its positions."""
    path, here = Path((7, 0, 3)), [7, 0, 3]
    places = [path.end]
    for log, count in steps:
        for _ in range(count):
            here[log] += 1
            places.append((here[0], here[1], here[2]))
        path.go(log, here[log])
    return path, places


@given(walks)
def test_each_position_has_its_place_and_each_message_its_log(steps: list[tuple[int, int]]) -> None:
    path, places = walked(steps)

    assert places == [path.place(10 + i) for i in range(len(places))]
    logs, offsets = path.messages(np.arange(10, 10 + len(places) - 1))
    for here, there, log, offset in zip(places, places[1:], logs.tolist(), offsets.tolist(), strict=False):
        assert (*here[:log], offset + 1, *here[log + 1 :]) == there
    for i, place in enumerate(places):
        assert path.before(10 + i) in places[: i + 1]
        for log in range(3):
            assert path.before_message(log, place[log])[log] <= place[log]


@given(walks, st.data())
def test_thinned_it_is_exact_from_a_position_on(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    path, places = walked(steps)
    known = data.draw(st.integers(0, len(places) - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(braid, "POINTS_MAX", 2)
        path.thin(10 + known)

    assert places[known:] == [path.place(10 + i) for i in range(known, len(places))]
    assert all(path.before(10 + i) in places[: i + 1] for i in range(len(places)))
    path.go(1, path.end[1] + 1)
    assert (places[-1][0], places[-1][1] + 1, places[-1][2]) == path.end


def test_what_is_not_on_the_path_has_no_place() -> None:
    for position in (9, 12):
        with pytest.raises(ValueError, match="not on the path from 10 to 11"):
            walked([(0, 1)])[0].place(position)


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=2, max_size=4), st.integers(0, 10**15))
def test_marks_are_read_as_they_were_written(logs: list[tuple[int, int, int, int]], epoch: int) -> None:
    start, acked, limit, back = map(tuple, zip(*logs, strict=True))
    marks = Marks(epoch, start, acked, limit, back)

    assert marks == marks_of(start[0], marks.to_text(), len(logs))
    assert marks_of(start[0] + 1, marks.to_text(), len(logs)) is None  # somebody has set the offset
    assert marks_of(start[0], marks.to_text(), len(logs) + 1) is None
    each = [starts_at(start[0], marks.to_text(), number, 5, len(logs)) for number in range(len(logs))]
    assert [(at, min(at - 5, far)) for at, far in zip(start, back, strict=True)] == each


def test_without_marks_the_first_log_starts_where_the_group_is_and_the_others_as_if_new() -> None:
    assert [(100, 95), None] == [starts_at(100, "driftd2:1:100:20", number, 5, 2) for number in (0, 1)]


def pieces(first: int, times_s: Sequence[float]) -> Piece:
    return Piece(list(b"x" * len(times_s)), np.arange(first, first + len(times_s)), (), np.array(times_s))  # type: ignore[arg-type]


def read(held: Braid, ends: Sequence[bool] = (False, False)) -> list[tuple[int, int, int]]:
    """Give log, first and next offset of what is read."""
    return [(each.log, each.piece.first, each.piece.next) for each in held.read(lambda log: ends[log])]


def begun(marks: Marks | None = None, at: tuple[int, int] = (0, 0)) -> Braid:
    held = Braid(2)
    held.begin(at)
    held.found(marks)
    held.committed(sum(at))
    return held


def test_nothing_is_read_until_it_is_claimed() -> None:
    held = Braid(2)
    held.put(0, pieces(5, [1.0]))
    held.begin([None, 7])
    assert [] == read(held)
    assert (5, 7) == held.path.end  # type: ignore[union-attr]
    held.found(None)
    held.committed(12)

    assert [(0, 5, 6)] == read(held, (False, True))


def test_what_was_written_first_is_read_first_and_of_one_moment_the_first_log_last() -> None:
    held = begun()
    held.put(0, pieces(0, [1.0, 1.1, 2.0, 9.0]))
    held.put(1, pieces(0, [1.2, 3.0]))

    assert [(1, 0, 1), (0, 0, 3), (1, 1, 2)] == read(held)
    assert [(0, 3, 4)] == read(held, (False, True))


def test_log_without_times_is_read_as_it_comes() -> None:
    held = begun()
    held.put(0, pieces(0, [-np.inf, -np.inf]))

    assert [(0, 0, 2)] == read(held)


def test_what_another_may_have_sent_is_read_one_log_after_the_other() -> None:
    marks = Marks(1, (2, 2), (3, 3), (5, 4), (0, 0))
    held = begun(marks)
    for log in (0, 1):
        held.put(log, pieces(0, [1.0 + 0.01 * i for i in range(6)]))

    found = read(held, (True, True))

    assert [(1, 0, 2), (0, 0, 2), (1, 2, 3), (0, 2, 3), (0, 3, 5), (1, 3, 4), (1, 4, 6), (0, 5, 6)] == found
    assert [(2, 2), (3, 3), (5, 4)] == [held.path.place(sum(each)) for each in marks[1:4]]  # type: ignore[union-attr]


def test_what_was_acknowledged_stays_so_while_it_is_read_again() -> None:
    """Another may have gone on from there, and what it sent lies on the way from there to the limit alone."""
    held = begun(Marks(1, (2, 2), (3, 3), (5, 4), (2, 2)), (2, 2))

    assert [(3, 3), (5, 4)] == [held.acked(4), held.place(9)]
    held.put(0, pieces(2, [1.0] * 3))
    held.put(1, pieces(2, [1.0]))
    list(held.read(lambda _: True))
    assert [(3, 3), (4, 3)] == [held.acked(6), held.acked(7)]


def test_gap_is_passed_in_the_order_of_the_logs_also_where_it_goes_beyond_the_limit() -> None:
    held = begun(Marks(1, (0, 0), (0, 0), (3, 2), (0, 0)))
    held.put(0, Piece(gap=(0, 9)))
    held.put(1, pieces(0, [1.0, 1.0]))

    found = [(each.log, each.piece.gap, each.piece.first + each.shift) for each in held.read(lambda _: True)]

    assert [(0, (0, 3), 0), (1, None, 3), (0, (3, 9), 5)] == found
