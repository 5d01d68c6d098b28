"""All streams by name: models, segments, features, and how each set of feature names is taken apart.

A stream is a row of one of three arenas (monitor.bins). Finding the rows of an event's values costs one dict look-up
per event: a Layout is made once per scope and set of feature names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final

import numpy as np

from monitor.bins import ARENA_OF
from monitor.categories import Categories
from monitor.decode.lanes import Lane
from monitor.domain import IntArray, Kind, StreamKey
from monitor.fields import (
    FEATURE_PREFIX,
    FIELDS,
    IGNORE,
    PREDICTION,
    UNIT_FIELDS,
    VOLUME,
    Watch,
    exponent_of,
    is_of_outcomes,
    kind_of_field,
    kind_of_value,
)
from monitor.kpis.base import UNIT_GRID
from monitor.learned import Learned
from monitor.reference_rows import set_references
from monitor.references import Grid, Reference, StreamReference
from monitor.rows import Rows
from monitor.scopes import LaneTable, Layout, Scope, StreamLimits, Subject, getter
from monitor.segments import segment_text

NONE: Final = -1
NO_ABSENCE: Final = frozenset({VOLUME})
"""Fields that events do not carry, so that none lacks them."""


class StreamTable(Learned):
    """Every stream there is; only the loop thread touches it.

    changed: subjects whose streams or reference changed since the set was last emptied. order: the arena of each stream
    in the order in which they came. epoch: how often rows were moved, which happens between two processes alone.
    preset: grids of streams that are yet to come. scales: by subject, the power of two of what it predicts.
    with_outcomes: subjects that have streams of outcomes. is_inherited: a new version of a known model takes the
    reference of the one before it, rather than learn its own. preset_segments: segments that are yet to come.
    """

    def __init__(
        self,
        limits: StreamLimits,
        watch_of: Callable[[str, str], Watch],
        references: Iterable[Reference] = (),
        pane_s: float = 1.0,
    ) -> None:
        self._limits = limits
        self._watch_of = watch_of
        self._references = {(reference.model, reference.model_version): reference for reference in references}
        self.preset: Mapping[StreamKey, Grid] = {}
        self.scales: dict[int, int] = {}
        self.is_inherited = False
        self.preset_segments: Mapping[tuple[str, str], Sequence[str]] = {}
        self._main: dict[str, dict[str, int]] = defaultdict(dict)
        self._lanes: dict[Lane, LaneTable] = {}
        self._fixed = {name: np.zeros(0, dtype=np.int64) for name in (*FIELDS, PREDICTION, VOLUME)}
        super().__init__(pane_s)
        self.subjects: list[Subject] = []
        self.with_outcomes: set[int] = set()
        self.segment_names: set[str] = set()
        self.has_auto_segments = False
        self.scopes: list[Scope] = []
        self.order = bytearray()
        self.epoch = 0
        self.subject_of = np.zeros(0, dtype=np.int64)
        self.overflow: Counter[str] = Counter()
        self.schema_changes: Counter[tuple[str, str]] = Counter()

    # ---- models and segments

    def scopes_of(self, models: Sequence[str], versions: Sequence[str]) -> IntArray:
        """Give the scope's index of each event's model, shape (n,), made on first sight; NONE beyond models_max."""
        if versions.count(versions[0]) < len(versions):
            return np.array([self._main_of(*pair) for pair in zip(models, versions, strict=True)], dtype=np.int64)
        known = self._main.get(versions[0], {})  # by model alone: a text remembers its hash, a pair does not
        found = np.fromiter(map(known.get, models, repeat(NONE)), np.int64, len(models))
        for i in np.flatnonzero(found == NONE).tolist():
            found[i] = self._main_of(models[i], versions[i])
        return found

    def _main_of(self, model: str, version: str) -> int:
        if model not in self._main.get(version, ()) and len(self.subjects) < self._limits.models_max:
            reference = self.reference_of(model, version) or self._inherited(model)
            self.add_reference(self.add_subject(model, version, reference))
        return self._main.get(version, {}).get(model, NONE)

    def segment_of(self, subject: Subject, name: str, value: object) -> Scope:
        """Give the scope of one segment; values beyond the limit share one named (other)."""
        segment = segment_text(name, value)
        if segment not in subject.scopes:
            count = sum(1 for key in subject.scopes if key.startswith(f"{name}="))
            if count >= self._limits.segment_values_max:
                self.overflow["segment_values"] += 1
                segment = f"{name}=(other)"
        return subject.scopes.get(segment) or self.add_scope(subject, segment)

    def reference_of(self, model: str, version: str) -> Reference | None:
        """Give the reference that a model version begins with."""
        return self._references.get((model, version)) or self._references.get((model, ""))

    def _inherited(self, model: str) -> Reference | None:
        """Give the reference of the version seen last that has one, where a new version takes the incumbent's."""
        own = (each.reference for each in reversed(self.subjects) if self.is_inherited and each.model == model)
        return next((reference for reference in own if reference is not None), None)

    def add_subject(self, model: str, version: str, reference: Reference | None) -> Subject:
        """Give a new model version, without streams, whatever the limit."""
        subject = Subject(model, version, self._watch_of(model, version), len(self.subjects), reference)
        self.subjects.append(subject)
        self.segment_names.update(subject.watch.segments)
        self.has_auto_segments |= subject.watch.auto_segments > 0
        self.changed.add(subject.index)
        self._main[version][model] = self.add_scope(subject, "").index
        for segment in self.preset_segments.get((model, version), ()):
            self.add_scope(subject, segment)
        return subject

    def _events_row(self, subject: Subject) -> int:
        return int(self._fixed[VOLUME][subject.scopes[""].index])

    def add_reference(self, subject: Subject) -> None:
        """Give a model version the streams of its reference, if it has one; without the features that are ignored."""
        found: list[tuple[int, StreamReference]] = []
        for stream in subject.reference.streams if subject.reference else ():
            scope = subject.scopes.get(stream.segment) or self.add_scope(subject, stream.segment)
            feature = stream.field.removeprefix(FEATURE_PREFIX)
            if feature != stream.field and subject.watch.configured(feature) == IGNORE:
                scope.features[feature] = None
                continue
            row = self._add_stream(scope, stream.field, stream.kind)
            if row != NONE:
                self.place(scope, stream.field, stream.kind, row)
                found.append((row, stream))
        self.set_references(found)

    def add_scope(self, subject: Subject, segment: str) -> Scope:
        """Give a new scope."""
        scope = subject.scopes[segment] = Scope(subject, segment, len(self.scopes))
        self.scopes.append(scope)
        if len(self.scopes) > len(self.subject_of):
            room = np.full(max(64, len(self.scopes) // 2), NONE, dtype=np.int64)
            self.subject_of = np.concatenate([self.subject_of, room])
            self._fixed = {name: np.concatenate([rows, room]) for name, rows in self._fixed.items()}
        self.subject_of[scope.index] = subject.index
        return scope

    # ---- streams

    def field_rows(self, name: str, column: Sequence[Any] | None, scopes: IntArray) -> IntArray:
        """Give the row of a fixed field in the scope of each event, shape (n,), NONE before its first value there.

        column: the field's values, the first of which makes the stream (None: every event has one).
        """
        if name not in self._fixed:
            self._fixed[name] = np.full(len(self.subject_of), NONE, dtype=np.int64)
        rows = self._fixed[name][scopes]
        missing = np.flatnonzero(rows == NONE)
        made: dict[int, int] = {}
        for i in missing.tolist():
            index = int(scopes[i])
            kind = Kind.VOLUME if column is None else kind_of_field(name, column[i])
            if index not in made and kind is not None:
                made[index] = i
                self._fixed[name][index] = self._add_stream(self.scopes[index], name, kind)
        for index, first in made.items():
            rows[first:][scopes[first:] == index] = self._fixed[name][index]
        return rows

    def kind_of(self, model: str, version: str, name: str) -> Kind | None:
        """Give the kind of a fixed field's stream in all traffic of a model version; None where there is none."""
        main, known = self._main.get(version, {}).get(model), self._fixed.get(name)
        if main is None or known is None or known[main] == NONE:
            return None
        return Kind.CATEGORICAL if self.values.is_categorical[known[main]] else Kind.NUMERIC

    def absent_fields(self, present: Collection[str], scopes: IntArray) -> Iterator[tuple[str, IntArray]]:
        """Give the fixed fields that no event of a batch has but some scope of it counts; rows as in `field_rows`."""
        for name, known in self._fixed.items():
            if name not in present and name not in NO_ABSENCE and not is_of_outcomes(name):
                rows = known[scopes]
                if (rows != NONE).any():
                    yield name, rows

    def is_full(self, subject: Subject) -> bool:
        """Tell whether a model version gets no more streams, by the limits."""
        return len(self.order) >= self._limits.streams_max or len(subject.rows) >= self._limits.of_model_max

    def _add_stream(self, scope: Scope, name: str, kind: Kind) -> int:
        if self.is_full(scope.subject):
            self.overflow["streams"] += 1
            return NONE
        row = self.add_stream(scope, name, kind)
        grid = UNIT_GRID if name in UNIT_FIELDS else None
        grid = self.preset.get(self.arenas[ARENA_OF[kind]].keys[row], grid) if self.preset else grid
        if grid is not None:
            self.values.set_grids({row: grid})
        return row

    def add_stream(self, scope: Scope, name: str, kind: Kind) -> int:
        """Give the row of a new stream, whatever the limit."""
        subject = scope.subject
        key = StreamKey(subject.model, subject.model_version, name, scope.segment)
        arena = ARENA_OF[kind]
        row = self.arenas[arena].add(key, kind, subject.index, exponent_of(name, self.scales.get(subject.index)))
        subject.rows.append((arena, row))
        self.order.append(arena)
        self.changed.add(subject.index)
        if is_of_outcomes(name):
            self.with_outcomes.add(subject.index)
        if kind is Kind.CATEGORICAL:
            as_names = subject.watch.configured(name.removeprefix(FEATURE_PREFIX)) == Kind.CATEGORICAL
            self.values.categories[row] = Categories(numbers_are_names=as_names)
        return row

    def place(self, scope: Scope, name: str, kind: Kind, row: int) -> None:
        """Let the values of a feature or fixed field in a scope be counted in a row."""
        if name.startswith(FEATURE_PREFIX):
            scope.features[name.removeprefix(FEATURE_PREFIX)] = (kind, row)
        elif name in self._fixed or is_of_outcomes(name):
            self._fixed.setdefault(name, np.full(len(self.subject_of), NONE, dtype=np.int64))[scope.index] = row

    def grids(self) -> dict[StreamKey, Grid]:
        """Give the grids of the streams that have one."""
        keys = self.values.keys
        return {key: grid for row, key in enumerate(keys) if (grid := self.values.get_grid(row)) is not None}

    def set_references(self, found: Sequence[tuple[int, StreamReference]]) -> None:
        """Make parts of references those of rows."""
        for rows in self.arenas:
            own = [(row, stream) for row, stream in found if ARENA_OF[stream.kind] is rows.arena]
            set_references(rows, [row for row, _ in own], [stream for _, stream in own], self.normals)

    # ---- layouts

    def layout_of(self, scope: Scope, features: Mapping[str, Any]) -> Layout:
        """Give how an event's features are taken apart; a new feature gets its stream here."""
        names = tuple(features)
        layout = scope.layouts.get(names)
        if layout is None or (layout.undecided and any(features[name] is not None for name in layout.undecided)):
            layout = self._lay_out(scope, features)
            scope.layouts[names] = layout
        return layout

    def is_new(self, scope: Scope, features: Mapping[str, Any]) -> bool:
        """Tell whether these features make a stream, or let one be told apart, in this scope."""
        return any(
            name not in scope.features and (value is not None or scope.subject.watch.configured(name) == IGNORE)
            for name, value in features.items()
        )

    def _lay_out(self, scope: Scope, features: Mapping[str, Any]) -> Layout:
        before = len(scope.features)
        # In alphabetical order, and never by a null alone: neither the order of an event's features nor a null that
        # stands for one that is absent is the same in every process, as decoders learn what to expect.
        undecided = tuple(name for name in sorted(features) if not self._decide(scope, name, features[name]))
        if len(scope.features) > before:
            scope.layouts.clear()  # what the other sets of names lack has changed
            self.forget_lanes(scope)
        found = {name: scope.features.get(name) for name in features}
        numbers = {name: at[1] for name, at in found.items() if at is not None and at[0] is Kind.NUMERIC}
        names = {name: at[1] for name, at in found.items() if at is not None and at[0] is Kind.CATEGORICAL}
        absent = [at[1] for name, at in scope.features.items() if at is not None and name not in features]
        return Layout(
            scope=scope.index,
            numbers=getter(tuple(numbers)),
            number_rows=np.array(list(numbers.values()), dtype=np.int64),
            names=getter(tuple(names)),
            name_rows=np.array(list(names.values()), dtype=np.int64),
            name_categories=tuple(self.values.categories[row] for row in names.values()),
            absent_rows=np.array(absent, dtype=np.int64),
            undecided=undecided,
        )

    def lane_table(self, lane: Lane, scopes: IntArray) -> LaneTable:
        """Give where a lane's features are counted, tried for at least these scopes."""
        table = self._lanes.get(lane)
        if table is None:
            table = self._lanes[lane] = LaneTable(lane)
        table.reserve(len(self.scopes))
        for index in np.unique(scopes[~table.is_tried[scopes]]).tolist():
            self._try_lane(table, self.scopes[index])
        return table

    def forget_lanes(self, scope: Scope) -> None:
        """Note that a scope has new features, or a grid was placed: lanes must look again where its features go."""
        for table in self._lanes.values():
            table.forget(scope.index)

    def _try_lane(self, table: LaneTable, scope: Scope) -> None:
        lane, at = table.lane, scope.index
        table.is_tried[at] = True
        found = [scope.features.get(name) for name in lane.features]
        wanted = [Kind.NUMERIC] * len(lane.numbers) + [Kind.CATEGORICAL] * len(lane.names)
        rows = [own[1] for own, kind in zip(found, wanted, strict=True) if own is not None and own[0] is kind]
        split, known = len(lane.numbers), set(lane.features)
        if len(rows) < len(wanted) or not self.values.has_grid[rows[:split]].all():
            return
        table.numbers[at], table.names[at] = rows[:split], rows[split:]
        table.grid[:, at] = self.values.grid[rows[:split]].T
        for text, row in zip(table.texts, rows[split:], strict=True):
            text.forget(at)
            text.categories[at] = self.values.categories[row]
        absent = [own[1] for name, own in scope.features.items() if own is not None and name not in known]
        table.absent.pop(at, None)
        if absent:
            table.absent[at] = np.array(absent, dtype=np.int64)
        table.is_known[at] = True

    def _decide(self, scope: Scope, name: str, value: object) -> bool:
        """Make sure that the feature has a stream or is ignored; False while its kind can't be told."""
        if name in scope.features:
            return True
        kind = scope.subject.watch.configured(name) or kind_of_value(value)
        if value is None and kind != IGNORE:
            return False
        scope.features[name] = None
        if kind is None:
            self.schema_changes[scope.subject.model, "unsupported"] += 1
        elif kind != IGNORE:
            row = self._add_stream(scope, FEATURE_PREFIX + name, Kind(kind))
            if row != NONE:
                scope.features[name] = (Kind(kind), row)
            if scope.subject.is_ready and not scope.segment:
                self.schema_changes[scope.subject.model, "new"] += 1
        return True

    def note_wrong_types(self, arena: Rows, rows: IntArray) -> None:
        """Count streams whose values changed their type: each once, however many values."""
        if not rows.size:
            return
        for row in np.unique(rows[~arena.has_type_change[rows]]).tolist():
            arena.has_type_change[row] = True
            self.schema_changes[arena.keys[row].model, "type"] += 1
