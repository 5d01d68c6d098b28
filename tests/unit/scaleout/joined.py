"""Folds that join, and courts, on lists instead of topics: killed, stopped and revoked by chance, in mid-flush."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from monitor.claims import Committed, committed_of, starts_at
from monitor.decode import ADAPTERS, Limits
from monitor.delta_court import DeltaCourt
from monitor.delta_fold import DeltaFold
from monitor.deltas import Post
from monitor.domain import Batch, TopicPartition
from monitor.fold_house import FLUSH_S, FoldHouse, Hands

if TYPE_CHECKING:
    from monitor.layouts import Layout
    from monitor.pipeline_terms import PipelineTerms
    from monitor.references import Reference

START_S: Final = 1_795_200_002.4
NOW_S: Final = START_S + 1e6
"""The folds' clock: far from event time, which nothing may hang on."""
PARTITIONS: Final = 3
SOURCES: Final = tuple(TopicPartition("t", number) for number in range(PARTITIONS))
MODELS: Final = ("fraud", "churn", "pay")
BACK: Final = 5
"""Messages that are read again at least, to know duplicates."""

Sent = tuple[int, bytes]
Told = list[tuple[object, ...]]


def traffic(seconds: float, rate_per_s: float, seed: int, delay_s: float = 8.0) -> list[Sent]:
    """Give messages in the order of sending, each in the partition of its request: inferences and what came of them."""
    rng = random.Random(seed)
    out: list[tuple[float, int, dict[str, Any]]] = []
    for number in range(int(seconds * rate_per_s)):
        at_s, place = START_S + number / rate_per_s, rng.randrange(PARTITIONS)
        name = f"r{number}"
        is_fraud = rng.random() < 0.3
        score = min(max(rng.gauss(0.7 if is_fraud else 0.3, 0.2), 0.0), 1.0)
        head = {"model": rng.choice(MODELS), "model_version": "1", "request_id": name, "event_id": f"e{number}"}
        more = {"prediction": "yes" if score > 0.5 else "no", "score": score, "cost_usd": 0.01}
        asked = {**head, "event_time": at_s, "segment": {"country": rng.choice("ab")}, "features": {"x": rng.random()}}
        out.append((at_s, place, {**asked, **more}))
        if rng.random() < 0.02:
            out.append((at_s + 0.3, place, {**asked, **more}))  # a duplicate
        told = said(rng, name, at_s, is_fraud=is_fraud, delay_s=delay_s)
        out += [(max(each["event_time"], START_S), place, each) for each in told]
    return [(place, json.dumps(event).encode()) for _, place, event in sorted(out, key=lambda each: each[0])]


def said(rng: random.Random, name: str, at_s: float, *, is_fraud: bool, delay_s: float) -> Iterable[dict[str, Any]]:
    """Give what comes of an inference: late, twice, early, or not at all."""
    told_s = at_s + rng.expovariate(1.0 / delay_s) - 1.0
    head = {"type": "outcome", "request_id": name}
    if rng.random() < 0.8:
        yield {**head, "kind": "label", "event_time": told_s, "label": "yes" if is_fraud else "no"}
        if rng.random() < 0.2:
            again_s = told_s + rng.expovariate(1.0 / delay_s)
            yield {**head, "kind": "label", "event_time": again_s, "label": "yes"}
    if rng.random() < 0.1:
        yield {**head, "kind": "override", "event_time": min(told_s, at_s + 5.0)}
    if rng.random() < 0.2:
        mode = {"value": rng.random() < 0.9, "failure_mode": rng.choice("pqr")}
        yield {**head, "kind": "evaluation", "event_time": told_s, "evaluator": "citation", **mode}


@dataclass
class Broker:
    """What outlives a fold: commits, and the topics of deltas and layouts."""

    courts: int
    committed: dict[TopicPartition, tuple[int, str]] = field(default_factory=dict)
    logs: list[list[bytes]] = field(default_factory=list)
    layouts: list[Layout] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.logs = [[] for _ in range(self.courts)]


