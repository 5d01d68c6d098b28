"""Reloading the configuration of the real daemon: what is swapped, what is refused, and that counts stay."""

from __future__ import annotations

import signal
import uuid
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.integration.test_daemon import RECEIVED, events, produce, settings_of, told_of, unsafe_events
from tests.support.daemon import Daemon, wait_for
from tests.support.kafka import Kafka
from tests.support.receiver import Receiver

GOOD = "driftd_config_last_reload_successful"


@pytest.fixture
def topic(kafka_real: Kafka) -> str:
    name = f"reload-{uuid.uuid4().hex[:12]}"
    kafka_real.create_topic(name, 2)
    return name


def rewrite(daemon: Daemon, **changes: object) -> None:
    """Change sections of the daemon's configuration file."""
    found = yaml.safe_load(daemon.config.read_text(encoding="utf-8"))
    daemon.config.write_text(yaml.safe_dump({**found, **changes}), encoding="utf-8")


def test_hang_up_swaps_rules_and_receivers_and_leaves_consumer_and_counts(
    kafka_real: Kafka, topic: str, tmp_path: Path, receiver: Receiver
) -> None:
    settings = settings_of(kafka_real, tmp_path, topic)
    with Daemon(tmp_path, settings, Daemon.has_partitions) as daemon:
        produce(kafka_real, topic, events(100))
        wait_for(lambda: daemon.total(RECEIVED) == 100, "the events")

        rewrite(daemon, **told_of(receiver), log={"level": "debug", "format": "json"}, time={"grace_s": 90})
        assert daemon.logged("configuration reloaded") is None
        daemon.signal(signal.SIGHUP)
        refused = wait_for(lambda: daemon.logged("configuration not reloaded"), "the set of windows to be refused")
        assert "alerts.windows" in refused["error"]
        wait_for(lambda: daemon.total(GOOD) == 0, "the metric")

        told = told_of(receiver)
        rewrite(daemon, models=told["models"], receivers=told["receivers"], alerts={"owner": "me", "runbook": "book"})
        daemon.signal(signal.SIGHUP)
        done = wait_for(lambda: daemon.logged("configuration reloaded"), "the reload")
        assert ["time.grace_s"] == done["needs_restart"]
        wait_for(lambda: daemon.total(GOOD) == 1, "the metric")

        produce(kafka_real, topic, unsafe_events())
        request = receiver.wait_for(1, 30.0)[0]
        assert "unsafe_rate" in str(request.json())
        assert 1 == len([line for line in daemon.log_lines() if line["event"] == "partitions assigned"])
        wait_for(lambda: daemon.total(RECEIVED) == 1_300, "all events to be counted, with those from before")


def test_bad_file_changes_nothing_and_shows(kafka_real: Kafka, topic: str, tmp_path: Path) -> None:
    settings = settings_of(kafka_real, tmp_path, topic)
    with Daemon(tmp_path, {**settings, "log": {"format": "json"}}, Daemon.has_partitions) as daemon:
        rewrite(daemon, alerts={"no_such_option": 1})
        daemon.signal(signal.SIGHUP)
        said = wait_for(lambda: daemon.logged("configuration not reloaded"), "the refusal")
        assert "no_such_option" in said["error"]
        wait_for(lambda: daemon.total(GOOD) == 0, "the metric")

        produce(kafka_real, topic, events(20))
        wait_for(lambda: daemon.total(RECEIVED) == 20, "events to be counted all the same")
        assert 0 == daemon.stop()


def test_request_reloads_only_where_it_is_allowed(kafka_real: Kafka, topic: str, tmp_path: Path) -> None:
    settings = settings_of(kafka_real, tmp_path, topic)
    with Daemon(tmp_path / "off", settings, Daemon.has_partitions) as daemon:
        assert 403 == httpx2.post(f"{daemon.url}/-/reload", trust_env=False).status_code
        port = daemon.port
        assert 0 == daemon.stop()
    with Daemon(tmp_path / "on", {**settings, "http": {"port": port, "admin": True}}, Daemon.has_partitions) as daemon:
        daemon.port = port
        assert 200 == httpx2.post(f"http://127.0.0.1:{port}/-/reload", trust_env=False).status_code
        rewrite(daemon, alerts={"owner": 7.5})
        answer = httpx2.post(f"http://127.0.0.1:{port}/-/reload", trust_env=False)
        assert 500 == answer.status_code
        assert "alerts.owner" in answer.text
