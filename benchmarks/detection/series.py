"""Anomalies of metric series: NAB's development files (D9) and the KPIs of AIOps (D10), ours and peers in one run.

    python -m benchmarks.detection.series [--quick]

Ours runs with its one frozen threshold. Peers have it easier: their KPI threshold is the best one that keeps to the
limit of false alarms on the very data it is judged on. An alarm is one point for all: the first at the threshold or
above after 12 points below. --quick: shorter KPIs, and no peer that needs minutes.
Data: folder `data` beside the repository's `shared`, or $DRIFTD_DATA; without it all is left out, and that is said.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.detection.series_peers import peers
from benchmarks.report import options, show
from monitor.domain import BoolArray, FloatArray, IntArray
from monitor.scoring import read_series
from monitor.series import SeriesWatch

OURS: Final = "driftd"
LIMIT: Final = 0.05
"""False alarms per stream-day that a KPI detector may have."""
WITHIN: Final = 7
"""Points after an event's start within which it must be found."""
QUIET: Final = 12
FALSE_ALARM_COST: Final = 0.11
PROBATION: Final = (0.15, 750)
"""NAB does not score this share of a file, or this many rows, whichever is less."""
QUICK_TRAIN, QUICK_TEST = 40_000, 20_000
SLOW: Final = "HalfSpaceTrees (river)"
GRID: Final = 120


@dataclass(frozen=True, slots=True)
class Labelled:
    """A series and its anomalies as (first, last) positions; from `since` on it is judged."""

    times_s: FloatArray
    values: FloatArray
    anomalies: Sequence[tuple[int, int]]
    since: int

    @property
    def days(self) -> float:
        """Length of the part that is judged."""
        return float(self.times_s[-1] - self.times_s[self.since]) / 86_400.0

    def inside(self, alarms: IntArray) -> BoolArray:
        """Tell which alarms are within an anomaly."""
        found = np.zeros(alarms.size, dtype=np.bool_)
        for first, last in self.anomalies:
            found |= (alarms >= first) & (alarms <= last)
        return found


@dataclass(frozen=True, slots=True)
class Nab:
    """NAB's standard score, how many windows had an alarm, and how many alarms had no window."""

    score: float
    found: int
    windows: int
    false: int

    def __str__(self) -> str:
        return f"{self.score:5.1f} ({self.found}/{self.windows} windows, {self.false} false)"


@dataclass(frozen=True, slots=True)
class Kpi:
    """Share of events found in time, and false alarms per stream-day."""

    recall: float
    false_per_day: float

    def __str__(self) -> str:
        return f"{self.recall:.3f} at {self.false_per_day:.3f}/day"


Scores = Mapping[str, FloatArray]
Data = Mapping[str, Labelled]


def data_folder() -> Path:
    """Give the folder of the data, there or not."""
    given = os.environ.get("DRIFTD_DATA")
    return Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "data"


def why_absent() -> str | None:
    """Say what is missing, None: nothing."""
    wanted = [data_folder() / "nab-dev" / "windows.json", data_folder() / "aiops-kpi-dev"]
    missing = [str(path) for path in wanted if not path.exists()]
    return f"no data: {', '.join(missing)}; name the folder with DRIFTD_DATA" if missing else None


def load_nab() -> Data:
    """Read NAB's files and windows."""
    folder = data_folder() / "nab-dev"
    found = {}
    for name, windows in json.loads((folder / "windows.json").read_text(encoding="utf-8")).items():
        series = read_series(folder / name)
        times_s = series.times_s
        places = [
            (
                int(np.searchsorted(times_s, _epoch_s(a), "left")),
                int(np.searchsorted(times_s, _epoch_s(b), "right")) - 1,
            )
            for a, b in windows
        ]
        since = min(int(PROBATION[0] * times_s.size), PROBATION[1])
        found[name] = Labelled(times_s, series.values, places, since)
    return found


