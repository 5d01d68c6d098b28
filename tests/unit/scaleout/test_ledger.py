"""What a group has committed: what is refused may be tried again, what nobody answers ends a membership."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from monitor.claims import Committed
from monitor.domain import TopicPartition
from monitor.relay import ledger
from monitor.relay.ledger import GroupLedger, Member

PLACE: Final = TopicPartition("t", 0)
ENTRY: Final = {PLACE: Committed(5, 7, 9)}


@dataclass
class Client:
    """A group's member in memory. answer: raised in place of taking a commit."""

    answer: KafkaException | None = None
    member_id: str = "m"
    taken: dict[TopicPartition, tuple[int, str]] = field(default_factory=dict)
    rejoins: int = 0
    troubles: int = 0
    reasons: list[str] = field(default_factory=list)

    def memberid(self) -> str:
        return self.member_id

    def commit(self, offsets: list[KafkaPartition], *, asynchronous: bool) -> list[KafkaPartition]:
        assert not asynchronous
        if self.answer is not None:
            raise self.answer
        self.taken |= {TopicPartition(p.topic, p.partition): (p.offset, p.metadata or "") for p in offsets}
        return offsets

    def rejoin(self) -> None:
        self.rejoins += 1

    def ledger(self) -> GroupLedger:
        client: Any = self
        member = Member(lambda: client, self.rejoin, lambda: self.troubles)
        return GroupLedger(member, ["t"], lambda reason, _, __: self.reasons.append(reason))


def failure(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


def test_commit_carries_epoch_and_limit() -> None:
    client = Client()

    assert client.ledger().commit(ENTRY)
    assert {PLACE: (5, "driftd1:7:9")} == client.taken
    assert 0 == client.rejoins


@pytest.mark.parametrize(
    "code", [KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NOT_COORDINATOR]
)
def test_what_is_refused_may_be_tried_again_by_the_same_member(code: int) -> None:
    client = Client(failure(code))

    assert not client.ledger().commit(ENTRY)
    assert 0 == client.rejoins
    assert client.reasons


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT])
def test_after_one_of_unknown_outcome_the_group_is_left(code: int) -> None:
    client = Client(failure(code))

    assert not client.ledger().commit(ENTRY)
    assert 1 == client.rejoins


def test_nothing_is_committed_without_an_id() -> None:
    client = Client(member_id="")

    assert not client.ledger().commit(ENTRY)
    assert {} == client.taken


def test_one_that_the_client_may_have_sent_twice_ends_the_membership_too(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    found = client.ledger()
    monkeypatch.setattr(ledger, "REPEATED_S", 0.0)
    assert found.commit(ENTRY)
    assert found.commit(ENTRY), "slow, but no connection was lost"

    client.troubles += 1
    assert not found.commit(ENTRY)
    assert 1 == client.rejoins
    assert found.commit(ENTRY), "as another member"


def test_lost_connection_without_a_slow_commit_is_no_reason() -> None:
    client = Client()
    found = client.ledger()
    assert found.commit(ENTRY)
    client.troubles += 1

    assert found.commit(ENTRY)
    assert 0 == client.rejoins
