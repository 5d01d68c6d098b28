"""The source on a real broker: what it gives, what it knows of partitions, where it goes on; and ranges of history."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from monitor.domain import TopicPartition
from monitor.errors import SourceError
from monitor.sources.kafka import KafkaSource
from monitor.sources.kafka_range import read_range
from monitor.sources.kafka_terms import KafkaTerms
from tests.support.daemon import driftd, kafka_settings, wait_for, write_config
from tests.support.sources import Told, options_of, produce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from monitor.domain import Batch
    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration

_TIMEOUT_S = 30.0
HOUR_MS = 3_600_000
NOON_MS = 1_780_000_000_000


@pytest.fixture
def topic(kafka_real: Kafka) -> str:
    name = f"source-{uuid.uuid4().hex[:12]}"
    kafka_real.create_topic(name, 2)
    return name


class Sources:
    """Makes sources that are closed at the end of the test."""

    def __init__(self, kafka: Kafka) -> None:
        self.told = Told()
        self._kafka = kafka
        self._open: list[KafkaSource] = []

    def __call__(self, *topics: str, options: Mapping[str, Any] | None = None) -> KafkaSource:
        """Give an open member of the group named as the first topic."""
        all_options = {**options_of(self._kafka.bootstrap_servers, topics[0]), **(options or {})}
        source = KafkaSource(KafkaTerms(topics, all_options, 1_000, idle_s=0.5), time.time, self.told)
        source.open({})
        self._open.append(source)
        return source

    def close(self) -> None:
        for source in self._open:
            source.close()


@pytest.fixture
def sources(kafka_real: Kafka) -> Iterator[Sources]:
    made = Sources(kafka_real)
    yield made
    made.close()


class TestReading:
    def test_messages_come_with_the_partitions_they_are_from(
        self, kafka_real: Kafka, topic: str, sources: Sources
    ) -> None:
        produce(kafka_real.bootstrap_servers, topic, [(b"a", 0, 0), (b"b", 1, 0), (None, 1, 0), (b"c", 1, 0)])
        source = sources(topic)

        got = read(source, 4)

        assert {(b"a", 0): 1, (b"b", 1): 1, (None, 1): 1, (b"c", 1): 1} == Counter((v, p.partition) for v, p in got)
        assert {topic} == {place.topic for _, place in got}

    def test_two_topics_are_told_apart(self, kafka_real: Kafka, topic: str, sources: Sources) -> None:
        other = f"{topic}-other"
        kafka_real.create_topic(other)
        produce(kafka_real.bootstrap_servers, topic, [(b"a", 0, 0)])
        produce(kafka_real.bootstrap_servers, other, [(b"b", 0, 0)])

        got = read(sources(topic, other), 2)

        assert {(b"a", TopicPartition(topic, 0)), (b"b", TopicPartition(other, 0))} == set(got)

    def test_nothing_is_assigned_before_the_group_is_joined_and_all_after(
        self, kafka_real: Kafka, topic: str, sources: Sources
    ) -> None:
        source = sources(topic)

        assert source.assigned() is None

        wait_for(lambda: poll(source).assigned(), "the assignment")

        assert {TopicPartition(topic, 0), TopicPartition(topic, 1)} == set(source.assigned() or ())


class TestProgress:
    def test_lag_falls_from_all_to_nothing(self, kafka_real: Kafka, topic: str, sources: Sources) -> None:
        produce(kafka_real.bootstrap_servers, topic, [(b"x", 0, 0)] * 3_000)
        source = sources(topic)
        first = read(source, 1)

        (status,) = [each for each in source.status() if each.source.partition == 0]
        assert 3_000 - len(first) == status.lag_records

        read(source, 3_000 - len(first))
        (status,) = [each for each in source.status() if each.source.partition == 0]
        assert (3_000, 3_000, 0, 0.0) == (status.position, status.end, status.lag_records, status.lag_s)

    def test_partitions_are_idle_once_caught_up_and_quiet(
        self, kafka_real: Kafka, topic: str, sources: Sources
    ) -> None:
        produce(kafka_real.bootstrap_servers, topic, [(b"x", 0, 0)])
        source = sources(topic)
        read(source, 1)
        before = source.idle()

        wait_for(lambda: len(poll(source).idle()[0]) == 2, "both partitions to be idle")
        idle, quiet_s = source.idle()

        assert TopicPartition(topic, 0) not in before[0]
        assert 0.0 == before[1]
        assert {TopicPartition(topic, 0), TopicPartition(topic, 1)} == set(idle)
        assert quiet_s >= 0.5

    def test_next_member_goes_on_where_the_last_one_has_closed(
        self, kafka_real: Kafka, topic: str, sources: Sources
    ) -> None:
        produce(kafka_real.bootstrap_servers, topic, [(b"one", 0, 0), (b"two", 1, 0)])
        first = sources(topic)
        read(first, 2)
        first.saved(first.positions())
        first.close()
        produce(kafka_real.bootstrap_servers, topic, [(b"three", 0, 0)])

        assert [b"three"] == [value for value, _ in read(sources(topic), 1)]


class TestErrors:
    def test_unknown_topic_is_reported_with_its_cure_and_reading_goes_on(
        self, kafka_real: Kafka, sources: Sources
    ) -> None:
        source = sources(f"no-such-{uuid.uuid4().hex[:8]}")

        wait_for(lambda: poll(source).errors(), "an error")

        reason, text, cure = sources.told[0]
        assert "unknown_topic_or_part" == reason
        assert "no-such-" in text
        assert cure.startswith("the topic does not exist or may not be described")
        assert 1 <= source.errors()[reason]

    def test_option_that_librdkafka_does_not_take_is_refused_at_once(self, sources: Sources) -> None:
        with pytest.raises(SourceError, match=r'kafka: .*No such configuration property: "no\.such"'):
            sources("events", options={"no.such": 1})


class TestRange:
    def test_only_messages_within_the_time_are_given(self, kafka_real: Kafka, topic: str) -> None:
        hours = [(b"%d" % hour, hour % 2, NOON_MS + hour * HOUR_MS) for hour in range(10)]
        produce(kafka_real.bootstrap_servers, topic, hours)

        got = [v for batch in range_of(kafka_real, topic, 3, 7) for v in batch]

        assert [b"3", b"4", b"5", b"6"] == sorted(got, key=str)

    @pytest.mark.parametrize(("from_hour", "to_hour"), [(20, 30), (-9, -2), (5, 5)], ids=["after", "before", "empty"])
    def test_range_without_messages_gives_none(
        self, kafka_real: Kafka, topic: str, from_hour: int, to_hour: int
    ) -> None:
        produce(kafka_real.bootstrap_servers, topic, [(b"x", 0, NOON_MS)])

        assert [] == list(range_of(kafka_real, topic, from_hour, to_hour))

    def test_missing_topic_is_named(self, kafka_real: Kafka) -> None:
        with pytest.raises(SourceError, match=r"topic 'no-such-topic': Broker: Unknown topic"):
            list(range_of(kafka_real, "no-such-topic", 0, 1))

    def test_reference_is_built_from_a_range_of_the_topic_and_leaves_the_group_alone(
        self, kafka_real: Kafka, topic: str, tmp_path: Path, sources: Sources
    ) -> None:
        produce(kafka_real.bootstrap_servers, topic, [(body(n), n % 2, NOON_MS + n * 1000) for n in range(1_000)])
        kafka = kafka_settings(kafka_real.bootstrap_servers, [topic], group_id=topic)
        config = write_config(tmp_path, {"kafka": kafka})
        span = ("--from", "2026-05-28T20:26:40Z", "--to", "2026-05-28T20:35:00Z")  # the first 500 seconds
        out = tmp_path / "references"

        done = driftd("baseline", "build", "--config", str(config), "--output", str(out), *span, "--json")

        assert 0 == done.returncode, done.stderr
        told = json.loads(done.stdout)
        assert (500, {}) == (told["events"], told["rejected"])
        assert [("m", f"topics {topic} from {span[1]} to {span[3]}")] == [
            (each["model"], each["source"]) for each in told["references"]
        ]
        assert 1_000 == len(read(sources(topic), 1_000))  # the group has read nothing yet

    def test_range_without_events_is_said_so(self, kafka_real: Kafka, topic: str, tmp_path: Path) -> None:
        config = write_config(tmp_path, {"kafka": kafka_settings(kafka_real.bootstrap_servers, [topic])})

        done = driftd(
            "baseline", "build", "--config", str(config), "--output", str(tmp_path / "out"), "--from", "2026-05-28"
        )

        assert 1 == done.returncode
        assert f"driftd: topics {topic} from 2026-05-28T00:00:00Z to " in done.stderr
        assert "no events to build a reference from (no messages at all)" in done.stderr


def range_of(kafka: Kafka, topic: str, from_hour: int, to_hour: int) -> Iterator[list[bytes | None]]:
    """Give what lies between two hours after noon."""
    from_s, to_s = ((NOON_MS + hour * HOUR_MS) / 1000 for hour in (from_hour, to_hour))
    return read_range(options_of(kafka.bootstrap_servers, topic), [topic], from_s, to_s)


def body(number: int) -> bytes:
    event = {"event_time": NOON_MS / 1000 + number, "model": "m", "features": {"x": number % 10}, "latency_s": 0.1}
    return json.dumps(event).encode()


def poll(source: KafkaSource, take: Callable[[Batch], object] | None = None) -> KafkaSource:
    """Poll once, as the loop does, and give the source."""
    batch = source.poll(0.1)
    if take is not None:
        take(batch)
    return source


def read(source: KafkaSource, count: int) -> list[tuple[bytes | None, TopicPartition]]:
    """Read at least count messages; give each with where it is from."""
    got: list[tuple[bytes | None, TopicPartition]] = []

    def take(batch: Batch) -> None:
        got.extend((v, batch.sources[at]) for v, at in zip(batch.values, batch.partitions, strict=True))

    def is_enough() -> bool:
        poll(source, take)
        return len(got) >= count

    wait_for(is_enough, f"{count} messages", _TIMEOUT_S)
    return got
