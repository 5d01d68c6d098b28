"""Positions of topics that were made anew: all of the new log is unread, and that is said or fatal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast

import pytest
from confluent_kafka import TopicPartition as KafkaPartition

from monitor import braids
from monitor.claims import starts_at
from monitor.domain import Gap, TopicPartition
from monitor.errors import SourceError
from monitor.sources.kafka_starts import Starts, StartTerms

if TYPE_CHECKING:
    from confluent_kafka import Consumer

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


class Group:
    """A consumer whose group has committed 100 for each partition, with a text. lows: where logs begin, if told."""

    def __init__(self, text: str, lows: Mapping[TopicPartition, int]) -> None:
        self._text = text
        self._lows = lows

    def committed(self, asked: Sequence[KafkaPartition], _: float) -> list[KafkaPartition]:
        return [KafkaPartition(each.topic, each.partition, 100, metadata=self._text) for each in asked]

    def list_topics(self, topic: str, _: float) -> SimpleNamespace:
        return SimpleNamespace(topics={topic: None})

    def offsets_for_times(self, asked: Sequence[KafkaPartition], _: float) -> list[KafkaPartition]:
        found = [(each, self._lows.get(TopicPartition(each.topic, each.partition), -1001)) for each in asked]
        return [KafkaPartition(each.topic, each.partition, offset) for each, offset in found]


@pytest.mark.parametrize(
    ("text", "low", "first"),
    [
        ("", 0, 93),
        ("", 97, 97),
        ("driftd1:1:100", 0, 93),
        ("driftd2:1:100:40", 0, 40),
        ("driftd2:1:100:99", 0, 93),
        ("driftd2:1:100:40", 60, 60),
        ("driftd2:1:100:40", 120, 100),
    ],
)
def test_reading_begins_before_what_is_committed_as_far_as_that_says(text: str, low: int, first: int) -> None:
    held = Starts(StartTerms(starts_at=partial(starts_at, before=7)), lambda _: None)

    found = held.settle(cast("Consumer", Group(text, {FIRST: low})), [FIRST], lambda: 0.0)

    assert {FIRST: first} == found


def test_follower_starts_by_what_is_committed_with_the_first_topic() -> None:
    told = TopicPartition("told", FIRST.partition)
    text = "driftd3:5:100,110,120,40;7,8,9,3"
    terms = StartTerms(starts_at=partial(braids.starts_at, before=7, topics=2), leader=FIRST.topic, followers=("told",))
    held = Starts(terms, lambda _: None)

    found = held.settle(cast("Consumer", Group(text, {FIRST: 0, told: 2})), [FIRST, told], lambda: 0.0)

    assert {FIRST: 40, told: 2} == found


def test_follower_that_was_read_apart_before_goes_on_where_it_was() -> None:
    told = TopicPartition("told", FIRST.partition)
    terms = StartTerms(starts_at=partial(braids.starts_at, before=7, topics=2), leader=FIRST.topic, followers=("told",))
    held = Starts(terms, lambda _: None)

    found = held.settle(cast("Consumer", Group("", {FIRST: 0, told: 0})), [FIRST, told], lambda: 0.0)

    assert {FIRST: 93, told: 100} == found


def test_where_nobody_tells_how_far_back_there_are_messages_it_waits() -> None:
    """To begin at what is committed would lose what may be joined."""
    held = Starts(StartTerms(starts_at=partial(starts_at, before=7)), lambda _: None)

    found = held.settle(cast("Consumer", Group("", {FIRST: 0})), [FIRST, SECOND], lambda: 0.0)
    later = held.settle(cast("Consumer", Group("", {FIRST: 0, SECOND: 98})), [FIRST, SECOND], lambda: 9.0)

    assert ({FIRST: 93}, {FIRST: 93, SECOND: 98}) == (found, later)


def test_topic_of_which_nothing_was_read_may_be_made_anew() -> None:
    held = Starts(StartTerms(), lambda _: None)
    held.open({FIRST: 0})

    held.renew("events", 1)

    assert ({FIRST: 0}, []) == (held.positions, held.take_gaps())
