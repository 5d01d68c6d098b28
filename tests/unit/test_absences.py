"""Which partitions event time waits for, and from which panes messages are missing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import pytest

from monitor.absences import Absences, Missing
from monitor.codec import decode, encode
from monitor.domain import PartitionStatus, TopicPartition

A, B, C = (TopicPartition("events", number) for number in range(3))
AWAY_S: Final = 60.0
STALLED_S: Final = 300.0


def absences() -> Absences:
    return Absences(AWAY_S, STALLED_S)


def status(place: TopicPartition, stalled_s: float = 0.0, lag: int = 5) -> PartitionStatus:
    return PartitionStatus(place, 10, 10 + lag, lag, 1.0, stalled_s)


def waited(
    found: Absences, now_s: float, ours: Collection[TopicPartition], away: Collection[TopicPartition] = ()
) -> set[TopicPartition]:
    return set(found.waited_for(ours, away, (), now_s))


class TestAway:
    def test_partitions_that_are_ours_are_waited_for(self) -> None:
        found = absences()

        assert ({A, B}, set()) == (waited(found, 0.0, [A, B]), set(found.absent))

    @pytest.mark.parametrize(("after_s", "is_waited_for"), [(0.0, True), (AWAY_S - 0.1, True), (AWAY_S, False)])
    def test_one_that_left_is_waited_for_and_not_for_ever(self, after_s: float, is_waited_for: bool) -> None:  # noqa: FBT001
        found = absences()
        waited(found, 100.0, [A], [B])

        assert ({A, B} if is_waited_for else {A}) == waited(found, 100.0 + after_s, [A], [B])
        assert (set() if is_waited_for else {B}) == set(found.absent)

    def test_one_that_came_back_is_ours_again_and_the_wait_begins_anew_when_it_leaves(self) -> None:
        found = absences()
        waited(found, 0.0, [A], [B])
        waited(found, AWAY_S, [A], [B])

        assert ({A, B}, set()) == (waited(found, AWAY_S + 1, [A, B]), set(found.absent))
        assert {A, B} == waited(found, AWAY_S + 2, [A], [B])
        assert {A, B} == waited(found, 2 * AWAY_S + 1, [A], [B])
        assert {A} == waited(found, 2 * AWAY_S + 2, [A], [B])

    def test_each_is_waited_for_by_itself(self) -> None:
        found = absences()
        waited(found, 0.0, [A], [B])
        waited(found, 30.0, [A], [B, C])

        assert {A, C} == waited(found, AWAY_S, [A], [B, C])
        assert {A} == waited(found, AWAY_S + 30.0, [A], [B, C])

    def test_nothing_is_ours_any_more(self) -> None:
        found = absences()
        waited(found, 0.0, [], [A])

        assert {A} == waited(found, AWAY_S - 1, [], [A])
        assert (set(), {A}) == (waited(found, AWAY_S, [], [A]), set(found.absent))


class TestStalled:
    @pytest.mark.parametrize(
        ("stalled_s", "lag", "is_waited_for"),
        [(STALLED_S - 1, 5, True), (STALLED_S, 5, False), (STALLED_S, 0, True)],
    )
    def test_one_that_gives_nothing_for_very_long_although_records_wait_is_left_behind(
        self,
        stalled_s: float,
        lag: int,
        is_waited_for: bool,  # noqa: FBT001
    ) -> None:
        found = absences()
        got = found.waited_for([A, B], (), [status(A), status(B, stalled_s, lag)], 0.0)

        assert ({A, B} if is_waited_for else {A}) == set(got)
        assert (set() if is_waited_for else {B}) == set(found.absent)

    def test_where_nothing_moves_at_all_all_are_waited_for(self) -> None:
        found = absences()
        got = found.waited_for([A, B], (), [status(A, STALLED_S), status(B, STALLED_S)], 0.0)

        assert ({A, B}, set()) == (set(got), set(found.absent))

    def test_one_that_moves_again_is_waited_for_again(self) -> None:
        found = absences()
        found.waited_for([A, B], (), [status(A), status(B, STALLED_S)], 0.0)

        assert {A, B} == found.waited_for([A, B], (), [status(A), status(B, 0.0)], 1.0)
        assert not found.absent

    def test_what_is_known_of_one_that_has_just_left_does_not_count(self) -> None:
        """Statuses are some moments old: B stood still too, and is away now. What is left stands still, all of it."""
        found = absences()
        got = found.waited_for([A], [B], [status(A, STALLED_S), status(B, STALLED_S)], 0.0)

        assert ({A, B}, set()) == (set(got), set(found.absent))


class TestMissing:
    def follow(self, missing: Missing, *events: tuple[TopicPartition, float]) -> None:
        sources = sorted({place for place, _ in events})
        missing.follow(
            sources,
            np.array([sources.index(place) for place, _ in events], dtype=np.int64),
            np.array([time_s for _, time_s in events]),
        )

    def test_nothing_is_missing_at_first(self) -> None:
        assert not Missing().is_any(0.0)

    def test_absent_partitions_are_missing_from_what_closes_meanwhile(self) -> None:
        missing = Missing()
        missing.is_absent = True
        assert missing.is_any(1e9)
        missing.is_absent = False

        assert not missing.is_any(0.0)

    def test_gap_ends_at_the_first_event_after_it(self) -> None:
        missing = Missing()
        missing.note_gaps([A])
        assert missing.is_any(1_000.0)

        self.follow(missing, (A, 500.0), (A, 400.0), (A, 900.0))

        assert [True, True, False] == [missing.is_any(start_s) for start_s in (0.0, 499.0, 500.0)]

    def test_events_of_other_partitions_do_not_end_it(self) -> None:
        missing = Missing()
        missing.note_gaps([A, B])
        self.follow(missing, (C, 500.0), (B, 450.0), (C, 600.0))
        assert missing.is_any(1_000.0)

        self.follow(missing, (A, 300.0))

        assert [True, False] == [missing.is_any(start_s) for start_s in (449.0, 450.0)]  # the later of both ends

    def test_it_outlives_the_process(self) -> None:
        before, after = Missing(), Missing()
        before.note_gaps([A, B])
        self.follow(before, (B, 450.0))
        after.restore(decode(encode(before.state()), "missing"))
        assert after.is_any(1_000.0)
        self.follow(after, (A, 10.0))

        assert [True, False] == [after.is_any(start_s) for start_s in (449.0, 450.0)]

    def test_state_of_an_earlier_version_is_that_nothing_is_missing(self) -> None:
        missing = Missing()
        missing.restore({})

        assert not missing.is_any(0.0)
