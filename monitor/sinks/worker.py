"""One sink, its outbox, and the thread between them; delivery has one of these for each sink.

After BREAKER_FAILURES failures in a row the sink's breaker is open: it is asked with one notice per back-off, another
one each time, until it takes one. Refused credentials count as such a failure, since they say nothing of the notice.
"""

from __future__ import annotations

import math
import random
import threading
import time
import uuid
from collections import Counter
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from monitor.domain import Receipt, SinkStatus
from monitor.errors import SinkError
from monitor.ledger import DelayCounts, is_page
from monitor.sinks.base import Notice, SinkBusyError
from monitor.sinks.outbox import NOTICES_MAX, Outbox, Put

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from monitor.domain import Alert
    from monitor.kept import State
    from monitor.sinks.base import Sink

BACKOFF_MIN_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0  # ours: after an outage, an alert is told at most a minute after the receiver is back
BREAKER_FAILURES: Final = 3
"""So many failures in a row are the receiver's, and not those of one notice."""
CLOSED: Final = "closed"
OPEN: Final = "open"
RECEIPTS_MAX: Final = 500
"""Alerts of which a sink remembers when its receiver accepted them; about 200 bytes each."""
FULL: Final = "outbox_full"
"""The reason, beside those of a sink, under which a notice is counted that found no room."""
_RECEIPT: Final = tuple(each.name for each in fields(Receipt))
_log = structlog.get_logger("monitor.delivery")


