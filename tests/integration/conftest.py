"""The running whole, shared by the tests of this folder: traffic, Kafka, driftd, Prometheus and Alertmanager.

`stack` is the whole on healthy traffic; it goes on for the rest of the run. `performance` plants incidents in it once
and keeps what was seen, so that many tests can each look at one thing. Ask Prometheus about a moment of the
performance with `stack.query(expression, performance.peak_s)`.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import math
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pytest
from confluent_kafka import Producer

from tests.support.daemon import Daemon, driftd, kafka_settings, wait_for
from tests.support.prometheus import Prometheus, Sample
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from tests.support.alertmanager import Alertmanager, AlertmanagerFactory
    from tests.support.kafka import Kafka
    from tests.support.prometheus import PrometheusFactory

FRAUD: Final = "fraud"
ASSISTANT: Final = "assistant"
ELECTRICITY: Final = "electricity"
VERSION: Final = "2026.1"
RUNBOOK: Final = "https://example.com/runbooks/driftd"

EVENTS_PER_S: Final = 125.0  # of each model
HISTORY_EVENTS: Final = 12_000  # of each model, for its reference
HEALTHY_S: Final = 13.0  # the shorter window is full, and an alert in it would have been told
INCIDENT_S: Final = 14.0  # the shorter window, in Prometheus too, holds nothing else
# A change is over about as long after as it took to find, and on a slow machine slight ones are found for a while yet.
HEALED_S: Final = 150.0
_SHARED_DATA: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
# Rows of the electricity market: a spring to be normal, and a winter two years later, when prices had changed.
_SPRING: Final = slice(20_000, 24_000)
_WINTER: Final = slice(39_000, 43_000)

Body = dict[str, Any]
# Gives one event without its head; the flag says whether something is wrong with the model now.
Maker = Callable[[random.Random, bool], Body]


@pytest.fixture(scope="session")
def stack(
    kafka_real: Kafka,
    prometheus_factory: PrometheusFactory,
    alertmanager_factory: AlertmanagerFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """The whole at work on healthy traffic, scraped every second, for the rest of the run."""
    folder, topic = tmp_path_factory.mktemp("stack"), f"stack-{uuid.uuid4().hex[:12]}"
    kafka_real.create_topic(topic, 2)
    models = models_of(_SHARED_DATA)
    with contextlib.ExitStack() as started:
        receiver = started.enter_context(Receiver())
        alertmanager = alertmanager_factory(receiver.url)
        config = config_of(folder, kafka_real.bootstrap_servers, topic, alertmanager.url)
        build_references(folder, models)
        daemon = started.enter_context(Daemon(folder, config, Daemon.has_partitions))
        prometheus = prometheus_factory([f"127.0.0.1:{daemon.port}"])
        traffic = started.enter_context(Traffic(kafka_real.bootstrap_servers, topic, models))
        yield Stack(topic, daemon, prometheus, alertmanager, receiver, traffic)


@pytest.fixture(scope="session")
def performance(stack: Stack) -> Performance:
    """What was seen while incidents were planted in the traffic of the stack, and after they were over."""
    return perform(stack)


@dataclass(frozen=True, slots=True)
class Stack:
    """The running parts. receiver: what Alertmanager notifies."""

    topic: str
    daemon: Daemon
    prometheus: Prometheus
    alertmanager: Alertmanager
    receiver: Receiver
    traffic: Traffic

    def query(self, expression: str, at_s: float | None = None) -> list[Sample]:
        """Give what Prometheus says of an expression at a time, by default now."""
        if at_s is None:
            return self.prometheus.query(expression)
        data = self.prometheus.get("/api/v1/query", query=expression, time=f"{at_s:.3f}")
        return [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]

    def notified(self) -> list[Mapping[str, Any]]:
        """Give the alerts of all notifications that Alertmanager has sent, oldest first."""
        return [alert for request in self.receiver.requests for alert in request.json()["alerts"]]

    def firing(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Give the alerts that Alertmanager holds, by model and rule; of several the worst."""
        found = self.alertmanager.alerts('service="driftd"')
        found.sort(key=lambda alert: str(alert["labels"]["severity"]), reverse=True)
        return {(alert["labels"]["model"], alert["labels"]["alertname"]): alert for alert in found}


