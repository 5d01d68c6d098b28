"""Kafka sources in tests: messages sent, and members of a group that note which offsets they were given."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal

from confluent_kafka import Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from monitor.domain import TopicPartition
from monitor.sources.kafka import KafkaSource
from monitor.sources.kafka_terms import KafkaTerms
from tests.support import kafka_jars
from tests.support.daemon import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from monitor.domain import Batch

TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.05


class Told(list[tuple[str, str, str]]):
    """A list as report: reason, text and cure of every error."""

    def __call__(self, reason: str, text: str, cure: str) -> None:
        self.append((reason, text, cure))


def options_of(servers: str, group: str, **more: object) -> dict[str, Any]:
    """Give librdkafka's options of a member; more: with _ for each dot."""
    return {
        "bootstrap.servers": servers,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "allow.auto.create.topics": False,
        "log_level": 0,
        **{name.replace("_", "."): value for name, value in more.items()},
    }


class Member:
    """A source that notes what it is given: offsets by partition, in the order they came."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *topics: str,
        stored: Mapping[TopicPartition, int] | None = None,
        clock: Callable[[], float] = time.time,
        batch_records_max: int = 500,
        on_gap: Literal["fail", "accept-gap"] = "fail",
        outage_s_max: float = 600.0,
        topic_ids: Mapping[str, str] | None = None,
        positions: Literal["kept", "ours", "group"] = "kept",
        followers: tuple[str, ...] = (),
    ) -> None:
        self.told = Told()
        terms = KafkaTerms(
            (*topics, *followers), options, batch_records_max, 0.5, on_gap, outage_s_max, positions, followers=followers
        )
        self.source = KafkaSource(terms, clock, self.told)
        self.values: dict[TopicPartition, list[bytes | None]] = {}
        self.offsets: dict[TopicPartition, list[int]] = {}
        self.source.open(stored or {}, topic_ids or {})

    def poll(self, timeout_s: float = POLL_S) -> Batch:
        """Poll once and note what came."""
        batch = self.source.poll(timeout_s)
        for value, at, offset in zip(batch.values, batch.partitions, batch.offsets, strict=True):
            place = batch.sources[at]
            self.values.setdefault(place, []).append(value)
            self.offsets.setdefault(place, []).append(int(offset))
        return batch

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Poll until a condition holds."""

        def is_so() -> object:
            self.poll()
            return condition()

        wait_for(is_so, what, timeout_s)

    def for_s(self, seconds: float) -> None:
        """Poll for so long."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.poll()

    def count(self) -> int:
        """Give how many messages came."""
        return sum(map(len, self.offsets.values()))

    def read(self, count: int) -> None:
        """Poll until so many messages have come in all."""
        self.until(lambda: self.count() >= count, f"{count} messages")

    def doubles(self) -> list[tuple[TopicPartition, int]]:
        """Give the messages that came more than once."""
        return [(p, o) for p, all_ in self.offsets.items() for o, times in Counter(all_).items() if times > 1]


def produce(servers: str, topic: str, messages: Iterable[tuple[bytes | None, int, int]]) -> None:
    """Send messages: value, partition, timestamp in milliseconds (0: now)."""
    producer = Producer({"bootstrap.servers": servers, "log_level": 0})
    for value, partition, timestamp_ms in messages:
        producer.produce(topic, value, partition=partition, timestamp=timestamp_ms)
        producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0


def numbered(count: int, partitions: int = 1) -> list[tuple[bytes | None, int, int]]:
    """Give so many messages for each partition, whose values are their offsets in an empty log."""
    return [(b"%d" % number, partition, 0) for number in range(count) for partition in range(partitions)]


def delete_before(servers: str, place: TopicPartition, offset: int) -> None:
    """Delete the messages of a partition before an offset, as retention does."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    for future in admin.delete_records([KafkaPartition(*place, offset)]).values():
        future.result(TIMEOUT_S)


def make_anew(servers: str, topic: str, partitions: int) -> None:
    """Delete a topic and create one of the same name, and return when it is there."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    admin.delete_topics([topic], operation_timeout=TIMEOUT_S)[topic].result(TIMEOUT_S)
    wait_for(lambda: topic not in admin.list_topics(timeout=TIMEOUT_S).topics, "the topic to be gone", TIMEOUT_S)
    kafka_jars.create_topic(servers, topic, partitions)
