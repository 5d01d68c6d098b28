"""The half that counts, by itself: messages of some source partitions in, deltas for every court out.

    bytes --decode--> columns --fold--> counts by partition and pane --cut--> deltas

It judges nothing and keeps nothing for another process: what was not sent is counted again from the messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import numpy as np

from monitor.claims import Stretch
from monitor.closed_table import ClosedTable, StrangeProbes
from monitor.counts import Counts
from monitor.decode import Adapter, Columns
from monitor.deltas import Counted, Counters, Delta, Forwarded, court_of
from monitor.domain import Batch, FloatArray, IntArray, Rejection, TopicPartition
from monitor.duplicates import Duplicates
from monitor.fold import Folder, Hits, Part
from monitor.layouts import Layout
from monitor.panes import OpenPanes, Waiting
from monitor.pipeline_terms import PipelineTerms
from monitor.streams import NONE
from monitor.totals import Totals

PANE_BITS: Final = 40
"""Of a slot: a pane of one source partition, told by one number."""
PANE_BIAS: Final = 1 << (PANE_BITS - 1)


@dataclass(slots=True)
class _Source:
    """One source partition. number: of its slots. next: the next offset. See DeltaFold.begin for the others."""

    number: int
    counted_from: int
    fine_until: int
    next: int
    duplicates: Duplicates
    latest_s: float = -np.inf
    panes: set[int] = field(default_factory=set)
    forwarded: list[tuple[int, Forwarded]] = field(default_factory=list)


class DeltaFold:
    """Counts for courts. Only one thread may call it. A message holds one event, as with every adapter so far.

    Law: what a stretch adds depends on its messages alone, not on how they were cut into batches, nor on what others
    have read: of two stretches, the sum is what they add as one.
    """

    def __init__(self, terms: PipelineTerms, adapter: Adapter, courts: int) -> None:
        self._terms = terms
        self._adapter = adapter
        self._courts = courts
        self.table = ClosedTable(terms.limits, lambda m, v: terms.plan_of(m, v).watch)
        self.totals = Totals()
        self._folder = Folder(self.table, StrangeProbes(self.table))
        self._open = OpenPanes()
        self._times: list[tuple[IntArray, IntArray, FloatArray]] = []
        self._sources: dict[TopicPartition, _Source] = {}
        self._numbers = 0
        self._forwarded_bytes = 0

    def apply(self, layout: Layout) -> None:
        """Count by this layout from the next message on."""
        self.table.apply(layout)

    # ---- which partitions

    def begin(self, source: TopicPartition, counted_from: int, fine_until: int) -> None:
        """Take up a partition.

        Messages before `counted_from` only tell which events there were; those before `fine_until` are forwarded, since
        an earlier owner may have sent any part of them.
        """
        self.drop(source)
        self._numbers += 1
        seen = Duplicates(self._terms.event_ids_max, self._terms.seed)
        self._sources[source] = _Source(self._numbers, counted_from, fine_until, counted_from, seen)

    def drop(self, source: TopicPartition) -> None:
        """Forget a partition, and what was not sent of it."""
        held = self._sources.pop(source, None)
        if held is not None:
            self._forwarded_bytes -= _bytes_of(held.forwarded)
            self._take_open(held)
            self._take_times(held)

    def skip(self, source: TopicPartition, upto: int) -> None:
        """Go on at an offset: the messages before it are gone, and all before them was cut out."""
        self._sources[source].next = max(self._sources[source].next, upto)

    @property
    def forwarded_bytes(self) -> int:
        """Of messages that wait to be sent as they came."""
        return self._forwarded_bytes

    @property
    def nbytes(self) -> int:
        """Bytes held by all that waits to be cut out. Cost: a microsecond per batch that waits."""
        times = sum(part.nbytes for held in self._times for part in held)
        return self._forwarded_bytes + self._open.nbytes + times

    @property
    def next(self) -> Mapping[TopicPartition, int]:
        """The partitions that were taken up, with the next offset of each."""
        return {source: held.next for source, held in self._sources.items()}

    # ---- messages

    def take(self, batch: Batch, now_s: float) -> list[tuple[int, Rejection]]:
        """Count a batch of messages; give the places of those that can't be used, and why.

        now_s: wall clock, by which times in the future are clamped (inf: never).
        """
        partitions, offsets = np.asarray(batch.partitions, dtype=np.int64), np.asarray(batch.offsets, dtype=np.int64)
        sources = {number: self._sources.get(batch.sources[number]) for number in np.unique(partitions).tolist()}
        is_new = np.zeros(len(batch), dtype=bool)
        for number, held in sources.items():
            own = np.flatnonzero(partitions == number)
            if held is not None and own.size:
                is_new[own] = offsets[own] >= held.counted_from
                held.next = max(held.next, int(offsets[own].max()) + 1)
        values, rejected_at = list(batch.values), None
        if not is_new.all():
            self._warm(values, partitions, sources, np.flatnonzero(~is_new))
            at = rejected_at = np.flatnonzero(is_new)
            partitions, offsets, values = partitions[at], offsets[at], [values[i] for i in at.tolist()]
        columns = self._adapter.decode(values)
        self.totals.take(partitions, columns, [source.topic for source in batch.sources])
        if len(columns):
            at = np.array(columns.messages, dtype=np.int64)
            places = _Places([source.topic for source in batch.sources], sources, partitions[at], offsets[at])
            self._take_events(columns, places, [values[i] for i in at.tolist()], now_s)
        if rejected_at is None:
            return list(columns.rejected)
        return [(int(rejected_at[place]), why) for place, why in columns.rejected]

    def _warm(
        self, values: Sequence[bytes | None], partitions: IntArray, sources: Mapping[int, _Source | None], at: IntArray
    ) -> None:
        """Note which events there were in messages that were sent long ago."""
        columns = self._adapter.decode([values[i] for i in at.tolist()])
        owners = partitions[at][np.array(columns.messages, dtype=np.int64)]
        for number, held in sources.items():
            if held is not None:
                held.duplicates.seen([columns.event_ids[i] for i in np.flatnonzero(owners == number).tolist()])

    def _take_events(self, columns: Columns, places: _Places, values: Sequence[bytes | None], now_s: float) -> None:
        latest_s = now_s + self._terms.time.future_s
        times_s = np.minimum(columns.times_s, latest_s)
        panes = np.floor(times_s / self._terms.time.pane_s).astype(np.int64)
        scopes = self.table.scopes_of(columns.models, columns.versions)
        is_kept, is_forwarded = np.ones(len(columns), dtype=bool), scopes == NONE
        numbers = np.zeros(len(columns), dtype=np.int64)
        for topic, held, found in places.each():
            seen = held.duplicates.seen([columns.event_ids[i] for i in found.tolist()])
            own = found if seen is None else found[~seen]
            held.panes.update(_distinct(panes[own]))
            self.totals.duplicate[topic] += len(found) - len(own)
            is_kept[found] = seen is None or ~seen
            self.totals.counted[topic, "inference"] += len(own)
            self.totals.clamped[topic] += int((columns.times_s[own] > latest_s).sum())
            held.latest_s = max(held.latest_s, float(times_s[own].max(initial=-np.inf)))
            is_forwarded[own] |= places.offsets[own] < held.fine_until
            numbers[own] = held.number
        chosen = np.flatnonzero(is_kept & ~is_forwarded)
        strange = self._count(columns, scopes, panes, numbers, chosen)
        is_forwarded[strange] = True
        counted = np.setdiff1d(chosen, strange, assume_unique=True)
        if counted.size:
            self._times.append((numbers[counted], self.table.subject_of[scopes[counted]], times_s[counted]))
        for i in np.flatnonzero(is_kept & is_forwarded).tolist():
            sent = Forwarded(int(places.offsets[i]), float(times_s[i]), values[i] or b"")
            self._forwarded_bytes += len(sent.value)
            places.of(i).forwarded.append((court_of(columns.models[i], self._courts), sent))

    def _count(
        self, columns: Columns, scopes: IntArray, panes: IntArray, numbers: IntArray, chosen: IntArray
    ) -> IntArray:
        """Count events, and give those that are strange, which are found by halving what holds any."""
        slots, codes = np.unique((numbers << PANE_BITS) + panes + PANE_BIAS, return_inverse=True)
        strange: list[int] = []
        left = [chosen] if chosen.size else []
        while left:
            at = left.pop()
            hits = self._try(columns if len(at) == len(columns) else columns.at(at), scopes[at], panes[at])
            if hits is not None:
                for hit in hits:
                    self._add(hit, slots, codes[at])
            elif len(at) == 1:
                strange.append(int(at[0]))
            else:
                left += [at[len(at) // 2 :], at[: len(at) // 2]]
        return np.array(strange, dtype=np.int64)

    def _try(self, columns: Columns, scopes: IntArray, panes: IntArray) -> list[Hits] | None:
        """Count events; None where any of them is strange: then nothing was counted."""
        self.table.is_strange = False
        part = Part(columns.features, columns.fields, scopes, panes, np.arange(len(columns)))
        hits = list(self._folder.fold(part, columns.segments))
        return None if self.table.is_strange else hits

    def _add(self, hits: Hits, slots: IntArray, codes: IntArray) -> None:
        """Put hits where they wait. slots: all of the batch. codes: which of them each event is of."""
        if not hits.flat.size:
            return
        own = codes[hits.events].astype(np.uint16 if len(slots) <= 1 << 16 else np.int64)  # few are sorted in one pass
        if own[0] == own[-1] and (own == own[0]).all():
            self._open.put(int(slots[own[0]]), hits.arena, hits.flat)
            return
        order = np.argsort(own, kind="stable")
        flat, own = hits.flat[order], own[order]
        for start, stop in pairwise([0, *(np.flatnonzero(np.diff(own)) + 1).tolist(), len(own)]):
            self._open.put(int(slots[own[start]]), hits.arena, flat[start:stop])

    # ---- deltas

    def cut(self, source: TopicPartition, stretch: Stretch, epoch: int, quiet_s: float | None = None) -> list[Delta]:
        """Take out a stretch of what was gathered of a partition, and give it as a delta for each court.

        It names the panes of all that was gathered: twice or too soon does no harm, once not at all does.

        A fine one holds what is to be forwarded before its end; the other one all that there is. quiet_s: how long
        nothing has come, if nothing is left to read.
        """
        held = self._sources[source]
        inside = [sent for sent in held.forwarded if sent[1].offset < stretch.next]
        held.forwarded = held.forwarded[len(inside) :]
        self._forwarded_bytes -= _bytes_of(inside)
        latest_s = max((sent.time_s for _, sent in inside), default=-np.inf) if stretch.is_fine else held.latest_s
        delta = Delta(source, epoch, stretch, latest_s, quiet_s is not None, quiet_s or 0.0, panes=sorted(held.panes))
        if not stretch.is_fine:
            held.panes.clear()
        counted, subjects = ({}, {}) if stretch.is_fine else self._counted(held)
        return [
            replace(
                delta,
                forwarded=[sent for to, sent in inside if to == court],
                counted=counted.get(court, ()),
                subjects=subjects.get(court, ()),
            )
            for court in range(self._courts)
        ]

    def _counted(self, held: _Source) -> tuple[Mapping[int, Sequence[Counted]], Mapping[int, Sequence[Counters]]]:
        """Give what was counted of a partition, and forget it: counts and subjects, by court."""
        table, waiting = self.table, self._take_open(held)
        subjects, times_s = self._take_times(held)
        present = np.unique(subjects).tolist()
        courts = {at: court_of(table.subjects[at].model, self._courts) for at in present}
        base = np.zeros(len(table.subjects), dtype=np.int64)
        counters: dict[int, list[Counters]] = {}
        sizes: dict[int, int] = {}
        for at in present:
            own, subject, layout = subjects == at, table.subjects[at], table.layout(at)
            span_s = (float(times_s[own].min()), float(times_s[own].max()))
            counter = Counters(
                subject.model, subject.model_version, layout.identity, len(layout.streams), int(own.sum()), *span_s
            )
            counters.setdefault(courts[at], []).append(counter)
            base[at] = sizes.get(courts[at], 0)
            sizes[courts[at]] = int(base[at]) + len(layout.streams)
        court_by = np.array([courts.get(at, NONE) for at in range(len(table.subjects))], dtype=np.int64)
        counted: dict[int, list[Counted]] = {}
        for arena, places in zip(table.arenas, table.places(), strict=True):
            for pane, hits in waiting:
                flat, counts = Counts.of_hits(hits[arena.arena], arena.size).pairs()
                rows = flat // arena.width
                owners = arena.subjects[rows]
                numbers = (base[owners] + places[rows]) * arena.width + flat % arena.width
                for court in np.unique(court_by[owners]).tolist():
                    mine = np.flatnonzero(court_by[owners] == court)
                    mine = mine[np.argsort(numbers[mine], kind="stable")]
                    counted.setdefault(court, []).append(Counted(pane, arena.arena, numbers[mine], counts[mine]))
        return counted, counters

    def _take_open(self, held: _Source) -> list[tuple[int, Sequence[Waiting]]]:
        """Give what waits of a partition, by pane, and forget it."""
        low, high = held.number << PANE_BITS, (held.number + 1) << PANE_BITS
        return [(slot - low - PANE_BIAS, self._open.take(slot)) for slot in self._open.between(low, high)]

    def _take_times(self, held: _Source) -> tuple[IntArray, FloatArray]:
        """Give subject and time of the events counted of a partition, and forget them."""
        if not self._times:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        numbers, subjects, times_s = map(np.concatenate, zip(*self._times, strict=True))
        own = numbers == held.number
        self._times = [(numbers[~own], subjects[~own], times_s[~own])]
        return subjects[own], times_s[own]


def _bytes_of(forwarded: Sequence[tuple[int, Forwarded]]) -> int:
    return sum(len(sent.value) for _, sent in forwarded)


def _distinct(panes: IntArray) -> list[int]:
    """Give the panes that occur; most often all are of one."""
    if panes.size and panes[0] == panes[-1] and (panes == panes[0]).all():
        return [int(panes[0])]
    return [int(pane) for pane in np.unique(panes)]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the events of a batch come from. topics, sources: by number. partitions, offsets: of each, shape (n,)."""

    topics: Sequence[str]
    sources: Mapping[int, _Source | None]
    partitions: IntArray
    offsets: IntArray

    def of(self, event: int) -> _Source:
        held = self.sources[int(self.partitions[event])]
        assert held is not None
        return held

    def each(self) -> Iterator[tuple[str, _Source, IntArray]]:
        """Give topic, source and events of each partition that has any."""
        for number, held in self.sources.items():
            own = np.flatnonzero(self.partitions == number)
            if held is not None and own.size:
                yield self.topics[number], held, own
