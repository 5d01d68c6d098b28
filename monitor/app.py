"""The loop: read, count and judge, keep, tell, show. It knows protocols, not products.

One thread, the one that calls `run`, reads, folds, judges and writes all state. Delivery has threads of its own, and
scrapes read the last snapshot, which is published by one assignment.
"""

from __future__ import annotations

import faulthandler
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from monitor.absences import Absences
from monitor.aides import Aides
from monitor.board import Board, Serving, Telling
from monitor.collector import calm_the_collector
from monitor.court import Step
from monitor.domain import Alert, Batch, PartitionStatus, Picture, Snapshot, TopicPartition
from monitor.errors import SourceError
from monitor.keeper import UNTOLD, Keeper, Loaded, Opened, keep_reference
from monitor.kept import Section, under
from monitor.ledger import LEDGER, Ledger
from monitor.references import Reference
from monitor.reloads import Reloads, Swapped
from monitor.rules import Budget
from monitor.selfwatch import Watched
from monitor.silences import SECTION as SILENCES
from monitor.sources.base import Source
from monitor.work import Work

PUBLISH_S: Final = 1.0
PUBLISH_S_MAX: Final = 15.0
PUBLISH_SHARE_MAX: Final = 0.01
"""Pictures of very many streams take time: rather than cost more than this share, they are taken less often.

PUBLISH_S_MAX is the longest between two.
"""
IDLE_CHECK_S: Final = 0.5
FIRST_POLL_S: Final = 0.05
"""How long a poll waits until something was read: partitions are told in one, and their messages come in the next."""
LEARNED, WATCH, ANNOTATIONS = "learned", "selfwatch", "annotations"
OUTBOX, SOURCE = "outbox/", "source"

