"""Dead letters on an embedded broker: headers there and back, refusals, bounds, restart; and what must be allowed."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message
from confluent_kafka import TopicPartition as KafkaPartition
from hypothesis import given
from hypothesis import strategies as st

from monitor import dead_letters
from monitor.acls import acls_of
from monitor.codec import decode, encode
from monitor.config import load_settings
from monitor.dead_letters import DeadLetters, DeadLetterTerms, Letter, headers_of, letter_of
from monitor.domain import Batch, Rejection, TopicPartition
from monitor.embedded import EmbeddedBroker
from monitor.errors import SinkError
from monitor.intake import Origin
from monitor.redelivery import Replayed
from tests.support.sources import Told, options_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEAD = "dead"
PLACE = TopicPartition("events", 3)
PRODUCE = 0
INIT_PRODUCER_ID = 22
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


class House:
    """An embedded broker with a topic of dead letters, and a clock that can be put forward."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self.broker = broker
        self.told = Told()
        self.ahead_s = 0.0
        self._open: list[DeadLetters] = []

    def letters(self, *, payload: bool = False, protocol: str = "plaintext") -> DeadLetters:
        options = {**options_of(self.broker.bootstrap_servers, "group"), "security.protocol": protocol}
        terms = DeadLetterTerms(DEAD, options, "1.2.3", payload=payload)
        made = DeadLetters(terms, self.told, lambda: time.monotonic() + self.ahead_s)
        self._open.append(made)
        return made

    def found(self, count: int) -> list[Letter | None]:
        """Give so many letters of the topic."""
        consumer = Consumer(options_of(self.broker.bootstrap_servers, "look"))
        consumer.assign([KafkaPartition(DEAD, 0, 0)])
        messages: list[Message] = []
        end_s = time.monotonic() + 10
        while len(messages) < count and time.monotonic() < end_s:
            messages += consumer.consume(count, 0.2)
        consumer.close()
        return [letter_of(each.headers() or [], each.value()) for each in messages]  # type: ignore[arg-type]

    def close(self) -> None:
        for each in self._open:
            each.close()


@pytest.fixture
def house() -> Iterator[House]:
    with EmbeddedBroker({DEAD: 1}) as broker:
        made = House(broker)
        yield made
        made.close()


def batch_of(*values: bytes | None) -> Batch:
    count = len(values)
    origins = [Origin(1_000 + at, at) for at in range(count)]
    return Batch(values, [0] * count, [PLACE], offsets=list(range(100, 100 + count)), origins=origins)


def rejected(count: int) -> list[tuple[int, Rejection]]:
    return [(at, Rejection.NOT_JSON) for at in range(count)]


class TestLetters:
    def test_letter_says_all_that_is_known_of_the_message(self, house: House) -> None:
        letters = house.letters(payload=True)
        letters.open()
        letters.offer(batch_of(b"a", b"b"), [(1, Rejection.NO_MODEL), (1, Rejection.NO_TIME)])

        assert letters.flush(10.0)
        assert [Letter("events", 3, 101, 1_001, "no_model", hashlib.sha256(b"b").hexdigest(), 1, b"b")] == house.found(
            1
        )
        status = letters.status({PLACE: "why"})
        assert (1, 0, {PLACE: "why"}) == (status.sent["no_model"], status.waiting, status.broken)

    @given(st.builds(Letter, TEXT, st.integers(), st.integers(), st.integers(), TEXT, TEXT, st.integers(), st.none()))
    def test_headers_there_and_back_are_the_same_letter(self, letter: Letter) -> None:
        assert letter == letter_of(headers_of(letter, "1"), None)  # type: ignore[arg-type]

    @given(st.lists(st.tuples(st.text(), st.one_of(st.none(), st.binary()))))
    def test_any_headers_are_a_letter_or_none(self, headers: list[tuple[str, bytes | None]]) -> None:
        assert letter_of(headers, b"x") is None

    def test_letter_that_the_broker_refuses_goes_again(self, house: House) -> None:
        letters = house.letters()
        letters.open()
        house.broker.fail_next(PRODUCE, [KafkaError.TOPIC_AUTHORIZATION_FAILED])
        letters.offer(batch_of(b"a"), rejected(1))
        first = letters.flush(1.0)
        house.ahead_s += 60.0

        assert not first
        assert letters.flush(10.0)
        assert {"topic_authorization_failed"} == letters.status({}).failed.keys()
        assert [100] == [each.offset for each in house.found(1) if each is not None]
        assert ("dead_letters_topic_authorization_failed", True) == (house.told[0][0], "WRITE" in house.told[0][2])

    def test_client_that_can_not_go_on_is_replaced_and_no_letter_is_lost(self, house: House) -> None:
        house.broker.fail_next(INIT_PRODUCER_ID, [KafkaError.CLUSTER_AUTHORIZATION_FAILED])
        letters = house.letters()
        letters.open()
        letters.offer(batch_of(b"a"), rejected(1))
        first = letters.flush(2.0)
        house.ahead_s += 60.0

        assert not first
        assert letters.flush(10.0)
        assert "dead_letters_cluster_authorization_failed" in {reason for reason, _, _ in house.told}
        assert [100] == [each.offset for each in house.found(1) if each is not None]

    def test_payload_that_is_too_large_for_the_topic_is_left_out(self, house: House) -> None:
        letters = house.letters(payload=True)
        letters.open()
        house.broker.fail_next(PRODUCE, [KafkaError.MSG_SIZE_TOO_LARGE])
        letters.offer(batch_of(b"a"), rejected(1))

        assert letters.flush(10.0)
        assert [None] == [each.payload for each in house.found(1) if each is not None]

    def test_payload_that_is_too_large_for_the_client_holds_up_no_other(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dead_letters, "MESSAGE_BYTES_MAX", 2_000)
        letters = house.letters(payload=True)
        letters.open()
        letters.offer(batch_of(b"x" * 5_000, b"b"), rejected(2))

        assert letters.flush(10.0)
        assert [None, b"b"] == [each.payload for each in house.found(2) if each is not None]

    def test_client_queue_that_is_full_drops_nothing(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dead_letters, "LETTERS_MAX", 50)
        letters = house.letters()
        letters.open()
        letters.offer(batch_of(*[b"a"] * 500), rejected(500))
        is_full = letters.is_full

        assert is_full
        assert letters.flush(10.0)
        assert not letters.is_full
        assert set(range(100, 600)) == {each.offset for each in house.found(500) if each is not None}

    def test_payloads_count_towards_the_bound_until_they_are_accepted(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dead_letters, "PAYLOAD_BYTES_MAX", 1_000)
        with_payload, without = house.letters(payload=True), house.letters()
        for each in (with_payload, without):
            each.offer(batch_of(b"x" * 999, b"y"), rejected(2))

        assert (True, False) == (with_payload.is_full, without.is_full)
        with_payload.open()
        assert with_payload.flush(10.0)
        assert not with_payload.is_full

    def test_letters_that_were_not_accepted_live_across_a_restart(self, house: House) -> None:
        house.broker.set_broker_down()
        before, after = house.letters(payload=True), house.letters(payload=True)
        before.open()
        before.offer(batch_of(b"a", b"b", b"c"), rejected(3))
        assert not before.flush(0.2)
        state = decode(encode(before.state()), "letters")
        assert 3 == before.close()
        house.broker.set_broker_up()

        after.restore(state)
        after.open()

        assert after.flush(20.0)
        assert {b"a", b"b", b"c"} <= {each.payload for each in house.found(3) if each is not None}
        assert {"letters": []} == after.state()

    def test_option_that_the_client_does_not_take_is_refused_at_once(self, house: House) -> None:
        with pytest.raises(SinkError, match=r'dead letters: .*Invalid value.*"security.protocol"'):
            house.letters(protocol="telepathy").open()


