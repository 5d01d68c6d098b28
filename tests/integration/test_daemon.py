"""The daemon's life on a real broker: start, garbage, outages, neighbours, and the end."""

from __future__ import annotations

import json
import random
import signal
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.support.daemon import Daemon, kafka_settings, wait_for
from tests.support.process import free_ports
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.support.kafka import Kafka
    from tests.support.receiver import Receiver

pytestmark = pytest.mark.integration

RECEIVED: Final = "driftd_events_received_total"
ACCOUNTS: Final = tuple(f"driftd_events_{name}_total" for name in ("counted", "rejected", "late", "duplicate"))
SENTINEL: Final = "hunter2-in-a-feature"
SECRET: Final = "hunter2-c0rrect-h0rse"
_TIMEOUT_S: Final = 30.0


@pytest.fixture
def topic(kafka_real: Kafka) -> str:
    """A topic of this test's own, with two partitions."""
    name = f"daemon-{uuid.uuid4().hex[:12]}"
    kafka_real.create_topic(name, 2)
    return name


class TestStopping:
    def test_restart_goes_on_where_state_was_stored(self, kafka_real: Kafka, topic: str, tmp_path: Path) -> None:
        settings = settings_of(kafka_real, tmp_path, topic)
        produce(kafka_real, topic, events(300))
        with Daemon(tmp_path / "first", settings, Daemon.has_partitions) as daemon:
            wait_for(lambda: daemon.total(RECEIVED) == 300, "300 events")
            code, first = daemon.stop(), [line["event"] for line in daemon.log_lines()]

        assert 0 == code
        assert ["windows start empty", "started", "stopping", "stopped"] == [
            e for e in first if e != "partitions assigned"
        ]
        assert 300 == committed(kafka_real, topic)

        produce(kafka_real, topic, events(50))
        with Daemon(tmp_path / "second", settings, Daemon.has_partitions) as daemon:
            wait_for(lambda: daemon.total(RECEIVED) >= 350, "50 more events")

            assert 350 == daemon.total(RECEIVED)
            assert daemon.logged("state restored", partitions=2)
            assert 0 == daemon.stop()
        assert 350 == committed(kafka_real, topic)

    def test_hanging_receiver_can_not_hold_up_the_end_and_readiness_goes_first(
        self, kafka_real: Kafka, topic: str, tmp_path: Path, receiver: Receiver
    ) -> None:
        receiver.answer_always(Answer(delay_s=60))
        settings = {**settings_of(kafka_real, tmp_path, topic), **told_of(receiver), "run": {"shutdown_s": "4s"}}
        with Daemon(tmp_path, settings, Daemon.has_partitions) as daemon:
            produce(kafka_real, topic, unsafe_events())
            receiver.wait_for(1, _TIMEOUT_S)
            wait_for(daemon.is_ready, "it to be ready")
            began_s = time.monotonic()
            daemon.signal(signal.SIGTERM)
            answer = wait_for(lambda: not_ready(daemon), "readiness to go", 2.0)
            code = daemon.exit_code()

        assert "stopping\n" == answer
        assert 0 == code
        assert time.monotonic() - began_s < 6.0
        assert daemon.logged("left untold", notifications=1, they_are="kept for the next process", level="error")
        assert daemon.logged("stopped")

    def test_second_signal_ends_it_at_once(
        self, kafka_real: Kafka, topic: str, tmp_path: Path, receiver: Receiver
    ) -> None:
        receiver.answer_always(Answer(delay_s=60))
        settings = {**settings_of(kafka_real, tmp_path, topic), **told_of(receiver), "run": {"shutdown_s": "50s"}}
        with Daemon(tmp_path, settings, Daemon.has_partitions) as daemon:
            produce(kafka_real, topic, unsafe_events())
            receiver.wait_for(1, _TIMEOUT_S)
            daemon.signal(signal.SIGINT)
            wait_for(lambda: daemon.logged("stopping"), "the first signal to be heeded")
            assert daemon.is_running
            daemon.signal(signal.SIGTERM)

            assert 128 + signal.SIGTERM == daemon.exit_code(2.0)
        assert "SIGINT: stopping in good order; once more to stop at once" in daemon.log_text()


