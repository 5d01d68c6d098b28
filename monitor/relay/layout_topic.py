"""The compacted topic of layouts: those who judge write them, and all who count read all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.codec import decode, encode
from monitor.errors import SourceError, StateError
from monitor.layouts import Layout

OWN: Final[Mapping[str, object]] = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 0,
    "message.max.bytes": 8 << 20,
    "log_level": 2,
}
READ_MAX: Final = 500
CAUGHT_UP_S: Final = 10.0
TOLD_S: Final = 1.0


class LayoutWriter:
    """Tells layouts. options: librdkafka's, to connect. What can't be told now is sent when brokers are back."""

    def __init__(self, options: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self._producer = Producer({**options, **OWN})

    def __call__(self, layouts: Sequence[Layout]) -> None:
        """Send layouts, and wait shortly: until they are known, what they are of comes event by event."""
        for layout in layouts:
            key = json.dumps([layout.model, layout.model_version]).encode()
            self._producer.produce(self._topic, encode(layout.state()), key)
        self._producer.flush(TOLD_S)


class LayoutReader:
    """Hears of layouts. report: told of what can't be read (reason, text, cure): events are forwarded meanwhile."""

    def __init__(self, options: Mapping[str, Any], topic: str, report: Callable[[str, str, str], None]) -> None:
        self._topic = topic
        self._report = report
        own = {"group.id": "unused", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        self._consumer = Consumer({**options, **own})
        self._is_behind = True

    def open(self) -> None:
        """Begin at the first layout there is."""
        self._consumer.assign([KafkaPartition(self._topic, 0, OFFSET_BEGINNING)])

    def __call__(self) -> Sequence[Layout]:
        """Give the layouts that came since the last call; the first call waits for all there are."""
        found = self._read(0.0)
        if self._is_behind:
            self._is_behind = False
            end_s = time.monotonic() + CAUGHT_UP_S
            place = KafkaPartition(self._topic, 0)
            try:
                _, end = self._consumer.get_watermark_offsets(place, CAUGHT_UP_S)
            except KafkaException as error:
                raise SourceError(f"kafka: topic {self._topic!r}: {error.args[0].str()}") from None
            while self._consumer.position([place])[0].offset < end and time.monotonic() < end_s:
                found += self._read(0.1)
                if end == 0:
                    break
        return found

    def _read(self, timeout_s: float) -> list[Layout]:
        out: list[Layout] = []
        for message in self._consumer.consume(READ_MAX, timeout_s):
            error, value = message.error(), message.value()
            if error is not None:
                self._report(error.name().lower(), error.str(), "")
            elif value is not None:
                try:
                    out.append(Layout.of_state(decode(value, f"topic {self._topic!r}, offset {message.offset()}")))
                except StateError as bad:
                    self._report("layout_unreadable", str(bad), "bring the folds up to date")
        return out
