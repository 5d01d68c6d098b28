"""Proves the real parts themselves, so that a failure elsewhere is ours and not theirs."""

from __future__ import annotations

import subprocess
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from monitor.embedded import EmbeddedBroker
from monitor.errors import SourceError
from tests.support.missing import missing
from tests.support.process import Process, Unavailable, accepts_connections, free_ports
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.alertmanager import AlertmanagerFactory
    from tests.support.kafka import Kafka
    from tests.support.prometheus import PrometheusFactory
    from tests.support.receiver import Receiver

pytestmark = pytest.mark.integration

_TIMEOUT_S = 30.0
_QUIET = {"log_level": 0}  # tests that stop a broker would fill standard error with what they expect


@pytest.fixture
def topic() -> str:
    return f"support-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def embedded() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker({"events": 3}) as broker:
        yield broker


class TestKafka:
    def test_messages_come_back_with_keys_headers_and_timestamps(self, kafka: Kafka, topic: str) -> None:
        kafka.create_topic(topic, 2)
        produce(kafka.bootstrap_servers, topic, count=100)

        got = consume(kafka.bootstrap_servers, topic, count=100)

        assert expected(100) == got

    def test_console_producer_sends_a_message_per_line(self, kafka: Kafka, topic: str) -> None:
        kafka.create_topic(topic)
        try:
            command = kafka.console_producer_command(topic)
        except Unavailable as reason:
            missing(str(reason))
        subprocess.run(command, input=b"one\ntwo\n", check=True, capture_output=True, timeout=_TIMEOUT_S)

        got = consume(kafka.bootstrap_servers, topic, count=2)

        assert {b"one", b"two"} == {value for value, *_ in got}

    @pytest.mark.parametrize("crash", [False, True], ids=["in order", "crash"])
    def test_real_broker_keeps_messages_over_a_restart(self, kafka_real: Kafka, topic: str, *, crash: bool) -> None:
        if not kafka_real.can_restart:
            pytest.skip(f"a broker of kind {kafka_real.kind} is not restarted from here")
        kafka_real.create_topic(topic)
        produce(kafka_real.bootstrap_servers, topic, count=10)

        kafka_real.restart(crash=crash)

        assert expected(10) == consume(kafka_real.bootstrap_servers, topic, count=10)

    def test_real_broker_finds_offsets_by_time(self, kafka_real: Kafka, topic: str) -> None:
        kafka_real.create_topic(topic)
        produce(kafka_real.bootstrap_servers, topic, count=10)

        assert 4 == offset_at(kafka_real.bootstrap_servers, topic, timestamp_ms=1004)


