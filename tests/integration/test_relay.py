"""States of courts, and driftd's own topics, on a real broker."""

from __future__ import annotations

import contextlib
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from monitor.domain import TopicPartition
from monitor.errors import SourceError, StateError
from monitor.kept import Section
from monitor.relay import state_topic, topics
from monitor.relay.state_topic import Progress, StateTopic
from monitor.relay.topics import Names, Wanted
from monitor.snapshot_writer import Superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from monitor.snapshots import Snapshot
    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration

Q: Final = 2
PLACE: Final = TopicPartition("deltas", Q)
ROWS: Final = 40_000
TIMEOUT_S: Final = 20.0
WRONG_COUNT: Final = (
    "has 3 partitions, wanted are 4: set the configured number to what the topics have; or stop folds and judges,"
    " delete driftd's topics, and make them anew"
)


def options_of(servers: str) -> dict[str, Any]:
    return {"bootstrap.servers": servers, "log_level": 0}


@pytest.fixture
def names(kafka_real: Kafka) -> Names:
    unique = uuid.uuid4().hex[:8]
    return Names(f"deltas-{unique}", f"layouts-{unique}", f"state-{unique}")


@pytest.fixture
def wanted(names: Names) -> list[Wanted]:
    return topics.wanted(names, partitions=4, replication=1)


@pytest.fixture
def options(kafka_real: Kafka, wanted: list[Wanted]) -> Mapping[str, Any]:
    """The way to a broker that has the topics."""
    found = options_of(kafka_real.bootstrap_servers)
    topics.create(found, wanted)
    return found


@pytest.fixture
def opened(options: Mapping[str, Any], names: Names) -> Iterator[Callable[[], StateTopic]]:
    """Gives processes that write states, as many as are asked for."""
    with contextlib.ExitStack() as stack:

        def make() -> StateTopic:
            return stack.enter_context(contextlib.closing(StateTopic(options, names.state)))

        yield make


def sections(number: int, changed: int = 0) -> list[Section]:
    """A small part that always changes, and three of a few records each, of which one has changed so many times."""
    parts = {f"rows/{at}": (f"{at}-{changed if at == 1 else 0}", at + (changed if at == 1 else 0)) for at in range(3)}
    large = [Section(name, mark, partial(_rows, value)) for name, (mark, value) in parts.items()]
    return [*large, Section("head", None, lambda: {"number": number})]


def _rows(value: int) -> dict[str, Any]:
    rng = np.random.default_rng(value)
    return {"value": value, "counts": rng.integers(0, 2**60, ROWS * 5)}


def number_of(found: Snapshot | None) -> int:
    """See that a snapshot is one of `sections`, whole; give its number."""
    assert found is not None
    number = int(found.sections["head"]["number"])
    assert {PLACE: number} == found.positions
    assert float(number) == found.saved_wall_s
    for name in ("rows/0", "rows/1", "rows/2"):
        rows = found.sections[name]
        np.testing.assert_array_equal(_rows(rows["value"])["counts"], rows["counts"])
    return number


