"""A rolling restart, one more of each, one fewer of each, under healthy load: nothing may fire, nothing be lost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.faults import truth
from benchmarks.faults.traffic import Traffic
from benchmarks.scaleout.cluster import PARTITIONS, Cluster, Load, Member
from tests.support.kafka import Kafka
from tests.support.receiver import Receiver

RATE_PER_S: Final = 600.0
SETTLED_S: Final = 4.0
"""Between two steps, once all are members: longer than the shortest that a look needs."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """What came out. told: notices that fire, of any model and of driftd itself. steps: what was done."""

    counts: truth.Difference
    told: Sequence[str]
    steps: Sequence[str]
    seconds: float


def roll(kafka: Kafka, folder: Path, protocol: str = "classic") -> Rolled:
    """Restart all in turn, then scale up and down. Raises RuntimeError where a replica does not end in good order."""
    began_s, steps = time.monotonic(), list[str]()
    with Receiver() as receiver:
        cluster = Cluster.start(kafka, folder, receiver, Load(RATE_PER_S), protocol)
        traffic = Traffic(kafka.bootstrap_servers, cluster.topic, PARTITIONS, RATE_PER_S, lambda _: False)
        traffic.is_keyed = True
        try:
            _settle(cluster.every())
            with traffic:
                time.sleep(SETTLED_S)
                for member in list(cluster.every()):
                    member.daemon.stop(member.life)
                    member.life = member.daemon.start()
                    _settle([member])
                    steps.append(f"{member.daemon.role} restarted")
                for role in cluster.members:
                    _settle([cluster.join(role)])
                    steps.append(f"{role} joined")
                for role, members in cluster.members.items():
                    members[0].daemon.stop(members[0].life)
                    time.sleep(SETTLED_S)
                    steps.append(f"{role} left")
            ended_s = time.time()
            finish = cluster.finish(cluster.members["judge"][-1])
        finally:
            for member in cluster.every():
                member.life.kill()
        alerts = [alert for request in receiver.requests for alert in request.json()["alerts"]]
        told = [
            each["annotations"]["summary"] for each in alerts if each["status"] == "firing" and _is_live(each, ended_s)
        ]
    return Rolled(finish.counts, told, steps, time.monotonic() - began_s)


def _is_live(alert: Mapping[str, Any], ended_s: float) -> bool:
    """Tell whether an alert began while there was traffic: of what follows silence is told, truly."""
    return datetime.fromisoformat(alert["startsAt"]).timestamp() < ended_s


def _settle(members: Iterable[Member]) -> None:
    for member in members:
        member.daemon.wait(member.life, "partitions assigned")
    time.sleep(SETTLED_S)
