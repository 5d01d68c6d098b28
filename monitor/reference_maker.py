"""When models have learned enough, what they learned becomes their reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from monitor.bins import Arena
from monitor.counts import Counts
from monitor.domain import IntArray
from monitor.fold import Folder
from monitor.hits import Hits
from monitor.pipeline_terms import LearnTerms
from monitor.references import Reference
from monitor.scopes import Subject
from monitor.streams import StreamTable
from monitor.totals import SubjectTimes

FREEZES_MAX: Final = 20
"""References frozen after one look: a model of 25 features takes about 10 ms."""


class ReferenceMaker:
    """Freezes references. add_placed: takes values that waited for their grid, with their panes. In the loop thread."""

    def __init__(
        self,
        table: StreamTable,
        folder: Folder,
        times: SubjectTimes,
        learn: LearnTerms,
        add_placed: Callable[[Hits, IntArray], None],
    ) -> None:
        self._table = table
        self._folder = folder
        self._times = times
        self._learn = learn
        self._add_placed = add_placed

    def freeze_due(self, end_s: float) -> list[Reference]:
        """Freeze the references of models that learned enough, a few at a look: a thousand would stall the loop."""
        learn = self._learn
        due: list[Subject] = []
        for subject in self._table.subjects:
            if subject.is_ready or len(due) >= FREEZES_MAX:
                continue
            events = self._table.learned_events(subject)
            since_s = end_s - self._times.first_s[subject.index]
            if events >= learn.events or (since_s >= learn.seconds and events >= learn.events_min):
                due.append(subject)
        return self._freeze(due, "learned from live traffic", end_s)

    def freeze_all(self, source: str) -> list[Reference]:
        """Make what every model has learned its reference, in order of first sight."""
        return self._freeze((s for s in self._table.subjects if not s.is_ready), source, None)

    def _freeze(self, chosen: Iterable[Subject], source: str, end_s: float | None) -> list[Reference]:
        """Make what models have learned their references.

        end_s: where learning ended (None: at the last event of each).
        """
        subjects: Sequence[Subject] = list(chosen)
        rows = [row for subject in subjects for arena, row in subject.rows if arena is Arena.VALUES]
        placed = self._folder.place_grids(np.array(rows, dtype=np.int64)) if rows else None
        if placed is not None:
            self._table.learn_late(Arena.VALUES, Counts.of_hits([placed[0].flat], self._table.values.size))
            self._add_placed(*placed)
        times = self._times
        spans_s = [(float(times.first_s[s.index]), float(end_s or times.last_s[s.index])) for s in subjects]
        each = zip(subjects, spans_s, strict=True)
        return [self._table.freeze(s, source, span_s, has_outcomes=end_s is None) for s, span_s in each]
