"""Kill -9 at random instants under load; also stopped beyond the session's end, and the broker restarted."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.faults.ground import SESSION_S, Finish, Ground, prepare
from benchmarks.faults.process import Life
from benchmarks.faults.traffic import Traffic
from tests.support.kafka import Kafka
from tests.support.receiver import Receiver

RATE_PER_S: Final = 2_000.0
UP_S: Final = (0.3, 3.0)
"""How long it reads before it is killed."""
START_SHARE: Final = 0.2
"""Of the kills come while it starts: imports, restores, joins."""
START_S: Final = 2.5
CYCLE_S: Final = (20.0, 20.0, 50.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """How often what is done. stops, restarts: among the kills, evenly. is_short: one short incident, for tests."""

    kills: int
    seed: int = 0
    stops: int = 1
    restarts: int = 0
    rate_per_s: float = RATE_PER_S
    is_short: bool = False

    @property
    def cycle_s(self) -> tuple[float, float, float]:
        """Healthy, something wrong, healthy again; then anew."""
        return (8.0, 6.0, 600.0) if self.is_short else CYCLE_S


@dataclass(slots=True)
class KillRun:
    """What came out. when: kills by what the daemon was doing. back_s: from a start to partitions assigned."""

    finish: Finish
    when: Counter[str]
    seconds: float
    messages: int
    back_s: float


def planted(cycle_s: tuple[float, float, float]) -> Callable[[float], bool]:
    """Give what tells whether something is wrong at a time of a run."""
    return lambda ran_s: cycle_s[0] <= ran_s % sum(cycle_s) < cycle_s[0] + cycle_s[1]


def run(kafka: Kafka, folder: Path, plan: Plan, protocol: str = "classic") -> KillRun:
    """Kill the daemon again and again under load; then compare."""
    rng, began_s = random.Random(plan.seed), time.monotonic()
    own = {"session.timeout.ms": int(SESSION_S * 1000)} if protocol == "classic" else {}
    topic = f"kills-{time.time_ns()}"
    with Receiver() as receiver:
        ground = prepare(
            folder, kafka, topic, receiver, plan.rate_per_s, {"group_protocol": protocol, "librdkafka": own}
        )
        traffic = Traffic(kafka.bootstrap_servers, topic, 6, plan.rate_per_s, planted(plan.cycle_s), plan.seed)
        with traffic:
            when, back_s = _kill(ground, plan, rng)
            life = ground.daemon.start()
            ground.daemon.wait(life, "partitions assigned")
            ran_s, over_s = time.monotonic() - began_s, sum(plan.cycle_s[:2])
            # To the end of the incident in hand, and on until what fires has resolved.
            time.sleep(max(2.0, over_s + (4.0 if plan.is_short else 15.0) - ran_s % sum(plan.cycle_s)))
        finish = ground.finish(life)
        ground.daemon.close()
    return KillRun(finish, when, time.monotonic() - began_s, sum(traffic.sent.values()), back_s)


def _kill(ground: Ground, plan: Plan, rng: random.Random) -> tuple[Counter[str], float]:
    when: Counter[str] = Counter()
    stops = _spread(plan.stops, plan.kills)
    restarts = _spread(plan.restarts, plan.kills, shift=0.5)
    back_s = 0.0
    for number in range(plan.kills):
        life = ground.daemon.start()
        if rng.random() < START_SHARE and number not in stops | restarts:
            time.sleep(rng.uniform(0.0, START_S))
            when[_doing(ground, life)] += 1
            life.kill()
            continue
        ground.daemon.wait(life, "partitions assigned")
        back_s = max(back_s, time.monotonic() - life.began_s)
        time.sleep(rng.uniform(*UP_S))
        if number in stops:
            life.send(signal.SIGSTOP)
            time.sleep(SESSION_S + 2.0)
            life.send(signal.SIGCONT)
            when["(stopped beyond the session)"] += 1
            time.sleep(rng.uniform(*UP_S))
        if number in restarts:
            ground.kafka.restart(crash=bool(number % 2))
            when["(broker restarted)"] += 1
            time.sleep(rng.uniform(*UP_S))
        if not life.is_running:
            raise RuntimeError(f"driftd ended by itself:\n{ground.daemon.tail(life)}")
        when["reading"] += 1
        life.kill()
    return when, back_s


def _spread(count: int, over: int, shift: float = 0.0) -> set[int]:
    return {int((at + 0.5 + 0.5 * shift) * over / count) % over for at in range(count)}


def _doing(ground: Ground, life: Life) -> str:
    said = {line["event"] for line in ground.daemon.lines(life.log_from)}
    if not life.is_running:
        raise RuntimeError(f"driftd ended by itself:\n{ground.daemon.tail(life)}")
    steps = (("partitions assigned", "reading"), ("started", "joining"), ("state restored", "opening"))
    return next((name for event, name in steps if event in said), "starting")
