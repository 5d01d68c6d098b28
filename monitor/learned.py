"""What streams learn of what is normal, until it is frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.bins import VALUE_SPANS, Arena
from monitor.counts import Counts
from monitor.domain import CountArray, IntArray, Kind
from monitor.fields import TOGETHER, is_of_outcomes
from monitor.freezing import frozen, learned_normal
from monitor.lineage import Lineage
from monitor.references import Reference, StreamReference
from monitor.rows import Rows, ValueRows
from monitor.scopes import Subject
from monitor.segments import has_late_volume
from monitor.sequential.learning import Learner
from monitor.sequential.normal import Normal

NO_ROW: Final = -1
STAGES_EVERY: Final = 16
"""Panes after which it is seen which streams have learned enough for the next stage."""
RAREST: Final = 0.1
"""Share of the values that are enough, which the rarest of those that are frozen together must have."""


class Learned:
    """The streams of all arenas, and what they learn. A part of streams.StreamTable."""

    _events_row: Callable[[Subject], int]
    preset_segments: Mapping[tuple[str, str], Sequence[str]]

    def __init__(self, pane_s: float) -> None:
        self.values = ValueRows()
        self.logs = Rows(Arena.LOGS)
        self.flags = Rows(Arena.FLAGS)
        self.arenas: tuple[Rows, ...] = (self.values, self.logs, self.flags)
        self.learners = tuple(Learner(arena, pane_s) for arena in Arena)
        self.normals: dict[tuple[Arena, int], Normal] = {}
        self.changed: set[int] = set()

    def freeze(
        self, subject: Subject, source: str, span_s: tuple[float, float], *, has_outcomes: bool = True
    ) -> Reference:
        """Make what was learned the reference, for good. From here on new categories are `unseen`.

        has_outcomes: streams that come of outcomes too; else they go on learning, since labels come later than events.
        """
        found = (
            self._frozen(arena, row)
            for arena, row in subject.rows
            if (has_outcomes or not is_of_outcomes(self.arenas[arena].keys[row].field))
            and not self._is_late(subject, arena, row)
        )
        streams = sorted((s for s in found if s is not None), key=lambda s: (s.field, s.segment))
        subject.reference = Reference(
            model=subject.model,
            model_version=subject.model_version,
            source=source,
            from_s=span_s[0],
            to_s=span_s[1],
            events=int(self.flags.reference[self._events_row(subject), 0]),
            streams=tuple(streams),
            lineage=Lineage("live"),
        )
        self.changed.add(subject.index)
        for learner in self.learners:
            learner.end()
        return subject.reference

    def freeze_outcomes(self, subject: Subject, rows_min: int) -> Reference | None:
        """Add what the streams of outcomes have learned to a model's reference; None where none has learned enough.

        rows_min: values of a stream that are enough. What was judged by the reference goes on: it holds the same.
        """
        if subject.reference is None:
            return None
        due = self._due_outcomes(subject, rows_min)
        found = [stream for stream in (self._frozen(arena, row) for arena, row in due) if stream is not None]
        if not found:
            return None
        streams = sorted((*subject.reference.streams, *found), key=lambda s: (s.field, s.segment))
        base = subject.reference.base or subject.reference.identity
        subject.reference = replace(subject.reference, streams=tuple(streams), base=base)
        self.changed.add(subject.index)
        for learner in self.learners:
            learner.end()
        return subject.reference

    def _due_outcomes(self, subject: Subject, rows_min: int) -> list[tuple[Arena, int]]:
        """Give the rows of outcomes that have learned enough; those of TOGETHER are due at once, or none of them is."""
        keys = {(arena, row): self.arenas[arena].keys[row] for arena, row in subject.rows}
        own = {(key.segment, key.field): at for at, key in keys.items() if is_of_outcomes(key.field)}
        learning = {name for name, (arena, row) in own.items() if self.arenas[arena].is_learning[row]}
        due = []
        for segment, field in sorted(learning):
            together = next((fields for fields in TOGETHER if field in fields), (field,))
            names = [(segment, each) for each in together]
            if any(name in own and name not in learning for name in names):
                names = [(segment, field)]  # the others were frozen without it
            held = [self._values(*own[name]) if name in own else 0 for name in names]
            if max(held) >= rows_min and min(held) >= RAREST * rows_min:
                due.append(own[segment, field])
        return due

    def _values(self, arena: Arena, row: int) -> int:
        """Give how many values a row has learned from."""
        return int(self.arenas[arena].reference[row, : VALUE_SPANS[arena]].sum())

    def _is_late(self, subject: Subject, arena: Arena, row: int) -> bool:
        return not self.preset_segments and has_late_volume(subject, self.arenas[arena].keys[row])

    def _frozen(self, arena: Arena, row: int) -> StreamReference | None:
        rows = self.arenas[arena]
        normal = learned_normal(rows, row, self.learners[arena])
        if normal is not None:
            self.normals[arena, row] = normal
        return frozen(self.values if arena is Arena.VALUES else rows, row, normal)

    def learn(self, arena: Arena, pane: int, end_s: float, counts: tuple[IntArray, CountArray]) -> None:
        """Add a closed pane to what is learned. counts: flat indices, ascending, and how many of each."""
        rows, (flat, held) = self.arenas[arena], counts
        learning = np.flatnonzero(rows.is_learning[: len(rows)])
        if not learning.size:
            return
        is_learned = rows.is_learning[flat // rows.width]
        if not is_learned.all():
            flat, held = flat[is_learned], held[is_learned]
        rows.reference.reshape(-1)[flat] += held
        self.learners[arena].observe(pane, end_s, flat, held)
        if pane % STAGES_EVERY == 0:
            if arena is Arena.FLAGS:
                learning = np.array(
                    [row for row in learning.tolist() if rows.kinds[row] is Kind.YES_NO], dtype=np.int64
                )
            self.learners[arena].begin(learning, rows.reference[learning], [rows.kinds[r] for r in learning.tolist()])

    def learn_late(self, arena: Arena, counts: Counts) -> None:
        """Add late events to what is learned: they count, but tell nothing of their order."""
        rows, (hits, values) = self.arenas[arena], counts.pairs()
        learning = rows.is_learning[hits // rows.width]
        rows.reference.reshape(-1)[hits[learning]] += values[learning]

    def learned_events(self, subject: Subject) -> int:
        """Give how many events the subject's reference rests on so far."""
        row = self._events_row(subject)
        return 0 if row == NO_ROW else int(self.flags.reference[row, 0])
