"""How well is drift detected, and how often is nothing called drift? Ours and peers in one run; see DETECTION.md.

    python -m benchmarks.detection [--quick] [--out results.json] [--candidate NAME] [--part budget|interval|delay]

Exits 1 if a bound of the bar does not hold, and names it. --candidate and --part (each may be repeated) run less, for
development; then no bound is judged. --rows FILE goes on where a run that ended early has left its rows.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

from benchmarks.detection import burn_rate, musts, summary
from benchmarks.detection.registry import OURS, entries
from benchmarks.detection.runs import Part, Row, Run, all_done, planned
from benchmarks.report import show

SERIES, DRIFTD = "benchmarks.detection.series", "benchmarks.detection.driftd"


def main() -> int:
    """Measure and print; give the exit status."""
    chosen = _options()
    is_part = bool(chosen.candidate or chosen.part)

    def wanted(run: Run) -> bool:
        return run.candidate in (chosen.candidate or [run.candidate]) and run.part in (chosen.part or [run.part])

    # Before the minutes begin, so that what can't be imported fails at once.
    driftd, series = _module(DRIFTD), _module(SERIES)
    cost = {} if is_part else _cost(driftd)
    rows = all_done(planned(chosen.quick, wanted), lambda said: print(said, file=sys.stderr, flush=True), chosen.rows)
    anomalies, table = ({}, {}) if is_part else _series(series, chosen.quick)
    found = summary.figures(rows) | anomalies | cost
    if chosen.out:
        _save(chosen.out, rows, found)
    absent = {who.candidate.name: f"left out: {who.why_absent}" for who in entries() if who.why_absent}
    title = "Detection: false alarms, delays and misses" + (", quick" if chosen.quick else "")
    print(summary.tables(rows))
    show(title, summary.lines(rows) | burn_rate.lines() | absent | table, found)
    said = [] if is_part else musts.broken(found)
    for line in said:
        print(line, file=sys.stderr)
    return 1 if said else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="end within four minutes, with less precision")
    parser.add_argument("--out", type=Path, help="write all rows and figures to this JSON file, for the plot")
    parser.add_argument("--rows", type=Path, help="keep each row in this file, and do not do again what is in it")
    parser.add_argument("--candidate", action="append", help=f"run this one alone, such as {OURS}")
    parser.add_argument("--part", action="append", choices=[str(part) for part in Part], help="run this part alone")
    return parser.parse_args()


def _module(name: str) -> ModuleType | None:
    """Import a module of ours; None if there is no such file."""
    return importlib.import_module(name) if importlib.util.find_spec(name) is not None else None


def _cost(driftd: ModuleType | None) -> dict[str, float]:
    """Measure what ours costs, before anything else runs."""
    return {"ns_per_stream_look": float(driftd.ns_per_stream_look())} if driftd is not None else {}


def _series(series: ModuleType | None, is_quick: bool) -> tuple[dict[str, float], dict[str, str]]:  # noqa: FBT001
    """Measure D9 and D10."""
    if series is None:
        return {}, {"series": "benchmarks/detection/series.py is not there"}
    return dict(series.figures(is_quick)), dict(series.table(is_quick))


def _save(path: Path, rows: list[Row], figures: dict[str, float | int | None]) -> None:
    path.write_text(json.dumps({"rows": rows, "figures": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
