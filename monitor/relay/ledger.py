"""The offsets that a fold's group has committed, with what stands beside them (see claims)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.claims import Committed, committed_of
from monitor.domain import TopicPartition

ASK_S: Final = 10.0
COUNT_S: Final = 30.0
"""How often it is asked how many partitions topics have."""


class GroupLedger:
    """What a group has committed. consumer: gives its member. report: told of refused commits (reason, text, cure)."""

    def __init__(
        self, consumer: Callable[[], Consumer], topics: Sequence[str], report: Callable[[str, str, str], None]
    ) -> None:
        self._consumer = consumer
        self._topics = topics
        self._report = report
        self._counts: dict[str, int] = {}
        self._counted_s = -COUNT_S

    def read(self, sources: Iterable[TopicPartition]) -> Mapping[TopicPartition, Committed | None] | None:
        """Give what is committed, None for a partition of which nothing is; None where nobody answers."""
        asked = [KafkaPartition(*source) for source in sources]
        try:
            found = self._consumer().committed(asked, ASK_S)
        except KafkaException as error:
            self._report("committed_unknown", error.args[0].str(), "")
            return None
        out: dict[TopicPartition, Committed | None] = {}
        for each in found:
            if each.error is not None:
                self._report("committed_unknown", each.error.str(), "")
                return None
            source = TopicPartition(each.topic, each.partition)
            out[source] = committed_of(each.offset, each.metadata) if each.offset >= 0 else None
        return out

    def commit(self, entries: Mapping[TopicPartition, Committed]) -> bool:
        """Commit, and tell whether all was taken. Waits for the answer."""
        if not self._consumer().memberid():
            return False  # brokers take a commit without a generation while the group has no other members
        offsets = [
            KafkaPartition(source.topic, source.partition, entry.offset, metadata=entry.to_text())
            for source, entry in entries.items()
        ]
        try:
            done = self._consumer().commit(offsets=offsets, asynchronous=False) or []
        except KafkaException as error:
            self._report(f"commit_{error.args[0].name().lower()}", error.args[0].str(), "")
            return False
        refused = [each.error for each in done if each.error is not None]
        for found in refused[:1]:
            self._report(f"commit_{found.name().lower()}", found.str(), "")
        return not refused

    def partitions(self) -> Mapping[str, int]:
        """Give how many partitions each topic has, as of half a minute ago; none while nobody has answered."""
        now_s = time.monotonic()
        if now_s - self._counted_s >= COUNT_S:
            try:
                for topic in self._topics:
                    found = self._consumer().list_topics(topic, ASK_S).topics[topic]
                    if found.error is None:
                        self._counts[topic] = len(found.partitions)
                self._counted_s = now_s
            except KafkaException as error:
                self._report("partitions_unknown", error.args[0].str(), "")
        return self._counts
