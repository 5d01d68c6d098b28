"""The Kafka source on an embedded broker: answers that fail to come, outages; and batches of messages made by hand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import TopicPartition
from monitor.embedded import EmbeddedBroker
from monitor.errors import SourceError
from monitor.intake import Origin
from monitor.sources.kafka_batch import Batches
from tests.support.sources import Member, numbered, options_of, produce

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOPIC = "events"
PLACES = [TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1), TopicPartition(TOPIC, 2)]
OFFSET_FETCH = 9
OURS = frozenset(PLACES)


class Shifted:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class House:
    """An embedded broker with one topic of three partitions, and one member."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self.broker = broker
        self.clock = Shifted()
        self.members: list[Member] = []

    def member(self, stored: dict[TopicPartition, int] | None = None, outage_s_max: float = 600.0) -> Member:
        options = options_of(self.broker.bootstrap_servers, "group", socket_timeout_ms=3_000)
        made = Member(options, TOPIC, stored=stored, clock=self.clock, outage_s_max=outage_s_max)
        self.members.append(made)
        return made


@pytest.fixture
def house() -> Iterator[House]:
    with EmbeddedBroker({TOPIC: 3}) as broker:
        made = House(broker)
        yield made
        for member in made.members:
            member.source.close()


class TestStart:
    def test_broker_that_can_not_say_where_to_start_is_asked_again_and_nothing_is_passed_over(
        self, house: House
    ) -> None:
        produce(house.broker.bootstrap_servers, TOPIC, numbered(10, 3))
        house.broker.fail_next(OFFSET_FETCH, [KafkaError.GROUP_AUTHORIZATION_FAILED] * 2)
        member = house.member({PLACES[0]: 4})
        member.until(member.source.trouble, "trouble")
        unsettled = member.source.intake().unsettled
        before = member.source.positions()
        member.read(26)

        assert 2 == unsettled
        assert {PLACES[0]} == before.keys()  # the one that is known needs no answer
        assert [list(range(4, 10)), list(range(10)), list(range(10))] == [member.offsets[each] for each in PLACES]
        assert "" == member.source.trouble()

    def test_what_is_held_from_the_beginning_is_never_started(self, house: House) -> None:
        produce(house.broker.bootstrap_servers, TOPIC, numbered(10, 3))
        member = house.member()
        member.source.hold(PLACES[:1])
        member.read(20)
        member.for_s(0.3)

        assert set(PLACES[1:]) == member.offsets.keys()
        assert set(PLACES) == set(member.source.assigned() or ())
        assert 0 == member.source.intake().unsettled

    def test_assignor_of_another_kind_is_overruled(self, house: House) -> None:
        options = options_of(house.broker.bootstrap_servers, "other", partition_assignment_strategy="range")
        member = Member(options, TOPIC)
        house.members.append(member)
        produce(house.broker.bootstrap_servers, TOPIC, numbered(1, 3))

        member.read(3)

    def test_partitions_of_other_topics_are_not_away(self, house: House) -> None:
        member = house.member({TopicPartition("former", 0): 7, TopicPartition(TOPIC, 9): 1})

        assert () == tuple(member.source.away())
        member.until(member.source.assigned, "the assignment")
        assert [TopicPartition(TOPIC, 9)] == list(member.source.away())

    @pytest.mark.parametrize("positions", ["ours", "group"])
    def test_partitions_of_others_are_not_away_where_work_is_shared(
        self, house: House, positions: Literal["ours", "group"]
    ) -> None:
        options = options_of(house.broker.bootstrap_servers, "group")
        member = Member(options, TOPIC, stored={TopicPartition(TOPIC, 9): 1}, positions=positions)
        house.members.append(member)

        member.until(member.source.assigned, "the assignment")

        assert [] == list(member.source.away())


class TestOutage:
    def test_quiet_counts_from_when_brokers_are_back(self, house: House) -> None:
        member = house.member()
        produce(house.broker.bootstrap_servers, TOPIC, numbered(1, 3))
        member.read(3)
        member.until(lambda: len(member.source.idle()[0]) == 3, "all to be idle")
        house.broker.set_broker_down()
        house.clock.ahead_s += 30.0
        member.for_s(0.2)
        away = member.source.idle()

        house.broker.set_broker_up()
        member.until(lambda: not member.source.trouble(), "brokers to be back")
        back = member.source.idle()
        house.clock.ahead_s += 1.0
        member.until(lambda: len(member.source.idle()[0]) == 3, "all to be idle again")

        assert ((), 0.0) == away
        assert ([], 0.0) == back
        assert 1.0 < member.source.idle()[1] < 25.0

    def test_outage_is_trouble_at_first_and_fatal_after_long(self, house: House) -> None:
        member = house.member(outage_s_max=600.0)
        produce(house.broker.bootstrap_servers, TOPIC, numbered(1, 3))
        member.read(3)
        house.broker.set_broker_down()
        house.clock.ahead_s += 20.0
        member.for_s(0.2)
        trouble = member.source.trouble()
        stalled_s = {each.stalled_s for each in member.source.status()}
        idle = member.source.idle()

        assert "no broker has answered for a while" == trouble
        assert {0.0} == stalled_s
        assert ((), 0.0) == (tuple(idle[0]), idle[1])
        house.clock.ahead_s += 540.0
        member.poll()
        house.clock.ahead_s += 50.0
        with pytest.raises(SourceError, match=r"no broker has answered for 6\d\d s \(kafka.outage_s_max is 600\)"):
            member.for_s(20)

    def test_process_that_slept_is_not_cut_off(self, house: House) -> None:
        member = house.member(outage_s_max=60.0)
        produce(house.broker.bootstrap_servers, TOPIC, numbered(1, 3))
        member.read(3)
        house.clock.ahead_s += 3_600.0
        member.for_s(0.5)

        assert "" == member.source.trouble()

    def test_outage_without_end_is_waited_for_if_that_is_wanted(self, house: House) -> None:
        member = house.member(outage_s_max=0.0)
        house.broker.set_broker_down()
        for _ in range(4):
            house.clock.ahead_s += 3_600.0
            member.poll()

        assert "no broker has answered for a while" == member.source.trouble()

    def test_broker_that_comes_back_is_read_on_from_where_it_was(self, house: House) -> None:
        member = house.member()
        produce(house.broker.bootstrap_servers, TOPIC, numbered(5, 3))
        member.read(15)
        house.broker.set_broker_down()
        house.clock.ahead_s += 20.0
        member.for_s(0.2)
        house.broker.set_broker_up()
        produce(house.broker.bootstrap_servers, TOPIC, numbered(5, 3))
        member.read(30)

        assert [] == member.doubles()
        assert "" == member.source.trouble()


