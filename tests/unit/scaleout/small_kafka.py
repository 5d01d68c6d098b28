"""As much of Kafka as the protocol rests on, in memory: logs, a group that expels members, requests on their way.

A commit is refused to those who are no longer members, and where it was sent before the last that a member has heard of
the group: letting go of a partition is heard of, too. If `is_strict`, as in the classic protocol, it is also refused
where the member has yet to hear of a rebalance. As with brokers, it is not looked at who owns the partition. Requests
live on when their sender dies; what becomes of each is decided when it is delivered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from monitor.claims import Stretch

Event = tuple[int, int]
"""The delta partition that it belongs to, and its number among all events."""

OK, REFUSED, UNKNOWN = "ok", "refused", "unknown"


class Message(NamedTuple):
    """Events, and what is to be joined: ids that are asked, and those told of, with mark and what that counts."""

    events: tuple[Event, ...] = ()
    asked: tuple[int, ...] = ()
    told: tuple[tuple[int, int, Event], ...] = ()


class Delta(NamedTuple):
    """What one stretch of partition p adds to one delta partition. events: with offsets; those of counts are 0."""

    p: int
    epoch: int
    stretch: Stretch
    events: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """How this Kafka behaves.

    is_strict: see above. is_idempotent: a produce request is appended once. has_overtaking: a commit that was given up
    may take effect after a later one. has_orphans: an expelled member's commit is taken while the group is empty.
    """

    is_strict: bool = True
    is_idempotent: bool = True
    has_overtaking: bool = False
    has_orphans: bool = False


@dataclass(slots=True, eq=False)
class Request:
    """A commit, or (q is a delta partition) something to be appended. sender: the connection it goes by."""

    sender: object
    member: int = -1
    generation: int = -1
    offsets: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    q: int = -1
    deltas: tuple[Delta, ...] = ()
    answer: str = ""
    is_appended: bool = False


class Kafka:
    """Brokers. is_calm: nothing is lost any more."""

    def __init__(self, rng: Random, terms: Terms, sources: int, courts: int) -> None:
        self.rng = rng
        self.terms = terms
        self.is_calm = False
        self.sources: list[list[Message]] = [[] for _ in range(sources)]
        self.deltas: list[list[tuple[Delta, ...]]] = [[] for _ in range(courts)]
        self.committed: dict[int, tuple[int, str]] = {}
        self.members: dict[int, int] = {}
        self.generation = 0
        self.target: dict[int, int] = {}
        self.owner: dict[int, int] = {}
        self.requests: list[Request] = []
        self._members_ever = 0
        self._left: list[int] = []
        """Members that have left and were not heard: they are missed sooner or later."""

    # ---- the group

    def join(self) -> int:
        """Give the id of a new member."""
        self._members_ever += 1
        self.members[self._members_ever] = self.generation
        self.rebalance()
        return self._members_ever

    def hear(self, member: int) -> int:
        """Tell a member of the group as it is now; give the generation that its commits are to name."""
        if member in self.members:
            self.members[member] = self.generation
        return self.generation

    def expel(self, member: int) -> None:
        """A member's session is over: its partitions are free at once."""
        if member in self.members:
            del self.members[member]
            self.owner = {p: owner for p, owner in self.owner.items() if owner != member}
            self.rebalance()

    def leave(self, member: int) -> None:
        """A member leaves; now and then nobody hears it, and it is missed later."""
        if self.is_calm or self.rng.random() < 0.7:
            self.expel(member)
        else:
            self._left.append(member)

    def miss(self) -> None:
        """Those that have left unheard are missed."""
        if self._left and (self.is_calm or self.rng.random() < 0.1):
            self.expel(self._left.pop())

    def rebalance(self) -> None:
        """Say anew who is to have what. Owners have to let go first."""
        self.generation += 1
        members = sorted(self.members)
        for p in range(len(self.sources)):
            if members:
                self.target[p] = self.rng.choice(members)
            else:
                self.target.pop(p, None)

    def take_up(self, p: int, member: int) -> None:
        """A member takes up a partition that is meant for it, once it is free."""
        if member in self.members and self.target.get(p) == member:
            self.owner.setdefault(p, member)

    def release(self, p: int, member: int) -> None:
        """A member has let go of a partition, which makes another generation."""
        if self.owner.get(p) == member:
            del self.owner[p]
            self.generation += 1

    # ---- requests

    def send(self, request: Request) -> Request:
        """Put a request on its way."""
        self.requests.append(request)
        return request

    def deliver(self, senders: Collection[int] | None = None) -> None:
        """Let any one of the requests arrive, or get lost, or its answer.

        Commits of one sender keep their order, unless `has_overtaking`.

        senders: whose alone, by id.
        """
        self.miss()
        chosen = [at for at, r in enumerate(self.requests) if senders is None or id(r.sender) in senders]
        if not chosen:
            return
        at = self._first(chosen[int(self.rng.random() * len(chosen))])
        request = self.requests[at]
        luck = 1.0 if self.is_calm else self.rng.random()
        if request.answer and luck < 0.8:  # was given up before, and takes its time
            return
        if luck < 0.06:  # it is given up, and may arrive much later
            request.answer = request.answer or UNKNOWN
        elif luck < 0.12:
            del self.requests[at]
            request.answer = request.answer or UNKNOWN
        elif request.q >= 0:
            self._append(at, request, is_heard=luck >= 0.24)
        else:
            del self.requests[at]
            answer = OK if self._commit(request) else REFUSED
            request.answer = request.answer or (UNKNOWN if luck < 0.24 else answer)

    def _first(self, at: int) -> int:
        """Give the request that has to arrive first, before the one that was chosen or instead."""
        chosen = self.requests[at]
        if chosen.q >= 0 or self.terms.has_overtaking:
            return at
        return next(i for i, r in enumerate(self.requests) if r.sender is chosen.sender and r.q < 0)

    def _append(self, at: int, request: Request, *, is_heard: bool) -> None:
        """Append, once or whenever it is tried; is_heard: the sender hears of it, or else tries it again."""
        if not (request.is_appended and self.terms.is_idempotent):
            self.deltas[request.q].append(request.deltas)
            request.is_appended = True
        if is_heard:
            del self.requests[at]
            request.answer = request.answer or OK

    def _commit(self, request: Request) -> bool:
        wanted = self.members.get(request.member)
        if wanted is None and not (self.terms.has_orphans and not self.members):
            return False
        if wanted is not None and request.generation != (self.generation if self.terms.is_strict else wanted):
            return False
        self.committed |= request.offsets
        return True

    def forget(self, senders: Iterable[object]) -> None:
        """Lose what is on its way from these."""
        gone = set(map(id, senders))
        self.requests = [request for request in self.requests if id(request.sender) not in gone]
