"""What a fold sends of messages that come in batches, with gaps, and where nobody takes anything.

No layout is ever told, so all goes to the court as it came: each message is known by its offset.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest

from monitor import build, deltas, fold_house
from monitor.claims import Committed
from monitor.config import Settings
from monitor.court import Step
from monitor.decode import ADAPTERS, Limits
from monitor.delta_court import DeltaCourt
from monitor.delta_fold import DeltaFold
from monitor.deltas import Post
from monitor.domain import Batch, Gap, Rejection, TopicPartition
from monitor.errors import SourceError
from monitor.fold_house import FLUSH_S, FoldHouse, Hands
from monitor.intake import Origin
from monitor.receipts import Receipts, Verdict

SETTINGS: Final = Settings.model_validate({"kafka": {"topics": ["t"]}})
PLACE: Final = TopicPartition("t", 0)
OTHER: Final = TopicPartition("t", 1)
START_S: Final = 1_795_200_000.0


def message(offset: int) -> bytes:
    return f'{{"model": "m", "event_time": {START_S + offset / 10}, "score": 0.5, "event_id": "{offset}"}}'.encode()


@dataclass
class Broker:
    """What outlives a fold: commits, and what was sent. is_answering: whether what is sent is acknowledged."""

    committed: dict[TopicPartition, Committed] = field(default_factory=dict)
    posts: list[bytes] = field(default_factory=list)
    is_answering: bool = True

    def read(self, sources: Iterable[TopicPartition]) -> Mapping[TopicPartition, Committed | None]:
        return {source: self.committed.get(source) for source in sources}

    def commit(self, entries: Mapping[TopicPartition, Committed]) -> bool:
        self.committed |= entries
        return True

    def send(self, court: int, data: bytes) -> None:
        assert court == 0
        self.posts.append(data)

    def has_all(self) -> bool:
        return self.is_answering

    def decoded(self) -> list[Post]:
        return [Post.decode(data, "a post") for data in self.posts]

    def counted(self) -> Counter[int]:
        """Give how often each offset counts, as a court takes it; nothing may be torn."""
        receipts, out = Receipts(), Counter[int]()
        for post in self.decoded():
            for delta in post.deltas:
                receipt = receipts.take(delta.source, delta.epoch, delta.stretch)
                assert receipt.verdict is not Verdict.TORN
                assert all(delta.stretch.first <= each.offset < delta.stretch.next for each in delta.forwarded)
                if receipt.verdict is Verdict.TAKEN:
                    out.update(each.offset for each in delta.forwarded if each.offset >= receipt.from_offset)
        return out


class Fold:
    """A fold of one court, and its clock."""

    def __init__(self, broker: Broker, sources: Sequence[TopicPartition] = (PLACE,), now_s: float = START_S) -> None:
        self.now_s = now_s
        self.tenures = dict.fromkeys(sources, 1)
        self.positions: dict[TopicPartition, int] = {}
        self.untold: dict[TopicPartition, int] = {}
        self.fold = DeltaFold(build.pipeline_terms(SETTINGS), ADAPTERS["canonical"](Limits()), 1)
        hands = Hands(
            ledger=broker,
            postbox=broker,
            positions=lambda: self.positions,
            tenures=lambda: self.tenures,
            layouts=list,
            partitions=lambda: {"t": len(sources)},
            untold=lambda: self.untold,
        )
        self.house = FoldHouse(self.fold, hands, "fold", 1)

    def read(self, offsets: Iterable[int], source: TopicPartition = PLACE, values: Sequence[bytes] = ()) -> Step:
        at = list(offsets)
        self.positions[source] = at[-1] + 1
        held = list(values) or list(map(message, at))
        origins = [Origin(each, 0) for each in at]
        return self.house.step(Batch(held, [0] * len(at), [source], offsets=at, origins=origins), self.now_s)

    def flush(self) -> Step:
        self.now_s += FLUSH_S
        return self.house.idle((), 0.0, self.now_s)


def stretches(broker: Broker) -> list[tuple[int, int]]:
    """Give the stretches sent that hold anything."""
    found = [delta.stretch for post in broker.decoded() for delta in post.deltas]
    return [(first, after) for first, after, _ in found if first < after]


class TestGaps:
    def test_before_the_first_message_it_is_told_to_the_court(self) -> None:
        broker = Broker({PLACE: Committed(5, 1, 5)})
        fold = Fold(broker)
        fold.house.lose([Gap(PLACE, 5, 50)])
        fold.read(range(50, 60))
        fold.flush()
        fold.flush()

        assert [(50, 60)] == stretches(broker)
        assert Counter(range(50, 60)) == broker.counted()

    def test_in_mid_reading_what_follows_waits_for_what_was_before(self) -> None:
        broker = Broker()
        fold = Fold(broker)
        fold.read(range(10))
        fold.house.lose([Gap(PLACE, 10, 30)])
        fold.read(range(30, 40))

        assert [PLACE] == list(fold.house.ahead())
        for _ in range(4):
            fold.flush()
        assert [(0, 10), (30, 40)] == stretches(broker)
        assert Counter([*range(10), *range(30, 40)]) == broker.counted()
        assert [] == list(fold.house.ahead())

    def test_before_anything_of_what_was_committed_is_read(self) -> None:
        """Those read again to know duplicates may be gone, too; they are not missed."""
        broker = Broker({PLACE: Committed(100, 1, 100)})
        fold = Fold(broker)
        fold.house.lose([Gap(PLACE, 20, 60)])
        fold.read(range(60, 110))
        fold.flush()
        fold.flush()

        assert [(100, 110)] == stretches(broker)

    def test_court_judges_nothing_that_lacks_messages(self) -> None:
        broker = Broker()
        fold = Fold(broker)
        fold.read(range(10))
        fold.flush()
        fold.house.lose([Gap(PLACE, 10, 300)])
        fold.flush()
        court = DeltaCourt(build.pipeline_terms(SETTINGS), ADAPTERS["canonical"](Limits()))
        missing: list[bool] = []
        for _ in range(3):
            fold.flush()
        fold.read(range(300, 360))
        for _ in range(3):
            fold.flush()
        for post in broker.decoded():
            court.take(post)
            missing.append(court.missing.is_any(START_S + 20.0))

        assert [False, True] == list(dict.fromkeys(missing))[:2], "as soon as the gap is known"
        assert court.missing.is_any(START_S + 29.0), "until the first event after it"
        assert not court.missing.is_any(START_S + 31.0)

    def test_log_that_was_made_anew_is_no_gap(self) -> None:
        fold = Fold(Broker())
        with pytest.raises(SourceError, match=r"partition 0: was made anew, or lost records: it ends before 500"):
            fold.house.lose([Gap(PLACE, 500, 0)])

    def test_of_another_tenure_is_forgotten(self) -> None:
        broker = Broker()
        fold = Fold(broker)
        fold.read(range(10))
        fold.house.lose([Gap(PLACE, 10, 30)])
        fold.tenures[PLACE] = 2
        fold.read(range(10))
        fold.flush()
        fold.flush()

        assert Counter(range(10)) == broker.counted()


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_each_message_that_was_read_counts_once(seed: int) -> None:
    """Retention takes what nobody has read; owners die at any time; courts answer when they like."""
    rng, broker = random.Random(seed), Broker()
    end, low, lost = 0, 0, set[int]()
    fold = Fold(broker)
    position = 0
    for _ in range(80):
        luck = rng.random()
        broker.is_answering = rng.random() < 0.6
        end += rng.randrange(12)
        if luck < 0.12:  # the owner dies; its successor reads a little before what was committed
            fold = Fold(broker, now_s=fold.now_s + 10.0)
            committed = broker.committed.get(PLACE)
            position = 0 if committed is None else max(committed.offset - 5, min(low, committed.offset))
        elif luck < 0.22:
            low = min(end, max(low, position) + rng.randrange(20))
        if position < low:
            fold.house.lose([Gap(PLACE, position, low)])
            lost.update(range(position, low))
            position = low
        if position < end and luck > 0.3:
            upto = rng.randrange(position, end) + 1
            fold.read(range(position, upto))
            position = upto
        if rng.random() < 0.5:
            fold.flush()
    broker.is_answering = True
    if position < end:
        fold.read(range(position, end))
    for _ in range(8):
        fold.flush()

    counted = broker.counted()
    assert set(counted.values()) <= {1}
    assert set(range(end)) - lost <= counted.keys()


class TestRoom:
    def test_where_nobody_answers_memory_is_bounded_and_reading_stops(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fold_house, "FORWARDED_BYTES_MAX", 20_000)
        broker = Broker(is_answering=False)
        fold, at = Fold(broker), 0
        while PLACE not in fold.house.ahead():
            fold.read(range(at, at + 20))
            fold.now_s += 0.1
            at += 20
            assert at < 1_000, "it never stops"
        held = fold.fold.nbytes

        for _ in range(10):
            fold.flush()
        assert fold.fold.nbytes == held < 30_000
        assert 1 == len([None for first, after in stretches(broker) if first < after])

        broker.is_answering = True
        for _ in range(4):
            fold.flush()
        assert Counter(range(at)) == broker.counted()
        assert [] == list(fold.house.ahead())

    def test_what_is_too_much_for_a_post_goes_before_its_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fold_house, "FORWARDED_BYTES_MAX", 5_000)
        broker = Broker()
        fold = Fold(broker)
        for at in range(0, 400, 40):
            fold.read(range(at, at + 40))
        fold.flush()
        fold.flush()

        assert max(len(post) for post in broker.posts) < 15_000
        assert Counter(range(400)) == broker.counted()

    def test_deltas_of_many_partitions_go_in_several_posts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(deltas, "POST_BYTES_MAX", 1_000)
        broker = Broker()
        fold = Fold(broker, (PLACE, OTHER))
        fold.read(range(10))
        fold.read(range(10), OTHER)
        fold.flush()

        assert [[PLACE], [OTHER]] == [[delta.source for delta in post.deltas] for post in broker.decoded()][-2:]


class TestRejects:
    BAD: Final = (b"not json", message(1), b"{}")

    def test_are_told_by_their_place_in_the_batch(self) -> None:
        step = Fold(Broker()).read(range(3), values=self.BAD)

        assert step.batch is None
        assert [(0, Rejection.NOT_JSON), (2, Rejection.NO_MODEL)] == step.rejected

    def test_are_told_once_though_they_waited(self) -> None:
        broker = Broker()
        fold = Fold(broker)
        fold.read(range(3))
        fold.house.lose([Gap(PLACE, 3, 10)])
        waits = fold.read(range(10, 13), values=self.BAD)
        told: list[object] = []
        for step in [fold.flush() for _ in range(4)]:
            if step.rejected and step.batch is not None:
                told += [(step.batch.offsets[at], why, step.batch.origins[at]) for at, why in step.rejected]

        assert [] == waits.rejected
        assert waits.batch is not None
        assert [(10, Rejection.NOT_JSON, Origin(10, 0)), (12, Rejection.NO_MODEL, Origin(12, 0))] == told

    def test_what_was_sent_by_an_earlier_owner_is_not_told_again(self) -> None:
        fold = Fold(Broker({PLACE: Committed(2, 1, 2)}))

        step = fold.read(range(3), values=self.BAD)
        assert [2] == [at for at, _ in step.rejected]

    def test_offset_is_not_committed_beyond_what_nobody_was_told_of(self) -> None:
        broker = Broker()
        fold = Fold(broker)
        fold.read(range(3), values=self.BAD)
        fold.untold = {PLACE: 2}
        fold.flush()
        fold.flush()
        fold.flush()
        assert (2, 3) == (broker.committed[PLACE].offset, broker.committed[PLACE].limit)

        fold.untold = {}
        fold.flush()
        assert (3, 3) == (broker.committed[PLACE].offset, broker.committed[PLACE].limit)
