"""`driftd gate` beside a running daemon, over a real broker: what a pipeline is told of a release, by exit code."""

from __future__ import annotations

import json
import random
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import pytest
from confluent_kafka import Producer

from monitor.commands import FAILED
from monitor.gate_cli import NOT_YET
from tests.support.daemon import Daemon, driftd, kafka_settings, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration

REQUESTS: Final = 1_500
"""Of each version."""
SPAN_S: Final = 5.0
MODELS: Final = {"worse": (0.9, 0.7, REQUESTS), "better": (0.7, 0.9, REQUESTS), "young": (0.7, 0.9, 20)}
"""How often v1 and v2 are right, and how often each is asked."""


def traffic(start_s: float) -> Iterator[dict[str, Any]]:
    """Give requests to both versions of each model in turns, each with its label."""
    chance = random.Random(7)
    for number in range(REQUESTS):
        time_s = start_s + SPAN_S * number / REQUESTS
        for model, (*rights, count) in MODELS.items():
            for version, right in zip(("v1", "v2"), rights, strict=True):
                if number >= count:
                    continue
                name, predicted = f"{model}-{version}-{number}", chance.choice(["yes", "no"])
                label = predicted if chance.random() < right else {"yes": "no", "no": "yes"}[predicted]
                yield {
                    "model": model,
                    "model_version": version,
                    "request_id": name,
                    "event_time": time_s,
                    "prediction": predicted,
                    "cost_usd": 0.01 * chance.lognormvariate(0.0, 0.2),
                }
                yield {
                    "type": "outcome",
                    "request_id": name,
                    "event_time": time_s,
                    "kind": "label",
                    "label": label,
                }


def test_gate_tells_a_pipeline_pass_fail_and_not_yet(kafka_real: Kafka, tmp_path: Path) -> None:
    topic = f"gate-{uuid.uuid4().hex[:12]}"
    kafka_real.create_topic(topic)
    producer = Producer({"bootstrap.servers": kafka_real.bootstrap_servers})
    for event in traffic(time.time() - SPAN_S):
        producer.produce(topic, json.dumps(event).encode())
        producer.poll(0)
    assert producer.flush(20.0) == 0
    settings = {
        "kafka": kafka_settings(kafka_real.bootstrap_servers, [topic], group_id=topic),
        "outcomes": {"join": "always"},
        # Nothing here is ever unsafe or checked for it.
        "releases": {"criteria": {"violations": {"required": False}}},
    }

    with Daemon(tmp_path, settings) as daemon:

        def asked(model: str) -> tuple[int, dict[str, Any]]:
            done = driftd("gate", "--model", model, "-c", str(daemon.config), "--json")
            return done.returncode, json.loads(done.stdout) if done.stdout else {}

        # Until all is counted, which is some seconds behind the events.
        wait_for(lambda: [asked(model)[0] for model in ("worse", "better")] == [FAILED, 0], "both to be decided", 60.0)
        found = {model: asked(model) for model in MODELS}
        nobody = driftd("gate", "--model", "nobody", "-c", str(daemon.config))

    assert {"worse": FAILED, "better": 0, "young": NOT_YET} == {model: code for model, (code, _) in found.items()}
    assert ["fail", "pass", "insufficient"] == [answer["verdict"] for _, answer in found.values()]
    assert (FAILED, "") == (nobody.returncode, nobody.stdout)
    assert "nobody" in nobody.stderr
