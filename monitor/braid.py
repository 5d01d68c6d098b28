"""Several logs read as one: the same partition of several topics, whose messages say things of each other. Pure.

A place in the braid is a place in each log (a tuple of offsets, by topic), and its position is their sum: in whatever
order the logs are read, the position rises by one with each message, and two readers at one place are at one position.
So all that goes by the positions of one log goes by those of a braid as well, if one thing is seen to: between what is
acknowledged and the limit, where two owners may both send, all read in one order, the logs one after the other.
Elsewhere the order is by the time of the messages, as nearly as they come.

What is committed, as a text beside the first topic's offset, is the marks: of each log the offset from which a
successor counts, what is acknowledged, the limit, and from where to read to know what waits there.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

import numpy as np

from monitor.domain import FloatArray, IntArray
from monitor.intake import Origin

Place = tuple[int, ...]

_LOG: Final = "(?:[0-9]{1,18},){3}[0-9]{1,18}"
_TEXT: Final = re.compile(f"driftd3:([0-9]{{1,18}}):({_LOG}(?:;{_LOG})+)", re.ASCII)
TICK_S: Final = 0.5
"""What was written within it is read one log after the other."""
WAITING_BYTES_MAX: Final = 4 << 20
"""Of one log: in live traffic some waits for the end of a tick, in a backlog for the other logs to come as far."""
ENDLESS: Final = 2**62
"""Beyond any offset."""
POINTS_MAX: Final = 4_096
"""Of a path. Beyond it every second one of those goes of which no more is asked than what lies before a position."""


class Marks(NamedTuple):
    """What is committed of a braid; each but the epoch by topic. See Claim for what each is."""

    epoch: int
    start: Place
    acked: Place
    limit: Place
    back: Place

    def to_text(self) -> str:
        """Give the text that is committed with the first topic's offset, which is its start."""
        logs = zip(self.start, self.acked, self.limit, self.back, strict=True)
        return f"driftd3:{self.epoch}:" + ";".join(",".join(map(str, log)) for log in logs)


def marks_of(offset: int, text: str | None, topics: int) -> Marks | None:
    """Read what was committed; None for another kind of text, for other topics, or if an operator set the offset."""
    found = _TEXT.fullmatch(text or "")
    if found is None:
        return None
    logs = [tuple(map(int, log.split(","))) for log in found.group(2).split(";")]
    if len(logs) != topics or logs[0][0] != offset:
        return None
    start, acked, limit, back = zip(*logs, strict=True)
    return Marks(int(found.group(1)), start, acked, limit, back)


class Path:
    """The places that a reader has passed, by position: straight from one to the next, along one log each.

    Memory: POINTS_MAX places, a few more where much is not acknowledged.
    """

    def __init__(self, start: Place) -> None:
        self._at = [sum(start)]
        self._places = [start]

    @property
    def end(self) -> Place:
        """Where the reader is."""
        return self._places[-1]

    def go(self, log: int, upto: int) -> None:
        """Read one log on, to an offset."""
        end = self._places[-1]
        if upto == end[log]:
            return
        place = (*end[:log], upto, *end[log + 1 :])
        if len(self._at) > 1 and self._log_after(len(self._at) - 2) == log:
            self._at.pop()
            self._places.pop()
        self._at.append(sum(place))
        self._places.append(place)

    def place(self, position: int) -> Place:
        """Give the place at a position on the path. Raises ValueError for one that is not."""
        k = bisect_right(self._at, position) - 1
        if k < 0 or position > self._at[-1]:
            raise ValueError(f"{position} is not on the path from {self._at[0]} to {self._at[-1]}")
        return self._along(k, position - self._at[k])

    def before(self, position: int) -> Place:
        """Give a place on the path that is at this position or before it; the first one, if none is."""
        k = max(0, bisect_right(self._at, position) - 1)
        return self._along(k, position - self._at[k])

    def before_message(self, log: int, offset: int) -> Place:
        """Give a place on the path before a message of a log was read."""
        k = max(0, bisect_right(self._places, offset, key=lambda place: place[log]) - 1)
        return self._along(k, offset - self._places[k][log])

    def messages(self, positions: IntArray) -> tuple[IntArray, IntArray]:
        """Give log and offset of the messages at some positions of the path's exact part."""
        at = np.array(self._at, dtype=np.int64)
        k = np.searchsorted(at, positions, side="right") - 1
        logs, places = np.empty(len(k), dtype=np.int64), np.empty(len(k), dtype=np.int64)
        for each in np.unique(k).tolist():
            log = self._log_after(each)
            own = k == each
            logs[own] = log
            places[own] = self._places[each][log] + positions[own] - at[each]
        return logs, places

    def thin(self, before: int) -> None:
        """Keep fewer points of the part before a position, of which nothing exact is asked any more."""
        if len(self._at) <= POINTS_MAX:
            return
        exact = min(bisect_right(self._at, before) - 1, len(self._at) - 2)  # as is the end, from which it goes on
        kept = [i for i in range(len(self._at)) if i % 2 == 0 or i >= exact]
        self._at, self._places = [self._at[i] for i in kept], [self._places[i] for i in kept]

    def _along(self, k: int, count: int) -> Place:
        """Give the place so many messages after a point; the point, where more than one log goes on from it."""
        found = self._places[k]
        if count <= 0 or k + 1 == len(self._places) or self._at[k + 1] - self._at[k] > self._run_after(k):
            return found
        log = self._log_after(k)
        return (*found[:log], found[log] + count, *found[log + 1 :])

    def _run_after(self, k: int) -> int:
        log = self._log_after(k)
        return self._places[k + 1][log] - self._places[k][log]

    def _log_after(self, k: int) -> int:
        here, there = self._places[k], self._places[k + 1]
        return next(log for log, (a, b) in enumerate(zip(here, there, strict=True)) if a != b)


