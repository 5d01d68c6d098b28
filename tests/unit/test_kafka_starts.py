"""Positions of topics that were made anew: all of the new log is unread, and that is said or fatal."""

from __future__ import annotations

from typing import Final

import pytest

from monitor.domain import Gap, TopicPartition
from monitor.errors import SourceError
from monitor.sources.kafka_starts import Starts, StartTerms

FIRST, SECOND, THIRD = (TopicPartition("events", number) for number in range(3))
OTHER: Final = TopicPartition("others", 0)


def starts(terms: StartTerms) -> Starts:
    made = Starts(terms, lambda _: None)
    made.open({FIRST: 30, SECOND: 0, THIRD: 9, OTHER: 70})
    return made


def test_topic_made_anew_is_read_from_its_start_and_each_partition_that_was_read_is_a_gap() -> None:
    held = starts(StartTerms(on_gap="accept-gap"))

    held.renew("events", 2)

    assert {FIRST: 0, SECOND: 0, OTHER: 70} == held.positions
    assert [Gap(FIRST, 30, 0)] == held.take_gaps()
    assert {"events": 1} == held.gaps


def test_topic_made_anew_is_fatal_where_gaps_are_not_accepted() -> None:
    held = starts(StartTerms())

    with pytest.raises(SourceError, match=r"'events' was deleted and made anew.*\(next offsets by partition: 0: 30, 2"):
        held.renew("events", 2)

    assert 30 == held.positions[FIRST]


def test_topic_of_which_nothing_was_read_may_be_made_anew() -> None:
    held = Starts(StartTerms(), lambda _: None)
    held.open({FIRST: 0})

    held.renew("events", 1)

    assert ({FIRST: 0}, []) == (held.positions, held.take_gaps())
