"""Learns what is normal for the streams of one arena, pane by pane, while their references are learned.

A stream's classes are set by its first `CLASSES_FROM` values; sums of their scores tell its fluctuation and its hours.
Streams that learn nothing any more take no room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.bins import NO, VALUE_SPANS, WIDTHS, YES, Arena
from monitor.domain import BoolArray, CountArray, FloatArray, IntArray, Kind
from monitor.sequential.features import FEATURES, SCORE_COUNTS, summed
from monitor.sequential.fluctuation import Fluctuation
from monitor.sequential.normal import Normal
from monitor.sequential.rehearsal import Stage
from monitor.sequential.scores import NO_CLASS, NOVEL, classes_by_frequency
from monitor.sequential.scores import classes_by_value as by_value
from monitor.sequential.seasons import Seasons

REHEARSE_FROM: Final = 2500
"""Values after which the first rehearsal begins; then again each time as many have come as there were."""
CLASSES_FROM: Final = 1000
"""Values that set a stream's classes. Ranks are then known within 1.6 %, which costs next to no power; shares are
counted in all of the reference, so no verdict rests on these few."""
EVENTS_MIN: Final = 500
"""Values after that from which fluctuation is learned at all."""
WITHIN_HOUR_LEVEL: Final = 8
"""Blocks of four minutes, with panes of a second: their inflation says how sure an hour's mean is."""


class Learner:
    """What is normal for the streams of one arena, while they learn. Memory: 2 KB per learning stream, 13 KB if long.

    Rows are those of the arena; slots, of streams that learn.
    """

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._features = FEATURES[arena]
        self._scores = SCORE_COUNTS[arena]
        self._forget()

    def _forget(self) -> None:
        features = self._features.shape[1]
        self._classes = np.full((0, WIDTHS[self._arena]), NO_CLASS, dtype=np.uint8)
        self._slot = np.zeros(0, dtype=np.int64)
        self._fluctuation = Fluctuation(self._scores)
        self._seasons = Seasons(features)
        self._sums = np.zeros((0, features))
        self._squares = np.zeros((0, features))
        self._events = np.zeros(0)
        self._begun = np.zeros(0, dtype=bool)
        self._next = np.zeros(0)
        self._since_s = np.zeros(0)
        self._stage = Stage(self._arena)
        self._now_s = 0.0

    def observe(self, pane: int, time_s: float, flat: IntArray, counts: CountArray) -> None:
        """Take in a pane's counts of rows that learn, flat indices ascending."""
        found = summed(self._classes, self._features, flat, counts) if len(self._classes) else None
        self._now_s = time_s
        if found is None:
            return
        self._stage.observe(flat, counts, time_s)
        rows, found_sums, events = found
        slots, sums = self._slot[rows], found_sums.astype(np.float64)
        self._fluctuation.observe(pane, slots, sums[:, : self._scores], events)
        self._seasons.observe(time_s, slots, sums, events)
        self._sums[slots] += sums
        self._events[slots] += events
        squares = summed(self._classes, self._features**2, flat, counts)
        assert squares is not None
        self._squares[slots] += squares[1]

    def begin(self, rows: IntArray, reference: CountArray, kinds: Sequence[Kind]) -> None:
        """Go on to the next stage with rows that have values enough, by their counts so far, shape (n, width)."""
        span = VALUE_SPANS[self._arena]
        values = reference[:, :span].sum(axis=1)
        at = np.flatnonzero((values >= CLASSES_FROM) & ~self._is_begun(rows))
        if at.size:
            self._reserve(int(rows[at].max()) + 1, len(at))
            new = rows[at]
            self._slot[new] = np.arange(len(self._events) - len(at), len(self._events))
            self._begun[new] = True
            self._next[new], self._since_s[new] = REHEARSE_FROM, self._now_s
            self._classes[new, :span] = first_classes(
                self._arena, reference[at][:, :span], [kinds[i] for i in at.tolist()]
            )
        for i in np.flatnonzero(self._is_begun(rows)).tolist():
            if values[i] >= self._next[rows[i]]:
                self._rehearse(int(rows[i]), reference[i, :span], kinds[i])

    def _rehearse(self, row: int, counts: CountArray, kind: Kind) -> None:
        """Begin a rehearsal by what is known so far."""
        self._next[row] = 2 * counts.sum()
        so_far_s = self._now_s - float(self._since_s[row])
        self._stage.begin(row, counts, self._normal(row, counts, kind), self._now_s, so_far_s)

    def _is_begun(self, rows: IntArray) -> BoolArray:
        if not len(self._begun):
            return np.zeros(len(rows), dtype=bool)
        return (rows < len(self._begun)) & self._begun[np.minimum(rows, len(self._begun) - 1)]

    def _reserve(self, rows: int, more: int) -> None:
        room = rows * 3 // 2 - len(self._classes) if rows > len(self._classes) else 0
        if room:
            self._classes = np.concatenate([self._classes, np.full((room, self._classes.shape[1]), NO_CLASS, np.uint8)])
            self._slot = np.concatenate([self._slot, np.zeros(room, dtype=np.int64)])
            self._begun = np.concatenate([self._begun, np.zeros(room, dtype=bool)])
            self._next = np.concatenate([self._next, np.zeros(room)])
            self._since_s = np.concatenate([self._since_s, np.zeros(room)])
        slots = len(self._events) + more
        self._fluctuation.reserve(slots)
        self._seasons.reserve(slots)
        width = self._features.shape[1]
        self._sums = np.concatenate([self._sums, np.zeros((more, width))])
        self._squares = np.concatenate([self._squares, np.zeros((more, width))])
        self._events = np.concatenate([self._events, np.zeros(more)])

    def finish(self, row: int, counts: CountArray, kind: Kind) -> Normal | None:
        """Give what is normal for a row with these counts of value bins, in all, and learn no more of it.

        None where no value was seen.
        """
        if not counts.any():
            return None
        normal = self._normal(row, counts, kind)
        if self._is_begun(np.array([row]))[0]:
            normal = replace(normal, scale=self._stage.scale(row))
            self._begun[row] = False
            self._classes[row] = NO_CLASS
        return normal

    def _normal(self, row: int, counts: CountArray, kind: Kind) -> Normal:
        """Give what is known of a row so far."""
        is_begun = bool(self._is_begun(np.array([row]))[0])
        first = self._classes[row, : len(counts)] if is_begun else None
        classes = _settled(self._arena, counts, kind, first)
        if not is_begun:
            return Normal(classes)
        slot = np.array([self._slot[row]])
        events = self._events[slot]
        return Normal(classes) if events[0] < EVENTS_MIN else self._learned(slot, events, classes)

    def _learned(self, slot: IntArray, events: FloatArray, classes: npt.NDArray[np.uint8]) -> Normal:
        mean = self._sums[slot] / events[:, None]
        variance = np.maximum(self._squares[slot] / events[:, None] - mean * mean, 0.0)
        scores = slice(0, self._scores)
        learned = self._fluctuation.inflation(slot, mean[:, scores], variance[:, scores], events)
        profile = self._seasons.profile(slot, variance, learned.factor[:, :, WITHIN_HOUR_LEVEL].max(axis=1))
        if profile is not None:
            terms = mean[:, scores], variance[:, scores], events
            learned = self._fluctuation.inflation(slot, *terms, profile[:, :, scores])
        hours = profile[0] if profile is not None and profile.any() else None
        return Normal(classes, learned.events[0], learned.factor[0], hours)

    def end(self) -> None:
        """Free the room when nothing learns any more."""
        if len(self._begun) and not self._begun.any():
            self._forget()