@dataclass(slots=True)
class Piece:
    """Messages of one log, in order: values, offsets, origins, and when each was written (-inf: nobody knows).

    Or, with no messages, a gap: from `gap[0]` to before `gap[1]` the log has nothing any more.
    """

    values: Sequence[bytes | None] = ()
    offsets: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    origins: Sequence[Origin] = ()
    times_s: FloatArray = field(default_factory=lambda: np.zeros(0))
    gap: tuple[int, int] | None = None

    @property
    def first(self) -> int:
        """The first offset."""
        return int(self.offsets[0]) if self.gap is None else self.gap[0]

    @property
    def next(self) -> int:
        """The offset after the last."""
        return int(self.offsets[-1]) + 1 if self.gap is None else self.gap[1]

    @property
    def tick(self) -> float:
        """When the first message was written."""
        return float(_ticks(self.times_s[:1])[0]) if self.gap is None else -np.inf

    def split(self, end: int, tick: float) -> tuple[Self, Self | None]:
        """Give what lies before an offset and up to the first message after a tick, and the rest, if there is any.

        The first message, or offset, is never in the rest.
        """
        kind = type(self)
        if self.gap is not None:
            first, upto = self.gap
            return (self, None) if upto <= end else (kind(gap=(first, end)), kind(gap=(end, upto)))
        is_after = (self.offsets >= end) | (_ticks(self.times_s) > tick)
        cut = max(1, int(is_after.argmax())) if is_after.any() else len(is_after)
        if cut == len(is_after):
            return self, None
        halves = (slice(None, cut), slice(cut, None))
        first_half, rest = (kind(self.values[h], self.offsets[h], self.origins[h], self.times_s[h]) for h in halves)
        return first_half, rest


class Read(NamedTuple):
    """What is read on: a piece, the log it is of, and the position of its first message less that one's offset."""

    piece: Piece
    log: int
    shift: int


