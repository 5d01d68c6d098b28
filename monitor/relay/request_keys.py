"""Are events in the partition of their request? By the newest messages of each partition of topics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class _Seen:
    """By topic: messages with an id, and how many of these have no key. places: the partitions of each id."""

    messages: Counter[str] = field(default_factory=Counter)
    keyless: Counter[str] = field(default_factory=Counter)
    places: dict[str, set[int]] = field(default_factory=dict)


def scattered(options: Mapping[str, Any], topics: Sequence[str]) -> list[str]:
    """Give what is wrong with where messages of topics lie, each with its cure. Cost: reads LOOKED_AT of a partition.

    options: librdkafka's, with a group.id, of which nothing is used. Raises SourceError where brokers can't be reached.
    """
    own = {"enable.auto.commit": False, "enable.partition.eof": False, "log_level": 2}
    consumer = Consumer({**options, **own})
    try:
        return _problems(topics, _look(consumer, topics))
    except KafkaException as error:
        raise SourceError(f"kafka: {_named(topics)}: {error.args[0].str()}", is_fatal=False) from None
    finally:
        consumer.close()


def _look(consumer: Consumer, topics: Sequence[str]) -> _Seen:
    left: dict[tuple[str, int], int] = {}
    starts: list[KafkaPartition] = []
    for topic in topics:
        for number in consumer.list_topics(topic, ASK_S).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(KafkaPartition(topic, number), ASK_S)
            if high > low:
                starts.append(KafkaPartition(topic, number, max(low, high - LOOKED_AT)))
                left[topic, number] = high
    consumer.assign(starts)
    seen, deadline_s = _Seen(), time.monotonic() + WHOLE_S
    while left and time.monotonic() < deadline_s:
        for message in consumer.consume(1_000, 0.5):
            place = (str(message.topic()), message.partition() or 0)
            if message.error() is not None or place not in left:
                continue
            if (name := _id_of(message.value())) is not None:
                seen.messages[place[0]] += 1
                seen.keyless[place[0]] += message.key() is None
                seen.places.setdefault(name, set()).add(place[1])
            if (message.offset() or 0) + 1 >= left[place]:
                del left[place]
    return seen


def _id_of(value: bytes | None) -> str | None:
    try:
        head = msgspec.json.decode(value or b"", type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return head.request_id or head.event_id


def _problems(topics: Sequence[str], seen: _Seen) -> list[str]:
    cure = "outcomes are joined within a partition: have inferences and outcomes sent with request_id as key"
    out = [
        f"topic {topic!r}: {seen.keyless[topic]} of the newest {seen.messages[topic]} messages have no key: {cure}"
        for topic in topics
        if seen.keyless[topic]
    ]
    apart = sum(len(found) > 1 for found in seen.places.values())
    if apart:
        out.append(f"{_named(topics)}: {apart} request(s) are in several partitions: {cure}, by one partitioner")
    return out


def _named(topics: Sequence[str]) -> str:
    return ", ".join(f"topic {topic!r}" for topic in topics)
