"""The table of streams as it is kept: what can't be found again from configuration and references.

Brought back on a table that was made from today's configuration and references:

* A model version whose reference file is another one than then (or that has one now and had none) begins anew with it.
  Where the file is gone, the reference that was kept is used.
* What is no longer watched is left out: features that are ignored now, segments no longer configured. A feature that
  was ignored and is no longer is told anew from its next value.
* Limits hold for what is new: what was kept is watched, however many streams there may be now.

All else goes on where it was: rows keep their order, new ones get the same numbers, categories the same bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Final

import numpy as np

from monitor.bins import Arena
from monitor.counts import Counts
from monitor.domain import BoolArray, Kind, StreamKey
from monitor.errors import StateError
from monitor.fields import FEATURE_PREFIX, IGNORE
from monitor.kept import Moves, Section, State
from monitor.reference_state import reference_of, reference_state
from monitor.references import Grid, Reference, StreamReference
from monitor.rows import Rows, ValueRows
from monitor.scopes import Scope, Subject
from monitor.segments import is_automatic
from monitor.streams import StreamTable
from monitor.totals import counter_of, counter_state

ARENAS: Final = tuple(Arena)
KINDS: Final = {str(kind): kind for kind in Kind}
SUBJECTS: Final = "table/subjects"
STREAMS: Final = "table/streams"
LEFT_OUT: Final = "table/left-out"
ROWS: Final = "table/rows"
LEARNED: Final = "table/learned"
LEARNER: Final = "table/learner"
CATEGORIES: Final = "table/categories"
COUNTERS: Final = "table/counters"
GRIDS: Final = "table/grids"
REFERENCE: Final = "table/reference"
FLAGS: Final = ("is_learning", "has_type_change", "exponents")
GRID: Final = ("grid", "has_grid")


def sections(table: StreamTable) -> Iterator[Section]:
    """Give what is kept of a table. Cost where nothing has changed: a microsecond per model."""
    epoch, streams = table.epoch, len(table.order)
    ready = sum(1 + len(subject.reference.streams) for subject in table.subjects if subject.reference is not None)
    mark = f"{epoch}-{len(table.subjects)}-{len(table.scopes)}-{ready}"
    yield Section(SUBJECTS, mark, partial(_subjects, table))
    yield Section(STREAMS, f"{epoch}-{streams}", partial(_streams, table))
    decided = sum(len(scope.features) for scope in table.scopes)
    yield Section(LEFT_OUT, f"{epoch}-{decided}", partial(_left_out, table))
    yield Section(COUNTERS, None, partial(_counters, table))
    yield Section(CATEGORIES, f"{epoch}-{_mark_of(table.values)}", partial(_categories, table.values))
    for rows in table.arenas:
        name, n = _name(rows.arena), len(rows)
        learning, changed = np.count_nonzero(rows.is_learning[:n]), np.count_nonzero(rows.has_type_change[:n])
        grids = np.count_nonzero(rows.has_grid[:n]) if isinstance(rows, ValueRows) else 0
        yield Section(f"{ROWS}/{name}", f"{epoch}-{n}-{learning}-{changed}-{grids}", partial(_rows, rows))
        yield Section(f"{LEARNED}/{name}", None if learning else f"{epoch}-{n}", partial(_learned, rows))
        yield from table.learners[rows.arena].sections(f"{LEARNER}/{name}", epoch)
    if table.preset:
        yield Section(GRIDS, str(len(table.preset)), partial(_grids, table.preset))
    for subject in table.subjects:
        if subject.reference is not None:
            make = partial(reference_state, subject.reference)
            mark = "|".join((subject.reference.identity, *filter(None, subject.reference.lineage)))
            yield Section(f"{REFERENCE}/{subject.index}", mark, make)


def _name(arena: Arena) -> str:
    return arena.name.lower()


def _mark_of(rows: ValueRows) -> str:
    held = rows.categories.values()
    is_open, is_complete = (sum(map(attrgetter(name), held)) for name in ("is_open", "is_complete"))
    return f"{len(rows.categories)}-{sum(map(len, held))}-{is_open}-{is_complete}"


def _subjects(table: StreamTable) -> State:
    return {
        "epoch": table.epoch,
        "models": [subject.model for subject in table.subjects],
        "versions": [subject.model_version for subject in table.subjects],
        "identities": [subject.reference.identity if subject.reference else "" for subject in table.subjects],
        "watched": [_watched(subject) for subject in table.subjects],
        "scopes": table.subject_of[: len(table.scopes)],
        "segments": [scope.segment for scope in table.scopes],
    }


def _watched(subject: Subject) -> list[str]:
    """Give the names of segments that are counted because of the configuration."""
    found = (segment.partition("=")[0] for segment in subject.scopes if is_automatic(subject, segment))
    return [*subject.watch.segments, *(sorted(set(found)) if subject.watch.auto_segments else ())]


def _streams(table: StreamTable) -> State:
    out: State = {"order": np.frombuffer(bytes(table.order), dtype=np.uint8)}
    for rows in table.arenas:
        out[_name(rows.arena)] = {
            "subjects": rows.subjects[: len(rows)],
            "fields": [key.field for key in rows.keys],
            "segments": [key.segment for key in rows.keys],
            "kinds": [str(kind) for kind in rows.kinds],
        }
    return out


def _left_out(table: StreamTable) -> State:
    """Features without a stream, and whether that is only because they are ignored."""
    found = [(scope, name) for scope in table.scopes for name, at in scope.features.items() if at is None]
    return {
        "scopes": [scope.index for scope, _ in found],
        "names": [name for _, name in found],
        "is_ignored": [scope.subject.watch.configured(name) == IGNORE for scope, name in found],
    }


def _counters(table: StreamTable) -> State:
    return {
        "overflow": counter_state(table.overflow),
        "schema_changes": counter_state(table.schema_changes),
    }


def _categories(rows: ValueRows) -> State:
    held = rows.categories.values()
    return {
        "rows": list(rows.categories),
        "names": [categories.names for categories in held],
        "is_open": [categories.is_open for categories in held],
        "is_complete": [categories.is_complete for categories in held],
    }


def _rows(rows: Rows) -> State:
    names = (*FLAGS, *GRID) if isinstance(rows, ValueRows) else FLAGS
    return {name: getattr(rows, name)[: len(rows)] for name in names}


def _is_own(rows: Rows) -> BoolArray:
    """Tell which rows have counts that are not those of a reference."""
    n = len(rows)
    is_own: BoolArray = rows.is_learning[:n]
    return is_own | (rows.groups_used[:n] == 0) if isinstance(rows, ValueRows) else is_own


def _learned(rows: Rows) -> State:
    at = np.flatnonzero(_is_own(rows))
    return {"rows": at, **Counts.of_array(rows.reference[at].ravel()).state()}


def _grids(grids: Mapping[StreamKey, Grid]) -> State:
    places = [[grid.centre, grid.width, grid.low, grid.step] for grid in grids.values()]
    return {"keys": [list(key) for key in grids], "grids": np.array(places, dtype=np.float64)}


# ---- and back


def restore(table: StreamTable, states: Mapping[str, State]) -> Moves:
    """Bring back what was kept on a table that nothing was counted in yet; give where its rows lie now.

    Raises StateError where a part that the others rest on is missing, or is not what it should be.
    """
    if SUBJECTS not in states:
        return {arena: np.empty(0, dtype=np.int64) for arena in Arena}
    back = _Back(table, states)
    try:
        back.subjects()
        moves = back.streams()
        back.numbers(moves)
        back.references(moves)
        back.rest(moves)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise StateError(f"the streams that were kept can't be read: {type(error).__name__} {error}") from None
    return moves


@dataclass(slots=True)
class _Back:
    """The way back. anew: subjects that begin again. scopes: by their number then, None where they are left out."""

    table: StreamTable
    states: Mapping[str, State]
    anew: set[int] = field(default_factory=set)
    scopes: list[Scope | None] = field(default_factory=list)
    has_less: bool = False

    def subjects(self) -> None:
        """Bring back model versions and their scopes, in order."""
        found = self.states[SUBJECTS]
        subjects: list[Subject] = []
        watched = found.get("watched", [[] for _ in found["models"]])
        for number, segment in zip(found["scopes"].tolist(), found["segments"], strict=True):
            if not segment:
                model, version, identity = (found[name][number] for name in ("models", "versions", "identities"))
                subjects.append(self.table.add_subject(model, version, self._reference(number, identity)))
                self.scopes.append(subjects[number].scopes[""])
                continue
            subject, name = subjects[number], segment.partition("=")[0]
            is_gone = name in watched[number] and not subject.watch.has_segment(name)
            self.has_less |= is_gone
            is_left = is_gone or number in self.anew
            self.scopes.append(None if is_left else self.table.add_scope(subject, segment))

    def _reference(self, number: int, identity: str) -> Reference | None:
        """Give the reference of a subject; note if it is another one than then."""
        found = self.states[SUBJECTS]
        today = self.table.reference_of(found["models"][number], found["versions"][number])
        if today is not None and today.identity == identity:
            return today  # what is kept of it need not be read
        state = self.states.get(f"{REFERENCE}/{number}")
        goes_on = today is not None and state is not None and state.get("base") == today.identity
        if today is not None and not goes_on:
            self.anew.add(number)
            return today
        if not identity:
            return None
        if state is None or state.get("identity") != identity:
            raise StateError(f"the reference {identity} of model {found['models'][number]!r} is missing from the state")
        return reference_of(state)

    def streams(self) -> Moves:
        """Bring back the rows of all streams that are still watched, in order."""
        found = self.states.get(STREAMS, {})
        moves = {arena: np.full(len(found.get(_name(arena), {}).get("fields", ())), -1) for arena in Arena}
        columns = {arena: _columns(found[_name(arena)]) for arena in Arena if len(moves[arena])}
        at = dict.fromkeys(Arena, 0)
        for arena in map(ARENAS.__getitem__, found["order"].tolist() if "order" in found else ()):
            subject, segment, name, kind = next(columns[arena])
            scope = None if subject in self.anew else self.table.subjects[subject].scopes.get(segment)
            if scope is not None and not self._is_ignored(scope, name):
                moves[arena][at[arena]] = row = self.table.add_stream(scope, name, KINDS[kind])
                self.table.place(scope, name, KINDS[kind], row)
            at[arena] += 1
        return moves

    def _is_ignored(self, scope: Scope, name: str) -> bool:
        feature = name.removeprefix(FEATURE_PREFIX)
        watch = scope.subject.watch
        if feature == name or not watch.kinds or watch.configured(feature) != IGNORE:
            return False
        scope.features[feature] = None
        return True

    def numbers(self, moves: Moves) -> None:
        """Bring back what is known of each row, but for what its reference says."""
        for rows in self.table.arenas:
            now = moves[rows.arena]
            state = self.states.get(f"{ROWS}/{_name(rows.arena)}", {})
            for name in (*FLAGS, *GRID):
                if name in state and hasattr(rows, name):
                    getattr(rows, name)[now[now >= 0]] = state[name][now >= 0]
        found = self.states.get(CATEGORIES, {})
        every = ("rows", "names", "is_open", "is_complete")
        now = moves[Arena.VALUES]
        for row, names, is_open, is_complete in zip(*(found.get(name, ()) for name in every), strict=True):
            if now[row] >= 0:
                self.table.values.categories[int(now[row])].close(names, is_complete=is_complete)
                self.table.values.categories[int(now[row])].is_open = is_open

    def references(self, moves: Moves) -> None:
        """Bring back the counts and groups of references, and what the other rows have learned so far."""
        table = self.table
        for subject in table.subjects:
            if subject.reference is None or subject.index in self.anew:
                continue
            streams = {(stream.field, stream.segment): stream for stream in subject.reference.streams}
            found: list[tuple[int, StreamReference]] = []
            for arena, row in subject.rows:
                key, rows = table.arenas[arena].keys[row], table.arenas[arena]
                stream = streams.get((key.field, key.segment))
                if stream is not None and not rows.is_learning[row] and stream.kind is rows.kinds[row]:
                    found.append((row, stream))
            table.set_references(found)
        for rows in table.arenas:
            state = self.states.get(f"{LEARNED}/{_name(rows.arena)}")
            if state is None or not len(state["rows"]):
                continue
            now = moves[rows.arena][state["rows"]]
            counts = Counts.of_state(state).span(0, len(now) * rows.width).reshape(len(now), rows.width)
            rows.reference[now[now >= 0]] = counts[now >= 0]

    def rest(self, moves: Moves) -> None:
        """Bring back what is left, and begin anew where there is another reference."""
        table, states = self.table, self.states
        for arena, learner in zip(Arena, table.learners, strict=True):
            learner.restore(f"{LEARNER}/{_name(arena)}", states, moves[arena])
        self._bring_left_out(states.get(LEFT_OUT, {}))
        counters = states.get(COUNTERS, {})
        table.overflow = counter_of(counters.get("overflow", ()))
        table.schema_changes = counter_of(counters.get("schema_changes", ()))
        grids = states.get(GRIDS)
        if grids is not None and not table.preset:
            places = zip(grids["keys"], grids["grids"].tolist(), strict=True)
            table.preset = {StreamKey(*key): Grid(*place) for key, place in places}
        for number in sorted(self.anew):
            table.add_reference(table.subjects[number])
        is_other = self.has_less or bool(self.anew) or any((now < 0).any() for now in moves.values())
        table.epoch = int(states[SUBJECTS].get("epoch", 0)) + is_other

    def _bring_left_out(self, found: State) -> None:
        every = ("scopes", "names", "is_ignored")
        for number, name, was_ignored in zip(*(found.get(column, ()) for column in every), strict=True):
            scope = self.scopes[number]
            if scope is None or scope.subject.index in self.anew:
                continue
            if was_ignored and scope.subject.watch.configured(name) != IGNORE:
                self.has_less = True
            else:
                scope.features.setdefault(name, None)


def _columns(found: State) -> Iterator[tuple[int, str, str, str]]:
    """Give subject, segment, field and kind of each row."""
    return zip(found["subjects"].tolist(), found["segments"], found["fields"], found["kinds"], strict=True)