class Clocks(NamedTuple):
    """wall: seconds since the epoch, for what is told. steady: never goes backwards, for when it is told."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


class Worker:
    """One sink, its outbox, and the thread between them. `step` is all of its work, and can be called without it."""

    def __init__(self, sink: Sink, clocks: Clocks, outbox: Outbox | None = None) -> None:
        self.sink: Final = sink
        self._clocks = clocks
        self._outbox = outbox or Outbox(sink.terms)
        self._changed = threading.Condition()  # guards all below, and the outbox; never held while the sink works
        self._is_stopping = False
        self._failures_in_row = 0
        self._paused_until_s = -math.inf
        self._delivered = 0
        self._delays = DelayCounts()
        self._receipts: dict[str, Receipt] = {}
        self._decided_wall_s: dict[str, float] = {}  # of alerts that fire and whose receiver has not heard of it yet
        self._failed: Counter[str] = Counter()
        self._is_full = False
        self._singly = 0  # how many calls to come carry one notice only
        self._process = uuid.uuid4().hex[:12]  # marks of another process must never look like those of this one
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, notices: Sequence[Notice]) -> None:
        """Put what this sink wants into its outbox."""
        wanted = [notice for notice in notices if self.sink.terms.is_every_change_told or notice.is_about_firing]
        if not wanted:
            return
        now_s = self._clocks.steady()
        with self._changed:
            for notice in wanted:
                self._note_decision(notice)
            refused = sum(self._outbox.put(notice, now_s) is Put.FULL for notice in wanted)
            self._failed.update({FULL: refused} if refused else {})
            is_news = bool(refused) and not self._is_full
            self._is_full = bool(refused)
            self._changed.notify_all()
        if is_news:
            _log.error("outbox full, notifications dropped", sink=self.sink.name, notices=refused)

    def state(self) -> State:
        """Give what is still to be told, and what is known of what was told."""
        with self._changed:
            return {
                "outbox": self._outbox.state(self._clocks.steady(), self._clocks.wall()),
                "decided_wall_s": dict(self._decided_wall_s),
                "receipts": [asdict(receipt) for receipt in self._receipts.values()],
                "delays": self._delays.state(),
            }

    def mark(self) -> str:
        """Give what stands for the state as it is now, taken before the state, which may be newer."""
        with self._changed:
            return f"{self._process}-{self._outbox.changes}"

    def restore(self, state: State, now_wall_s: float) -> None:
        """Take in what an earlier process left; see Delivery."""
        with self._changed:
            refused = self._outbox.restore(state.get("outbox", {}), self._clocks.steady(), now_wall_s)
            self._failed.update({FULL: refused} if refused else {})
            self._is_full = bool(refused)
            self._decided_wall_s.update(state.get("decided_wall_s", {}))
            receipts = [Receipt(*(each[name] for name in _RECEIPT)) for each in state.get("receipts", ())]
            self._receipts.update({receipt.dedup_key: receipt for receipt in receipts[-RECEIPTS_MAX:]})
            self._delays.restore(state.get("delays", {}))
            waiting = self._outbox.queued
            self._changed.notify_all()
        if waiting or refused:
            _log.info("notifications taken over", sink=self.sink.name, notices=waiting, dropped=refused)

    def drop(self, is_gone: Callable[[Alert], bool]) -> None:
        """Forget alerts that another process tells of from now on."""
        with self._changed:
            self._outbox.drop(is_gone)
            self._changed.notify_all()

    def holds(self, key: str) -> bool:
        """Tell whether there is something to be told, or told again, of an alert."""
        with self._changed:
            return self._outbox.holds(key)

    def status(self) -> SinkStatus:
        """Give how the sink fares."""
        now_s = self._clocks.steady()
        with self._changed:
            return SinkStatus(
                name=self.sink.name,
                delivered=self._delivered,
                failed=dict(self._failed),
                queued=self._outbox.queued,
                oldest_s=self._outbox.oldest_s(now_s),
                is_healthy=self._failures_in_row == 0 and not self._is_full,
                delays=self._delays.frozen(),
                receipts=tuple(self._receipts.values()),
                breaker=OPEN if self._is_open else CLOSED,
            )

    def hurry(self) -> None:
        """End all back-offs."""
        with self._changed:
            self._failures_in_row = 0
            self._paused_until_s = -math.inf
            self._outbox.hurry(self._clocks.steady())
            self._changed.notify_all()

    def wait_empty(self, deadline_s: float) -> int:
        """Wait until nothing waits to be told, or until deadline_s (time.monotonic); give how many notices still do."""
        with self._changed:
            if self._thread.is_alive():
                self._changed.wait_for(lambda: not self._outbox.queued, max(0.0, deadline_s - time.monotonic()))
            return self._outbox.queued

    def stop(self) -> None:
        """Ask the thread to end."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def join(self, deadline_s: float) -> None:
        """Wait for the thread until deadline_s (time.monotonic). Where it was never started, close the sink here."""
        if self._thread.ident is None:
            self.sink.close()
        else:
            self._thread.join(max(0.0, deadline_s - time.monotonic()))

    def step(self) -> bool:
        """Tell what is due, at most one call of the sink. False when nothing was due."""
        with self._changed:
            now_s = self._clocks.steady()
            at_most = 1 if self._singly or self._is_open else self.sink.terms.notices_max
            notices = self._outbox.take(now_s, at_most) if now_s >= self._paused_until_s else []
            self._singly -= bool(notices and self._singly)
        if notices:
            self._tell(notices)
        return bool(notices)

    @property
    def _is_open(self) -> bool:
        """Whether the breaker is open."""
        return self._failures_in_row >= BREAKER_FAILURES

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                if not self.step():
                    self._rest()
        finally:
            self.sink.close()

    def _rest(self) -> None:
        """Wait until something may be due, or is offered."""
        with self._changed:
            due_s = self._outbox.next_due_s()
            now_s = self._clocks.steady()
            wait_s = None if due_s is None else max(due_s, self._paused_until_s) - now_s
            if not self._is_stopping and (wait_s is None or wait_s > 0):
                self._changed.wait(wait_s)

    def _tell(self, notices: Sequence[Notice]) -> None:
        try:
            self.sink.deliver(notices, self._clocks.wall())
        except SinkError as error:
            self._note_failure(notices, error)
        except Exception as error:  # noqa: BLE001 - the thread's last guard: a bug in a sink must not silence it for good
            _log.exception("sink failed unexpectedly", sink=self.sink.name)
            self._note_failure(notices, SinkError(type(error).__name__, is_retryable=False, reason="other"))
        else:
            self._note_success(notices)

    def _note_success(self, notices: Sequence[Notice]) -> None:
        wall_s = self._clocks.wall()
        with self._changed:
            now_s = self._clocks.steady()
            is_recovered = self._failures_in_row > 0
            self._failures_in_row = 0
            self._is_full = False
            told = [notice for notice in notices if self._outbox.done(notice, now_s)]
            self._delivered += len(told)
            for notice in told:
                self._note_receipt(notice, wall_s)
            self._changed.notify_all()
        if is_recovered:
            _log.info("sink recovered", sink=self.sink.name)
        if not self.sink.terms.is_every_change_told:
            self._log_told(told, wall_s)

    def _note_decision(self, notice: Notice) -> None:
        """Keep when an alert began to fire: during an outage newer states of it take the place of that notice."""
        if is_page(notice.transition):
            self._decided_wall_s[notice.key] = notice.decided_wall_s
            if len(self._decided_wall_s) > NOTICES_MAX:
                del self._decided_wall_s[next(iter(self._decided_wall_s))]

    def _note_receipt(self, notice: Notice, wall_s: float) -> None:
        """Keep when the receiver accepted the first word of an alert that fires."""
        decided_wall_s = self._decided_wall_s.pop(notice.key, None)
        if notice.is_resolved or notice.alert.firing_s is None or decided_wall_s is None:
            return
        self._receipts.pop(notice.key, None)
        self._receipts[notice.key] = Receipt(notice.key, notice.alert.firing_s, decided_wall_s, wall_s)
        if len(self._receipts) > RECEIPTS_MAX:
            del self._receipts[next(iter(self._receipts))]
        if not notice.alert.is_drill:
            self._delays.add(wall_s - decided_wall_s)

    def _log_told(self, notices: Sequence[Notice], wall_s: float) -> None:
        for notice in notices:
            delay_s = round(wall_s - notice.decided_wall_s, 3)
            _log.info("notification delivered", sink=self.sink.name, delay_s=delay_s, **_named(notice))

    def _note_failure(self, notices: Sequence[Notice], error: SinkError) -> None:
        is_one_at_fault = not error.is_retryable and error.reason == "client_error" and len(notices) > 1
        is_retryable = error.is_retryable or error.reason == "auth_error"
        with self._changed:
            self._failed[error.reason] += 1
            self._failures_in_row += 1
            if is_one_at_fault:
                given_up = self._retry_singly(notices)
            else:
                given_up = self._retry_later(notices, error) if is_retryable else self._reject(notices)
            self._changed.notify_all()
        for notice in given_up:
            _log.error("notification dropped", sink=self.sink.name, error=str(error), **_named(notice))
        if is_retryable and self._failures_in_row == 1:
            _log.warning("sink failed, will be retried", sink=self.sink.name, reason=error.reason, error=str(error))

    def _retry_later(self, notices: Sequence[Notice], error: SinkError) -> Sequence[Notice]:
        """Pause the sink, since it is the likely cause, and send these to the back, in case that they are."""
        now_s = self._clocks.steady()
        asked_s = error.retry_after_s if isinstance(error, SinkBusyError) else 0.0
        self._paused_until_s = now_s + max(asked_s, backoff_s(self._failures_in_row))
        given_up: list[Notice] = []
        for notice in notices:
            due_s = now_s + max(asked_s, backoff_s(self._outbox.attempts(notice) + 1))
            if not self._outbox.retry(notice, now_s, due_s=due_s):
                given_up.append(notice)
        return given_up

    def _retry_singly(self, notices: Sequence[Notice]) -> Sequence[Notice]:
        """Have these told again one by one, so that the one that is refused does not take the others along."""
        now_s = self._clocks.steady()
        self._singly = len(notices)
        return [each for each in notices if not self._outbox.retry(each, now_s, due_s=now_s)]

    def _reject(self, notices: Sequence[Notice]) -> Sequence[Notice]:
        now_s = self._clocks.steady()
        return [notice for notice in notices if self._outbox.reject(notice, now_s)]


def backoff_s(failures: int) -> float:
    """Give how long to wait after so many failures in a row: doubled each time, to a minute, less up to half by chance.

    A schedule rather than a retrying call, because newer states take the place of older ones between attempts.
    """
    longest_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(failures - 1, 16))
    return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


def _named(notice: Notice) -> dict[str, str]:
    return {"rule": notice.alert.rule, "state": notice.alert.state.value, "dedup_key": notice.key}