@dataclass(frozen=True, slots=True)
class Performance:
    """What happened, by wall clock. before: alerts while all was well. fired: alerts at the peak, by model and rule."""

    before: Sequence[Mapping[str, Any]]
    fired: Mapping[tuple[str, str], Mapping[str, Any]]
    planted_s: float
    peak_s: float
    healed_s: float
    over_s: float


def expected_alerts(stack: Stack) -> set[tuple[str, str]]:
    """Give the model and rule of every alert that the planted incidents must bring."""
    wanted = {(FRAUD, "psi"), (ASSISTANT, "latency_p95"), (ASSISTANT, "unsafe_rate"), (ELECTRICITY, "psi")}
    return {(model, rule) for model, rule in wanted if model in stack.traffic.models}


def perform(stack: Stack) -> Performance:
    """Let healthy traffic flow, plant an incident in every model, wait for the alerts, heal, wait for their end."""
    wait_for(stack.daemon.is_ready, "the daemon to be ready", 30.0)
    stack.traffic.wait(HEALTHY_S)
    before = stack.alertmanager.alerts()
    planted_s = stack.traffic.plant()
    wanted = expected_alerts(stack)
    wait_for(lambda: wanted <= stack.firing().keys(), f"Alertmanager to hold {sorted(wanted)}", 45.0)
    for model, rule in sorted(wanted):
        stack.prometheus.wait_for(f'driftd_alert_firing{{model="{model}",rule="{rule}"}}')
    wait_for(lambda: time.time() > planted_s + INCIDENT_S, "the incident to fill the shorter window")
    fired, peak_s = stack.firing(), time.time()
    healed_s = stack.traffic.heal()
    try:
        wait_for(lambda: not stack.firing(), "all alerts to be resolved", HEALED_S)
    except TimeoutError:
        raise TimeoutError(f"not resolved {HEALED_S:g} s after: {sorted(stack.firing())}") from None
    return Performance(before, fired, planted_s, peak_s, healed_s, time.time())


# ---- the configuration and the references


def config_of(folder: Path, servers: str, topic: str, alertmanager_url: str) -> dict[str, Any]:
    return {
        "kafka": kafka_settings(servers, [topic], group_id=topic),
        "reference": {"directory": str(folder / "references")},
        "state": {"directory": str(folder / "state")},
        "alerts": {"windows": ["10s", "1m"], "keep_firing_for_s": 2, "owner": "on-call", "runbook": RUNBOOK},
        "models": [
            {
                "match": ASSISTANT,
                "owner": "team-assistant",
                "segments": ["locale"],
                "thresholds": {
                    # An absolute budget, as a policy would set it.
                    "unsafe_rate": {"yellow": 0.03, "red": 0.05, "owner": "trust-and-safety"},
                    # Ten seconds hold too few of the slowest hundredth to prove soon that all is well again.
                    "latency_p99": {"enabled": False},
                },
            },
        ],
        "receivers": {
            "log": {"type": "log"},
            "alertmanager": {"type": "alertmanager", "urls": [alertmanager_url], "resend_s": 5},
        },
    }


def build_references(folder: Path, models: Mapping[str, Maker]) -> None:
    """Have driftd build the references from healthy history of all models."""
    history = folder / "history.jsonl"
    with history.open("w", encoding="utf-8") as file:
        for number, (name, maker) in enumerate(models.items()):
            rng = random.Random(number)
            for at in range(HISTORY_EVENTS):
                event = {**head(name, 1_780_000_000 + at / EVENTS_PER_S), **maker(rng, False)}  # noqa: FBT003 - a Maker
                file.write(json.dumps(event) + "\n")
    done = driftd("baseline", "build", "--input", str(history), "--output", str(folder / "references"))
    assert done.returncode == 0, done.stderr


# ---- the traffic


class Traffic:
    """Sends events of each model from a thread, as many as the clock asks for; healthy unless planted."""

    def __init__(self, servers: str, topic: str, models: Mapping[str, Maker]) -> None:
        self.models = models
        self.sent = 0
        self._producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "log_level": 0})
        self._topic = topic
        self._is_planted = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._send, name="traffic", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._producer.flush(5)

    def plant(self) -> float:
        """Let something go wrong with every model from now on; give the time."""
        self._is_planted = True
        return time.time()

    def heal(self) -> float:
        """Let everything be well again from now on; give the time."""
        self._is_planted = False
        return time.time()

    def wait(self, seconds: float) -> None:
        """Let so much traffic flow."""
        until = self.sent + seconds * EVENTS_PER_S * len(self.models)
        wait_for(lambda: self.sent >= until, f"{seconds:g} s of traffic", 4 * seconds)

    def _send(self) -> None:
        rng, began_s = random.Random(99), time.time()
        for number in itertools.count():
            at_s = began_s + number / EVENTS_PER_S
            if self._end.wait(max(0.0, at_s - time.time())):
                return
            for name, maker in self.models.items():
                event = {**head(name, round(at_s, 4)), **maker(rng, self._is_planted)}
                with contextlib.suppress(BufferError):  # a test has taken the broker down for long
                    self._producer.produce(self._topic, json.dumps(event).encode())
                self.sent += 1
            self._producer.poll(0)


