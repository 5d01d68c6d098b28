"""A judge over many streams of one model, fed with counts pane by pane: no events, no pipeline, and so very fast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.bins import ARENA_OF, WIDTHS, Arena, log_bin, numeric_bin, squash
from monitor.counts import EMPTY, Counts, Ladder
from monitor.court import PAST_S
from monitor.detectors import DETECTORS
from monitor.domain import Alert, AlertState, IntArray, Kind, Transition
from monitor.fields import Watch
from monitor.judge import Judge
from monitor.lines import Terms
from monitor.references import Grid, Reference, StreamReference, categorical_groups, numeric_groups
from monitor.rules import Budget, Level, Plan, Rule
from monitor.scopes import StreamLimits
from monitor.streams import StreamTable
from monitor.views import Views

WINDOWS_S: Final = (60.0, 600.0, 3600.0)
GRID: Final = Grid(0.0, 1.0, float(squash(np.array(-4.0))), float(squash(np.array(4.0)) - squash(np.array(-4.0))) / 57)
EXPONENT: Final = -10
NAMES: Final = tuple("abcdefgh")
SHARES: Final = np.array([0.35, 0.25, 0.15, 0.1, 0.06, 0.05, 0.03, 0.01])

Values = npt.NDArray[np.float64]


def drift_rule(**changes: object) -> Rule:
    told: dict[str, object] = {
        "name": "drift",
        "statistic": "drift",
        "fields": ("*",),
        "yellow": Level(0.02),
        "red": Level(0.25),
        "windows_s": WINDOWS_S,
        "samples_min": 20,
    }
    return Rule(**{**told, **changes})  # type: ignore[arg-type] # a builder for tests: names are checked by Rule


def numeric_bins(values: Values) -> IntArray:
    return numeric_bin(values, *(np.array(x) for x in (GRID.centre, GRID.width, GRID.low, GRID.step)))


def log_bins(values: Values) -> IntArray:
    return log_bin(values, np.full(len(values), EXPONENT))


def category_bins(rng: np.random.Generator, count: int) -> IntArray:
    return rng.choice(len(NAMES), count, p=SHARES)


def reference_of(streams: dict[str, tuple[Kind, IntArray]], span_s: float = 1_000.0) -> Reference:
    """Give the reference of model m, from the bins that the values of each stream fell in."""
    told = []
    for name, (kind, bins) in streams.items():
        counts = np.bincount(bins, minlength=WIDTHS[ARENA_OF[kind]]).astype(np.uint32)
        groups = np.empty(0, dtype=np.int8)
        if kind is Kind.NUMERIC:
            groups = numeric_groups(counts)
        if kind is Kind.CATEGORICAL:
            groups = categorical_groups(counts, len(NAMES))
        told.append(
            StreamReference(
                name,
                "",
                kind,
                counts,
                groups,
                grid=GRID if kind is Kind.NUMERIC else None,
                exponent=EXPONENT if kind is Kind.LOG else 0,
                categories=NAMES if kind is Kind.CATEGORICAL else (),
            )
        )
    return Reference("m", "1", "told", 0.0, span_s, 10_000, tuple(told))


@dataclass
class Court:
    """A judge over the streams of a reference; bins of their values come in pane by pane, of `pane_s` seconds."""

    reference: Reference
    rules: tuple[Rule, ...] = (drift_rule(),)
    budget: Budget = field(default_factory=Budget)
    pane_s: float = 1.0
    past_s: float = PAST_S

    def __post_init__(self) -> None:
        plan = Plan(Watch(), self.rules)
        windows_s = sorted({window_s for rule in self.rules for window_s in rule.windows_s})
        self.table = StreamTable(StreamLimits(), lambda _m, _v: plan.watch, [self.reference])
        self.ladders = tuple(Ladder(windows_s, self.past_s) for _ in Arena)
        self.views = Views(self.table, self.ladders)
        terms = Terms.of(self.budget, windows_s, self.pane_s)
        self.judge = Judge(self.table, self.views, DETECTORS, lambda _m, _v: plan, terms)
        self.table.scopes_of(["m"], ["1"])
        self.at = {key.field: (rows.arena, row) for rows in self.table.arenas for row, key in enumerate(rows.keys)}
        self.pane = 0
        self.transitions: list[Transition] = []
        self.judge.look(-1, 0.0)

    @property
    def now_s(self) -> float:
        return self.pane * self.pane_s

    def flat(self, name: str, bins: IntArray) -> tuple[Arena, IntArray]:
        arena, row = self.at[name]
        return arena, row * WIDTHS[arena] + bins

    def second(self, bins: dict[str, IntArray]) -> list[Transition]:
        """Close a pane with the bins of what came in it, by stream."""
        hits: dict[Arena, list[IntArray]] = {arena: [] for arena in Arena}
        for name, own in bins.items():
            arena, flat = self.flat(name, own)
            hits[arena].append(flat)
        return self.close(hits)

    def close(self, hits: dict[Arena, list[IntArray]]) -> list[Transition]:
        start_s, end_s = self.now_s, self.now_s + self.pane_s
        flags = EMPTY
        for arena, ladder in zip(Arena, self.ladders, strict=True):
            own = [flat for flat in hits[arena] if flat.size]
            counts = Counts.of_hits(own, self.table.arenas[arena].size) if own else EMPTY
            ladder.append(start_s, end_s, counts)
            self.judge.count(arena, counts.pairs(), end_s)
            flags = counts if arena is Arena.FLAGS else flags
        self.views.close(end_s, start_s, flags)
        self.pane += 1
        found = self.judge.look(self.pane - 1, end_s)
        self.transitions += found
        return found

    def seconds(self, panes: int, bins: Callable[[], dict[str, IntArray]]) -> list[Transition]:
        return [t for _ in range(panes) for t in self.second(bins())]

    @property
    def alerts(self) -> Sequence[Alert]:
        return self.judge.book.alerts


def fired(transitions: Sequence[Transition]) -> list[Alert]:
    """Give the alerts that began to fire."""
    return [t.alert for t in transitions if t.alert.state is AlertState.FIRING and t.before is not AlertState.FIRING]


def told(transitions: Sequence[Transition]) -> list[tuple[float, str, str, str]]:
    return [(t.time_s, t.alert.key.field, str(t.alert.state), t.alert.band.label) for t in transitions]
