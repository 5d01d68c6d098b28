"""The whole of what driftd computes, with no clock and no I/O: messages in, transitions and references out.

    bytes --decode--> columns --fold--> open panes --watermark--> ladders --judge--> transitions

Law: what comes out depends on the messages and their order of arrival alone, not on how they were cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from monitor.court import NEVER_S, Court, Step
from monitor.decode import Adapter, Columns, Outcomes
from monitor.domain import Batch, FloatArray, IntArray, Rejection, TopicPartition
from monitor.pipeline_terms import PipelineTerms
from monitor.references import Reference
from monitor.streams import NONE


class Pipeline(Court):
    """Counts messages, and judges. Only one thread may call it."""

    def __init__(self, terms: PipelineTerms, adapter: Adapter, references: Iterable[Reference] = ()) -> None:
        super().__init__(terms, references)
        self._adapter = adapter

    def step(self, batch: Batch, now_s: float) -> Step:
        """Take in a batch of messages. now_s: wall clock, by which times in the future are clamped (inf: never)."""
        self._joining.joiner.drain()
        columns = self._adapter.decode(batch.values)
        outcomes = columns.outcomes.until(now_s + self._terms.time.future_s).ordered()
        step = Step(rejected=list(columns.rejected), annotations=[note for _, note in columns.annotations])
        topics = [source.topic for source in batch.sources]
        partitions = np.asarray(batch.partitions, dtype=np.int64)
        self._totals.take(partitions, columns, topics)
        heard = [batch.sources[i] for i in np.unique(partitions).tolist()]
        if not len(columns):
            self._watermark.set_timeless(heard)
            self._hear(outcomes, step)
            return step
        if not isinstance(columns.messages, range):  # a range: one event per message, none rejected
            partitions = partitions[np.array(columns.messages, dtype=np.int64)]
        scopes = self._table.scopes_of(columns.models, columns.versions)
        self._subjects.reserve(len(self._table.subjects))
        counted = self._accept(columns, scopes, partitions, topics)
        if counted is not None:
            columns, scopes, partitions = columns.at(counted), scopes[counted], partitions[counted]
        if len(columns):
            outcomes = self._take(columns, scopes, partitions, (batch.sources, now_s), outcomes, step)
        self._watermark.set_timeless(heard)  # not sooner: until its first event in here a partition holds time back
        self._close(step)
        self._hear(outcomes, step)
        return step

    def _hear(self, outcomes: Outcomes, step: Step) -> None:
        """Take in outcomes after which no inference comes in this batch: of what is open once time has gone on."""
        if len(outcomes):
            self._close(step)
            self._joining.take(Columns(), np.empty(0, dtype=np.int64), outcomes, self._cadence.next)

    def _accept(
        self, columns: Columns, scopes: IntArray, partitions: IntArray, topics: Sequence[str]
    ) -> IntArray | None:
        """Give the events to go on with, None for all: not seen before, and of a model within the limit."""
        seen = self._duplicates.seen(columns.event_ids)
        is_refused = scopes == NONE
        if seen is None and not is_refused.any():
            return None
        is_duplicate = np.zeros(len(columns), dtype=bool) if seen is None else seen
        for at in partitions[is_duplicate].tolist():
            self._totals.duplicate[topics[at]] += 1
        for at in partitions[is_refused & ~is_duplicate].tolist():
            self._totals.rejected[topics[at], str(Rejection.TOO_MANY_MODELS)] += 1
        return np.flatnonzero(~(is_duplicate | is_refused))

    def _take(
        self,
        columns: Columns,
        scopes: IntArray,
        partitions: IntArray,
        arrival: tuple[Sequence[TopicPartition], float],
        outcomes: Outcomes,
        step: Step,
    ) -> Outcomes:
        """Fold the events that are in time, or late within the grace. arrival: the partitions, and the wall clock.

        Events between which no pane closes are folded together; panes close between them, wherever batches were cut.
        Gives the outcomes that came after the last of them.
        """
        sources, now_s = arrival
        time, topics = self._terms.time, [source.topic for source in sources]
        times_s = self._clamped(columns.times_s, partitions, topics, now_s)
        self._missing.follow(sources, partitions, times_s)
        before_s = self._watermark.follow(sources, partitions, times_s)
        panes = np.floor(times_s / time.pane_s).astype(np.int64)
        is_lost = (panes + 1) * time.pane_s <= before_s - time.grace_s
        if is_lost.any():
            for at in partitions[is_lost].tolist():
                self._totals.late[topics[at]] += 1
            kept = np.flatnonzero(~is_lost)
            columns, scopes, partitions = columns.at(kept), scopes[kept], partitions[kept]
            panes, before_s, times_s = panes[kept], before_s[kept], times_s[kept]
        for at, count in enumerate(np.bincount(partitions, minlength=len(topics)).tolist()):
            if count:
                self._totals.counted[topics[at], "inference"] += count
        closed = np.floor(np.maximum(before_s, NEVER_S) / time.pane_s)
        starts = [0, *(np.flatnonzero(np.diff(closed)) + 1).tolist(), len(closed)]
        for start, stop in pairwise(starts):
            if start == stop:
                continue
            self._close_until(float(closed[start]), step)
            part, run = slice(start, stop), columns.cut(slice(start, stop))
            self._subjects.touch(self._table.subject_of[scopes[part]], times_s[part])
            self._fold(run, scopes[part], panes[part])
            if run.user_ids:
                self._users.add(run.user_ids, self._table.subject_of[scopes[part]], times_s[part])
            heard = outcomes.before(columns.messages[stop - 1])
            self._joining.take(run, scopes[part], outcomes.cut(slice(0, heard)), self._cadence.next)
            outcomes = outcomes.cut(slice(heard, len(outcomes)))
        return outcomes

    def _clamped(self, times_s: FloatArray, partitions: IntArray, topics: Sequence[str], now_s: float) -> FloatArray:
        latest_s = now_s + self._terms.time.future_s
        ahead = times_s > latest_s
        if ahead.any():
            for at in partitions[ahead].tolist():
                self._totals.clamped[topics[at]] += 1
            return np.minimum(times_s, latest_s)
        return times_s