class Member:
    """A fold, and its connection.

    is_fenced: the group has missed it: brokers refuse what it commits. left: posts that arrive before it is dead.
    """

    def __init__(self, broker: Broker, terms: PipelineTerms, now_s: float) -> None:
        self._broker = broker
        self.tenures: dict[TopicPartition, int] = {}
        self.at: dict[TopicPartition, int] = {}
        self.now_s = now_s
        self.is_fenced = False
        self.is_answered = True
        self.left = math.inf
        self._known = 0
        fold = DeltaFold(terms, ADAPTERS["canonical"](Limits()), broker.courts)
        hands = Hands(
            ledger=self,
            postbox=self,
            positions=lambda: self.at,
            tenures=lambda: self.tenures,
            layouts=self._layouts,
            partitions=lambda: {"t": PARTITIONS},
        )
        self.fold = fold
        self.house = self._house(fold, hands)

    def _house(self, fold: DeltaFold, hands: Hands) -> FoldHouse:
        return FoldHouse(fold, hands, "fold", self._broker.courts)

    def _layouts(self) -> Sequence[Layout]:
        new, self._known = self._broker.layouts[self._known :], len(self._broker.layouts)
        return new

    def read(self, sources: Iterable[TopicPartition]) -> Mapping[TopicPartition, Committed | None]:
        held = self._broker.committed
        return {source: committed_of(*held[source]) if source in held else None for source in sources}

    def commit(self, entries: Mapping[TopicPartition, Committed]) -> bool:
        if not self.is_fenced:
            self._broker.committed |= {source: (each.offset, each.to_text()) for source, each in entries.items()}
        return not self.is_fenced

    def send(self, court: int, data: bytes) -> None:
        self.left -= 1
        if self.left >= 0:
            self._broker.logs[court].append(data)

    def has_all(self) -> bool:
        return self.is_answered

    def begin(self, source: TopicPartition, tenure: int) -> None:
        """Take up a partition where the source would begin to read it."""
        found = self._broker.committed.get(source)
        self.tenures[source] = tenure
        self.at[source] = 0 if found is None else max(0, starts_at(*found, 0, BACK)[1])

    def take(self, source: TopicPartition, values: Sequence[bytes]) -> None:
        """Read on."""
        at = range(self.at[source], self.at[source] + len(values))
        self.at[source] = at.stop
        if values:
            self.house.step(Batch(values, [0] * len(at), [source], offsets=list(at)), self.now_s)

    def flush(self, now_s: float) -> None:
        """Send what is due."""
        self.now_s = now_s
        self.house.idle((), 0.0, now_s)

    def end(self, source: TopicPartition) -> None:
        """Let go of a partition."""
        del self.tenures[source], self.at[source]


