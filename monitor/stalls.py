"""Says where the main loop stands when it stands still: the stacks of all threads, once per standstill.

It knows the loop by a token that changes with each turn, and does nothing to it. A process that was stopped as a whole
(SIGSTOP, a suspended machine, a lock held by native code) stops this watch as well, which is told apart by its own
sleep having taken too long.
"""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

LOOKS: Final = 10
"""How often it looks within stall_s."""
LATE: Final = 3.0
"""A sleep that takes so many times as long was none of this process's own time."""
_JOIN_S: Final = 1.0
_log = structlog.get_logger(__name__)


def dump_stacks() -> None:
    """Write the stacks of all threads to standard error: places in code alone, no values."""
    faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr, all_threads=True)


class StallWatch:
    """Watches from `start` until `stop`. Cost: a comparison ten times within stall_s.

    tick: gives what changes with each turn of the loop, None before the first. is_busy: whether it works or waits.
    """

    def __init__(
        self,
        tick: Callable[[], object | None],
        stall_s: float,
        is_busy: Callable[[], bool] = lambda: True,
        dump: Callable[[], None] = dump_stacks,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tick = tick
        self._stall_s = stall_s
        self._is_busy = is_busy
        self._dump = dump
        self._steady = steady
        self._seen: object | None = None
        self._seen_s = self._looked_s = steady()
        self._is_told = False
        self._stalls = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="driftd-stalls", daemon=True)

    @property
    def stalls(self) -> int:
        """How often the loop stood still for stall_s; from any thread."""
        return self._stalls

    @property
    def standing_s(self) -> float:
        """How long the loop has been standing, as of the last look; from any thread. What /livez may go by.

        Other than a probe, which is asked now and then, this watch knows a process that did not run from a loop that
        did not.
        """
        return 0.0 if self._seen is None else self._looked_s - self._seen_s

    def start(self) -> None:
        """Begin to watch. Called once."""
        self._thread.start()

    def stop(self) -> None:
        """End; before the loop does, which then no longer ticks. More than once does nothing."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def look(self) -> None:
        """Look once: all of its work, and can be called without the thread."""
        now_s, tick = self._steady(), self._tick()
        slept_s, self._looked_s = now_s - self._looked_s, now_s
        if tick is None or tick != self._seen:
            if self._is_told:
                _log.warning("main loop goes on", stalled_s=round(now_s - self._seen_s, 1))
            self._seen, self._seen_s, self._is_told = tick, now_s, False
        elif slept_s > LATE * self._stall_s / LOOKS and not self._is_told:
            _log.warning("process did not run", seconds=round(slept_s, 1))
            self._seen_s = now_s
        elif not self._is_told and now_s - self._seen_s >= self._stall_s:
            self._tell(now_s - self._seen_s)

    def _tell(self, stalled_s: float) -> None:
        self._is_told = True
        self._stalls += 1
        _log.error(
            "main loop stands still",
            error_code="loop_stalled",
            stalled_s=round(stalled_s, 1),
            doing="work" if self._is_busy() else "waiting for messages",
            stacks="follow on standard error",
        )
        try:
            self._dump()
        except (OSError, ValueError, RuntimeError, AttributeError) as error:  # standard error may be closed, or no file
            _log.warning("stacks could not be written", error=type(error).__name__)

    def _run(self) -> None:
        while not self._stopping.wait(self._stall_s / LOOKS):
            self.look()
