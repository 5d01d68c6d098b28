"""The daemon, put together from its settings. It checks everything and opens nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from monitor import __version__, build
from monitor.aides import Aides, Usages
from monitor.annotations import OpenNotes
from monitor.app import App, AppTerms
from monitor.board import Board
from monitor.breakers import Breakers, BreakerTerms
from monitor.config import Settings
from monitor.config.web_file import access_file
from monitor.dead_letters import DeadLetters, DeadLetterTerms
from monitor.delivery import Delivery
from monitor.gate_watch import GateOrder, GateWatch
from monitor.heartbeat import Heartbeat, HeartbeatTerms
from monitor.keeper import Opened
from monitor.ledger import Ledger
from monitor.machine import disk, memory
from monitor.pipeline_terms import PipelineTerms
from monitor.reference_files import write_reference
from monitor.rejects import Rejects
from monitor.reloading import Reloader
from monitor.reports import ErrorLog
from monitor.selfwatch import SelfWatch
from monitor.silences import Silences
from monitor.sources.kafka import KafkaSource
from monitor.stalls import StallWatch
from monitor.store import Store
from monitor.store.pending_file import PendingFile
from monitor.web import WebServer, WebTerms


def app(
    settings: Settings,
    board: Board,
    clock: Callable[[], float] = time.time,
    load: Callable[[], Settings] | None = None,
) -> tuple[App, WebServer]:
    """Give the daemon and its web server. load: reads the settings anew, None: they stay. Raises ConfigError."""
    terms = _with_file(build.pipeline_terms(settings), settings)
    loaded = build.references(settings)
    source = KafkaSource(build.kafka_terms(settings), clock, ErrorLog())
    about = {"references": len(loaded), "state": settings.state.directory if settings.state.enabled else None}
    app_terms = loop_terms(settings, board, terms, load, about)
    pipeline, delivery = build.pipeline(settings, loaded, terms), Delivery(build.sinks(settings))
    whole = App(pipeline, source, delivery, board, app_terms, clock)
    return whole, server(settings, board, whole, app_terms.aides)


def _with_file(terms: PipelineTerms, settings: Settings) -> PipelineTerms:
    """Give the terms with what waits for outcomes in a file, where there is state to keep it with."""
    if not settings.state.enabled:
        return terms
    file = PendingFile(Path(settings.state.directory), settings.outcomes.disk_bytes)
    return replace(terms, backing_of=file.part)


def loop_terms(
    settings: Settings,
    board: Board,
    terms: PipelineTerms,
    load: Callable[[], Settings] | None,
    about: Mapping[str, object],
) -> AppTerms:
    """Give how the loop runs. about: what the first line of the log tells besides."""
    save = partial(write_reference, Path(settings.reference.directory)) if settings.reference.save_learned else None
    return AppTerms(
        poll_timeout_s=settings.kafka.poll_timeout_s,
        save_s=settings.kafka.commit_s,
        shutdown_s=settings.run.shutdown_s,
        away_s=settings.state.absence_s,
        stalled_s=settings.http.progress_s,
        save=save,
        open_store=partial(_open_store, settings.state.directory) if settings.state.enabled else None,
        reload=None if load is None else Reloader(load, settings),
        ledger=Ledger(terms.budget),
        config_version=terms.config_version,
        topics=settings.kafka.topics,
        aides=_aides(settings, board, terms),
        about={
            "brokers": list(settings.kafka.bootstrap_servers),
            "topics": list(settings.kafka.topics),
            "group": settings.kafka.group_id,
            "config_version": terms.config_version,
            "http": f"{settings.http.host}:{settings.http.port}",
            **about,
        },
    )


def _open_store(directory: str) -> Opened:
    store = Store.open(directory)
    return store, store.load()


def _aides(settings: Settings, board: Board, terms: PipelineTerms) -> Aides:
    own, beat, time_ = settings.dead_letters, settings.heartbeat, settings.time
    letters = None
    if own.topic is not None:
        options = build.kafka_options(settings.kafka)
        letters = DeadLetters(DeadLetterTerms(own.topic, options, __version__, own.payload), ErrorLog())
    heartbeat = None
    if beat.url is not None:
        judge_s = max(beat.interval_s, 2 * time_.pane_s + time_.disorder_s + time_.idle_s)
        silent = [name for name, receiver in settings.receivers.items() if receiver.type == "log"]
        heartbeat = Heartbeat(
            board.latest, HeartbeatTerms(beat.url, beat.interval_s, beat.timeout_s, judge_s=judge_s, silent=silent)
        )
    folder = Path(settings.state.directory) if settings.state.enabled else None

    def usage() -> Usages:
        return memory(), None if folder is None else disk(folder)

    gates = None
    if settings.releases.gates:
        orders = [GateOrder(each.model, each.incumbent, each.candidate) for each in settings.releases.gates]
        gates = GateWatch(board.latest, orders, settings.releases.policy())
    return Aides(
        rejects=Rejects(Breakers(BreakerTerms(own.invalid_share_max, own.invalid_run_max, own.retry_s)), letters),
        watch=SelfWatch(build.self_terms(settings, terms)),
        heartbeat=heartbeat,
        stalls=StallWatch(lambda: board.turns, settings.http.stall_s / 2, board.is_busy),
        gates=gates,
        usage=usage,
        silences=Silences(build.maintenance(settings)),
    )


def server(settings: Settings, board: Board, whole: App, aides: Aides) -> WebServer:
    """Give the web server of a daemon."""
    http = settings.http
    web_terms = WebTerms(
        host=http.host,
        port=http.port,
        stall_s=http.stall_s,
        progress_s=http.progress_s,
        render_s_min=http.render_s_min,
        label_series_max=settings.limits.label_series_max,
        are_probes_open=http.probes_open,
    )
    reload = whole.reloads if http.admin else None
    notes = OpenNotes(aides.annotations, is_open=http.admin)
    stalls = aides.stalls
    return WebServer(
        board.latest,
        web_terms,
        board.is_busy,
        access=access_file(http),
        reload=reload,
        notes=notes,
        standing=None if stalls is None else lambda: stalls.standing_s,
    )
