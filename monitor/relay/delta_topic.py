"""The topic of deltas, as those who count write to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from monitor.errors import SourceError

OWN: Final[Mapping[str, object]] = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 0,
    "message.timeout.ms": 0,
    "message.max.bytes": 64 << 20,
    "log_level": 2,
}
"""A message is tried for as long as the process lives: in the order of sending, and not doubled by retries.

message.max.bytes: before compression. What brokers take is after it, and theirs to say.
"""


class DeltaTopic:
    """Writes posts. options: librdkafka's, to connect. topic: with a partition for each court."""

    def __init__(self, options: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self._under_way = 0
        self._failed: KafkaError | None = None
        try:
            self._producer = Producer({**options, **OWN})
        except KafkaException as error:
            raise SourceError(f"kafka: {error.args[0].str()}") from None

    def send(self, court: int, data: bytes) -> None:
        """Send to one court, without waiting. Raises SourceError where it can't be sent at all."""
        try:
            self._producer.produce(self._topic, data, partition=court, on_delivery=self._note)
        except (KafkaException, BufferError) as error:
            raise SourceError(f"kafka: topic {self._topic!r}, partition {court}: {error}") from None
        self._under_way += 1

    def has_all(self) -> bool:
        """Tell whether all that was sent is acknowledged. Raises SourceError where something never will be."""
        self._producer.poll(0)
        if self._failed is not None:
            raise SourceError(f"kafka: topic {self._topic!r} takes no deltas: {self._failed.str()}")
        return self._under_way == 0

    def _note(self, error: KafkaError | None, _: Message) -> None:
        self._under_way -= 1
        self._failed = error or self._failed
