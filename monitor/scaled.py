"""The two halves as daemons of their own, put together from the settings. It opens clients, and reads nothing yet."""

from __future__ import annotations

import hashlib
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
from monitor.braided_fold import BraidedFold
from monitor.braids import Braids, BraidTerms
from monitor.config import Settings
from monitor.court_house import CourtHouse
from monitor.decode import ADAPTERS, Adapter, Limits
from monitor.delivery import Delivery
from monitor.delta_court import DeltaCourt
from monitor.delta_fold import DeltaFold
from monitor.fold_house import FoldHouse, Hands
from monitor.pipeline_terms import PipelineTerms
from monitor.relay.delta_topic import DeltaTopic
from monitor.relay.layout_topic import LayoutReader, LayoutWriter
from monitor.relay.ledger import GroupLedger, Member
from monitor.relay.state_topic import StateTopic
from monitor.reports import ErrorLog
from monitor.sources.kafka import KafkaSource
from monitor.store.pending_file import PendingFile
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
    terms, own = _with_file(_terms(settings), settings), settings.scaleout
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
    house = _house(DeltaFold(terms, _adapter(settings), own.courts), hands, sender, settings, ledger, source)
    whole = App(house, source, Delivery(build.sinks(settings)), board, loop, clock)
    return whole, server(settings, board, whole, loop.aides)


def _house(
    fold: DeltaFold, hands: Hands, sender: str, settings: Settings, ledger: GroupLedger, source: KafkaSource
) -> FoldHouse:
    courts = settings.scaleout.courts
    if not build.is_braided(settings):
        return FoldHouse(fold, hands, sender, courts)
    topics = tuple(settings.kafka.topics)
    terms = BraidTerms(topics, ledger, hands.tenures, hands.positions, hands.untold, source.lag)
    return BraidedFold(fold, hands, sender, courts, Braids(terms))


def judge_app(
    settings: Settings,
    board: Board,
    clock: Callable[[], float] = time.time,
    load: Callable[[], Settings] | None = None,
) -> tuple[App, WebServer]:
    """Give a judge and its web server; see assembly.app."""
    own = settings.scaleout
    terms = replace(_terms(settings), event_ids_max=0)
    loaded, adapter = build.references(settings), _adapter(settings)
    source, delivery = KafkaSource(build.delta_terms(settings), clock, ErrorLog()), Delivery(build.sinks(settings))
    states = StateTopic(build.client_options(settings), own.state_topic, wall_clock=clock)
    about = {"role": "judge", "references": len(loaded), "state": str(Path(settings.state.directory))}
    loop = loop_terms(settings, board, terms, load, about)
    hands = succession.Hands(states, delivery, loop.ledger, source.tenures, source.seek, clock)
    comings = Succession(hands, SuccessionTerms(own.deltas_topic, own.courts, own.state_save_s))
    house = CourtHouse(
        make=lambda: DeltaCourt(terms, adapter, loaded, settings.state.absence_s),
        tell=LayoutWriter(build.client_options(settings), own.layouts_topic),
        comings=comings,
    )
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


def _terms(settings: Settings) -> PipelineTerms:
    """Give a half's terms: outcomes are joined where that is asked for, and not from the first one on."""
    terms = build.pipeline_terms(settings)
    if settings.outcomes.join != "always":
        return replace(terms, join=replace(terms.join, mode="off"))
    if settings.outcomes.sample < 1.0:  # all keep the same ids
        name = hashlib.sha256(f"driftd {settings.kafka.group_id}".encode()).digest()
        terms = replace(terms, seed=int.from_bytes(name[:8], "big"))
    return terms


def _with_file(terms: PipelineTerms, settings: Settings) -> PipelineTerms:
    """Give the terms with what waits to be joined in a file, which ends with the process; without state, in memory."""
    if not settings.state.enabled:
        return terms
    file = PendingFile(Path(settings.state.directory), settings.outcomes.disk_bytes, is_nameless=True)
    return replace(terms, backing_of=file.part)


def _adapter(settings: Settings) -> Adapter:
    limits = Limits(settings.kafka.message_bytes_max, settings.limits.features_max)
    return ADAPTERS[build.ADAPTER](limits)
