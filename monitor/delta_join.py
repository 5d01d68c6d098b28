"""The join of one who counts for others: within each source partition, by what stands in it alone.

What an inference and its outcome say together is part of what the later of the two messages adds. So it is counted with
that message, by the same rules, and whoever reads the partition from far enough back comes to the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np

from monitor.closed_table import ClosedTable
from monitor.decode import Columns, Outcomes
from monitor.deltas import Cohort, Paired, court_of
from monitor.domain import IntArray, TopicPartition
from monitor.fold import Folder, Part
from monitor.hits import Hits
from monitor.join.cohorts import Cohorts
from monitor.join.joined import Row, columns_of
from monitor.join.joiner import Joiner
from monitor.join.pending import Pending
from monitor.join.reach import Reach
from monitor.join.records import encode
from monitor.join.terms import JoinTerms, Task
from monitor.joining import label_kind, ripening_panes
from monitor.numbered import Numbered
from monitor.panes import OpenPanes, Waiting
from monitor.pipeline_terms import PipelineTerms
from monitor.quality import JoinStatus
from monitor.streams import NONE

LOOKS_MAX: Final = 64
"""How often it is looked in a batch whether another partition has the inference of an outcome: 50 microseconds each."""

TOLD_BY_COURTS: Final = frozenset({"joined", "late"})
"""What becomes of outcomes, as courts tell it."""
ELSEWHERE: Final = "elsewhere"
"""Of outcomes that wait: their inference was found in another partition."""


@dataclass(slots=True)
class SourceJoin:
    """What waits in one partition, and what was joined in it and is not cut out yet.

    cohorts: by scope, field and cohort. pairs, results: by court. scopes: all that anything was counted in.
    """

    joiner: Joiner
    reach: Reach
    spans: Cohorts
    kept: tuple[Pending, Pending]
    latest_s: float = -np.inf
    ripe: OpenPanes = field(default_factory=OpenPanes)
    cohorts: Counter[tuple[int, str, int]] = field(default_factory=Counter)
    pairs: list[tuple[int, Paired]] = field(default_factory=list)
    results: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    scopes: set[int] = field(default_factory=set)

    @property
    def nbytes(self) -> int:
        """Bytes of pairs."""
        return sum(len(each.value) for _, each in self.pairs)

    def take_pairs(self, before: int) -> list[tuple[int, Paired]]:
        """Give the pairs that were whole before an offset, each with its court, and forget them."""
        inside = [each for each in self.pairs if each[1].offset < before]
        self.pairs = [each for each in self.pairs if each[1].offset >= before]
        return inside

    def cut(self, table: ClosedTable, numbered: Numbered) -> dict[int, dict[str, Any]]:
        """Give what was counted, and forget it: parts of the delta of each court."""
        out: dict[int, dict[str, Any]] = {}
        for court, counted in numbered.counted(self._take_ripe()).items():
            out.setdefault(court, {})["ripe"] = counted
        for (index, name, cohort), count in sorted(self.cohorts.items()):
            scope = table.scopes[index]
            subject = scope.subject.index
            found = Cohort(numbered.places[subject], scope.segment, name, self.spans.time_of(cohort), count)
            out.setdefault(numbered.courts[subject], {}).setdefault("cohorts", []).append(found)
        for (court, kind, result), count in sorted(self.results.items()):
            out.setdefault(court, {}).setdefault("results", []).append((kind, result, count))
        self.cohorts.clear()
        self.results.clear()
        self.scopes.clear()
        return out

    def _take_ripe(self) -> Iterator[tuple[int, Sequence[Waiting]]]:
        while (pane := self.ripe.first) is not None:
            yield pane, self.ripe.take(pane)


class DeltaJoin:
    """Joins, and counts what comes of it by the layouts there are. Called by DeltaFold, with the join on."""

    def __init__(self, terms: PipelineTerms, table: ClosedTable, folder: Folder, courts: int) -> None:
        self._terms = terms
        self._table = table
        self._folder = folder
        self._courts = courts
        self._cohorts = Cohorts(terms.join.horizon_s, terms.time.pane_s)
        self._results: Counter[tuple[str, str]] = Counter()
        self._gone: Counter[str] = Counter()
        self._held: list[SourceJoin] = []
        self.looks_left = 0
        self._whole = terms.backing_of("whole")  # the first part of a file tells all of its bytes

    @property
    def terms(self) -> JoinTerms:
        """How it is joined."""
        return self._terms.join

    def replan(self, terms: PipelineTerms) -> None:
        """Go by other plans."""
        self._terms = replace(self._terms, plan_of=terms.plan_of)

    def begin(self, source: TopicPartition, start: int) -> SourceJoin:
        """Give the join of a partition that is read from an offset on."""
        name = f"{source.topic}-{source.partition}"
        kept = Pending(self._terms.backing_of(f"{name}/asked")), Pending(self._terms.backing_of(f"{name}/told"))
        reach = Reach(start)
        kind_of = partial(label_kind, self._table)
        joiner = Joiner(self.terms, self._task_of, kept, self._terms.seed, kind_of, reach)
        self._held.append(SourceJoin(joiner, reach, self._cohorts, kept))
        return self._held[-1]

    def _task_of(self, model: str, version: str) -> Task:
        return self._terms.plan_of(model, version).watch.task

    # ---- what there is to see

    def end(self, held: SourceJoin) -> None:
        """Keep the totals of a partition that was given up; what waits in it is somebody else's by now."""
        self._held = [each for each in self._held if each is not held]
        for each in held.kept:
            each.clear()
        status = held.joiner.status()
        self._results.update(
            {each: n for each, n in status.outcomes.items() if each[1] not in {*TOLD_BY_COURTS, "waiting"}}
        )
        self._gone.update(expired=status.expired, forgotten=status.forgotten)

    def status(self) -> JoinStatus:
        """Give what there is to see of all partitions together; those that were joined the courts tell."""
        each = [held.joiner.status() for held in self._held]
        results = self._results.copy()
        for status in each:
            results.update({key: count for key, count in status.outcomes.items() if key[1] not in TOLD_BY_COURTS})
        return JoinStatus(
            is_on=True,
            outcomes=results,
            pending=sum(status.pending for status in each),
            waiting=sum(status.waiting for status in each),
            expired=self._gone["expired"] + sum(status.expired for status in each),
            forgotten=self._gone["forgotten"] + sum(status.forgotten for status in each),
            nbytes=self._whole.nbytes + sum(status.nbytes for status in each),
        )

    # ---- messages

    def take(
        self, held: SourceJoin, columns: Columns, outcomes: Outcomes, offsets: IntArray
    ) -> tuple[IntArray, list[Row]]:
        """Join inferences and outcomes of one partition; give the places of inferences that are joined, and the rows.

        offsets: of the messages of the batch.
        """
        messages = [*columns.messages, *outcomes.messages]
        if not messages:
            return np.zeros(0, dtype=np.int64), []
        own = offsets[np.array(messages, dtype=np.int64)]
        held.reach.offset = int(own.min())
        sampled = held.joiner.sampled(columns) if len(columns) else []
        rows = held.joiner.take(columns, sampled, outcomes)
        held.latest_s = max(held.latest_s, float(columns.times_s.max(initial=-np.inf)), *outcomes.times_s)
        held.joiner.expire(held.latest_s - self._terms.time.grace_s)
        held.reach.passed(int(own.max()) + 1)
        held.joiner.saved()  # nothing is kept but by the messages themselves
        held.joiner.drain()
        return np.array([at for at, _ in sampled], dtype=np.int64), rows

    def ask(self, held: SourceJoin, columns: Columns, scopes: IntArray, at: IntArray) -> None:
        """Take in that there were inferences, counted by layouts, of which something may be told. at: their places."""
        if not at.size:
            return
        self._note(held, "", scopes[at], columns.times_s[at])
        if self._table.segment_names:
            part = Part((), {}, scopes[at], at, at)
            for chosen, inner in self._folder.segments(part, [columns.segments[i] for i in at.tolist()]):
                self._note(held, "", inner, columns.times_s[at][chosen])

    def _note(self, held: SourceJoin, name: str, scopes: IntArray, times_s: Iterable[float]) -> None:
        held.scopes.update(scopes.tolist())
        for scope, time_s in zip(scopes.tolist(), times_s, strict=True):
            held.cohorts[scope, name, self._cohorts.of(time_s)] += 1

    # ---- rows

    def count(self, held: SourceJoin, joined: Sequence[Row], offsets: IntArray, fine_until: int) -> None:
        """Count rows where layouts tell how, and put the others by, to be sent as they are."""
        self._look_for(held)
        if not joined:
            return
        rows = columns_of(joined)
        at = offsets[np.array(rows.messages, dtype=np.int64)]
        scopes = self._table.scopes_of(rows.models, rows.versions)
        is_sent = (scopes == NONE) | (at < fine_until) | np.array([row.is_guess for row in joined], dtype=bool)
        chosen = np.flatnonzero(~is_sent)
        panes = np.zeros(len(joined), dtype=np.int64)
        if chosen.size:
            subjects, pane_s = self._table.subject_of[scopes[chosen]], self._terms.time.pane_s
            panes[chosen] = ripening_panes(rows.times_s[chosen], pane_s, subjects, self._maturity_of, None)

        def fold(places: IntArray) -> list[Hits]:
            some = rows.at(places)
            part = Part((), some.fields, scopes[places], panes[places], np.arange(len(places)))
            return list(self._folder.fold_outcomes(part, some.segments))

        found, strange = self._table.apart(chosen, fold)
        is_sent[strange] = True
        for places, hits in found:
            for hit in hits:
                held.ripe.add(hit.arena, hit.flat, panes[places][hit.events])
        for i, row in enumerate(joined):
            if is_sent[i]:
                self._send(held, row, int(at[i]))
            else:
                self._note_row(held, row, int(scopes[i]))

    def _look_for(self, held: SourceJoin) -> None:
        """See whether inferences of outcomes that have none are in other partitions, where they can't be joined."""
        others = [each.joiner for each in self._held if each is not held]
        for kind, each in held.joiner.waited if others else ():
            if self.looks_left <= 0:
                break
            self.looks_left -= len(others)
            self._results[kind, ELSEWHERE] += any(other.knows(each) for other in others)
        held.joiner.waited.clear()

    @property
    def elsewhere(self) -> int:
        """Outcomes seen so far whose inference is in another partition; there may be far more."""
        return sum(count for (_, result), count in self._results.items() if result == ELSEWHERE)

    def _maturity_of(self, subject: int) -> float:
        task = self._table.subjects[subject].watch.task
        return self.terms.maturity_s if task.maturity_s is None else task.maturity_s

    def _send(self, held: SourceJoin, row: Row, offset: int) -> None:
        before = msgspec.structs.replace(row.asked, marks=row.marks)
        held.pairs.append((court_of(row.asked.model, self._courts), Paired(offset, encode((before, row.told)))))

    def _note_row(self, held: SourceJoin, row: Row, scope: int) -> None:
        """Take note of an outcome that was counted, and of what its inference is by it."""
        asked = row.asked
        held.scopes.add(scope)
        held.results[court_of(asked.model, self._courts), row.told.kind, row.result] += 1
        if row.marked:
            scopes = [scope, *self._segments(scope, asked.segments)]
            self._note(held, row.marked, np.array(scopes, dtype=np.int64), [asked.time_s] * len(scopes))

    def _segments(self, scope: int, given: Mapping[str, Any] | None) -> list[int]:
        if not given or not self._table.segment_names:
            return []
        subject = self._table.scopes[scope].subject
        return [
            self._table.segment_of(subject, name, given[name]).index
            for name in subject.watch.segments
            if given.get(name) is not None
        ]
