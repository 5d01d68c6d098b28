"""What do the halves cost? A fold's event beside that of `driftd run`, and the deltas of 25,000 streams for one judge.

Fold: both read the same topic of a real broker from the beginning, in turns, each in a process of its own; what counts
is the CPU time of the whole process, from its first message to when its last one is dealt with.

Judge: one process with all courts, real topics, and the deltas of three folds as they would send them, second by
second. What counts is the CPU time of the process per second of events, looks, pictures and saved states included.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from confluent_kafka import Producer

from benchmarks.events import START_S, events, produce
from benchmarks.faults.process import Daemon
from benchmarks.report import rss_mb
from benchmarks.streams import learn
from benchmarks.throughput import Timed
from monitor import assembly, build, scaled
from monitor.board import Board
from monitor.claims import Stretch
from monitor.collector import calm_the_collector
from monitor.config import Settings, load_settings
from monitor.decode import ADAPTERS, Limits
from monitor.delta_court import DeltaCourt
from monitor.delta_fold import DeltaFold
from monitor.deltas import Delta, Post
from monitor.domain import Batch, TopicPartition
from monitor.relay import topics
from monitor.relay.layout_topic import LayoutWriter
from monitor.topic_check import wanted_topics
from tests.support.kafka import Kafka

PARTITIONS: Final = 6
RATE_PER_S: Final = 100_000.0
COURTS: Final = 16
MODELS: Final = 800
"""Of 31 streams each, one of which no event has: 24,800 streams that count, and 800 of volume beside them."""
EVENTS_PER_S: Final = 16_000.0
"""Of all models together; a model has twenty a second."""
FOLDS: Final = 3
WARM_S: Final = 20
MAKING_S: Final = 0.5
"""So long at most it takes to make the posts of a second."""
STRAGGLERS_S: Final = 4.0
CAUGHT_UP_S: Final = 240.0
SCRAPE_S: Final = 15
ASK_S: Final = 3.0
"""Each time costs the judge a page of 25,000 streams."""
NAME: Final = "costs"


@dataclass(frozen=True, slots=True)
class FoldCost:
    """CPU seconds per million events. ratio: of a fold over `driftd run`, median of the rounds."""

    fold_s: float
    run_s: float
    ratio: float
    rounds: Sequence[float]
    fold_events_per_s: float
    run_events_per_s: float


@dataclass(frozen=True, slots=True)
class JudgeCost:
    """What a judge takes. cores: CPU seconds per second of events, also where it can't keep up.

    deltas: those with counts, per second. entries: counts of bins, per second. behind_s: how long it took after them,
    as its metrics tell, which are up to 15 s old.
    """

    cores: float
    streams: int
    deltas_per_s: float
    entries_per_s: float
    bytes_per_s: float
    deltas_per_cpu_s: float
    rss_mb: float
    behind_s: float


def _settings(servers: str, folder: Path, topic: str) -> Settings:
    return load_settings(
        None,
        {
            "DRIFTD_KAFKA__BOOTSTRAP_SERVERS": servers,
            "DRIFTD_KAFKA__TOPICS": topic,
            "DRIFTD_KAFKA__GROUP_ID": f"{topic}-{time.time_ns()}",
            "DRIFTD_KAFKA__START": "earliest",
            "DRIFTD_REFERENCE__DIRECTORY": str(folder / "references"),
            "DRIFTD_STATE__DIRECTORY": str(folder / f"state-{time.time_ns()}"),
            "DRIFTD_SCALEOUT__DELTAS_TOPIC": f"{topic}-deltas",
            "DRIFTD_SCALEOUT__LAYOUTS_TOPIC": f"{topic}-layouts",
            "DRIFTD_SCALEOUT__STATE_TOPIC": f"{topic}-state",
            "DRIFTD_SCALEOUT__REPLICAS": "1",
            "DRIFTD_SCALEOUT__COURTS": str(COURTS),
            "DRIFTD_HTTP__PORT": "0",
        },
    )


def of_folds(kafka: Kafka, folder: Path, count: int, rounds: int) -> FoldCost:
    """Let a fold and `driftd run` read the same events by turns."""
    learn(1, folder / "references")
    topic = f"{NAME}-{time.time_ns()}"
    settings = _settings(kafka.bootstrap_servers, folder, topic)
    kafka.create_topic(topic, PARTITIONS)
    topics.create(build.client_options(settings), wanted_topics(settings))
    tell = LayoutWriter(build.client_options(settings), settings.scaleout.layouts_topic)
    fold = _fold(settings)
    for _ in _posts(settings, fold, [*events(500, RATE_PER_S)], 500.0, tell):
        pass
    produce(kafka.bootstrap_servers, topic, events(count, RATE_PER_S), PARTITIONS)
    found: dict[str, list[dict[str, float]]] = {"run": [], "fold": []}
    for _ in range(rounds):
        for role, results in found.items():
            results.append(_child(role, kafka.bootstrap_servers, topic, count, folder))
    per_event = {role: statistics.median(each["cpu_s"] for each in results) / count for role, results in found.items()}
    ratios = [f["cpu_s"] / r["cpu_s"] for f, r in zip(found["fold"], found["run"], strict=True)]
    rates = {role: count / statistics.median(each["seconds"] for each in results) for role, results in found.items()}
    return FoldCost(
        per_event["fold"] * 1e6, per_event["run"] * 1e6, statistics.median(ratios), ratios, rates["fold"], rates["run"]
    )


def _child(role: str, servers: str, topic: str, count: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scaleout.costs", role, servers, topic, str(count), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{role} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


class Watched(Timed):
    """The source of a daemon, with a watch for CPU time too."""

    def poll(self, timeout_s: float) -> Batch:
        """Pass on a batch; note the CPU time at the first message, and when what follows the last one is asked for."""
        was_begun, was_done = bool(self.began_s), bool(self.taken_s)
        batch = super().poll(timeout_s)
        if self.began_s and not was_begun:
            self.began_cpu_s = time.process_time()
        if self.taken_s and not was_done:
            self.cpu_s = time.process_time() - self.began_cpu_s
        return batch


def _measured(role: str, servers: str, topic: str, count: int, folder: Path) -> dict[str, float]:
    """Read all of the topic as one role, in this process."""
    settings, board = _settings(servers, folder, topic), Board()
    calm_the_collector()
    app, server = (scaled.fold_app if role == "fold" else assembly.app)(settings, board)
    watched = Watched(app.source, count)
    watched.stop = app.stop
    app.source = watched  # it passes on whatever it does not watch
    app.run(server)
    snapshot = board.latest()
    assert snapshot is not None
    counted = sum(snapshot.picture.counted.values())
    assert counted == count, f"counted {counted} of {count}"
    return {"cpu_s": watched.cpu_s, "seconds": watched.taken_s, "rss_mb": rss_mb()}


# ---- judge


def _fold(settings: Settings) -> DeltaFold:
    fold = DeltaFold(build.pipeline_terms(settings), ADAPTERS[build.ADAPTER](Limits()), settings.scaleout.courts)
    for number in range(PARTITIONS):
        fold.begin(TopicPartition(settings.kafka.topics[0], number), 0, 0)
    return fold


def _posts(
    settings: Settings, fold: DeltaFold, messages: Sequence[bytes], per_s: float, tell: LayoutWriter | None = None
) -> Iterator[list[list[Delta]]]:
    """Give what the folds send to each court, second by second. per_s: messages in a second.

    Courts say by themselves how to count: in the first two seconds events are forwarded, as when a model is new.
    """
    sources = [TopicPartition(settings.kafka.topics[0], number) for number in range(PARTITIONS)]
    terms = replace(build.pipeline_terms(settings), event_ids_max=0)
    loaded, adapter = build.references(settings), ADAPTERS[build.ADAPTER](Limits())
    courts = [DeltaCourt(terms, adapter, loaded) for _ in range(settings.scaleout.courts)]
    sent = dict.fromkeys(sources, 0)
    for second, start in enumerate(range(0, len(messages), int(per_s))):
        batch = messages[start : start + int(per_s)]
        numbers = np.arange(len(batch)) % PARTITIONS
        offsets = np.array(
            [sent[sources[n]] + at for n, at in zip(numbers, np.arange(len(batch)) // PARTITIONS, strict=True)]
        )
        fold.take(Batch(batch, numbers, sources, offsets=offsets), math.inf)
        by_court: list[list[Delta]] = [[] for _ in courts]
        for source in sources:
            upto = fold.next[source]
            for court, delta in enumerate(fold.cut(source, Stretch(sent[source], upto, False), 1)):  # noqa: FBT003
                by_court[court].append(delta)
            sent[source] = upto
        yield by_court
        for court, deltas in enumerate(by_court if second < 2 else ()):
            courts[court].take(Post("bench", START_S + second, {sources[0].topic: PARTITIONS}, deltas))
            made = courts[court].layouts()
            for layout in made:
                fold.apply(layout)
            if tell is not None and made:
                tell(made)


def _later(delta: Delta, by_s: int) -> Delta:
    """Give the delta as if all had happened later."""
    return replace(
        delta,
        latest_s=delta.latest_s + by_s,
        subjects=[each._replace(first_s=each.first_s + by_s, last_s=each.last_s + by_s) for each in delta.subjects],
        counted=[each._replace(pane=each.pane + by_s) for each in delta.counted],
        forwarded=[each._replace(time_s=each.time_s + by_s) for each in delta.forwarded],
    )


def of_judge(kafka: Kafka, folder: Path, seconds: int) -> JudgeCost:
    """Send one judge the deltas of 25,000 streams for so long, after a warm-up."""
    learn(MODELS, folder / "references")
    topic = f"{NAME}-judge-{time.time_ns()}"
    settings = _settings(kafka.bootstrap_servers, folder, topic)
    topics.create(build.client_options(settings), wanted_topics(settings))
    messages = [*events(int((WARM_S + seconds) * EVENTS_PER_S), EVENTS_PER_S, MODELS)]
    every = [*_posts(settings, _fold(settings), messages, EVENTS_PER_S)]
    daemon = Daemon(folder / "judge", _of_daemon(settings, folder), "judge")
    life = daemon.start()
    try:
        daemon.wait(life, "partitions assigned")
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "compression.type": "lz4", "linger.ms": 5})
        began_s, cpu_s = time.time() + len(every) * MAKING_S, 0.0
        sendings = [_sending(topic, found, began_s, second) for second, found in enumerate(every)]
        measured = sendings[WARM_S:]
        for second, sending in enumerate(sendings):
            time.sleep(max(0.0, began_s + second + 1.0 - time.time()))
            if second == WARM_S:
                _wait_judged(daemon, began_s + second)
                cpu_s = _cpu_s(life.child.pid)
            for court, post in sending.posts:
                producer.produce(settings.scaleout.deltas_topic, post, partition=court)
            producer.flush(10)
            if second % SCRAPE_S == 0:
                daemon.get("/metrics")
        ended_s = time.time()
        _wait_judged(daemon, began_s + len(every))
        cpu_s, behind_s = _cpu_s(life.child.pid) - cpu_s, time.time() - ended_s
        streams = int(daemon.metric("driftd_streams"))
        status = Path(f"/proc/{life.child.pid}/status").read_text(encoding="ascii")
    finally:
        life.kill()
        daemon.close()
    deltas, entries = (sum(getattr(each, name) for each in measured) for name in ("deltas", "entries"))
    size = sum(len(post) for each in measured for _, post in each.posts)
    rates = (deltas / seconds, entries / seconds, size / seconds, deltas / cpu_s)
    return JudgeCost(cpu_s / seconds, streams, *rates, rss_mb(status), behind_s)


class _Sending(NamedTuple):
    """What the folds send in a second. posts: court, and the message. deltas: those with counts, which have entries."""

    posts: list[tuple[int, bytes]]
    deltas: int
    entries: int


def _sending(topic: str, by_court: Sequence[Sequence[Delta]], began_s: float, second: int) -> _Sending:
    """Make the posts of a second beforehand: folds make them on other machines."""
    sending = _Sending([], 0, 0)
    for court, found in enumerate(by_court):
        for own in np.array_split(np.arange(PARTITIONS), FOLDS):
            sent = [_later(found[number], int(began_s - START_S)) for number in own]
            post = Post(f"fold-{own[0]}", began_s + second + 1.0, {topic: PARTITIONS}, sent).encode()
            counted = [each for delta in sent for each in delta.counted]
            sending.posts.append((court, post))
            sending = sending._replace(
                deltas=sending.deltas + sum(1 for each in sent if each.counted),
                entries=sending.entries + sum(len(each.flat) for each in counted),
            )
    return sending


def _wait_judged(daemon: Daemon, until_s: float) -> None:
    """Return when a judge has judged all events up to a time, less what it waits for stragglers."""
    deadline_s = time.monotonic() + CAUGHT_UP_S
    while daemon.get("/livez") is None or daemon.metric("driftd_watermark_timestamp_seconds") < until_s - STRAGGLERS_S:
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"the judge is more than {CAUGHT_UP_S:g} s behind")
        time.sleep(ASK_S)


def _of_daemon(settings: Settings, folder: Path) -> dict[str, Any]:
    own = settings.scaleout
    return {
        "kafka": {
            "bootstrap_servers": settings.kafka.bootstrap_servers,
            "topics": settings.kafka.topics,
            "group_id": settings.kafka.group_id,
        },
        "scaleout": {
            "deltas_topic": own.deltas_topic,
            "layouts_topic": own.layouts_topic,
            "state_topic": own.state_topic,
            "courts": own.courts,
        },
        "reference": {"directory": settings.reference.directory},
        "state": {"directory": str(folder / "judge" / "state")},
        "receivers": {"log": {"type": "log"}},
    }


def _cpu_s(pid: int) -> float:
    """Give the CPU time of a process so far, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    role, servers, topic, count, folder = sys.argv[1:6]
    print(json.dumps(_measured(role, servers, topic, int(count), Path(folder))))
