"""Delivery: from the loop's transitions to the sinks, without the loop ever waiting for one.

One thread per sink takes what is due from the sink's outbox, lets the sink tell it, and notes what came of it. A sink
that is down or slow holds back neither the loop nor the other sinks: its outbox keeps the newest state of each alert,
for as long as it takes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from monitor.domain import AlertState, Reason, SinkStatus, Transition
from monitor.kept import Section
from monitor.sinks.base import Notice
from monitor.sinks.worker import Clocks, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from monitor.domain import Alert
    from monitor.kept import State
    from monitor.sinks.base import Sink

SECTION: Final = "outbox/"
"""What the names of the sections begin with; the sink's name follows."""
_CLOSE_WAIT_S: Final = 1.0  # for a thread between two attempts; one that hangs in a request is left behind
_log = structlog.get_logger(__name__)


class Delivery:
    """Tells every transition to every sink that wants it. Made, then started; drained, then closed."""

    def __init__(self, sinks: Sequence[Sink], clocks: Clocks | None = None) -> None:
        self._clocks = clocks or Clocks()
        self._workers = [Worker(sink, self._clocks) for sink in sinks]

    def start(self) -> None:
        """Start one thread per sink. Called once, before the loop runs."""
        for worker in self._workers:
            worker.start()

    def state(self) -> dict[str, State]:
        """Give what each sink is still to be told, by its name, to be stored. From any thread; waits for no sink."""
        return {worker.sink.name: worker.state() for worker in self._workers}

    def sections(self) -> list[Section]:
        """Give the same as sections, whose marks say which have changed."""
        return [Section(SECTION + worker.sink.name, worker.mark(), worker.state) for worker in self._workers]

    def restore(self, states: Mapping[str, State], now_wall_s: float) -> None:
        """Take in what others were still to tell, by sink: the process before, or one that judged what we judge now.

        What was to be told by a sink that is no more is dropped, with a line in the log. Raises StateError.
        """
        known = {worker.sink.name: worker for worker in self._workers}
        for name, state in states.items():
            if name in known:
                known[name].restore(state, now_wall_s)
            else:
                dropped = sum(len(each.get("waiting", ())) for each in state.get("outbox", {}).get("entries", ()))
                _log.warning("sink is no longer configured, its notifications are dropped", sink=name, notices=dropped)

    def drop(self, is_gone: Callable[[Alert], bool]) -> None:
        """Neither tell nor repeat alerts that another process tells of from now on."""
        for worker in self._workers:
            worker.drop(is_gone)

    def resume(self, alerts: Sequence[Alert], now_wall_s: float) -> None:
        """Take over alerts that fired before this process began, so that sinks with `resend_s` go on repeating them.

        Called by the loop's thread, with the stored alerts after `restore`, and with all once sinks were replaced. What
        a sink's outbox holds is left to that; alerts that do not fire are left out.
        """
        firing = [alert for alert in alerts if alert.state is AlertState.FIRING]
        told = [
            Notice(Transition(alert.firing_s or alert.pending_s, AlertState.FIRING, alert, Reason.LASTED), now_wall_s)
            for alert in firing
        ]
        for worker in self._workers:
            if worker.sink.terms.resend_s is not None:
                worker.offer([notice for notice in told if not worker.holds(notice.key)])

    def replace(self, sinks: Sequence[Sink], same: Collection[str]) -> None:
        """Tell these sinks from now on. same: names of those that go on as they are; theirs among `sinks` are closed.

        A sink that is made anew takes over what the one of its name had still to tell; what the others had is dropped.
        """
        before = {worker.sink.name: worker for worker in self._workers}
        workers = []
        for sink in sinks:
            old = before.pop(sink.name, None)
            if old is not None and sink.name in same:
                sink.close()
                workers.append(old)
                continue
            worker = Worker(sink, self._clocks)
            if old is not None:
                old.stop()
                worker.restore(old.state(), self._clocks.wall())
            worker.start()
            workers.append(worker)
        for name, old in before.items():
            old.stop()
            _log.warning("sink is no longer configured", sink=name, notices_dropped=old.status().queued)
        self._workers = workers

    def offer(self, transitions: Sequence[Transition], now_wall_s: float) -> None:
        """Take in what is to be told. Never waits for a sink, never raises. By the loop's thread, after each step."""
        notices = [Notice(transition, now_wall_s) for transition in transitions]
        for worker in self._workers:
            worker.offer(notices)

    def status(self) -> Sequence[SinkStatus]:
        """Give how each sink fares, in the order of configuration. From any thread; waits for no sink."""
        return [worker.status() for worker in self._workers]

    def drain(self, budget_s: float) -> int:
        """Try to tell what waits, for at most budget_s; give how many notices are left. Called once the loop has ended.

        What waits out a back-off is tried at once. Ends early when nothing waits.
        """
        deadline_s = time.monotonic() + budget_s
        for worker in self._workers:
            worker.hurry()
        left = sum(worker.wait_empty(deadline_s) for worker in self._workers)
        if left:
            _log.warning("notifications left untold", notices=left, budget_s=budget_s)
        return left

    def close(self) -> None:
        """Stop the threads; each closes its sink. Called last; again does nothing.

        A thread in the middle of a request is waited for only a moment: it ends with the process.
        """
        for worker in self._workers:
            worker.stop()
        deadline_s = time.monotonic() + _CLOSE_WAIT_S
        for worker in self._workers:
            worker.join(deadline_s)
