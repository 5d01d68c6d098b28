"""What folds and judges tell of themselves, and when they are not ready."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from benchmarks.faults.traffic import event
from monitor import build
from monitor.claims import Committed
from monitor.config import Settings
from monitor.court_house import CourtHouse
from monitor.decode import ADAPTERS, Limits
from monitor.delta_court import DeltaCourt
from monitor.delta_fold import DeltaFold
from monitor.domain import Batch, TopicPartition
from monitor.fold_house import FoldHouse, Hands
from monitor.upkeep import ACKNOWLEDGED_S, HalfStatus

SETTINGS: Final = Settings.model_validate({"kafka": {"topics": ["t"]}, "alerts": {"windows": ["10s"]}})
PLACES: Final = (TopicPartition("t", 0), TopicPartition("t", 1))
COURTS: Final = 2
START_S: Final = 1_795_200_000.0


@dataclass
class Brokers:
    """What a fold talks to: answers or not, acknowledges or not."""

    answers: bool = True
    acknowledges: bool = True
    committed: dict[TopicPartition, Committed] = field(default_factory=dict)
    sent: list[tuple[int, bytes]] = field(default_factory=list)

    def read(self, sources: Iterable[TopicPartition]) -> Mapping[TopicPartition, Committed | None] | None:
        return {source: self.committed.get(source) for source in sources} if self.answers else None

    def commit(self, entries: Mapping[TopicPartition, Committed]) -> bool:
        self.committed |= entries if self.answers else {}
        return self.answers

    def send(self, court: int, data: bytes) -> None:
        self.sent.append((court, data))

    def has_all(self) -> bool:
        return self.acknowledges


def house(brokers: Brokers) -> FoldHouse:
    fold = DeltaFold(build.pipeline_terms(SETTINGS), ADAPTERS["canonical"](Limits()), COURTS)
    hands = Hands(
        ledger=brokers,
        postbox=brokers,
        positions=lambda: dict.fromkeys(PLACES, 0),
        tenures=lambda: dict.fromkeys(PLACES, 1),
        layouts=list,
        partitions=lambda: {"t": 2},
    )
    return FoldHouse(fold, hands, "fold-1", COURTS)


def test_fold_that_claims_and_is_acknowledged_waits_for_nothing() -> None:
    brokers = Brokers()
    found = house(brokers)
    for second in range(5):
        found.idle(PLACES, 0.0, START_S + second)

    half = found.picture().half

    assert ("fold", 2, 0, 0.0) == (half.role, half.claims, half.unclaimed, half.waiting_s)
    assert half.posts == len(brokers.sent) > 0
    assert half.sent_bytes == sum(len(data) for _, data in brokers.sent)
    assert "" == half.waits_for()


def test_fold_that_can_claim_nothing_is_not_ready() -> None:
    found = house(Brokers(answers=False))
    for second in range(8):
        found.idle(PLACES, 0.0, START_S + second)

    half = found.picture().half

    assert (0, 2, 7.0) == (half.claims, half.unclaimed, half.waiting_s)
    assert "2 partition(s) not claimed yet" in half.waits_for()


def test_fold_whose_counts_are_not_acknowledged_is_not_ready_after_a_while() -> None:
    brokers = Brokers()
    found = house(brokers)
    found.idle(PLACES, 0.0, START_S)
    brokers.acknowledges = False
    for second in range(int(ACKNOWLEDGED_S) + 3):
        found.idle(PLACES, 0.0, START_S + second)
        if second == 5:
            assert "" == found.picture().half.waits_for()

    assert "not acknowledged by the topic of deltas for 1" in found.picture().half.waits_for()

    brokers.acknowledges = True
    found.idle(PLACES, 0.0, START_S + 30.0)

    assert "" == found.picture().half.waits_for()


class Doors:
    """Who opens courts: those that were named, when asked."""

    def __init__(self, *numbers: int) -> None:
        self.shut = list(numbers)

    def close_gone(self, house: CourtHouse) -> None:
        """None goes."""

    def open_due(self, house: CourtHouse) -> None:
        for number in self.shut:
            house.open(number, {})
        self.shut = []

    def expected(self) -> list[TopicPartition]:
        return [TopicPartition("deltas", number) for number in self.shut]


def test_judge_tells_of_each_court_how_old_its_newest_deltas_are_and_who_is_silent() -> None:
    terms, adapter = build.pipeline_terms(SETTINGS), ADAPTERS["canonical"](Limits())
    courts = CourtHouse(lambda: DeltaCourt(terms, adapter, away_s=60.0), lambda _: None, Doors(0, 1))
    before = courts.picture().half
    courts.idle((), 0.0, START_S)
    brokers = Brokers()
    fold = house(brokers)
    rng = random.Random(1)
    values = [event(rng, "fraud", START_S, is_planted=False) for _ in range(10)]
    fold.step(Batch(values, [0] * 10, PLACES, offsets=list(range(10))), START_S)
    for second in range(3):
        fold.idle((), 0.0, START_S + second)
    for at, (court, data) in enumerate(brokers.sent):
        courts.step(Batch([data], [0], [TopicPartition("deltas", court)], offsets=[at]), math.nan)

    half = courts.picture().half

    assert "2 court(s) not open yet" in before.waits_for()
    assert ("judge", 0) == (half.role, half.unclaimed)
    assert {0, 1} == set(half.courts)
    assert {(2, 0)} == {(each.partitions, each.absent) for each in half.courts.values()}
    assert all(each.sent_wall_s is not None and START_S <= each.sent_wall_s for each in half.courts.values())
    assert half.verdicts["taken"] >= 1
    assert "" == half.waits_for() == HalfStatus().waits_for()