class TestAcls:
    def settings(self, folder: Path, more: str = "") -> Any:  # noqa: ANN401 - Settings is a pydantic model
        path = folder / "driftd.yaml"
        path.write_text(f"kafka: {{topics: [events, 'other.events'], bootstrap_servers: 'a:1,b:2'}}\n{more}")
        return load_settings(path, {})

    def test_reading_needs_no_more_than_reading(self, tmp_path: Path) -> None:
        found = acls_of(self.settings(tmp_path))

        assert [
            ("topic", "events", ("Read", "Describe")),
            ("topic", "other.events", ("Read", "Describe")),
            ("group", "driftd", ("Read",)),
        ] == [each[:3] for each in map(tuple, map(fields, found.needed))]
        assert {"Write"} == {each for acl in found.optional if "drill" in acl.why for each in acl.operations}

    def test_fold_and_judge_need_no_more_than_their_topics_and_groups(self, tmp_path: Path) -> None:
        found = acls_of(self.settings(tmp_path))

        read, write = ("Read", "Describe"), ("Write", "Describe")
        assert [*map(fields, found.needed)] == [*map(fields, found.fold)][: len(found.needed)]
        assert [("topic", "driftd.deltas", write), ("topic", "driftd.layouts", read)] == [*map(fields, found.fold)][
            len(found.needed) :
        ]
        assert [
            ("topic", "driftd.deltas", read),
            ("group", "driftd-judge", ("Read",)),
            ("topic", "driftd.layouts", write),
            ("topic", "driftd.state", ("Read", "Write", "Describe")),
        ] == [*map(fields, found.judge)]

    def test_dead_letters_need_the_right_to_write_them(self, tmp_path: Path) -> None:
        text = acls_of(self.settings(tmp_path, "dead_letters: {topic: dead}\n"), "User:CN=drift d").to_text()

        commands = [line for line in text.splitlines() if line and not line.startswith("#")]
        start = "kafka-acls --bootstrap-server a:1,b:2 --add --allow-principal 'User:CN=drift d' --operation "
        assert all(line.startswith(start) for line in commands)
        assert "Write --operation Describe --topic dead" in [line.removeprefix(start) for line in commands]
        assert "Read --group driftd-dlq-replay" in [line.removeprefix(start) for line in commands]
        assert ["driftd topics create"] * 3 == [
            acl.why for acl in acls_of(self.settings(tmp_path)).optional if "Create" in acl.operations
        ]

    def test_programs_get_the_same(self, tmp_path: Path) -> None:
        found = acls_of(self.settings(tmp_path)).to_dict()

        assert {"resource": "group", "name": "driftd", "operations": ["Read"]}.items() <= found["needed"][2].items()


def fields(acl: Any) -> tuple[str, str, tuple[str, ...]]:  # noqa: ANN401 - any grant
    return (acl.resource, acl.name, acl.operations)


def test_what_was_put_back_is_told_in_words() -> None:
    done = Replayed(is_dry=True, read=3)
    done.replayed["events"] = 2
    done.left["its payload is gone"] = 1

    assert "3 letters read, 2 would be put back\n          2 to events\n          1 left: its payload is gone" == (
        done.to_text()
    )
    assert {"dry_run": True, "read": 3, "replayed": {"events": 2}, "left": {"its payload is gone": 1}} == done.to_dict()
