"""Panes: hits wait in open ones until the watermark closes their slice of time; and which panes are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

import numpy as np

from monitor.bins import WIDTHS, Arena
from monitor.counts import Counts
from monitor.domain import IntArray
from monitor.kept import Moves, Section, State, bring_back, state_of, under

HITS_MAX: Final = 4_000_000
"""Hits that wait one by one, 8 bytes each: beyond, they are counted at once, and only their counts wait."""

EMPTY_PANES_LOOKED_AT: Final = 600
"""After so many panes in a row without an event, only one in EMPTY_STRIDE is looked at."""
EMPTY_STRIDE: Final = 60
LOOKS_PER_GAP: Final = 4
"""Where events are far apart, empty panes between them are looked at this often, so that years of a quiet stream can be
replayed."""
GAP_WEIGHT: Final = 0.1
"""Weight of the newest gap between panes with events in the usual one."""
GAP_PANES_MAX: Final = 86_400
"""A gap in event time longer than this is jumped over: whatever was to be said of silence has been said."""


Waiting = list[IntArray | Counts]
"""What waits of one arena: flat indices as they came, and counts of those that came before."""


class OpenPanes:
    """Hits by pane and arena, in order of arrival, which does not matter to counts.

    Memory: at most 8 bytes * hits_max, whatever comes how fast, and beyond that the counts of each pane: of at most as
    many bins as there were hits, and as all streams have.
    """

    def __init__(self, hits_max: int = HITS_MAX) -> None:
        self._hits_max = hits_max
        self._hits: dict[int, tuple[Waiting, ...]] = {}
        self._late: tuple[Waiting, ...] = tuple([] for _ in Arena)
        self._changes: dict[int, int] = {}
        self._loose = 0
        self.nbytes = 0
        """Bytes held."""

    def __len__(self) -> int:
        return len(self._hits)

    @property
    def first(self) -> int | None:
        """The earliest open pane that holds anything."""
        return min(self._hits, default=None)

    @property
    def last(self) -> int | None:
        """The latest open pane that holds anything."""
        return max(self._hits, default=None)

    def add(self, arena: Arena, flat: IntArray, panes: IntArray) -> None:
        """Add hits of shape (n,) with the pane of each. Cost: one pass per distinct pane."""
        if not flat.size:
            return
        low, high = int(panes.min()), int(panes.max())
        if low == high:
            self._of(low)[arena].append(flat)
        else:
            for pane in np.unique(panes).tolist():
                self._of(pane)[arena].append(flat[panes == pane])
        self._hold(flat.size, flat.nbytes)

    def put(self, pane: int, arena: Arena, flat: IntArray | Counts) -> None:
        """Add hits, or counts, of one pane."""
        self._of(pane)[arena].append(flat)
        self._hold(0 if isinstance(flat, Counts) else flat.size, flat.nbytes)

    def mark(self, pane: int) -> None:
        """Have a pane closed in its turn, whether it holds anything or not."""
        if pane not in self._hits:
            self._of(pane)

    def between(self, low: int, high: int) -> list[int]:
        """Give the open panes from low to before high that hold anything, in order."""
        return sorted(pane for pane in self._hits if low <= pane < high)

    def add_late(self, arena: Arena, flat: IntArray | Counts) -> None:
        """Add hits, or counts, of panes that have closed, for what goes on with the next one."""
        self._late[arena].append(flat)
        self._hold(0 if isinstance(flat, Counts) else flat.size, flat.nbytes)

    def take_late(self, arena: Arena) -> Waiting:
        """Give the late hits of an arena since the last pane closed, and forget them."""
        late = self._late[arena][:]
        self._late[arena].clear()
        self._release(late)
        return late

    def _of(self, pane: int) -> tuple[Waiting, ...]:
        held = self._hits.get(pane)
        if held is None:
            held = self._hits[pane] = tuple([] for _ in Arena)
        self._changes[pane] = self._changes.get(pane, 0) + 1
        return held

    def take(self, pane: int) -> tuple[Waiting, ...]:
        """Give the hits of a pane, by arena, and forget them."""
        held = self._hits.pop(pane, None) or tuple([] for _ in Arena)
        self._changes.pop(pane, None)
        for waiting in held:
            self._release(waiting)
        return held

    def _hold(self, hits: int, nbytes: int) -> None:
        """Keep what waits one by one within bounds."""
        self._loose += hits
        self.nbytes += nbytes
        if self._loose > self._hits_max:
            for held in (*self._hits.values(), self._late):
                self._count(held)

    def _release(self, waiting: Waiting) -> None:
        self._loose -= _loose(waiting)
        self.nbytes -= sum(part.nbytes for part in waiting)

    def _count(self, held: tuple[Waiting, ...]) -> None:
        """Make counts of what waits, one for each arena."""
        for arena, waiting in zip(Arena, held, strict=True):
            if _loose(waiting) or len(waiting) > 1:
                self._release(waiting)
                most = max(part.size if isinstance(part, Counts) else int(part.max(initial=-1)) + 1 for part in waiting)
                width = WIDTHS[arena]
                counts = Counts.of_hits(waiting, (most + width - 1) // width * width)
                waiting[:] = [counts]
                self.nbytes += counts.nbytes

    # ---- what is kept

    def sections(self, prefix: str, epoch: int = 0) -> Iterator[Section]:
        """Give what is kept, each pane by itself, as counts. epoch: how often rows were moved."""
        yield Section(prefix, None, partial(self._state, self._late))
        for pane, held in self._hits.items():
            changes = self._changes[pane]
            yield Section(f"{prefix}/{pane}", f"{epoch}-{changes}", partial(self._state, held, pane, changes))

    def _state(self, held: tuple[Waiting, ...], pane: int | None = None, changes: int = 0) -> State:
        self._count(held)
        counts = {
            arena.name.lower(): part.state()
            for arena, waiting in zip(Arena, held, strict=True)
            for part in waiting
            if isinstance(part, Counts)
        }
        return {"pane": pane, "changes": changes, "counts": counts}

    def restore(self, prefix: str, states: Mapping[str, State], moves: Moves | None = None) -> None:
        """Go on with the hits of a state. moves: where rows lie now, None: as then."""
        self._fill(self._late, states.get(prefix, {}), moves)
        for _, state in under(f"{prefix}/", states):
            pane = int(state["pane"])
            self._fill(self._of(pane), state, moves)
            self._changes[pane] = int(state.get("changes", 0))

    def _fill(self, held: tuple[Waiting, ...], state: State, moves: Moves | None) -> None:
        found: Mapping[str, State] = state.get("counts", {})
        for arena, waiting in zip(Arena, held, strict=True):
            if arena.name.lower() in found:
                counts = Counts.of_state(found[arena.name.lower()])
                waiting.append(counts if moves is None else counts.moved(moves[arena], WIDTHS[arena]))
                self.nbytes += waiting[-1].nbytes


def _loose(waiting: Waiting) -> int:
    return sum(part.size for part in waiting if not isinstance(part, Counts))


KEPT: Final = ("next", "_full", "_gap", "_is_begun")


class Cadence:
    """Which panes are closed and looked at, in order: those with hits, and of empty ones as many as can matter.

    next: the first pane that is not closed yet, None before the first event. Which panes are looked at depends on the
    hits alone, not on when it is asked.
    """

    def __init__(self) -> None:
        self.next: int | None = None
        self._full = 0
        self._gap = 1.0
        self._is_begun = False

    def state(self) -> State:
        """Give what is kept."""
        return state_of(self, KEPT)

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self._is_begun = state.get("next") is not None
        bring_back(self, KEPT, state)

    def due(self, until: int, panes: OpenPanes) -> Iterator[int]:
        """Give the panes before `until` that are due; each counts as closed when it is given."""
        first = panes.first
        if self.next is None:
            self._full = self.next = until if first is None else min(until, first)
        if not self._is_begun:  # panes before the first event are none, wherever batches end
            self.next = max(self.next, until if first is None else min(until, first))
            self._full, self._is_begun = self.next, self.next < until
        while self.next < until:
            first = panes.first
            if first is None or first > self.next:
                if self._skip(self.next, min(until, first if first is not None else until)):
                    continue
            else:
                self._gap += GAP_WEIGHT * (min(self.next - self._full, GAP_PANES_MAX) - self._gap)
                self._full = self.next
            self.next += 1  # before it closes: what a freeze sets free counts in the next one
            yield self.next - 1

    def _skip(self, now: int, until: int) -> bool:
        """Pass over empty panes that need no look; tell whether any was passed."""
        if until - now > GAP_PANES_MAX:
            self.next = until - 1
            return False
        seldom = self._full + EMPTY_PANES_LOOKED_AT
        stride = max(1 if now < seldom else EMPTY_STRIDE, int(min(self._gap, GAP_PANES_MAX) / LOOKS_PER_GAP))
        if (now + 1) % stride == 0:
            return False
        due = now + stride - 1 - now % stride
        # Not beyond where the stride changes: which panes are looked at must not hang on where batches end.
        self.next = min(until, due, seldom if now < seldom else due)
        return True
