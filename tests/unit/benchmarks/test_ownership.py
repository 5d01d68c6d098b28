"""Who worked on what from when to when, by the logs of made-up replicas."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.scaleout.ownership import Owned

OVER_S = 100.0


def took(court: int, at_s: float) -> dict[str, Any]:
    return {"event": "court taken up", "court": court, "wall_s": at_s}


def gave(court: int, at_s: float, event: str = "court given up") -> dict[str, Any]:
    return {"event": event, "court": court, "wall_s": at_s}


def claimed(source: str, at_s: float) -> dict[str, Any]:
    return {"event": "partition claimed", "source": source, "wall_s": at_s}


def test_court_is_nobodys_from_a_kill_until_another_takes_it_up() -> None:
    owned = Owned(hurt_s=[30.0])
    owned.add([took(1, 5.0)], [30.0], OVER_S)
    owned.add([took(1, 37.5)], [], OVER_S)

    assert [("1", 30.0, 37.5)] == owned.gaps(OVER_S)
    assert (7.5, 7.5) == (owned.unowned_max_s(OVER_S), owned.failover_max_s(OVER_S))


def test_one_that_was_stopped_and_not_missed_works_on() -> None:
    """As where brokers were away meanwhile, and all sessions began anew: it says nothing, for nothing has changed."""
    owned = Owned(hurt_s=[30.0, 50.0])
    owned.add([took(1, 5.0)], [30.0, 50.0], OVER_S, [38.0])
    owned.add([took(1, 62.0)], [], OVER_S)

    assert [("1", 30.0, 38.0), ("1", 50.0, 62.0)] == owned.gaps(OVER_S)


@pytest.mark.parametrize("after", [gave(1, 38.5), took(1, 46.0), gave(1, 38.5, "court is another's")])
def test_one_that_was_stopped_and_missed_had_nothing_when_it_went_on(after: dict[str, Any]) -> None:
    owned = Owned(hurt_s=[30.0])
    owned.add([took(1, 5.0), after], [30.0], OVER_S, [38.0])
    owned.add([took(1, 44.0)], [], OVER_S)

    assert [("1", 30.0, 44.0)] == owned.gaps(OVER_S)


def test_partition_that_is_not_assigned_after_a_stop_was_anothers() -> None:
    owned = Owned()
    assigned = {"event": "partitions assigned", "partitions": [], "wall_s": 38.5}
    owned.add([claimed("t/0", 5.0), assigned], [30.0], OVER_S, [38.0])
    owned.add([claimed("t/0", 37.0)], [], OVER_S)

    assert [("t/0", 30.0, 37.0)] == owned.gaps(OVER_S)


def test_one_that_overlaps_leaves_no_gap() -> None:
    owned = Owned()
    owned.add([took(1, 5.0), gave(1, 40.0)], [], OVER_S)
    owned.add([took(1, 39.0)], [], OVER_S)

    assert [] == owned.gaps(OVER_S)
    assert 0.0 == owned.unowned_max_s(OVER_S)


@pytest.mark.parametrize("event", ["court given up", "court is another's"])
def test_what_is_given_up_is_nobodys_and_no_failover(event: str) -> None:
    owned = Owned()
    owned.add([took(1, 5.0), gave(1, 20.0, event), took(1, 22.0)], [], OVER_S)

    assert (2.0, 0.0) == (owned.unowned_max_s(OVER_S), owned.failover_max_s(OVER_S))


def test_failover_counts_from_the_last_that_was_hurt_and_the_gap_from_the_first() -> None:
    owned = Owned(hurt_s=[30.0, 36.0])
    owned.add([took(1, 5.0)], [30.0], OVER_S)
    owned.add([took(2, 5.0)], [36.0], OVER_S)
    owned.add([took(1, 43.0), took(2, 43.5)], [], OVER_S)

    assert (13.0, 7.5) == (owned.unowned_max_s(OVER_S), owned.failover_max_s(OVER_S))


def test_time_without_a_broker_is_left_out() -> None:
    owned = Owned(outages=[(31.0, 41.0)], hurt_s=[30.0])
    owned.add([took(1, 5.0)], [30.0], OVER_S)
    owned.add([took(1, 45.0)], [], OVER_S)

    assert (5.0, 4.0) == (owned.unowned_max_s(OVER_S), owned.failover_max_s(OVER_S))


def test_one_that_is_hurt_after_brokers_are_back_counts_from_there() -> None:
    owned = Owned(outages=[(31.0, 41.0)], hurt_s=[30.0, 43.0])
    owned.add([took(1, 5.0)], [30.0], OVER_S)
    owned.add([took(2, 5.0)], [43.0], OVER_S)
    owned.add([took(1, 50.0), took(2, 48.0)], [], OVER_S)

    assert 7.0 == owned.failover_max_s(OVER_S)


def test_what_is_nobodys_at_the_end_counts_up_to_it_and_what_comes_later_does_not_count() -> None:
    owned = Owned(hurt_s=[80.0])
    owned.add([took(1, 5.0), took(1, 120.0)], [80.0], OVER_S)

    assert (20.0, 0.0) == (owned.unowned_max_s(OVER_S), owned.failover_max_s(OVER_S))


def test_partitions_that_are_not_among_the_assigned_any_more_are_given_up() -> None:
    owned = Owned()
    assigned = {"event": "partitions assigned", "partitions": ["t/1"], "wall_s": 50.0}
    owned.add([claimed("t/0", 5.0), claimed("t/1", 5.0), assigned], [], OVER_S)
    owned.add([claimed("t/0", 52.0)], [], OVER_S)

    assert [("t/0", 50.0, 52.0)] == owned.gaps(OVER_S)


def test_one_killed_and_started_anew_owns_again_what_it_takes_up() -> None:
    owned = Owned(hurt_s=[30.0, 60.0])
    owned.add([took(1, 5.0), took(1, 34.0), took(1, 66.0)], [30.0, 60.0], OVER_S)

    assert [("1", 30.0, 34.0), ("1", 60.0, 66.0)] == owned.gaps(OVER_S)
    assert 6.0 == owned.failover_max_s(OVER_S)
