"""The half that judges, by itself: deltas of all source partitions in, for the models of one court.

    posts --receipts--> open panes --watermark--> ladders --judge--> transitions

Law: what comes out depends on the log of posts alone: its only clock is that of the senders, as they wrote it down. So
whoever reads the log again, from any state that was kept, comes to the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from monitor.bins import WRONG_TYPES, Arena
from monitor.counts import Counts
from monitor.court import Court, Step
from monitor.decode import Adapter
from monitor.deltas import Counters, Delta, Forwarded, Post
from monitor.domain import CountArray, IntArray, Kind, Rejection, TopicPartition
from monitor.fields import VOLUME
from monitor.kept import Section, State, under
from monitor.layouts import Layout, layout_of, mark_of
from monitor.pipeline_terms import PipelineTerms
from monitor.receipts import Receipts, Verdict
from monitor.references import Reference
from monitor.streams import NONE
from monitor.totals import counter_of, counter_state
from monitor.upkeep import CourtStatus
from monitor.users import Slice

NAME: Final = "deltas"
LAYOUTS: Final = "deltas/layouts"
LAYOUTS_MAX: Final = 8
"""Of each model version, that are held whole."""
OLDER_MAX: Final = 1_000
"""Of each model version, known by name beside them: what stands in an older one stands at the same place in these."""
AWAY_S: Final = 60.0
"""Of the senders' clocks: a partition that nobody has told of for so long is not waited for."""
HUSH_S: Final = 5.0
"""Of the senders' clocks: where nobody has told of anything for longer, brokers were away, or all folds."""


@dataclass(slots=True)
class Heard:
    """What was told of a source partition: when last, and how long it had been quiet then (None: it was not idle)."""

    wall_s: float
    quiet_s: float | None = None


