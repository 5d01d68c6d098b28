"""Where reading goes on, on a real broker: stored offsets, gaps, rebalances, pressure. No message lost, none twice."""

from __future__ import annotations

import itertools
import time
import uuid
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Literal

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from monitor.domain import Gap, TopicPartition
from monitor.errors import SourceError
from tests.support.sources import Member, delete_before, make_anew, numbered, options_of, produce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration

PROTOCOLS = pytest.mark.parametrize("protocol", ["classic", "consumer"])


class Group:
    """Makes members of one group, on a topic with two partitions, and closes them at the end of the test."""

    def __init__(self, servers: str, topic: str) -> None:
        self.servers = servers
        self.topic = topic
        self.places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        self._members: list[Member] = []

    def __call__(
        self,
        stored: Mapping[TopicPartition, int] | None = None,
        options: Mapping[str, object] | None = None,
        batch_records_max: int = 500,
        on_gap: Literal["fail", "accept-gap"] = "fail",
        topic_ids: Mapping[str, str] | None = None,
        followers: tuple[str, ...] = (),
    ) -> Member:
        """Give a member. options: of librdkafka, with _ for each dot."""
        all_options = options_of(self.servers, self.topic, **(options or {}))
        more: dict[str, Any] = {"batch_records_max": batch_records_max, "on_gap": on_gap, "topic_ids": topic_ids}
        member = Member(all_options, self.topic, stored=stored, followers=followers, **more)
        self._members.append(member)
        return member

    def close(self) -> None:
        for member in self._members:
            member.source.close()


@pytest.fixture
def group(kafka_real: Kafka) -> Iterator[Group]:
    topic = f"positions-{uuid.uuid4().hex[:12]}"
    kafka_real.create_topic(topic, 2)
    made = Group(kafka_real.bootstrap_servers, topic)
    yield made
    made.close()


