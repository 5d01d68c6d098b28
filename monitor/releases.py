"""Totals of versions side by side: what a gate compares. Counts alone, of models with more than one version.

When a second version of a model is seen, the streams that releases are judged by begin to be added up for both. With
each further version, what the older ones have counted by then is noted, so that any two can be compared over the time
since the newer one came. Memory: 8 bytes per bin (8 kB per log stream) of at most SLOTS_MAX streams per arena, and as
much in notes where counts are dense; older versions than the VERSIONS_MAX newest of a model are given up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from monitor.bins import WIDTHS, Arena
from monitor.counts import Pairs
from monitor.domain import DRILL_MODEL, CountArray, IntArray
from monitor.fields import VOLUME
from monitor.kept import Moves, Section, State
from monitor.rows import grown
from monitor.scopes import Subject
from monitor.streams import NONE, StreamTable
from monitor.versions import ModelTotals, StreamTotal, VersionTotals

VERSIONS_MAX: Final = 8
"""Versions of one model that are counted beside one another: the newest."""
SLOTS_MAX: Final = 2_000
"""Streams of one arena; beyond, nothing new is added up, and it is counted as overflow."""
ARENAS: Final = (Arena.LOGS, Arena.FLAGS)
NAME: Final = "releases"
OVERFLOW: Final = "release_streams"

Place = tuple[Arena, int]
"""Arena and row of a stream."""
Noted = tuple[IntArray, IntArray]
"""Bins that are not zero, and their counts: 64 bits, as a release may live long."""


@dataclass(frozen=True, slots=True)
class ReleaseTerms:
    """What is added up: the streams of these fields, of all traffic and of every segment that is watched."""

    fields: frozenset[str] = frozenset()

    def wants(self, name: str) -> bool:
        """Tell whether streams of a field are to be added up."""
        return name in self.fields or name == VOLUME


@dataclass(slots=True)
class _Sums:
    """The totals of one arena. slot_of: by row, NONE: not added up. rows: by slot, NONE: free."""

    width: int
    slot_of: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    rows: list[int] = field(default_factory=list)
    sums: IntArray = field(init=False)
    scanned: int = 0

    def __post_init__(self) -> None:
        self.sums = np.zeros((0, self.width), dtype=np.int64)

    def reach(self, rows: int) -> None:
        """Make room for so many rows of the arena."""
        if rows > len(self.slot_of):
            more = np.full(max(64, rows * 3 // 2) - len(self.slot_of), NONE, dtype=np.int64)
            self.slot_of = np.concatenate([self.slot_of, more])

    def begin(self, row: int) -> bool:
        """Add up a row from here on; False where there is no room."""
        if self.slot_of[row] != NONE:
            return True
        slot = self.rows.index(NONE) if NONE in self.rows else len(self.rows)
        if slot >= SLOTS_MAX:
            return False
        if slot == len(self.rows):
            self.rows.append(NONE)
        if slot >= len(self.sums):
            more = np.zeros((max(8, slot // 2), self.width), dtype=np.int64)
            self.sums = np.concatenate([self.sums, more])
        self.rows[slot] = row
        self.slot_of[row] = slot
        self.sums[slot] = 0
        return True

    def end(self, row: int) -> None:
        """Forget a row."""
        slot = int(self.slot_of[row]) if row < len(self.slot_of) else NONE
        if slot != NONE:
            self.rows[slot] = self.slot_of[row] = NONE

    def add(self, flat: IntArray, counts: CountArray) -> bool:
        """Add counts of bins, each of which is there once; tell whether any was of a row that is added up."""
        if not self.rows or not flat.size:
            return False
        slots = self.slot_of[flat // self.width]
        at = slots != NONE
        self.sums[slots[at], flat[at] % self.width] += counts[at]
        return bool(at.any())

    def of(self, row: int) -> IntArray | None:
        """Give the totals of a row, to be copied; None where it is not added up."""
        slot = int(self.slot_of[row]) if row < len(self.slot_of) else NONE
        return None if slot == NONE else self.sums[slot]


@dataclass(slots=True)
class _Version:
    """A subject that is compared. before: what older subjects had counted when it was first seen, by place."""

    subject: Subject
    since_s: float
    before: dict[Place, Noted] = field(default_factory=dict)


class Releases:
    """Adds up the counts of closed panes. Called in the loop thread, by `close`."""

    def __init__(self, table: StreamTable, terms: ReleaseTerms) -> None:
        self._table = table
        self._terms = terms
        self._models: dict[str, list[_Version]] = {}
        self._met = np.zeros(0, dtype=bool)
        self._sums = {arena: _Sums(WIDTHS[arena]) for arena in ARENAS}
        self._changes = 0
        self._pictured: tuple[int, tuple[ModelTotals, ...]] = (-1, ())
        self.overflow: Counter[str] = Counter()

    # ---- counting

    def close(self, start_s: float, counts: Mapping[Arena, Pairs]) -> None:
        """Add the counts of the pane that began at start_s; by them alone it is told which versions there are.

        Cost: a pass over the bins that were hit.
        """
        if not self._terms.fields:
            return
        self._look_out(start_s, counts[Arena.FLAGS][0])
        for arena, sums in self._sums.items():
            rows = self._table.arenas[arena]
            sums.reach(len(rows))
            for row in range(sums.scanned, len(rows)):
                self._add(arena, row)
            sums.scanned = len(rows)
            self._changes += sums.add(*counts[arena])

    def _look_out(self, start_s: float, flags: IntArray) -> None:
        """Meet the versions that have events in a pane for the first time."""
        if len(self._met) < len(self._table.subjects):
            self._met = grown(self._met, len(self._table.subjects) * 3 // 2)
        heard = self._table.flags.subjects[flags // WIDTHS[Arena.FLAGS]]
        for index in np.unique(heard[~self._met[heard]]).tolist():
            self._met[index] = True
            self._meet(self._table.subjects[index], start_s)

    def _meet(self, subject: Subject, start_s: float) -> None:
        """Take in a version: one that is not the first of its model is compared with the others from here on."""
        if subject.model == DRILL_MODEL:
            return
        versions = self._models.setdefault(subject.model, [])
        before = {place: counts for each in versions for place, counts in self._noted(each)}
        versions.append(_Version(subject, start_s, before))
        self._changes += 1
        if len(versions) == 1:
            return
        if len(versions) == 2:
            versions[0].since_s = start_s
        if len(versions) > VERSIONS_MAX:
            self._give_up(versions.pop(0))
        for version in versions:
            for arena, row in version.subject.rows:
                if arena in self._sums and row < self._sums[arena].scanned:
                    self._add(arena, row)

    def _noted(self, version: _Version) -> Iterator[tuple[Place, Noted]]:
        for arena, row in version.subject.rows:
            counts = self._sums[arena].of(row) if arena in self._sums else None
            if counts is not None and counts.any():
                yield (arena, row), _noted(counts)

    def _give_up(self, version: _Version) -> None:
        for arena, row in version.subject.rows:
            if arena in self._sums:
                self._sums[arena].end(row)
        for each in self._models[version.subject.model]:
            for place in version.subject.rows:
                each.before.pop(place, None)

    def _add(self, arena: Arena, row: int) -> None:
        """Begin to add up a row, if it is one to be compared."""
        rows = self._table.arenas[arena]
        key, subject = rows.keys[row], int(rows.subjects[row])
        versions = self._models.get(key.model, ())
        is_compared = len(versions) > 1 and any(each.subject.index == subject for each in versions)
        if is_compared and self._terms.wants(key.field) and not self._sums[arena].begin(row):
            self.overflow[OVERFLOW] += 1

    # ---- what there is to see

    def totals(self) -> tuple[ModelTotals, ...]:
        """Give what is compared, as values that do not change. Cost: a copy, where anything has changed."""
        if self._pictured[0] != self._changes:
            found = tuple(self._model(name, versions) for name, versions in self._models.items() if len(versions) > 1)
            self._pictured = self._changes, found
        return self._pictured[1]

    def _model(self, name: str, versions: Sequence[_Version]) -> ModelTotals:
        return ModelTotals(name, tuple(self._version(each, versions[:at]) for at, each in enumerate(versions)))

    def _version(self, version: _Version, older: Sequence[_Version]) -> VersionTotals:
        streams = tuple(
            self._total(arena, row, counts.copy())
            for arena, row in version.subject.rows
            if arena in self._sums and (counts := self._sums[arena].of(row)) is not None
        )
        before = {
            each.subject.model_version: tuple(
                self._total(*place, _dense(version.before[place], WIDTHS[place[0]]))
                for place in each.subject.rows
                if place in version.before
            )
            for each in older
        }
        return VersionTotals(version.subject.model_version, version.since_s, streams, before)

    def _total(self, arena: Arena, row: int, counts: IntArray) -> StreamTotal:
        rows = self._table.arenas[arena]
        key = rows.keys[row]
        return StreamTotal(key.field, key.segment, str(rows.kinds[row]), int(rows.exponents[row]), counts)

    # ---- from one process to the next

    def sections(self) -> Iterator[Section]:
        """Give what is kept."""
        yield Section(NAME, None, self._state)

    def _state(self) -> State:
        return {
            "met": [
                [each.model, each.model_version]
                for each, met in zip(self._table.subjects, self._met, strict=False)
                if met
            ],
            "versions": [
                {
                    "model": name,
                    "version": each.subject.model_version,
                    "since_s": each.since_s,
                    "before": [[int(arena), row, *noted] for (arena, row), noted in each.before.items()],
                }
                for name, versions in self._models.items()
                for each in versions
            ],
            "sums": [
                [int(arena), row, self._table.arenas[arena].keys[row].model, *_noted(sums.sums[slot])]
                for arena, sums in self._sums.items()
                for slot, row in enumerate(sums.rows)
                if row != NONE
            ],
        }

    def restore(self, states: Mapping[str, State], moves: Moves, end_s: float) -> None:
        """Go on from a state, on a table that is back. end_s: of the last pane that had closed.

        A model of which streams are gone meanwhile begins anew with all its versions. A state of before there was this
        part lets the versions that are known begin with the next pane.
        """
        state = states.get(NAME)
        if state is None or not self._terms.fields:
            return
        by_name = {(each.model, each.model_version): each for each in self._table.subjects}
        self._met = np.zeros(len(self._table.subjects), dtype=bool)
        for model, version in state["met"]:
            if (model, version) in by_name:
                self._met[by_name[model, version].index] = True
        gone = {model for arena, row, model, *_ in state["sums"] if moves[Arena(arena)][row] < 0}
        for found in state["versions"]:
            name, subject = found["model"], by_name.get((found["model"], found["version"]))
            if subject is not None:
                before = {} if name in gone else dict(_moved(found["before"], moves))
                since_s = end_s if name in gone else float(found["since_s"])
                self._models.setdefault(name, []).append(_Version(subject, since_s, before))
        for arena, sums in self._sums.items():
            sums.reach(len(self._table.arenas[arena]))
        for (arena, row), noted in _moved(
            [[a, r, *n] for a, r, model, *n in state["sums"] if model not in gone], moves
        ):
            key, sums = self._table.arenas[arena].keys[row], self._sums[arena]
            if self._terms.wants(key.field) and sums.begin(row):
                sums.sums[sums.slot_of[row]] = _dense(noted, sums.width)
        self._changes += 1


def _noted(counts: IntArray) -> Noted:
    at = np.flatnonzero(counts)
    return at, counts[at]


def _dense(noted: Noted, width: int) -> IntArray:
    counts = np.zeros(width, dtype=np.int64)
    counts[noted[0]] = noted[1]
    return counts


def _moved(found: Iterable[Sequence[Any]], moves: Moves) -> Iterator[tuple[Place, Noted]]:
    """Give what was noted of rows that are still there, by where they lie now."""
    for arena, row, at, counts in found:
        now = int(moves[Arena(arena)][row])
        if now >= 0:
            yield (Arena(arena), now), (at, counts)