class TestEmbeddedBroker:
    def test_messages_come_back_with_keys_headers_and_timestamps(self, embedded: EmbeddedBroker) -> None:
        produce(embedded.bootstrap_servers, "events", count=100)

        assert expected(100) == consume(embedded.bootstrap_servers, "events", count=100)

    def test_topics_have_the_partitions_they_were_given(self, embedded: EmbeddedBroker) -> None:
        embedded.create_topic("more", 5)
        client = Producer({"bootstrap.servers": embedded.bootstrap_servers})

        topics = client.list_topics(timeout=_TIMEOUT_S).topics

        assert {"events": 3, "more": 5} == {name: len(each.partitions) for name, each in topics.items()}

    def test_group_is_assigned_without_the_delay_of_a_real_broker(self, embedded: EmbeddedBroker) -> None:
        produce(embedded.bootstrap_servers, "events", count=1)
        before = time.monotonic()

        consume(embedded.bootstrap_servers, "events", count=1)

        assert time.monotonic() - before < 2.5  # the default would be three seconds for the delay alone

    def test_messages_wait_while_the_broker_is_down(self, embedded: EmbeddedBroker) -> None:
        producer = Producer({"bootstrap.servers": embedded.bootstrap_servers, **_QUIET})
        producer.list_topics(timeout=_TIMEOUT_S)
        embedded.set_broker_down()
        producer.produce("events", b"late")

        assert 1 == producer.flush(0.3)

        embedded.set_broker_up()

        assert 0 == producer.flush(_TIMEOUT_S)

    def test_planned_error_reaches_the_client_once(self, embedded: EmbeddedBroker) -> None:
        offset = TopicPartition("events", 0, 7)
        consumer = Consumer({"bootstrap.servers": embedded.bootstrap_servers, "group.id": "g", **_QUIET})
        embedded.fail_next(8, [KafkaError.TOPIC_AUTHORIZATION_FAILED])

        with pytest.raises(KafkaException) as caught:
            consumer.commit(offsets=[offset], asynchronous=False)
        committed = consumer.commit(offsets=[offset], asynchronous=False)
        consumer.close()

        assert KafkaError.TOPIC_AUTHORIZATION_FAILED == caught.value.args[0].code()
        assert committed is not None
        assert [None] == [each.error for each in committed]

    def test_answers_are_delayed_by_the_round_trip(self, embedded: EmbeddedBroker) -> None:
        client = Producer({"bootstrap.servers": embedded.bootstrap_servers})
        client.list_topics(timeout=_TIMEOUT_S)
        embedded.set_round_trip(0.3)
        before = time.monotonic()

        client.list_topics(timeout=_TIMEOUT_S)

        assert time.monotonic() - before >= 0.3

    def test_offsets_by_time_are_not_known(self, embedded: EmbeddedBroker) -> None:
        """The module's docstring says so; where a later librdkafka can do it, the docstring is to be mended."""
        produce(embedded.bootstrap_servers, "events", count=10)

        assert -1 == offset_at(embedded.bootstrap_servers, "events", timestamp_ms=1004)

    @pytest.mark.parametrize(
        ("topics", "brokers", "said"),
        [
            ({"events": 0}, 1, "needs at least 1 partition, got 0"),
            ({}, 0, "brokers must be 1 to 64, got 0"),
            ({}, 65, "brokers must be 1 to 64, got 65"),
        ],
        ids=["no partition", "no broker", "too many brokers"],
    )
    def test_what_makes_no_sense_is_refused(self, topics: dict[str, int], brokers: int, said: str) -> None:
        with pytest.raises(SourceError, match=said):
            EmbeddedBroker(topics, brokers)

    def test_topic_is_created_once(self, embedded: EmbeddedBroker) -> None:
        with pytest.raises(SourceError, match="'events': Broker: Topic already exists"):
            embedded.create_topic("events")

    def test_closed_is_closed(self) -> None:
        broker = EmbeddedBroker({})
        port = int(broker.bootstrap_servers.rpartition(":")[2])
        broker.close()
        broker.close()

        assert not accepts_connections(port)
        with pytest.raises(SourceError, match="it is closed"):
            broker.create_topic("events")

    def test_missing_library_is_one_clear_sentence(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("monitor.embedded.cimpl.__file__", str(tmp_path / "cimpl.so"))
        monkeypatch.setattr("monitor.embedded.confluent_kafka.__file__", str(tmp_path / "confluent_kafka" / "x.py"))

        with pytest.raises(SourceError, match=r"no librdkafka with a mock cluster .* \(looked in cimpl.so\)"):
            EmbeddedBroker({})


class TestPrometheus:
    def test_scrapes_its_target_and_answers_queries(
        self, prometheus_factory: PrometheusFactory, receiver: Receiver
    ) -> None:
        receiver.answer_always(Answer(body=b'answer{of="all"} 42\n', headers={"Content-Type": "text/plain"}))
        with prometheus_factory([receiver.url.removeprefix("http://")]) as prometheus:
            (sample,) = prometheus.wait_for("answer")

            assert 42 == sample.value
            assert "all" == sample.labels["of"]
            assert 1 == prometheus.query("scalar(up)")[0].value
            with pytest.raises(RuntimeError, match="parse error"):
                prometheus.query("rate(")

    def test_firing_rule_reaches_the_receiver_through_alertmanager(
        self,
        prometheus_factory: PrometheusFactory,
        alertmanager_factory: AlertmanagerFactory,
        receiver: Receiver,
        tmp_path: Path,
    ) -> None:
        rules = tmp_path / "rules.yml"
        rules.write_text("groups: [{name: test, rules: [{alert: Always, expr: vector(1)}]}]")
        with (
            alertmanager_factory(f"{receiver.url}/hook") as alertmanager,
            prometheus_factory([], rules=[rules], alertmanagers=[f"127.0.0.1:{alertmanager.port}"]),
        ):
            (request,) = receiver.wait_for(1, timeout_s=_TIMEOUT_S)

            assert "Always" == request.json()["alerts"][0]["labels"]["alertname"]


class TestAlertmanager:
    def test_takes_an_alert_and_routes_it_to_the_receiver(
        self, alertmanager_factory: AlertmanagerFactory, receiver: Receiver
    ) -> None:
        with alertmanager_factory(f"{receiver.url}/hook") as alertmanager:
            alertmanager.post([{"labels": {"alertname": "Drift", "model": "m"}}])
            (request,) = receiver.wait_for(1)
            (held,) = alertmanager.wait_for_alerts(1, 'model="m"')

            assert ("POST", "/hook") == (request.method, request.path)
            assert "firing" == request.json()["status"]
            assert "Drift" == held["labels"]["alertname"]
            assert [] == alertmanager.alerts('model="other"')


class TestReceiver:
    def test_keeps_what_it_was_sent(self, receiver: Receiver) -> None:
        before = time.time()
        httpx2.post(f"{receiver.url}/a?b=c", json={"n": 1}, headers={"X-Signature": "s"}, trust_env=False)

        (request,) = receiver.requests

        assert ("POST", "/a?b=c", {"n": 1}, "s") == (
            request.method,
            request.path,
            request.json(),
            request.headers["x-signature"],
        )
        assert before <= request.time <= time.time()

    def test_answers_as_it_is_told(self, receiver: Receiver) -> None:
        receiver.answer_next(500, Answer(429, b"later", {"Retry-After": "1"}))

        got = [httpx2.post(receiver.url, trust_env=False) for _ in range(3)]

        assert [500, 429, HTTPStatus.OK] == [each.status_code for each in got]
        assert ("1", "later") == (got[1].headers["retry-after"], got[1].text)

    def test_can_be_slow(self, receiver: Receiver) -> None:
        receiver.answer_next(Answer(delay_s=60))

        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(receiver.url, timeout=0.2, trust_env=False)

        assert HTTPStatus.OK == httpx2.post(receiver.url, trust_env=False).status_code

    def test_gives_up_waiting(self, receiver: Receiver) -> None:
        with pytest.raises(TimeoutError, match="0 of 1 requests"):
            receiver.wait_for(1, timeout_s=0.05)


class TestProcess:
    def test_log_is_shown_where_a_program_ends_before_it_is_ready(self, tmp_path: Path) -> None:
        with (
            Process("it", ["sh", "-c", "echo no such luck; exit 3"], tmp_path / "log") as program,
            pytest.raises(RuntimeError, match=r"it ended with code 3 (?s:.)*no such luck"),
        ):
            program.wait_ready(lambda: False, timeout_s=_TIMEOUT_S)

    def test_program_that_is_never_ready_is_stopped(self, tmp_path: Path) -> None:
        with Process("it", ["sleep", "600"], tmp_path / "log") as program:
            with pytest.raises(RuntimeError, match=r"it was not ready after 0\.1 s"):
                program.wait_ready(lambda: False, timeout_s=0.1)

            assert not program.is_running

    def test_program_that_ignores_being_asked_is_killed(self, tmp_path: Path) -> None:
        with Process("it", ["sh", "-c", "trap '' TERM; echo up; sleep 600 & wait"], tmp_path / "log") as program:
            program.wait_ready(lambda: "up" in program.log.read_text(), timeout_s=_TIMEOUT_S)
            program.stop(timeout_s=0.2)

            assert not program.is_running

    def test_free_ports_are_distinct(self) -> None:
        assert 20 == len(set(free_ports(20)))


def produce(bootstrap_servers: str, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all", **_QUIET})
    for value, key, headers, timestamp_ms in expected(count):
        producer.produce(topic, value, key, headers=headers, timestamp=timestamp_ms)
    assert 0 == producer.flush(_TIMEOUT_S)


def expected(count: int) -> list[Received]:
    return [(b"v%03d" % i, b"k%03d" % i, [("n", b"%d" % i)], 1000 + i) for i in range(count)]


def consume(bootstrap_servers: str, topic: str, count: int) -> list[Received]:
    """Read count messages through a new group, sorted by value: partitions come in any order."""
    settings = {"bootstrap.servers": bootstrap_servers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, **_QUIET})
    consumer.subscribe([topic])
    deadline = time.monotonic() + _TIMEOUT_S
    got: list[Received] = []
    while len(got) < count and time.monotonic() < deadline:
        messages = [each for each in consumer.consume(count, timeout=0.1) if each.error() is None]
        got.extend((each.value(), each.key(), each.headers(), each.timestamp()[1]) for each in messages)
    consumer.close()
    return sorted(got, key=lambda each: each[0] or b"")


def offset_at(bootstrap_servers: str, topic: str, timestamp_ms: int) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": uuid.uuid4().hex})
    (found,) = consumer.offsets_for_times([TopicPartition(topic, 0, timestamp_ms)], timeout=_TIMEOUT_S)
    consumer.close()
    return int(found.offset)


Headers = dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]]
# value, key, headers, timestamp in epoch milliseconds
Received = tuple[bytes | None, bytes | None, Headers | None, int]