SWITCH_S: Final = 0.001
"""How long the loop keeps a waiting scrape from the interpreter: a fifth of Python's own, so scrapes stay short."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AppTerms:
    """How the loop runs.

    shutdown_s: budget from the signal to the end. save_s, settle_s: see Keeper. away_s, stalled_s: see Absences.
    save: keeps a learned reference as a file; raises BaselineError. open_store: opens what state is kept in, None: none
    is; raises StateError. may_tell: whether an alert is still ours to tell of once it is stored. reload: reads the
    configuration anew. about: what the first line of the log tells. ledger: of pages. config_version: of what is
    judged by. topics: that are read. aides: who help.
    """

    poll_timeout_s: float = 0.2
    save_s: float = 5.0
    settle_s: float = math.inf
    shutdown_s: float = 20.0
    away_s: float = 60.0
    stalled_s: float = 300.0
    save: Callable[[Reference], object] | None = None
    open_store: Callable[[], Opened] | None = None
    may_tell: Callable[[Alert], bool] = lambda _: True
    reload: Callable[[], Swapped] | None = None
    about: Mapping[str, object] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=lambda: Ledger(Budget()))
    config_version: str = ""
    topics: Sequence[str] = ()
    aides: Aides = field(default_factory=Aides)


class App:
    """A daemon that is wired and not yet started."""

    def __init__(
        self,
        pipeline: Work,
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
        self._aides = terms.aides
        self._clock = clock
        self.ledger = terms.ledger
        self.reloads = Reloads(terms.reload, clock(), terms.config_version)
        self._keeper = Keeper(None, terms.save_s)
        self._absences = Absences(terms.away_s, terms.stalled_s)
        self._started_s = clock()
        self._is_stopping = self._is_halfway = False
        self._assigned: frozenset[TopicPartition] | None = None
        self._waited_for: frozenset[TopicPartition] | None = None
        self._statuses: Sequence[PartitionStatus] = ()
        self._has_looked = False
        self._waits_for = ""
        self._positions: Mapping[TopicPartition, int] = {}
        self._learned: list[Reference] = []
        self._is_resume_due = False
        self._batches = self._commits = 0
        self._busy_s = self._step_s = 0.0
        self._due_publish_s = self._due_idle_s = 0.0

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand. Safe to call from a signal handler."""
        self._is_stopping = True

    def run(self, server: Serving | None = None) -> None:
        """Run until stopped; in any case stop all in reverse order. Raises DriftdError if the source fails for good."""
        sys.setswitchinterval(SWITCH_S)
        with ExitStack() as stack:
            stored = self._open(stack)
            stack.callback(self._delivery.close)
            if server is not None:
                server.start()
                stack.callback(server.stop)
            # Before all is restored, which takes no less time than to join a group.
            self._open_source(stored)
            stack.callback(self._close_source)
            self._restore(stored)
            del stored  # else it would be held for as long as this runs
            calm_the_collector()  # what was read is no garbage
            self._delivery.start()
            self._aides.rejects.open()
            for aide in self._aides.threads():
                aide.start()
                stack.callback(aide.stop)
            log.info("started", **self._terms.about)
            self._publish(reason="starting")
            try:
                while not self._is_stopping:
                    self._turn()
            finally:
                self._end()

    def _turn(self) -> None:
        """One turn: the architecture on a screen."""
        self._board.set_busy(False)
        wait_s = self._terms.poll_timeout_s
        batch = self.source.poll(wait_s if self._batches else min(wait_s, FIRST_POLL_S))
        self._is_halfway = True
        self._board.set_busy(True)
        began_s = time.perf_counter()
        now_s = self._clock()
        self._reassign(now_s)
        if gaps := self.source.gaps():
            self._pipeline.lose(gaps)
        if len(batch):
            self._batches += 1
            step = self._pipeline.step(batch, now_s)
            self._step_s += time.perf_counter() - began_s
            self._reject(step, batch, now_s)
            self._take(step)
        if now_s >= self._due_idle_s:
            self._look_around(now_s)
        if self.reloads.is_due:
            self.reloads.run(self._swap, now_s)
            self._due_publish_s = 0.0
        self._is_halfway, self._positions = False, self.source.positions()
        if self._keeper.is_due(now_s):
            self._save(now_s)
        if now_s >= self._due_publish_s or self._waits_for != self._waiting_for():
            self._publish()
        self._busy_s += time.perf_counter() - began_s
        if batch.is_last:
            self._is_stopping = True

    def _reassign(self, now_s: float) -> None:
        """Tell the pipeline which partitions to wait for, and whether any is missing."""
        assigned = self.source.assigned()
        if assigned is None:
            return
        away = self._aides.rejects.broken.union(self.source.away())
        waited_for = self._absences.waited_for(assigned, away, self._statuses, now_s)
        self._pipeline.missing.is_absent = bool(self._absences.absent)
        if self._waited_for != waited_for:
            self._waited_for = waited_for
            self._pipeline.assign(waited_for)
        if self._assigned != frozenset(assigned):
            self._assigned = frozenset(assigned)
            names = sorted(f"{p.topic}/{p.partition}" for p in assigned)
            log.info("partitions assigned", count=len(names), partitions=names[:50])
            self._due_publish_s = 0.0  # a partition that left must not be seen at the next scrape

    def _look_around(self, now_s: float) -> None:
        """See to what no message tells of: silence, gaps, partitions that run ahead, stand still, or are to be held."""
        self._statuses = () if self.source.trouble() else self.source.status()
        self._aides.rejects.tick(now_s)
        self.source.hold(self._aides.rejects.held(self._assigned or ()).union(self._pipeline.ahead()))
        step = self._pipeline.idle(*self.source.idle(), now_s)
        self._reject(step, Batch(), now_s)
        self._take(step)
        self._due_idle_s = now_s + IDLE_CHECK_S

    def _reject(self, step: Step, batch: Batch, now_s: float) -> None:
        """See to messages that can't be used. batch: what was given, which is not always what was taken in."""
        read = batch if step.batch is None else step.batch
        if len(read):
            self._aides.rejects.take(read, step.rejected, now_s)

    def _take(self, step: Step) -> None:
        """See to what came of messages or of time: references that were learned, notes, alerts that changed."""
        self._learned += step.references
        for note in step.annotations:
            self._aides.annotations.keep(note)
        if step.transitions:
            now_s = self._clock()
            self.ledger.take(step.transitions, now_s)
            self._keeper.hold(self._aides.silences.passed(step.transitions), now_s)
            self._due_publish_s = 0.0

    def _swap(self, found: Swapped) -> None:
        """Go on with another configuration: rules and receivers; consumer and counts stay."""
        self._take(Step(transitions=self._pipeline.replan(found.terms)))
        self.ledger.apply(found.terms.budget)
        self._delivery.replace(found.sinks, found.same)
        self._is_resume_due = True
        self._aides.watch.apply(found.watch)
        self._aides.silences.apply(found.maintenance)
        self._aides.rejects.retry()

    # ---- what is kept

    def _open(self, stack: ExitStack) -> Loaded | None:
        """Open the store, before all else: two processes with one state must not get as far as sharing anything."""
        if self._terms.open_store is None:
            return None
        store, stored = self._terms.open_store()
        stack.callback(store.close)
        self._keeper = Keeper(store, self._terms.save_s, settle_s=self._terms.settle_s)
        return stored

    def _open_source(self, stored: Loaded | None) -> None:
        """Begin to read where an earlier process stored that it was."""
        known = {} if stored is None else stored.sections.get(SOURCE, {})
        self._positions = {} if stored is None else stored.positions
        self.source.open(self._positions, known.get("topic_ids", {}))

    def _restore(self, stored: Loaded | None) -> None:
        """Go on where an earlier process stored that it was."""
        if stored is None:
            kept = "no state is stored yet" if self._keeper.status.is_kept else "no state is kept"
            log.info("windows start empty", reason=f"{kept}: offsets come from the consumer group")
            return
        now_s, states = self._clock(), stored.sections
        self._pipeline.restore(states)
        self.ledger.restore(states.get(LEDGER, {}))
        self._learned += self._pipeline.references(states.get(LEARNED, {}).get("models", ()))
        self._aides.watch.restore(states.get(WATCH, {}))
        self._aides.annotations.restore(states.get(ANNOTATIONS, {}))
        self._aides.rejects.restore(states, self._terms.topics)
        self._aides.silences.restore(states.get(SILENCES, {}))
        self._delivery.restore(dict(under(OUTBOX, states)), now_s)
        for decided in self._keeper.restore(states.get(UNTOLD, {}), now_s):
            self._delivery.offer(decided.transitions, decided.wall_s)
        self._delivery.resume(self._aides.silences.audible(self._pipeline.alerts), now_s)
        about = {"partitions": len(stored.positions), "age_s": round(now_s - stored.saved_wall_s, 3)}
        log.info("state restored", seconds=round(self._clock() - now_s, 3), **about)

    def _sections(self) -> Iterator[Section]:
        yield from self._pipeline.sections()
        yield from self._delivery.sections()
        yield from self._aides.rejects.sections()
        yield Section(LEARNED, None, lambda: {"models": [[each.model, each.model_version] for each in self._learned]})
        yield Section(LEDGER, None, self.ledger.state)
        yield Section(WATCH, None, self._aides.watch.state)
        yield Section(SOURCE, None, lambda: {"topic_ids": dict(self.source.topic_ids())})
        yield Section(SILENCES, None, self._aides.silences.state)
        yield Section(ANNOTATIONS, None, self._aides.annotations.state)

    def _save(self, now_s: float) -> None:
        """Store where all stands, and tell what waited for it."""
        positions = self._positions  # as of the last turn: a poll that failed may have gone on
        decided, is_saved = self._keeper.save(self._sections(), positions, now_s)
        if is_saved or not self._keeper.status.is_kept:
            self._pipeline.saved()
            self.source.saved(positions)
            self._commits += 1
            for reference in self._learned:  # not before: the file of what was never stored would begin a model anew
                keep_reference(reference, self._terms.save)
            self._learned.clear()
        for each in decided:
            told = [transition for transition in each.transitions if self._terms.may_tell(transition.alert)]
            self._delivery.offer(told, each.wall_s)
        if self._is_resume_due:  # a receiver that is new hears of what fires already
            heard = self._aides.silences.audible(self._pipeline.alerts)
            self._delivery.resume([*heard, *self._aides.watch.alerts], now_s)
            self._is_resume_due = False

    # ---- what others see

    def _publish(self, reason: str = "") -> None:
        began_s = time.perf_counter()
        picture, watch = self._pipeline.picture(), self._aides.watch
        self._has_looked = self._has_looked or picture.looks > 0
        self._waits_for = reason or self._waiting_for()
        why = self._waits_for or self._not_ready_because(picture)
        now_s, silences = self._clock(), self._aides.silences
        self._keeper.hold(silences.release(picture.watermark_s), now_s)
        snapshot = Snapshot(
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
            state=self._keeper.status,
            reload=self.reloads.status,
            away=tuple(self.source.away()),
            intake=self.source.intake(),
            dead_letters=self._aides.rejects.status(),
            heartbeat=self._aides.heartbeat_status(),
            stalls=self._aides.stalls_seen(),
            step_s=self._step_s,
            silences=silences.status(picture.watermark_s),
            gates=self._aides.gates_status(),
        )
        own = watch.advance(snapshot, Watched(self.source.trouble(), snapshot.away, *self._aides.usage()))
        self._keeper.hold(own, now_s)
        for transition in own:  # no pages of a model, so they cost nothing of its budget
            self.ledger.keep(transition.alert)
        picture = replace(
            picture, alerts=(*picture.alerts, *watch.alerts), transitions={**picture.transitions, **watch.transitions}
        )
        self._board.publish(replace(snapshot, picture=picture))
        cost_s = time.perf_counter() - began_s
        self._due_publish_s = now_s + min(PUBLISH_S_MAX, max(PUBLISH_S, cost_s / PUBLISH_SHARE_MAX))

    def _waiting_for(self) -> str:
        """Give what there must be before anything can be judged, "" once it is there."""
        if self._assigned is None:
            return "no partitions assigned yet"
        if trouble := self.source.trouble():
            return trouble
        if not self._batches and len(self.source.idle()[0]) < len(self._assigned):
            return "nothing has been read yet"
        return ""

    def _not_ready_because(self, picture: Picture) -> str:
        if why := picture.half.waits_for():
            return why
        has_events = any(type_ == "inference" for _, type_ in picture.counted)
        return "" if self._has_looked or not has_events else "no pane has been judged yet"

    # ---- the end

    def _end(self) -> None:
        """Say goodbye, store, deliver what is queued within the budget. Batches are folded whole: none is held."""
        deadline_s = time.monotonic() + self._terms.shutdown_s
        log.info("stopping", budget_s=self._terms.shutdown_s)
        # If closing hangs (a broker that does not answer), the stacks are shown and the process ends anyway.
        faulthandler.dump_traceback_later(self._terms.shutdown_s + 5.0, exit=True)
        if self._is_halfway:  # a fault of ours: what is counted by half must not be stored, nor what it led to be told
            log.error("ends in the middle of a batch: the next process reads it again", error_code="turn_not_finished")
            return
        self._publish(reason="stopping")
        letters = self._aides.rejects.close(0.1 * self._terms.shutdown_s)
        self._save(self._clock())
        left = self._delivery.drain(max(0.5, 0.6 * (deadline_s - time.monotonic())))
        if self._keeper.status.is_kept:
            self._save(self._clock())  # so that what was delivered meanwhile is not told again
        if left or letters:
            what = "kept for the next process" if self._keeper.status.is_kept else "lost"
            log.error("left untold", error_code="left_untold", notifications=left, dead_letters=letters, they_are=what)

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
