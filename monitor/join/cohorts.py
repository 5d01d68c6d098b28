"""What an inference is unless somebody says otherwise in time: not overridden, not escalated, without a label.

Nobody sends an event that says that nothing happened. So inferences are counted by the time at which they were made,
and what came of them too; when a cohort is old enough, what came is yes, and the rest is no. No inference is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np

from monitor.domain import FloatArray, IntArray
from monitor.kept import State

COHORTS: Final = 60
"""Cohorts that are open at once: how late the youngest inference of a cohort counts, as a share of the horizon."""


class Known(NamedTuple):
    """A cohort that is old enough, in one scope: of so many, so many were marked with the field and so many not."""

    field: str
    scope: int
    yes: int
    no: int


class Cohorts:
    """Counts by cohort, scope and field. Memory: 60 numbers for each scope and field.

    horizon_s: how old a cohort's inferences are at least when it counts. pane_s: a cohort is no shorter.
    """

    def __init__(self, horizon_s: float, pane_s: float = 1.0) -> None:
        self._horizon_s = horizon_s
        self._span_s = max(pane_s, horizon_s / COHORTS)
        self._asked: dict[int, Counter[int]] = {}
        self._marked: dict[int, Counter[tuple[str, int]]] = {}
        self._fields: dict[tuple[str, int], int] = {}
        self._next = -(2**62)

    def add(self, scopes: IntArray, times_s: FloatArray) -> None:
        """Take in inferences, each in its scope; those of cohorts that have counted are left out. Shapes (n,)."""
        cohorts = np.floor(times_s / self._span_s).astype(np.int64)
        first = int(cohorts[0]) if len(cohorts) else 0
        if (cohorts == first).all() and (scopes == scopes[:1]).all():
            if len(cohorts) and first >= self._next:
                self._asked.setdefault(first, Counter())[int(scopes[0])] += len(scopes)
            return
        pairs, counts = np.unique(np.stack([cohorts, scopes]), axis=1, return_counts=True)
        for cohort, scope, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
            if cohort >= self._next:
                self._asked.setdefault(cohort, Counter())[scope] += count

    def mark(self, field: str, scopes: Iterable[int], time_s: float) -> bool:
        """Mark an inference made at a time, in all of its scopes; False where its cohort has counted already."""
        cohort = int(time_s // self._span_s)
        if cohort < self._next:
            return False
        for scope in scopes:
            self._mark(cohort, field, scope, 1)
        return True

    def _mark(self, cohort: int, field: str, scope: int, count: int) -> None:
        marked, key = self._marked.get(cohort), (field, scope)
        if marked is None:  # seldom: a default made each time would take half of all this
            marked = self._marked[cohort] = Counter()
        marked[key] += count
        if self._fields.get(key, cohort + 1) > cohort:
            self._fields[key] = cohort

    def of(self, time_s: float) -> int:
        """Give the cohort of a time."""
        return int(time_s // self._span_s)

    def time_of(self, cohort: int) -> float:
        """Give a time in a cohort."""
        return (cohort + 0.5) * self._span_s

    def take(self, field: str, scope: int, time_s: float, count: int) -> bool:
        """Take in so many inferences of a time ("") or marks; False where their cohort has counted already."""
        cohort = self.of(time_s)
        if cohort < self._next:
            return False
        if field:
            self._mark(cohort, field, scope, count)
        else:
            self._asked.setdefault(cohort, Counter())[scope] += count
        return True

    def due(self, now_s: float) -> Iterator[Known]:
        """Give the cohorts that are old enough, and forget them; each field from the first one on that has it."""
        last = int((now_s - self._horizon_s) // self._span_s)
        if last <= self._next:
            return
        for cohort in sorted(each for each in self._asked.keys() | self._marked.keys() if each < last):
            asked, marked = self._asked.pop(cohort, Counter()), self._marked.pop(cohort, Counter())
            for (field, scope), since in sorted(self._fields.items()):
                if cohort < since:
                    continue
                yes = marked[field, scope]
                # Marked may be more than asked: an inference that was read twice, or before a fold was told of it.
                no = max(0, asked[scope] - yes)
                if yes or no:
                    yield Known(field, scope, yes, no)
        self._next = last

    # ---- what is kept

    def state(self, name_of: Callable[[int], list[str]]) -> State:
        """Give what is kept. name_of: gives what stands for a scope in another process."""
        names = {scope: name_of(scope) for asked in self._asked.values() for scope in asked}
        names |= {scope: name_of(scope) for marked in self._marked.values() for _, scope in marked}
        names |= {scope: name_of(scope) for _, scope in self._fields}
        return {
            "next": self._next,
            "span_s": self._span_s,
            "asked": [[at, *names[scope], n] for at, asked in self._asked.items() for scope, n in asked.items()],
            "marked": [
                [at, field, *names[scope], n]
                for at, marked in self._marked.items()
                for (field, scope), n in marked.items()
            ],
            "fields": [[field, *names[scope], since] for (field, scope), since in sorted(self._fields.items())],
        }

    def restore(self, state: State, scope_of: Callable[[list[str]], int | None]) -> None:
        """Go on from a state; scopes that are no longer there are left out, and so is all where spans are others."""
        if not state or float(state["span_s"]) != self._span_s:
            return
        self._next = int(state["next"])
        for at, *name, count in state["asked"]:
            if (scope := scope_of(name)) is not None:
                self._asked.setdefault(int(at), Counter())[scope] += int(count)
        for at, field, *name, count in state["marked"]:
            if (scope := scope_of(name)) is not None:
                self._marked.setdefault(int(at), Counter())[field, scope] += int(count)
        for field, model, version, segment, *since in state["fields"]:
            if (scope := scope_of([model, version, segment])) is not None:
                self._fields[field, scope] = int(since[0]) if since else -(2**62)  # older states do not say
