"""Does it grow? The daemon under steady load on a real broker for hours; memory, files and threads each minute."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.faults.ground import PARTITIONS, prepare
from benchmarks.faults.traffic import Traffic
from benchmarks.report import rss_mb, show
from monitor.logs import set_up
from tests.support.kafka import start_kafka
from tests.support.receiver import Receiver

RATE_PER_S: Final = 1_000.0
WARM_UP_S: Final = 1_200.0
"""It holds the first incident, whose alerts are the first to pass through all that is there for alerts."""
WARM_UP_SHARE: Final = 1 / 3
"""Of a shorter run."""
INCIDENT_S: Final = (300.0, 60.0, 1_800.0)
"""When the first begins, how long it is, and how long after it the next begins."""
SAMPLES_MIN: Final = 60
SLOPE_MAX: Final = 1.0
MIB: Final = 1e6 / 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """One look from outside."""

    at_s: float
    rss_mib: float
    fds: int
    threads: int


def sample(pid: int, at_s: float) -> Sample:
    """Look at a process."""
    folder = Path("/proc") / str(pid)
    status = (folder / "status").read_text(encoding="ascii")
    threads = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads"))
    return Sample(at_s, rss_mb(status) * MIB, sum(1 for _ in (folder / "fd").iterdir()), threads)


def is_wrong(ran_s: float) -> bool:
    """Tell whether an incident is on."""
    first_s, length_s, every_s = INCIDENT_S
    return first_s <= ran_s % every_s < first_s + length_s


def run(hours: float, rate_per_s: float) -> list[Sample]:
    """Run it for so long; give what was seen."""
    kafka, _ = start_kafka()
    samples: list[Sample] = []
    seconds = 3_600.0 * hours
    every_s = min(60.0, seconds / SAMPLES_MIN)
    with tempfile.TemporaryDirectory(prefix="driftd-soak-") as folder, Receiver() as receiver:
        try:
            more = {"commit_s": 5.0}
            ground = prepare(Path(folder), kafka, "soak", receiver, rate_per_s, more)
            with Traffic(kafka.bootstrap_servers, "soak", PARTITIONS, rate_per_s, is_wrong):
                life = ground.daemon.start()
                ground.daemon.wait(life, "partitions assigned")
                began_s = time.monotonic()
                while (ran_s := time.monotonic() - began_s) < seconds:
                    if not life.is_running:
                        raise RuntimeError(f"driftd ended by itself:\n{ground.daemon.tail(life)}")
                    ground.daemon.get("/metrics")
                    samples.append(sample(life.child.pid, ran_s))
                    print(samples[-1], file=sys.stderr, flush=True)
                    time.sleep(max(0.0, len(samples) * every_s - (time.monotonic() - began_s)))
            finish = ground.finish(life)
            print(finish, file=sys.stderr, flush=True)
            ground.daemon.close()
        finally:
            kafka.close()
    return samples


def main() -> None:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0, help="how long")
    parser.add_argument("--rate", type=float, default=RATE_PER_S, help="events a second")
    asked = parser.parse_args()
    set_up("error", "json")
    samples = run(asked.hours, asked.rate)
    warm_s = min(WARM_UP_S, 3_600.0 * asked.hours * WARM_UP_SHARE)
    steady = [each for each in samples if each.at_s >= warm_s]
    first, last, most = steady[0].rss_mib, steady[-1].rss_mib, max(each.rss_mib for each in steady)
    slope = float(np.polyfit([each.at_s / 3_600.0 for each in steady], [each.rss_mib for each in steady], 1)[0])
    fds, threads = [each.fds for each in steady], [each.threads for each in steady]
    # One more or less at a look is a request under way, or a connection that is kept: what grows is no longer flat.
    fds_flat, threads_flat = (int(is_flat(found)) for found in (fds, threads))
    show(
        "Soak",
        {
            "run": f"{asked.hours:g} h at {asked.rate:,.0f} events/s, {len(samples)} looks, {warm_s:.0f} s of warm-up",
            "rss": f"{first:.1f} to {last:.1f} MiB, most {most:.1f}",
            "fds": f"{min(fds)} to {max(fds)}",
            "threads": f"{min(threads)} to {max(threads)}",
        },
        {
            "rss_slope_mib_per_h": slope,
            "fds_flat": fds_flat,
            "threads_flat": threads_flat,
            "rss_mib": last,
            "hours": asked.hours,
        },
    )
    raise SystemExit(0 if slope < SLOPE_MAX and fds_flat and threads_flat else 1)


def is_flat(found: list[int]) -> bool:
    """Tell whether the last third is, in the middle, no more than the first third was."""
    third = max(1, len(found) // 3)
    return float(np.median(found[-third:])) <= float(np.median(found[:third])) + 1.0


if __name__ == "__main__":
    main()