class Traffic:
    """Sends numbered messages to both partitions from a thread, until closed."""

    def __init__(self, group: Group, every_s: float = 0.002) -> None:
        self.sent = 0
        self._group = group
        self._every_s = every_s
        self._end = Event()
        self._thread = Thread(target=self._send, name="traffic", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _send(self) -> None:
        # Idempotent, so that what is sent again, as to a topic that has just been made, does not come out of order.
        own = {"bootstrap.servers": self._group.servers, "enable.idempotence": True, "log_level": 0}
        producer = Producer(own)
        while not self._end.wait(self._every_s):
            for place in self._group.places:
                producer.produce(place.topic, b"%d" % self.sent, partition=place.partition)
            self.sent += 1
            producer.poll(0)
        assert producer.flush(10) == 0


def assert_each_once(member: Member, group: Group, count: int) -> None:
    """Every message of both partitions came, in order, and none of them twice."""
    for place in group.places:
        assert list(range(count)) == member.offsets[place]
        assert [b"%d" % number for number in range(count)] == member.values[place]


class TestStart:
    def test_stored_offset_goes_before_what_the_group_has_committed(self, group: Group) -> None:
        produce(group.servers, group.topic, numbered(20, 2))
        first = group()
        first.read(40)
        first.source.saved(dict.fromkeys(group.places, 15))
        first.source.close()

        second = group({group.places[0]: 5})
        second.read(15 + 5)

        assert list(range(5, 20)) == second.offsets[group.places[0]]
        assert list(range(15, 20)) == second.offsets[group.places[1]]
        assert dict.fromkeys(group.places, 20) == second.source.positions()

    def test_group_without_offsets_starts_at_the_end_and_that_is_a_position_from_then_on(self, group: Group) -> None:
        produce(group.servers, group.topic, numbered(20, 2))
        member = group(options={"auto_offset_reset": "latest"})
        member.until(member.source.positions, "positions")

        assert dict.fromkeys(group.places, 20) == member.source.positions()

        member.source.close()
        produce(group.servers, group.topic, [(b"later", 0, 0)])
        later = group(member.source.positions(), {"auto_offset_reset": "latest"})
        later.read(1)
        assert {group.places[0]: [20]} == later.offsets

    def test_partition_that_is_added_to_the_topic_is_read_from_its_first_message(self, group: Group) -> None:
        member = group(options={"auto_offset_reset": "latest", "topic_metadata_refresh_interval_ms": 500})
        member.until(member.source.positions, "positions")
        admin = AdminClient({"bootstrap.servers": group.servers, "log_level": 0})
        admin.create_partitions([NewPartitions(group.topic, 3)])[group.topic].result(10)
        produce(group.servers, group.topic, [(b"a", 2, 0), (b"b", 2, 0)])

        member.read(2)

        assert {TopicPartition(group.topic, 2): [b"a", b"b"]} == member.values


class TestNames:
    def test_name_that_another_member_has_is_fatal_and_said(self, group: Group) -> None:
        """By the consumer protocol the newcomer is refused; without an end of its own it would wait for ever."""
        options = {"group_protocol": "consumer", "group_instance_id": "same"}
        first = group(options=options)
        first.until(first.source.assigned, "partitions")
        second = group(options=options)

        with pytest.raises(SourceError, match="instance ID is still used by another member") as failed:
            second.for_s(20)

        assert failed.value.is_fatal

    @pytest.mark.parametrize("told_by", ["commit_fenced_instance_id", "_fatal"])
    def test_member_that_is_fenced_joins_anew_once_and_goes_on_where_it_was(self, group: Group, told_by: str) -> None:
        """As after a stop beyond its session: brokers know another member by its name, and say so to what they hear."""
        options = {"group_instance_id": "same", "session_timeout_ms": 10_000}
        options |= {} if told_by == "_fatal" else {"heartbeat_interval_ms": 6_000}  # so that a commit hears of it first
        first = group(options=options)
        produce(group.servers, group.topic, numbered(50, 2))
        first.read(100)
        second = group(options=options)
        second.until(second.source.assigned, "partitions")
        second.source.close()

        def has_joined_anew() -> bool:
            if told_by != "_fatal":  # else it is its heartbeat that is refused
                first.source.saved(dict.fromkeys(first.source.positions(), 1))
            return first.source.errors().get(told_by, 0) > 0

        first.until(has_joined_anew, "to be fenced")
        produce(group.servers, group.topic, numbered(50, 2))
        first.read(200)

        assert [] == first.doubles()
        assert dict.fromkeys(group.places, 100) == first.source.positions()


class TestFollowers:
    @PROTOCOLS
    def test_partitions_of_other_topics_go_with_those_of_the_first(
        self, kafka_real: Kafka, group: Group, protocol: str
    ) -> None:
        told = f"{group.topic}-told"
        kafka_real.create_topic(told, 2)
        options = {"group_protocol": protocol}
        first = group(options=options, followers=(told,))
        for topic in (group.topic, told):
            produce(group.servers, topic, numbered(20, 2))
        first.read(80)
        alone = set(first.source.assigned() or ())
        second = group(options=options, followers=(told,))

        def is_shared() -> bool:
            first.poll(0.0)
            return len(second.source.assigned() or ()) == 2 and len(first.source.assigned() or ()) == 2

        second.until(is_shared, "a share")
        for topic in (group.topic, told):
            produce(group.servers, topic, numbered(10, 2))
        first.read(100)
        (own,) = {each.partition for each in second.source.assigned() or ()}

        assert {TopicPartition(topic, number) for topic in (group.topic, told) for number in (0, 1)} == alone
        assert [(group.topic, own), (told, own)] == sorted(second.source.assigned() or ())
        assert [] == first.doubles()


class TestGaps:
    def test_retention_that_took_unread_messages_is_fatal_and_said_in_full(self, group: Group) -> None:
        produce(group.servers, group.topic, numbered(100))
        delete_before(group.servers, group.places[0], 50)
        member = group({group.places[0]: 10})

        with pytest.raises(SourceError) as failed:
            member.for_s(20)

        assert (
            f"kafka: topic '{group.topic}', partition 0: the next message to read is 10, but the log begins at 50:"
            " 40 messages were deleted before they were read (retention); to go on at 50 and mark the affected windows"
            " incomplete, set state.on_gap to accept-gap; to begin anew without what was counted, move the state folder"
            " away"
        ) == str(failed.value)
        assert failed.value.is_fatal
        assert 10 == member.source.positions()[group.places[0]]

    def test_accepted_gap_is_counted_told_once_and_reading_goes_on_behind_it(self, group: Group) -> None:
        produce(group.servers, group.topic, numbered(100))
        delete_before(group.servers, group.places[0], 50)
        member = group({group.places[0]: 10}, on_gap="accept-gap")

        member.read(50)

        assert list(range(50, 100)) == member.offsets[group.places[0]]
        assert [Gap(group.places[0], 10, 50)] == member.source.gaps()
        assert () == tuple(member.source.gaps())
        intake = member.source.intake()
        assert ({group.topic: 1}, {group.topic: 40}, 0) == (intake.gaps, intake.missing, intake.unsettled)

    def test_gap_that_opens_while_it_runs_is_found_too(self, group: Group) -> None:
        produce(group.servers, group.topic, numbered(100))
        member = group(batch_records_max=10, on_gap="accept-gap")
        member.read(10)
        member.source.hold(group.places)
        delete_before(group.servers, group.places[0], 60)
        member.source.hold(())

        member.until(lambda: 99 in member.offsets[group.places[0]], "the last message")

        read = member.offsets[group.places[0]]
        assert [*range(len(read) - 40), *range(60, 100)] == read
        assert [Gap(group.places[0], len(read) - 40, 60)] == member.source.gaps()

    def test_log_that_ends_before_the_position_is_another_log(self, group: Group) -> None:
        produce(group.servers, group.topic, numbered(10))
        strict = group({group.places[0]: 500})

        with pytest.raises(SourceError, match="to read is 500, but the log ends at 10: the topic was made anew"):
            strict.for_s(20)
        strict.source.close()

        lenient = group({group.places[0]: 500}, on_gap="accept-gap")
        lenient.read(10)

        assert list(range(10)) == lenient.offsets[group.places[0]]
        assert [Gap(group.places[0], 500, 0)] == lenient.source.gaps()
        assert {group.topic: 0} == lenient.source.intake().missing

    def test_topic_made_anew_that_has_grown_past_the_position_is_told_by_its_id(self, group: Group) -> None:
        produce(group.servers, group.topic, numbered(30))
        first = group()
        first.read(30)
        first.until(first.source.topic_ids, "the topic's id")
        positions, ids = first.source.positions(), first.source.topic_ids()
        first.source.close()
        make_anew(group.servers, group.topic, 2)
        produce(group.servers, group.topic, numbered(90))

        strict = group(positions, topic_ids=ids)
        with pytest.raises(SourceError) as failed:
            strict.for_s(20)
        strict.source.close()
        lenient = group(positions, topic_ids=ids, on_gap="accept-gap")
        lenient.read(90)

        assert (
            f"kafka: topic '{group.topic}' was deleted and made anew since it was read: what state rests on (next"
            " offsets by partition: 0: 30) is of the old one, of which the rest can't be read any more; to read the one"
            " that is there from its start and mark the affected windows incomplete, set state.on_gap to accept-gap; to"
            " begin anew without what was counted, move the state folder away"
        ) == str(failed.value)
        assert list(range(90)) == lenient.offsets[group.places[0]]
        assert [Gap(group.places[0], 30, 0)] == lenient.source.gaps()
        assert {group.topic: 1} == lenient.source.intake().gaps
        assert ids[group.topic] != lenient.source.topic_ids()[group.topic]

    def test_same_topic_is_read_on_and_one_without_a_stored_id_is_taken_at_its_word(self, group: Group) -> None:
        produce(group.servers, group.topic, numbered(30))
        first = group()
        first.read(30)
        first.until(first.source.topic_ids, "the topic's id")
        positions, ids = first.source.positions(), first.source.topic_ids()
        first.source.close()
        produce(group.servers, group.topic, numbered(40))

        for known in (ids, {}):
            again = group(positions, topic_ids=known)
            again.read(40)
            assert list(range(30, 70)) == again.offsets[group.places[0]]
            again.source.close()


class TestRebalance:
    @PROTOCOLS
    def test_member_that_joins_and_leaves_costs_no_message_and_doubles_none(self, group: Group, protocol: str) -> None:
        options = {"group_protocol": protocol}
        with Traffic(group) as traffic:
            keeper = group(options=options)
            keeper.read(500)
            keeper.source.saved(keeper.source.positions())
            guest = group(options=options)
            self.together(keeper, guest, lambda: bool(guest.source.assigned()), "the guest to be given a partition")
            self.together(keeper, guest, lambda: guest.count() >= 200, "the guest to read")
            away = keeper.source.away()
            assigned = keeper.source.assigned()
            shown = [each.source for each in keeper.source.status()]

            leaving = Thread(target=guest.source.close, daemon=True)
            leaving.start()
            keeper.until(lambda: not keeper.source.away(), "all partitions to be back")
            leaving.join()
            keeper.for_s(0.5)
        keeper.read(2 * traffic.sent)

        assert 1 == len(away)
        assert [set(group.places) - set(away)] == [set(assigned or ())] == [set(shown)]
        assert_each_once(keeper, group, traffic.sent)
        intake = keeper.source.intake()
        assert intake.rebalances["revoked"] >= 1
        assert intake.revoke_s_p99 <= intake.revoke_s_max < 0.5

    @staticmethod
    def together(keeper: Member, guest: Member, condition: Callable[[], object], what: str) -> None:
        def both() -> object:
            guest.poll()
            return condition()

        keeper.until(both, what)

    @PROTOCOLS
    def test_process_that_stood_still_for_too_long_goes_on_where_it_was(self, group: Group, protocol: str) -> None:
        limits = {"group_protocol": protocol, "max_poll_interval_ms": 6_000}
        limits |= {"session_timeout_ms": 6_000} if protocol == "classic" else {}
        produce(group.servers, group.topic, numbered(1_000, 2))
        member = group(options=limits, batch_records_max=50)
        member.read(100)
        time.sleep(8.0)
        after = member.count()
        member.read(2_000)

        assert after < 2_000
        assert_each_once(member, group, 1_000)
        assert 1 == member.source.intake().rebalances["lost"]
        assert 1 <= member.source.errors()["_max_poll_exceeded"]

    def test_next_process_goes_on_from_what_is_stored_whatever_was_committed(self, group: Group) -> None:
        produce(group.servers, group.topic, numbered(300, 2))
        first = group(batch_records_max=50)
        first.read(200)
        stored = first.source.positions()
        first.read(300)
        first.source.saved(first.source.positions())  # further than what is stored
        first.source.close()

        second = group(stored)
        second.read(600 - sum(stored.values()))

        assert [list(range(stored[place], 300)) for place in group.places] == [
            second.offsets[place] for place in group.places
        ]


class TestPressure:
    @PROTOCOLS
    def test_partitions_held_and_released_at_any_moment_lose_nothing_and_double_nothing(
        self, group: Group, protocol: str
    ) -> None:
        holds = itertools.cycle([(), group.places[:1], group.places, group.places[1:]])
        with Traffic(group) as traffic:
            member = group(options={"group_protocol": protocol}, batch_records_max=20)
            member.read(100)
            for hold in itertools.islice(holds, 24):
                member.source.hold(hold)
                before = {each: len(member.offsets[each]) for each in hold}
                member.for_s(0.15)
                assert before == {each: len(member.offsets[each]) for each in hold}
                assert {*hold} == {each.source for each in member.source.status() if each.is_held}
        member.source.hold(())
        member.read(2 * traffic.sent)

        assert_each_once(member, group, traffic.sent)
        assert 0 == member.source.intake().repeated

    def test_hold_outlives_a_partition_that_goes_and_comes_back(self, group: Group) -> None:
        produce(group.servers, group.topic, numbered(50, 2))
        member = group()
        member.read(100)
        member.source.hold(group.places)
        guest = group()
        TestRebalance.together(member, guest, lambda: bool(guest.source.assigned()), "the guest to get a partition")
        guest.source.close()
        produce(group.servers, group.topic, [(b"50", 0, 0), (b"50", 1, 0)])
        member.until(lambda: len(member.source.assigned() or ()) == 2, "both partitions to be back")
        member.for_s(0.5)

        assert 100 == member.count()

        member.source.hold(())
        member.read(102)
        assert_each_once(member, group, 51)

    def test_flood_in_one_partition_does_not_starve_another(self, group: Group) -> None:
        produce(group.servers, group.topic, ((b"x" * 500, 0, 0) for _ in range(60_000)))
        member = group(options={"queued_max_messages_kbytes": 4_096})
        member.read(2_000)
        produce(group.servers, group.topic, [(b"rare", 1, 0)])
        member.until(lambda: group.places[1] in member.offsets, "the rare message")

        assert len(member.offsets[group.places[0]]) < 60_000
