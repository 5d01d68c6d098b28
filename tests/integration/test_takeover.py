"""Courts change hands on a real broker while alerts fire: by a stop beyond the session, a kill, and a judge that joins.

Whoever takes a court goes on from the topic of states: all that one process would tell is told, and nothing old anew.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest

from benchmarks.faults.ground import SESSION_S
from benchmarks.faults.traffic import Traffic
from benchmarks.scaleout.cluster import COURTS, PARTITIONS, Cluster, Load, Member
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration

RATE_PER_S: Final = 400.0
WRONG_S: Final = (10.0, 50.0)
"""When the incident begins and ends: courts change hands while its alerts fire."""
WAIT_S: Final = 60.0


def taken(member: Member, log_from: int = 0) -> dict[int, str]:
    """Give the courts that a judge took up since, and from where."""
    lines = member.daemon.lines(log_from)
    return {line["court"]: line["from"] for line in lines if line["event"] == "court taken up"}


def held(member: Member) -> set[int]:
    """Give the courts that a judge has, by what it has said so far."""
    out: set[int] = set()
    for line in member.daemon.lines(member.life.log_from):
        if line["event"] == "court taken up":
            out.add(line["court"])
        elif line["event"] == "court given up":
            out.discard(line["court"])
    return out


def wait_taken(member: Member, courts: Iterable[int], log_from: int = 0) -> dict[int, str]:
    deadline_s = time.monotonic() + WAIT_S
    while not (found := taken(member, log_from)).keys() >= set(courts):
        assert time.monotonic() < deadline_s, f"{found} of {list(courts)}: {member.daemon.tail(member.life)}"
        time.sleep(0.1)
    return found


def kill_all(cluster: Cluster) -> None:
    """End what still runs, where the test ended before its time."""
    for member in cluster.every():
        member.life.kill()


def size(member: Member) -> int:
    return member.daemon.log.stat().st_size


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_courts_change_hands_and_alerts_go_on(kafka_real: Kafka, tmp_path: Path, protocol: str) -> None:
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        cluster = Cluster.start(kafka_real, tmp_path, receiver, Load(RATE_PER_S), protocol)
        stack.callback(kill_all, cluster)
        first, second = cluster.members["judge"]
        for member in cluster.every():
            member.daemon.wait(member.life, "partitions assigned")
        traffic = Traffic(
            kafka_real.bootstrap_servers,
            cluster.topic,
            PARTITIONS,
            RATE_PER_S,
            lambda ran_s: WRONG_S[0] <= ran_s < WRONG_S[1],
            1,
        )
        traffic.is_keyed = True
        began_s = time.monotonic()
        with traffic:
            time.sleep(max(0.0, WRONG_S[0] + 8.0 - (time.monotonic() - began_s)))
            owned = held(first)
            assert owned
            assert set(range(COURTS)) == owned | held(second)

            first.life.send(signal.SIGSTOP)
            mark = size(second)
            after_stop = wait_taken(second, owned, mark)
            first_mark = size(first)
            first.life.send(signal.SIGCONT)
            back = wait_any(first, first_mark)

            second.life.kill()
            after_kill = wait_taken(first, set(range(COURTS)) - set(back), first_mark)
            second.life = second.daemon.start()
            time.sleep(max(SESSION_S, WRONG_S[1] + 15.0 - (time.monotonic() - began_s)))
        found = cluster.finish(first)

    assert {"topic"} == set(after_stop.values())
    assert {"topic"} <= set(after_kill.values()) <= {"topic", "folder"}
    assert [] == list(found.counts.where)
    assert (0, 0) == (found.counts.lost, found.counts.doubled)
    assert found.counts.counted > 1_000
    assert found.alerts.true > 0
    assert ([], []) == (list(found.alerts.missing), list(found.alerts.extra))
    assert found.alerts.repeated <= found.alerts.true, "at most what came just before each change is told once more"
    assert 0 == found.verdicts.get("torn", 0)


def wait_any(member: Member, log_from: int) -> dict[int, str]:
    """Wait until a judge has any court again."""
    deadline_s = time.monotonic() + WAIT_S
    while not (found := taken(member, log_from)):
        assert time.monotonic() < deadline_s, member.daemon.tail(member.life)
        time.sleep(0.1)
    return found
