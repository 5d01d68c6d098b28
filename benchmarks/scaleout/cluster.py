"""Folds and judges on one broker, and the end, where all that the judges counted is compared with an offline pass."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from benchmarks.faults import truth
from benchmarks.faults.ground import SESSION_S, told_to
from benchmarks.faults.process import Daemon, Life
from benchmarks.faults.traffic import MODELS, write_references
from benchmarks.scaleout.joined import OUTCOMES, write_joined_references
from monitor import build
from monitor.config import Settings, load_settings
from monitor.domain import TopicPartition
from monitor.kept import State
from monitor.relay import topics
from monitor.topic_check import wanted_topics
from tests.support.kafka import Kafka
from tests.support.receiver import Receiver

PARTITIONS: Final = 6
COURTS: Final = 4
CAUGHT_UP_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Load:
    """Events each second, whether outcomes follow them, and whether these have a topic of their own."""

    rate_per_s: float = 600.0
    has_outcomes: bool = False
    are_apart: bool = False


@dataclass(slots=True)
class Member:
    """A fold or a judge, and its life in hand."""

    daemon: Daemon
    life: Life
    ends_s: list[float] = field(default_factory=list)
    """When it was killed, stopped or ended; wall clock."""
    resumed_s: list[float] = field(default_factory=list)
    """When it went on after it was stopped."""

    def kill(self) -> None:
        """End it as a crash would."""
        self.ends_s.append(time.time())
        self.life.kill()

    def again(self) -> None:
        """Kill it, and start it anew."""
        self.kill()
        self.life = self.daemon.start()


@dataclass(frozen=True, slots=True)
class Finish:
    """What came out. verdicts: of deltas. ends: of the topic of events. right: the offline pass over it.

    outcomes: see truth.Pass, of all courts.
    """

    counts: truth.Difference
    alerts: truth.Alerts
    verdicts: Mapping[str, int]
    ends: Mapping[TopicPartition, int]
    right: truth.Pass
    outcomes: Counter[tuple[object, ...]]


@dataclass(slots=True)
class Cluster:
    """Replicas by role, also those that have left. Made by `start`; `finish` ends it."""

    kafka: Kafka
    topics: tuple[str, ...]
    receiver: Receiver
    folder: Path
    protocol: str
    joins: bool = False
    members: dict[str, list[Member]] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """Where inferences are; its name begins those of the others."""
        return self.topics[0]

    @classmethod
    def start(
        cls,
        kafka: Kafka,
        folder: Path,
        receiver: Receiver,
        load: Load,
        protocol: str,
        replicas: Mapping[str, int] = MappingProxyType({"fold": 2, "judge": 2}),
    ) -> Cluster:
        """Make topics and references, and start the replicas."""
        topic = f"scaled-{time.time_ns()}"
        topics_of_events = (topic, f"{topic}-told") if load.are_apart else (topic,)
        for each in topics_of_events:
            kafka.create_topic(each, PARTITIONS)
        write = write_joined_references if load.has_outcomes else write_references
        write(folder / "references", load.rate_per_s)
        cluster = cls(kafka, topics_of_events, receiver, folder, protocol, joins=load.has_outcomes)
        settings = Settings.model_validate(cluster.settings(folder))
        topics.create(build.client_options(settings), wanted_topics(settings))
        for role, count in replicas.items():
            for _ in range(count):
                cluster.join(role)
        return cluster

    def join(self, role: str) -> Member:
        """Start one more replica."""
        members = self.members.setdefault(role, [])
        own = self.folder / f"{role}-{len(members)}"
        daemon = Daemon(own, self.settings(own), role)
        members.append(Member(daemon, daemon.start()))
        return members[-1]

    def settings(self, own: Path) -> dict[str, Any]:
        """Give the configuration of the replica of a folder."""
        session = {"session.timeout.ms": int(SESSION_S * 1_000)} if self.protocol == "classic" else {}
        return {
            "kafka": {
                "bootstrap_servers": [self.kafka.bootstrap_servers],
                "topics": list(self.topics),
                "group_id": self.topic,
                "group_protocol": self.protocol,
                "start": "earliest",
                "commit_s": 0.5,
                "librdkafka": session,
            },
            "scaleout": {
                "deltas_topic": f"{self.topic}-deltas",
                "layouts_topic": f"{self.topic}-layouts",
                "state_topic": f"{self.topic}-state",
                "courts": COURTS,
                "replicas": 1,
            },
            "outcomes": dict(OUTCOMES) if self.joins else {},
            "reference": {"directory": str(self.folder / "references")},
            "state": {"directory": str(own / "state")},
            "alerts": {"windows": ["10s", "1m"], "keep_firing_for_s": 2},
            "receivers": {
                "hook": {"type": "webhook", "url": f"{self.receiver.url}/hook", "http": {"allow_internal": True}}
            },
        }

    def every(self) -> Iterator[Member]:
        """Give all replicas."""
        for members in self.members.values():
            yield from members

    def hurt(self, rng: random.Random) -> str:
        """Kill a replica, or stop a fold beyond its session and let it go on; give what was done."""
        role = rng.choice(["fold", "fold", "judge"])
        member = rng.choice(self.members[role])
        if role == "fold" and rng.random() < 0.3:
            member.life.send(signal.SIGSTOP)
            time.sleep(SESSION_S + 2.0)
            member.life.send(signal.SIGCONT)
            return "fold stopped"
        member.again()
        return f"{role} killed"

    def finish(self, config_of: Member) -> Finish:
        """Wait until all is judged, stop all, and compare."""
        ends: dict[TopicPartition, int] = {}
        for topic in self.topics:
            ends |= truth.ends_of(self.kafka.bootstrap_servers, topic, PARTITIONS)
        deadline_s = time.monotonic() + CAUGHT_UP_S
        while missing := self._missing(ends):
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"not all was judged: {missing}\n" + self.tails())
            time.sleep(0.5)
        time.sleep(3.0)
        for member in self.every():
            if member.life.is_running:
                member.daemon.stop(member.life)
            member.daemon.close()
        courts = self._courts()
        found = [truth.stored(sections) for sections in courts.values()]
        bins = {key: counts for each in found for key, counts in each.bins.items()}
        to_s = min(each.to_s for each in found if each.bins)
        right = truth.offline(load_settings(config_of.daemon.config, {}), self.kafka.bootstrap_servers, ends)
        mine = truth.Pass(bins, right.sums, to_s, sum(each.changed for each in found))
        told, repeated = told_to(self.receiver, right.to_s)
        verdicts: Counter[str] = Counter()
        for sections in courts.values():
            verdicts.update({name: int(count) for name, count in sections["deltas"]["verdicts"]})
        return Finish(
            truth.compare(mine, right, sum(ends.values())),
            truth.compare_alerts(told, repeated, mine, right, MODELS),
            verdicts,
            ends,
            right,
            sum((each.outcomes for each in found), Counter()),
        )

    def _courts(self) -> dict[int, dict[str, State]]:
        """Give the sections of each court, of the judge that is furthest with it."""
        out: dict[int, dict[str, State]] = {}
        for member in self.members["judge"]:
            sections = member.daemon.sections()
            own: dict[int, dict[str, State]] = {}
            for name, state in sections.items():
                kind, _, rest = name.partition("/")
                if kind == "court":
                    number, _, inner = rest.partition("/")
                    own.setdefault(int(number), {})[inner] = state
            for court, held in own.items():
                if court not in out or _read(held) > _read(out[court]):
                    out[court] = held
        return out

    def tails(self) -> str:
        """Give the end of what each replica wrote."""
        return "\n".join(f"{m.daemon.role}: {m.daemon.tail(m.life)[-1_500:]}" for m in self.every())

    def _missing(self, ends: Mapping[TopicPartition, int]) -> str:
        """Say what some court has not taken yet, "" if each has all."""
        courts = self._courts()
        if len(courts) < COURTS:
            return f"courts {sorted(courts)} of {COURTS}"
        for court, held in courts.items():
            done = {number: at for _, number, _, at in held["deltas"]["receipts"]["positions"]}
            wanted: Counter[int] = Counter()
            for source, end in ends.items():
                wanted[source.partition] += end  # of topics that are read as one, positions are sums
            if behind := {each: (done.get(each), end) for each, end in wanted.items() if done.get(each, 0) < end}:
                return f"court {court}: {behind}"
        return ""


def _read(sections: Mapping[str, State]) -> int:
    return sum(at for _, _, _, at in sections["deltas"]["receipts"]["positions"])
