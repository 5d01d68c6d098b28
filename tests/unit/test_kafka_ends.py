"""When a client that met what is fatal is replaced by another one, and when it ends the process."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from monitor.errors import SourceError
from monitor.sources.kafka_ends import Ends

LOST = "Fatal error: Unknown broker error: ConsumerGroupHeartbeat fatal error: Unknown broker error"
GONE = "Fatal error: Broker: The group id does not exist"
FENCED = "Fatal error: Broker: Static consumer fenced by other consumer with same group.instance.id"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def fatal(text: str) -> KafkaError:
    return KafkaError(KafkaError._FATAL, text)


def test_what_is_not_fatal_ends_nothing() -> None:
    ends = Ends(Clock(), 600.0)
    ends.meet(KafkaError(KafkaError._TRANSPORT, "a broker is away"))
    ends.fence()

    assert not ends.has_to_rejoin()


def test_what_is_fatal_for_another_reason_ends_it() -> None:
    ends = Ends(Clock(), 600.0)
    ends.meet(fatal("the topic is gone for good"))

    with pytest.raises(SourceError, match="kafka: the topic is gone for good"):
        ends.has_to_rejoin()


@pytest.mark.parametrize("is_told_by_commit", [True, False])
def test_fenced_it_joins_anew_once_a_minute(is_told_by_commit: bool) -> None:  # noqa: FBT001
    clock = Clock()
    ends = Ends(clock, 600.0)
    for after_s in (0.0, 61.0):
        clock.now_s += after_s
        if is_told_by_commit:
            ends.fence()
        ends.meet(fatal("somebody said so" if is_told_by_commit else FENCED))
        assert ends.has_to_rejoin()
        assert not ends.has_to_rejoin()
    clock.now_s += 59.0
    ends.meet(fatal(FENCED))

    with pytest.raises(SourceError, match="Static consumer fenced"):
        ends.has_to_rejoin()


@pytest.mark.parametrize("text", [LOST, GONE])
def test_brokers_that_fail_it_are_tried_again_every_second_for_as_long_as_it_may_be_without_any(text: str) -> None:
    clock = Clock()
    ends = Ends(clock, 30.0)
    ends.assigned()
    tries = 0
    clock.now_s += 1e6  # all was well
    for _ in range(60):
        clock.now_s += 0.5
        ends.meet(fatal(text))
        tries += ends.has_to_rejoin()
    clock.now_s += 1.0
    ends.meet(fatal(text))

    assert 30 == tries
    with pytest.raises(SourceError):
        ends.has_to_rejoin()


def test_member_again_it_may_be_failed_as_long_anew() -> None:
    clock = Clock()
    ends = Ends(clock, 30.0)
    for _ in range(2):
        for after_s in (2.0, 29.0):
            clock.now_s += after_s
            ends.meet(fatal(GONE))
            assert ends.has_to_rejoin()
        ends.assigned()


def test_who_lost_its_partitions_and_is_given_none_joins_anew_ever_more_seldom() -> None:
    clock = Clock()
    ends = Ends(clock, 600.0)
    ends.lost()
    began_s, when_s = clock.now_s, []
    for _ in range(400):
        clock.now_s += 0.5
        if ends.is_out(met_s=clock.now_s):
            when_s.append(clock.now_s - began_s)

    assert [6.0, 18.0, 42.0, 90.0, 150.0] == when_s


def test_while_brokers_are_away_or_once_it_is_given_some_it_waits() -> None:
    clock = Clock()
    ends = Ends(clock, 600.0)
    ends.lost()
    clock.now_s += 100.0

    assert not ends.is_out(met_s=99.0)
    ends.assigned()
    assert not ends.is_out(met_s=clock.now_s)
    ends.lost()
    clock.now_s += 5.9
    assert not ends.is_out(met_s=clock.now_s)