# ---- batches


def messages(places: Sequence[tuple[int, int]], topic: str = TOPIC) -> list[Message]:
    """Give messages: partition, offset."""
    return [
        Message(topic=topic, partition=partition, offset=offset, value=b"%d/%d" % (partition, offset))
        for partition, offset in places
    ]


class TestBatches:
    @given(st.lists(st.integers(0, 2), min_size=1, max_size=50))
    @settings(deadline=None)
    def test_messages_keep_their_order_places_and_offsets(self, partitions: list[int]) -> None:
        counts = [0, 0, 0]
        places = []
        for each in partitions:
            places.append((each, counts[each]))
            counts[each] += 1
        positions: dict[TopicPartition, int] = {}

        batch, lasts = Batches(positions, has_many_topics=False).batch(messages(places), OURS)

        assert [b"%d/%d" % each for each in places] == list(batch.values)
        assert places == [
            (batch.sources[at].partition, o) for at, o in zip(batch.partitions, batch.offsets, strict=True)
        ]
        assert {PLACES[i]: count for i, count in enumerate(counts) if count} == positions
        assert {place: count - 1 for place, count in positions.items()} == {p: m.offset() for p, m in lasts.items()}

    @pytest.mark.parametrize("has_many_topics", [False, True])
    def test_what_was_given_out_before_is_passed_over_and_counted(self, *, has_many_topics: bool) -> None:
        positions = {PLACES[0]: 5}
        batches = Batches(positions, has_many_topics=has_many_topics)
        given = messages([(0, 3), (1, 0), (0, 5), (0, 4), (0, 7), (0, 7), (1, 1)])

        batch, _ = batches.batch(given, OURS)

        assert [b"1/0", b"0/5", b"0/7", b"1/1"] == list(batch.values)
        assert {PLACES[0]: 8, PLACES[1]: 2} == positions
        assert 3 == batches.repeated

    def test_message_of_a_partition_that_was_taken_away_leaves_no_trace(self) -> None:
        positions = {PLACES[1]: 3}
        batches = Batches(positions, has_many_topics=False)

        batch, lasts = batches.batch(messages([(0, 0), (1, 3), (0, 1)]), {PLACES[0]})
        nothing, _ = batches.batch(messages([(1, 4)]), {PLACES[0]})

        assert ([b"0/0", b"0/1"], 0) == (list(batch.values), len(nothing))
        assert {PLACES[0]: 2, PLACES[1]: 3} == positions
        assert {PLACES[0]} == lasts.keys()
        assert 0 == batches.repeated

    def test_topics_are_told_apart(self) -> None:
        batches = Batches({}, has_many_topics=True)
        ours = {TopicPartition("a", 0), TopicPartition("b", 0)}

        batch, _ = batches.batch([*messages([(0, 1)], "a"), *messages([(0, 1)], "b")], ours)

        assert ["a", "b"] == [batch.sources[at].topic for at in batch.partitions]

    def test_origins_are_read_when_looked_at(self) -> None:
        headers: list[tuple[str, bytes | str | None]] = [("a", None), ("driftd-replays", b"2")]
        hostile: list[tuple[str, bytes | str | None]] = [("driftd-replays", b"9" * 5_000)]
        given = [
            Message(topic=TOPIC, partition=0, offset=0, timestamp=(1, 123), headers=headers),
            Message(topic=TOPIC, partition=0, offset=1, timestamp=(0, -1), headers=hostile),
            Message(topic=TOPIC, partition=0, offset=2, timestamp=(1, 5)),
        ]

        batch, _ = Batches({}, has_many_topics=False).batch(given, OURS)

        assert [Origin(123, 2), Origin(-1, 0), Origin(5, 0)] == list(batch.origins)
        assert [Origin(-1, 0)] == list(batch.origins[1:2])
        assert np.int64 == np.asarray(batch.offsets).dtype
