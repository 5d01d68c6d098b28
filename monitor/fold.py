"""The fold: columns of a batch into counts, with no loop over streams.

Each event contributes its values to flat lists by its layout; from there on everything is numpy over all values of the
batch. What all of it costs beside decoding alone: benchmarks.throughput.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import getitem
from typing import Any, Final, cast

import numpy as np
from msgspec.structs import astuple

from monitor.bins import (
    ARENA_OF,
    FLAG_WRONG_TYPE,
    LOG_NOT_FINITE,
    LOG_NULL,
    LOG_WRONG_TYPE,
    NO,
    NOT_FINITE,
    NULL,
    NULLS,
    UNCHECKED,
    VALUES_WIDTH,
    WRONG_TYPE,
    YES,
    Arena,
    log_bin,
    numeric_bin,
)
from monitor.categories import Categories
from monitor.decode.base import Features, as_mapping, some_of
from monitor.decode.blocks import block_of
from monitor.decode.lanes import Lane, LaneFeatures
from monitor.domain import IntArray, Kind
from monitor.fields import FIELDS, VOLUME, fixed_kind
from monitor.hits import Hits, hits_of, hits_of_numbers, lanes_of
from monitor.kept import Moves, Section, State
from monitor.numbers import numbers_of, plain_columns, spread
from monitor.probes import PROBE_VALUES, Probes, place_grid
from monitor.scopes import LaneTable, Layout
from monitor.segments import HeavySegments, counted_in, names_of, segment_text
from monitor.streams import NONE, StreamTable

FLAG_BINS: Final[dict[Any, int]] = {True: YES, False: NO, None: UNCHECKED}
"""1 and 0 are yes and no too, since they equal true and false."""
GRID_VALUES_MIN: Final = 30
"""A stream with fewer values at the freeze gets no grid: their quantiles would be chance."""


@dataclass(frozen=True, slots=True)
class Part:
    """The events of a batch that are folded together. scopes, panes: shape (n,). events: their places in the batch."""

    features: Sequence[Features]
    fields: Mapping[str, Sequence[Any]]
    scopes: IntArray
    panes: IntArray
    events: IntArray

    def of(self, chosen: IntArray, scopes: IntArray) -> Part:
        """Give some of the events, in other scopes."""
        at = chosen.tolist()
        fields = {name: [column[i] for i in at] for name, column in self.fields.items()}
        return Part(some_of(self.features, chosen), fields, scopes, self.panes[chosen], self.events[chosen])


class Folder:
    """Counts columns. The law it keeps: folding columns whole or in pieces gives the same counts."""

    def __init__(self, table: StreamTable, probes: Probes | None = None, heavy: HeavySegments | None = None) -> None:
        """Fold into a table. probes: where values of streams without a grid are set aside; None: in one of its own.

        heavy: where segments that may be found by themselves are noted; None: nowhere.
        """
        self._table = table
        self._probes = probes or Probes()
        self.heavy = heavy

    def fold(self, part: Part, segments: Sequence[Mapping[str, Any] | None]) -> Iterator[Hits]:
        """Give the counts of all events, then those of each configured segment.

        Cost: about 2 microseconds per event of 25 features.
        """
        yield from self._fold(part)
        for chosen, scopes in self.segments(part, segments):
            yield from self._fold(part.of(chosen, scopes))

    def fold_outcomes(self, part: Part, segments: Sequence[Mapping[str, Any] | None]) -> Iterator[Hits]:
        """Give the counts of rows of inferences and outcomes joined: of their fields alone, and only where they are."""
        yield from self._fold_outcomes(part)
        for chosen, scopes in self.segments(part, segments):
            yield from self._fold_outcomes(part.of(chosen, scopes))

    def _fold_outcomes(self, part: Part) -> Iterator[Hits]:
        for name, column in part.fields.items():
            own = part
            if None in column:
                at = np.array([i for i, value in enumerate(column) if value is not None], dtype=np.int64)
                own = Part(features=(), fields={}, scopes=part.scopes[at], panes=part.panes[at], events=part.events[at])
                column = [value for value in column if value is not None]  # noqa: PLW2901 - the same, less its gaps
            if column:
                yield from self._fold_field(own, name, column)

    def segments(self, part: Part, segments: Sequence[Mapping[str, Any] | None]) -> Iterator[tuple[IntArray, IntArray]]:
        """Give the events that are in each configured segment, with their scopes there."""
        table = self._table
        present = [table.scopes[i] for i in np.unique(part.scopes).tolist()] if table.segment_names else []
        for name in sorted(table.segment_names):
            watched = {scope.index: scope.subject for scope in present if name in scope.subject.watch.segments}
            chosen, scopes = [], []
            for i, (segment, index) in enumerate(zip(segments, part.scopes.tolist(), strict=True)):
                if segment and index in watched and segment.get(name) is not None:
                    chosen.append(i)
                    scopes.append(table.segment_of(watched[index], name, segment[name]).index)
            if chosen:
                yield np.array(chosen, dtype=np.int64), np.array(scopes, dtype=np.int64)
        if table.has_auto_segments:
            yield from self._auto_segments(part, segments)

    def _auto_segments(
        self, part: Part, segments: Sequence[Mapping[str, Any] | None]
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Note the segments of each event, and give those that count in one that was found."""
        found: dict[str, tuple[list[int], list[int]]] = {}
        for i, (own, index) in enumerate(zip(segments, part.scopes.tolist(), strict=True)):
            subject = self._table.scopes[index].subject
            if not (own and subject.watch.auto_segments):
                continue
            named = list(names_of(subject, own))
            if named and self.heavy is not None:
                self.heavy.note(subject.index, [segment_text(name, value) for name, value in named])
            for name, value in named:
                scope = counted_in(subject, name, value)
                if scope is not None:
                    chosen, scopes = found.setdefault(name, ([], []))
                    chosen.append(i)
                    scopes.append(scope.index)
        for name in sorted(found):
            chosen, scopes = found[name]
            yield np.array(chosen, dtype=np.int64), np.array(scopes, dtype=np.int64)

    def _fold(self, part: Part) -> Iterator[Hits]:
        yield from self._fold_features(part)
        for name, column in part.fields.items():
            yield from self._fold_field(part, name, column)
        for name, rows in self._table.absent_fields(part.fields, part.scopes):
            arena = ARENA_OF[FIELDS.get(name, Kind.NUMERIC)]
            yield hits_of(arena, rows, np.full(len(rows), NULLS[arena]), part.events)
        rows = self._table.field_rows(VOLUME, None, part.scopes)
        yield hits_of(Arena.FLAGS, rows, np.zeros(len(rows), dtype=np.int64), part.events)

    def _fold_features(self, part: Part) -> Iterator[Hits]:
        """Count features, in runs that begin where an event brings new ones: what it lacks is null from there on."""
        start = 0
        while start < len(part.features):
            stop, hits = self._fold_run(part, start)
            yield from hits
            start = stop

    def _fold_run(self, part: Part, start: int) -> tuple[int, list[Hits]]:
        """Count from `start` to before the next event that brings new features; give where that is."""
        table, hits = self._table, []
        loose = np.ones(len(part.features), dtype=bool)
        loose[:start] = False
        lanes: list[tuple[Lane, IntArray]] = []
        for lane, is_own in lanes_of(part.features):
            at = np.flatnonzero(loose if is_own is None else is_own & loose)
            at = at[table.lane_table(lane, part.scopes[at]).is_known[part.scopes[at]]]
            loose[at] = False
            lanes.append((lane, at))
        stop = self._next_new(part, np.flatnonzero(loose), start)
        for lane, at in lanes:
            hits += self._fold_lane(part, lane, at[at < stop])
        chosen = np.flatnonzero(loose[:stop])
        if chosen.size:
            hits += self._fold_loose(part, chosen)
        return int(stop), hits

    def _next_new(self, part: Part, loose: IntArray, start: int) -> int:
        """Give the first event after `start` that brings new features, else the end.

        Makes the streams of the one at `start`.
        """
        table = self._table
        for i in loose.tolist():
            scope, features = table.scopes[int(part.scopes[i])], as_mapping(part.features[i])
            if tuple(features) in scope.layouts and not scope.layouts[tuple(features)].undecided:
                continue
            if table.is_new(scope, features):
                if i > start:
                    return int(i)
                table.layout_of(scope, features)
        return len(part.features)

    def _fold_lane(self, part: Part, lane: Lane, at: IntArray) -> list[Hits]:
        """Count the events at `at`, all of one lane, whose scopes know all of its features."""
        if not at.size:
            return []
        table = self._table.lane_table(lane, part.scopes[at])
        features = part.features if len(at) == len(part.features) else some_of(part.features, at)
        block = block_of(features)
        scopes, events = part.scopes[at], part.events[at]
        hits = []
        if block is not None:
            if lane.numbers:
                hits.append(hits_of_numbers(table, block.numbers, scopes, events))
            bins = [text.bins_of_column(own, scopes) for text, own in zip(table.texts, block.names, strict=True)]
        else:
            columns = list(zip(*map(astuple, cast("Sequence[LaneFeatures]", features)), strict=True))
            split = len(lane.numbers)
            if lane.numbers:
                hits.append(self._fold_lane_numbers(table, columns[:split], part, at))
            bins = [text.bins(own, scopes) for text, own in zip(table.texts, columns[split:], strict=True)]
        for number, own in enumerate(bins):
            hits.append(Hits(Arena.VALUES, table.names[scopes, number] * VALUES_WIDTH + own, events))
        for index in table.absent.keys() & set(scopes.tolist() if table.absent else ()):
            own = events[scopes == index]
            flat = np.repeat(table.absent[index] * VALUES_WIDTH + NULL, len(own))
            hits.append(Hits(Arena.VALUES, flat, np.tile(own, len(table.absent[index]))))
        return hits

    def _fold_lane_numbers(self, table: LaneTable, columns: Sequence[Sequence[Any]], part: Part, at: IntArray) -> Hits:
        """Count the numeric features of a lane: as a block if all are finite numbers, which is usual."""
        scopes = part.scopes[at]
        numbers = plain_columns(columns)
        if numbers is None:
            values = list(chain.from_iterable(columns))
            return self._fold_numbers(table.numbers[scopes].T.ravel(), values, part, np.tile(at, len(columns)))
        return hits_of_numbers(table, numbers, scopes, part.events[at])

    def _fold_loose(self, part: Part, chosen: IntArray) -> Iterator[Hits]:
        """Count the features of the events at `chosen`, each by the layout of its set of names."""
        features = [as_mapping(part.features[i]) for i in chosen.tolist()]
        layouts = self._layouts(part.scopes[chosen], features)
        numbers: list[Any] = []
        names: list[Any] = []
        categories: list[Categories] = []
        for layout, found in zip(layouts, features, strict=True):
            numbers.extend(layout.numbers(found))
            if layout.name_categories:
                names.extend(layout.names(found))
                categories.extend(layout.name_categories)
        if numbers:
            rows, at = spread([layout.number_rows for layout in layouts])
            yield self._fold_numbers(rows, numbers, part, chosen[at])
        if names:
            rows, at = spread([layout.name_rows for layout in layouts])
            yield self._fold_names(rows, categories, names, part.events[chosen[at]])
        rows, at = spread([layout.absent_rows for layout in layouts])
        if rows.size:
            yield Hits(Arena.VALUES, rows * VALUES_WIDTH + NULL, part.events[chosen[at]])

    def _layouts(self, scopes: IntArray, features: Sequence[Mapping[str, Any]]) -> list[Layout]:
        known, layout_of = self._table.scopes, self._table.layout_of
        return [layout_of(known[i], found) for i, found in zip(scopes.tolist(), features, strict=True)]

    def _fold_field(self, part: Part, name: str, column: Sequence[Any]) -> Iterator[Hits]:
        rows = self._table.field_rows(name, column, part.scopes)
        kind = fixed_kind(name)
        if kind is Kind.LOG:
            yield self._fold_logs(rows, column, part.events)
        elif kind is Kind.YES_NO:
            yield self._fold_flags(rows, column, part.events)
        else:
            yield from self._fold_values(rows, column, part)

    def _fold_values(self, rows: IntArray, column: Sequence[Any], part: Part) -> Iterator[Hits]:
        """Count a field that is numeric for some models and categorical for others."""
        categories = self._table.values.categories
        if rows[0] != NONE and (rows == rows[0]).all():  # one model, which is usual: no need to take the column apart
            if self._table.values.is_categorical[rows[0]]:
                yield self._fold_names(rows, repeat(categories[int(rows[0])]), column, part.events)
            else:
                yield self._fold_numbers(rows, column, part, np.arange(len(rows)))
            return
        known = np.flatnonzero(rows != NONE)
        is_name = self._table.values.is_categorical[rows[known]]
        numeric, named = known[~is_name], known[is_name]
        if numeric.size:
            values = column if numeric.size == len(column) else [column[i] for i in numeric.tolist()]
            yield self._fold_numbers(rows[numeric], values, part, numeric)
        if named.size:
            names = column if named.size == len(column) else [column[i] for i in named.tolist()]
            each = map(categories.__getitem__, rows[named].tolist())
            yield self._fold_names(rows[named], each, names, part.events[named])

    def _fold_numbers(self, rows: IntArray, values: Sequence[Any], part: Part, at: IntArray) -> Hits:
        """Count numeric values of the events at `at`; those of streams without a grid are set aside."""
        table = self._table.values
        plain = plain_columns([values]) if table.has_grid[rows].all() else None
        if plain is not None:
            bins = numeric_bin(plain[0], *table.grid[rows].T)
            return Hits(Arena.VALUES, rows * VALUES_WIDTH + bins, part.events[at])
        numbers, bins = numbers_of(values, NULL, NOT_FINITE, WRONG_TYPE)
        is_value = bins == NONE
        waits = is_value & ~table.has_grid[rows]
        if waits.any():
            self._probes.add(rows[waits], numbers[waits], part.panes[at[waits]])
            is_value &= ~waits
        if is_value.all():
            bins = numeric_bin(numbers, *table.grid[rows].T)
        else:
            bins[is_value] = numeric_bin(numbers[is_value], *table.grid[rows[is_value]].T)
            self._table.note_wrong_types(table, rows[bins == WRONG_TYPE])
        return hits_of(Arena.VALUES, rows, bins, part.events[at])

    def _fold_names(
        self, rows: IntArray, categories: Iterable[Categories], names: Sequence[Any], events: IntArray
    ) -> Hits:
        """Count names; categories: of each name (may be endless)."""
        try:
            found = bytes(map(getitem, categories, names))
        except TypeError:  # a list or an object among them
            found = bytes(map(_bin_of, (self._table.values.categories[row] for row in rows.tolist()), names))
        bins = np.frombuffer(found, dtype=np.uint8).astype(np.int64)
        self._table.note_wrong_types(self._table.values, rows[bins == WRONG_TYPE])
        return Hits(Arena.VALUES, rows * VALUES_WIDTH + bins, events)

    def _fold_logs(self, rows: IntArray, column: Sequence[Any], events: IntArray) -> Hits:
        numbers, bins = numbers_of(column, LOG_NULL, LOG_NOT_FINITE, LOG_WRONG_TYPE)
        bins[(bins == NONE) & (numbers < 0)] = LOG_NOT_FINITE
        is_value = (bins == NONE) & (rows != NONE)
        bins[is_value] = log_bin(numbers[is_value], self._table.logs.exponents[rows[is_value]])
        self._table.note_wrong_types(self._table.logs, rows[(bins == LOG_WRONG_TYPE) & (rows != NONE)])
        return hits_of(Arena.LOGS, rows, bins, events)

    def _fold_flags(self, rows: IntArray, column: Sequence[Any], events: IntArray) -> Hits:
        try:
            found = bytes(map(FLAG_BINS.get, column, repeat(FLAG_WRONG_TYPE)))
        except TypeError:  # a list or an object among them
            found = bytes(FLAG_BINS[v] if v is None or type(v) is bool else FLAG_WRONG_TYPE for v in column)
        bins = np.frombuffer(found, dtype=np.uint8).astype(np.int64)
        self._table.note_wrong_types(self._table.flags, rows[(bins == FLAG_WRONG_TYPE) & (rows != NONE)])
        return hits_of(Arena.FLAGS, rows, bins, events)

    # ---- what is kept

    def sections(self, prefix: str, epoch: int = 0) -> Iterator[Section]:
        """Give what is kept: values that wait for their grids. epoch: how often rows were moved."""
        yield from self._probes.sections(prefix, epoch)

    def restore(self, prefix: str, states: Mapping[str, State], moves: Moves | None = None) -> None:
        """Go on from a state. moves: where rows lie now, None: as then."""
        self._probes.restore(prefix, states, None if moves is None else moves[Arena.VALUES])

    # ---- grids of new streams

    def place_grids(self, rows: IntArray | None = None, at_most: int = 500) -> tuple[Hits, IntArray] | None:
        """Place the grids of streams with values enough, or of those named; give the values set aside, with panes.

        At most `at_most` streams a call, 50 microseconds each, so that a thousand new streams do not stall the loop.
        """
        least = PROBE_VALUES if rows is None else GRID_VALUES_MIN
        ready = self._probes.with_at_least(least)
        ready = ready[:at_most] if rows is None else np.intersect1d(ready, rows)
        if not ready.size:
            return None
        row, value, pane = self._probes.take(ready)
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        runs = zip(starts.tolist(), [*starts[1:].tolist(), len(row)], strict=True)
        firsts = {int(row[start]): value[start : min(stop, start + PROBE_VALUES)] for start, stop in runs}
        self._table.values.set_grids({row: place_grid(first) for row, first in firsts.items()})
        for index in np.unique(self._table.values.subjects[ready]).tolist():
            self._table.changed.add(index)
            for scope in self._table.subjects[index].scopes.values():
                self._table.forget_lanes(scope)
        bins = numeric_bin(value, *self._table.values.grid[row].T)
        return Hits(Arena.VALUES, row * VALUES_WIDTH + bins, np.zeros(len(row), dtype=np.int64)), pane


def _bin_of(categories: Categories, name: object) -> int:
    try:
        return categories[name]
    except TypeError:
        return WRONG_TYPE
