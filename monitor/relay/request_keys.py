"""Are events in the partition of their request? By the newest messages of each partition of a topic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.errors import SourceError

LOOKED_AT: Final = 200
"""Newest messages of each partition."""
ASK_S: Final = 10.0
WHOLE_S: Final = 20.0


class _Head(msgspec.Struct):
    """What tells of which request a message is."""

    request_id: str | None = None
    event_id: str | None = None


def scattered(options: Mapping[str, Any], topic: str) -> list[str]:
    """Give what is wrong with where a topic's messages lie, each with its cure. Cost: reads LOOKED_AT of a partition.

    options: librdkafka's, with a group.id, of which nothing is used. Raises SourceError where brokers can't be reached.
    """
    own = {"enable.auto.commit": False, "enable.partition.eof": False, "log_level": 2}
    consumer = Consumer({**options, **own})
    try:
        return _problems(topic, *_look(consumer, topic))
    except KafkaException as error:
        raise SourceError(f"kafka: topic {topic!r}: {error.args[0].str()}", is_fatal=False) from None
    finally:
        consumer.close()


def _look(consumer: Consumer, topic: str) -> tuple[int, int, int]:
    """Give how many messages have an id, how many of these no key, and how many ids are in several partitions."""
    left: dict[int, int] = {}
    starts: list[KafkaPartition] = []
    for number in consumer.list_topics(topic, ASK_S).topics[topic].partitions:
        low, high = consumer.get_watermark_offsets(KafkaPartition(topic, number), ASK_S)
        if high > low:
            starts.append(KafkaPartition(topic, number, max(low, high - LOOKED_AT)))
            left[number] = high
    consumer.assign(starts)
    places: dict[str, set[int]] = {}
    messages, keyless, deadline_s = 0, 0, time.monotonic() + WHOLE_S
    while left and time.monotonic() < deadline_s:
        for message in consumer.consume(1_000, 0.5):
            number, offset = message.partition() or 0, message.offset() or 0
            if message.error() is not None or number not in left:
                continue
            if (name := _id_of(message.value())) is not None:
                messages += 1
                keyless += message.key() is None
                places.setdefault(name, set()).add(number)
            if offset + 1 >= left[number]:
                del left[number]
    return messages, keyless, sum(len(found) > 1 for found in places.values())


def _id_of(value: bytes | None) -> str | None:
    try:
        head = msgspec.json.decode(value or b"", type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return head.request_id or head.event_id


def _problems(topic: str, messages: int, keyless: int, apart: int) -> list[str]:
    cure = "outcomes are joined within a partition: have inferences and outcomes sent with request_id as key"
    out = []
    if keyless:
        out.append(f"topic {topic!r}: {keyless} of the newest {messages} messages have no key: {cure}")
    if apart:
        out.append(f"topic {topic!r}: {apart} request(s) are in several partitions: {cure}, by one partitioner")
    return out