def load_kpi(is_quick: bool) -> Data:  # noqa: FBT001
    """Read the KPIs: training part, then test part, which is judged."""
    found = {}
    for path in sorted((data_folder() / "aiops-kpi-dev").glob("*.npz")):
        parts = np.load(path)
        train = slice(-QUICK_TRAIN, None) if is_quick else slice(None)
        test = slice(QUICK_TEST) if is_quick else slice(None)
        times_s, values, label = (
            np.concatenate([parts[f"train_{what}"][train], parts[f"test_{what}"][test]]).astype(np.float64)
            for what in ("timestamp", "value", "label")
        )
        edges = np.diff(np.concatenate([[0.0], label, [0.0]]))
        events = list(zip(np.flatnonzero(edges > 0).tolist(), (np.flatnonzero(edges < 0) - 1).tolist(), strict=True))
        found[path.stem] = Labelled(times_s, values, events, parts["train_value"][train].size)
    return found


def _epoch_s(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def our_scores(data: Data) -> tuple[Scores, Mapping[str, IntArray]]:
    """Run the product over all series side by side; give scores, and the positions of its alarms."""
    longest = max(series.values.size for series in data.values())
    times_s, values = np.full((2, longest, len(data)), np.nan)
    for at, series in enumerate(data.values()):
        times_s[: series.values.size, at], values[: series.values.size, at] = series.times_s, series.values
    watch = SeriesWatch(len(data))
    scores, is_alarm = np.zeros_like(values), np.zeros(values.shape, dtype=np.bool_)
    for at in range(longest):
        scores[at], is_alarm[at] = watch.observe(times_s[at], values[at])
    return (
        {name: scores[: series.values.size, at] for at, (name, series) in enumerate(data.items())},
        {name: np.flatnonzero(is_alarm[:, at]) for at, name in enumerate(data)},
    )


def alarms_of(scores: FloatArray, threshold: float) -> IntArray:
    """Give the first point of each incident at or above a threshold."""
    at = np.flatnonzero(scores >= threshold)
    return np.asarray(at[np.diff(at, prepend=-QUIET - 1) > QUIET])


def nab_standard(data: Data, alarms: Mapping[str, IntArray]) -> Nab:
    """Score alarms by NAB's standard profile (Lavin and Ahmad, 2015), as DETECTION.md has it."""
    raw, false, found, windows = 0.0, 0, 0, 0
    for name, series in data.items():
        judged = alarms[name][alarms[name] >= series.since]
        for first, last in series.anomalies:
            inside = judged[(judged >= first) & (judged <= last)]
            found += bool(inside.size)
            raw += _worth((inside[0] - last - 1) / (last - first + 1)) / _worth(-1.0) if inside.size else -1.0
        windows += len(series.anomalies)
        outside = judged[~series.inside(judged)]
        false += outside.size
        raw -= sum(FALSE_ALARM_COST * _blame(int(at), series.anomalies) for at in outside)
    return Nab(100.0 * (raw + windows) / (2.0 * windows), found, windows, false)


def _worth(place: float) -> float:
    """Give NAB's sigmoid: about 1 at the left edge of a window (-1), 0 at its right edge (0), towards -1 after it."""
    return float(2.0 / (1.0 + np.exp(5.0 * place)) - 1.0)


def _blame(at: int, windows: Sequence[tuple[int, int]]) -> float:
    before = [(first, last) for first, last in windows if last < at]
    if not before:
        return 1.0
    first, last = before[-1]
    behind = (at - last) / max(1, last - first)
    return 1.0 if behind > 3.0 else abs(_worth(behind))


def kpi_found(data: Data, alarms: Mapping[str, IntArray]) -> Kpi:
    """Give the share of events with an alarm in time, and false alarms per stream-day."""
    found, events, false, days = 0, 0, 0, 0.0
    for name, series in data.items():
        judged = alarms[name][alarms[name] >= series.since]
        for first, last in series.anomalies:
            if first >= series.since:
                events += 1
                found += bool(((judged >= first) & (judged <= min(last, first + WITHIN))).any())
        false += int((~series.inside(judged)).sum())
        days += series.days
    return Kpi(found / events, false / days)


def calibrated(data: Data, scores: Scores) -> Kpi:
    """Give the best a method can do with one threshold that keeps to the limit, seeing the labels."""
    everything = np.concatenate([scores[name][series.since :] for name, series in data.items()])
    grid = np.unique(np.quantile(everything, 1.0 - np.geomspace(1e-6, 0.2, GRID)))
    results = [
        kpi_found(data, {name: alarms_of(each, threshold) for name, each in scores.items()}) for threshold in grid
    ]
    return max((r for r in results if r.false_per_day <= LIMIT), key=lambda r: r.recall, default=Kpi(0.0, 0.0))


@cache
def _results(is_quick: bool) -> tuple[dict[str, float], dict[str, str]]:  # noqa: FBT001
    if absent := why_absent():
        return {}, {"series": absent}
    nab, kpi = load_nab(), load_kpi(is_quick)
    _, nab_alarms = our_scores(nab)
    kpi_scores, kpi_alarms = our_scores(kpi)
    ours, found = nab_standard(nab, nab_alarms), kpi_found(kpi, kpi_alarms)
    best = calibrated(kpi, kpi_scores)
    rows = {OURS: f"NAB {ours}; KPI {found}, frozen; {best.recall:.3f} calibrated"}
    best_peer = 0.0
    for name, peer in peers().items():
        if is_quick and name == SLOW:
            continue
        on_nab = {key: peer.score(s.times_s, s.values) for key, s in nab.items()}
        on_kpi = {key: peer.score(s.times_s, s.values) for key, s in kpi.items()}
        plain = nab_standard(nab, {key: alarms_of(s, peer.threshold) for key, s in on_nab.items()})
        tuned = _best_nab(nab, on_nab)
        as_is = kpi_found(kpi, {key: alarms_of(s, peer.threshold) for key, s in on_kpi.items()})
        peer_best = calibrated(kpi, on_kpi)
        best_peer = max(best_peer, peer_best.recall)
        rows[name] = (
            f"NAB {plain}, {tuned.score:.1f} tuned on the labels; KPI {as_is}, {peer_best.recall:.3f} calibrated"
        )
    rows |= _baselines(nab, kpi)
    figures = {
        "nab_dev_standard": ours.score,
        "nab_dev_found": float(ours.found),
        "nab_dev_false": float(ours.false),
        "kpi_event_recall": found.recall if found.false_per_day <= LIMIT else 0.0,
        "kpi_false_per_stream_day": found.false_per_day,
        "kpi_event_recall_calibrated": best.recall,
        "kpi_best_peer_recall": best_peer,
    }
    return figures, rows


def _best_nab(data: Data, scores: Scores) -> Nab:
    everything = np.concatenate(list(scores.values()))
    grid = np.unique(np.quantile(everything, 1.0 - np.geomspace(1e-4, 0.2, 40)))
    results = [nab_standard(data, {key: alarms_of(s, each) for key, s in scores.items()}) for each in grid]
    return max(results, key=lambda r: r.score)


def _baselines(nab: Data, kpi: Data) -> dict[str, str]:
    """Give what takes no skill: never an alarm, and one each so many points."""
    rows = {}
    for name, step in (("never fires", 10**9), ("fires every 100 points", 100), ("fires every 400 points", 400)):
        alarms = [
            {key: np.arange(step, s.values.size, step) for key, s in data.items()} if step < 10**9 else
            {key: np.empty(0, dtype=np.int64) for key in data} for data in (nab, kpi)
        ]  # fmt: skip
        rows[name] = f"NAB {nab_standard(nab, alarms[0])}; KPI {kpi_found(kpi, alarms[1])}"
    return rows


def figures(quick: bool) -> dict[str, float]:  # noqa: FBT001
    """Give the figures of D9 and D10; none if there is no data."""
    return dict(_results(quick)[0])


def table(quick: bool) -> dict[str, str]:  # noqa: FBT001
    """Give a readable row per method, or why there is none."""
    return dict(_results(quick)[1])


def main() -> int:
    """Measure and print; 1 if a bound does not hold."""
    quick = bool(options(str(__doc__).splitlines()[0]).quick)
    found = figures(quick)
    show("Anomalies of metric series: NAB, and KPIs at 0.05 false alarms per stream-day", table(quick), found)
    if not found:
        return 0
    is_good = found["nab_dev_standard"] >= 55.0 and found["kpi_event_recall"] >= found["kpi_best_peer_recall"]
    return 0 if is_good or quick else 1


if __name__ == "__main__":
    sys.exit(main())