def head(model: str, time_s: float) -> Body:
    return {"event_id": uuid.uuid4().hex, "event_time": time_s, "model": model, "model_version": VERSION}


def models_of(data: Path) -> Mapping[str, Maker]:
    """Give the models; those made of public data where it is there."""
    models: dict[str, Maker] = {FRAUD: fraud, ASSISTANT: Assistant(tokens(data / "azure-llm-code.csv"))}
    market = data / "electricity.csv"
    if market.is_file():
        models[ELECTRICITY] = Electricity.of(market)
    return models


def fraud(rng: random.Random, is_planted: bool) -> Body:  # noqa: FBT001 - a Maker
    """Give a scored payment; planted: an upstream change doubles the amounts."""
    amount = rng.lognormvariate(3.0, 0.8) * (2.0 if is_planted else 1.0)
    score = 1.0 / (1.0 + math.exp(4.0 - 0.01 * min(amount, 300.0) - rng.gauss(0.0, 1.0)))
    return {
        "features": {
            "amount": round(amount, 2),
            "account_age_days": round(rng.expovariate(1 / 700.0), 1),
            "device_score": None if rng.random() < 0.02 else round(rng.gauss(0.0, 1.0), 4),
            "country": rng.choices(("DE", "FR", "PL", "IT"), (5, 3, 2, 1))[0],
        },
        "score": round(score, 5),
        "prediction": "block" if score > 0.5 else "allow",
        "latency_s": round(rng.lognormvariate(-3.6, 0.35), 6),
        "status": "ok" if rng.random() > 0.002 else "error",
    }


@dataclass(slots=True)
class Assistant:
    """A language model; planted: answers take twice as long, and many of them are unsafe."""

    tokens: Sequence[tuple[int, int]]

    def __call__(self, rng: random.Random, is_planted: bool) -> Body:  # noqa: FBT001 - a Maker
        tokens_in, tokens_out = rng.choice(self.tokens)
        latency_s = (0.8 + 0.002 * tokens_out) * rng.lognormvariate(0.0, 0.25) * (2.0 if is_planted else 1.0)
        return {
            "latency_s": round(latency_s, 4),
            "tokens_in": tokens_in,
            "tokens_out": tokens_out,
            "unsafe": None if rng.random() < 0.1 else rng.random() < (0.12 if is_planted else 0.002),
            "refused": rng.random() < 0.02,
            "finish_reason": rng.choices(("stop", "length"), (9, 1))[0],
            "segment": {"locale": rng.choice(("en", "de"))},
            "status": "ok",
        }


def tokens(path: Path) -> Sequence[tuple[int, int]]:
    """Give the tokens in and out of real requests where they are there, else of made-up ones."""
    if not path.is_file():
        rng = random.Random(5)
        return [(int(rng.lognormvariate(7.0, 0.8)) + 1, int(rng.lognormvariate(3.0, 0.8)) + 1) for _ in range(5_000)]
    with path.open(newline="", encoding="utf-8") as file:
        return [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file)]


@dataclass(slots=True)
class Electricity:
    """Half-hours of a real market, drawn at random from one season; planted: from another, years later."""

    spring: Sequence[Body]
    winter: Sequence[Body] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path) -> Electricity:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [_market_row(row) for row in csv.DictReader(file)]
        return cls(rows[_SPRING], rows[_WINTER])

    def __call__(self, rng: random.Random, is_planted: bool) -> Body:  # noqa: FBT001 - a Maker
        return rng.choice(self.winter if is_planted else self.spring)


def _market_row(row: Mapping[str, str]) -> Body:
    features = {name: float(value) for name, value in row.items() if name != "target"}
    return {"features": features, "prediction": "up" if row["target"] == "1" else "down"}
