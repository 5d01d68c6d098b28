"""How often rules of river's detectors cry wolf, as driftd feeds them and asks them: false alarms per stream-day.

    .venv/bin/python -m benchmarks.detection.river_rules [--quick] [detector ...]

Streams of `families`, one pane per look, through `monitor/watchmen.py` and the alert book, each stream a model of its
own with the default budget: one page in 30 days, a tenth of which is the rule's. `detections` is how often river
detects something; `told` is what a person hears of: a change of a tenth of a standard deviation or more, and once until
it is over. Delay: seconds from a planted change, which all streams have at once, until it is told, median; `-` where
fewer than half are.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import numpy as np

from benchmarks.detection.candidates import Shape
from benchmarks.detection.families import FAMILIES, Family
from monitor.alerts import AlertBook
from monitor.bins import WIDTHS, Arena, log_bin, numeric_bin
from monitor.counts import EMPTY, Counts, Ladder
from monitor.domain import AlertState, FloatArray, IntArray, StreamKey, Transition
from monitor.fields import EXPONENTS, Watch
from monitor.probes import place_grid
from monitor.river import RIVER
from monitor.river.base import Feed
from monitor.rules import Budget, Level, Plan, Rule
from monitor.scopes import StreamLimits
from monitor.streams import StreamTable
from monitor.views import Views
from monitor.watchmen import Watchmen

FIELDS = {Shape.NUMERIC: "score", Shape.POSITIVE: "latency_s", Shape.RATE: "error"}
ARENAS = {Shape.NUMERIC: Arena.VALUES, Shape.POSITIVE: Arena.LOGS, Shape.RATE: Arena.FLAGS}
NUMBERS = ("N(0,1)", "lognormal 1", "AR(1) 0.3", "AR(1) 0.7", "daily cycle", "bursts")
RATES = ("rate .001", "rate .01", "rate .05", "bursts of a rate")
WINDOWS_S = (60.0, 600.0, 3600.0)
QUICK, FULL = (10, 5_000), (20, 21_600)
SLOW = {"kswin": 10, "ddm": 2, "eddm": 2, "hddm_a": 2, "hddm_w": 2, "fhddm": 2}
"""How much less of a detector is watched."""
CHANGE_LOOKS = 7_200
BLOCK = 1_000


@dataclass
class Post:
    """Streams of a family, fed to one of river's detectors look by look."""

    family: Family
    detector: str
    streams: int
    detections: int = 0
    told: list[Transition] = field(default_factory=list)
    now_s: float = 0.0

    def __post_init__(self) -> None:
        shape = self.family.kind.shape
        self.arena, self._rng = ARENAS[shape], np.random.default_rng(1)
        rule = Rule(self.detector, self.detector, (FIELDS[shape],), Level(0.1), None, WINDOWS_S)
        plan = Plan(Watch(), (rule,))
        self.table = StreamTable(StreamLimits(), lambda _m, _v: plan.watch)
        self.ladders = tuple(Ladder(WINDOWS_S) for _ in Arena)
        self.views, self.book = Views(self.table, self.ladders), AlertBook()
        scopes = self.table.scopes_of([f"m{i}" for i in range(self.streams)], [""] * self.streams)
        first = [True] * self.streams if shape is Shape.RATE else [0.5] * self.streams
        self.rows = self.table.field_rows(FIELDS[shape], first, scopes)
        self.table.field_rows("events", None, scopes)
        self.source = self.family.make(self._rng, self.streams)
        self._learn(self.block(self.family.past_looks))
        self.watchmen = Watchmen(self.table, self.views, lambda _m, _v: plan, Budget(has_river=True))
        for subject in self.table.subjects:
            self.watchmen.refresh([subject])

    def block(self, looks: int) -> FloatArray:
        """Give the next values."""
        times_s = self.now_s + self.family.look_s * np.arange(looks, dtype=np.float64)
        self.now_s = float(times_s[-1]) + self.family.look_s
        return self.source.block(times_s)

    def _learn(self, past: FloatArray) -> None:
        arena = self.table.arenas[self.arena]
        for row, own in zip(self.rows.tolist(), past, strict=True):
            if self.arena is Arena.VALUES:
                self.table.values.set_grids({row: place_grid(own[:1_000])})
        bins = self._bins(past)
        for row, held in zip(self.rows.tolist(), bins, strict=True):
            arena.reference[row] = np.bincount(held[held >= 0], minlength=arena.width)
        for subject in self.table.subjects:
            self.table.freeze(subject, "bench", (0.0, self.now_s))

    def _bins(self, values: FloatArray) -> IntArray:
        """Give the bins, shape (S, n); -1 where there is no value."""
        known = np.nan_to_num(values)
        if self.arena is Arena.FLAGS:
            bins = known.astype(np.int64)
        elif self.arena is Arena.LOGS:
            bins = log_bin(known, np.full(known.shape, EXPONENTS["latency_s"]))
        else:
            bins = numeric_bin(known.copy(), *(part[:, None] for part in self.table.values.grid[self.rows].T))
        return np.where(np.isnan(values), -1, bins)

    def feed(self, values: FloatArray) -> None:
        """Close a pane for each look."""
        start_s = self.now_s - self.family.look_s * values.shape[1]
        bins = self._bins(values)
        starts = self.rows * WIDTHS[self.arena]
        for i, held in enumerate(bins.T):
            counts = Counts.of_hits([(starts + held)[held >= 0]], self.table.arenas[self.arena].size)
            end_s = start_s + self.family.look_s * (i + 1)
            self._close(counts, end_s)

    def _close(self, counts: Counts, end_s: float) -> None:
        for arena, ladder in zip(Arena, self.ladders, strict=True):
            ladder.append(end_s - self.family.look_s, end_s, counts if arena is self.arena else EMPTY)
        self.views.close(end_s, end_s - self.family.look_s, EMPTY)
        self.watchmen.count(self.arena, counts.pairs())
        self.detections += self.watchmen.alarmed
        observed = list(self.watchmen.look(self.book, end_s))
        changed = self.book.advance(observed, end_s, lambda seen: seen.since_s or end_s)
        self.told += [t for t in changed if t.alert.state is AlertState.FIRING and t.before is None]


