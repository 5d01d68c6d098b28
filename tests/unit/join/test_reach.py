from __future__ import annotations

from monitor.join.reach import Reach


def taken(reach: Reach, offset: int, *generations: int) -> None:
    reach.offset = offset
    reach.note(generations)
    reach.passed(offset + 1)


def test_log_is_read_from_the_first_entry_that_is_of_use() -> None:
    reach = Reach(100)
    for offset, generation in ((100, 1), (101, 1), (105, 2), (109, 3)):
        taken(reach, offset, generation)
    at_first = reach.back_from(110)
    reach.expire(2)
    reach.passed(120)

    assert 100 == at_first
    assert (100, 105, 105) == (reach.back_from(119), reach.back_from(120), reach.back_from(500))


def test_where_nothing_waits_it_is_read_from_where_it_is() -> None:
    reach = Reach(0)
    taken(reach, 3, 1)
    reach.expire(5)
    reach.passed(9)

    assert (3, 9) == (reach.back_from(8), reach.back_from(9))


def test_entry_rests_on_what_it_took_over() -> None:
    reach = Reach(0)
    taken(reach, 3, 1)
    taken(reach, 8, 2)
    reach.inherit(2, 1)
    reach.expire(2)
    reach.passed(10)

    assert 3 == reach.back_from(10)
    reach.expire(3)
    reach.passed(11)
    assert 11 == reach.back_from(11)