class TestState:
    def test_what_is_saved_is_what_a_successor_loads(self, opened: Callable[[], StateTopic]) -> None:
        first = opened()

        assert first.load(Q) is None
        first.save(Q, sections(1), {PLACE: 1}, 1.0)

        assert 1 == number_of(opened().load(Q))
        assert opened().load(Q + 1) is None

    def test_only_what_has_changed_is_sent_again(self, opened: Callable[[], StateTopic]) -> None:
        topic = opened()
        topic.load(Q)

        accounts = [topic.save(Q, sections(n, changed), {PLACE: n}, n) for n, changed in enumerate((0, 0, 1, 1))]

        assert [4, 1, 2, 1] == [each.sections for each in accounts]
        whole, few = accounts[0].bytes, accounts[1].bytes
        assert whole > 3 * 8 * 5 * ROWS
        assert few < 2_000
        assert whole == pytest.approx(accounts[3].state_bytes, rel=0.01)
        found = opened().load(Q)
        assert 3 == number_of(found)
        assert found is not None
        assert 2 == found.sections["rows/1"]["value"]

    def test_writer_that_dies_half_way_leaves_the_snapshot_before(self, opened: Callable[[], StateTopic]) -> None:
        first = opened()
        first.load(Q)
        first.save(Q, sections(1), {PLACE: 1}, 1.0)

        with pytest.raises(ZeroDivisionError):
            first.save(Q, [*sections(2, changed=1), Section("rows/9", None, dies)], {PLACE: 2}, 2.0)

        second = opened()
        assert 1 == number_of(second.load(Q))
        second.save(Q, sections(3), {PLACE: 3}, 3.0)
        assert 3 == number_of(opened().load(Q))

    def test_save_that_failed_half_way_is_made_good_by_the_next(self, opened: Callable[[], StateTopic]) -> None:
        topic = opened()
        topic.load(Q)
        with pytest.raises(ZeroDivisionError):
            topic.save(Q, [*sections(1), Section("rows/9", None, dies)], {PLACE: 1}, 1.0)

        account = topic.save(Q, sections(2), {PLACE: 2}, 2.0)

        assert 4 == account.sections
        assert account.tombstones > 0
        assert 2 == number_of(opened().load(Q))

    def test_writer_is_refused_as_soon_as_his_successor_has_loaded(self, opened: Callable[[], StateTopic]) -> None:
        first, second = opened(), opened()
        first.load(Q)
        first.save(Q, sections(1), {PLACE: 1}, 1.0)
        second.load(Q)

        with pytest.raises(Superseded, match=f"partition {Q}: not saved: another writer has begun since"):
            first.save(Q, sections(2), {PLACE: 2}, 2.0)

        second.save(Q, sections(3), {PLACE: 3}, 3.0)
        assert 3 == number_of(first.load(Q))
        first.save(Q, sections(4), {PLACE: 4}, 4.0)
        with pytest.raises(Superseded):
            second.save(Q, sections(5), {PLACE: 5}, 5.0)
        assert 4 == number_of(opened().load(Q))

    def test_writer_that_stood_still_in_the_middle_of_a_save_harms_nobody(
        self, opened: Callable[[], StateTopic]
    ) -> None:
        first, second = opened(), opened()
        first.load(Q)
        first.save(Q, sections(1), {PLACE: 1}, 1.0)

        def meanwhile() -> dict[str, Any]:
            assert 1 == number_of(second.load(Q))
            second.save(Q, sections(2, changed=2), {PLACE: 2}, 2.0)
            return {}

        first.save(Q, [*sections(3, changed=3), Section("stands still", None, meanwhile)], {PLACE: 3}, 3.0)

        second.save(Q, sections(4, changed=2), {PLACE: 4}, 4.0)
        assert 4 == number_of(opened().load(Q))

    def test_topic_that_is_made_anew_is_noticed_and_all_is_written_again(
        self, opened: Callable[[], StateTopic], options: Mapping[str, Any], wanted: list[Wanted]
    ) -> None:
        topic = opened()
        topic.load(Q)
        for number in range(3):
            topic.save(Q, sections(number), {PLACE: number}, number)
        admin = AdminClient(dict(options))
        admin.delete_topics([wanted[2].name])[wanted[2].name].result(TIMEOUT_S)
        end_s = time.monotonic() + TIMEOUT_S
        while not topics.create(options, wanted).made and time.monotonic() < end_s:
            time.sleep(0.2)

        account = None
        while account is None and time.monotonic() < end_s:
            with contextlib.suppress(StateError):
                account = topic.save(Q, sections(7), {PLACE: 7}, 7.0)

        assert account is not None
        assert 4 == account.sections
        assert 7 == number_of(opened().load(Q))

    def test_damaged_state_is_refused_with_the_cure(
        self, opened: Callable[[], StateTopic], options: Mapping[str, Any], names: Names
    ) -> None:
        topic = opened()
        topic.load(Q)
        topic.save(Q, sections(1), {PLACE: 1}, 1.0)
        who = topic._writers[Q].who
        producer = Producer(dict(options))
        producer.produce(names.state, b"no", f"{who.number}/{who.token}/1/section/0/rows/1".encode(), partition=Q)
        assert producer.flush(TIMEOUT_S) == 0

        with pytest.raises(StateError) as failed:
            opened().load(Q)

        assert (
            f"kafka: topic '{names.state}', partition {Q}: holds no whole state, but 1 damaged: snapshot 1 of writer"
            f" {who.number}/{who.token}: section rows/1: is no state of driftd: to begin with nothing"
            " counted, stop all judges, delete the topic and make it anew with `driftd topics create`"
        ) == str(failed.value)

    def test_progress_of_a_load_is_told(
        self, opened: Callable[[], StateTopic], options: Mapping[str, Any], names: Names
    ) -> None:
        first = opened()
        first.load(Q)
        size = first.save(Q, sections(1), {PLACE: 1}, 1.0).bytes
        told: list[Progress] = []

        with contextlib.closing(StateTopic(options, names.state, told.append)) as topic:
            topic.load(Q)

        assert any(each.bytes >= size and each.next == each.end for each in told)

    def test_topic_or_partition_that_is_not_there_is_fatal_and_said(
        self, options: Mapping[str, Any], names: Names
    ) -> None:
        for topic, q in ((f"{names.state}-not", 0), (names.state, 99)):
            with (
                contextlib.closing(StateTopic({**options, "allow.auto.create.topics": False}, topic)) as opened,
                pytest.raises(SourceError, match="driftd topics create") as failed,
            ):
                opened.load(q)
            assert failed.value.is_fatal

    def test_brokers_out_of_reach_are_not_fatal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(state_topic, "ASK_S", 1.0)
        with (
            contextlib.closing(StateTopic(options_of("127.0.0.1:1"), "state")) as topic,
            pytest.raises(SourceError, match="topic 'state', partition 0: ") as failed,
        ):
            topic.load(0)
        assert not failed.value.is_fatal