class DeltaCourt(Court):
    """Judges what others count. Only one thread may call it."""

    finds_segments = False

    def __init__(
        self,
        terms: PipelineTerms,
        adapter: Adapter,
        references: Iterable[Reference] = (),
        away_s: float = AWAY_S,
    ) -> None:
        super().__init__(terms, references)
        self._adapter = adapter
        self._away_s = away_s
        self._receipts = Receipts()
        self.verdicts: Counter[str] = Counter()
        self._heard: dict[TopicPartition, Heard] = {}
        self._now_s = -np.inf
        self._absent: frozenset[TopicPartition] = frozenset()
        self._layouts: dict[tuple[str, str], list[Layout]] = {}
        self._rows: dict[str, tuple[int, IntArray]] = {}
        self._older: dict[tuple[str, str], dict[str, None]] = {}
        self._marks: dict[int, tuple[int, ...]] = {}
        self._touched: set[int] = set()

    @property
    def status(self) -> CourtStatus:
        """How it fares."""
        sent_wall_s = float(self._now_s) if np.isfinite(self._now_s) else None
        return CourtStatus(sent_wall_s, len(self._heard), len(self._absent))

    # ---- posts

    def take(self, post: Post) -> Step:
        """Take in what a fold has sent, unless it was before."""
        step = Step()
        self._come_to(post.wall_s)
        for topic, count in post.partitions.items():
            for number in range(count):
                self._heard.setdefault(TopicPartition(topic, number), Heard(self._now_s))
        for delta in post.deltas:
            self._take_delta(delta, post.wall_s, step)
        self._wait_for()
        self._go_on(step)
        self._touched.update(self._changed_by(step.references))
        return step

    def _take_delta(self, delta: Delta, wall_s: float, step: Step) -> None:
        receipt = self._receipts.take(delta.source, delta.epoch, delta.stretch)
        if receipt.verdict is not Verdict.EMPTY:
            self.verdicts[receipt.verdict] += 1
        if receipt.verdict is Verdict.STALE:
            return
        self._heard[delta.source] = Heard(wall_s, delta.quiet_s if delta.is_idle else None)
        if receipt.missing:
            self._missing.note_gaps([delta.source])
        if receipt.verdict is Verdict.TAKEN:
            if delta.panes:  # of whichever model: what follows a gap ends it, as in one process
                self._missing.resume(delta.source, (delta.panes[0] + 1) * self._terms.time.pane_s)
            step.annotations += delta.notes
            self._mark(delta.panes)
            self._count(delta)
            self._fold_forwarded(delta, [each for each in delta.forwarded if each.offset >= receipt.from_offset])
            self._join([each.value for each in delta.pairs if each.offset >= receipt.from_offset])
            if not delta.stretch.is_fine or np.isfinite(delta.latest_s):
                self._watermark.hear(delta.source, delta.latest_s)

    def _changed_by(self, references: Sequence[Reference]) -> Iterator[int]:
        frozen = {(reference.model, reference.model_version) for reference in references}
        for subject in self._table.subjects if frozen else ():
            if (subject.model, subject.model_version) in frozen:
                yield subject.index

    def _mark(self, panes: Sequence[int]) -> None:
        """Have panes closed in their turn in which others have events: then looks are those of one process."""
        for pane in panes:
            if pane >= (pane if self._cadence.next is None else self._cadence.next) and not self._is_lost(pane):
                self._open.mark(pane)

    # ---- counts

    def _count(self, delta: Delta) -> None:
        """Put the counts of a delta where they belong; those by a layout that nobody remembers are missing."""
        rows: list[IntArray] = []
        subjects: list[int] = []
        for counters in delta.subjects:
            subject, own = self._known(counters)
            rows.append(own)
            subjects.append(subject)
            if subject == NONE:
                self._totals.overflow["layouts_unknown"] += counters.events
                self._missing.note_gaps([delta.source])
                continue
            self._subjects.reserve(len(self._table.subjects))
            self._subjects.add(subject, counters.events, counters.first_s, counters.last_s)
            self._totals.counted[delta.source.topic, "inference"] += counters.events
            if counters.events:
                self._missing.resume(delta.source, counters.first_s)
        row_of = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        for pane, arena, flat, held in delta.counted:
            if self._is_lost(pane):
                self._note_lost(delta, arena, row_of[flat // self._table.arenas[arena].width], held)
            elif counts := self._counts(arena, (row_of, flat, held)):
                self._add_counts(arena, pane, counts)
        for each in delta.users:
            if subjects[each.subject] != NONE:
                self._users.merge(subjects[each.subject], Slice(*each[1:]))
        self._count_joined(delta, row_of, subjects)

    def _note_lost(self, delta: Delta, arena: Arena, rows: IntArray, held: CountArray) -> None:
        """Take note of events whose pane closed long ago."""
        if arena is Arena.FLAGS:
            keys = self._table.flags.keys
            is_volume = [r != NONE and keys[r].field == VOLUME and not keys[r].segment for r in rows.tolist()]
            self._totals.late[delta.source.topic] += int(held[is_volume].sum())

    def _counts(self, arena: Arena, counted: tuple[IntArray, IntArray, CountArray]) -> Counts | None:
        """Give the counts of one pane by rows; None if there are none. counted: rows by number, flat and counts."""
        (row_of, flat, held), rows = counted, self._table.arenas[arena]
        now, bins = row_of[flat // rows.width], flat % rows.width
        if now.size and now.min() == NONE:
            kept = np.flatnonzero(now != NONE)
            now, bins, held = now[kept], bins[kept], held[kept]
        wrong = now[bins == WRONG_TYPES[arena]]
        self._table.note_wrong_types(rows, wrong[_has_types(rows.kinds, wrong)])
        at = now * rows.width + bins
        order = np.argsort(at, kind="stable")
        return Counts(held[order], at[order].astype(np.uint32), rows.size) if at.size else None

    # ---- what was joined

    def _count_joined(self, delta: Delta, row_of: IntArray, subjects: Sequence[int]) -> None:
        """Put what folds have counted of inferences and outcomes where it belongs. subjects: those of the delta."""
        first = self._cadence.next
        for pane, arena, flat, held in delta.ripe:
            if counts := self._counts(arena, (row_of, flat, held)):
                self._joining.put(pane, arena, counts, first)
        for kind, result, count in delta.results:
            self._joining.joiner.counts[kind, result] += count
        for number, segment, field, time_s, count in delta.cohorts:
            at = subjects[number]
            scope = None if at == NONE else self._table.subjects[at].scopes.get(segment)
            if scope is not None:
                self._joining.put_cohort(scope, field, time_s, count)

    def _join(self, pairs: Sequence[bytes]) -> None:
        """Count pairs that come as they were found."""
        for model, version in self._joining.hear(pairs, self._cadence.next):
            (scope,) = self._table.scopes_of([model], [version]).tolist()
            if scope != NONE:
                self._touched.add(int(self._table.subject_of[scope]))

    def _is_lost(self, pane: int) -> bool:
        time = self._terms.time
        return (pane + 1) * time.pane_s <= self._watermark.value_s - time.grace_s

    def _known(self, counters: Counters) -> tuple[int, IntArray]:
        """Give subject and rows by the layout that counts were made by; NONE and none where it is not known."""
        found = self._rows.get(counters.layout)
        if found is not None:
            return found
        name = (counters.model, counters.model_version)
        if counters.layout in self._older.get(name, ()):
            subject, rows = self._rows[self._layouts[name][0].identity]
            if counters.streams <= len(rows):
                return subject, rows[: counters.streams]
        return NONE, np.full(counters.streams, NONE, dtype=np.int64)

    # ---- what comes as it was read

    def _fold_forwarded(self, delta: Delta, forwarded: Sequence[Forwarded]) -> None:
        if not forwarded:
            return
        columns = self._adapter.decode([each.value for each in forwarded])
        chosen = [forwarded[i] for i in columns.messages]
        columns.times_s = np.array([each.time_s for each in chosen])
        scopes = self._table.scopes_of(columns.models, columns.versions) if len(columns) else np.zeros(0, np.int64)
        self._subjects.reserve(len(self._table.subjects))
        panes = np.floor(columns.times_s / self._terms.time.pane_s).astype(np.int64)
        is_lost, is_refused = np.array(list(map(self._is_lost, panes.tolist())), dtype=bool), scopes == NONE
        topic = delta.source.topic
        self._totals.late[topic] += int((is_lost & ~is_refused).sum())
        self._totals.rejected[topic, str(Rejection.TOO_MANY_MODELS)] += int(is_refused.sum())
        kept = np.flatnonzero(~is_lost & ~is_refused)
        if not kept.size:
            return
        columns, scopes, panes = columns.at(kept), scopes[kept], panes[kept]
        self._totals.counted[topic, "inference"] += len(columns)
        self._missing.resume(delta.source, float(columns.times_s[0]))
        subjects = self._table.subject_of[scopes]
        self._subjects.touch(subjects, columns.times_s)
        self._fold(columns, scopes, panes)
        if columns.user_ids:
            self._users.add(columns.user_ids, subjects, columns.times_s)
        self._joining.ask(columns, scopes)
        self._touched.update(np.unique(subjects).tolist())

    # ---- time

    def _come_to(self, wall_s: float) -> None:
        """Take in the clock of a sender. A hush counts against no partition: nobody could have told of it."""
        hush_s = wall_s - self._now_s
        if HUSH_S < hush_s < np.inf:
            for heard in self._heard.values():
                heard.wall_s += hush_s
        self._now_s = max(self._now_s, wall_s)

    def _wait_for(self) -> None:
        """Say for which partitions event time waits: all but those that nobody has told of for long."""
        absent = frozenset(p for p, heard in self._heard.items() if self._now_s - heard.wall_s >= self._away_s)
        if len(absent) == len(self._heard):
            absent = frozenset()  # where nobody tells anything, there is nothing to go on with
        self._absent = absent
        self._missing.is_absent = bool(absent)
        self._watermark.assign(sorted(self._heard.keys() - absent))

    def _go_on(self, step: Step) -> None:
        """Let event time go on, also where nothing comes: by as long as the quietest have been quiet by now."""
        waited = [heard for source, heard in self._heard.items() if source not in self._absent]
        idle = [source for source, heard in self._heard.items() if heard.quiet_s is not None]
        quiet_s = [heard.quiet_s + self._now_s - heard.wall_s for heard in waited if heard.quiet_s is not None]
        is_all = bool(waited) and len(quiet_s) == len(waited)
        found = self.idle(idle, max(0.0, min(quiet_s)) if is_all else 0.0, self._now_s)
        step.transitions += found.transitions
        step.references += found.references

    # ---- layouts

    def layouts(self) -> list[Layout]:
        """Give the layouts that are new since this was asked last: they are to be told to those who count."""
        made: list[Layout] = []
        for index in sorted(self._touched):
            subject = self._table.subjects[index]
            mark = mark_of(self._table, subject)
            if self._marks.get(index) != mark:
                self._marks[index] = mark
                layout = layout_of(self._table, subject)
                self._remember(index, layout)
                made.append(layout)
        self._touched.clear()
        return made

    def known_layouts(self) -> list[Layout]:
        """Give the newest layout of each model version that has one."""
        return [held[-1] for held in self._layouts.values()]

    def _remember(self, index: int, layout: Layout) -> None:
        subject = self._table.subjects[index]
        held = self._layouts.setdefault((layout.model, layout.model_version), [])
        if held and held[-1].identity == layout.identity:
            return
        held.append(layout)
        rows = np.array([row for _, row in subject.rows[: len(layout.streams)]], dtype=np.int64)
        self._rows[layout.identity] = (index, rows)
        while len(held) > LAYOUTS_MAX:
            self._forget_first(held)

    def _forget_first(self, held: list[Layout]) -> None:
        """Hold the oldest layout of a model version no longer; know it by name, as far as the next goes on from it."""
        old, older = held.pop(0), self._older.setdefault((held[0].model, held[0].model_version), {})
        self._rows.pop(old.identity, None)
        if held[0].continues(old):
            older[old.identity] = None
        else:
            older.clear()
        if len(older) > OLDER_MAX:
            del older[next(iter(older))]

    # ---- what is kept

    def sections(self) -> Iterator[Section]:
        """Give all that is known, piece by piece; to be made before the next post is taken in."""
        yield from super().sections()
        yield Section(NAME, None, self._own_state)
        for number, (name, held) in enumerate(self._layouts.items()):
            make = partial(_layouts_state, held, self._older.get(name, {}))
            yield Section(f"{LAYOUTS}/{number}", held[-1].identity, make)

    def _own_state(self) -> State:
        heard = [[*source, each.wall_s, each.quiet_s] for source, each in self._heard.items()]
        verdicts = counter_state(self.verdicts)
        return {"receipts": self._receipts.state(), "heard": heard, "now_s": self._now_s, "verdicts": verdicts}

    def restore(self, states: Mapping[str, State]) -> None:
        """Go on where `sections` left it. Raises StateError where it can't be read."""
        super().restore(states)
        own = states.get(NAME, {})
        self._receipts.restore(own.get("receipts", {}))
        self._now_s = float(own.get("now_s", -np.inf))
        self.verdicts = counter_of(own.get("verdicts", ()))
        self._heard = {TopicPartition(t, n): Heard(at, quiet) for t, n, at, quiet in own.get("heard", ())}
        by_name = {(subject.model, subject.model_version): subject.index for subject in self._table.subjects}
        for _, state in under(f"{LAYOUTS}/", states):
            layouts = [Layout.of_state(each) for each in state["layouts"]]
            for each in layouts:
                self._bring_back(each, by_name)
            self._older[layouts[0].model, layouts[0].model_version] = dict.fromkeys(state.get("older", ()))
        self._touched.update(by_name.values())

    def _bring_back(self, layout: Layout, by_name: Mapping[tuple[str, str], int]) -> None:
        """Know a layout of an earlier process: its streams by name, since rows may lie elsewhere; others are left."""
        index = by_name.get((layout.model, layout.model_version))
        if index is None:
            return
        subject = self._table.subjects[index]
        today = layout_of(self._table, subject)
        places = {(laid.segment, laid.field): number for number, laid in enumerate(today.streams)}
        rows = np.full(len(layout.streams), NONE, dtype=np.int64)
        for number, laid in enumerate(layout.streams):
            at = places.get((laid.segment, laid.field))
            if at is not None and Layout("", "", (today.streams[at],)).continues(Layout("", "", (laid,))):
                rows[number] = subject.rows[at][1]
        self._layouts.setdefault((layout.model, layout.model_version), []).append(layout)
        self._rows[layout.identity] = (index, rows)


def _layouts_state(held: Sequence[Layout], older: Mapping[str, None]) -> State:
    return {"layouts": [each.state() for each in held], "older": list(older)}


def _has_types(kinds: Sequence[Kind], rows: IntArray) -> IntArray:
    return np.array([kinds[row] is not Kind.VOLUME for row in rows.tolist()], dtype=bool)
