"""The two halves as daemons of their own, put together from the settings. It opens clients, and reads nothing yet."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from monitor import build
from monitor.app import App
from monitor.assembly import loop_terms, server
from monitor.board import Board
from monitor.config import Settings
from monitor.court_house import CourtHouse
from monitor.dead_letters import CLIENT_OPTIONS
from monitor.decode import ADAPTERS, Adapter, Limits
from monitor.delivery import Delivery
from monitor.delta_court import DeltaCourt
from monitor.delta_fold import DeltaFold
from monitor.errors import ConfigError
from monitor.fold_house import FoldHouse, Hands
from monitor.pipeline_terms import PipelineTerms
from monitor.relay.delta_topic import DeltaTopic
from monitor.relay.layout_topic import LayoutReader, LayoutWriter
from monitor.relay.ledger import GroupLedger
from monitor.reports import ErrorLog
from monitor.sources.kafka import KafkaSource
from monitor.web import WebServer


def fold_app(
    settings: Settings,
    board: Board,
    clock: Callable[[], float] = time.time,
    load: Callable[[], Settings] | None = None,
) -> tuple[App, WebServer]:
    """Give a fold and its web server; see assembly.app. It keeps no state, and judges nothing but itself."""
    terms, own = _without_join(settings), settings.scaleout
    report = ErrorLog()
    source = KafkaSource(build.fold_terms(settings), clock, report)
    ledger = GroupLedger(source.consumer, settings.kafka.topics, report)
    reader = LayoutReader(_client(settings), own.layouts_topic, report)
    reader.open()
    sender = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    postbox = DeltaTopic(_client(settings), own.deltas_topic)
    hands = Hands(ledger, postbox, source.positions, source.tenures, reader, ledger.partitions)
    house = FoldHouse(DeltaFold(terms, _adapter(settings), own.courts), hands, sender, own.courts)
    about = {"role": "fold", "sender": sender}
    loop = replace(loop_terms(settings, board, terms, load, about), away_s=0.0, save=None, open_store=None)
    whole = App(house, source, Delivery(build.sinks(settings)), board, loop, clock)
    return whole, server(settings, board, whole, loop.aides)


def judge_app(
    settings: Settings,
    board: Board,
    clock: Callable[[], float] = time.time,
    load: Callable[[], Settings] | None = None,
) -> tuple[App, WebServer]:
    """Give a judge and its web server; see assembly.app."""
    own = settings.scaleout
    terms = replace(_without_join(settings), event_ids_max=0)
    loaded, adapter = build.references(settings), _adapter(settings)
    source = KafkaSource(build.delta_terms(settings), clock, ErrorLog())
    house = CourtHouse(
        make=lambda: DeltaCourt(terms, adapter, loaded, settings.state.absence_s),
        tell=LayoutWriter(_client(settings), own.layouts_topic),
        topic=own.deltas_topic,
        forget=source.forget,
    )
    about = {"role": "judge", "references": len(loaded), "state": str(Path(settings.state.directory))}
    loop = replace(loop_terms(settings, board, terms, load, about), away_s=0.0, topics=(own.deltas_topic,))
    whole = App(house, source, Delivery(build.sinks(settings)), board, loop, clock)
    return whole, server(settings, board, whole, loop.aides)


def _without_join(settings: Settings) -> PipelineTerms:
    """Give a half's terms. Raises ConfigError where outcomes must be joined, which only a whole process does so far."""
    if settings.outcomes.join == "always":
        raise ConfigError(
            "outcomes.join: found always, and a fold can't join yet; write never (outcomes are then counted by kind"
            " alone), or let `driftd run` read these topics"
        )
    terms = build.pipeline_terms(settings)
    return replace(terms, join=replace(terms.join, mode="off"))


def _adapter(settings: Settings) -> Adapter:
    return ADAPTERS[build.ADAPTER](Limits(settings.kafka.message_bytes_max, settings.limits.features_max))


def _client(settings: Settings) -> dict[str, object]:
    """Give librdkafka's options to connect, without those of a group's member."""
    given = build.kafka_options(settings.kafka)
    return {name: value for name, value in given.items() if name.startswith(CLIENT_OPTIONS)}
