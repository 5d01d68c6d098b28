"""Whether a partition is really not there: a client also says so of one whose broker is just going or coming."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

UNKNOWN: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - the public names
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)
"""What a client says where it does not know of a partition."""


def is_absent(consumer: Consumer, place: KafkaPartition, timeout_s: float) -> bool:
    """Ask the brokers; False also where none answers in time."""
    try:
        found = consumer.list_topics(place.topic, timeout_s).topics[place.topic]
    except KafkaException:
        return False
    if found.error is not None:
        return found.error.code() in UNKNOWN
    return bool(found.partitions) and place.partition not in found.partitions
