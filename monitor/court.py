"""Counts in time, and judges them: panes that wait for the watermark, windows, learning, detectors, alerts.

    open panes --watermark--> ladders --judge--> transitions

What is counted comes from elsewhere: messages (pipeline), or what others have counted of them (delta_court).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np

from monitor.absences import Missing
from monitor.bins import Arena
from monitor.counting_state import Counting
from monitor.counts import EMPTY, Counts, Ladder, Pairs
from monitor.decode import Columns
from monitor.domain import (
    Alert,
    Batch,
    Gap,
    IntArray,
    Picture,
    Rejection,
    StreamKey,
    TopicPartition,
    Transition,
)
from monitor.duplicates import Duplicates
from monitor.fold import Folder, Part
from monitor.hits import Hits
from monitor.join.joiner import Joiner
from monitor.join.pending import Pending
from monitor.joining import Joining, label_kind
from monitor.judge import Judge
from monitor.kept import Section, State
from monitor.kpi_cells import Cells
from monitor.lines import Terms
from monitor.panes import Cadence, OpenPanes
from monitor.pictures import Shown, picture_of
from monitor.pipeline_terms import PipelineTerms
from monitor.reference_maker import ReferenceMaker
from monitor.references import Grid, Reference
from monitor.releases import Releases
from monitor.rules import Plan
from monitor.scopes import Subject
from monitor.segment_counts import SegmentCounts
from monitor.segments import OTHER_VALUE, HeavySegments, is_automatic
from monitor.streams import StreamTable
from monitor.tables import Tables
from monitor.totals import SubjectTimes, Totals
from monitor.users import Users
from monitor.views import Views
from monitor.watermark import Watermark

OUTCOMES_FROZEN_EVERY: Final = 60
"""Panes after which it is seen whether streams of outcomes have learned enough."""
PAST_S: Final = 86_400.0
"""How long buckets are kept at least: of quiet streams, what a day or so brought says what changed, and since when."""
NAME: Final = "pipeline"
"""The section of its own state."""
NEVER_S: Final = -1e12
"""Before any event time: the watermark until it is known."""
AHEAD_PANES: Final = 900
"""A partition further ahead of the last one in event time is held: what waits for panes to close is memory."""
OPEN_PANES_MAX: Final = 7_200
OPEN_BYTES_MAX: Final = 256 << 20
"""When partitions are further apart in event time, the watermark is moved on, and what it leaves behind is late."""


@dataclass(slots=True)
class Step:
    """What came of a batch: alerts that changed, references that were frozen, and messages that can't be used.

    rejected: the place of each in the batch, and why. batch: what was taken in, where it is not what was given.
    annotations: those that came as messages.
    """

    transitions: list[Transition] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    rejected: list[tuple[int, Rejection]] = field(default_factory=list)
    batch: Batch | None = None
    annotations: list[dict[str, Any]] = field(default_factory=list)


class Court:
    """All that is known of some model versions. Only one thread may call it."""

    finds_segments = True
    """Whether it is given every event, so that it may tell which segments are frequent."""

    def __init__(self, terms: PipelineTerms, references: Iterable[Reference] = ()) -> None:
        self._terms = terms
        self._table = StreamTable(terms.limits, lambda m, v: self._plan(m, v).watch, references, terms.time.pane_s)
        self._table.is_inherited = terms.learn.is_inherited
        self._heavy = HeavySegments() if self.finds_segments else None
        self._folder = Folder(self._table, heavy=self._heavy)
        self._ladders = tuple(Ladder(terms.spans_s(arena), PAST_S) for arena in Arena)
        self._views = Views(self._table, self._ladders)
        judge_terms = Terms.of(terms.budget, terms.windows_s, terms.time.pane_s, terms.config_version)
        windows_s = judge_terms.windows_s
        self._users = Users(windows_s)
        self._cells = Cells(self._table, self._ladders, windows_s, self._plan, self._users)
        self._judge = Judge(self._table, self._views, terms.detectors, self._plan, judge_terms, self._cells)
        self._shown = Shown(
            Tables(self._table, self._views, terms.detectors, windows_s, terms.series_max),
            SegmentCounts(self._table, self._views, len(windows_s) - 1, windows_s[-1]),
        )
        self._watermark = Watermark(terms.time.disorder_s)
        self._duplicates = Duplicates(terms.event_ids_max, terms.seed)
        self._open = OpenPanes()
        self._cadence = Cadence()
        self._looks = 0
        self._totals = Totals()
        self._subjects = SubjectTimes()
        self._missing = Missing()
        kept = Pending(terms.backing_of("inferences")), Pending(terms.backing_of("outcomes"))
        kind_of = partial(label_kind, self._table)
        joiner = Joiner(terms.join, lambda m, v: self._plan(m, v).watch.task, kept, terms.seed, kind_of)
        self._joining = Joining(self._table, self._folder, joiner, terms.time.pane_s)
        self._releases = Releases(self._table, terms.releases)
        self._references = ReferenceMaker(self._table, self._folder, self._subjects, terms.learn, self._add_placed)
        self._counting = Counting(
            table=self._table,
            folder=self._folder,
            heavy=self._heavy,
            ladders=self._ladders,
            views=self._views,
            open=self._open,
            cadence=self._cadence,
            watermark=self._watermark,
            duplicates=self._duplicates,
            totals=self._totals,
            subjects=self._subjects,
        )

    def _plan(self, model: str, version: str) -> Plan:
        return self._terms.plan_of(model, version)

    # ---- what is counted

    def _fold(self, columns: Columns, scopes: IntArray, panes: IntArray) -> None:
        """Put the hits into their panes, or where a closed pane now lies."""
        part = Part(columns.features, columns.fields, scopes, panes, np.arange(len(columns)))
        for hits in self._folder.fold(part, columns.segments):
            self._add(hits.arena, hits.flat, panes[hits.events])
        placed = self._folder.place_grids()
        if placed is not None:
            self._add_placed(*placed)

    def _add(self, arena: Arena, flat: IntArray, panes: IntArray) -> None:
        first = self._cadence.next
        if first is not None and flat.size and int(panes.min()) < first:
            late = panes < first
            for pane in np.unique(panes[late]).tolist():
                self._add_late(arena, flat[panes == pane], pane)
            flat, panes = flat[~late], panes[~late]
        self._open.add(arena, flat, panes)

    def _add_counts(self, arena: Arena, pane: int, counts: Counts) -> None:
        """Put what was counted elsewhere into its pane, or where a closed pane now lies."""
        if self._cadence.next is not None and pane < self._cadence.next:
            self._add_late(arena, counts, pane)
        else:
            self._open.put(pane, arena, counts)

    def _add_late(self, arena: Arena, late: IntArray | Counts, pane: int) -> None:
        """Count late events where their time now lies; older than all that is kept, they count as of now.

        Sequential evidence has gone on meanwhile, so to it they are events of the next pane to close.
        """
        counts = Counts.of_hits([late], self._table.arenas[arena].size)
        if self._ladders[arena].add_late((pane + 0.5) * self._terms.time.pane_s, counts):
            self._views.forget()
            self._cells.forget()
            self._table.learn_late(arena, counts)
            self._open.add_late(arena, late)
        elif self._cadence.next is not None:
            self._open.put(self._cadence.next, arena, late)

    def _add_placed(self, hits: Hits, panes: IntArray) -> None:
        """Count values that waited for their grid; where their pane has closed meanwhile, in the next one to close."""
        first = self._cadence.next if self._cadence.next is not None else int(panes.min())
        self._open.add(hits.arena, hits.flat, np.maximum(panes, first))

    # ---- time

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Say for which partitions event time waits."""
        self._watermark.assign(partitions)

    def ahead(self) -> Sequence[TopicPartition]:
        """Give the partitions that are so far ahead in event time of the last one that they are better not read on."""
        return self._watermark.ahead(AHEAD_PANES * self._terms.time.pane_s)

    @property
    def missing(self) -> Missing:
        """Where to say that messages are missing: what closes without them is not judged."""
        return self._missing

    def lose(self, gaps: Sequence[Gap]) -> None:
        """Hear which messages are gone that were never read; before any that follow them."""
        self._missing.note_gaps(gap.source for gap in gaps)

    def idle(self, idle: Iterable[TopicPartition], quiet_s: float, now_s: float) -> Step:
        """Say which partitions are caught up, and for how long nothing came at all; event time goes on meanwhile."""
        step = Step()
        self._watermark.set_idle(idle)
        latest_s = self._watermark.latest_s
        if quiet_s > 0 and latest_s > now_s - quiet_s - self._terms.time.live_s:
            self._watermark.advance_to(min(latest_s + quiet_s, now_s))
        self._close(step)
        return step

    def finish(self) -> Step:
        """Close every pane that holds anything: the input has ended."""
        step = Step()
        last = self._open.last
        late = self._joining.ripen_all()
        if last is None and any(late):
            last = self._cadence.next or 0
        for arena, held in zip(Arena, late, strict=True):
            for part in held:
                self._open.put(last or 0, arena, part)
        if last is not None:
            self._watermark.advance_to((last + 1) * self._terms.time.pane_s + self._terms.time.disorder_s)
            self._close(step)
        return step

    def _close(self, step: Step) -> None:
        """Close the panes that the watermark has passed, in order, and look after each."""
        pane_s = self._terms.time.pane_s
        if len(self._open) > OPEN_PANES_MAX or self._open.nbytes > OPEN_BYTES_MAX:
            self._watermark.advance_to((self._open.last or 0) * pane_s)
            self._totals.overflow["open_panes"] += 1
        self._close_until(float(np.floor(max(self._watermark.value_s, NEVER_S) / pane_s)), step)

    def _close_until(self, pane: float, step: Step) -> None:
        """Close the panes before this one, in order."""
        if pane * self._terms.time.pane_s <= NEVER_S:
            return
        for due in self._cadence.due(int(pane), self._open):
            self._close_one(due, step)

    def _close_one(self, pane: int, step: Step) -> None:
        pane_s = self._terms.time.pane_s
        start_s, end_s = pane * pane_s, (pane + 1) * pane_s
        if self._missing.is_any(start_s):
            self._judge.skip(start_s, end_s)
        ripe = self._joining.ripen(pane)
        closed: dict[Arena, Pairs] = {}
        for arena, hits in zip(self._table.arenas, self._open.take(pane), strict=True):
            hits.extend(ripe[arena.arena])
            counts = Counts.of_hits(hits, arena.size) if hits else EMPTY
            self._ladders[arena.arena].append(start_s, end_s, counts)
            pairs = counts.pairs()
            self._table.learn(arena.arena, pane, end_s, pairs)
            late = self._open.take_late(arena.arena)
            judged = Counts.of_hits([*hits, *late], arena.size).pairs() if late else pairs
            self._judge.count(arena.arena, judged, end_s)
            closed[arena.arena] = judged
            if arena.arena is Arena.FLAGS:  # the last
                self._views.close(end_s, start_s, counts)
        self._cells.forget()
        self._releases.close(start_s, closed)
        self._promote()
        step.references += self._references.freeze_due(end_s)
        if pane % OUTCOMES_FROZEN_EVERY == 0:
            for index in sorted(self._table.with_outcomes):
                self._table.freeze_outcomes(self._table.subjects[index], self._terms.join.learn_rows)
        step.transitions += self._judge.look(pane, end_s)
        self._looks += 1

    def _promote(self) -> None:
        """Count frequent segments apart from here on, and beside each name's all others together."""
        for subject, segment in self._heavy.promoted(self._table.subjects) if self._heavy is not None else ():
            name = segment.partition("=")[0]
            for each in (segment, f"{name}={OTHER_VALUE}"):
                if each not in subject.scopes:
                    self._table.add_scope(subject, each)

    # ---- learning

    def freeze_all(self, source: str) -> list[Reference]:
        """Make what every model has learned its reference, in order of first sight: the end of building references."""
        return self._references.freeze_all(source)

    def grids(self) -> dict[StreamKey, Grid]:
        """Give the grids of all numeric streams that have one."""
        self._folder.place_grids(np.arange(len(self._table.values)))
        return self._table.grids()

    def preset_grids(self, grids: Mapping[StreamKey, Grid]) -> None:
        """Give streams that are yet to come their grids, in place of their own first values."""
        self._table.preset = grids

    def segments(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """Give the segments of each model version that were found by themselves, and those that hold the rest."""
        found = {(s.model, s.model_version): [k for k in s.scopes if is_automatic(s, k)] for s in self._table.subjects}
        return {key: segments for key, segments in found.items() if segments}

    def preset_segments(self, segments: Mapping[tuple[str, str], Sequence[str]]) -> None:
        """Give model versions that are yet to come these segments, in place of finding any."""
        self._table.preset_segments = segments
        self._heavy = self._folder.heavy = None

    # ---- from one process, or configuration, to the next

    def sections(self) -> Iterator[Section]:
        """Give all that is known, piece by piece; to be made before the next message is taken in."""
        yield from self._counting.sections()
        yield from self._joining.sections()
        yield from self._judge.sections()
        yield from self._releases.sections()
        yield from self._users.sections()
        yield Section(NAME, None, self._state)

    def _state(self) -> State:
        return {"looks": self._looks, "missing": self._missing.state()}

    def restore(self, states: Mapping[str, State]) -> None:
        """Go on where `sections` left it: a pipeline that has counted nothing yet, with today's plans and references.

        Raises StateError where it can't be read.
        """
        moves = self._counting.restore(states)
        self._joining.restore(states, moves)
        own = states.get(NAME, {})
        self._looks = own.get("looks", 0)
        self._missing.restore(own.get("missing", {}))
        self._users.restore(states)
        closed = self._cadence.next
        end_s = NEVER_S if closed is None else closed * self._terms.time.pane_s
        self._judge.restore(states, moves, end_s)
        self._releases.restore(states, moves, end_s)

    def replan(self, terms: PipelineTerms) -> list[Transition]:
        """Go by other plans and another budget from the next look on; give the alerts that this ends.

        What is counted, and how, stays as it was told first; so do the windows.
        """
        version = terms.config_version
        self._terms = replace(self._terms, plan_of=terms.plan_of, budget=terms.budget, config_version=version)
        self._cells.replan()
        closed = self._cadence.next
        end_s = NEVER_S if closed is None else closed * self._terms.time.pane_s
        return self._judge.replan(end_s, terms.budget, version)

    def saved(self) -> None:
        """Hear that all that `sections` gave is stored."""
        self._joining.joiner.saved()

    # ---- what there is to see

    def picture(self) -> Picture:
        """Give all numbers as of the last closed pane, as values that do not change."""
        found = picture_of(self._counting, self._judge, self._shown, self._looks, self._terms.learn.events)
        kpis, modes, left_out = self._cells.values()
        overflow = {**found.overflow, **self._releases.overflow, **self._users.overflow}
        return replace(
            found,
            join=self._joining.joiner.status(),
            kpis=kpis,
            modes=modes,
            releases=self._releases.totals(),
            overflow={**overflow, "kpi_cells": left_out} if left_out else overflow,
        )

    @property
    def alerts(self) -> Sequence[Alert]:
        """The alerts that are pending or firing."""
        return self._judge.book.alerts

    def references(self, models: Sequence[Sequence[str]]) -> list[Reference]:
        """Give the references of some model versions, of those that have one."""
        return [s.reference for s in self._table.subjects if s.reference and [s.model, s.model_version] in models]

    @property
    def subjects(self) -> Sequence[Subject]:
        """The model versions seen."""
        return self._table.subjects
