"""What must be remembered of earlier looks: when totals last grew, shares of late, and how lag went. Pure.

Times are of the watch's own clock (see watch), which only goes forward. Memory: some numbers per name, and names are
topics, partitions, receivers and kinds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from monitor.domain import PartitionStatus
from monitor.kept import State

SHARE_SAMPLES: Final = 30
"""Points of time at which totals are kept for a share."""
LAG_SAMPLES: Final = 10
LAG_STEP_S: Final = 30.0
"""Lag is looked at over ten points of time, as Burrow does, 30 s apart."""
GAIN_MIN: Final = 0.1
"""Who gains so many seconds per second catches up; five minutes behind is made good within the hour."""


@dataclass(slots=True)
class Total:
    """A total that only grows. grew_s: when it last did, -inf: not since it is watched."""

    value: int
    grew_s: float
    first_s: float
    first: int


class Totals:
    """Totals by name, and since when each has not grown. One that fell has begun anew at 0."""

    def __init__(self) -> None:
        self._held: dict[str, Total] = {}

    def note(self, name: str, value: int, now_s: float, *, is_news: bool = True) -> Total:
        """Take in a total. is_news: whether one above 0 that was not known counts as having grown now."""
        held = self._held.get(name)
        if held is None:
            grew_s = now_s if value and is_news else -math.inf
            held = self._held[name] = Total(value, grew_s, now_s, value)
        elif value != held.value:
            if value > held.value or value > 0:
                held.grew_s = now_s
            if value < held.value:
                held.first_s, held.first = now_s, value
            held.value = value
        return held

    def names(self, prefix: str) -> set[str]:
        """Give what is known and begins with the prefix, without it."""
        return {name.removeprefix(prefix) for name in self._held if name.startswith(prefix)}

    def state(self) -> State:
        """Give all, by name."""
        return {name: [t.value, t.grew_s, t.first_s, t.first] for name, t in self._held.items()}

    def restore(self, state: State, anew: tuple[str, ...]) -> None:
        """Go on from what `state` gave. anew: what names begin with whose totals start at 0 with each process."""
        self._held = {
            name: Total(0 if name.startswith(anew) else int(value), float(grew_s), float(first_s), int(first))
            for name, (value, grew_s, first_s, first) in state.items()
        }


class Since:
    """Since when things have been as they are, by name."""

    def __init__(self) -> None:
        self._held: dict[str, float] = {}

    def note(self, name: str, now_s: float, *, is_so: bool) -> float:
        """Give for how long it has been so, 0 when it is not."""
        if not is_so:
            self._held.pop(name, None)
            return 0.0
        return now_s - self._held.setdefault(name, now_s)

    def keep(self, prefix: str, names: set[str]) -> None:
        """Forget what begins with the prefix and is not among the names."""
        self._held = {name: s for name, s in self._held.items() if not name.startswith(prefix) or name in names}

    def state(self) -> State:
        """Give all, by name."""
        return dict(self._held)

    def restore(self, state: State) -> None:
        """Go on from what `state` gave."""
        self._held = {name: float(since_s) for name, since_s in state.items()}


class Share(NamedTuple):
    """Part of a whole, 0 to 1, nan where there is no whole; and how much the whole is."""

    share: float
    whole: int


class Shares:
    """The share that one total had in another over the last span_s, by name. Not kept: it is known again in span_s."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._held: dict[str, deque[tuple[float, int, int]]] = {}

    def note(self, name: str, now_s: float, part: int, whole: int) -> Share:
        """Take in both totals, and give the share."""
        held = self._held.setdefault(name, deque())
        if held and (part < held[-1][1] or whole < held[-1][2]):
            held.clear()  # the totals began anew
        if not held or now_s - held[-1][0] >= self._span_s / SHARE_SAMPLES:
            held.append((now_s, part, whole))
        while len(held) > 1 and held[1][0] <= now_s - self._span_s:
            held.popleft()
        grown = whole - held[0][2]
        return Share((part - held[0][1]) / grown if grown else math.nan, grown)


class Standing(StrEnum):
    """How reading one partition goes, in Burrow's words and by its rules.

    ok: caught up at some time, or the lag falls at times. warn: it is read, and its lag never fell. stall: it is not
    read, and its lag did not fall. stop: it is not read, and nobody says where it ends.
    """

    OK = "ok"
    WARN = "warn"
    STALL = "stall"
    STOP = "stop"


class Point(NamedTuple):
    """A partition at one time."""

    time_s: float
    position: int
    lag_records: int | None
    lag_s: float | None


@dataclass(slots=True)
class LagPast:
    """The last points of one partition."""

    points: deque[Point] = field(default_factory=lambda: deque(maxlen=LAG_SAMPLES))

    def note(self, status: PartitionStatus, now_s: float) -> None:
        """Take in what is seen now; kept at most once in LAG_STEP_S."""
        if not self.points or now_s - self.points[-1].time_s >= LAG_STEP_S:
            self.points.append(Point(now_s, status.position, status.lag_records, status.lag_s))

    @property
    def standing(self) -> Standing:
        """How it goes, by the points there are; a few are too few to tell."""
        points = list(self.points)
        lags = [point.lag_records for point in points]
        if len(points) < LAG_SAMPLES or 0 in lags:
            return Standing.OK
        is_read = points[-1].position != points[0].position
        known = [lag for lag in lags if lag is not None]
        if not known:
            return Standing.OK if is_read else Standing.STOP
        never_fell = all(after >= before for before, after in pairwise(known))
        if not is_read:
            return Standing.STALL if never_fell else Standing.OK
        return Standing.WARN if never_fell else Standing.OK

    def gain(self, lag_s: float, now_s: float) -> float | None:
        """Give how many seconds of lag are made good per second; None: too early to tell."""
        known = [point for point in self.points if point.lag_s is not None and now_s - point.time_s >= LAG_STEP_S]
        if not known or known[0].lag_s is None:
            return None
        return (known[0].lag_s - lag_s) / (now_s - known[0].time_s)
