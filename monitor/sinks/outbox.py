"""What is still to be told to one receiver, and when. Pure: no clock, no threads; the caller brings time and a lock.

* One entry per alert. For sinks that hold the newest state, a newer notice takes the place of one that still waits; for
  sinks that are told every change, notices of one alert wait in line.
* A notice is kept until the receiver has or refuses it, or a newer one supersedes it, however long that takes.
* An alert that fired and resolved while the receiver was away is told as resolved: nobody is woken for what is over,
  and nothing vanishes. (Alertmanager notifies nobody of a resolved alert that it never saw fire; to others it is one
  line that says from when to when it fired. To leave it out altogether, one would have to know that no attempt to tell
  that it fires has arrived, which after a crash nobody does.)
* What is new goes before what is only repeated. Within each, the longest due goes first.
* At most `notices_max` alerts (every change told: notices): a new one beyond that is not taken in, and `put` says so.
* `state` and `restore` carry all of it into the next process, in wall-clock times, as the steady clock begins anew
  there. What waits and what is repeated is due at once then. What was told after `state` was taken is told once more.

Cost: O(log n) per call and notice; about 1 kB per alert beside the alert itself.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from monitor.alert_state import transition_of, transition_state
from monitor.errors import StateError
from monitor.sinks.base import RESOLVED_RESEND_S, Notice, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from monitor.domain import Alert
    from monitor.kept import State

NOTICES_MAX: Final = 10_000  # ours: ten times the alerts of a bad day, 10 to 20 MB


class Put(Enum):
    """What became of a notice."""

    QUEUED = "queued"
    SUPERSEDED = "superseded"  # queued, in the place of an older one
    FULL = "full"  # not taken in


@dataclass(slots=True)
class _Entry:
    """One alert. waiting: not told yet, oldest first. standing: told, and to be told again.

    until_s: when a resolved one is repeated for the last time. rejected: the standing one, where it was refused.
    """

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

    def __init__(self, terms: Terms, notices_max: int = NOTICES_MAX) -> None:
        self._terms = terms
        self._notices_max = notices_max
        self.changes = 0
        """How often what `state` gives has changed, other than by the passing of time."""
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
            entry = _Entry()
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
        entry = self._entries.get(notice.key)
        if entry is None:
            return True  # dropped while it was under way
        is_first = notice is not entry.standing or notice is entry.rejected
        entry.rejected = None
        self._settle(notice, entry, now_s)
        self.changes += is_first or notice.key not in self._entries
        return is_first

    def retry(self, notice: Notice, now_s: float, *, due_s: float) -> bool:
        """Note that an attempt failed; the alert is due again at due_s.

        False when it will not be: a resolved alert that the receiver has, at the end of the time of its repeats.
        """
        entry = self._entries.get(notice.key)
        if entry is None:
            return True
        entry.attempts += 1
        self.changes += 1
        if entry.waiting:
            self._schedule(notice.key, entry, due_s if entry.waiting[0] is notice else now_s)
        elif entry.until_s is not None and now_s >= entry.until_s:
            self._settle(notice, entry, now_s, is_over=True)
            return False
        else:
            self._schedule(notice.key, entry, due_s)
        return True

    def reject(self, notice: Notice, now_s: float) -> bool:
        """Note that this will never be taken by the receiver. True when that is news about this state of the alert.

        A firing alert of a sink with `resend_s` comes again at its next turn: the cause may have been mended meanwhile.
        """
        entry = self._entries.get(notice.key)
        if entry is None:
            return False
        is_news = entry.rejected is not notice
        entry.rejected = notice
        self.changes += 1
        self._settle(notice, entry, now_s, is_over=notice.is_resolved)
        return is_news

    def attempts(self, notice: Notice) -> int:
        """Give how many attempts in a row have failed for that alert."""
        entry = self._entries.get(notice.key)
        return 0 if entry is None else entry.attempts

    def hurry(self, now_s: float) -> None:
        """Make everything that waits due now."""
        for key, entry in self._entries.items():
            if entry.waiting and not entry.is_taken:
                entry.attempts = 0
                self._schedule(key, entry, now_s)

    def holds(self, key: str) -> bool:
        """Tell whether there is something to be told, or told again, of an alert."""
        return key in self._entries

    def drop(self, is_gone: Callable[[Alert], bool]) -> None:
        """Forget alerts that others tell of from now on; an attempt that is under way ends as it may."""
        for key, entry in list(self._entries.items()):
            if is_gone(_next(entry).alert):
                del self._entries[key]
                self._waiting -= len(entry.waiting)
                self.changes += 1

    def state(self, now_s: float, now_wall_s: float) -> State:
        """Give all that is kept. now_wall_s: what the wall clock shows at now_s."""
        ahead_s = now_wall_s - now_s
        return {"entries": [_entry_state(entry, ahead_s) for entry in self._entries.values()]}

    def restore(self, state: Mapping[str, Any], now_s: float, now_wall_s: float) -> int:
        """Take in what an earlier outbox held; give how many notices found no room.

        Where the terms are others today, what they leave out is left out, and so are alerts that are held already: what
        is known of them here is newer. Raises StateError.
        """
        refused = 0
        for each in state.get("entries", ()):
            entry = _entry_of(each, now_s - now_wall_s, now_s)
            self._cut(entry)
            if (entry.waiting or entry.standing) and _next(entry).key not in self._entries:
                refused += self._take_over(entry, now_s)
        return refused

    def _cut(self, entry: _Entry) -> None:
        """Leave out what today's terms do not ask for."""
        if not self._terms.is_every_change_told:
            newest = [notice for notice in entry.waiting if notice.is_about_firing][-1:]
            entry.waiting = deque(newest)
        if self._terms.resend_s is None:
            entry.standing = None

    def _take_over(self, entry: _Entry, now_s: float) -> int:
        """Take in an entry; give how many of its notices found no room."""
        held = self._waiting if self._terms.is_every_change_told else len(self._entries)
        if held + max(1, len(entry.waiting)) > self._notices_max:
            return max(1, len(entry.waiting))
        key = _next(entry).key
        self._entries[key] = entry
        self._waiting += len(entry.waiting)
        self.changes += 1
        self._schedule(key, entry, now_s)
        return 0

    def _append(self, notice: Notice, entry: _Entry, now_s: float) -> Put:
        if self._waiting >= self._notices_max:
            return Put.FULL
        self._entries[notice.key] = entry
        entry.waiting.append(notice)
        self._waiting += 1
        self.changes += 1
        if len(entry.waiting) == 1:
            entry.waiting_since_s = now_s
            self._make_due(notice.key, entry, now_s)
        return Put.QUEUED

    def _replace(self, notice: Notice, entry: _Entry, now_s: float) -> Put:
        self._entries[notice.key] = entry
        self.changes += 1
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


