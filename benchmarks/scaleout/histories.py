"""Does the protocol of folds and judges ever lose or double? Many random histories over a Kafka in memory."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.report import show
from tests.unit.scaleout.histories import Told, failures


def main() -> int:
    """Run it, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first history; the others follow")
    given = parser.parse_args()
    started_s, told, wrong = time.process_time(), Told(), 0
    for seed, fault in failures(range(given.seed, given.seed + given.histories), told=told):
        wrong += 1
        print(f"history {seed}: {fault}", flush=True)
    took_s = time.process_time() - started_s
    rows = {
        "histories": given.histories,
        "that lose, double, tear, or do not end": wrong,
        "events": told.events,
        "folds killed, stopped, missed by the group": f"{told.kills}, {told.stops}, {told.expelled}",
        "judges restarted from a snapshot": told.restarts,
        "requests that came after the end": told.late,
        "deltas, by verdict": ", ".join(f"{verdict} {n}" for verdict, n in sorted(told.verdicts.items())),
        "of the taken, in part": told.overlaps,
        "CPU": f"{took_s:.0f} s",
    }
    figures = {
        "histories": given.histories,
        "wrong": wrong,
        "kills": told.kills,
        "stops": told.stops,
        "expelled": told.expelled,
        "events": told.events,
        "stale": told.verdicts["stale"],
        "overlaps": told.overlaps,
        "cpu_s": took_s,
    }
    show("The protocol of folds and judges, by histories", rows, figures)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
