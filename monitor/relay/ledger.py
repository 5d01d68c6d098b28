"""The offsets that a fold's group has committed, with what stands beside them (see claims).

A commit that was given up may still be on its way, and would undo a later one. So after one of unknown outcome the
member leaves the group: as another member it is given partitions only once brokers refuse whatever the old one sent.
The client also repeats a commit by itself when a connection is lost under it, and says nothing but that it was taken in
the end; such a one took as long as the client waits before it repeats, and an error of the connection is told by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.claims import Committed, committed_of
from monitor.domain import TopicPartition

ASK_S: Final = 10.0
COUNT_S: Final = 30.0
"""How often it is asked how many partitions topics have."""


REPEATED_S: Final = 0.08
"""The client waits 100 ms, a fifth more or less, before it repeats a request (`retry.backoff.ms`)."""
REFUSED: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.INVALID_GROUP_ID,
        KafkaError.GROUP_ID_NOT_FOUND,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError._WAIT_COORD,  # noqa: SLF001 - the public names
        KafkaError._NO_OFFSET,  # noqa: SLF001
        KafkaError._FATAL,  # noqa: SLF001
    }
)
"""Answers, or reasons not to ask: what was sent is decided. (Of COORDINATOR_NOT_AVAILABLE it may stand in the log of
offsets and count in the end: then before all that is committed later.)"""


log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Member:
    """The member of the group. consumer: gives its client. rejoin: leaves, and joins as another member.

    troubles: gives how many errors of connections there were.
    """

    consumer: Callable[[], Consumer]
    rejoin: Callable[[], None]
    troubles: Callable[[], int]


class GroupLedger:
    """What a group has committed. report: told of refused commits (reason, text, cure)."""

    def __init__(self, member: Member, topics: Sequence[str], report: Callable[[str, str, str], None]) -> None:
        self._member = member
        self._consumer = member.consumer
        self._topics = topics
        self._report = report
        self._troubles = 0
        self._may_have_repeated = False
        self._counts: dict[str, int] = {}
        self._counted_s = -COUNT_S

    def read(self, sources: Iterable[TopicPartition]) -> Mapping[TopicPartition, Committed | None] | None:
        """Give what is committed, None for a partition of which nothing is; None where nobody answers."""
        found = self.read_texts(sources)
        if found is None:
            return None
        return {source: None if entry is None else committed_of(*entry) for source, entry in found.items()}

    def read_texts(
        self, sources: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, str | None] | None] | None:
        """Give offset and text as committed, None for a partition of which nothing is; None where nobody answers."""
        asked = [KafkaPartition(*source) for source in sources]
        try:
            found = self._consumer().committed(asked, ASK_S)
        except KafkaException as error:
            self._report("committed_unknown", error.args[0].str(), "")
            return None
        out: dict[TopicPartition, tuple[int, str | None] | None] = {}
        for each in found:
            if each.error is not None:
                self._report("committed_unknown", each.error.str(), "")
                return None
            source = TopicPartition(each.topic, each.partition)
            out[source] = (each.offset, each.metadata) if each.offset >= 0 else None
        return out

    def commit(self, entries: Mapping[TopicPartition, Committed]) -> bool:
        """Commit, and tell whether all was taken. Waits for the answer; leaves the group where there is none."""
        return self.commit_texts({source: (entry.offset, entry.to_text()) for source, entry in entries.items()})

    def commit_texts(self, entries: Mapping[TopicPartition, tuple[int, str]]) -> bool:
        """Commit offsets with a text each; see commit."""
        if not self._consumer().memberid():
            return False  # brokers take a commit without a generation while the group has no other members
        if self._may_have_repeated and self._member.troubles() > self._troubles:
            self._leave("the connection was lost under the last commit, which may be on its way twice")
            return False
        offsets = [
            KafkaPartition(source.topic, source.partition, offset, metadata=text)
            for source, (offset, text) in entries.items()
        ]
        self._troubles, began_s = self._member.troubles(), time.monotonic()
        try:
            done = self._consumer().commit(offsets=offsets, asynchronous=False) or []
        except KafkaException as error:
            self._report(f"commit_{error.args[0].name().lower()}", error.args[0].str(), "")
            if error.args[0].code() not in REFUSED:
                self._leave(f"nobody knows whether a commit was taken ({error.args[0].str()})")
            return False
        self._may_have_repeated = time.monotonic() - began_s >= REPEATED_S
        refused = [each.error for each in done if each.error is not None]
        for found in refused[:1]:
            self._report(f"commit_{found.name().lower()}", found.str(), "")
        return not refused

    def _leave(self, why: str) -> None:
        self._may_have_repeated = False
        log.warning("leaves the group and joins anew", error_code="commit_unknown", why=why)
        self._member.rejoin()

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