class TestTraffic:
    def test_garbage_is_counted_to_the_last_message_and_nothing_of_it_is_logged(
        self, kafka_real: Kafka, topic: str, tmp_path: Path
    ) -> None:
        here = {"allow_internal": True}
        webhook = {"type": "webhook", "url": "http://127.0.0.1:9/hook", "secret": SECRET, "http": here}
        settings = {**settings_of(kafka_real, tmp_path, topic), "receivers": {"log": {"type": "log"}, "hook": webhook}}
        settings["log"] = {"level": "debug", "format": "json"}
        settings["dead_letters"] = {"invalid_share_max": 1, "invalid_run_max": 0}  # or its partitions would be held
        count = 100_000
        with Daemon(tmp_path, settings, Daemon.has_partitions) as daemon:
            produce(kafka_real, topic, garbage(count))
            wait_for(lambda: daemon.total(RECEIVED) >= count, f"{count} messages", 90.0)

            assert count == daemon.total(RECEIVED) == sum(map(daemon.total, ACCOUNTS))
            assert min(daemon.total(name) for name in ACCOUNTS[:2]) > 1_000
            assert (answer := daemon.get("/livez")) is not None
            assert 200 == answer.status_code
            assert 0 == daemon.stop()
        assert 100_000 == committed(kafka_real, topic)
        assert "Traceback" not in daemon.log_text()
        assert SENTINEL not in daemon.log_text()
        assert SECRET not in daemon.log_text()

    @pytest.mark.parametrize("protocol", ["classic", "consumer"])
    def test_two_topics_are_read_under_either_group_protocol(
        self, kafka_real: Kafka, topic: str, tmp_path: Path, protocol: str
    ) -> None:
        other = f"{topic}-other"
        kafka_real.create_topic(other)
        settings = settings_of(kafka_real, tmp_path, topic, other)
        settings["kafka"]["group_protocol"] = protocol
        produce(kafka_real, topic, events(200))
        produce(kafka_real, other, events(100))
        with Daemon(tmp_path, settings, Daemon.has_partitions) as daemon:
            wait_for(lambda: daemon.total(RECEIVED) >= 300, "the events of both topics")
            wait_for(lambda: daemon.total("driftd_consumer_partitions") == 3, "all partitions")

            assert (200, 100) == (daemon.total(RECEIVED, topic=topic), daemon.total(RECEIVED, topic=other))
            assert 0 == daemon.total("driftd_consumer_lag_records")
            assert 0 == daemon.stop()
        assert (200, 100) == (committed(kafka_real, topic, topic), committed(kafka_real, other, topic))

    def test_partition_that_goes_to_another_member_leaves_the_metrics(
        self, kafka_real: Kafka, topic: str, tmp_path: Path
    ) -> None:
        settings = settings_of(kafka_real, tmp_path, topic)
        settings["kafka"]["librdkafka"] = {"heartbeat.interval.ms": 300}  # that is how soon a rebalance is noticed
        produce(kafka_real, topic, events(200))
        with Daemon(tmp_path / "first", settings, Daemon.has_partitions) as first:
            wait_for(lambda: partitions(first) == {"0", "1"}, "both partitions")
            other = {**settings, "state": {"directory": str(tmp_path / "other")}}
            with Daemon(tmp_path / "second", other, Daemon.has_partitions) as second:
                wait_for(lambda: len(partitions(first)) == len(partitions(second)) == 1, "a partition each")

                assert {"0", "1"} == partitions(first) | partitions(second)
                assert 0 == second.stop()
            wait_for(lambda: partitions(first) == {"0", "1"}, "the partition to come back")
            produce(kafka_real, topic, events(100))
            wait_for(lambda: first.total(RECEIVED) == 300, "the events of both partitions, none of them twice")


