"""The two halves as daemons of their own, put together from the settings. It opens clients, and reads nothing yet."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from monitor import build, succession
from monitor.app import App
from monitor.assembly import loop_terms, server
from monitor.board import Board
from monitor.config import Settings
from monitor.court_house import CourtHouse
from monitor.decode import ADAPTERS, Adapter, Limits
from monitor.delivery import Delivery
from monitor.delta_court import DeltaCourt
from monitor.delta_fold import DeltaFold
from monitor.errors import ConfigError
from monitor.fold_house import FoldHouse, Hands
from monitor.pipeline_terms import PipelineTerms
from monitor.relay.delta_topic import DeltaTopic
from monitor.relay.layout_topic import LayoutReader, LayoutWriter
from monitor.relay.ledger import GroupLedger, Member
from monitor.relay.state_topic import StateTopic
from monitor.reports import ErrorLog
from monitor.sources.kafka import KafkaSource
from monitor.succession import Succession, SuccessionTerms
from monitor.web import WebServer

CONNECTION: Final = ("_transport", "_all_brokers_down", "_timed_out")
"""As librdkafka names what it meets when a connection is lost."""
SETTLE_S: Final = 1.0
"""How soon after a notice a court's state is stored that knows of it: so long a successor would tell it once more."""


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
    member = Member(source.consumer, source.rejoin, lambda: sum(source.errors().get(name, 0) for name in CONNECTION))
    ledger = GroupLedger(member, settings.kafka.topics, report)
    reader = LayoutReader(build.client_options(settings), own.layouts_topic, report)
    reader.open()
    sender = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    postbox = DeltaTopic(build.client_options(settings), own.deltas_topic)
    about = {"role": "fold", "sender": sender}
    loop = replace(loop_terms(settings, board, terms, load, about), away_s=0.0, save=None, open_store=None)
    untold = loop.aides.rejects.oldest
    hands = Hands(
        ledger, postbox, source.positions, source.tenures, reader, ledger.partitions, untold, lambda: source.back_s
    )
    house = FoldHouse(DeltaFold(terms, _adapter(settings), own.courts), hands, sender, own.courts)
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
    source, delivery = KafkaSource(build.delta_terms(settings), clock, ErrorLog()), Delivery(build.sinks(settings))
    states = StateTopic(build.client_options(settings), own.state_topic, wall_clock=clock)
    hands = succession.Hands(states, delivery, source.tenures, source.seek, clock)
    comings = Succession(hands, SuccessionTerms(own.deltas_topic, own.courts, own.state_save_s))
    house = CourtHouse(
        make=lambda: DeltaCourt(terms, adapter, loaded, settings.state.absence_s),
        tell=LayoutWriter(build.client_options(settings), own.layouts_topic),
        comings=comings,
    )
    about = {"role": "judge", "references": len(loaded), "state": str(Path(settings.state.directory))}
    loop = loop_terms(settings, board, terms, load, about)
    loop = replace(
        loop,
        away_s=0.0,
        topics=(own.deltas_topic,),
        save_s=own.state_save_s,
        settle_s=SETTLE_S,
        open_store=partial(comings.open, loop.open_store),
        may_tell=comings.may_tell,
    )
    whole = App(house, source, delivery, board, loop, clock)
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
    limits = Limits(settings.kafka.message_bytes_max, settings.limits.features_max, has_annotations=False)
    return ADAPTERS[build.ADAPTER](limits)
