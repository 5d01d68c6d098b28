"""What a fold holds of one source partition, and which messages of a batch are whose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitor.decode import Columns
from monitor.delta_join import SourceJoin
from monitor.deltas import Forwarded
from monitor.domain import IntArray
from monitor.duplicates import Duplicates
from monitor.users import Users


@dataclass(slots=True)
class Source:
    """One source partition. number: of its slots. next: the next offset. See DeltaFold.begin for the others.

    forwarded, notes: what is to be sent as it came: with the court, and with the offset.
    """

    number: int
    counted_from: int
    fine_until: int
    next: int
    duplicates: Duplicates
    users: Users
    latest_s: float = -np.inf
    join: SourceJoin | None = None
    panes: set[int] = field(default_factory=set)
    forwarded: list[tuple[int, Forwarded]] = field(default_factory=list)
    notes: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Bytes of what is to be sent as it came."""
        sent = sum(len(sent.value) for _, sent in self.forwarded) + sum(size_of(note) for _, note in self.notes)
        return sent + (0 if self.join is None else self.join.nbytes)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the messages of a batch come from. topics, sources: by number. partitions, offsets: of each, shape (n,)."""

    topics: Sequence[str]
    sources: Mapping[int, Source | None]
    partitions: IntArray
    offsets: IntArray

    def of_events(self, columns: Columns) -> IntArray:
        """Give the partition of each event."""
        return self.partitions[np.array(columns.messages, dtype=np.int64)]

    def each(self, columns: Columns) -> Iterator[tuple[str, Source, IntArray]]:
        """Give topic, source and events of each partition that has any."""
        partitions = self.of_events(columns)
        for number, held in self.sources.items():
            own = np.flatnonzero(partitions == number)
            if held is not None and own.size:
                yield self.topics[number], held, own


def size_of(note: Mapping[str, Any]) -> int:
    """Give about how many bytes an annotation takes."""
    return sum(len(str(value)) for value in note.values())
