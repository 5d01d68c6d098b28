"""The runs of the bench: which there are, one of them done, and all of them on all cores."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.detection.candidates import DAY_S
from benchmarks.detection.families import FAMILIES, Family
from benchmarks.detection.measure import Delays, Quiet, watch_change, watch_quiet
from benchmarks.detection.registry import FULL, QUICK, Entry, Pace, Size, entries, entry
from benchmarks.detection.scenarios import SCENARIOS, Scenario

BUDGET_DAYS = 1_000.0
"""D1: one false alarm in so many stream-days is asked for, the product's default."""
INTERVAL_EVENTS, QUICK_INTERVAL_EVENTS = 3e4, 1e4
"""D2 of ours: short enough for hundreds of alarms in each family, for about a hundred with --quick."""
PEER_EVENTS = 1e5
"""What the delays of D3 to D5 are measured at, ours and peers'."""

Row = dict[str, str | float | int | None]


class Part(StrEnum):
    """What a run measures."""

    BUDGET = "budget"
    INTERVAL = "interval"
    DELAY = "delay"


@dataclass(frozen=True, slots=True)
class Run:
    """One candidate on one family or scenario."""

    part: Part
    candidate: str
    case: str
    is_quick: bool


def planned(is_quick: bool, wanted: Callable[[Run], bool]) -> list[Run]:  # noqa: FBT001
    """Give the runs of all who can take part, the longest about first."""
    found = [run for who in entries() if not who.why_absent for run in _runs(who, is_quick)]
    return [run for run in found if wanted(run)]


def done(run: Run) -> Row | None:
    """Do one run; None if the candidate is not for this kind of stream."""
    began_s = time.perf_counter()
    who = entry(run.candidate)
    size = (QUICK if run.is_quick else FULL)[who.pace]
    found = _delay(who, run, size) if run.part is Part.DELAY else _quiet(who, run, size)
    if found is None:
        return None
    return {
        "part": run.part,
        "candidate": run.candidate,
        "case": run.case,
        **found,
        "took_s": time.perf_counter() - began_s,
    }


def _delay(who: Entry, run: Run, size: Size) -> Row | None:
    scenario = next(s for s in SCENARIOS if s.name == run.case)
    delays = watch_change(who.candidate, scenario, size.repetitions)
    if delays is None:
        return None
    return {
        "row": scenario.row,
        "is_judged": scenario.is_judged,
        "arl0": scenario.arl0_events,
        "kl": scenario.kl,
        "per_s": scenario.before.kind.events_per_s,
        "quiet": scenario.quiet,
        "complete_after": scenario.complete_after,
        **_of_delays(delays),
    }


def _quiet(who: Entry, run: Run, size: Size) -> Row | None:
    family = next(f for f in FAMILIES if f.name == run.case)
    own = QUICK_INTERVAL_EVENTS if run.is_quick else INTERVAL_EVENTS
    arl0, watched = own if who.pace is Pace.OURS else PEER_EVENTS, size.interval
    if run.part is Part.BUDGET:
        arl0, watched = BUDGET_DAYS * family.kind.events_per_s * DAY_S, size.budget
    quiet = watch_quiet(who.candidate, family, arl0, *watched)
    return {"is_judged": family.is_judged, "arl0": arl0, **_of_quiet(quiet, arl0)} if quiet is not None else None


def all_done(runs: Sequence[Run], told: Callable[[str], None], kept: Path | None = None) -> list[Row]:
    """Do the runs, on all cores; give the rows in the order of the runs.

    kept: each row is added to this file as it comes, and what is in it is not done again: a run of hours may end early.
    """
    rows = _kept(kept)
    left = [run for run in runs if run not in rows]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(os.cpu_count(), context) as pool, (kept or Path(os.devnull)).open("a") as file:
        futures = {pool.submit(done, run): run for run in left}
        for future in as_completed(futures):
            run = futures[future]
            rows[run] = future.result()
            file.write(json.dumps([*astuple(run), rows[run]]) + "\n")
            file.flush()
            told(f"{len(rows)}/{len(runs)} {run.candidate}, {run.part}, {run.case}")
    return [row for run in runs if (row := rows[run]) is not None]


def _kept(file: Path | None) -> dict[Run, Row | None]:
    lines = file.read_text(encoding="utf-8").splitlines() if file is not None and file.exists() else []
    found = map(json.loads, lines)
    return {Run(Part(part), candidate, case, is_quick): row for part, candidate, case, is_quick, row in found}


def _runs(who: Entry, is_quick: bool) -> Iterable[Run]:  # noqa: FBT001
    scenarios = [scenario for scenario in SCENARIOS if scenario.is_judged or not is_quick]
    parts: list[tuple[Part, Sequence[Family | Scenario]]] = [(Part.INTERVAL, FAMILIES), (Part.DELAY, scenarios)]
    if who.pace is Pace.OURS:
        parts.insert(0, (Part.BUDGET, [family for family in FAMILIES if family.is_judged]))
    for part, cases in parts:
        taken = (case.name for case in cases if who.takes_part(case.name, is_quick=is_quick))
        yield from (Run(part, who.candidate.name, case, is_quick) for case in taken)


def _of_quiet(quiet: Quiet, arl0: float) -> Row:
    ratio, low, high = quiet.interval_ratio(arl0)
    return {
        "alarms": quiet.alarms,
        "events": quiet.events,
        "days": quiet.days,
        "per_day": quiet.per_day,
        "per_day_upper": quiet.per_day_upper,
        # Infinity is not JSON; without alarms the interval is at least its lower end.
        "ratio": ratio if quiet.alarms else None,
        "ratio_low": low,
        "ratio_high": high if quiet.alarms else None,
    }


def _of_delays(delays: Delays) -> Row:
    return {
        "streams": len(delays.events),
        "limit": delays.limit_events,
        "mean": delays.mean,
        "mean_error": delays.mean_error,
        "ratio": delays.ratio,
        "missed": delays.missed,
        "missed_upper": delays.missed_upper,
    }
