"""Learns what is normal for the streams of one arena, pane by pane, while their references are learned.

A stream's classes are set by its first `CLASSES_FROM` values; sums of their scores tell its fluctuation and its hours.
Streams that learn nothing any more take no room.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.bins import NO, VALUE_SPANS, WIDTHS, YES, Arena
from monitor.domain import BoolArray, CountArray, FloatArray, IntArray, Kind
from monitor.kept import Section, State
from monitor.rows import grown
from monitor.sequential.features import FEATURES, SCORE_COUNTS, Floats32, summed
from monitor.sequential.fluctuation import Fluctuation, level_within
from monitor.sequential.normal import Normal
from monitor.sequential.rehearsal import History, Stage
from monitor.sequential.scores import NO_CLASS, NOVEL, classes_by_frequency, classes_by_value
from monitor.sequential.seasons import Seasons

REHEARSE_FROM: Final = 2500
"""Values after which the first rehearsal begins; then again each time as many have come as there were,
or when the hours of the day, or of the week, are known."""
CLASSES_FROM: Final = 1000
"""Values that set a stream's classes. Ranks are then known within 1.6 %, which costs next to no power; shares are
counted in all of the reference, so no verdict rests on these few."""
EVENTS_MIN: Final = 500
"""Values after that from which fluctuation is learned at all."""
WITHIN_HOUR_S: Final = 300.0
"""Length of blocks whose inflation says how sure an hour's mean is: longer than memory, and short beside an hour."""
KEPT_SHARE: Final = 2
"""Of streams that have room, as many may have ceased to learn as still do."""
BY_ROW: Final = ("_classes", "_slot", "_next", "_since_s", "_known")


