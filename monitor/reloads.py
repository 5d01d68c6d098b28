"""Reloads of the configuration: asked for by a signal or on any thread, done by the loop between two batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Final, Protocol

import structlog

from monitor.errors import DriftdError
from monitor.pipeline_terms import PipelineTerms
from monitor.selfwatch.terms import SelfTerms
from monitor.silences import Maintenance
from monitor.sinks.base import Sink
from monitor.upkeep import ReloadStatus

WAIT_S: Final = 30.0
log = structlog.get_logger()


class Swapped(Protocol):
    """What the loop swaps in; see reloading.Reloaded."""

    @property
    def terms(self) -> PipelineTerms:
        """Rules, limits and budget."""
        ...

    @property
    def sinks(self) -> Sequence[Sink]:
        """All receivers."""
        ...

    @property
    def same(self) -> frozenset[str]:
        """Names of the sinks that go on as they are."""
        ...

    @property
    def watch(self) -> SelfTerms:
        """Of driftd's own alerts."""
        ...

    @property
    def maintenance(self) -> Sequence[Maintenance]:
        """When nobody is told of alerts."""
        ...

    @property
    def changed(self) -> tuple[str, ...]:
        """Options that are in force now."""
        ...

    @property
    def needs_restart(self) -> tuple[str, ...]:
        """Options that are not."""
        ...


class Reloads:
    """Who asks, and what came of it. load: reads and checks the configuration anew; None: it can't be reloaded.

    version: of the configuration so far.
    """

    def __init__(self, load: Callable[[], Swapped] | None, now_s: float, version: str = "") -> None:
        self._load = load
        self._asked: list[Future[str]] = []
        self._lock = threading.Lock()
        self._is_signalled = False
        self.status = ReloadStatus(at_wall_s=now_s, version=version)

    def signal(self) -> None:
        """Ask for a reload. Safe in a signal handler: it takes no lock."""
        self._is_signalled = True

    def __call__(self) -> str | None:
        """Ask for a reload and wait for it, on any thread but the loop's; give what is wrong, None if it is done."""
        asked: Future[str] = Future()
        with self._lock:
            self._asked.append(asked)
        try:
            return asked.result(WAIT_S) or None
        except TimeoutError:
            return f"the loop did not come to it within {WAIT_S:.0f} s; it is done as soon as it does"

    @property
    def is_due(self) -> bool:
        """Tell whether anyone has asked."""
        return self._is_signalled or bool(self._asked)

    def run(self, swap: Callable[[Swapped], None], now_s: float) -> None:
        """Do it, if the configuration can be used; else all stays as it was."""
        with self._lock:
            asked, self._asked = self._asked, []
        self._is_signalled = False
        wrong = self._run(swap, now_s)
        for each in asked:
            each.set_result(wrong)

    def _run(self, swap: Callable[[Swapped], None], now_s: float) -> str:
        if self._load is None:
            return "this process can't reload its configuration"
        try:
            found = self._load()
        except DriftdError as error:
            self.status = replace(self.status, is_good=False)
            log.error("configuration not reloaded", error_code="reload_failed", error=str(error))  # noqa: TRY400 - it says all
            return str(error)
        swap(found)
        version, waits = found.terms.config_version, found.needs_restart
        self.status = ReloadStatus(is_good=True, at_wall_s=now_s, needs_restart=waits, version=version)
        log.info("configuration reloaded", config_version=version, changed=found.changed, needs_restart=waits)
        return ""