@dataclass
class JoinedCluster:
    """Folds and courts, driven by chance. again: how many messages were read once more."""

    terms: PipelineTerms
    references: Sequence[Reference]
    rng: random.Random
    courts: int = 3
    folds: int = 2
    hurt: float = 0.05
    done: dict[str, int] = field(default_factory=lambda: {"kill": 0, "move": 0, "zombie": 0})
    again: int = 0

    def __post_init__(self) -> None:
        self.broker = Broker(self.courts)
        self.judges = [self.court() for _ in range(self.courts)]
        self.read = [0] * self.courts
        self.told: Told = []
        self._tenures = self._soon = 0
        self.members: list[Member] = []
        self.zombies: list[Member] = []
        self.owners: dict[TopicPartition, Member] = {}
        self._now_s = NOW_S
        while len(self.members) < self.folds:
            self.members.append(self.member())
        for source in SOURCES:
            self._give(source)

    def member(self) -> Member:
        return Member(self.broker, self.terms, self._now_s)

    def court(self) -> DeltaCourt:
        return DeltaCourt(self.terms, ADAPTERS["canonical"](Limits()), self.references)

    def _give(self, source: TopicPartition) -> None:
        owner = self.owners[source] = self.rng.choice(self.members)
        self._tenures += 1
        owner.begin(source, self._tenures)

    def run(self, messages: Sequence[Sent]) -> None:
        """Send messages, let folds and courts go on, and hurt them; until all is counted."""
        self.fill(messages)
        while not self.is_read():
            self._turn()
        self.hurt = 0.0
        for member in self.zombies:
            self._flush(member)
        for _ in range(8):
            for member in self.members:
                member.is_answered = True
                self._flush(member)
        for court in range(self.courts):
            self._judge(court)
        for judge in self.judges:
            self.told += told(judge.finish().transitions)

    def fill(self, messages: Sequence[Sent]) -> None:
        self.queues = [[value for number, value in messages if number == at] for at in range(PARTITIONS)]

    def is_read(self) -> bool:
        return all(self.owners[s].at[s] >= len(self.queues[s.partition]) for s in SOURCES)

    def _turn(self) -> None:
        source = self.rng.choice(SOURCES)
        self._read(self.owners[source], source)
        for member in self.members:
            member.is_answered = self.rng.random() < 0.7
            if self.rng.random() < 0.4:
                self._flush(member)
        if self.zombies and self.rng.random() < 0.2:
            zombie = self.rng.choice(self.zombies)
            for each in zombie.tenures:
                self._read(zombie, each)
            zombie.is_answered = True
            self._flush(zombie)
        if self.rng.random() < 0.3:
            self._judge(self.rng.randrange(self.courts))
        self._soon -= 1
        if self.rng.random() < (0.4 if self._soon > 0 else self.hurt):  # seldom one alone
            self._soon = self._soon if self._soon > 0 else self.rng.randrange(12)
            self._hurt()

    def _read(self, member: Member, source: TopicPartition) -> None:
        first = member.at[source]
        values = self.queues[source.partition][first : first + self.rng.randrange(1, 16)]
        self.again += sum(committed_of(*self.broker.committed.get(source, (0, ""))).offset > first for _ in values)
        member.take(source, values)

    def _flush(self, member: Member) -> None:
        self._now_s += FLUSH_S
        member.flush(self._now_s)

    def _hurt(self) -> None:
        kind = self.rng.choice(list(self.done))
        self.done[kind] += 1
        if kind == "move":
            source = self.rng.choice(SOURCES)
            self.owners[source].end(source)
            self._give(source)
            return
        gone = self.members.pop(self.rng.randrange(len(self.members)))
        if kind == "kill":  # in the midst of a flush, of which some courts may have some
            for source in gone.tenures:
                self._read(gone, source)
            gone.is_answered, gone.left = True, self.rng.randrange(self.courts + 1)
            self._flush(gone)
        gone.is_fenced = True
        self.zombies += [gone] if kind == "zombie" else []
        self.members.append(self.member())
        for source in [each for each, owner in self.owners.items() if owner is gone]:
            self._give(source)

    def _judge(self, court: int) -> None:
        judge, log = self.judges[court], self.broker.logs[court]
        while self.read[court] < len(log):
            step = judge.take(Post.decode(log[self.read[court]], "a post"))
            self.read[court] += 1
            self.told += told(step.transitions)
            self.broker.layouts += judge.layouts()
            if self.rng.random() < 0.02:  # it goes on elsewhere, from what was kept
                kept = {section.name: section.make() for section in judge.sections()}
                judge = self.judges[court] = self.court()
                judge.restore(kept)
                self.broker.layouts += judge.known_layouts()


def told(transitions: Iterable[Any]) -> Told:
    """Give alerts in a form to be compared."""
    return [(each.time_s, each.alert.rule, each.alert.key, each.alert.state, each.alert.value) for each in transitions]
