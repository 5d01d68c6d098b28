"""Asks the configured gates now and then, on a thread of its own: a verdict takes longer than a turn of the loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import structlog

from monitor.domain import Snapshot
from monitor.errors import DriftdError
from monitor.gate.counts import pair_of
from monitor.gate.policy import Policy
from monitor.gate.report import Gate, ask
from monitor.versions import GateStatus, ModelTotals

ASK_S: Final = 15.0
SHARE_MAX: Final = 0.05
"""Where verdicts take long they are asked for less often, rather than take more than this share of the time."""
GATES_MAX: Final = 100
OVERALL: Final = "overall"
"""In place of a criterion: all of them together."""
_JOIN_S: Final = 1.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GateOrder:
    """A gate to be asked. model: a glob. incumbent, candidate: versions, or what stands for them (gate.counts)."""

    model: str
    incumbent: str
    candidate: str


class GateWatch:
    """Asks from `start` until `stop`; looking often costs nothing of what the policy promises.

    latest: gives the last snapshot, None before the first. clock: wall clock.
    """

    def __init__(
        self,
        latest: Callable[[], Snapshot | None],
        orders: Sequence[GateOrder],
        policy: Policy,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._latest = latest
        self._orders = orders
        self._policy = policy
        self._clock = clock
        self._found: tuple[GateStatus, ...] = ()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="driftd-gates", daemon=True)

    def status(self) -> Sequence[GateStatus]:
        """Give what the gates said last; from any thread."""
        return self._found

    def start(self) -> None:
        """Begin. Called once."""
        self._thread.start()

    def stop(self) -> None:
        """End. More than once does nothing."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def look(self) -> None:
        """Ask all gates once: all of its work, and can be called without the thread."""
        snapshot = self._latest()
        if snapshot is not None:
            self._found = tuple(self._statuses(snapshot.picture.releases))

    def _statuses(self, models: Sequence[ModelTotals]) -> Iterator[GateStatus]:
        asked = [(order, model) for order in self._orders for model in models if fnmatchcase(model.model, order.model)]
        for order, model in asked[:GATES_MAX]:
            try:
                pair = pair_of(model, order.incumbent, order.candidate)
            except DriftdError:  # a version that has not come yet is no trouble: there is nothing to tell
                continue
            if self._stopping.is_set():
                return
            yield _status(ask(model.model, pair, self._policy), self._clock())

    def _run(self) -> None:
        wait_s = ASK_S
        while not self._stopping.wait(wait_s):
            began_s = time.monotonic()
            try:
                self.look()
            except Exception:  # the daemon goes on without its gates rather than stop for them
                log.exception("gates could not be asked", error_code="gates")
            wait_s = max(ASK_S, (time.monotonic() - began_s) / SHARE_MAX)


def _status(gate: Gate, now_s: float) -> GateStatus:
    findings = gate.release.findings
    return GateStatus(
        model=gate.model,
        incumbent=gate.pair.incumbent,
        candidate=gate.pair.candidate,
        wall_s=now_s,
        verdicts={OVERALL: str(gate.release.verdict), **{f.criterion.name: str(f.verdict) for f in findings}},
        changes={f.criterion.name: f.change for f in findings},
        more_events={f.criterion.name: f.more_events for f in findings if f.more_events is not None},
        score=gate.release.score.value,
        details={"time": now_s, **gate.to_dict()},
    )
