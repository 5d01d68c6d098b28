"""The compacted topic of layouts: those who judge write them, and all who count read all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.codec import decode, encode
from monitor.errors import SourceError, StateError
from monitor.layouts import Layout
from monitor.relay.absent import UNKNOWN, is_absent

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
ASK_S: Final = 3.0
AGAIN_S: Final = 3.0
"""Without a broker it is asked for so long, and again after so long: the loop must not stand still."""
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
        self._again_s = 0.0

    def open(self) -> None:
        """Begin at the first layout there is."""
        self._consumer.assign([KafkaPartition(self._topic, 0, OFFSET_BEGINNING)])

    def __call__(self) -> Sequence[Layout]:
        """Give the layouts that came since the last call; the first one that brokers answer waits for all there are.

        Raises SourceError where there is no such topic, or we may not read it.
        """
        found = self._read(0.0)
        if self._is_behind and time.monotonic() >= self._again_s:
            found += self._catch_up()
        return found

    def _catch_up(self) -> list[Layout]:
        """Give all there are; none, to be tried again, where no broker answers: events can be forwarded meanwhile."""
        place, found = KafkaPartition(self._topic, 0), []
        try:
            _, end = self._consumer.get_watermark_offsets(place, ASK_S)
        except KafkaException as error:
            code = error.args[0].code()
            is_unknown = code in UNKNOWN and is_absent(self._consumer, place, ASK_S)
            if is_unknown or code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise SourceError(
                    f"kafka: topic {self._topic!r}: {error.args[0].str()}: make it with `driftd topics create`, and see"
                    " `driftd check --topics`"
                ) from None
            self._report("layouts_unknown", error.args[0].str(), "events are forwarded one by one until brokers answer")
            self._again_s = time.monotonic() + AGAIN_S
            return []
        self._is_behind = False
        end_s = time.monotonic() + CAUGHT_UP_S
        while end and self._consumer.position([place])[0].offset < end and time.monotonic() < end_s:
            found += self._read(0.1)
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
