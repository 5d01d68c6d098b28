"""Dead letters on a real broker: what is told of a message, breakers that hold a partition, and putting back."""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Message
from confluent_kafka import TopicPartition as KafkaPartition

from monitor import redelivery
from monitor.breakers import Breakers, BreakerTerms
from monitor.config import load_settings
from monitor.dead_letters import DeadLetters, DeadLetterTerms, letter_of
from monitor.decode import ADAPTERS, Limits
from monitor.domain import TopicPartition
from monitor.errors import ConfigError, SourceError
from monitor.redelivery import Replay
from tests.support.sources import Member, Told, delete_before, options_of, produce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monitor.config import Settings
    from monitor.domain import Batch, Rejection
    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration

GOOD = b'{"model": "m", "event_time": 1780000000, "latency_s": 0.1}'
BAD = b"this is not JSON"
LATER = b'{"event_time": 1780000000, "latency_s": 0.1}'


class House:
    """A topic, its dead letters, and a reader that tells of what it can't use."""

    def __init__(self, servers: str, folder: Path) -> None:
        self.servers = servers
        self.topic = f"events-{uuid.uuid4().hex[:10]}"
        self.dead = f"{self.topic}.dead"
        self.place = TopicPartition(self.topic, 0)
        self.told = Told()
        self._folder = folder
        self._adapter = ADAPTERS["canonical"](Limits())
        self._stack = contextlib.ExitStack()

    @property
    def settings(self) -> Settings:
        path = self._folder / "driftd.yaml"
        path.write_text(
            f"kafka: {{bootstrap_servers: {self.servers}, topics: [{self.topic}], group_id: {self.topic}}}\n"
            f"dead_letters: {{topic: {self.dead}}}\n"
        )
        return load_settings(path, {})

    def member(self, batch_records_max: int = 500) -> Member:
        member = Member(options_of(self.servers, self.topic), self.topic, batch_records_max=batch_records_max)
        self._stack.callback(member.source.close)
        return member

    def letters(self, *, payload: bool = False, topic: str | None = None) -> DeadLetters:
        terms = DeadLetterTerms(topic or self.dead, options_of(self.servers, self.topic), "1.2.3", payload=payload)
        letters = DeadLetters(terms, self.told)
        letters.open()
        self._stack.callback(letters.close)
        return letters

    def rejected(self, batch: Batch) -> list[tuple[int, Rejection]]:
        return self._adapter.decode(batch.values).rejected

    def tell_of_all(self, member: Member, count: int, *, payload: bool) -> None:
        """Read so many messages in all and tell of those that can't be used."""
        letters = self.letters(payload=payload)
        while member.count() < count:
            batch = member.poll()
            letters.offer(batch, self.rejected(batch))
        assert letters.flush(10)

    def messages(self, topic: str) -> list[Message]:
        """Give all messages of a topic with one partition."""
        consumer = Consumer(options_of(self.servers, f"{topic}-look"))
        try:
            _, end = consumer.get_watermark_offsets(KafkaPartition(topic, 0), 10)
            consumer.assign([KafkaPartition(topic, 0, 0)])
            found: list[Message] = []
            until_s = time.monotonic() + 10
            while len(found) < end and time.monotonic() < until_s:
                found += consumer.consume(1_000, 0.5)
        finally:
            consumer.close()
        return found

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def house(kafka_real: Kafka, tmp_path: Path) -> Iterator[House]:
    made = House(kafka_real.bootstrap_servers, tmp_path)
    kafka_real.create_topic(made.topic)
    kafka_real.create_topic(made.dead)
    yield made
    made.close()


class TestLetters:
    @pytest.mark.parametrize("payload", [False, True])
    def test_letter_says_where_the_message_lies_and_why_it_is_dead(self, house: House, *, payload: bool) -> None:
        produce(house.servers, house.topic, [(GOOD, 0, 0), (BAD, 0, 1_700_000_000_123), (None, 0, 0)])
        house.tell_of_all(house.member(), 3, payload=payload)

        found = house.messages(house.dead)

        bad, empty = (letter_of(each.headers() or [], each.value()) for each in found)  # type: ignore[arg-type]
        assert bad is not None
        assert empty is not None
        assert (house.topic, 0, 1, 1_700_000_000_123, "not_json") == bad[:5]
        assert (hashlib.sha256(BAD).hexdigest(), 0, BAD if payload else None) == bad[5:]
        assert (2, "empty", None) == (empty.offset, empty.reason, empty.payload)
        assert {b"1.2.3"} == {dict(each.headers() or [])["driftd-version"] for each in found}

    def test_topic_that_is_missing_loses_no_letter_and_is_told(self, kafka_real: Kafka, house: House) -> None:
        produce(house.servers, house.topic, [(BAD, 0, 0)] * 3)
        member, late = house.member(), f"{house.topic}.late"
        letters = house.letters(topic=late)
        while member.count() < 3:
            batch = member.poll()
            letters.offer(batch, house.rejected(batch))

        assert not letters.flush(2.0)
        assert 3 == letters.status({}).waiting

        kafka_real.create_topic(late)
        assert letters.flush(60.0)
        assert 3 == len(house.messages(late)) == letters.status({}).sent["not_json"]


