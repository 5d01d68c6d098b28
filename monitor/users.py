"""Distinct users of each model version in each window, by sketches: how many use it, whoever they are.

A sketch (HyperLogLog, Apache DataSketches) takes about 1 KB however many users there are, and sketches of slices of
time merge into that of a window. Ids are hashed into them and kept nowhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import datasketches
import numpy as np

from monitor.domain import FloatArray, IntArray
from monitor.kept import Section, State, under
from monitor.kpis.base import UNKNOWN, Estimate
from monitor.kpis.limits import z_of

DISTINCT_USERS: Final = "distinct_users"
"""The name of the KPI."""
LG_K: Final = 11
"""Logarithm of a sketch's registers: a standard error of 2.3 % beyond some hundred users, below which it is exact."""
PARTS: Final = 8
"""Slices of a window: one is up to an eighth longer than asked, so that it always holds its time whole."""
MODELS_MAX: Final = 500
"""Model versions with users: at most 500 x 3 windows x 9 sketches x 1.1 KB, 15 MB. Those beyond count as overflow."""
OVERFLOW: Final = "user_models"
NAME: Final = "users"
_FORM: Final = datasketches.tgt_hll_type.HLL_4


class Slice(NamedTuple):
    """The users of a slice of a window. number: of the slice. events: that named them. sketch: as bytes."""

    window_s: float
    number: int
    events: int
    sketch: bytes


class _Users:
    """The sketches of one model version: of each window its slices, by their number, and how many events each saw."""

    def __init__(self, windows: int) -> None:
        self.slices: list[dict[int, tuple[datasketches.hll_sketch, int]]] = [{} for _ in range(windows)]
        self.changes = 0


class Users:
    """Counts distinct users. windows_s: how long the windows are. Called in the loop thread.

    What it holds depends on the events and their order alone, not on how they were cut into batches.
    """

    def __init__(self, windows_s: Sequence[float]) -> None:
        self._windows_s = tuple(windows_s)
        self._of: dict[int, _Users] = {}
        self.overflow: Counter[str] = Counter()

    def __contains__(self, subject: int) -> bool:
        return subject in self._of

    def add(self, ids: Sequence[str | None], subjects: IntArray, times_s: FloatArray) -> None:
        """Take in the users of events; all of length n, None: not told. Cost: a microsecond per event and window."""
        for subject in np.unique(subjects).tolist():
            at = [i for i in np.flatnonzero(subjects == subject).tolist() if ids[i] is not None]
            if not at:
                continue
            own = self._own(subject)
            if own is None:
                continue
            own.changes += len(at)
            for slices, window_s in zip(own.slices, self._windows_s, strict=True):
                _add(slices, [ids[i] for i in at], (times_s[at] // (window_s / PARTS)).astype(np.int64))

    def _own(self, subject: int) -> _Users | None:
        if subject not in self._of and len(self._of) >= MODELS_MAX:
            self.overflow[OVERFLOW] += 1
            return None
        return self._of.setdefault(subject, _Users(len(self._windows_s)))

    def take(self) -> Mapping[int, Sequence[Slice]]:
        """Give all slices of each subject, for another's `merge`, and forget them."""
        held, self._of = self._of, {}
        return {
            subject: [
                Slice(window_s, number, events, sketch.serialize_compact())
                for window_s, slices in zip(self._windows_s, own.slices, strict=True)
                for number, (sketch, events) in slices.items()
            ]
            for subject, own in held.items()
        }

    def merge(self, subject: int, found: Slice) -> None:
        """Take in the users of events that another has counted; of a window that is none here, nothing.

        What comes out is as if they had come one by one, but for how the sketch estimates (within its error).
        """
        if found.window_s not in self._windows_s or (own := self._own(subject)) is None:
            return
        own.changes += found.events
        slices = own.slices[self._windows_s.index(found.window_s)]
        newest = max(max(slices, default=-(2**62)), found.number)
        if found.number >= newest - PARTS:
            union, (held, events) = datasketches.hll_union(LG_K), slices.get(found.number) or (None, 0)
            for sketch in (held, datasketches.hll_sketch.deserialize(found.sketch)):
                if sketch is not None:
                    union.update(sketch)
            slices[found.number] = union.get_result(_FORM), events + found.events
        _forget(slices, newest)

    def estimate(self, subject: int, window: int, end_s: float, alpha: float) -> Estimate:
        """Give how many users there were in a window that ends at end_s; unknown where events name none.

        samples: the events that named them. Interval: normal, of the sketch's standard error.
        Guarantee: asymptotic. Source: Flajolet and others (2007); Lang (2017), whose estimators the library has.
        """
        own = self._of.get(subject)
        if own is None:
            return UNKNOWN
        first = int(end_s // (self._windows_s[window] / PARTS)) - PARTS
        held = [each for number, each in own.slices[window].items() if number >= first]
        union = datasketches.hll_union(LG_K)
        for sketch, _ in held:
            union.update(sketch)
        found = union.get_result(_FORM)
        value = found.get_estimate()
        error = z_of(alpha) * (found.get_upper_bound(1) / value - 1.0) if value else 0.0
        high = value / (1.0 - error) if error < 1.0 else math.inf
        return Estimate(value, value / (1.0 + error), high, sum(events for _, events in held))

    # ---- what is kept

    def sections(self) -> Iterator[Section]:
        """Give what is kept, each model version by itself."""
        for subject, own in self._of.items():
            yield Section(f"{NAME}/{subject}", str(own.changes), partial(self._state, subject, own))

    def _state(self, subject: int, own: _Users) -> State:
        slices = zip(self._windows_s, own.slices, strict=True)
        found = [
            [window_s, number, events, np.frombuffer(sketch.serialize_compact(), dtype=np.uint8)]
            for window_s, held in slices
            for number, (sketch, events) in held.items()
        ]
        return {"subject": subject, "changes": own.changes, "slices": found}

    def restore(self, states: Mapping[str, State]) -> None:
        """Go on from a state; windows that are new begin with nothing, and those that are gone are left out."""
        for _, state in under(f"{NAME}/", states):
            own = self._of.setdefault(int(state["subject"]), _Users(len(self._windows_s)))
            own.changes = int(state["changes"])
            for window_s, number, events, sketch in state["slices"]:
                if window_s in self._windows_s:
                    held = datasketches.hll_sketch.deserialize(sketch.tobytes())
                    own.slices[self._windows_s.index(window_s)][int(number)] = held, int(events)


def _add(slices: dict[int, tuple[datasketches.hll_sketch, int]], ids: Sequence[str | None], numbers: IntArray) -> None:
    """Take ids into the slices of their times; slices that no window reaches any more are forgotten."""
    newest = max(max(slices, default=-(2**62)), int(numbers.max()))
    for number in np.unique(numbers[numbers >= newest - PARTS]).tolist():
        sketch, events = slices.get(number) or (datasketches.hll_sketch(LG_K, _FORM), 0)
        chosen = np.flatnonzero(numbers == number).tolist()
        for i in chosen:
            sketch.update(ids[i])
        slices[number] = sketch, events + len(chosen)
    _forget(slices, newest)


def _forget(slices: dict[int, tuple[datasketches.hll_sketch, int]], newest: int) -> None:
    for number in [number for number in slices if number < newest - PARTS]:
        del slices[number]
