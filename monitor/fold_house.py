"""Folding by the rules of claims: what is counted of each source partition goes to the courts, once, and none is lost.

Every flush: first the limits are committed to the group, then the stretches are sent to every court, and when all have
been acknowledged, that is committed with the next limits. One flush at a time is under way.

Messages wait here, and their partitions are not read on, while their partition is not claimed yet, while what was
before a gap in front of them has not gone out, and while there is no room: courts, or their brokers, take nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

import structlog

from monitor.absences import Missing
from monitor.claims import Claim, Committed, Stage, Stretch
from monitor.court import Step
from monitor.court_house import NOBODY
from monitor.delta_fold import DeltaFold
from monitor.deltas import Delta, Post, in_posts
from monitor.domain import Alert, Batch, Gap, Picture, TopicPartition, Transition
from monitor.errors import SourceError
from monitor.intake import Origin
from monitor.kept import Section, State
from monitor.layouts import Layout
from monitor.pipeline_terms import PipelineTerms
from monitor.references import Reference
from monitor.upkeep import HalfStatus

FLUSH_S: Final = 1.0
HELD_BYTES_MAX: Final = 64 << 20
"""Of counts and messages that are not cut out yet; beyond it nothing more is taken in."""
FORWARDED_BYTES_MAX: Final = 4 << 20
"""Of messages that go to courts as they came, which have to fit into posts: beyond it they go before more is taken."""
GONE: Final = {
    "error_code": "join_unread",
    "cure": "keep the topic of events for longer than outcomes.ttl_s: what is left is joined",
}
STRAY: Final = {
    "error_code": "outcomes_elsewhere",
    "cure": "their inferences are in other partitions: have both sent with request_id as key, by one partitioner",
}

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
    many each topic has. untold: the least offset of each partition whose rejection nobody has been told of yet: it is
    read again by whoever comes next. back_s: when brokers came back last, since quiet before that says nothing.
    """

    ledger: Ledger
    postbox: Postbox
    positions: Callable[[], Mapping[TopicPartition, int]]
    tenures: Callable[[], Mapping[TopicPartition, int]]
    layouts: Callable[[], Sequence[Layout]]
    partitions: Callable[[], Mapping[str, int]]
    untold: Callable[[], Mapping[TopicPartition, int]] = dict
    back_s: Callable[[], float] = lambda: -math.inf


class _Waiting(NamedTuple):
    """A message that waits."""

    value: bytes | None
    offset: int
    origin: Origin | None