class TestBreaker:
    def test_bad_deploy_is_held_and_read_in_full_once_it_is_mended(self, house: House) -> None:
        """Of a flood of messages of no use some are told, most are left where they are until somebody has looked."""
        produce(house.servers, house.topic, [(GOOD, 0, 0)] * 300 + [(BAD, 0, 0)] * 2_000)
        member, breakers, now_s = house.member(batch_records_max=100), Breakers(BreakerTerms()), 1_000.0

        def turn() -> None:
            batch = member.poll()
            breakers.tick(now_s)
            if len(batch):
                rejected = house.rejected(batch) if not is_mended else []
                breakers.take(batch, [message for message, _ in rejected], now_s)
            member.source.hold(breakers.held())

        is_mended = False
        end_s = time.monotonic() + 20
        while not breakers.held() and time.monotonic() < end_s:
            turn()
        member.for_s(0.5)
        held = member.count()
        (status,) = member.source.status()

        assert 300 + 100 <= held <= 300 + 200  # the run, and the rest of its batch
        assert {house.place: "100 messages in a row can't be used"}.keys() == breakers.open_partitions().keys()
        assert status.is_held
        assert (0.0, 2_300 - held) == (round(status.stalled_s, 3), status.lag_records)

        is_mended, now_s = True, now_s + 301.0
        end_s = time.monotonic() + 20
        while member.count() < 2_300 and time.monotonic() < end_s:
            turn()

        assert list(range(2_300)) == member.offsets[house.place]
        assert {} == breakers.open_partitions()


class TestReplay:
    @pytest.mark.parametrize("payload", [False, True])
    def test_letters_go_back_where_they_came_from_once(self, house: House, *, payload: bool) -> None:
        produce(house.servers, house.topic, [(GOOD, 0, 0), (BAD, 0, 0), (GOOD, 0, 0), (LATER, 0, 0), (None, 0, 0)])
        house.tell_of_all(house.member(), 5, payload=payload)
        order = Replay(house.dead)

        dry = redelivery.replay(house.settings, replace(order, is_dry=True))
        some = redelivery.replay(house.settings, replace(order, reasons=frozenset({"no_model"})))
        rest = redelivery.replay(house.settings, order)
        none = redelivery.replay(house.settings, order)

        assert (3, {house.topic: 2}, {"its payload is gone": 1}) == (dry.read, dry.replayed, dry.left)
        assert ({house.topic: 1}, 2) == (some.replayed, some.left.total())
        assert {house.topic: 1} == rest.replayed
        assert {"put back by an earlier run": 1, "its payload is gone": 1} == rest.left
        assert 0 == none.replayed.total()
        again = house.messages(house.topic)[5:]
        assert [LATER, BAD] == [each.value() for each in again]
        assert [[("driftd-replays", b"1")]] * 2 == [each.headers() for each in again]

    def test_message_that_fails_again_is_not_put_back_for_ever(self, house: House) -> None:
        produce(house.servers, house.topic, [(BAD, 0, 0)])
        member = house.member()
        counts = []
        for round_ in range(1, 4):
            house.tell_of_all(member, round_, payload=False)
            counts.append(redelivery.replay(house.settings, Replay(house.dead, replays_max=2)).replayed.total())

        assert [1, 1, 0] == counts
        letters = [letter_of(each.headers() or [], None) for each in house.messages(house.dead)]  # type: ignore[arg-type]
        assert [0, 1, 2] == [each.replays for each in letters if each is not None]

    def test_payload_that_retention_took_is_said_to_be_gone(self, house: House) -> None:
        produce(house.servers, house.topic, [(BAD, 0, 0), (BAD, 0, 0)])
        house.tell_of_all(house.member(), 2, payload=False)
        delete_before(house.servers, house.place, 1)

        done = redelivery.replay(house.settings, Replay(house.dead))

        assert ({house.topic: 1}, {"its payload is gone": 1}) == (done.replayed, done.left)
        assert "2 letters read, 1 put back\n          1 to events-" in done.to_text()

    def test_what_is_no_letter_is_left(self, kafka_real: Kafka, house: House) -> None:
        produce(house.servers, house.dead, [(b"x", 0, 0)])
        other = f"{house.topic}.other"
        kafka_real.create_topic(other)

        done = redelivery.replay(house.settings, Replay(house.dead, to=other))

        assert {"not a dead letter of driftd": 1} == done.left

    def test_wrong_orders_are_refused(self, house: House) -> None:
        with pytest.raises(ConfigError, match="--reason typo: no reason of rejection; these are: empty, "):
            redelivery.replay(house.settings, Replay(house.dead, reasons=frozenset({"typo"})))
        with pytest.raises(ConfigError, match="is one of the topics that messages would be put back to"):
            redelivery.replay(house.settings, Replay(house.topic))
        with pytest.raises(SourceError, match=r"kafka: topic 'no-such': .*Unknown topic"):
            redelivery.replay(house.settings, Replay("no-such"))
