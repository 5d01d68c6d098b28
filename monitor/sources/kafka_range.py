"""A time range of topics, read once from first to last outside any consumer group: to build references from history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.errors import SourceError

TIMEOUT_S: Final = 20.0
POLL_S: Final = 1.0
QUIET_POLLS_MAX: Final = 30


def read_range(
    options: Mapping[str, Any], topics: Sequence[str], from_s: float, to_s: float, batch_records_max: int = 5_000
) -> Iterator[list[bytes | None]]:
    """Give the messages whose record timestamp lies in [from_s, to_s), in batches. Raises SourceError."""
    alone = {"group.protocol": "classic", "group.id": f"{options['group.id']}-baseline", "enable.auto.commit": False}
    dropped = ("partition.assignment.strategy",)
    consumer = Consumer({**{k: v for k, v in options.items() if k not in dropped}, **alone})
    try:
        yield from _read(consumer, _span(consumer, topics, from_s, to_s), batch_records_max)
    except KafkaException as error:
        raise SourceError(f"kafka: {error.args[0].str()}") from None
    finally:
        consumer.close()


Span = dict[tuple[str, int], tuple[int, int]]
"""Topic and partition to first offset and the one after the last."""


def _span(consumer: Consumer, topics: Sequence[str], from_s: float, to_s: float) -> Span:
    partitions = []
    for topic in topics:
        found = consumer.list_topics(topic, TIMEOUT_S).topics[topic]
        if found.error is not None:
            raise SourceError(f"kafka: topic {topic!r}: {found.error.str()}")
        partitions += [(topic, p) for p in found.partitions]
    starts = _offsets(consumer, partitions, from_s)
    ends = _offsets(consumer, partitions, to_s)
    span = {}
    for key in partitions:
        low, high = consumer.get_watermark_offsets(KafkaPartition(*key), TIMEOUT_S)
        first = high if starts[key] in (OFFSET_END, -1) else max(low, starts[key])
        last = high if ends[key] in (OFFSET_END, -1) else min(high, ends[key])
        if first < last:
            span[key] = (first, last)
    return span


def _offsets(consumer: Consumer, partitions: Sequence[tuple[str, int]], time_s: float) -> dict[tuple[str, int], int]:
    asked = [KafkaPartition(topic, p, int(time_s * 1000)) for topic, p in partitions]
    return {(found.topic, found.partition): found.offset for found in consumer.offsets_for_times(asked, TIMEOUT_S)}


def _read(consumer: Consumer, span: Span, batch_records_max: int) -> Iterator[list[bytes | None]]:
    left = dict(span)
    consumer.assign([KafkaPartition(*key, first) for key, (first, _) in span.items()])
    quiet = 0
    while left:
        messages = consumer.consume(batch_records_max, POLL_S)
        quiet = 0 if messages else quiet + 1
        if quiet > QUIET_POLLS_MAX:
            raise SourceError(
                f"kafka: nothing arrived for {QUIET_POLLS_MAX * POLL_S:.0f} s; {len(left)} partition(s) unfinished"
            )
        batch = _take(messages, left)
        # A range may end in records that are not delivered (transaction markers): the position tells.
        for where in consumer.position([KafkaPartition(*key) for key in left]):
            if where.offset >= left[where.topic, where.partition][1]:
                del left[where.topic, where.partition]
        if batch:
            yield batch


def _take(messages: Sequence[Message], left: Span) -> list[bytes | None]:
    """Give the payloads that lie in the ranges left; a range whose last message came is taken out of `left`."""
    batch: list[bytes | None] = []
    for message in messages:
        error, offset = message.error(), message.offset()
        if error is not None:
            raise SourceError(f"kafka: {error.str()}")
        key = (str(message.topic()), int(message.partition() or 0))
        if key not in left or offset is None:
            continue
        if offset < left[key][1]:
            batch.append(message.value())
        if offset >= left[key][1] - 1:
            del left[key]
    return batch