class TestOutages:
    def test_restart_of_the_broker_is_survived(self, kafka_real: Kafka, topic: str, tmp_path: Path) -> None:
        if not kafka_real.can_restart:
            pytest.skip(f"a broker of kind {kafka_real.kind} is not restarted from here")
        with Daemon(tmp_path, settings_of(kafka_real, tmp_path, topic), Daemon.has_partitions) as daemon:
            produce(kafka_real, topic, events(100))
            wait_for(lambda: daemon.total(RECEIVED) == 100, "the events before")
            kafka_real.restart()
            produce(kafka_real, topic, events(100))
            wait_for(lambda: daemon.total(RECEIVED) >= 200, "the events after", _TIMEOUT_S)

            assert 200 == daemon.total(RECEIVED) == daemon.total(ACCOUNTS[0])
            assert 0 == daemon.stop()
        assert 200 == committed(kafka_real, topic)
        assert not [line for line in daemon.log_text().splitlines() if line.startswith("%")]

    def test_unknown_topic_is_named_with_the_cure(self, kafka_real: Kafka, tmp_path: Path) -> None:
        name = f"no-such-{uuid.uuid4().hex[:8]}"
        with Daemon(tmp_path, settings_of(kafka_real, tmp_path, name)) as daemon:
            said = wait_for(lambda: daemon.logged("source error"), "the error")

            assert name in said["error"]
            assert said["cure"].startswith("the topic does not exist or may not be described: create it")
            assert not daemon.is_ready()
            reason = {"reason": said["error_code"]}
            wait_for(lambda: daemon.total("driftd_source_errors_total", **reason) >= 1, "the error to be counted")

            kafka_real.create_topic(name)
            produce(kafka_real, name, events(20))
            wait_for(lambda: daemon.total(RECEIVED) == 20, "the events of the topic that was created", _TIMEOUT_S)

    def test_wrong_port_is_named_with_the_cure(self, tmp_path: Path) -> None:
        (port,) = free_ports(1)
        settings = {"kafka": kafka_settings(f"127.0.0.1:{port}", ["events"])}
        settings["reference"] = {"directory": str(tmp_path)}
        with Daemon(tmp_path, settings) as daemon:
            said = wait_for(lambda: daemon.logged("source error", error_code="_all_brokers_down"), "the error")

            assert said["cure"].startswith("no broker can be reached: check kafka.bootstrap_servers")
            assert f"127.0.0.1:{port}" in daemon.log_text()
            assert daemon.is_running
            assert 0 == daemon.stop()

    def test_port_in_use_is_said_in_one_line(self, kafka_real: Kafka, topic: str, tmp_path: Path) -> None:
        settings = settings_of(kafka_real, tmp_path, topic)
        with Daemon(tmp_path / "first", settings, Daemon.has_partitions) as first:
            settings |= {"http": {"port": first.port}, "state": {"directory": str(tmp_path / "other")}}
            with pytest.raises(RuntimeError, match=rf"ended with code 78 (?s:.)*port {first.port}: ") as caught:
                Daemon(tmp_path / "second", settings, lambda _: False)

        assert "Traceback" not in str(caught.value)


# ---- settings


def settings_of(kafka: Kafka, folder: Path, *topics: str) -> dict[str, Any]:
    return {
        "kafka": kafka_settings(kafka.bootstrap_servers, topics, group_id=topics[0]),
        "reference": {"directory": str(folder / "references")},
        "state": {"directory": str(folder / "state")},
    }


def told_of(receiver: Receiver) -> dict[str, Any]:
    """Give what makes an alert out of unsafe_events, and tells it to a webhook."""
    rule = {"unsafe_rate": {"yellow": 0.05, "red": 0.1}, "volume_low": {"enabled": False}}
    return {
        "alerts": {"windows": ["10s"], "owner": "me", "runbook": "book"},
        "models": [{"match": "m", "thresholds": rule}],
        "receivers": {
            "hook": {
                "type": "webhook",
                "url": f"{receiver.url}/hook",
                "timeout_s": 60,
                "http": {"allow_internal": True},
            }
        },
    }


# ---- messages