def first_classes(arena: Arena, counts: CountArray, kinds: Sequence[Kind]) -> npt.NDArray[np.uint8]:
    """Give the classes of value bins by their counts so far, shape (n, B); bins not seen yet take the nearest rank."""
    if arena is Arena.FLAGS:
        return np.tile(np.array([NO, YES], dtype=np.uint8), (len(counts), 1))
    is_categorical = np.array([kind is Kind.CATEGORICAL for kind in kinds])[:, None]
    return np.where(is_categorical, _by_frequency(counts), _by_value(counts))


def _by_value(counts: CountArray) -> npt.NDArray[np.uint8]:
    classes = by_value(counts)
    below = np.cumsum(counts, axis=1) == 0
    return np.where(classes == NOVEL, np.where(below, np.uint8(0), np.uint8(NOVEL - 1)), classes)


def _by_frequency(counts: CountArray) -> npt.NDArray[np.uint8]:
    classes = classes_by_frequency(counts)
    return np.where(classes == NOVEL, np.uint8(NOVEL - 1), classes)


def _settled(
    arena: Arena, counts: CountArray, kind: Kind, first: npt.NDArray[np.uint8] | None
) -> npt.NDArray[np.uint8]:
    """Give the classes for good: as first set, and novel where the whole reference holds nothing."""
    one = counts[None, :]
    classes = first_classes(arena, one, [kind])[0] if first is None else first
    if arena is Arena.FLAGS:
        return classes
    whole = (classes_by_frequency if kind is Kind.CATEGORICAL else by_value)(one)[0]
    return np.where(whole == NOVEL, np.uint8(NOVEL), classes)
