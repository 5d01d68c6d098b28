"""What is still to be told to one receiver, and when. Pure: no clock, no threads; the caller brings time and a lock.

The seam for a durable outbox: something with the same calls that writes down `put`, `done` and `reject` before it
returns can take this one's place.

* One entry per alert. For sinks that hold the newest state, a newer notice takes the place of one that still waits; for
  sinks that are told every change, notices of one alert wait in line.
* An alert that fired and resolved before the receiver can have heard of it is left out altogether: a page about what is
  over wakes people for nothing. "Can have heard" is true as soon as one attempt may have arrived, and for alerts that
  fired before this outbox existed.
* What is new goes before what is only repeated. Within each, the longest due goes first.
* A notice is kept until the receiver has or refuses it, or a newer one supersedes it. After `give_up_s` a failure is
  final, save for what is told again and again anyway.
* At most `notices_max` alerts (every change told: notices): a new one beyond that is not taken in, and `put` says so.

Cost: O(log n) per call and notice; about 1 kB per alert beside the alert itself.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from monitor.domain import AlertState
from monitor.sinks.base import RESOLVED_RESEND_S, Notice, Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTICES_MAX: Final = 10_000  # ours: ten times the alerts of a bad day, 10 to 20 MB
GIVE_UP_S: Final = 86_400.0  # ours: after a day without an answer, what is told is history


class Put(Enum):
    """What became of a notice."""

    QUEUED = "queued"
    SUPERSEDED = "superseded"  # queued, in the place of an older one
    COLLAPSED = "collapsed"  # over before the receiver can have heard of it: both are left out
    FULL = "full"  # not taken in


@dataclass(slots=True)
class _Entry:
    """One alert. waiting: not told yet, oldest first. standing: told, and to be told again.

    is_heard: the receiver may believe that the alert fires. until_s: when a resolved one is repeated for the last time.
    """

    is_heard: bool
    waiting: deque[Notice] = field(default_factory=deque)
    standing: Notice | None = None
    waiting_since_s: float = 0.0
    due_s: float = 0.0
    until_s: float | None = None
    attempts: int = 0
    is_taken: bool = False
    rejected: Notice | None = None


class Outbox:
    """Gives what is due; is told what became of it. Times are of any one clock that does not go backwards."""

    def __init__(self, terms: Terms, notices_max: int = NOTICES_MAX, give_up_s: float = GIVE_UP_S) -> None:
        self._terms = terms
        self._notices_max = notices_max
        self._give_up_s = give_up_s
        self._entries: dict[str, _Entry] = {}
        self._fresh: list[tuple[float, int, str]] = []
        self._repeats: list[tuple[float, int, str]] = []
        self._order = 0
        self._waiting = 0

    @property
    def queued(self) -> int:
        """How many notices wait, those under way included."""
        return self._waiting

    def oldest_s(self, now_s: float) -> float:
        """Give how long the longest waiting alert has had something untold; 0 when nothing waits. Cost: O(n)."""
        since = [entry.waiting_since_s for entry in self._entries.values() if entry.waiting]
        return max(0.0, now_s - min(since)) if since else 0.0

    def put(self, notice: Notice, now_s: float) -> Put:
        """Take in what is to be told. A resolved or newer state of an alert that is held is always taken in."""
        entry = self._entries.get(notice.key)
        if entry is None:
            if len(self._entries) >= self._notices_max:
                return Put.FULL
            entry = _Entry(is_heard=notice.transition.before is AlertState.FIRING)
        if self._terms.is_every_change_told:
            return self._append(notice, entry, now_s)
        return self._replace(notice, entry, now_s)

    def take(self, now_s: float, at_most: int) -> Sequence[Notice]:
        """Give what is due, at most one notice per alert; those are held back until `done`, `retry` or `reject`."""
        taken: list[Notice] = []
        for heap, is_fresh in ((self._fresh, True), (self._repeats, False)):
            while heap and heap[0][0] <= now_s and len(taken) < at_most:
                due_s, _, key = heapq.heappop(heap)
                entry = self._entries.get(key)
                # Items are not searched for and taken out of a heap: one that does not say what its entry says is old.
                if entry and not entry.is_taken and entry.due_s == due_s and bool(entry.waiting) is is_fresh:
                    entry.is_taken = True
                    taken.append(_next(entry))
        return taken

    def next_due_s(self) -> float | None:
        """Give when `take` may have something, never too late; None while nothing waits or is to be repeated."""
        return min((heap[0][0] for heap in (self._fresh, self._repeats) if heap), default=None)

    def done(self, notice: Notice, now_s: float) -> bool:
        """Note that the receiver has it. True when it was told for the first time."""
        entry = self._entries[notice.key]
        is_first = notice is not entry.standing or notice is entry.rejected
        entry.is_heard = not notice.is_resolved
        entry.rejected = None
        self._settle(notice, entry, now_s)
        return is_first

    def retry(self, notice: Notice, now_s: float, *, due_s: float, may_have_arrived: bool) -> bool:
        """Note that an attempt failed; the alert is due again at due_s. False when that was the last attempt."""
        entry = self._entries[notice.key]
        entry.is_heard = entry.is_heard or (may_have_arrived and not notice.is_resolved)
        entry.attempts += 1
        is_superseded = bool(entry.waiting) and entry.waiting[0] is not notice
        if is_superseded:
            self._retry_newer(notice.key, entry, now_s)
        elif self._is_last(notice, entry, now_s):
            self._settle(notice, entry, now_s, is_over=True)
            return False
        else:
            self._schedule(notice.key, entry, due_s)
        return True

    def reject(self, notice: Notice, now_s: float) -> bool:
        """Note that this will never be taken by the receiver. True when that is news about this state of the alert.

        A firing alert of a sink with `resend_s` comes again at its next turn: the cause may have been mended meanwhile.
        """
        entry = self._entries[notice.key]
        is_news = entry.rejected is not notice
        entry.rejected = notice
        entry.is_heard = entry.is_heard or not notice.is_resolved
        self._settle(notice, entry, now_s, is_over=notice.is_resolved)
        return is_news

    def attempts(self, notice: Notice) -> int:
        """Give how many attempts in a row have failed for that alert."""
        return self._entries[notice.key].attempts

    def hurry(self, now_s: float) -> None:
        """Make everything that waits due now."""
        for key, entry in self._entries.items():
            if entry.waiting and not entry.is_taken:
                entry.attempts = 0
                self._schedule(key, entry, now_s)

    def _append(self, notice: Notice, entry: _Entry, now_s: float) -> Put:
        if self._waiting >= self._notices_max:
            return Put.FULL
        self._entries[notice.key] = entry
        entry.waiting.append(notice)
        self._waiting += 1
        if len(entry.waiting) == 1:
            entry.waiting_since_s = now_s
            self._make_due(notice.key, entry, now_s)
        return Put.QUEUED

    def _replace(self, notice: Notice, entry: _Entry, now_s: float) -> Put:
        if notice.is_resolved and not entry.is_heard and not entry.is_taken:
            self._collapse(notice.key, entry, now_s)
            return Put.COLLAPSED
        self._entries[notice.key] = entry
        is_older_waiting = bool(entry.waiting)
        if not is_older_waiting:
            entry.waiting_since_s = now_s
        self._waiting += 1 - len(entry.waiting)
        entry.waiting.clear()
        entry.waiting.append(notice)
        # What is due already keeps its place, and the heap does not grow while a receiver is down and an alert flaps.
        if not is_older_waiting or entry.due_s > now_s:
            self._make_due(notice.key, entry, now_s)
        return Put.SUPERSEDED if is_older_waiting else Put.QUEUED

    def _is_last(self, notice: Notice, entry: _Entry, now_s: float) -> bool:
        if self._terms.resend_s is not None and not notice.is_resolved:
            return False  # as true as it was, and to be told again and again anyway
        if entry.waiting:
            return now_s - entry.waiting_since_s >= self._give_up_s
        return entry.until_s is not None and now_s >= entry.until_s

    def _retry_newer(self, key: str, entry: _Entry, now_s: float) -> None:
        """End a failed attempt whose alert has moved on meanwhile."""
        if entry.waiting[0].is_resolved and not entry.is_heard:
            self._collapse(key, entry, now_s)
        else:
            self._schedule(key, entry, now_s)

    def _collapse(self, key: str, entry: _Entry, now_s: float) -> None:
        self._waiting -= len(entry.waiting)
        entry.waiting.clear()
        self._rest(key, entry, now_s)

    def _make_due(self, key: str, entry: _Entry, now_s: float) -> None:
        if not entry.is_taken:  # else scheduled when the attempt under way has ended
            self._schedule(key, entry, now_s)

    def _settle(self, notice: Notice, entry: _Entry, now_s: float, *, is_over: bool = False) -> None:
        """End an attempt for good, and see what comes next for that alert. is_over: it is not to be repeated."""
        entry.attempts = 0
        if notice is not entry.standing:
            entry.until_s = now_s + RESOLVED_RESEND_S if notice.is_resolved else None
        entry.standing = None if is_over else notice
        if entry.waiting and entry.waiting[0] is notice:
            entry.waiting.popleft()
            self._waiting -= 1
            entry.waiting_since_s = now_s
        if entry.waiting:
            self._schedule(notice.key, entry, now_s)
        else:
            self._rest(notice.key, entry, now_s)

    def _rest(self, key: str, entry: _Entry, now_s: float) -> None:
        """Schedule the next repetition of what was told, or forget the alert when there is none."""
        resend_s = self._terms.resend_s
        is_over = entry.until_s is not None and now_s + (resend_s or 0.0) > entry.until_s
        if entry.standing is None or resend_s is None or is_over:
            self._entries.pop(key, None)
        else:
            self._schedule(key, entry, now_s + resend_s)

    def _schedule(self, key: str, entry: _Entry, due_s: float) -> None:
        entry.is_taken = False
        entry.due_s = due_s
        self._order += 1
        heapq.heappush(self._fresh if entry.waiting else self._repeats, (due_s, self._order, key))


def _next(entry: _Entry) -> Notice:
    notice = entry.waiting[0] if entry.waiting else entry.standing
    assert notice is not None
    return notice
