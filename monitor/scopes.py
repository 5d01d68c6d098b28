"""What streams belong to, and how events are taken apart.

A subject is a served model version; a scope is all of its traffic, or a segment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.bins import Arena
from monitor.categories import Categories
from monitor.decode.blocks import TextColumn
from monitor.decode.lanes import Lane
from monitor.domain import IntArray, Kind
from monitor.fields import Watch
from monitor.lineage import UNKNOWN, Lineage
from monitor.references import Reference
from monitor.rows import grown

CODES: Final = 256
UNSET: Final = 255


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds. Beyond them nothing new is watched, and it is counted by what overflowed."""

    streams_max: int = 50_000
    models_max: int = 2_000
    of_model_max: int = 25_000
    segment_values_max: int = 50


@dataclass(slots=True, eq=False)
class Layout:
    """How one set of feature names is taken apart in one scope.

    numbers, names: give the values of the numeric and of the categorical features. absent_rows: features of the scope
    that this set lacks, counted as null. undecided: names whose kind can't be told yet; the layout is made anew when it
    can.
    """

    scope: int
    numbers: Callable[[Mapping[str, Any]], Sequence[Any]]
    number_rows: IntArray
    names: Callable[[Mapping[str, Any]], Sequence[Any]]
    name_rows: IntArray
    name_categories: tuple[Categories, ...]
    absent_rows: IntArray
    undecided: tuple[str, ...]


class NameTable:
    """The bins of one text feature of a lane in every scope, so that many models cost no more look-ups than one.

    A text is looked up once, in a dict that all scopes share, and its code then in an array. What the array does not
    hold yet is asked of the scope's own categories. Memory: CODES bytes per scope.
    """

    def __init__(self) -> None:
        self._codes: dict[str | None, int] = {}
        self._bins = np.zeros((0, CODES), dtype=np.uint8)
        self.categories: list[Categories | None] = []

    def reserve(self, capacity: int) -> None:
        """Make room for so many scopes."""
        room = np.full((capacity - len(self._bins), CODES), UNSET, dtype=np.uint8)
        self._bins = np.concatenate([self._bins, room])
        self.categories.extend([None] * (capacity - len(self.categories)))

    def forget(self, scope: int) -> None:
        """Note that the categories of a scope are other ones."""
        self._bins[scope] = UNSET

    def bins(self, names: Sequence[str | None], scopes: IntArray) -> IntArray:
        """Give the VALUES bin of each text in the scope of its event; both of shape (n,)."""
        codes = np.frombuffer(bytes(map(self._codes.get, names, repeat(UNSET))), dtype=np.uint8)
        return self._bins_of(codes, names, scopes)

    def bins_of_column(self, column: TextColumn, scopes: IntArray) -> IntArray:
        """Give the VALUES bin of each text of a column, shape (n,). Cost: a look-up for each text that it knows."""
        if len(column.codes) < len(column.texts):
            return self.bins(column.all(), scopes)
        known = np.frombuffer(bytes(map(self._codes.get, column.texts, repeat(UNSET))), dtype=np.uint8)
        codes = known[column.codes]
        for at, name in column.rare.items():
            codes[at] = self._codes.get(name, UNSET)
        return self._bins_of(codes, column, scopes)

    def _bins_of(
        self, codes: NDArray[np.uint8], names: Sequence[str | None] | TextColumn, scopes: IntArray
    ) -> IntArray:
        bins = self._bins[scopes, codes]
        for i in np.flatnonzero(bins == UNSET).tolist():
            bins[i] = self._ask(names[i], int(scopes[i]))
        return bins.astype(np.int64)

    def _ask(self, name: str | None, scope: int) -> int:
        categories = self.categories[scope]
        assert categories is not None
        found = categories[name]
        code = self._codes.setdefault(name, len(self._codes)) if len(self._codes) < UNSET else self._codes.get(name)
        if code is not None and (name in categories or not categories.is_open):
            self._bins[scope, code] = found
        return found


class LaneTable:
    """Where the features of one lane are counted, scope by scope, as arrays with a row per scope.

    is_known: shape (scopes,), whether every feature of the lane is counted there as what the lane takes it for, with
    its grid placed; what else stands in a row means nothing until then. numbers: shape (scopes, numbers), rows of the
    lane's numeric features; grid: shape (4, scopes, numbers), their grids. names: shape (scopes, names), rows of its
    text features; texts: the bins of each. absent: features of a scope that the lane lacks, counted as null; only
    scopes that have any.
    """

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.is_tried = np.zeros(0, dtype=bool)
        self.is_known = np.zeros(0, dtype=bool)
        self.numbers = np.zeros((0, len(lane.numbers)), dtype=np.int64)
        self.grid = np.zeros((4, 0, len(lane.numbers)))
        self.names = np.zeros((0, len(lane.names)), dtype=np.int64)
        self.texts = [NameTable() for _ in lane.names]
        self.absent: dict[int, IntArray] = {}

    def reserve(self, scopes: int) -> None:
        """Make room for so many scopes."""
        if scopes <= len(self.is_known):
            return
        capacity = max(64, scopes * 3 // 2)
        self.is_tried, self.is_known = grown(self.is_tried, capacity), grown(self.is_known, capacity)
        self.numbers, self.names = grown(self.numbers, capacity), grown(self.names, capacity)
        self.grid = np.stack([grown(part, capacity) for part in self.grid])
        for text in self.texts:
            text.reserve(capacity)

    def forget(self, scope: int) -> None:
        """Note that the features of a scope, or their grids, have changed."""
        if scope < len(self.is_tried):
            self.is_tried[scope] = self.is_known[scope] = False


@dataclass(slots=True, eq=False)
class Scope:
    """The part of a model's traffic that is counted together: all of it (segment ""), or one segment."""

    subject: Subject
    segment: str
    index: int
    features: dict[str, tuple[Kind, int] | None] = field(default_factory=dict)
    layouts: dict[tuple[str, ...], Layout] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Subject:
    """One served model version: what is learned and judged together."""

    model: str
    model_version: str
    watch: Watch
    index: int
    reference: Reference | None = None
    rows: list[tuple[Arena, int]] = field(default_factory=list)
    scopes: dict[str, Scope] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Tell whether there is a reference to judge against; else the subject is learning one."""
        return self.reference is not None

    @property
    def lineage(self) -> Lineage:
        """Where the reference comes from."""
        return UNKNOWN if self.reference is None else self.reference.lineage


def _nothing(_: Mapping[str, Any]) -> Sequence[Any]:
    return ()


def getter(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Give a function that takes the values of these features, in this order, out of an event's."""
    if not names:
        return _nothing
    if len(names) == 1:
        (only,) = names
        return lambda features: (features[only],)
    return itemgetter(*names)
