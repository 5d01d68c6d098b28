"""A partition is absent only where brokers say so, not where none answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition

from monitor.embedded import EmbeddedBroker
from monitor.relay.absent import is_absent

TOPIC, TIMEOUT_S = "state", 3.0


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker({TOPIC: 2}) as made:
        yield made


@pytest.fixture
def consumer(broker: EmbeddedBroker) -> Iterator[Consumer]:
    made = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "absent",
            "log_level": 0,
            "reconnect.backoff.max.ms": 100,
            "allow.auto.create.topics": False,
        }
    )
    yield made
    made.close()


def test_partition_that_a_topic_has_is_there_and_one_beyond_is_not(consumer: Consumer) -> None:
    found = [is_absent(consumer, TopicPartition(TOPIC, partition), TIMEOUT_S) for partition in range(3)]

    assert [False, False, True] == found


def test_nothing_is_absent_while_no_broker_answers_and_all_is_there_once_one_is_back(
    broker: EmbeddedBroker, consumer: Consumer
) -> None:
    beyond = TopicPartition(TOPIC, 2)
    broker.set_broker_down()
    while_down = is_absent(consumer, beyond, 0.3)
    broker.set_broker_up()

    assert (False, True) == (while_down, is_absent(consumer, beyond, TIMEOUT_S))
    assert not is_absent(consumer, TopicPartition(TOPIC, 0), TIMEOUT_S)
