"""What the loop asks of a source of events."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from monitor.domain import Batch, Gap, PartitionStatus, TopicPartition
from monitor.intake import Intake


class Source(Protocol):
    """Where messages come from. Every method is called by the loop thread alone; only `poll` may wait."""

    def open(self, stored: Mapping[TopicPartition, int], topic_ids: Mapping[str, str]) -> None:
        """Connect and return; called once. Raises SourceError if it can never work (bad options).

        stored: the next offset of each partition that state rests on, where reading goes on; others start elsewhere.
        topic_ids: what `topic_ids` gave when that was stored.
        """
        ...

    def topic_ids(self) -> Mapping[str, str]:
        """Give what tells topics from others that will have their names, by topic: of those that positions are of."""
        ...

    def poll(self, timeout_s: float) -> Batch:
        """Give the next messages, a bounded number; an empty batch after timeout_s. Raises SourceError if fatal.

        To be called all the time, also while every partition is held: it is what keeps the connection alive.
        """
        ...

    def positions(self) -> Mapping[TopicPartition, int]:
        """Give the next offset of each partition: what `open` was given, and all that `poll` has given out since.

        Also of partitions that are no longer read here: when one comes back, it goes on there.
        """
        ...

    def saved(self, positions: Mapping[TopicPartition, int]) -> None:
        """Take note that state with these positions is durable, and tell others: advisory. Never waits or raises."""
        ...

    def hold(self, partitions: Collection[TopicPartition]) -> None:
        """Do not read these until told otherwise; takes the place of what was held before. Nothing is lost by it."""
        ...

    def assigned(self) -> Sequence[TopicPartition] | None:
        """Give the partitions that are ours now, held or not; None until it is known."""
        ...

    def away(self) -> Sequence[TopicPartition]:
        """Give the partitions that were read here, by this process or the one before, and are not ours now."""
        ...

    def gaps(self) -> Sequence[Gap]:
        """Give the gaps found since this was last asked: messages that are gone and were never given out."""
        ...

    def idle(self) -> tuple[Sequence[TopicPartition], float]:
        """Give the partitions that are caught up and quiet, and for how long all have been (0: not all), in seconds."""
        ...

    def trouble(self) -> str:
        """Give why nothing can be read at the moment, in words, "" if it can."""
        ...

    def status(self) -> Sequence[PartitionStatus]:
        """Give position, end and lag of each partition read now."""
        ...

    def intake(self) -> Intake:
        """Give how reading fares."""
        ...

    def errors(self) -> Mapping[str, int]:
        """Give how many errors there were, by bounded reason."""
        ...

    def close(self) -> None:
        """Let go. May take some seconds. Called once, also after a failure."""
        ...
