"""Messages of the client as a batch: where each is from, none twice, and the rest of the record only when looked at."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, overload

import numpy as np
from confluent_kafka import Message

from monitor.domain import Batch, IntArray, TopicPartition
from monitor.intake import REPLAYS, Origin

REPLAYS_DIGITS: Final = 9
UNREADABLE: Final = np.iinfo(np.int64).max
"""The position of a partition that is not ours (now): every message of it is passed over."""


class Origins(Sequence[Origin]):
    """The origins of messages, each made when it is asked for: few are."""

    __slots__ = ("_messages",)

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    @overload
    def __getitem__(self, at: int) -> Origin: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Origin]: ...
    def __getitem__(self, at: int | slice) -> Origin | Sequence[Origin]:
        """Give the origin of a message, or of a run of them."""
        return Origins(self._messages[at]) if isinstance(at, slice) else origin_of(self._messages[at])

    def __len__(self) -> int:
        return len(self._messages)


def origin_of(message: Message) -> Origin:
    """Give the origin of a message."""
    kind, time_ms = message.timestamp()
    replays = 0
    headers: list[tuple[str, bytes | None]] = message.headers() or []  # type: ignore[assignment]
    for name, value in headers:
        text = value or b""
        if name == REPLAYS and text.isdigit() and len(text) <= REPLAYS_DIGITS:
            replays = int(text)
    return Origin(time_ms if kind else -1, replays)


class Batches:
    """Makes batches, and keeps which message of each partition is the next. positions: shared with its owner."""

    def __init__(self, positions: dict[TopicPartition, int], *, has_many_topics: bool) -> None:
        self._positions = positions
        self._has_many_topics = has_many_topics
        self._sources: list[TopicPartition] = []
        self._index: dict[tuple[str, int], int] = {}
        self._at = np.empty(0, dtype=np.int64)
        self.repeated = 0

    def add(self, source: TopicPartition) -> None:
        """Make room for messages of a partition."""
        if source in self._index:
            return
        at = self._index[source] = len(self._sources)
        self._sources.append(source)
        number = source.partition
        if number >= len(self._at):
            self._at = np.concatenate([self._at, np.full(number + 1 - len(self._at), -1)])
        self._at[number] = at  # of use with one topic alone

    def batch(
        self, messages: list[Message], running: Collection[TopicPartition]
    ) -> tuple[Batch, dict[TopicPartition, Message]]:
        """Give a batch, and the last message in it of each partition. running: those that may be read.

        Messages given out before are passed over, and so are those of partitions that were taken away or held while
        they came: when they run again, they are read anew from the position kept.
        """
        count = len(messages)
        if not count:
            return Batch(), {}
        at = self._places(messages)
        offsets = np.fromiter(map(Message.offset, messages), np.int64, count)
        order = np.argsort(at, kind="stable")
        sorted_at, sorted_offsets = at[order], offsets[order]
        is_first = np.empty(count, dtype=bool)
        is_first[0] = True
        np.not_equal(sorted_at[1:], sorted_at[:-1], out=is_first[1:])
        firsts = np.flatnonzero(is_first)
        present = [self._sources[i] for i in sorted_at[firsts].tolist()]
        nexts = [self._positions.get(each, 0) if each in running else UNREADABLE for each in present]
        is_back = (sorted_offsets[1:] <= sorted_offsets[:-1]) & ~is_first[1:]
        if is_back.any() or (sorted_offsets[firsts] < nexts).any():
            return self.batch(self._unread(messages, at, offsets, dict(zip(present, nexts, strict=True))), running)
        lasts = order[np.append(firsts[1:], count) - 1].tolist()
        for source, last in zip(present, lasts, strict=True):
            self._positions[source] = int(offsets[last]) + 1
        batch = Batch(list(map(Message.value, messages)), at, self._sources, offsets=offsets, origins=Origins(messages))
        return batch, {source: messages[last] for source, last in zip(present, lasts, strict=True)}

    def _places(self, messages: list[Message]) -> IntArray:
        """Give for each message where its partition stands in the list of sources."""
        numbers = np.fromiter(map(Message.partition, messages), np.int64, len(messages))
        if not self._has_many_topics:  # which is usual; then the number alone tells
            if numbers.max() < len(self._at):
                at = self._at[numbers]
                if at.min() >= 0:
                    return at
            topic = str(messages[0].topic())
            for number in set(numbers.tolist()):
                self.add(TopicPartition(topic, number))
            return self._at[numbers]
        keys = list(zip(map(Message.topic, messages), numbers.tolist(), strict=True))
        for topic_or_none, number in set(keys):
            self.add(TopicPartition(str(topic_or_none), number))
        return np.fromiter(map(self._index.__getitem__, keys), np.int64, len(keys))  # type: ignore[arg-type]

    def _unread(
        self, messages: list[Message], at: IntArray, offsets: IntArray, nexts: dict[TopicPartition, int]
    ) -> list[Message]:
        """Give the messages that were not given out before, each once."""
        kept = []
        for message, place, offset in zip(messages, at.tolist(), offsets.tolist(), strict=True):
            source = self._sources[place]
            if offset >= nexts[source]:
                kept.append(message)
                nexts[source] = offset + 1
            elif nexts[source] != UNREADABLE:
                self.repeated += 1
        return kept
