"""One run: so many seconds of load, something done to a replica now and then, and the comparison."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.faults.traffic import Traffic
from benchmarks.scaleout.cluster import PARTITIONS, Cluster, Finish, Load
from benchmarks.scaleout.joined import JoinedTraffic
from tests.support.kafka import Kafka
from tests.support.receiver import Receiver

CYCLE_S: Final = (12.0, 10.0, 23.0)
"""Of the traffic: well, something wrong, well again."""

STEADY: Final = Load()


@dataclass(frozen=True, slots=True)
class ScaledRun:
    """What was done, and what came out."""

    done: Counter[str]
    finish: Finish
    seconds: float


def is_wrong(ran_s: float) -> bool:
    """Tell whether an incident is on."""
    return CYCLE_S[0] <= ran_s % sum(CYCLE_S) < sum(CYCLE_S[:2])


def run(kafka: Kafka, folder: Path, hurts: int, seed: int, load: Load = STEADY, protocol: str = "classic") -> ScaledRun:
    """Hurt replicas again and again under load; then compare."""
    rng, began_s, done = random.Random(seed), time.monotonic(), Counter[str]()
    with Receiver() as receiver:
        cluster = Cluster.start(kafka, folder, receiver, load, protocol)
        make = JoinedTraffic if load.has_outcomes else Traffic
        traffic = make(kafka.bootstrap_servers, cluster.topic, PARTITIONS, load.rate_per_s, is_wrong, seed)
        traffic.is_keyed = True  # each fold knows the partitions that it reads
        if isinstance(traffic, JoinedTraffic) and load.are_apart:
            traffic.outcomes_topic = cluster.topics[1]
        with traffic:
            for member in cluster.every():
                member.daemon.wait(member.life, "partitions assigned")
            for _ in range(hurts):
                time.sleep(rng.uniform(1.0, 5.0))
                done[cluster.hurt(rng)] += 1
            ran_s = time.monotonic() - began_s
            time.sleep(max(2.0, sum(CYCLE_S[:2]) + 15.0 - ran_s % sum(CYCLE_S)))
        finish = cluster.finish(cluster.members["judge"][0])
    return ScaledRun(done, finish, time.monotonic() - began_s)
