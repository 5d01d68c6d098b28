"""Ends of logs that the client does not know of, since it has ceased to fetch a partition without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.domain import TopicPartition
from monitor.sources.kafka_contact import PROBE_S, Contact

SILENT = TopicPartition("events", 1)


class Log:
    """A consumer that only answers where logs end. asked: partitions, call by call."""

    def __init__(self, end: int | None) -> None:
        self.end = end
        self.asked: list[list[int]] = []

    def offsets_for_times(self, partitions: Sequence[KafkaPartition], _: float) -> list[KafkaPartition]:
        self.asked.append([each.partition for each in partitions])
        if self.end is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [KafkaPartition(each.topic, each.partition, self.end) for each in partitions]


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def look_after(contact: Contact, log: Log, silent: Sequence[TopicPartition]) -> None:
    contact.look_after(cast("Consumer", cast("Any", log)), silent)
    contact.close()


def test_end_of_a_partition_that_gives_nothing_is_asked_for_while_others_flow() -> None:
    clock, log = Clock(), Log(100)
    contact = Contact(clock, 0.0)
    clock.now_s += PROBE_S
    contact.heard(clock.now_s)

    look_after(contact, log, [SILENT])

    assert {SILENT: 100} == contact.ends


def test_it_is_asked_for_once_in_a_while_and_only_for_those_that_are_silent() -> None:
    clock, log = Clock(), Log(100)
    contact = Contact(clock, 0.0)
    for step_s in (PROBE_S, 0.1, 1.0, PROBE_S):
        clock.now_s += step_s
        look_after(contact, log, [SILENT])
    clock.now_s += PROBE_S
    look_after(contact, log, [])

    assert [[1], [1]] == log.asked


def test_no_answer_is_no_harm_and_is_asked_for_again() -> None:
    clock, log = Clock(), Log(None)
    contact = Contact(clock, 0.0)
    for _ in range(2):
        clock.now_s += PROBE_S
        look_after(contact, log, [SILENT])

    assert {} == contact.ends
    assert 2 == len(log.asked)
