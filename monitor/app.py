"""The loop: read, count and judge, tell, show. It knows protocols, not products.

One thread, the one that calls `run`, reads, folds, judges and writes all state. Delivery has threads of its own, and
scrapes read the last snapshot, which is published by one assignment.
"""

from __future__ import annotations

import faulthandler
import gc
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import structlog

from monitor.domain import Picture, SinkStatus, Snapshot, Transition
from monitor.drills import marked, marked_transitions
from monitor.errors import BaselineError, SourceError
from monitor.ledger import Ledger
from monitor.pipeline import Pipeline, Step
from monitor.references import Reference
from monitor.rules import Budget
from monitor.sources.base import Source

PUBLISH_S: Final = 1.0
PUBLISH_S_MAX: Final = 15.0
PUBLISH_SHARE_MAX: Final = 0.01
"""Pictures of very many streams take time: rather than cost more than this share, they are taken less often.

PUBLISH_S_MAX is the longest between two.
"""
IDLE_CHECK_S: Final = 0.5
ERROR_LOG_S: Final = 30.0
"""The same error is logged again only after this long; the metric counts every one."""

GC_THRESHOLDS: Final = (100_000, 20, 50)
"""At Python's own thresholds the collector takes a sixth of the pipeline's time: 6.0 us an event instead of 5.1."""

SWITCH_S: Final = 0.001
"""How long the loop keeps a waiting scrape from the interpreter: a fifth of Python's own, so scrapes stay short."""

log = structlog.get_logger()


class Telling(Protocol):
    """What the loop asks of delivery; see delivery.Delivery."""

    def start(self) -> None:
        """Begin to deliver. Called once, before the loop runs."""
        ...

    def offer(self, transitions: Sequence[Transition], now_wall_s: float) -> None:
        """Take in what is to be told. Never waits, never raises."""
        ...

    def status(self) -> Sequence[SinkStatus]:
        """Give how each sink fares; waits for none."""
        ...

    def drain(self, budget_s: float) -> int:
        """Try to tell what waits, for at most budget_s; give how many notices are left."""
        ...

    def close(self) -> None:
        """Let go of the sinks. Called last; again does nothing."""
        ...


