"""The half that counts, by itself: messages of some source partitions in, deltas for every court out.

    bytes --decode--> columns --fold--> counts by partition and pane --cut--> deltas

It judges nothing and keeps nothing for another process: what was not sent is counted again from the messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from monitor.claims import Stretch
from monitor.closed_table import ClosedTable, StrangeProbes
from monitor.decode import Adapter, Columns
from monitor.delta_join import LOOKS_MAX, DeltaJoin, SourceJoin
from monitor.deltas import Counters, Delta, Forwarded, UserSlice, court_of
from monitor.domain import Batch, BoolArray, FloatArray, IntArray, Rejection, TopicPartition
from monitor.duplicates import Duplicates
from monitor.fold import Folder, Part
from monitor.fold_sources import Places, Source, size_of
from monitor.hits import Hits
from monitor.join.joined import Row
from monitor.layouts import Layout
from monitor.numbered import Numbered
from monitor.panes import OpenPanes, Waiting
from monitor.pipeline_terms import PipelineTerms
from monitor.quality import JoinStatus
from monitor.streams import NONE
from monitor.totals import Totals
from monitor.users import Users

PANE_BITS: Final = 40
"""Of a slot: a pane of one source partition, told by one number."""
PANE_BIAS: Final = 1 << (PANE_BITS - 1)


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
        self._join = DeltaJoin(terms, self.table, self._folder, courts) if terms.join.mode == "on" else None
        self._open = OpenPanes()
        self._times: list[tuple[IntArray, IntArray, FloatArray]] = []
        self._sources: dict[TopicPartition, Source] = {}
        self._numbers = 0
        self._forwarded_bytes = 0

    def apply(self, layout: Layout) -> None:
        """Count by this layout from the next message on."""
        self.table.apply(layout)

    def replan(self, terms: PipelineTerms) -> None:
        """Go by other plans in what outcomes say, from the next message on."""
        if self._join is not None:
            self._join.replan(terms)

    # ---- which partitions

    def begin(self, source: TopicPartition, counted_from: int, fine_until: int, back: int | None = None) -> None:
        """Take up a partition.

        Messages before `counted_from` only tell which events there were, and what waits to be joined; those before
        `fine_until` are forwarded, since an earlier owner may have sent any part of them. back: where reading begins.
        """
        self.drop(source)
        self._numbers += 1
        seen, users = Duplicates(self._terms.event_ids_max, self._terms.seed), Users(sorted(set(self._terms.windows_s)))
        join = None if self._join is None else self._join.begin(source, counted_from if back is None else back)
        self._sources[source] = Source(self._numbers, counted_from, fine_until, counted_from, seen, users, join=join)

    def drop(self, source: TopicPartition) -> None:
        """Forget a partition, and what was not sent of it."""
        held = self._sources.pop(source, None)
        if held is not None:
            self._forwarded_bytes -= held.nbytes
            if self._join is not None and held.join is not None:
                self._join.end(held.join)
            self._take_open(held)
            self._take_times(held)

    def skip(self, source: TopicPartition, upto: int) -> None:
        """Go on at an offset: the messages before it are gone, and all before them was cut out."""
        self._sources[source].next = max(self._sources[source].next, upto)

    def back_from(self, source: TopicPartition, offset: int) -> int | None:
        """Give from where a successor has to read to know what waits at an offset; None: nothing is joined."""
        join = self._sources[source].join
        return None if join is None else join.reach.back_from(offset)

    def join_status(self) -> JoinStatus:
        """Give what there is to see of the join; how many were joined the courts tell."""
        return JoinStatus() if self._join is None else self._join.status()

    @property
    def elsewhere(self) -> int:
        """Outcomes that can't be joined, since their inference is in another partition: those that were noticed."""
        return 0 if self._join is None else self._join.elsewhere

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
            self._warm(batch, sources, np.flatnonzero(~is_new), now_s)
            at = rejected_at = np.flatnonzero(is_new)
            partitions, offsets, values = partitions[at], offsets[at], [values[i] for i in at.tolist()]
        columns = self._adapter.decode(values)
        topics = [source.topic for source in batch.sources]
        self.totals.take(partitions, columns, topics)
        for place, note in columns.annotations:
            owner = sources[int(partitions[place])]
            if owner is not None:
                owner.notes.append((int(offsets[place]), note))
                self._forwarded_bytes += size_of(note)
        if self._join is not None:
            self._join.looks_left = LOOKS_MAX
        if len(columns) or (self._join is not None and len(columns.outcomes)):
            self._take_columns(columns, Places(topics, sources, partitions, offsets), values, now_s)
        if rejected_at is None:
            return list(columns.rejected)
        return [(int(rejected_at[place]), why) for place, why in columns.rejected]

    def _warm(self, batch: Batch, sources: Mapping[int, Source | None], at: IntArray, now_s: float) -> None:
        """Note which events there were in messages that were sent long ago, and what waits to be joined."""
        columns = self._adapter.decode([batch.values[i] for i in at.tolist()])
        partitions, offsets = (np.asarray(each, dtype=np.int64)[at] for each in (batch.partitions, batch.offsets))
        places = Places([source.topic for source in batch.sources], sources, partitions, offsets)
        columns.times_s = np.minimum(columns.times_s, now_s + self._terms.time.future_s)
        is_kept = np.ones(len(columns), dtype=bool)
        for _, held, found in places.each(columns):
            seen = held.duplicates.seen([columns.event_ids[i] for i in found.tolist()])
            is_kept[found] = seen is None or ~seen
        for _, join, *_ in self._joined(columns, places, is_kept, now_s):
            join.joiner.forget_results()  # they were told by those before

    def _take_columns(self, columns: Columns, places: Places, values: Sequence[bytes | None], now_s: float) -> None:
        """Count the events of messages, and what they say of each other."""
        is_kept = is_counted = np.ones(len(columns), dtype=bool)
        scopes = np.zeros(0, dtype=np.int64)
        if len(columns):
            scopes = self.table.scopes_of(columns.models, columns.versions)
            is_kept, is_counted = self._take_events(columns, scopes, places, values, now_s)
        for held, join, own, sampled, rows in self._joined(columns, places, is_kept, now_s):
            assert self._join is not None
            asked = own[sampled]
            self._join.ask(join, columns, scopes, asked[is_counted[asked]])
            before = join.nbytes
            self._join.count(join, rows, places.offsets, held.fine_until)
            self._forwarded_bytes += join.nbytes - before

    def _joined(
        self, columns: Columns, places: Places, is_kept: BoolArray, now_s: float
    ) -> Iterator[tuple[Source, SourceJoin, IntArray, IntArray, list[Row]]]:
        """Join the events and outcomes of each partition.

        Gives the places of its events, which of these are joined, and what came of it.
        """
        if self._join is None:
            return
        outcomes = columns.outcomes.until(now_s + self._terms.time.future_s).ordered()
        owners = places.partitions[np.array(outcomes.messages, dtype=np.int64)]
        for number, held in places.sources.items():
            if held is None or held.join is None:
                continue
            own = np.flatnonzero((places.of_events(columns) == number) & is_kept)
            part = columns if len(own) == len(columns) else columns.at(own)
            told = outcomes.at(np.flatnonzero(owners == number).tolist())
            yield held, held.join, own, *self._join.take(held.join, part, told, places.offsets)

    def _take_events(
        self, columns: Columns, scopes: IntArray, places: Places, values: Sequence[bytes | None], now_s: float
    ) -> tuple[BoolArray, BoolArray]:
        """Count events; give which were not seen before, and which of those are counted here."""
        latest_s = now_s + self._terms.time.future_s
        is_clamped, times_s = columns.times_s > latest_s, np.minimum(columns.times_s, latest_s)
        columns.times_s = times_s
        panes = np.floor(times_s / self._terms.time.pane_s).astype(np.int64)
        is_kept, is_forwarded = np.ones(len(columns), dtype=bool), scopes == NONE
        numbers = np.zeros(len(columns), dtype=np.int64)
        offsets = places.offsets[np.array(columns.messages, dtype=np.int64)]
        for topic, held, found in places.each(columns):
            seen = held.duplicates.seen([columns.event_ids[i] for i in found.tolist()])
            own = found if seen is None else found[~seen]
            held.panes.update(_distinct(panes[own]))
            self.totals.duplicate[topic] += len(found) - len(own)
            is_kept[found] = seen is None or ~seen
            self.totals.counted[topic, "inference"] += len(own)
            self.totals.clamped[topic] += int(is_clamped[own].sum())
            held.latest_s = max(held.latest_s, float(times_s[own].max(initial=-np.inf)))
            is_forwarded[own] |= offsets[own] < held.fine_until
            numbers[own] = held.number
        chosen = np.flatnonzero(is_kept & ~is_forwarded)
        is_forwarded[self._count(columns, scopes, panes, numbers, chosen)] = True
        is_counted = is_kept & ~is_forwarded
        if is_counted.any():
            self._times.append((numbers[is_counted], self.table.subject_of[scopes[is_counted]], times_s[is_counted]))
        if columns.user_ids:
            self._add_users(columns, scopes, places, is_counted)
        sources = places.of_events(columns)
        for i in np.flatnonzero(is_kept & is_forwarded).tolist():
            held_by = places.sources[int(sources[i])]
            assert held_by is not None
            sent = Forwarded(int(offsets[i]), float(times_s[i]), values[columns.messages[i]] or b"")
            self._forwarded_bytes += len(sent.value)
            held_by.forwarded.append((court_of(columns.models[i], self._courts), sent))
        return is_kept, is_counted

    def _add_users(self, columns: Columns, scopes: IntArray, places: Places, is_counted: BoolArray) -> None:
        for _, held, found in places.each(columns):
            own = found[is_counted[found]]
            ids = [columns.user_ids[i] for i in own.tolist()]
            held.users.add(ids, self.table.subject_of[scopes[own]], columns.times_s[own])

    def _count(
        self, columns: Columns, scopes: IntArray, panes: IntArray, numbers: IntArray, chosen: IntArray
    ) -> IntArray:
        """Count events, and give those that are strange."""

        def fold(at: IntArray) -> list[Hits]:
            own = columns if len(at) == len(columns) else columns.at(at)
            part = Part(own.features, own.fields, scopes[at], panes[at], np.arange(len(own)))
            return list(self._folder.fold(part, own.segments))

        slots, codes = np.unique((numbers << PANE_BITS) + panes + PANE_BIAS, return_inverse=True)
        found, strange = self.table.apart(chosen, fold)
        for at, hits in found:
            for hit in hits:
                self._add(hit, slots, codes[at])
        return strange

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
        before = held.nbytes
        inside = [sent for sent in held.forwarded if sent[1].offset < stretch.next]
        held.forwarded = held.forwarded[len(inside) :]
        pairs = [] if held.join is None else held.join.take_pairs(stretch.next)
        notes = [note for offset, note in held.notes if offset < stretch.next]
        held.notes = held.notes[len(notes) :]
        self._forwarded_bytes -= before - held.nbytes
        latest_s = max((sent.time_s for _, sent in inside), default=-np.inf) if stretch.is_fine else held.latest_s
        delta = Delta(source, epoch, stretch, latest_s, quiet_s is not None, quiet_s or 0.0, panes=sorted(held.panes))
        if not stretch.is_fine:
            held.panes.clear()
        counted = {} if stretch.is_fine else self._counted(held)
        return [
            replace(
                delta,
                forwarded=[sent for to, sent in inside if to == court],
                pairs=[pair for to, pair in pairs if to == court],
                notes=[note for note in notes if not note["model"] or court_of(note["model"], self._courts) == court],
                **counted.get(court, {}),
            )
            for court in range(self._courts)
        ]

    def _counted(self, held: Source) -> Mapping[int, Mapping[str, Any]]:
        """Give what was counted of a partition, and forget it: parts of the delta of each court."""
        table, waiting, join = self.table, self._take_open(held), held.join
        subjects, times_s = self._take_times(held)
        joined = [] if join is None else table.subject_of[list(join.scopes)].tolist()
        present = sorted({*subjects.tolist(), *joined})
        numbered = Numbered(table, present, self._courts)
        out: dict[int, dict[str, Any]] = {}
        for at in present:
            own = times_s[subjects == at]
            span_s = (float(own.min(initial=np.inf)), float(own.max(initial=-np.inf)))
            subject, layout = table.subjects[at], table.layout(at)
            name = (subject.model, subject.model_version)
            counters = Counters(*name, layout.identity, len(layout.streams), len(own), *span_s)
            out.setdefault(numbered.courts[at], {}).setdefault("subjects", []).append(counters)
        for court, counted in numbered.counted(waiting).items():
            out[court]["counted"] = counted
        for at, slices in held.users.take().items():
            users = [UserSlice(numbered.places[at], *each) for each in slices]
            out[numbered.courts[at]].setdefault("users", []).extend(users)
        for court, more in {} if join is None else join.cut(table, numbered).items():
            out.setdefault(court, {}).update(more)
        return out

    def _take_open(self, held: Source) -> list[tuple[int, Sequence[Waiting]]]:
        """Give what waits of a partition, by pane, and forget it."""
        low, high = held.number << PANE_BITS, (held.number + 1) << PANE_BITS
        return [(slot - low - PANE_BIAS, self._open.take(slot)) for slot in self._open.between(low, high)]

    def _take_times(self, held: Source) -> tuple[IntArray, FloatArray]:
        """Give subject and time of the events counted of a partition, and forget them."""
        if not self._times:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        numbers, subjects, times_s = map(np.concatenate, zip(*self._times, strict=True))
        own = numbers == held.number
        self._times = [(numbers[~own], subjects[~own], times_s[~own])]
        return subjects[own], times_s[own]


def _distinct(panes: IntArray) -> list[int]:
    """Give the panes that occur; most often all are of one."""
    if panes.size and panes[0] == panes[-1] and (panes == panes[0]).all():
        return [int(panes[0])]
    return [int(pane) for pane in np.unique(panes)]