class Learner:
    """What is normal for the streams of one arena, while they learn. Memory: 4 KB per learning stream, 19 KB if long.

    Rows are those of the arena; slots, of streams that learn.
    """

    def __init__(self, arena: Arena, pane_s: float = 1.0) -> None:
        self._arena = arena
        self._pane_s = pane_s
        self._features = FEATURES[arena].shape[1]
        self._scores = SCORE_COUNTS[arena]
        self._table = _with_squares(FEATURES[arena])
        self._changes = 0
        self._renumbered = 0
        self._forget()

    def _forget(self) -> None:
        self._classes = np.full((0, WIDTHS[self._arena]), NO_CLASS, dtype=np.uint8)
        self._slot = np.zeros(0, dtype=np.int64)
        self._fluctuation = Fluctuation(self._scores, self._pane_s)
        self._seasons = Seasons(self._features)
        self._slots = 0
        self._sums = np.zeros((0, self._table.shape[1]))
        self._events = np.zeros(0)
        self._begun = np.zeros(0, dtype=bool)
        self._next = np.zeros(0)
        self._since_s = np.zeros(0)
        self._known = np.zeros(0, dtype=np.int64)
        self._stage = Stage(self._arena)
        self._now_s = 0.0

    def observe(self, pane: int, time_s: float, flat: IntArray, counts: CountArray) -> None:
        """Take in a pane's counts of rows that learn, flat indices ascending."""
        found = summed(self._classes, self._table, flat, counts) if len(self._classes) else None
        self._now_s = time_s
        if found is None:
            return
        self._stage.observe(flat, counts, time_s)
        rows, found_sums, events = found
        slots, sums = self._slot[rows], found_sums.astype(np.float64)
        self._fluctuation.observe(pane, slots, sums[:, : self._scores], events)
        self._seasons.observe(time_s, slots, sums[:, : self._features], events)
        self._sums[slots] += sums
        self._events[slots] += events

    def begin(self, rows: IntArray, reference: CountArray, kinds: Sequence[Kind]) -> None:
        """Go on to the next stage with rows that have values enough, by their counts so far, shape (n, width)."""
        span = VALUE_SPANS[self._arena]
        values = reference[:, :span].sum(axis=1)
        at = np.flatnonzero((values >= CLASSES_FROM) & ~self._is_begun(rows))
        if at.size:
            self._renumbered += 1
            self._reserve(int(rows[at].max()) + 1, len(at))
            new = rows[at]
            self._slot[new] = np.arange(self._slots - len(at), self._slots)
            self._begun[new] = True
            self._next[new], self._since_s[new], self._known[new] = REHEARSE_FROM, self._now_s, 0
            self._classes[new, :span] = first_classes(
                self._arena, reference[at][:, :span], [kinds[i] for i in at.tolist()]
            )
        begun = np.flatnonzero(self._is_begun(rows))
        has_begun = values[begun] >= REHEARSE_FROM
        known = self._seasons.known(self._slot[rows[begun]])
        is_new = known > self._known[rows[begun]]
        is_due = (values[begun] >= self._next[rows[begun]]) | (has_begun & is_new)
        due = begun[is_due]
        if at.size or due.size:
            self._changes += 1
        if due.size:
            self._known[rows[due]] = known[is_due]
            history = History(self._now_s - self._since_s[rows[due]], is_new[is_due])
            self._rehearse(rows[due], reference[due, :span], [kinds[i] for i in due.tolist()], history)

    def _rehearse(self, rows: IntArray, counts: CountArray, kinds: Sequence[Kind], history: History) -> None:
        """Begin rehearsals of rows by what is known so far: counts of value bins, shape (n, B)."""
        self._next[rows] = 2 * counts.sum(axis=1)
        each = zip(rows.tolist(), counts, kinds, strict=True)
        normals = [self._normal(row, own, kind) for row, own, kind in each]
        self._stage.begin(rows, counts, normals, self._now_s, history)

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
            self._known = np.concatenate([self._known, np.zeros(room, dtype=np.int64)])
        self._slots += more
        room = self._slots * 3 // 2 if self._slots > len(self._events) else len(self._events)
        self._fluctuation.reserve(room)
        self._seasons.reserve(room)
        self._sums, self._events = grown(self._sums, room), grown(self._events, room)

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
            self._changes += 1
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
        moments = self._sums[slot] / events[:, None]
        mean, squares = moments[:, : self._features], moments[:, self._features :]
        scores = slice(0, self._scores)
        # Of what is 0 or 1, such as a cell, the square is itself.
        squares = np.concatenate([squares, mean[:, squares.shape[1] :]], axis=1)
        variance = np.maximum(squares - mean * mean, 0.0)
        terms = slot, mean[:, scores], variance[:, scores], events
        learned = self._fluctuation.inflation(*terms)
        # What hours explain must not make their means look unsure, so first they are taken for sure.
        profile = self._seasons.profile(slot, variance, np.ones(1))
        if profile is not None:
            level = level_within(WITHIN_HOUR_S, self._pane_s)
            within = self._fluctuation.inflation(*terms, profile[:, :, scores]).factor[:, :, level]
            profile = self._seasons.profile(slot, variance, within.max(axis=1))
        if profile is not None:
            learned = self._fluctuation.inflation(*terms, profile[:, :, scores])
        hours = profile[0] if profile is not None and profile.any() else None
        return Normal(classes, learned.events[0], learned.factor[0], hours)

    def end(self) -> None:
        """Free the room of streams that learn no more, when they are all, or most."""
        begun = np.flatnonzero(self._begun)
        if len(self._begun) and not begun.size:
            self._forget()
        elif begun.size * KEPT_SHARE < self._slots:
            slots = self._slot[begun]
            self._fluctuation.keep(slots)
            self._seasons.keep(slots)
            self._sums, self._events = self._sums[slots], self._events[slots]
            self._slot[begun] = np.arange(begun.size)
            self._slots = begun.size
            self._changes += 1
            self._renumbered += 1

    # ---- what is kept

    def sections(self, prefix: str, epoch: int = 0) -> Iterator[Section]:
        """Give what is kept of the rows that learn. epoch: how often rows were moved."""
        yield Section(prefix, None, self._head)
        if not self._slots:
            return
        yield Section(f"{prefix}/rows", f"{epoch}-{self._changes}", self._rows)
        yield Section(f"{prefix}/sums", None, self._slot_sums)
        numbers = f"{epoch}-{self._renumbered}"
        yield from self._fluctuation.sections(f"{prefix}/fluctuation", numbers, self._slots)
        yield from self._seasons.sections(f"{prefix}/seasons", numbers, self._slots)
        yield from self._stage.sections(f"{prefix}/stage", np.flatnonzero(self._begun), f"{epoch}-{self._changes}")

    def _head(self) -> State:
        counters = {"changes": self._changes, "renumbered": self._renumbered}
        return {"now_s": self._now_s, "slots": self._slots, **counters}

    def _rows(self) -> State:
        begun = np.flatnonzero(self._begun)
        return {"rows": begun, **{name.lstrip("_"): getattr(self, name)[begun] for name in BY_ROW}}

    def _slot_sums(self) -> State:
        return {"sums": self._sums[: self._slots], "events": self._events[: self._slots]}

    def restore(self, prefix: str, states: Mapping[str, State], rows: IntArray | None = None) -> None:
        """Go on from a state. rows: by the row till now the row from now on, or -1; None: as then."""
        head = states.get(prefix, {})
        self._changes, self._renumbered = int(head.get("changes", 0)), int(head.get("renumbered", 0))
        self._now_s = float(head.get("now_s", 0.0))
        state = states.get(f"{prefix}/rows", {})
        now = state.get("rows", np.empty(0, dtype=np.int64))
        now = now if rows is None else rows[now]
        kept = now >= 0
        if not kept.any():
            return
        self._reserve(int(now.max()) + 1, int(head["slots"]))
        self._begun[now[kept]] = True
        for name in BY_ROW:
            if name.lstrip("_") in state:
                getattr(self, name)[now[kept]] = state[name.lstrip("_")][kept]
        sums = states.get(f"{prefix}/sums", {})
        for name, own in (("sums", self._sums), ("events", self._events)):
            if name in sums:
                own[: len(sums[name])] = sums[name]
        self._fluctuation.restore(f"{prefix}/fluctuation", states)
        self._seasons.restore(f"{prefix}/seasons", states)
        self._stage.restore(f"{prefix}/stage", states, rows)


