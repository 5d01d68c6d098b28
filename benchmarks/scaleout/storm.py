"""Replicas killed, stopped, joining and leaving every few seconds, and brokers restarted, under load; then compared.

The very same events are also read by one `driftd run`, and by an offline pass: all three must tell the same alerts.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaPartition

from benchmarks.faults import truth
from benchmarks.faults.ground import SESSION_S, told_to
from benchmarks.faults.process import Daemon, wall_s
from benchmarks.faults.traffic import MODELS, Traffic
from benchmarks.scaleout.cluster import COURTS, PARTITIONS, Cluster, Finish, Load, Member
from benchmarks.scaleout.ownership import Owned
from benchmarks.scaleout.run import CYCLE_S, is_wrong
from tests.support.kafka import Kafka
from tests.support.receiver import Receiver

REPLICAS: Final = {"fold": 3, "judge": 2}
MORE: Final = {"fold": 4, "judge": 3}
"""With those that join."""
EVERY_S: Final = 5.0
STOPPED_S: Final = SESSION_S + 2.0
DEAD_S: Final = (0.0, 12.0)
"""How long one that was killed stays away: at once, or long enough for others to take over."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done. restarts: of the broker, evenly. stops, moves: share of stops, and of joins and leaves."""

    kills: int
    seed: int = 0
    protocol: str = "classic"
    restarts: int = 0
    stops: float = 0.08
    moves: float = 0.16
    every_s: float = EVERY_S
    rate_per_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out. single: the notices of one `driftd run` over the same events, against the offline pass."""

    done: Counter[str]
    finish: Finish
    single: truth.Alerts
    failover_s: dict[str, float]
    unowned_max_s: dict[str, float]
    delta_bytes_per_s: float
    seconds: float

    @property
    def problems(self) -> list[str]:
        """Give what is wrong, for people."""
        found = [*self.finish.counts.where]
        found += [f"torn: {self.finish.verdicts['torn']}"] if self.finish.verdicts.get("torn") else []
        for who, alerts in (("replicas", self.finish.alerts), ("one process", self.single)):
            found += [f"{who}: alert never told: {each}" for each in alerts.missing[:10]]
            found += [f"{who}: alert that is not true: {each}" for each in alerts.extra[:10]]
        return found

    @property
    def same_alerts(self) -> bool:
        """Tell whether one process, these replicas and the offline pass told the same."""
        told = (self.finish.alerts, self.single)
        return self.finish.alerts.true > 0 and not any(each.missing or each.extra for each in told)


@dataclass(slots=True)
class Storm:
    """What is under way. due: what is to be done to whom, and when (monotonic)."""

    cluster: Cluster
    plan: Plan
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    due: list[tuple[float, str, Member]] = field(default_factory=list)
    away: dict[str, list[Member]] = field(default_factory=lambda: {"fold": [], "judge": []})
    gone: list[Member] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)

    def running(self, role: str) -> list[Member]:
        """Give the replicas that run and are not stopped just now."""
        return [m for m in self.cluster.members[role] if m not in self.away[role] and m not in self.gone]

    def present(self, role: str) -> list[Member]:
        """Give those of them that are members of their group by now."""
        return [m for m in self.running(role) if m.daemon.has_said(m.life, "partitions assigned")]

    def act(self) -> None:
        """Do one thing, by chance."""
        self.check()
        kind = self.rng.random()
        roles = [role for role in REPLICAS if len(self.present(role)) > 1]
        if not roles:  # the last one is left alone, or nobody would be there to take over
            for member in self.gone[:1]:
                self._join(member.daemon.role)
            return
        role = self.rng.choice(roles)
        there = self.present(role)
        if kind < self.plan.moves:
            is_full = len(self.running(role)) >= MORE[role]
            if is_full or self.rng.random() < 0.5:
                self._leave(role, self.rng.choice(there))
            else:
                self._join(role)
        elif kind < self.plan.moves + self.plan.stops:
            self._stop(role, self.rng.choice(there))
        else:
            self._kill(role, self.rng.choice(there))

    def tend(self) -> None:
        """Do what is due: start what was killed, let what was stopped go on."""
        now_s = time.monotonic()
        for each in [each for each in self.due if each[0] <= now_s]:
            self.due.remove(each)
            _, what, member = each
            self.away[member.daemon.role].remove(member)
            if what == "start":
                member.life = member.daemon.start()
            else:
                member.resumed_s.append(time.time())
                member.life.send(signal.SIGCONT)

    def settle(self) -> None:
        """Bring back all that is away."""
        self.due = [(0.0, what, member) for _, what, member in self.due]
        self.tend()

    def check(self) -> None:
        """Raise RuntimeError where a replica has ended by itself."""
        for role in REPLICAS:
            for member in self.running(role):
                if not member.life.is_running:
                    raise RuntimeError(f"{role} ended by itself:\n{member.daemon.tail(member.life)}")

    def _kill(self, role: str, member: Member) -> None:
        member.kill()
        self._away(role, member, "start", self.rng.choice(DEAD_S))
        self.done[f"{role} killed"] += 1

    def _stop(self, role: str, member: Member) -> None:
        member.ends_s.append(time.time())
        member.life.send(signal.SIGSTOP)
        self._away(role, member, "go on", STOPPED_S)
        self.done[f"{role} stopped"] += 1

    def _away(self, role: str, member: Member, what: str, for_s: float) -> None:
        self.away[role].append(member)
        self.due.append((time.monotonic() + for_s, what, member))

    def _join(self, role: str) -> None:
        left = [member for member in self.gone if member.daemon.role == role]
        if left:  # it comes back to its folder, as the replica of a stateful set does
            self.gone.remove(left[0])
            left[0].life = left[0].daemon.start()
        else:
            self.cluster.join(role)
        self.done[f"{role} joined"] += 1

    def _leave(self, role: str, member: Member) -> None:
        member.daemon.stop(member.life)
        member.ends_s.append(time.time())
        self.gone.append(member)
        self.done[f"{role} left"] += 1


def run(kafka: Kafka, folder: Path, plan: Plan) -> Outcome:
    """Let the storm pass over a cluster under load, and compare. Raises RuntimeError where a replica ends by itself."""
    rng, began_s = random.Random(plan.seed), time.monotonic()
    with Receiver() as receiver:
        cluster = Cluster.start(kafka, folder, receiver, Load(plan.rate_per_s), plan.protocol, REPLICAS)
        traffic = Traffic(kafka.bootstrap_servers, cluster.topic, PARTITIONS, plan.rate_per_s, is_wrong, plan.seed)
        traffic.is_keyed = True  # each fold knows the partitions that it reads
        storm = Storm(cluster, plan, rng)
        try:
            for member in cluster.every():
                member.daemon.wait(member.life, "partitions assigned")
            first_s = time.time()
            with traffic:
                traffic_s = time.monotonic()
                _blow(kafka, storm)
                storm.settle()
                over_s = time.time()
                ran_s = time.monotonic() - traffic_s
                # To the end of the incident in hand, and on until what fires has resolved.
                time.sleep(max(2.0, sum(CYCLE_S[:2]) + 15.0 - ran_s % sum(CYCLE_S)))
                took_s = time.time() - first_s
            finish = cluster.finish(cluster.members["judge"][0])
        finally:
            for member in cluster.every():
                member.life.send(signal.SIGCONT) if member.life.is_running else None
                member.life.kill()
        owned = {role: _owned(cluster.members[role], storm.outages, over_s) for role in REPLICAS}
        single = _single(cluster, finish)
    sent = _bytes(kafka.bootstrap_servers, f"{cluster.topic}-deltas")
    return Outcome(
        storm.done,
        finish,
        single,
        {role: each.failover_max_s(over_s) for role, each in owned.items()},
        {role: each.unowned_max_s(over_s) for role, each in owned.items()},
        sent / took_s,
        time.monotonic() - began_s,
    )


def _blow(kafka: Kafka, storm: Storm) -> None:
    """Do something every few seconds, until so many were killed."""
    plan = storm.plan
    restarts = [(at + 0.5) * plan.kills / plan.restarts for at in range(plan.restarts)]
    next_s = time.monotonic() + plan.every_s
    while (kills := sum(count for what, count in storm.done.items() if what.endswith("killed"))) < plan.kills:
        time.sleep(0.05)
        storm.tend()
        if time.monotonic() < next_s:
            continue
        next_s = time.monotonic() + plan.every_s * storm.rng.uniform(0.6, 1.4)
        if restarts and kills >= restarts[0]:
            restarts.pop(0)
            began_s = time.time()
            kafka.restart(crash=len(restarts) % 2 == 0)
            storm.outages.append((began_s, time.time()))
            storm.done["broker restarted"] += 1
        else:
            storm.act()


def _owned(members: list[Member], outages: list[tuple[float, float]], over_s: float) -> Owned:
    owned = Owned(outages)
    for member in members:
        lines: list[dict[str, Any]] = [{**line, "wall_s": wall_s(line)} for line in member.daemon.lines()]
        owned.add(lines, member.ends_s, over_s, member.resumed_s)
        owned.hurt_s += member.ends_s
    return owned


def _single(cluster: Cluster, finish: Finish) -> truth.Alerts:
    """Let one `driftd run` read the same events, and compare what it tells with the offline pass."""
    folder = cluster.folder / "single"
    with Receiver() as receiver:
        settings = cluster.settings(folder)
        settings["kafka"]["group_id"] += "-single"
        settings["receivers"]["hook"]["url"] = f"{receiver.url}/hook"
        daemon = Daemon(folder, settings)
        life = daemon.start()
        try:
            daemon.wait_read(finish.ends, life, 300.0)
            daemon.stop(life)
            found = truth.stored(daemon.stored().sections)
        finally:
            life.kill()
            daemon.close()
        return truth.compare_alerts(*told_to(receiver, finish.right.to_s), found, finish.right, MODELS)


def _bytes(servers: str, topic: str) -> int:
    """Give the bytes of all messages of the topic of deltas."""
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "driftd-bench-size", "enable.auto.commit": False, "log_level": 0}
    )
    return sum(sum(map(len, _values(consumer, KafkaPartition(topic, number, 0)))) for number in range(COURTS))


def _values(consumer: Consumer, place: KafkaPartition) -> Iterator[bytes]:
    _, end = consumer.get_watermark_offsets(place, 20)
    consumer.assign([place])
    read, deadline_s = 0, time.monotonic() + 60.0
    while read < end and time.monotonic() < deadline_s:
        for message in consumer.consume(500, 0.2):
            if message.error() is None:
                read = (message.offset() or 0) + 1
                yield message.value() or b""