def event(number: int, time_s: float) -> dict[str, Any]:
    features = {"amount": float(number % 17), "note": f"{SENTINEL}-{number}"}
    head = {"event_id": uuid.uuid4().hex, "event_time": time_s, "model": "m", "model_version": "1"}
    return {**head, "features": features, "latency_s": 0.1, "unsafe": False}


def events(count: int) -> list[bytes]:
    """Give events of the last moments, in order of time."""
    now_s = time.time()
    return [json.dumps(event(n, now_s - 0.001 * (count - n))).encode() for n in range(count)]


def unsafe_events() -> list[bytes]:
    """Give twelve seconds of traffic, up to now, in which a third of all outputs is unsafe."""
    now_s = time.time()
    found = [{**event(n, now_s - 12 + n / 100), "unsafe": n % 3 == 0} for n in range(1_200)]
    return [json.dumps(each).encode() for each in found]


def garbage(count: int) -> Iterable[bytes | None]:
    """Give noise, mutated events, wrong types, deep nesting, tombstones, and good events among them."""
    rng, now_s = random.Random(7), time.time()
    whole = json.dumps(event(1, now_s)).encode()
    for number in range(count):
        kind = rng.random()
        if kind < 0.1:
            yield rng.randbytes(rng.randrange(0, 300))
        elif kind < 0.5:
            yield mutated(rng, whole)
        elif kind < 0.7:
            yield json.dumps(retyped(rng, event(number, now_s))).encode()
        elif kind < 0.72:
            yield None
        elif kind < 0.74:
            yield b"[" * rng.randrange(1, 2_000)
        else:
            yield json.dumps(event(number, now_s)).encode()


def mutated(rng: random.Random, whole: bytes) -> bytes:
    """Give a message with some of its bytes changed, cut out or doubled."""
    broken = bytearray(whole)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(broken))
        broken[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return bytes(broken[: rng.randrange(len(broken))] if rng.random() < 0.2 else broken)


ODD: Final[Sequence[Any]] = (
    None, True, -1, 0, 1e308, 10**30, "", "NaN", SENTINEL, [], [1], {}, {"a": {"b": 1}}, "x" * 3_000, "\x00\u202e\n",
)  # fmt: skip


def retyped(rng: random.Random, whole: Mapping[str, Any]) -> dict[str, Any]:
    """Give an event with some of its fields of another type, and some features too."""
    broken = dict(whole)
    for name in rng.sample(sorted(broken), rng.randrange(1, 4)):
        broken[name] = rng.choice(ODD)
    if isinstance(broken["features"], dict):
        broken["features"] = {**broken["features"], f"f{rng.randrange(50)}": rng.choice(ODD)}
    return broken


# ---- Kafka, from outside


def produce(kafka: Kafka, topic: str, values: Iterable[bytes | None]) -> None:
    """Send messages to the two partitions of a topic in turn; return when the broker has them."""
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "log_level": 0,
            "linger.ms": 5,
            "partitioner": "random",
            "sticky.partitioning.linger.ms": 0,
            "queue.buffering.max.messages": 200_000,
        }
    )
    for value in values:
        producer.produce(topic, value)
        producer.poll(0)
    assert 0 == producer.flush(_TIMEOUT_S)


def committed(kafka: Kafka, topic: str, group: str | None = None) -> int:
    """Give the sum of the offsets that a group has committed for a topic; by default the group named as the topic."""
    settings = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": group or topic, "log_level": 0}
    consumer = Consumer(settings)
    numbers = consumer.list_topics(topic, _TIMEOUT_S).topics[topic].partitions
    found = consumer.committed([TopicPartition(topic, number) for number in numbers], _TIMEOUT_S)
    consumer.close()
    return sum(max(0, each.offset) for each in found)


# ---- the daemon, from outside


def partitions(daemon: Daemon) -> set[str]:
    return {labels["partition"] for labels in daemon.series("driftd_consumer_stalled_seconds")}


def not_ready(daemon: Daemon) -> str | None:
    """Give why it is not ready, None while it is."""
    answer = daemon.get("/readyz")
    return None if answer is None or answer.status_code == 200 else answer.text
