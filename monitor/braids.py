"""The braids that a fold reads: its partitions of several topics as those of one, for all that goes by positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, overload

import numpy as np
import structlog

from monitor.braid import Braid, Marks, Piece, Place, Read, marks_of
from monitor.claims import Committed
from monitor.domain import Batch, FloatArray, Gap, TopicPartition
from monitor.intake import Origin

NAMES_BETWEEN: Final = "+"
"""Which is in no topic's name."""
UNLIKE: Final = {
    "error_code": "partitions_differ",
    "cure": "give the topics of kafka.topics as many partitions, and have all sent with request_id as key, by one"
    " partitioner",
}

log = structlog.get_logger()


class Texts(Protocol):
    """What the group has committed, as it stands there."""

    def read_texts(
        self, sources: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, str | None] | None] | None:
        """Give offset and text, None for a partition of which nothing is committed; None where nobody answers."""
        ...

    def commit_texts(self, entries: Mapping[TopicPartition, tuple[int, str]]) -> bool:
        """Commit, and tell whether all was taken."""
        ...

    def partitions(self) -> Mapping[str, int]:
        """Give how many partitions each topic has."""
        ...


@dataclass(frozen=True, slots=True)
class BraidTerms:
    """What is read as one, and of whom to ask.

    tenures, positions, untold: see fold_house.Hands, of the topics' own partitions. lag: how many
    messages are left of a partition, None: not known.
    """

    topics: tuple[str, ...]
    texts: Texts
    tenures: Callable[[], Mapping[TopicPartition, int]]
    positions: Callable[[], Mapping[TopicPartition, int]]
    untold: Callable[[], Mapping[TopicPartition, int]]
    lag: Callable[[TopicPartition], int | None]


