"""Folding by the rules of claims: what is counted of each source partition goes to the courts, once, and none is lost.

Every flush: first the limits are committed to the group, then the stretches are sent to every court, and when all have
been acknowledged, that is committed with the next limits. One flush at a time is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from monitor.absences import Missing
from monitor.claims import Claim, Committed, Stage, Stretch
from monitor.court import Step
from monitor.court_house import NOBODY
from monitor.delta_fold import DeltaFold
from monitor.deltas import Delta, Post
from monitor.domain import Alert, Batch, Picture, TopicPartition, Transition
from monitor.kept import Section, State
from monitor.layouts import Layout
from monitor.pipeline_terms import PipelineTerms
from monitor.references import Reference

FLUSH_S: Final = 1.0

log = structlog.get_logger()


class Ledger(Protocol):
    """The group's committed offsets."""

    def read(self, sources: Iterable[TopicPartition]) -> Mapping[TopicPartition, Committed | None] | None:
        """Give what is committed, None for a partition of which nothing is; None where nobody answers."""
        ...

    def commit(self, entries: Mapping[TopicPartition, Committed]) -> bool:
        """Commit, and tell whether it was taken: not if any partition is another member's by now, or nobody answers."""
        ...


class Postbox(Protocol):
    """The topic of deltas."""

    def send(self, court: int, data: bytes) -> None:
        """Send to one court, without waiting. Raises SourceError where it can't be sent at all."""
        ...

    def has_all(self) -> bool:
        """Tell whether all that was sent is acknowledged."""
        ...


@dataclass(frozen=True, slots=True)
class Hands:
    """What a fold works with. positions: where the source reads each partition that has begun. layouts: gives new ones.

    tenures: gives the partitions that are ours, with another number each time that one becomes ours. partitions: how
    many each topic has.
    """

    ledger: Ledger
    postbox: Postbox
    positions: Callable[[], Mapping[TopicPartition, int]]
    tenures: Callable[[], Mapping[TopicPartition, int]]
    layouts: Callable[[], Sequence[Layout]]
    partitions: Callable[[], Mapping[str, int]]


