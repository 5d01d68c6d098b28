"""Outcomes in the pipeline: what they say of inferences is counted as streams, when it is time.

A row of an inference and its outcome counts in the pane of the outcome, or later where the model's labels want to
mature; until then it waits as counts. So no window ever holds a cohort of which only the quick labels are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from monitor.bins import NO, YES, Arena
from monitor.counts import Counts
from monitor.decode.base import Columns, Outcomes
from monitor.domain import FloatArray, IntArray, Kind
from monitor.fields import LABEL
from monitor.fold import Folder, Part
from monitor.join.answers import CLASSIFICATION, REGRESSION
from monitor.join.cohorts import Cohorts, Known
from monitor.join.joined import Row, columns_of
from monitor.join.joiner import MARKED, Joiner
from monitor.join.records import Inference, pair_of
from monitor.kept import Moves, Section, State
from monitor.panes import OpenPanes, Waiting
from monitor.scopes import Scope
from monitor.streams import NONE, StreamTable

COHORTS: Final = "join/cohorts"
RIPENING: Final = "join/ripening"
COARSE: Final = ((3_600.0, 60.0), (86_400.0, 3_600.0))
"""Labels that mature for longer than so many seconds count at a multiple of so many, so that few counts wait."""
KIND_OF: Final = {field: kind for kind, field in MARKED.items()}


class Joining:
    """Joins, and counts what comes of it. Called by the pipeline, in the loop thread.

    What `ripen` gives depends on the messages and on which panes were closed when they came, on nothing else.
    """

    def __init__(self, table: StreamTable, folder: Folder, joiner: Joiner, pane_s: float) -> None:
        self._table = table
        self._folder = folder
        self.joiner = joiner
        self._pane_s = pane_s
        self._cohorts = Cohorts(joiner.terms.horizon_s, pane_s)
        self._ripening = OpenPanes()
        self._latest = -(2**62)

    # ---- messages

    def take(self, columns: Columns, scopes: IntArray, outcomes: Outcomes, first: int | None) -> None:
        """Take in a run of inferences and outcomes between which no pane closes.

        first: the first pane that is open, None before any has closed.
        """
        joiner = self.joiner
        if len(outcomes):
            joiner.begin()
        if not joiner.is_on:
            return
        sampled = self.ask(columns, scopes)
        self._settle(joiner.take(columns, sampled, outcomes), first)

    def ask(self, columns: Columns, scopes: IntArray) -> Sequence[tuple[int, bytes]]:
        """Take in that there were these inferences, of which something may be told; give those that are joined."""
        sampled = self.joiner.sampled(columns) if self.joiner.is_on and len(columns) else []
        if sampled:
            self._add_cohorts(columns, scopes, np.array([i for i, _ in sampled], dtype=np.int64))
        return sampled

    # ---- what others have joined

    def hear(self, pairs: Sequence[bytes], first: int | None) -> list[tuple[str, str]]:
        """Take in pairs of inferences and outcomes that others have found; give their models and versions."""
        joined = [row for pair in pairs for row in self.joiner.join(*pair_of(pair))]
        self._settle(joined, first)
        return [(row.asked.model, row.asked.model_version) for row in joined]

    def put(self, pane: int, arena: Arena, counts: Counts, first: int | None) -> None:
        """Take in what others have counted of pairs. pane: in which it counts, if that is not closed yet."""
        pane = pane if first is None else max(pane, first)
        self._latest = max(self._latest, pane)
        self._ripening.put(pane, arena, counts)

    def put_cohort(self, scope: Scope, field: str, time_s: float, count: int) -> None:
        """Take in so many inferences of about a time, or (field) that so many were marked."""
        if not self._cohorts.take(field, scope.index, time_s, count) and field and not scope.segment:
            self._note_late(field, count)

    # ---- rows

    def _settle(self, joined: Sequence[Row], first: int | None) -> None:
        """Mark the inferences of rows, and count what rows say."""
        marked = [row for row in joined if row.marked]
        for row, scopes in zip(marked, self._scopes_of([row.asked for row in marked]), strict=True):
            if not self._cohorts.mark(row.marked, scopes, row.asked.time_s):
                self._note_late(row.marked, 1)
        rows = [row for row in joined if row.fields]
        if rows:
            self._count(rows, first)

    def _note_late(self, field: str, count: int) -> None:
        """Take note of outcomes of inferences that had counted as having none."""
        if field != MARKED["label"]:
            self.joiner.counts[KIND_OF[field], "joined"] -= count
            self.joiner.counts[KIND_OF[field], "late"] += count

    def _add_cohorts(self, columns: Columns, scopes: IntArray, at: IntArray) -> None:
        times_s = columns.times_s[at]
        self._cohorts.add(scopes[at], times_s)
        if self._table.segment_names:
            segments = [columns.segments[i] for i in at.tolist()]
            part = Part((), {}, scopes[at], at, at)
            for chosen, inner in self._folder.segments(part, segments):
                self._cohorts.add(inner, times_s[chosen])

    def _scopes_of(self, asked: Sequence[Inference]) -> Iterator[list[int]]:
        """Give the scopes of each inference: its model version, and the segments that are counted apart."""
        if not asked:
            return
        models, versions = [each.model for each in asked], [each.model_version for each in asked]
        for main, each in zip(self._table.scopes_of(models, versions).tolist(), asked, strict=True):
            scopes, given = [main] if main != NONE else [], each.segments
            if scopes and given and self._table.segment_names:
                subject = self._table.scopes[main].subject
                scopes += [
                    self._table.segment_of(subject, name, given[name]).index
                    for name in subject.watch.segments
                    if given.get(name) is not None
                ]
            yield scopes

    def _count(self, joined: Sequence[Row], first: int | None) -> None:
        rows = columns_of(joined)
        scopes = self._table.scopes_of(rows.models, rows.versions)
        known = np.flatnonzero(scopes != NONE)
        if known.size < len(rows):
            rows, scopes = rows.at(known), scopes[known]
        if not len(rows):
            return
        self._note_scales(rows, scopes)
        panes = self._panes(rows, scopes, first)
        known_panes = panes if first is None else np.full(len(rows), first, dtype=np.int64)
        part = Part((), rows.fields, scopes, known_panes, np.arange(len(rows)))
        for hits in self._folder.fold_outcomes(part, rows.segments):
            self._ripening.add(hits.arena, hits.flat, panes[hits.events])

    def _note_scales(self, rows: Columns, scopes: IntArray) -> None:
        """Note the size of what a model predicts, by its first error: in it the errors' bins are placed."""
        errors = rows.fields.get("abs_error")
        if errors is None:
            return
        for i, (error, label) in enumerate(zip(errors, rows.fields["label"], strict=True)):
            subject = int(self._table.subject_of[scopes[i]])
            if error is not None and subject not in self._table.scales:
                self._table.scales[subject] = int(np.frexp(max(abs(label), error, 1e-12))[1])

    def _panes(self, rows: Columns, scopes: IntArray, first: int | None) -> IntArray:
        """Give the pane in which each row counts: that of its time, or a coarser one where its label matures long."""
        subjects = self._table.subject_of[scopes]
        panes = ripening_panes(rows.times_s, self._pane_s, subjects, self._maturity_of, first)
        self._latest = max(self._latest, int(panes.max()))
        return panes

    def _maturity_of(self, subject: int) -> float:
        return self.joiner.maturity_of(self._table.subjects[subject].watch.task)

    # ---- time

    def ripen(self, pane: int) -> tuple[Waiting, ...]:
        """Give what counts with a pane that closes now, by arena: rows whose time has come, and cohorts."""
        ripe: tuple[Waiting, ...] = tuple([] for _ in Arena)
        if not self.joiner.is_on:
            return ripe
        end_s = (pane + 1) * self._pane_s
        self._pour(ripe, pane)
        cohorts = list(self._cohorts.due(end_s))
        if cohorts:
            ripe[Arena.FLAGS].append(self._counts_of(cohorts))
        self.joiner.expire(end_s)
        return ripe

    def _pour(self, ripe: Sequence[Waiting], last: int) -> None:
        first = self._ripening.first
        while first is not None and first <= last:
            for mine, held in zip(ripe, self._ripening.take(first), strict=True):
                mine.extend(held)
            first = self._ripening.first

    def ripen_all(self) -> tuple[Waiting, ...]:
        """Give what outcomes said that came after the last inference, at the end of all input; what matures is left."""
        ripe: tuple[Waiting, ...] = tuple([] for _ in Arena)
        if self.joiner.is_on and not self.joiner.terms.maturity_s:
            self._pour(ripe, self._latest + int(COARSE[-1][1] // self._pane_s))
        return ripe

    def _counts_of(self, cohorts: Sequence[Known]) -> Counts:
        flat: dict[int, int] = {}
        for field, scope, yes, no in cohorts:
            (row,) = self._table.field_rows(field, [True], np.array([scope], dtype=np.int64)).tolist()
            if row != NONE:
                for at, count in ((NO, no), (YES, yes)):
                    if count:
                        place = row * self._table.flags.width + at
                        flat[place] = flat.get(place, 0) + count
        order = sorted(flat)
        counts = np.array([flat[at] for at in order], dtype=np.uint32)
        return Counts(counts, np.array(order, dtype=np.uint32), self._table.flags.size)

    # ---- what is kept

    def sections(self) -> Iterator[Section]:
        """Give what is kept."""
        yield from self.joiner.sections()
        if self.joiner.is_on:
            yield Section(COHORTS, None, lambda: self._cohorts.state(self._name_of))
            yield from self._ripening.sections(RIPENING, self._table.epoch)

    def _name_of(self, scope: int) -> list[str]:
        found = self._table.scopes[scope]
        return [found.subject.model, found.subject.model_version, found.segment]

    def restore(self, states: Mapping[str, State], moves: Moves) -> None:
        """Go on from a state, with a table that is brought back already. moves: where its rows lie now."""
        self.joiner.restore(states)
        scopes: dict[tuple[str, ...], Scope] = {
            (scope.subject.model, scope.subject.model_version, scope.segment): scope for scope in self._table.scopes
        }

        def scope_of(name: list[str]) -> int | None:
            found = scopes.get(tuple(name))
            return None if found is None else found.index

        self._cohorts.restore(states.get(COHORTS, {}), scope_of)
        self._ripening.restore(RIPENING, states, moves)
        self._latest = max(self._latest, self._ripening.last or self._latest)


def ripening_panes(
    times_s: FloatArray, pane_s: float, subjects: IntArray, maturity_of: Callable[[int], float], first: int | None
) -> IntArray:
    """Give the pane in which each row counts: that of its time, or a coarser one where its label matures long.

    subjects: of each row, shape (n,). maturity_of: how long labels of a subject mature. first: no pane is before it.
    """
    panes = np.floor(times_s / pane_s).astype(np.int64)
    if first is not None:
        panes = np.maximum(panes, first)
    for subject in np.unique(subjects).tolist():
        maturity_s = maturity_of(subject)
        step = int(max((step_s for beyond_s, step_s in COARSE if maturity_s > beyond_s), default=0.0) // pane_s)
        if step > 1:
            own = subjects == subject
            panes[own] = -(-panes[own] // step) * step
    return panes


def label_kind(table: StreamTable, model: str, version: str) -> str | None:
    """Give what kind of task a model version's is, by the stream of its labels; None while there is none."""
    kind = table.kind_of(model, version, LABEL)
    return None if kind is None else REGRESSION if kind is Kind.NUMERIC else CLASSIFICATION
