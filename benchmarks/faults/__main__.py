"""Run all faults, or some of them, and hold what comes out to the bars; exits 1 where one is broken."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.faults import kills, members, outage, recovery
from benchmarks.faults.ground import Finish
from benchmarks.report import show
from monitor.logs import set_up
from tests.support.kafka import Kafka, start_kafka

PARTS: Final = ("kills", "members", "outage", "recovery")
PROTOCOLS: Final = ("classic", "consumer")
KILLS, QUICK_KILLS = 1_000, 20
RUN_KILLS: Final = 100
"""Kills in one run: longer ones would take the offline pass long, and ladders hold a day."""
MINUTES, QUICK_MINUTES = 30.0, 0.5
BARS: Final[Mapping[str, float]] = {
    "lost": 0,
    "doubled": 0,
    "alerts_wrong": 0,
    "unowned_max_s": 30.0,
    "revoke_p99_s": 2.0,
    "recovery_s": 5.0,
    "outage_alerts_lost": 0,
    "outage_duplicate_pages": 1,
}
"""The greatest that is good enough."""


@dataclass(slots=True)
class Result:
    """Rows for people, figures for programs, and what went wrong in words."""

    rows: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float | int | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        self.figures[name] = self.figures.get(name, 0) + value  # type: ignore[operator]

    def most(self, name: str, value: float) -> None:
        self.figures[name] = max(self.figures.get(name, 0.0) or 0.0, value)

    def take(self, name: str, finish: Finish) -> None:
        """Add what a run on a broker came to."""
        self.add("lost", finish.counts.lost)
        self.add("doubled", finish.counts.doubled)
        self.add("alerts_wrong", len(finish.alerts.missing) + len(finish.alerts.extra))
        self.problems += [f"{name}: {text}" for text in finish.problems]

    def broken(self) -> list[str]:
        """Give the bars that are broken."""
        told = [(name, self.figures.get(name)) for name in BARS]
        return [f"{name} is {value:g}, at most {BARS[name]:g}" for name, value in told if (value or 0) > BARS[name]]


def run_kills(kafka: Kafka, folder: Path, asked: argparse.Namespace, result: Result) -> None:
    left, number = asked.kills, 0
    while left:
        count, protocol = min(left, RUN_KILLS), asked.protocol or PROTOCOLS[number % 2]
        restarts = 0 if asked.quick or not kafka.can_restart else max(1, count // 50)
        plan = kills.Plan(count, asked.seed + number, stops=max(1, count // 50), restarts=restarts)
        found = kills.run(kafka, folder / f"kills-{number}", plan, protocol)
        result.add("kills", count)
        result.take(f"kills, seed {plan.seed}", found.finish)
        counts, alerts = found.finish.counts, found.finish.alerts
        when = ", ".join(f"{n} {what}" for what, n in found.when.items())
        text = result.rows[f"kills, seed {plan.seed}"] = (
            f"{count} ({protocol}: {when}) in {found.seconds:.0f} s; {found.messages:,} messages,"
            f" {counts.counted:,} values: {counts.lost} lost, {counts.doubled} doubled; {alerts.true} notices:"
            f" {len(alerts.missing)} never told, {alerts.superseded} superseded, {len(alerts.extra)} not true,"
            f" {alerts.repeated} told again"
        )
        print(text, file=sys.stderr, flush=True)
        left, number = left - count, number + 1


def run_members(kafka: Kafka, folder: Path, asked: argparse.Namespace, result: Result) -> None:
    for protocol in PROTOCOLS:
        found = members.run(kafka, folder / f"members-{protocol}", protocol, 60.0 * asked.minutes)
        result.take(f"members, {protocol}", found.finish)
        result.add("rebalances", found.rebalances)
        result.most("unowned_max_s", found.unowned_max_s)
        result.most("revoke_p99_s", found.revoke_p99_s)
        result.rows[f"members, {protocol}"] = (
            f"{found.joins} came and left, {found.rebalances} rebalances; owned by nobody for at most"
            f" {found.unowned_max_s:.2f} s; revoked in {1e3 * found.revoke_p99_s:.2f} ms (p99);"
            f" {found.finish.counts.counted:,} values: {found.finish.counts.lost} lost,"
            f" {found.finish.counts.doubled} doubled"
        )


def run_outage(_: Kafka, __: Path, ___: argparse.Namespace, result: Result) -> None:
    found = outage.run()
    result.figures |= {"outage_alerts_lost": found.lost, "outage_duplicate_pages": found.duplicate_pages}
    result.problems += found.worst if found.lost or found.duplicate_pages > 1 else []
    result.rows["outage"] = f"{found.incidents} alerts, an hour away: {found.lost} lost; paged twice: {found.worst}"


def run_recovery(kafka: Kafka, folder: Path, asked: argparse.Namespace, result: Result) -> None:
    for models in (100,) if asked.quick else (100, 1_000):
        found = recovery.run(kafka, folder / f"recovery-{models}", models)
        result.most("recovery_s", found.recovered_s)
        steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in found.steps_s.items())
        result.rows[f"recovery, {models} models"] = (
            f"{found.recovered_s:.2f} s ({steps}); state {found.state_mb:.0f} MB, read in {found.load_s:.2f} s"
        )


RUNS: Final[Mapping[str, Callable[[Kafka, Path, argparse.Namespace, Result], None]]] = {
    "kills": run_kills,
    "members": run_members,
    "outage": run_outage,
    "recovery": run_recovery,
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_KILLS} kills, half a minute of rebalances each")
    parser.add_argument("--kills", type=int, default=None, help=f"how many kills ({KILLS:,})")
    parser.add_argument("--minutes", type=float, default=None, help=f"of rebalances, for each protocol ({MINUTES:g})")
    parser.add_argument("--seed", type=int, default=1, help="of when it is killed, and of the traffic")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="of the groups in which is killed; by turns otherwise")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be given again")
    asked = parser.parse_args()
    asked.kills = (QUICK_KILLS if asked.quick else KILLS) if asked.kills is None else asked.kills
    asked.minutes = (QUICK_MINUTES if asked.quick else MINUTES) if asked.minutes is None else asked.minutes
    return asked


def main() -> None:
    """Run, print, judge."""
    asked, result = options(), Result()
    set_up("error", "json")
    kafka, _ = start_kafka()
    with tempfile.TemporaryDirectory(prefix="driftd-faults-") as folder:
        try:
            for part in asked.only or PARTS:
                RUNS[part](kafka, Path(folder), asked, result)
        finally:
            kafka.close()
    result.rows = {"broker": f"{kafka.kind} {kafka.version or ''}", **result.rows}
    broken = result.broken()
    result.rows |= {f"problem {number}": text for number, text in enumerate([*result.problems, *broken], start=1)}
    show("Faults", result.rows, result.figures)
    raise SystemExit(1 if broken or result.problems else 0)


if __name__ == "__main__":
    main()
