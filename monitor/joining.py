"""Outcomes in the pipeline: what they say of inferences is counted as streams, when it is time.

A row of an inference and its outcome counts in the pane of the outcome, or later where the model's labels want to
mature; until then it waits as counts. So no window ever holds a cohort of which only the quick labels are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from monitor.bins import NO, YES, Arena
from monitor.counts import Counts
from monitor.decode.base import Columns, Outcomes
from monitor.domain import IntArray
from monitor.fold import Folder, Part
from monitor.join.cohorts import Cohorts, Known
from monitor.join.joined import Joined
from monitor.join.joiner import MARKED, Joiner
from monitor.join.records import Inference
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
        horizon_s = max(joiner.terms.absence_s, joiner.terms.maturity_s)
        self._cohorts = Cohorts(horizon_s, pane_s)
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
        sampled = joiner.sampled(columns) if len(columns) else []
        if sampled:
            self._add_cohorts(columns, scopes, np.array([i for i, _ in sampled], dtype=np.int64))
        joined = joiner.take(columns, sampled, outcomes)
        scopes_of = self._scopes_of([asked for _, asked in joined.marked])
        for (field, asked), own in zip(joined.marked, scopes_of, strict=True):
            if not self._cohorts.mark(field, own, asked.time_s) and field != MARKED["label"]:
                joiner.counts[KIND_OF[field], "joined"] -= 1
                joiner.counts[KIND_OF[field], "late"] += 1
        if joined.fields:
            self._count(joined, first)

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

    def _count(self, joined: Joined, first: int | None) -> None:
        rows = joined.columns()
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
        panes = np.floor(rows.times_s / self._pane_s).astype(np.int64)
        if first is not None:
            panes = np.maximum(panes, first)
        self._latest = max(self._latest, int(panes.max()))
        for subject in np.unique(self._table.subject_of[scopes]).tolist():
            maturity_s = self.joiner.maturity_of(self._table.subjects[subject].watch.task)
            step_s = max((step_s for beyond_s, step_s in COARSE if maturity_s > beyond_s), default=0.0)
            step = int(step_s // self._pane_s)
            if step > 1:
                own = self._table.subject_of[scopes] == subject
                panes[own] = -(-panes[own] // step) * step
        return panes

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