class Braids:
    """By partition. To others a braid is a partition of a topic that has the names of all. Is the fold's Ledger."""

    def __init__(self, terms: BraidTerms) -> None:
        self._terms = terms
        self._topics = {topic: at for at, topic in enumerate(terms.topics)}
        self._name = NAMES_BETWEEN.join(terms.topics)
        self._braids: dict[TopicPartition, Braid] = {}
        self._held: dict[TopicPartition, int] = {}
        self._is_unlike = False

    # ---- what is ours

    def tenures(self) -> Mapping[TopicPartition, int]:
        """Give the braids that are ours: a braid is whose its first topic's partition is."""
        own = self._terms.tenures()
        return {self.of(each): tenure for each, tenure in own.items() if each.topic == self._terms.topics[0]}

    def renew(self) -> None:
        """Forget braids that are no longer ours, or were not meanwhile, and begin those that are new."""
        tenures = dict(self.tenures())
        for each, tenure in tenures.items():
            if self._held.get(each) != tenure:
                self._braids[each] = Braid(len(self._topics))
        self._braids = {each: braid for each, braid in self._braids.items() if each in tenures}
        self._held = tenures

    def of(self, source: TopicPartition) -> TopicPartition:
        """Give the braid that a partition is of."""
        return TopicPartition(self._name, source.partition)

    def sources(self, braid: TopicPartition) -> list[TopicPartition]:
        """Give the partitions of a braid."""
        return [TopicPartition(topic, braid.partition) for topic in self._terms.topics]

    def positions(self) -> Mapping[TopicPartition, int]:
        """Give the position of each braid of which it is known where all its logs are read."""
        at = self._terms.positions()
        out = {}
        for each, braid in self._braids.items():
            braid.begin([at.get(source) for source in self.sources(each)])
            if braid.path is not None:
                out[each] = sum(braid.path.end)
        return out

    def partitions(self) -> Mapping[str, int]:
        """Give how many braids there are."""
        counts = self._terms.texts.partitions()
        return {self._name: counts[self._terms.topics[0]]} if self._terms.topics[0] in counts else {}

    def ahead(self) -> list[TopicPartition]:
        """Give the partitions of which so much waits for its turn that they are better not read on."""
        return [
            source
            for each, braid in self._braids.items()
            for at, source in enumerate(self.sources(each))
            if braid.is_full(at)
        ]

    def idle(self, idle: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Give the braids of which nothing is to be read. idle: the partitions of which that holds."""
        quiet = set(idle)
        return [
            each
            for each, braid in self._braids.items()
            if quiet.issuperset(self.sources(each)) and not any(map(braid.waits, range(len(self._topics))))
        ]

    # ---- messages

    def put(self, batch: Batch) -> set[TopicPartition]:
        """Take in a batch as read; give the braids of which it has messages."""
        heard = set()
        numbers = np.asarray(batch.partitions, dtype=np.int64)
        offsets = np.asarray(batch.offsets, dtype=np.int64)
        for number in np.unique(numbers).tolist():
            source = batch.sources[number]
            braid = self._braids.get(self.of(source)) if source.topic in self._topics else None
            if braid is None:
                continue
            own = np.flatnonzero(numbers == number)
            at = own.tolist()
            origins = _Picked([(batch.origins, i) for i in at if len(batch.origins)])
            values = [batch.values[i] for i in at]
            braid.put(self._topics[source.topic], Piece(values, offsets[own], origins, _times_s(origins, len(at))))
            heard.add(self.of(source))
        return heard

    def lose(self, gap: Gap) -> None:
        """Take in that messages are gone."""
        braid = self._braids.get(self.of(gap.source))
        if braid is not None:
            braid.put(self._topics[gap.source.topic], Piece(gap=(gap.first, gap.next)))

    def take(self) -> tuple[Batch, list[Gap]]:
        """Give what can be read on, by position, and where messages are gone."""
        gaps: list[Gap] = []
        sources = list(self._braids)
        reads: list[tuple[int, Read]] = []
        for number, each in enumerate(sources):
            for read in self._braids[each].read(partial(self._is_at_end, self.sources(each))):
                if read.piece.gap is not None:
                    first, upto = read.piece.gap
                    gaps.append(Gap(each, first + read.shift, upto + read.shift))
                else:
                    reads.append((number, read))
        if not reads:
            return Batch(), gaps
        batch = Batch(
            [value for _, read in reads for value in read.piece.values],
            np.concatenate([np.full(len(read.piece.values), number) for number, read in reads]),
            sources,
            offsets=np.concatenate([read.piece.offsets + read.shift for _, read in reads]),
            origins=_Picked([(read.piece.origins, i) for _, read in reads for i in range(len(read.piece.origins))]),
        )
        return batch, gaps

    def _is_at_end(self, sources: Sequence[TopicPartition], at: int) -> bool:
        return self._terms.lag(sources[at]) == 0

    def as_read(self, batch: Batch) -> Batch:
        """Give a batch of braids with topic, partition and offset of each message as it was read."""
        numbers = np.asarray(batch.partitions, dtype=np.int64)
        positions = np.asarray(batch.offsets, dtype=np.int64)
        partitions, offsets = np.empty(len(batch), dtype=np.int64), np.empty(len(batch), dtype=np.int64)
        sources: list[TopicPartition] = []
        for number in np.unique(numbers).tolist():
            own = numbers == number
            path = self._braids[batch.sources[number]].path
            assert path is not None
            logs, offsets[own] = path.messages(positions[own])
            partitions[own] = logs + len(sources)
            sources += self.sources(batch.sources[number])
        return Batch(batch.values, partitions, sources, offsets=offsets, origins=batch.origins)

    # ---- what is committed

    def read(self, sources: Iterable[TopicPartition]) -> Mapping[TopicPartition, Committed | None] | None:
        """See Ledger. None also while the topics have not as many partitions."""
        if not self._is_alike():
            return None
        firsts = {self.sources(each)[0]: each for each in sources}
        found = self._terms.texts.read_texts(firsts)
        if found is None:
            return None
        out: dict[TopicPartition, Committed | None] = {}
        for source, each in firsts.items():
            entry = found.get(source)
            marks = None if entry is None else marks_of(*entry, len(self._topics))
            self._braids[each].found(marks)
            out[each] = None if marks is None else _committed(marks)
        return out

    def commit(self, entries: Mapping[TopicPartition, Committed]) -> bool:
        """See Ledger."""
        untold = self._terms.untold()
        marks = {each: self._marks(each, entry, untold) for each, entry in entries.items()}
        texts: dict[TopicPartition, tuple[int, str]] = {}
        for each, found in marks.items():
            whole, *others = self.sources(each)
            texts[whole] = (found.start[0], found.to_text())
            texts |= {source: (at, "") for source, at in zip(others, found.start[1:], strict=True)}  # for people to see
        if not self._terms.texts.commit_texts(texts):
            return False
        for each in entries:
            self._braids[each].committed(entries[each].offset)
        return True

    def _marks(self, each: TopicPartition, entry: Committed, untold: Mapping[TopicPartition, int]) -> Marks:
        """Give what to commit. A letter that nobody has yet is read again, and what it is of is counted as before."""
        braid = self._braids[each]
        assert braid.path is not None
        start = braid.place(entry.offset)
        for at, source in enumerate(self.sources(each)):
            if source in untold:
                start = min(start, braid.path.before_message(at, untold[source]), key=sum)
        back: Place = start if entry.back is None else min(start, braid.path.before(entry.back), key=sum)
        acked = braid.acked(entry.offset)
        return Marks(entry.epoch, start, acked, braid.place(entry.limit), back)

    def _is_alike(self) -> bool:
        """Tell whether the topics have as many partitions each; says so once if not."""
        counts = self._terms.texts.partitions()
        known = {topic: counts[topic] for topic in self._terms.topics if topic in counts}
        is_alike = len(set(known.values())) <= 1
        if not is_alike and not self._is_unlike:
            log.error("topics can't be joined", partitions=known, **UNLIKE)
        self._is_unlike = not is_alike
        return is_alike


def starts_at(offset: int, text: str | None, number: int, before: int, topics: int) -> tuple[int, int] | None:
    """Give from where a log of a braid counts, and from where it is read; see claims.starts_at. number: of the log."""
    marks = marks_of(offset, text, topics)
    if marks is not None:
        return marks.start[number], min(marks.start[number] - before, marks.back[number])
    return None if number else (offset, offset - before)


def _committed(marks: Marks) -> Committed:
    return Committed(sum(marks.start), marks.epoch, sum(marks.limit), sum(marks.back))


def _times_s(origins: Sequence[Origin], count: int) -> FloatArray:
    """Give when messages were written, -inf where that is not known."""
    times_s = np.array([each.timestamp_ms for each in origins] or [-1] * count) / 1e3
    return np.where(times_s >= 0.0, times_s, -np.inf)


class _Picked(Sequence[Origin]):
    """Some of other sequences' origins, each looked up when it is asked for."""

    __slots__ = ("_places",)

    def __init__(self, places: Sequence[tuple[Sequence[Origin], int]]) -> None:
        self._places = places

    @overload
    def __getitem__(self, at: int) -> Origin: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Origin]: ...
    def __getitem__(self, at: int | slice) -> Origin | Sequence[Origin]:
        if isinstance(at, slice):
            return _Picked(self._places[at])
        origins, i = self._places[at]
        return origins[i]

    def __len__(self) -> int:
        return len(self._places)
