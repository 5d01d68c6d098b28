"""How long is it gone? Killed with 25,000 streams in its state, and started anew, as an orchestrator would."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.events import produce
from benchmarks.faults.ground import PARTITIONS
from benchmarks.faults.process import Daemon, Life, wall_s
from benchmarks.faults.truth import ends_of
from monitor.baseline import Input, build_references
from monitor.config import load_settings
from monitor.reference_files import write_reference
from tests.support.kafka import Kafka

STREAMS: Final = 25_000
EVENTS: Final = 60
"""Of each model: in its reference, and read before the kill."""
SPAN_S: Final = 600.0
"""Of event time that they cover: counts lie in many buckets, of all ages."""
SEND_S: Final = 0.5
"""How often what has come due of the traffic is sent."""
SETTLE_S: Final = 5.0
"""How long it runs after it has caught up."""


@dataclass(slots=True)
class RecoveryRun:
    """Seconds from the start of the process: until it is ready and has read on; and to each step on the way.

    load_s: what restoring took, of these. state_mb: the file.
    """

    models: int
    recovered_s: float
    load_s: float
    state_mb: float
    steps_s: dict[str, float] = field(default_factory=dict)


def event(rng: random.Random, model: int, features: int, time_s: float) -> bytes:
    """Give one event of a model with so many features."""
    values: dict[str, float] = {f"f{at:03d}": round(rng.gauss(at, 1.0), 3) for at in range(features)}
    head = {"event_id": f"{rng.getrandbits(96):024x}", "event_time": time_s, "model": f"m{model:04d}"}
    return msgspec.json.encode({**head, "model_version": "1", "features": values, "latency_s": rng.random()})


class Traffic:
    """Events of all models in turn, as often as in their references: what was read before, and what goes on since."""

    def __init__(self, models: int, first_s: float) -> None:
        self._models = models
        self._features = STREAMS // models
        self._first_s = first_s
        self._apart_s = SPAN_S / (EVENTS * models)
        self._rng = random.Random(2)
        self._sent = 0

    def until(self, now_s: float) -> Iterator[bytes]:
        """Give the events up to now that were not given yet."""
        while (time_s := self._first_s + self._sent * self._apart_s) <= now_s:
            yield event(self._rng, self._sent % self._models, self._features, time_s)
            self._sent += 1

    @contextmanager
    def going_on(self, servers: str, topic: str) -> Iterator[None]:
        """Have it go on from another thread."""
        is_over = threading.Event()

        def send() -> None:
            while not is_over.wait(SEND_S):
                produce(servers, topic, self.until(time.time()), PARTITIONS)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def run(kafka: Kafka, folder: Path, models: int) -> RecoveryRun:
    """Bring a daemon to so many streams, kill it, start it anew."""
    servers, topic = kafka.bootstrap_servers, f"recovery-{time.time_ns()}"
    kafka.create_topic(topic, PARTITIONS)
    _references(folder / "references", models)
    daemon = Daemon(folder, _settings(kafka, folder, topic))
    traffic = Traffic(models, time.time() - SPAN_S)
    produce(servers, topic, traffic.until(time.time()), PARTITIONS)
    with traffic.going_on(servers, topic):
        life = daemon.start()
        daemon.wait(life, "partitions assigned")
        daemon.wait_read(ends_of(servers, topic, PARTITIONS), life, 300.0)
        time.sleep(SETTLE_S)
        life.kill()
        before = daemon.positions()
        life = daemon.start()
        steps_s = _steps(daemon, life, sum(before.values()))
        restored = daemon.wait(life, "state restored")
        life.kill()
    daemon.close()
    size = sum(path.stat().st_size for path in daemon.state.iterdir())
    recovered_s = max(steps_s["ready"], steps_s["read on"])
    return RecoveryRun(models, recovered_s, float(restored["seconds"]), size / 1e6, steps_s)


def _steps(daemon: Daemon, life: Life, read_before: int) -> dict[str, float]:
    """Give when, from the start of a process, it said or did what."""
    steps_s: dict[str, float] = {}
    deadline_s = life.began_s + 60.0
    while not {"ready", "read on"} <= steps_s.keys() and time.monotonic() < deadline_s:
        if "ready" not in steps_s:
            answer = daemon.get("/readyz")
            if answer is not None and answer.status_code == 200:
                steps_s["ready"] = time.monotonic() - life.began_s
        elif _read(daemon) > read_before:
            steps_s["read on"] = time.monotonic() - life.began_s
        time.sleep(0.02)
    assert len(steps_s) == 2, f"not back within a minute: {steps_s}\n{daemon.tail(life)}"
    for line in daemon.lines(life.log_from):
        if line["event"] in {"state restored", "started", "partitions assigned"}:
            steps_s.setdefault(line["event"], wall_s(line) - life.began_wall_s)
    return dict(sorted(steps_s.items(), key=lambda each: each[1]))


def _read(daemon: Daemon) -> int:
    """Give how far it has read, as it tells: the sum over partitions."""
    answer = daemon.get("/api/v1/status")
    return 0 if answer is None else sum(each["position"] or 0 for each in answer.json()["partitions"])


def _settings(kafka: Kafka, folder: Path, topic: str) -> dict[str, Any]:
    return {
        "kafka": {
            "bootstrap_servers": [kafka.bootstrap_servers],
            "topics": [topic],
            "group_id": topic,
            "start": "earliest",
            "commit_s": 0.5,
        },
        "limits": {"streams_max": 4 * STREAMS, "models_max": 2_000},
        "reference": {"directory": str(folder / "references")},
        "state": {"directory": str(folder / "state")},
        "receivers": {"log": {"type": "log"}},
    }


def _references(folder: Path, models: int) -> None:
    """Write the reference of each model; they are alike, which does not matter to how long they take to read."""

    def history() -> Iterator[list[bytes | None]]:
        rng = random.Random(1)
        for model in range(models):
            times_s = (1_790_000_000.0 + at * SPAN_S / EVENTS for at in range(EVENTS))
            yield [event(rng, model, STREAMS // models, time_s) for time_s in times_s]

    settings = load_settings(
        None,
        {"DRIFTD_LIMITS__STREAMS_MAX": str(4 * STREAMS), "DRIFTD_LIMITS__MODELS_MAX": "2000"},
        topics_required=False,
    )
    for reference in build_references(settings, Input("benchmark", lambda _: history())).references:
        write_reference(folder, reference)
