"""Run folds and judges through a storm, and measure what they cost; exits 1 where a bar is broken."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.report import show
from benchmarks.scaleout import costs, rolling, storm
from monitor.logs import set_up
from tests.support.kafka import Kafka, start_kafka

PARTS: Final = ("kills", "rolling", "costs")
PROTOCOLS: Final = ("classic", "consumer")
KILLS, QUICK_KILLS = 300, 6
RUN_KILLS: Final = 50
"""Kills in one run: about five minutes; longer ones would take the passes that they are compared with long."""
RESTART_EVERY: Final = 25
"""Kills for each restart of the broker; by turns in order and by SIGKILL."""
BARS: Final[Mapping[str, tuple[float, float]]] = {
    "same_alerts": (1, 1),
    "lost": (0, 0),
    "doubled": (0, 0),
    "failover_s": (0, 10.0),
    "unowned_max_s": (0, 30.0),
    "false_alarms": (0, 0),
    "fold_over_run": (0, 1.1),
    "judge_cores": (0, 0.5),
}
"""The least and the greatest that are good enough."""


@dataclass(slots=True)
class Result:
    """Rows for people, figures for programs, and what went wrong in words."""

    rows: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float | int | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def take(self, name: str, found: storm.Outcome) -> None:
        """Add what came of a storm."""
        kills = sum(count for what, count in found.done.items() if what.endswith("killed"))
        counts = found.finish.counts
        for figure, count in (("kills", kills), ("lost", counts.lost), ("doubled", counts.doubled)):
            self.figures[figure] = (self.figures.get(figure) or 0) + count
        self.figures["same_alerts"] = min(self.figures.get("same_alerts", 1) or 0, int(found.same_alerts))
        worst = {
            "failover_s": max(found.failover_s.values()),
            "unowned_max_s": max(found.unowned_max_s.values()),
            "delta_bytes_per_s": found.delta_bytes_per_s,
        }
        for figure, value in worst.items():
            self.figures[figure] = max(self.figures.get(figure) or 0.0, value)
        self.problems += [f"{name}: {text}" for text in found.problems]
        done = ", ".join(f"{times} {what}" for what, times in sorted(found.done.items()))
        replicas, single = found.finish.alerts, found.single
        text = self.rows[name] = (
            f"{done} in {found.seconds:.0f} s; {counts.counted:,} values: {counts.lost} lost, {counts.doubled} doubled;"
            f" {replicas.true} notices: {len(replicas.missing)} never told, {len(replicas.extra)} not true,"
            f" {replicas.repeated} told again; one process: {len(single.missing)} never told, {len(single.extra)} not"
            f" true; taken over after {_by_role(found.failover_s)}, nobody's for {_by_role(found.unowned_max_s)};"
            f" deltas: {dict(found.finish.verdicts)}, {found.delta_bytes_per_s / 1e3:.0f} kB/s"
        )
        print(f"{name}: {text}", *found.problems, sep="\n  ", file=sys.stderr, flush=True)

    def broken(self) -> list[str]:
        """Give the bars that are broken, of what was measured."""
        told = ((name, self.figures.get(name), bar) for name, bar in BARS.items())
        return [
            f"{name} is {value:g}, wanted is {least:g} to {most:g}"
            for name, value, (least, most) in told
            if value is not None and not least <= value <= most
        ]


def _by_role(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{value:.1f} s ({role})" for role, value in seconds.items())


def run_kills(kafka: Kafka, folder: Path, asked: argparse.Namespace, result: Result) -> None:
    each = min(RUN_KILLS, max(1, asked.kills // 2))  # both protocols, also where few are killed
    left, number = asked.kills, 0
    while left:
        count, protocol = min(left, each), asked.protocol or PROTOCOLS[number % 2]
        restarts = max(1, count // RESTART_EVERY) if kafka.can_restart else 0
        plan = storm.Plan(count, asked.seed + number, protocol, restarts)
        found = storm.run(kafka, folder / f"storm-{number}", plan)
        result.take(f"{protocol}, seed {plan.seed}", found)
        left, number = left - count, number + 1


def run_rolling(kafka: Kafka, folder: Path, asked: argparse.Namespace, result: Result) -> None:
    for protocol in PROTOCOLS[: 1 if asked.quick else 2]:
        found = rolling.roll(kafka, folder / f"rolling-{protocol}", protocol)
        result.figures["false_alarms"] = (result.figures.get("false_alarms") or 0) + len(found.told)
        for figure, count in (("lost", found.counts.lost), ("doubled", found.counts.doubled)):
            result.figures[figure] = (result.figures.get(figure) or 0) + count
        result.problems += [f"rolling, {protocol}: {text}" for text in [*found.counts.where, *found.told]]
        result.rows[f"rolling, {protocol}"] = (
            f"{', '.join(found.steps)} in {found.seconds:.0f} s; {found.counts.counted:,} values: {found.counts.lost}"
            f" lost, {found.counts.doubled} doubled; {len(found.told)} alerts fired"
        )


def run_costs(kafka: Kafka, folder: Path, asked: argparse.Namespace, result: Result) -> None:
    count, rounds, seconds = (200_000, 5, 20) if asked.quick else (600_000, 7, 60)
    fold = costs.of_folds(kafka, folder / "fold", count, rounds)
    judge = costs.of_judge(kafka, folder / "judge", seconds)
    result.figures |= {
        "fold_over_run": fold.ratio,
        "events_per_cpu_s_fold": 1e6 / fold.fold_s,
        "judge_cores": judge.cores,
        "deltas_per_cpu_s_judge": judge.deltas_per_cpu_s,
    }
    result.rows["fold"] = (
        f"{fold.fold_s:.2f} us of CPU an event, `driftd run` {fold.run_s:.2f}; ratio {fold.ratio:.3f} (rounds:"
        f" {', '.join(f'{each:.3f}' for each in fold.rounds)}); {fold.fold_events_per_s:,.0f} events/s beside"
        f" {fold.run_events_per_s:,.0f}"
    )
    result.rows["judge"] = (
        f"{judge.streams:,} streams, {judge.deltas_per_s:.0f} deltas/s with {judge.entries_per_s:,.0f} counts/s in"
        f" {judge.bytes_per_s / 1e6:.2f} MB/s: {judge.cores:.3f} of a core, {judge.rss_mb:.0f} MB, {judge.behind_s:.1f}"
        " s behind at the end"
    )


RUNS: Final[Mapping[str, Callable[[Kafka, Path, argparse.Namespace, Result], None]]] = {
    "kills": run_kills,
    "rolling": run_rolling,
    "costs": run_costs,
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_KILLS} kills, and shorter measurements")
    parser.add_argument("--kills", type=int, default=None, help=f"how many replicas are killed ({KILLS})")
    parser.add_argument("--seed", type=int, default=1, help="of what is done when, and of the traffic")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="of the groups; by turns otherwise")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be given again")
    asked = parser.parse_args()
    asked.kills = (QUICK_KILLS if asked.quick else KILLS) if asked.kills is None else asked.kills
    return asked


def main() -> None:
    """Run, print, judge."""
    asked, result = options(), Result()
    set_up("error", "json")
    kafka, _ = start_kafka()
    with tempfile.TemporaryDirectory(prefix="driftd-scaleout-") as folder:
        try:
            for part in asked.only or PARTS:
                RUNS[part](kafka, Path(folder), asked, result)
        finally:
            kafka.close()
    result.rows = {"broker": f"{kafka.kind} {kafka.version or ''}", **result.rows}
    broken = result.broken()
    result.rows |= {f"problem {number}": text for number, text in enumerate([*result.problems, *broken], start=1)}
    show("Folds and judges", result.rows, result.figures)
    raise SystemExit(1 if broken or result.problems else 0)


if __name__ == "__main__":
    main()