class Braid:
    """One braid, as its owner reads it.

    Messages wait here until their turn: while it is not known what is committed, and while what was written before them
    is still to come from another log. Of one tick the first log comes last: it tells how far event time has come.
    """

    def __init__(self, logs: int) -> None:
        self._queues: list[deque[Piece]] = [deque() for _ in range(logs)]
        self._ticks = [-np.inf] * logs
        self._marks: Marks | None = None
        self.path: Path | None = None
        self.is_claimed = False

    def waits(self, log: int) -> bool:
        """Tell whether messages of a log wait."""
        return bool(self._queues[log])

    def is_full(self, log: int) -> bool:
        """Tell whether so much of a log waits that it is better not read on."""
        return sum(len(value or b"") for piece in self._queues[log] for value in piece.values) >= WAITING_BYTES_MAX

    def put(self, log: int, piece: Piece) -> None:
        """Take in what was read of a log."""
        self._queues[log].append(piece)

    def begin(self, positions: Sequence[int | None]) -> None:
        """Begin, if it is known where each log is read. positions: of logs of which nothing waits, None: not known."""
        known = [queue[0].first if queue else at for queue, at in zip(self._queues, positions, strict=True)]
        if self.path is None and None not in known:
            self.path = Path(tuple(at for at in known if at is not None))

    def found(self, marks: Marks | None) -> None:
        """Hear what is committed: if nothing is, it is counted from where it begins."""
        assert self.path is not None
        here = self.path.end
        self._marks = Marks(0, here, here, here, here) if marks is None else marks

    def place(self, position: int) -> Place:
        """Give the place at a position: on the path, or one of what was found committed."""
        assert self._marks is not None
        assert self.path is not None
        for mark in (self._marks.start, self._marks.acked, self._marks.limit):
            if position == sum(mark) and position > sum(self.path.end):
                return mark
        return self.path.place(position)

    def acked(self, position: int) -> Place:
        """Give what is acknowledged: at least what was, as others may have taken up from there."""
        assert self._marks is not None
        return max(self._marks.acked, self.place(position), key=sum)

    def committed(self, position: int) -> None:
        """Hear that it was taken in that the braid is ours, and that all before a position is acknowledged."""
        assert self.path is not None
        self.is_claimed = True
        self.path.thin(position)

    def read(self, is_at_end: Callable[[int], bool]) -> Iterator[Read]:
        """Give what can be read on, in its order. is_at_end: tells whether a log has nothing more at the moment."""
        if not self.is_claimed:
            return
        assert self.path is not None
        while (turn := self._next(is_at_end)) is not None:
            log, end, tick = turn
            queue, here = self._queues[log], self.path.end
            if queue[0].first >= end:  # nothing is left up to there
                self.path.go(log, end)
                continue
            piece, rest = queue.popleft().split(end, tick)
            if rest is not None:
                queue.appendleft(rest)
            yield Read(piece, log, sum(here) - here[log])
            self.path.go(log, piece.next)
            if piece.gap is None:
                self._ticks[log] = float(_ticks(piece.times_s[-1:])[0])

    def _stage(self) -> tuple[Place | None, bool]:
        """Give up to where it is read for now (None: as far as it goes), and whether one log after the other."""
        assert self._marks is not None
        assert self.path is not None
        here = self.path.end
        for mark in (self._marks.start, self._marks.acked):
            if any(at < end for at, end in zip(here, mark, strict=True)):
                return mark, False
        limit = self._marks.limit
        return (limit, True) if any(at < end for at, end in zip(here, limit, strict=True)) else (None, False)

    def _next(self, is_at_end: Callable[[int], bool]) -> tuple[int, int, float] | None:
        """Give the log that is read next, and up to which offset and tick; None if what comes next is not there yet."""
        assert self.path is not None
        target, is_in_turn = self._stage()
        here = self.path.end
        left = [log for log in range(len(here)) if target is None or here[log] < target[log]]
        if is_in_turn:
            return (left[0], target[left[0]], np.inf) if target is not None and self._queues[left[0]] else None
        ready = [log for log in reversed(left) if self._queues[log]]
        if not ready:
            return None
        log = min(ready, key=lambda each: self._queues[each][0].tick)
        upto = min((self._due(other, log, is_at_end) for other in left if other != log), default=np.inf)
        end = ENDLESS if target is None else target[log]
        return (log, end, upto) if self._queues[log][0].tick <= upto else None

    def _due(self, other: int, log: int, is_at_end: Callable[[int], bool]) -> float:
        """Give up to which tick one log may be read by what is known of another."""
        if self._queues[other]:
            tick = self._queues[other][0].tick
        elif is_at_end(other):
            return np.inf
        else:
            tick = self._ticks[other]
        return tick if other < log else tick - 1.0


def _ticks(times_s: FloatArray) -> FloatArray:
    return np.floor(times_s / TICK_S)