class FoldHouse:
    """Drives a DeltaFold. sender: names this process in its posts. Only one thread may call it."""

    def __init__(self, fold: DeltaFold, hands: Hands, sender: str, courts: int) -> None:
        self._fold = fold
        self._ledger = hands.ledger
        self._postbox = hands.postbox
        self._positions = hands.positions
        self._tenures_now = hands.tenures
        self._layouts = hands.layouts
        self._partitions = hands.partitions
        self._sender = sender
        self._courts = courts
        self._tenures: dict[TopicPartition, int] = {}
        self._claims: dict[TopicPartition, Claim] = {}
        self._committed: dict[TopicPartition, Committed] = {}
        self._idle: frozenset[TopicPartition] = frozenset()
        self._read_s: dict[TopicPartition, float] = {}
        self._waiting: dict[TopicPartition, list[tuple[bytes | None, int]]] = {}
        self._is_sending = False
        self._flushes = 0
        self._due_s = 0.0
        self._missing = Missing()

    # ---- messages

    def step(self, batch: Batch, now_s: float) -> Step:
        """Count a batch, and send what is due."""
        self._learn()
        self._renew()
        if self._tenures.keys() - self._claims.keys():
            self._claim(now_s, _firsts(batch))
        self._fold.take(self._claimed(batch), now_s)
        heard = [batch.sources[i] for i in set(batch.partitions)]
        self._idle = self._idle.difference(heard)
        self._read_s |= dict.fromkeys(heard, now_s)
        self._flush(now_s)
        return Step()

    def _claimed(self, batch: Batch) -> Batch:
        """Give what is of claimed partitions, with what waited; the rest waits until it is, or is no longer ours."""
        is_new = any(source in self._tenures and source not in self._claims for source in batch.sources)
        if not self._waiting and not is_new:
            return batch
        sources = list(dict.fromkeys([*self._waiting, *batch.sources]))
        every = [(source, *each) for source, waiting in self._waiting.items() for each in waiting]
        every += [
            (batch.sources[number], value, int(offset))
            for number, value, offset in zip(batch.partitions, batch.values, batch.offsets, strict=True)
        ]
        self._waiting = {}
        taken = []
        for source, value, offset in every:
            if source in self._claims:
                taken.append((sources.index(source), value, offset))
            elif source in self._tenures:
                self._waiting.setdefault(source, []).append((value, offset))
        numbers, values, offsets = zip(*taken, strict=True) if taken else ((), (), ())
        return Batch(values, numbers, sources, offsets=offsets)

    def idle(self, idle: Iterable[TopicPartition], quiet_s: float, now_s: float) -> Step:  # noqa: ARG002 - told apart
        """Hear which partitions are caught up, and send what is due."""
        self._learn()
        self._renew()
        self._idle = frozenset(idle)
        if self._tenures.keys() - self._claims.keys():
            self._claim(now_s, {})
        self._flush(now_s)
        return Step()

    def _learn(self) -> None:
        for layout in self._layouts():
            self._fold.apply(layout)

    # ---- claims

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Of no effect: it is looked at each time, since one may go and come back between two calls."""

    def _renew(self) -> None:
        """Forget the partitions that are no longer ours, or were not meanwhile, with what was not sent of them."""
        before, self._tenures = self._tenures, dict(self._tenures_now())
        for source, tenure in before.items():
            if self._tenures.get(source) != tenure:
                self._claims.pop(source, None)
                self._committed.pop(source, None)
                self._waiting.pop(source, None)
                self._fold.drop(source)

    def _claim(self, now_s: float, firsts: Mapping[TopicPartition, int]) -> None:
        """Claim the partitions that reading has begun of. firsts: the first offset of each in what was just read."""
        held = {source: waiting[0][1] for source, waiting in self._waiting.items()}
        positions = {**self._positions(), **firsts, **held}
        new = [source for source in self._tenures if source in positions and source not in self._claims]
        if not new:
            return
        found = self._ledger.read(new)
        if found is None:
            return
        claims = {source: Claim.begin(found.get(source), positions[source], int(now_s * 1_000)) for source in new}
        if not self._ledger.commit({source: claim.to_claim() for source, claim in claims.items()}):
            return
        for source, claim in claims.items():
            self._claims[source] = claim
            self._read_s[source] = now_s
            self._committed[source] = claim.to_claim()
            claim.claimed()
            self._fold.begin(source, claim.acked, claim.limit)
            log.info("partition claimed", source=f"{source.topic}/{source.partition}", **_told(claim))

    # ---- flushes

    def _flush(self, now_s: float) -> None:
        if self._is_sending:
            if not self._postbox.has_all():
                return
            self._is_sending = False
            for claim in self._claims.values():
                if claim.stage is Stage.SENT:  # not those that were taken up since
                    claim.acknowledged()
        if now_s < self._due_s or not self._claims:
            return
        self._due_s = now_s + FLUSH_S
        known = self._fold.next
        for source, claim in self._claims.items():
            claim.gathered(known[source])
        stretches = {source: claim.stretch(claim.position) for source, claim in self._claims.items()}
        intents = {source: claim.intent(stretches[source].next) for source, claim in self._claims.items()}
        changed = {source: intent for source, intent in intents.items() if self._committed.get(source) != intent}
        if changed and not self._ledger.commit(changed):
            return
        self._committed |= changed
        for source, claim in self._claims.items():
            claim.sent(stretches[source].next)
        self._send(stretches, now_s)

    def _send(self, stretches: Mapping[TopicPartition, Stretch], now_s: float) -> None:
        by_court: list[list[Delta]] = [[] for _ in range(self._courts)]
        for source, claim in self._claims.items():
            quiet_s = now_s - self._read_s[source] if source in self._idle else None
            for court, delta in enumerate(self._fold.cut(source, stretches[source], claim.epoch, quiet_s)):
                by_court[court].append(delta)
        partitions = dict(self._partitions())
        for court, deltas in enumerate(by_court):
            self._postbox.send(court, Post(self._sender, now_s, partitions, deltas).encode())
        self._is_sending = True
        self._flushes += 1

    # ---- what the loop asks besides

    @property
    def missing(self) -> Missing:
        """Of no effect: each court finds by offsets what is missing of events."""
        return self._missing

    @property
    def alerts(self) -> Sequence[Alert]:
        """None: courts judge."""
        return ()

    def ahead(self) -> Sequence[TopicPartition]:
        """Give those that are not claimed yet."""
        return tuple(self._waiting)

    def sections(self) -> Iterator[Section]:
        """Nothing is kept."""
        return iter(())

    def saved(self) -> None:
        """Nothing waits for it."""

    def restore(self, states: Mapping[str, State]) -> None:
        """Nothing is kept."""

    def replan(self, terms: PipelineTerms) -> list[Transition]:  # noqa: ARG002 - courts judge
        """Nothing changes for what is counted."""
        return []

    def references(self, models: Sequence[Sequence[str]]) -> list[Reference]:  # noqa: ARG002 - courts have them
        """None."""
        return []

    def picture(self) -> Picture:
        """Give what was received; what was sent is its looks."""
        totals = self._fold.totals
        return replace(
            NOBODY,
            received=dict(totals.received),
            counted=dict(totals.counted),
            rejected=dict(totals.rejected),
            late=dict(totals.late),
            duplicate=dict(totals.duplicate),
            clamped=dict(totals.clamped),
            overflow=dict(totals.overflow),
            looks=self._flushes,
        )


def _firsts(batch: Batch) -> Mapping[TopicPartition, int]:
    """Give the first offset of each partition in a batch."""
    out: dict[TopicPartition, int] = {}
    for number, offset in zip(batch.partitions, batch.offsets, strict=True):
        out.setdefault(batch.sources[number], int(offset))
    return out


def _told(claim: Claim) -> dict[str, int]:
    return {"epoch": claim.epoch, "offset": claim.acked, "fine_until": claim.limit}
