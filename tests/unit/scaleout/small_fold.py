"""A fold without counting: it owns, reads, claims and flushes by the rules of claims, one broker request at a time.

`life` is its program; wherever it yields, the process may be stopped, killed, or made to wait while others go on.
Its rules can be broken one by one, so that it is known what the histories would find.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from monitor.claims import Claim, Committed, Stage, Stretch, committed_of
from tests.unit.scaleout.small_join import SmallJoin
from tests.unit.scaleout.small_kafka import OK, REFUSED, UNKNOWN, Delta, Event, Kafka, Request


@dataclass(frozen=True, slots=True)
class Rules:
    """What a fold keeps to.

    has_limit: it heeds the limit it finds. commits_first: and waits for that, before it sends. heeds_refusals: what was
    refused is not sent. has_epoch: deltas tell the owner's epoch. tells_fine: the judge is told what is fine. is_alike:
    what is sent again is sent in the same cut. waits_for_all: acknowledged is what all courts have. leaves_in_doubt:
    after a commit of unknown outcome the group is left. reads_back: it reads what may be joined before it counts.
    heeds_acked: what it commits of that is as of the committed offset, not of what it has read.
    """

    has_limit: bool = True
    commits_first: bool = True
    heeds_refusals: bool = True
    has_epoch: bool = True
    tells_fine: bool = True
    is_alike: bool = True
    waits_for_all: bool = True
    leaves_in_doubt: bool = True
    reads_back: bool = True
    heeds_acked: bool = True


@dataclass(slots=True, eq=False)
class Held:
    """A partition in hand. committed: what surely is. open: what was gathered and is not acknowledged, with offsets."""

    claim: Claim
    join: SmallJoin
    request: Request | None = None
    committed: Committed | None = None
    open: list[tuple[int, tuple[Event, ...]]] = field(default_factory=list)

    def back(self, offset: int) -> int:
        """Give from where to read to know what waits at an offset."""
        return self.join.reach.back_from(offset)


@dataclass(slots=True, eq=False)
class Flush:
    """What is under way of each partition: how far it goes. request: the commit of its intents."""

    held: dict[int, Held]
    upto: dict[int, int]
    intents: dict[int, Committed]
    request: Request | None = None
    left: list[int] | None = None
    sent: dict[int, Request] = field(default_factory=dict)


class Fold:
    """One process. skew_ms: of its clock, which ticks with every step that anyone takes."""

    def __init__(self, kafka: Kafka, rules: Rules, skew_ms: int, clock: count[int]) -> None:
        self.kafka = kafka
        self.rules = rules
        self.member = -1
        self.held: dict[int, Held] = {}
        self._generation = -1
        self._read_max = 3 if kafka.rng.random() < 0.6 else 100
        self._skew_ms = skew_ms
        self._clock = clock
        self._flush: Flush | None = None
        self._program = self.life()

    def step(self) -> None:
        """Go on to where it next may be interrupted."""
        next(self._program)

    @property
    def is_midway(self) -> bool:
        """Whether it may send, and has not to all."""
        flush = self._flush
        return flush is not None and bool(flush.left or (flush.request is not None and flush.request.answer == OK))

    def life(self) -> Iterator[None]:
        """Give the program of a fold."""
        while True:
            yield
            if self.kafka.is_calm or self.kafka.rng.random() < 0.5:  # else it does not know yet what the group knows
                yield from self._poll()
                yield
            self._read()
            yield from self._go_on()

    # ---- the group

    def _poll(self) -> Iterator[None]:
        kafka = self.kafka
        if self.member not in kafka.members:
            self.held.clear()
            self._flush = None
            self.member = kafka.join()
        self._generation = kafka.hear(self.member)
        for p, target in list(kafka.target.items()):
            if kafka.owner.get(p) == self.member != target:
                yield from self._revoked(p)
            kafka.take_up(p, self.member)
        for p, owner in list(kafka.owner.items()):
            if owner == self.member and kafka.target.get(p) == self.member:
                yield from self._claim(p)

    def _claim(self, p: int) -> Iterator[None]:
        held = self.held.get(p)
        if held is None:
            yield
            found = committed_of(*self.kafka.committed[p]) if p in self.kafka.committed else None
            if found is not None and not self.rules.has_limit:
                found = found._replace(limit=found.offset)
            claim = Claim.begin(found, 0, next(self._clock) + self._skew_ms)
            held = self.held[p] = Held(claim, self._join(p, claim))
            yield
        if held.claim.stage is Stage.NEW:
            answer = self._answer(held.request)
            if answer == UNKNOWN and self.rules.leaves_in_doubt:
                self._leave()
            elif answer == REFUSED or (answer == UNKNOWN and self.kafka.rng.random() < 0.5):
                del self.held[p]
            elif held.request is None or answer == UNKNOWN:
                held.request = self._commit({p: held.claim.to_claim()})
            elif answer == OK:
                held.committed = held.claim.to_claim()
                held.claim.claimed()

    def _join(self, p: int, claim: Claim) -> SmallJoin:
        """Know what waits where counting begins."""
        start = claim.acked if claim.back is None or not self.rules.reads_back else claim.back
        join = SmallJoin(start)
        for offset in range(start, claim.acked):
            join.take(offset, self.kafka.sources[p][offset])
        return join

    def _revoked(self, p: int) -> Iterator[None]:
        rng = self.kafka.rng
        flush = self._flush
        for _ in range(rng.randrange(6)):  # wait shortly for what is under way
            if flush is None or self._flush is not flush or p not in flush.held:
                break
            yield from self._go_on()
            yield
        held = self.held.pop(p, None)
        if held is not None and held.claim.stage is not Stage.NEW and rng.random() < 0.7:
            farewell = held.claim.farewell()
            request = self._commit({p: farewell._replace(back=held.back(farewell.offset))})
            for _ in range(rng.randrange(6)):
                if request.answer:
                    break
                yield
        yield
        self.kafka.release(p, self.member)
        self._generation = self.kafka.hear(self.member)

    def _leave(self) -> None:
        """Leave the group, and join it anew with the next poll."""
        self.kafka.leave(self.member)
        self.member = -1
        self.held.clear()
        self._flush = None

    # ---- requests

    def _commit(self, offsets: Mapping[int, Committed]) -> Request:
        entries = {p: (each.offset, each.to_text()) for p, each in offsets.items()}
        return self.kafka.send(Request(self, self.member, self._generation, entries))

    def _answer(self, request: Request | None) -> str:
        """Give the answer; now and then a fold loses patience."""
        if request is None:
            return ""
        if not request.answer and not self.kafka.is_calm and self.kafka.rng.random() < 0.02:
            request.answer = UNKNOWN
        return request.answer

    # ---- reading

    def _read(self) -> None:
        for p, held in self.held.items():
            log, claim = self.kafka.sources[p], held.claim
            if claim.stage is Stage.NEW or claim.position >= len(log) or self.kafka.rng.random() < 0.3:
                continue
            upto = self.kafka.rng.randrange(claim.position, min(len(log), claim.position + self._read_max)) + 1
            for offset in range(claim.position, upto):
                held.open.append((offset, log[offset].events + held.join.take(offset, log[offset])))
            claim.gathered(upto)

    # ---- flushes

    def _go_on(self) -> Iterator[None]:
        flush = self._flush
        if flush is None:
            if self.kafka.rng.random() < 0.25:
                self._begin()
            return
        flush.held = {p: held for p, held in flush.held.items() if self.held.get(p) is held}
        if flush.left is not None:
            yield from self._send(flush)
            self._hear(flush)
            return
        answer = self._answer(flush.request) if self.rules.commits_first else OK
        if answer == OK or (answer == REFUSED and not self.rules.heeds_refusals):
            yield
            self._set_out(flush)
            yield from self._send(flush)
        elif answer == UNKNOWN and self.rules.leaves_in_doubt:
            self._leave()
        elif answer == REFUSED and self.kafka.rng.random() < 0.5:
            for p in flush.held:
                del self.held[p]
            self._flush = None
        elif answer:  # of what is unknown or refused, it may be tried for as long as the partition is its own
            flush.request = self._commit({p: flush.intents[p] for p in flush.held})

    def _begin(self) -> None:
        idle = {p: held for p, held in self.held.items() if held.claim.stage is Stage.IDLE}
        if not idle:
            return
        rng, upto = self.kafka.rng, {}
        for p, held in idle.items():
            claim = held.claim
            wanted = claim.position
            if rng.random() < (0.9 if claim.position < claim.limit else 0.4):  # in small pieces where they may overlap
                wanted = rng.randrange(claim.first, claim.position + 1)
            upto[p] = claim.stretch(wanted).next
        intents = {p: self._intent(held, upto[p]) for p, held in idle.items()}
        self._flush = Flush(idle, upto, intents)
        if self.rules.commits_first:
            changed = {p: intent for p, intent in intents.items() if idle[p].committed != intent}
            is_needed = bool(changed) or rng.random() < 0.5  # what is committed need not be again
            self._flush.request = self._commit(changed or intents) if is_needed else Request(self, answer=OK)

    def _intent(self, held: Held, upto: int) -> Committed:
        found = held.claim.intent(upto)
        return found._replace(back=held.back(found.offset if self.rules.heeds_acked else held.claim.position))

    def _set_out(self, flush: Flush) -> None:
        for p, held in flush.held.items():
            held.committed = flush.intents[p]
            held.claim.sent(flush.upto[p])
        flush.left = list(range(len(self.kafka.deltas)))
        self.kafka.rng.shuffle(flush.left)

    def _send(self, flush: Flush) -> Iterator[None]:
        """Send to one court after the other: to all, and later again to those who may not have it."""
        while flush.left:
            q = flush.left.pop()
            deltas = tuple(self._delta(flush, p, q) for p in flush.held)
            flush.sent[q] = self.kafka.send(Request(self, q=q, deltas=deltas))
            yield

    def _hear(self, flush: Flush) -> None:
        """End the flush when all have it."""
        flush.left = [q for q, request in flush.sent.items() if self._answer(request) == UNKNOWN]
        answers = [request.answer == OK for request in flush.sent.values()]
        if all(answers) or (any(answers) and not self.rules.waits_for_all):
            if not self.rules.commits_first:
                self._commit({p: flush.intents[p] for p in flush.held})
            for p, held in flush.held.items():
                held.claim.acknowledged()
                held.open = [each for each in held.open if each[0] >= flush.upto[p]]
            self._flush = None

    def _delta(self, flush: Flush, p: int, q: int) -> Delta:
        held = flush.held[p]
        stretch = held.claim.sent(flush.upto[p])
        if q in flush.sent and not self.rules.is_alike:
            stretch = Stretch(stretch.first, held.claim.position, stretch.is_fine)
        own = [(offset, events) for offset, events in held.open if stretch.first <= offset < stretch.next]
        is_fine = stretch.is_fine and self.rules.tells_fine
        events = tuple(
            (offset if is_fine else 0, number) for offset, events in own for court, number in events if court == q
        )
        epoch = held.claim.epoch if self.rules.has_epoch else 1
        return Delta(p, epoch, stretch._replace(is_fine=is_fine), events)
