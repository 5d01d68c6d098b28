"""How fast is the daemon, against a loop that only consumes and decodes? On the real broker, side by side in one run.

Both read the same topic from the beginning, in turns, each in a process of its own, timed from its first message to
when its last one is dealt with. The daemon has its reference, so it judges from the start; events come at 100,000 per
second of event time, about as fast as they are counted, as they would live. Bare: confluent-kafka's consume and
msgspec into a typed struct, nothing else. ratio_cpu is of processor time, all threads: on a machine that others use too
it says more than ratio_bare, which is of the clock.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer

from benchmarks.events import events, produce
from benchmarks.report import options, rss_mb, show
from monitor import assembly
from monitor.baseline import Input, build_references
from monitor.board import Board
from monitor.config import load_settings
from monitor.domain import Batch
from monitor.reference_files import write_reference
from monitor.sources.base import Source
from monitor.sources.kafka_terms import FETCH_BACKOFF_MS
from tests.support.kafka import start_kafka

PARTITIONS = 4
RATE_PER_S = 100_000.0


class Event(msgspec.Struct):
    """What the bare loop decodes into."""

    model: str
    event_time: float
    features: dict[str, float | str | bool | None]
    event_id: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    model_version: str | None = None
    endpoint: str | None = None
    prediction: float | str | None = None
    score: float | None = None
    latency_s: float | None = None
    status: str | None = None


def bare(servers: str, topic: str, count: int) -> dict[str, float]:
    """Consume and decode."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"bare-{time.time_ns()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "queued.max.messages.kbytes": 32 * 1024,
            "fetch.queue.backoff.ms": FETCH_BACKOFF_MS,
        }
    )
    consumer.subscribe([topic])
    decode = msgspec.json.Decoder(Event).decode
    seen, began_s, began_cpu_s = 0, 0.0, 0.0
    while seen < count:
        messages = consumer.consume(5_000, 0.2)
        if messages and not began_s:
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for message in messages:
            decode(message.value())  # type: ignore[arg-type]
        seen += len(messages)
    taken_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    consumer.close()
    return {"seconds": taken_s, "cpu_s": cpu_s, "rss_mb": rss_mb()}


class Timed:
    """The daemon's source, with a watch: stops the daemon once it asks for more after the last message."""

    def __init__(self, source: Source, count: int) -> None:
        self._source, self._count, self._seen = source, count, 0
        self.began_s = self.taken_s = self.began_cpu_s = self.cpu_s = 0.0
        self.stop: Callable[[], None] = lambda: None

    def poll(self, timeout_s: float) -> Batch:
        if self._seen >= self._count and not self.taken_s:
            self.taken_s, self.cpu_s = time.perf_counter() - self.began_s, time.process_time() - self.began_cpu_s
            self.stop()
        batch = self._source.poll(timeout_s)
        if len(batch) and not self.began_s:
            self.began_s, self.began_cpu_s = time.perf_counter(), time.process_time()
        self._seen += len(batch)
        return batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def learn(folder: str) -> None:
    """Write the model's reference, as a daemon that has run before finds it."""
    settings = load_settings(None, {}, topics_required=False)
    lines = list(events(20_000, RATE_PER_S))
    for reference in build_references(settings, Input("benchmark", lambda _: iter([lines]))).references:
        write_reference(Path(folder), reference)


def daemon(servers: str, topic: str, count: int) -> dict[str, float]:
    """The whole daemon: source, pipeline, judge, delivery, web server."""
    with tempfile.TemporaryDirectory() as folder:
        learn(folder)
        settings = load_settings(
            None,
            {
                "DRIFTD_KAFKA__BOOTSTRAP_SERVERS": servers,
                "DRIFTD_KAFKA__TOPICS": topic,
                "DRIFTD_KAFKA__GROUP_ID": f"driftd-{time.time_ns()}",
                "DRIFTD_KAFKA__START": "earliest",
                "DRIFTD_REFERENCE__DIRECTORY": folder,
                "DRIFTD_STATE__DIRECTORY": str(Path(folder) / "state"),
                "DRIFTD_HTTP__PORT": "0",
            },
        )
        board = Board()
        app, server = assembly.app(settings, board)
        timed = Timed(app.source, count)
        timed.stop = app.stop
        app.source = timed  # it passes on whatever it does not watch
        app.run(server)
    snapshot = board.latest()
    assert snapshot is not None
    counted = sum(snapshot.picture.counted.values())
    assert counted == count, f"counted {counted} of {count}: {snapshot.picture}"
    return {"seconds": timed.taken_s, "cpu_s": timed.cpu_s, "rss_mb": rss_mb(), "looks": snapshot.picture.looks}


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        kind, servers, topic, wanted = sys.argv[2:6]
        run = bare if kind == "bare" else daemon
        print(json.dumps(run(servers, topic, int(wanted))))
        return
    quick = options(str(__doc__).splitlines()[0]).quick
    count, rounds = (300_000, 5) if quick else (1_000_000, 7)
    kafka, _ = start_kafka()
    try:
        kafka.create_topic("throughput", PARTITIONS)
        sent, size = produce(kafka.bootstrap_servers, "throughput", events(count, RATE_PER_S), PARTITIONS)
        results: dict[str, list[dict[str, float]]] = {"bare": [], "daemon": []}
        for _ in range(rounds):
            for kind, found in results.items():
                found.append(_child(kind, kafka.bootstrap_servers, count))
    finally:
        kafka.close()
    fastest = {kind: statistics.median(r["seconds"] for r in found) for kind, found in results.items()}
    ratios = [b["seconds"] / d["seconds"] for b, d in zip(results["bare"], results["daemon"], strict=True)]
    ratio = statistics.median(ratios)
    cpu = [b["cpu_s"] / d["cpu_s"] for b, d in zip(results["bare"], results["daemon"], strict=True)]
    show(
        "Throughput on a real broker",
        {
            "broker": f"{kafka.kind} {kafka.version or ''}, {PARTITIONS} partitions",
            "events": f"{sent:,} of {size / sent:.0f} bytes, {rounds} rounds in turns",
            "bare": f"{count / fastest['bare']:,.0f} events/s (consume and decode)",
            "driftd": f"{count / fastest['daemon']:,.0f} events/s, {results['daemon'][0]['looks']} looks of the judge",
            "ratio": f"{ratio:.3f} (rounds: {', '.join(f'{r:.3f}' for r in ratios)})",
            "of processor time": f"{statistics.median(cpu):.3f} (rounds: {', '.join(f'{r:.3f}' for r in cpu)})",
        },
        {
            "ratio_bare": ratio,
            "ratio_cpu": statistics.median(cpu),
            "events_per_s": count / fastest["daemon"],
            "bare_events_per_s": count / fastest["bare"],
            "rss_mb": max(r["rss_mb"] for r in results["daemon"]),
            "bare_rss_mb": max(r["rss_mb"] for r in results["bare"]),
        },
    )


def _child(kind: str, servers: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.throughput", "--child", kind, servers, "throughput", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    if done.returncode:
        raise SystemExit(f"{kind} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