class Serving(Protocol):
    """What the loop asks of the web server; see web.WebServer."""

    def start(self) -> None:
        """Listen and serve; returns once requests are answered. Raises ConfigError if it can't listen."""
        ...

    def stop(self) -> None:
        """Stop listening and close every connection; more than once does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class AppTerms:
    """How the loop runs.

    shutdown_s: budget from the signal to the end. save: keeps a learned reference; raises BaselineError. about: what
    the first line of the log tells. budget: of false alarms, which pages are counted against.
    """

    poll_timeout_s: float = 0.2
    commit_s: float = 5.0
    shutdown_s: float = 20.0
    save: Callable[[Reference], object] | None = None
    about: Mapping[str, object] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)


class Board:
    """Where the last snapshot hangs; written by the loop, read by everyone."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._is_busy = False

    def set_busy(self, is_busy: bool) -> None:  # noqa: FBT001 - a setter's one argument
        """Say whether the loop is at work, or waits for messages."""
        self._is_busy = is_busy

    def is_busy(self) -> bool:
        """Tell whether the loop is at work."""
        return self._is_busy

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot."""
        self._snapshot = snapshot

    def latest(self) -> Snapshot | None:
        """Give the last snapshot, None before the first."""
        return self._snapshot


class App:
    """A daemon that is wired and not yet started."""

    def __init__(
        self,
        pipeline: Pipeline,
        source: Source,
        delivery: Telling,
        board: Board,
        terms: AppTerms,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._pipeline = pipeline
        self.source = source
        self._delivery = delivery
        self._board = board
        self._terms = terms
        self._clock = clock
        self.ledger = Ledger(terms.budget)
        self._started_s = clock()
        self._is_stopping = False
        self._assigned: frozenset[object] | None = None
        self._has_looked = False
        self._commits = 0
        self._batches = 0
        self._busy_s = 0.0
        self._due_commit_s = self._due_publish_s = self._due_idle_s = 0.0

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand. Safe to call from a signal handler."""
        self._is_stopping = True

    def run(self, server: Serving | None = None) -> None:
        """Run until stopped; in any case stop all in reverse order. Raises DriftdError if the source fails for good."""
        self._restore()
        calm_the_collector()
        sys.setswitchinterval(SWITCH_S)
        with ExitStack() as stack:
            stack.callback(self._delivery.close)
            self._delivery.start()
            if server is not None:
                server.start()
                stack.callback(server.stop)
            self.source.open()
            stack.callback(self._close_source)
            log.info("started", **self._terms.about)
            self._publish(reason="starting")
            try:
                while not self._is_stopping:
                    self._turn()
            finally:
                self._end()

    def _restore(self) -> None:
        """Start from what was kept. Nothing is yet: this is the one place where durable state will come in."""
        log.info("windows start empty", reason="no durable state: offsets come from the consumer group")

    def _turn(self) -> None:
        """One turn: the architecture on a screen."""
        self._board.set_busy(False)
        batch = self.source.poll(self._terms.poll_timeout_s)
        self._board.set_busy(True)
        began_s = time.perf_counter()
        now_s = self._clock()
        self._reassign()
        if len(batch):
            self._batches += 1
            self._tell(self._pipeline.step(batch, now_s))
        if now_s >= self._due_idle_s:
            self._tell(self._pipeline.idle(*self.source.idle(), now_s))
            self._due_idle_s = now_s + IDLE_CHECK_S
        if now_s >= self._due_commit_s:
            self.source.commit()
            self._commits += 1
            self._due_commit_s = now_s + self._terms.commit_s
        if now_s >= self._due_publish_s:
            self._publish()
        self._busy_s += time.perf_counter() - began_s
        if batch.is_last:
            self._is_stopping = True

    def _reassign(self) -> None:
        assigned = self.source.assigned()
        if assigned is not None and self._assigned != frozenset(assigned):
            self._assigned = frozenset(assigned)
            self._pipeline.assign(assigned)
            names = sorted(f"{p.topic}/{p.partition}" for p in assigned)
            log.info("partitions assigned", count=len(names), partitions=names[:50])
            self._due_publish_s = 0.0  # a partition that left must not be seen at the next scrape

    def _tell(self, step: Step) -> None:
        for reference in step.references:
            self._keep(reference)
        transitions = marked_transitions(step.transitions)
        if transitions:
            now_s = self._clock()
            self._delivery.offer(transitions, now_s)
            self.ledger.take(transitions, now_s)
            self._due_publish_s = 0.0

    def _keep(self, reference: Reference) -> None:
        about = {"model": reference.model, "model_version": reference.model_version, "reference": reference.identity}
        log.info("reference learned", events=reference.events, span_s=round(reference.span_s, 3), **about)
        if self._terms.save is None:
            return
        try:
            log.info("reference saved", path=str(self._terms.save(reference)), **about)
        except BaselineError as error:
            log.error(  # noqa: TRY400 - the error says it all, and the daemon goes on: a stack would be noise
                "reference not saved", error_code="reference_not_saved", error=str(error), **about
            )

    # ---- what others see

    def _publish(self, reason: str = "") -> None:
        began_s = time.perf_counter()
        picture = self._pipeline.picture()
        picture = replace(picture, alerts=marked(picture.alerts))
        self._has_looked = self._has_looked or picture.looks > 0
        why = reason or self._not_ready_because(picture)
        now_s = self._clock()
        self._board.publish(
            Snapshot(
                wall_s=now_s,
                started_wall_s=self._started_s,
                tick_wall_s=now_s,
                is_ready=not why,
                not_ready_because=why,
                picture=picture,
                partitions=tuple(self.source.status()),
                sinks=tuple(self._delivery.status()),
                batches=self._batches,
                busy_s=self._busy_s,
                commits=self._commits,
                source_errors=dict(self.source.errors()),
                pages=self.ledger.pages(picture.watermark_s),
            )
        )
        cost_s = time.perf_counter() - began_s
        self._due_publish_s = now_s + min(PUBLISH_S_MAX, max(PUBLISH_S, cost_s / PUBLISH_SHARE_MAX))

    def _not_ready_because(self, picture: Picture) -> str:
        if self._assigned is None:
            return "no partitions assigned yet"
        if trouble := self.source.trouble():
            return trouble
        has_events = any(type_ == "inference" for _, type_ in picture.counted)
        return "" if self._has_looked or not has_events else "no pane has been judged yet"

    # ---- the end

    def _end(self) -> None:
        """Say goodbye, commit, deliver what is queued within the budget. Batches are folded whole: none is held."""
        deadline_s = time.monotonic() + self._terms.shutdown_s
        log.info("stopping", budget_s=self._terms.shutdown_s)
        # If closing hangs (a broker that does not answer), the stacks are shown and the process ends anyway.
        faulthandler.dump_traceback_later(self._terms.shutdown_s + 5.0, exit=True)
        self._publish(reason="stopping")
        self.source.commit()
        left = self._delivery.drain(max(0.5, 0.6 * (deadline_s - time.monotonic())))
        if left:
            log.error("notifications left undelivered", error_code="notifications_undelivered", count=left)

    def _close_source(self) -> None:
        try:
            self.source.close()
        except SourceError as error:
            log.error(  # noqa: TRY400 - the error says it all: a stack would be noise
                "source not closed in good order", error_code="source_close", error=str(error)
            )
        finally:
            faulthandler.cancel_dump_traceback_later()
        log.info("stopped")


def calm_the_collector() -> None:
    """Look for cyclic garbage more rarely: a batch makes tens of thousands of objects, none of them in cycles."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


class ErrorLog:
    """Logs what a source reports, each reason at most once in ERROR_LOG_S."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_s: dict[str, float] = {}
        self._since: Counter[str] = Counter()

    def __call__(self, reason: str, text: str, cure: str) -> None:
        """Log an error, or count that it came again."""
        now_s = self._clock()
        self._since[reason] += 1
        if now_s - self._last_s.get(reason, -ERROR_LOG_S) >= ERROR_LOG_S:
            log.warning("source error", error_code=reason, error=text, cure=cure or None, times=self._since.pop(reason))
            self._last_s[reason] = now_s