class FoldHouse:
    """Drives a DeltaFold. sender: names this process in its posts. Only one thread may call it."""

    def __init__(self, fold: DeltaFold, hands: Hands, sender: str, courts: int) -> None:
        self._fold = fold
        self._ledger, self._postbox = hands.ledger, hands.postbox
        self._positions = hands.positions
        self._tenures_now = hands.tenures
        self._layouts = hands.layouts
        self._partitions = hands.partitions
        self._back_s = hands.back_s
        self._sender = sender
        self._courts = courts
        self._tenures: dict[TopicPartition, int] = {}
        self._claims: dict[TopicPartition, Claim] = {}
        self._committed: dict[TopicPartition, Committed] = {}
        self._idle: frozenset[TopicPartition] = frozenset()
        self._read_s: dict[TopicPartition, float] = {}
        self._untold = hands.untold
        self._waiting: dict[TopicPartition, list[_Waiting]] = {}
        self._gaps: dict[TopicPartition, list[Gap]] = {}
        self._is_sending = False
        self._due_s = self._now_s = self._well_s = 0.0
        self._flushes = self._posts = self._sent_bytes = 0
        self._elsewhere = 0
        self._missing = Missing()

    # ---- messages

    def step(self, batch: Batch, now_s: float) -> Step:
        """Count a batch, and send what is due."""
        self._learn()
        self._renew()
        if self._tenures.keys() - self._claims.keys():
            self._claim(now_s, _firsts(batch))
        heard = [batch.sources[i] for i in set(batch.partitions)]
        self._idle = self._idle.difference(heard)
        self._read_s |= dict.fromkeys(heard, now_s)
        return self._take(batch, now_s)

    def idle(self, idle: Iterable[TopicPartition], quiet_s: float, now_s: float) -> Step:  # noqa: ARG002 - told apart
        """Hear which partitions are caught up, and send what is due."""
        self._learn()
        self._renew()
        self._idle = frozenset(idle)
        if self._tenures.keys() - self._claims.keys():
            self._claim(now_s, {})
        return self._take(Batch(), now_s)

    def _take(self, batch: Batch, now_s: float) -> Step:
        ready = self._ready(batch)
        rejected = self._fold.take(ready, now_s) if len(ready) else []
        for source in list(self._gaps):
            self._approach(source)
        self._flush(now_s)
        return Step(rejected=rejected, batch=None if ready is batch else ready)

    def _ready(self, batch: Batch) -> Batch:
        """Give what can be counted now, with what waited; the rest waits."""
        is_new = any(source in self._tenures and source not in self._claims for source in batch.sources)
        if not (self._waiting or self._gaps or is_new) and self._has_room():
            return batch
        self._queue(batch)
        taken: list[tuple[int, _Waiting]] = []
        sources = list(self._waiting)
        has_room = self._has_room()
        for number, source in enumerate(sources):
            queue = self._waiting.pop(source)
            end = self._gaps[source][0].first if self._gaps.get(source) else None
            count = (
                sum(end is None or each.offset < end for each in queue) if source in self._claims and has_room else 0
            )
            taken += [(number, each) for each in queue[:count]]
            if queue[count:]:
                self._waiting[source] = queue[count:]
        if not taken:
            return Batch()
        return Batch(
            [each.value for _, each in taken],
            [number for number, _ in taken],
            sources,
            offsets=[each.offset for _, each in taken],
            origins=[each.origin for _, each in taken if each.origin is not None],
        )

    def _queue(self, batch: Batch) -> None:
        """Let a batch wait, as far as it is of partitions that are ours."""
        for at, (number, value, offset) in enumerate(zip(batch.partitions, batch.values, batch.offsets, strict=True)):
            if (source := batch.sources[number]) in self._tenures:
                origin = batch.origins[at] if len(batch.origins) else None
                self._waiting.setdefault(source, []).append(_Waiting(value, int(offset), origin))

    def _has_room(self) -> bool:
        return self._fold.forwarded_bytes < FORWARDED_BYTES_MAX and self._fold.nbytes < HELD_BYTES_MAX

    # ---- gaps

    def lose(self, gaps: Sequence[Gap]) -> None:
        """Hear which messages are gone that were never read; before any that follow them.

        Raises SourceError for a log that was made anew: courts know its partition by the offsets there were.
        """
        self._renew()
        for gap in gaps:
            if gap.next < gap.first:
                raise SourceError(
                    f"kafka: topic {gap.source.topic!r}, partition {gap.source.partition}: was made anew, or lost"
                    f" records: it ends before {gap.first}, where it was counted to: stop folds and judges, give"
                    " kafka.group_id and scaleout's topics other names, and start them again: windows begin empty"
                )
            if gap.source in self._tenures:
                self._gaps.setdefault(gap.source, []).append(gap)

    def _approach(self, source: TopicPartition) -> None:
        """Tell a claim of its next gap, once all before it is counted, and pass it, once all that has gone out."""
        claim, gap = self._claims.get(source), self._gaps[source][0]
        waiting = self._waiting.get(source)
        if claim is None or (waiting and waiting[0].offset < gap.first):
            return
        claim.gathered(max(claim.position, min(self._fold.next[source], gap.next), min(gap.first, gap.next)))
        claim.skip(max(claim.position, gap.next))
        if claim.first >= gap.next:
            self._fold.skip(source, gap.next)
            del self._gaps[source][0]
            if not self._gaps[source]:
                del self._gaps[source]

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
                self._gaps.pop(source, None)
                self._fold.drop(source)

    def _claim(self, now_s: float, firsts: Mapping[TopicPartition, int]) -> None:
        """Claim the partitions that reading has begun of. firsts: the first offset of each in what was just read."""
        held = {source: waiting[0].offset for source, waiting in self._waiting.items()}
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
            self._fold.begin(source, claim.acked, claim.limit, min(claim.acked, positions[source]))
            name = f"{source.topic}/{source.partition}"
            if claim.back is not None and positions[source] > claim.back:
                log.warning("what waited for outcomes is partly gone", source=name, **GONE)
            log.info("partition claimed", source=name, **_told(claim))

    # ---- flushes

    def _flush(self, now_s: float) -> None:
        self._well_s, self._now_s = self._well_s or now_s, now_s
        if self._is_sending and not self._has_arrived():
            return
        if self._tenures.keys() == self._claims.keys():
            self._well_s = now_s
        if not self._claims or (now_s < self._due_s and self._has_room()):
            return
        self._due_s = now_s + FLUSH_S
        known, untold = self._fold.next, self._untold()
        for source, claim in self._claims.items():
            claim.gathered(max(known[source], claim.position))
        stretches = {source: claim.stretch(claim.position) for source, claim in self._claims.items()}
        intents = {source: self._intent(source, stretch.next, untold) for source, stretch in stretches.items()}
        changed = {source: intent for source, intent in intents.items() if self._committed.get(source) != intent}
        if changed and not self._ledger.commit(changed):
            return
        self._committed |= changed
        for source, claim in self._claims.items():
            claim.sent(stretches[source].next)
        self._send(stretches, now_s)

    def _has_arrived(self) -> bool:
        """Tell whether all that was sent is acknowledged, and take note of it."""
        if not self._postbox.has_all():
            return False
        self._is_sending = False
        for claim in self._claims.values():
            if claim.stage is Stage.SENT:  # not those that were taken up since
                claim.acknowledged()
        return True

    def _intent(self, source: TopicPartition, upto: int, untold: Mapping[TopicPartition, int]) -> Committed:
        """Give what to commit before a stretch may go. Its offset may be less than what is acknowledged, never more."""
        found = self._claims[source].intent(upto)
        offset = min(found.offset, untold.get(source, found.offset))
        return found._replace(offset=offset, back=self._fold.back_from(source, offset))

    def _send(self, stretches: Mapping[TopicPartition, Stretch], now_s: float) -> None:
        by_court: list[list[Delta]] = [[] for _ in range(self._courts)]
        for source, claim in self._claims.items():
            quiet_s = now_s - max(self._read_s[source], self._back_s()) if source in self._idle else None
            for court, delta in enumerate(self._fold.cut(source, stretches[source], claim.epoch, quiet_s)):
                by_court[court].append(delta)
        partitions = dict(self._partitions())
        for court, deltas in enumerate(by_court):
            for part in in_posts(deltas):
                data = Post(self._sender, now_s, partitions, part).encode()
                self._posts, self._sent_bytes = self._posts + 1, self._sent_bytes + len(data)
                self._postbox.send(court, data)
        self._is_sending = True
        self._flushes += 1
        if self._fold.elsewhere > 2 * self._elsewhere:  # once for each doubling
            self._elsewhere = self._fold.elsewhere
            log.error("outcomes are not joined", noticed=self._elsewhere, **STRAY)

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
        """Give those of which messages wait; all, where there is no room for more."""
        return tuple(self._waiting) if self._has_room() else tuple(self._tenures)

    def sections(self) -> Iterator[Section]:
        """Nothing is kept."""
        return iter(())

    def saved(self) -> None:
        """Nothing waits for it."""

    def restore(self, states: Mapping[str, State]) -> None:
        """Nothing is kept."""

    def replan(self, terms: PipelineTerms) -> list[Transition]:
        """Go by other plans in what outcomes say; nothing else changes for what is counted."""
        self._fold.replan(terms)
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
            half=HalfStatus(
                role="fold",
                claims=len(self._claims),
                unclaimed=len(self._tenures.keys() - self._claims.keys()),
                waiting_s=self._now_s - self._well_s,
                posts=self._posts,
                sent_bytes=self._sent_bytes,
            ),
            join=self._fold.join_status(),
        )


def _firsts(batch: Batch) -> Mapping[TopicPartition, int]:
    """Give the first offset of each partition in a batch."""
    out: dict[TopicPartition, int] = {}
    for number, offset in zip(batch.partitions, batch.offsets, strict=True):
        out.setdefault(batch.sources[number], int(offset))
    return out


def _told(claim: Claim) -> dict[str, int]:
    return {"epoch": claim.epoch, "offset": claim.acked, "fine_until": claim.limit}