def dies() -> dict[str, Any]:
    """End the writer when what came before is on its way to the log."""
    time.sleep(1.0)
    raise ZeroDivisionError


class TestTopics:
    def test_topics_are_made_once_and_are_as_they_must_be(
        self, kafka_real: Kafka, wanted: list[Wanted], names: Names
    ) -> None:
        options = options_of(kafka_real.bootstrap_servers)
        before = topics.problems(options, wanted)

        first, second = topics.create(options, wanted), topics.create(options, wanted)

        assert [
            f"topic {name!r} ({each.why}) is missing: make it with `driftd topics create`"
            for name, each in zip(names, wanted, strict=True)
        ] == before
        assert (list(names), []) == first
        assert ([], []) == second
        assert [] == topics.problems(options, wanted)

    def test_wrongly_made_topics_are_told_with_the_cure(
        self, kafka_real: Kafka, wanted: list[Wanted], names: Names
    ) -> None:
        options = options_of(kafka_real.bootstrap_servers)
        admin = AdminClient(options)
        wrong = [
            NewTopic(names.deltas, 3, 1, config={"retention.ms": "60000", "retention.bytes": "1000000"}),
            NewTopic(names.layouts, 1, 1),
            NewTopic(names.state, 4, 1, config={**wanted[2].config, "cleanup.policy": "compact,delete"}),
        ]
        for future in admin.create_topics(wrong).values():
            future.result(TIMEOUT_S)

        made, found = topics.create(options, wanted)

        assert [] == made
        assert found == topics.problems(options, wanted)
        said = [text.split(": kafka-configs", maxsplit=1)[0] for text in found]
        small = "max.message.bytes is 1048588, wanted is at least 8388608: large records would be refused"
        policy = "wanted is compact: records that are still needed would be deleted by age"
        deltas, layouts, state = (f"topic {name!r}: " for name in names)
        assert [
            deltas + WRONG_COUNT,
            deltas
            + "retention.ms is 60000, wanted is at least 86400000: a judge that stood still longer would lose deltas",
            deltas + "retention.bytes is 1000000, wanted is -1: deltas would be lost before their time",
            deltas
            + "message.timestamp.type is CreateTime, wanted is LogAppendTime: retention would go by writers' clocks",
            deltas + small,
            layouts + "cleanup.policy is delete, " + policy,
            layouts + small,
            state + "cleanup.policy is compact,delete, " + policy,
        ] == said
        assert found[1].endswith(f": kafka-configs --alter --topic {names.deltas} --add-config retention.ms=86400000")

    def test_more_replicas_than_brokers_are_refused_with_the_cure(self, kafka_real: Kafka, names: Names) -> None:
        with pytest.raises(SourceError, match="configure no more replicas than there are brokers"):
            topics.create(options_of(kafka_real.bootstrap_servers), topics.wanted(names, 4, 3))

    def test_fewer_replicas_than_wanted_are_told(
        self, kafka_real: Kafka, options: Mapping[str, Any], names: Names
    ) -> None:
        found = topics.problems(options, topics.wanted(names, 4, 3))

        assert 3 == sum("has 1 replica(s), wanted are 3" in text for text in found)
        assert 3 == sum("min.insync.replicas is 1, wanted is at least 2" in text for text in found)

    def test_longer_retention_is_no_problem(self) -> None:
        rules = {rule.setting: rule for rule in topics.wanted(Names())[0].losing}

        assert [True, True, False] == [rules["retention.ms"].allows(each) for each in ("90000000", "-1", "1000")]
        assert [True, False] == [rules["retention.bytes"].allows(each) for each in ("-1", "1000000000000")]
