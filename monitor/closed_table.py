"""The table of streams of one who counts for others: made of layouts, and never grown by what is found in events.

What an event brings that no layout has yet is strange: the event goes to the court as it came, which makes a stream of
it and tells all by a layout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from monitor.bins import CATEGORIES_MAX, OTHER
from monitor.categories import CATEGORY_CHARS_MAX, Categories
from monitor.domain import FloatArray, IntArray, Kind
from monitor.fields import IGNORE, Watch
from monitor.layouts import Laid, Layout
from monitor.probes import Probes
from monitor.scopes import Scope, StreamLimits, Subject
from monitor.segments import segment_text
from monitor.streams import NONE, StreamTable

T = TypeVar("T")


class ClosedTable(StreamTable):
    """Streams by layouts. is_strange: something was met that no layout has, since it was last set to False."""

    def __init__(self, limits: StreamLimits, watch_of: Callable[[str, str], Watch]) -> None:
        super().__init__(limits, watch_of)
        self.is_strange = False
        self._laid: dict[int, Layout] = {}
        self._at: tuple[list[int], ...] = tuple([] for _ in self.arenas)

    def layout(self, subject: int) -> Layout:
        """Give the layout that a model version is counted by."""
        return self._laid[subject]

    def places(self) -> list[IntArray]:
        """Give the place in its layout of each row, by arena."""
        return [np.array(places, dtype=np.int64) for places in self._at]

    def apply(self, layout: Layout) -> None:
        """Count by this layout from here on; one that does not go on from the last begins the model version anew."""
        index = self._main.get(layout.model_version, {}).get(layout.model)
        subject = None if index is None else self.scopes[index].subject
        if subject is None or not layout.continues(self._laid[subject.index]):
            subject = self.add_subject(layout.model, layout.model_version, None)
        self._laid[subject.index] = layout
        for number, laid in enumerate(layout.streams):
            self._apply_stream(subject, number, laid)
        for segment, name in layout.left_out:
            self._scope(subject, segment).features.setdefault(name, None)
        for scope in subject.scopes.values():
            scope.layouts.clear()
            self.forget_lanes(scope)

    def _scope(self, subject: Subject, segment: str) -> Scope:
        return subject.scopes.get(segment) or self.add_scope(subject, segment)

    def _apply_stream(self, subject: Subject, number: int, laid: Laid) -> None:
        if number == len(subject.rows):
            scope = self._scope(subject, laid.segment)
            row = self.add_stream(scope, laid.field, laid.kind)
            arena = subject.rows[number][0]
            self._at[arena].append(number)
            self.arenas[arena].exponents[row] = laid.exponent
            if laid.kind is Kind.CATEGORICAL:
                as_names = self.values.categories[row].numbers_are_names
                self.values.categories[row] = KnownCategories(self, numbers_are_names=as_names)
            self.place(scope, laid.field, laid.kind, row)
        _, row = subject.rows[number]
        if laid.grid is not None and not self.values.has_grid[row]:
            self.values.set_grids({row: laid.grid})
        if laid.kind is Kind.CATEGORICAL:
            held = self.values.categories[row]
            assert isinstance(held, KnownCategories)
            held.learn(laid)

    # ---- what is strange

    def apart(self, chosen: IntArray, count: Callable[[IntArray], T]) -> tuple[list[tuple[IntArray, T]], IntArray]:
        """Count events, and give those that are strange, which are found by halving what holds any.

        count: counts those at some places. Gives places and what came of them, and the places of strange ones.
        """
        found: list[tuple[IntArray, T]] = []
        strange: list[int] = []
        left = [chosen] if chosen.size else []
        while left:
            at, self.is_strange = left.pop(), False
            counted = count(at)
            if not self.is_strange:
                found.append((at, counted))
            elif len(at) == 1:
                strange.append(int(at[0]))
            else:
                left += [at[len(at) // 2 :], at[: len(at) // 2]]
        return found, np.array(strange, dtype=np.int64)

    def _main_of(self, model: str, version: str) -> int:
        return self._main.get(version, {}).get(model, NONE)

    def is_full(self, subject: Subject) -> bool:
        """Tell whether the court makes no more streams of a model version."""
        return self._laid[subject.index].is_full

    def segment_of(self, subject: Subject, name: str, value: object) -> Scope:
        """Give the scope of one segment; one that is not known is strange."""
        found = subject.scopes.get(segment_text(name, value))
        if found is None:
            count = sum(1 for key in subject.scopes if key.startswith(f"{name}="))
            if count >= self._limits.segment_values_max:
                found = subject.scopes.get(f"{name}=(other)")
        self.is_strange |= found is None
        return found or subject.scopes[""]

    def _add_stream(self, scope: Scope, name: str, kind: Kind) -> int:  # noqa: ARG002 - none is made of them
        self.is_strange |= not self.is_full(scope.subject)
        return NONE

    def _decide(self, scope: Scope, name: str, value: object) -> bool:
        if name in scope.features:
            return True
        if scope.subject.watch.configured(name) == IGNORE:
            scope.features[name] = None
            return True
        self.is_strange |= value is not None
        return False


class KnownCategories(Categories):
    """Categories of a layout: a name that it lacks is strange while the court takes in new ones."""

    __slots__ = ("_table",)

    def __init__(self, table: ClosedTable, *, numbers_are_names: bool) -> None:
        super().__init__(numbers_are_names=numbers_are_names)
        self._table = table

    def learn(self, laid: Laid) -> None:
        """Take in what a newer layout has more."""
        for name in laid.categories[len(self.names) :]:
            self[name] = len(self.names)
            self.names.append(name)
        self.is_open, self.is_complete = laid.is_open, laid.is_complete

    def _admit(self, name: str) -> int:
        is_beyond = len(self.names) >= CATEGORIES_MAX or len(name) > CATEGORY_CHARS_MAX
        if not is_beyond or self.is_complete:  # the first that is beyond is told, too: it changes what the others mean
            self._table.is_strange = True
        return OTHER


class StrangeProbes(Probes):
    """Values of streams whose grid is not placed yet: the court places it, by the first values that it is given."""

    def __init__(self, table: ClosedTable) -> None:
        super().__init__()
        self._table = table

    def add(self, rows: IntArray, values: FloatArray, panes: IntArray) -> None:  # noqa: ARG002 - they go to the court
        """Set nothing aside."""
        self._table.is_strange = True