def _entry_state(entry: _Entry, ahead_s: float) -> State:
    """Give an entry as plain values. ahead_s: how far the wall clock is ahead of the steady one."""
    return {
        "waiting": [_notice_state(notice) for notice in entry.waiting],
        "waiting_since_wall_s": entry.waiting_since_s + ahead_s,
        "standing": None if entry.standing is None else _notice_state(entry.standing),
        "until_wall_s": None if entry.until_s is None else entry.until_s + ahead_s,
        "attempts": entry.attempts,
        "is_rejected": entry.rejected is not None,
    }


def _entry_of(state: Mapping[str, Any], ahead_s: float, now_s: float) -> _Entry:
    """Give the entry of a state. Where the wall clock was set back meanwhile, nothing lies in the future for that."""
    try:
        standing, until_wall_s = state["standing"], state["until_wall_s"]
        entry = _Entry(
            waiting=deque(_notice_of(each) for each in state["waiting"]),
            standing=None if standing is None else _notice_of(standing),
            waiting_since_s=min(now_s, state["waiting_since_wall_s"] + ahead_s),
            until_s=None if until_wall_s is None else min(until_wall_s + ahead_s, now_s + RESOLVED_RESEND_S),
            attempts=state["attempts"],
        )
        entry.rejected = entry.standing if state["is_rejected"] else None
    except (KeyError, TypeError) as error:
        raise StateError(f"stored state: what should be a notice is none: {type(error).__name__}: {error}") from None
    return entry


def _notice_state(notice: Notice) -> State:
    return {"transition": transition_state(notice.transition), "decided_wall_s": notice.decided_wall_s}


def _notice_of(state: Mapping[str, Any]) -> Notice:
    return Notice(transition_of(state["transition"]), state["decided_wall_s"])
