"""A second member of the group that joins and leaves every few seconds, and takes part of the topic each time."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaPartition

from benchmarks.faults.ground import PARTITIONS, SESSION_S, Finish, prepare
from benchmarks.faults.kills import CYCLE_S, planted
from benchmarks.faults.process import wall_s
from benchmarks.faults.traffic import Traffic
from tests.support.kafka import Kafka
from tests.support.receiver import Receiver

RATE_PER_S: Final = 1_000.0
EVERY_S: Final = 5.0
TELLING: Final = "driftd_rebalances_total"


@dataclass(slots=True)
class MemberRun:
    """What came out. rebalances: times that partitions came to, or were taken from, the daemon."""

    finish: Finish
    joins: int
    rebalances: int
    unowned_max_s: float
    revoke_p99_s: float


@dataclass(slots=True)
class Owned:
    """Since when, and until when, partitions were whose; wall clock."""

    spans: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    since_s: dict[int, float] = field(default_factory=dict)

    def take(self, partitions: Sequence[int], now_s: float) -> None:
        for each in partitions:
            self.since_s.setdefault(each, now_s)

    def give(self, partitions: Sequence[int], now_s: float) -> None:
        for each in partitions:
            if each in self.since_s:
                self.spans[each].append((self.since_s.pop(each), now_s))

    def set(self, partitions: Sequence[int], now_s: float) -> None:
        """Own these and no others from now on."""
        self.give([each for each in self.since_s if each not in partitions], now_s)
        self.take(partitions, now_s)


class Neighbour:
    """The other member, in a thread: in the group for EVERY_S, out for as long. It commits nothing."""

    def __init__(self, options: Mapping[str, Any], topic: str) -> None:
        self.owned = Owned()
        self.joins = 0
        self._options, self._topic = options, topic
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neighbour", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(EVERY_S):
            consumer = Consumer({**self._options})
            consumer.subscribe([self._topic], on_assign=self._take, on_revoke=self._give, on_lost=self._give)
            until_s = time.monotonic() + EVERY_S
            while time.monotonic() < until_s and not self._end.is_set():
                consumer.consume(500, 0.1)
            consumer.close()
            self.joins += 1

    def _take(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        self.owned.take([each.partition for each in partitions], time.time())

    def _give(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        self.owned.give([each.partition for each in partitions], time.time())


def run(kafka: Kafka, folder: Path, protocol: str, seconds: float, rate_per_s: float = RATE_PER_S) -> MemberRun:
    """Let the neighbour come and go for so long, under load; then compare."""
    own: dict[str, Any] = {"session.timeout.ms": int(SESSION_S * 1000)} if protocol == "classic" else {}
    topic = f"members-{time.time_ns()}"
    more = {"group_protocol": protocol, "librdkafka": own}
    options = {
        **own,
        "bootstrap.servers": kafka.bootstrap_servers,
        "group.id": topic,
        "group.protocol": protocol,
        "enable.auto.commit": False,
        "log_level": 0,
    }
    if protocol == "classic":
        options |= {"partition.assignment.strategy": "cooperative-sticky", "heartbeat.interval.ms": 1_000}
    with Receiver() as receiver:
        ground = prepare(folder, kafka, topic, receiver, rate_per_s, more)
        daemon = ground.daemon
        with Traffic(kafka.bootstrap_servers, topic, PARTITIONS, rate_per_s, planted(CYCLE_S)):
            life = daemon.start()
            daemon.wait(life, "partitions assigned")
            with Neighbour(options, topic) as neighbour:
                time.sleep(seconds)
            ended_s = time.time()
            time.sleep(SESSION_S + 2.0)
            revoke_p99_s = daemon.metric("driftd_revoke_duration_seconds", quantile="0.99")
            rebalances = sum(daemon.metric(TELLING, kind=kind) for kind in ("assigned", "revoked", "lost"))
        # Its last partitions come back, and are read from where the daemon had stopped.
        finish = ground.finish(life)
        unowned_s = longest_gap_s(_of_daemon(daemon.lines()), neighbour.owned, ended_s)
        daemon.close()
    return MemberRun(finish, neighbour.joins, int(rebalances), unowned_s, revoke_p99_s)


def _of_daemon(lines: Sequence[Mapping[str, Any]]) -> Owned:
    owned = Owned()
    for line in lines:
        if line["event"] == "partitions assigned":
            owned.set([int(name.rpartition("/")[2]) for name in line["partitions"]], wall_s(line))
    return owned


def longest_gap_s(daemon: Owned, other: Owned, ended_s: float) -> float:
    """Give the longest time in which a partition belonged to neither, from its first owner on."""
    longest_s = 0.0
    for each in range(PARTITIONS):
        spans = sorted([*daemon.spans[each], *other.spans[each]])
        spans += [(owned.since_s[each], ended_s) for owned in (daemon, other) if each in owned.since_s]
        until_s = min(spans)[1] if spans else ended_s
        for since_s, to_s in sorted(spans):
            longest_s = max(longest_s, since_s - until_s)
            until_s = max(until_s, to_s)
        longest_s = max(longest_s, ended_s - until_s)
    return longest_s
