"""What the loop asks of a source of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from monitor.domain import Batch, PartitionStatus, TopicPartition


class Source(Protocol):
    """Where messages come from. Every method is called by the loop thread alone; only `poll` may wait."""

    def open(self) -> None:
        """Connect and return; called once. Raises SourceError if it can never work (bad options)."""
        ...

    def poll(self, timeout_s: float) -> Batch:
        """Give the next messages, a bounded number; an empty batch after timeout_s. Raises SourceError if fatal."""
        ...

    def assigned(self) -> Sequence[TopicPartition] | None:
        """Give the partitions read now; None until it is known."""
        ...

    def idle(self) -> tuple[Sequence[TopicPartition], float]:
        """Give the partitions that are caught up and quiet, and for how long all have been (0: not all), in seconds."""
        ...

    def trouble(self) -> str:
        """Give why nothing can be read at the moment, in words, "" if it can."""
        ...

    def commit(self) -> None:
        """Tell others how far the messages of the polls so far have been counted. Advisory; never raises."""
        ...

    def status(self) -> Sequence[PartitionStatus]:
        """Give position, end and lag of each partition read now."""
        ...

    def errors(self) -> Mapping[str, int]:
        """Give how many errors there were, by bounded reason."""
        ...

    def close(self) -> None:
        """Let go; commits first what was polled. May take some seconds. Called once, also after a failure."""
        ...
