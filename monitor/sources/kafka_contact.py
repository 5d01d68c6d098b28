"""Whether brokers can be reached: quiet is told from cut off by asking, now and then, when nothing comes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from math import inf
from threading import Thread
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.domain import TopicPartition
from monitor.errors import SourceError
from monitor.sources.kafka_starts import log_offsets

PROBE_S: Final = 5.0
"""When nothing came for so long, brokers are asked for the ends of the partitions."""
AWAY_S: Final = 2.0 * PROBE_S
"""They are asked in half of it, so who was not heard for so long was away: those who send may not be back yet."""
PROBE_TIMEOUT_S: Final = 1.0
"""Longer than a fetch waits for messages (0.5 s), behind which the answer comes."""
PROBES_MIN: Final = 3
"""So many probes in a row must have failed before an outage is fatal: a process that slept is not cut off."""
FRESH_S: Final = 3.0 * PROBE_S
"""What brokers told of an end longer ago is no longer relied upon."""
SILENT_S: Final = 15.0
"""Without a message or an answer for so long, the brokers count as out of reach."""


class Contact:
    """When brokers were last heard. outage_s_max: without any for so long, it is an error; 0: never."""

    def __init__(self, clock: Callable[[], float], outage_s_max: float) -> None:
        self._clock = clock
        self._outage_s_max = outage_s_max
        self._heard_s = self._probed_s = clock()
        self.met_s = clock()
        """When any broker has answered anything last."""
        self.back_s = -inf
        """When they were heard again after they had been away."""
        self._failed = 0
        self._aside: Thread | None = None
        self._aside_s = clock()
        self._is_due = False
        self._told_s: dict[TopicPartition, float] = {}
        self.ends: dict[TopicPartition, int] = {}

    def heard(self, now_s: float) -> None:
        """Take note that messages or answers came from brokers that lead our partitions."""
        if now_s - self._heard_s > AWAY_S:
            self.back_s = now_s
        self._heard_s = now_s
        self._met(now_s)

    def is_silent(self) -> bool:
        """Tell whether nothing was heard for too long."""
        return self._clock() - self._heard_s > SILENT_S

    def ask_soon(self) -> None:
        """Ask as soon as nothing comes: partitions are new here, and what is known of their ends is old."""
        self._is_due = True

    def is_end_known(self, source: TopicPartition, since_s: float) -> bool:
        """Tell whether a broker has told the end of a partition since then, and lately.

        What the client itself knows of it may be from before it was stopped, and looks like having read all.
        """
        return self._told_s.get(source, -inf) >= max(since_s, self._clock() - FRESH_S)

    def end(self, consumer: Consumer, source: TopicPartition) -> int | None:
        """Give the end of a partition, as far as the client or a broker has told it; asks nobody."""
        try:
            _, high = consumer.get_watermark_offsets(KafkaPartition(*source), cached=True)
        except KafkaException:
            high = -1
        end = max(high, self.ends.get(source, -1))
        return end if end >= 0 else None

    def _tell(self, ends: Mapping[TopicPartition, int], asked_s: float) -> None:
        self.ends = {**self.ends, **ends}
        self._told_s = {**self._told_s, **dict.fromkeys(ends, asked_s)}

    def probe(self, consumer: Consumer, ours: Collection[TopicPartition], topic: str, *, is_quiet: bool) -> None:
        """Ask, once in PROBE_S, for the ends of our partitions, or for anything if there are none yet.

        is_quiet: ask only if nothing was heard for so long. Waits at most twice PROBE_TIMEOUT_S. Raises SourceError
        after an outage that lasted too long.
        """
        now_s = self._clock()
        if not self._is_due and now_s - (max(self._heard_s, self._probed_s) if is_quiet else self._probed_s) < PROBE_S:
            return
        self._probed_s, self._is_due = now_s, False
        if ours:
            try:
                self._tell(log_offsets(consumer, ours, OFFSET_END, PROBE_TIMEOUT_S), now_s)
                self.heard(self._clock())
            except KafkaException:
                self._ask_anyone(consumer, topic)
        elif self._ask_anyone(consumer, topic):
            self.heard(self.met_s)

    def look_after(self, consumer: Consumer, silent: Collection[TopicPartition]) -> None:
        """Ask, once in PROBE_S, for the ends of partitions that give nothing while others do.

        What the client knows of an end comes with fetches: of a partition that it has ceased to fetch it stays as it
        was, which looks like being caught up. On a thread of its own, so that those that flow need not wait.
        """
        now_s = self._clock()
        is_asking = self._aside is not None and self._aside.is_alive()
        if not silent or is_asking or now_s - max(self._aside_s, self._probed_s) < PROBE_S:
            return
        self._aside_s = now_s
        self._aside = Thread(target=self._ask_aside, args=(consumer, tuple(silent)), name="kafka ends", daemon=True)
        self._aside.start()

    def _ask_aside(self, consumer: Consumer, silent: Collection[TopicPartition]) -> None:
        with suppress(KafkaException, RuntimeError):  # not answered, or closed meanwhile: asked again, or not needed
            asked_s = self._clock()
            self._tell(log_offsets(consumer, silent, OFFSET_END, PROBE_TIMEOUT_S), asked_s)

    def close(self) -> None:
        """Wait for a question that is under way: the client must not go while it is asked."""
        if self._aside is not None:
            self._aside.join(2.0 * PROBE_TIMEOUT_S)

    def _ask_anyone(self, consumer: Consumer, topic: str) -> bool:
        try:
            consumer.list_topics(topic, PROBE_TIMEOUT_S)
        except KafkaException:
            self._miss()
            return False
        self._met(self._clock())
        return True

    def _met(self, now_s: float) -> None:
        self.met_s = now_s
        self._failed = 0

    def _miss(self) -> None:
        """Count that nobody answered, and end an outage that lasts too long."""
        self._failed += 1
        lasted_s = self._clock() - self.met_s
        if self._outage_s_max and lasted_s > self._outage_s_max and self._failed >= PROBES_MIN:
            raise SourceError(
                f"kafka: no broker has answered for {lasted_s:.0f} s (kafka.outage_s_max is {self._outage_s_max:g}):"
                " check kafka.bootstrap_servers and the network; whoever runs the process may start it anew"
            )
