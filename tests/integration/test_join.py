"""Kill -9 during a join, on a real broker: no outcome is lost, and none is counted twice.

Inferences and their outcomes lie in two topics, so which comes first is decided by the consumer, anew in every life of
the daemon. What it stored at the end is compared with one offline pass over the same topics, and with what was sent.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import pytest
from confluent_kafka import Producer

from benchmarks.faults import truth
from benchmarks.faults.process import Daemon, Life
from monitor.baseline import Input, build_references
from monitor.bins import NO, YES
from monitor.config import load_settings
from monitor.domain import StreamKey
from monitor.join.joiner import INFERENCES, JOIN, WAITING
from monitor.joining import COHORTS
from monitor.reference_files import write_reference
from tests.support.daemon import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from monitor.kept import State
    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration

PARTITIONS: Final = 2
RATE_PER_S: Final = 300.0
READ_S: Final = (0.2, 1.5)
"""How long it reads before it is killed."""
BACK_S: Final = (0.0, 0.4)
"""The same after its state was restored: about when it is given its partitions, and reads on."""
KILLS: Final = ("partitions assigned", "state restored", "partitions assigned")
"""What it has said before, each time that it is killed."""
MODEL: Final = "loans"

Body = dict[str, Any]


@dataclass(slots=True)
class Sent:
    """What was sent. joined: by kind; correct: by right and wrong."""

    messages: int = 0
    joined: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    correct: Counter[bool] = field(default_factory=Counter)


def request(number: int, time_s: float, chance: random.Random) -> tuple[Body, list[tuple[float, Body]], bool]:
    """Give an inference, what is said of it and how long after, and whether it is right."""
    name, is_yes = f"r{number}", chance.random() < 0.4
    score = min(max(chance.gauss(0.7 if is_yes else 0.3, 0.2), 0.0), 1.0)
    asked = {
        "model": MODEL,
        "request_id": name,
        "event_time": time_s,
        "features": {"amount": chance.lognormvariate(3.0, 1.0)},
        "prediction": "yes" if score > 0.5 else "no",
        "score": score,
        "cost_usd": 0.01,
        "segment": {"country": chance.choice(["de", "fr"])},
    }
    told: list[tuple[float, Body]] = [
        (chance.uniform(-0.5, 4.0), {"kind": "label", "label": "yes" if is_yes else "no"})
    ]
    if chance.random() < 0.2:
        told.append((chance.uniform(0.0, 2.0), {"kind": "override", "value": True}))
    if chance.random() < 0.3:
        checked = {"kind": "evaluation", "evaluator": "citation", "value": chance.random() < 0.9}
        told.append((chance.uniform(0.0, 2.0), {**checked, "failure_mode": chance.choice(["stale", "missing"])}))
    return asked, [(s, {"type": "outcome", "request_id": name, **body}) for s, body in told], (score > 0.5) == is_yes


class Traffic:
    """Sends inferences and outcomes from a thread until closed, each outcome when it is known; some twice."""

    def __init__(self, servers: str, topics: tuple[str, str]) -> None:
        self.sent = Sent()
        self._topics = topics
        self._producer = Producer({"bootstrap.servers": servers, "linger.ms": 5})
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        assert self._producer.flush(20.0) == 0, "the broker did not take all"

    def _run(self) -> None:
        chance, began_s, number = random.Random(5), time.time(), 0
        due: list[tuple[float, Body]] = []
        while not self._is_over.is_set():
            while number < (time.time() - began_s) * RATE_PER_S:
                due += self._ask(number, began_s + number / RATE_PER_S, chance)
                number += 1
            now_s = time.time()
            for at_s, body in due:
                if at_s <= now_s:
                    self._send(1, body)
            due = [each for each in due if each[0] > now_s]
            time.sleep(0.01)
        for _, body in due:
            self._send(1, body)

    def _ask(self, number: int, time_s: float, chance: random.Random) -> Iterator[tuple[float, Body]]:
        """Send an inference, and give its outcomes with when they are due."""
        asked, told, is_right = request(number, time_s, chance)
        if chance.random() < 0.02:
            self.sent.unknown += len(told)
        else:
            self._send(0, asked)
            self.sent.joined.update(body["kind"] for _, body in told)
            self.sent.correct[is_right] += 1
            for later_s, body in told:
                if chance.random() < 0.1:
                    self.sent.duplicates[body["kind"]] += 1
                    yield time_s + later_s + 1.0, {**body, "event_time": time_s + later_s + 1.0}
        for later_s, body in told:
            yield time_s + later_s, {**body, "event_time": time_s + later_s}

    def _send(self, topic: int, body: Body) -> None:
        self._producer.produce(self._topics[topic], json.dumps(body).encode(), key=body["request_id"])
        self._producer.poll(0)
        self.sent.messages += 1


def build_reference(folder: Path, daemon: Daemon) -> None:
    """Have bins and names frozen, so that they hang on nothing that comes in another order in another life."""
    chance, path = random.Random(1), folder / "history.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(2_000):
            asked, told, _ = request(number, 1.7e9 + number / 10, chance)
            for body in (asked, *({**body, "event_time": 1.7e9 + number / 10 + 1.0} for _, body in told)):
                file.write(json.dumps(body) + "\n")
    given = Input.of_files([path], model=None, version="", time_column="", every=None)
    (reference,) = build_references(load_settings(daemon.config, {}), given).references
    (folder / "references").mkdir()
    write_reference(folder / "references", reference)


@contextmanager
def alive(daemon: Daemon, said: str) -> Iterator[Life]:
    """Start the daemon and wait until it says so; it is killed at the end, unless it has stopped by then."""
    life = daemon.start()
    try:
        daemon.wait(life, said)
        yield life
    finally:
        life.kill()


def kill_again_and_again(daemon: Daemon, chance: random.Random) -> None:
    for said in KILLS:
        with alive(daemon, said) as life:
            time.sleep(chance.uniform(*(READ_S if said == "partitions assigned" else BACK_S)))
            assert life.is_running, daemon.tail(life)


def outcomes_of(sections: Mapping[str, State]) -> Counter[tuple[str, str]]:
    """Give what became of outcomes, by kind and result."""
    return Counter({(kind, result): count for kind, result, count in sections[JOIN]["counts"] if count})


def waiting(sections: Mapping[str, State]) -> list[object]:
    """Give what else the join keeps: inferences that wait, outcomes that do, and cohorts with what they were marked."""
    held = [sorted(sections[name]["counts"]) for name in (INFERENCES, WAITING)]
    return [*held, *(sorted(sections[COHORTS][name]) for name in ("asked", "marked", "fields"))]


def shown(daemon: Daemon) -> list[float]:
    """Give what the metrics say of labels."""
    return [daemon.metric("driftd_outcomes_total", kind="label", result=each) for each in ("joined", "duplicate")]


def test_killed_again_and_again_it_joins_every_outcome_once(kafka_real: Kafka, tmp_path: Path) -> None:
    name, servers = uuid.uuid4().hex[:12], kafka_real.bootstrap_servers
    topics = (f"inferences-{name}", f"outcomes-{name}")
    for topic in topics:
        kafka_real.create_topic(topic, PARTITIONS)
    kafka = {"topics": [*topics], "group_id": name, "start": "earliest", "commit_s": 0.25}
    # A member with a name of its own is given its partitions at once, and not when the dead one is missed.
    kafka["librdkafka"] = {"group.instance.id": name}
    settings = {
        "kafka": {**kafka, "bootstrap_servers": [servers]},
        "reference": {"directory": str(tmp_path / "references")},
        "state": {"directory": str(tmp_path / "state")},
        "outcomes": {"join": "always"},
        "models": [{"match": MODEL, "segments": ["country"]}],
    }
    daemon = Daemon(tmp_path, settings)
    build_reference(tmp_path, daemon)
    with Traffic(servers, topics) as traffic:
        kill_again_and_again(daemon, random.Random(11))
    ends = {source: end for topic in topics for source, end in truth.ends_of(servers, topic, PARTITIONS).items()}
    labels = [traffic.sent.joined["label"], traffic.sent.duplicates["label"]]
    with alive(daemon, "partitions assigned") as life:
        daemon.wait_read(ends, life)
        wait_for(lambda: shown(daemon) == labels, "the metrics to show what is stored")
        daemon.stop(life)
    daemon.close()
    found = daemon.stored().sections
    right, _ = truth.pass_over(load_settings(daemon.config, {}), servers, ends)
    counts = truth.compare(truth.stored(found), truth.stored(right), traffic.sent.messages)
    correct = truth.bins_of(found)[StreamKey(MODEL, "", "correct", "")]

    assert ([], "") == (list(counts.where), counts.sums)
    assert outcomes_of(right) == outcomes_of(found)
    assert waiting(right) == waiting(found)
    assert traffic.sent.joined == Counter({k: n for (k, result), n in outcomes_of(found).items() if result == "joined"})
    assert traffic.sent.correct == Counter({True: correct[YES], False: correct[NO]})
    assert traffic.sent.unknown == sum(n for (_, result), n in outcomes_of(found).items() if result == "waiting")
    assert min(*labels, traffic.sent.unknown) > 10