def _with_squares(features: Floats32) -> Floats32:
    """Give the features by class, and then the squares of those, the first, that are not just 0 or 1."""
    plain = np.isin(features, (0.0, 1.0)).all(axis=0)
    return np.concatenate([features, features[:, ~plain] ** 2], axis=1)


def normal_of(arena: Arena, counts: CountArray, kind: Kind) -> Normal | None:
    """Give what is normal of a stream of which counts of bins alone are known, shape (width,); None without values."""
    own = counts[: VALUE_SPANS[arena]]
    return Normal(_settled(arena, own, kind, None)) if kind is not Kind.VOLUME and own.any() else None


def first_classes(arena: Arena, counts: CountArray, kinds: Sequence[Kind]) -> npt.NDArray[np.uint8]:
    """Give the classes of value bins by their counts so far, shape (n, B); bins not seen yet take the nearest rank."""
    if arena is Arena.FLAGS:
        return np.tile(np.array([NO, YES], dtype=np.uint8), (len(counts), 1))
    is_categorical = np.array([kind is Kind.CATEGORICAL for kind in kinds])[:, None]
    return np.where(is_categorical, _by_frequency(counts), classes_by_value(counts))


def _by_frequency(counts: CountArray) -> npt.NDArray[np.uint8]:
    classes = classes_by_frequency(counts)
    return np.where(classes == NOVEL, np.uint8(NOVEL - 1), classes)


def _settled(
    arena: Arena, counts: CountArray, kind: Kind, first: npt.NDArray[np.uint8] | None
) -> npt.NDArray[np.uint8]:
    """Give the classes for good: as first set, and novel those of categories that the whole reference never saw."""
    classes = first_classes(arena, counts[None, :], [kind])[0] if first is None else first
    return np.where((counts == 0) & (kind is Kind.CATEGORICAL), np.uint8(NOVEL), classes)