def quiet(family: Family, detector: str, size: tuple[int, int]) -> tuple[float, float, float]:
    """Give detections and alerts per stream-day, and the days."""
    streams, looks = size
    post = Post(family, detector, streams)
    for _ in range(0, looks, BLOCK):
        post.feed(post.block(BLOCK))
    days = streams * looks * family.look_s / 86_400.0
    return post.detections / days, len(post.told) / days, days


def delay(family: Family, detector: str, streams: int) -> float:
    """Give the median seconds until a change is told: half a standard deviation, or a rate of 1 % that becomes 5 %."""
    post, rng = Post(family, detector, streams), np.random.default_rng(2)
    for _ in range(5):
        post.feed(post.block(BLOCK))
    post.told.clear()
    began_s = post.now_s
    found: dict[StreamKey, float] = {}
    for _ in range(0, CHANGE_LOOKS, BLOCK):
        values = post.block(BLOCK)
        changed = (rng.random(values.shape) < 0.05).astype(float) if post.arena is Arena.FLAGS else values + 0.5
        post.feed(changed)
        for transition in post.told:
            found.setdefault(transition.alert.key, transition.time_s - began_s)
    waits = sorted([*found.values(), *[np.inf] * (streams - len(found))])
    return float(waits[streams // 2])


def main() -> None:
    """Print the table."""
    streams, looks = QUICK if "--quick" in sys.argv else FULL
    families = {family.name: family for family in FAMILIES}
    print("| detector | family | detections/day | told/day | stream-days | delay s |")
    print("| --- " * 6 + "|")
    asked = [name for name in sys.argv[1:] if name in RIVER]
    for name, detector in ((name, own) for name, own in RIVER.items() if not asked or name in asked):
        names = (*NUMBERS, *RATES) if detector.feed is Feed.MEAN else RATES
        few = max(2, streams // SLOW.get(name, 1))
        for family in (families[each] for each in names):
            detections, told, days = quiet(family, name, (few, looks))
            waited = delay(family, name, few) if family.name in {"N(0,1)", "rate .01"} else np.nan
            shown = "" if np.isnan(waited) else "-" if np.isinf(waited) else f"{waited:.0f}"
            print(f"| {name} | {family.name} | {detections:.3g} | {told:.3g} | {days:.1f} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
