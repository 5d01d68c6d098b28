"""Judges of two models side by side: one that goes on, and one that is stored and brought back while the other does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from monitor.bins import ARENA_OF, NO, NULLS, WIDTHS, YES, Arena
from monitor.codec import decode, encode
from monitor.counts import EMPTY, Counts, Ladder
from monitor.detectors import DETECTORS
from monitor.domain import IntArray, Kind, StreamKey, Transition
from monitor.fields import VOLUME, Watch
from monitor.judge import Judge
from monitor.kept import Moves, State
from monitor.lines import Terms
from monitor.references import Reference, StreamReference, categorical_groups, numeric_groups
from monitor.rules import Budget, Burn, Level, Objective, Plan, Rule
from monitor.scopes import StreamLimits
from monitor.streams import StreamTable
from monitor.views import Views
from tests.unit.courts import EXPONENT, GRID, NAMES, category_bins, drift_rule, log_bins, numeric_bins

WINDOWS_S: Final = (10.0, 60.0, 240.0)
PAST_S: Final = 400.0
BUDGET: Final = Budget(pages=200.0, has_river=True)
"""Generous, so that much happens in little time."""
RATE: Final = 25
KINDS: Final = {
    "features.x": Kind.NUMERIC,
    "features.c": Kind.CATEGORICAL,
    "latency_s": Kind.LOG,
    "unsafe": Kind.YES_NO,
    VOLUME: Kind.VOLUME,
}

Plans = Mapping[str, Plan]


def rule(statistic: str, fields: str, yellow: float | None, red: float | None = None, **changes: object) -> Rule:
    low, high = (None if value is None else Level(value) for value in (yellow, red))
    made = Rule(statistic, statistic, (fields,), low, high, WINDOWS_S, samples_min=20, keep_firing_for_s=5.0)
    return replace(made, **changes)  # type: ignore[arg-type] # a builder for tests: names are checked by Rule


OBJECTIVE: Final = Objective(0.95, 240.0, (Burn(2.0, 60.0, 10.0, is_red=True), Burn(1.2, 240.0, 60.0, is_red=False)))
RULES: Final = (
    replace(drift_rule(), windows_s=WINDOWS_S, keep_firing_for_s=5.0),
    rule("psi", "features.*", 0.3, 0.8),
    rule("null_rate", "features.*", 0.05, 0.3, for_s=4.0),
    rule("yes_rate", "unsafe", 0.1, 0.4, name="unsafe"),
    rule("p95", "latency_s", None, 8.0, name="slow"),
    rule("volume", VOLUME, 0.5, 0.2, is_above=False, name="traffic"),
    rule("silence", VOLUME, 8.0, None, name="silence", samples_min=1),
    rule("null_rate", "features.*", 0.05, 0.3, name="null_twice", windows_s=WINDOWS_S[:1], for_windows=2),
    rule("burn", "unsafe", 2.0, name="budget", objective=OBJECTIVE),
    rule("adwin", "features.x", 0.2),
    rule("page_hinkley", "latency_s", 0.2),
    rule("kswin", "features.x", 0.2),
    *(rule(name, "unsafe", 0.2) for name in ("ddm", "eddm", "fhddm", "hddm_a", "hddm_w")),
)
PLAN: Final = Plan(Watch(), RULES)


def reference_of(model: str) -> Reference:
    rng = np.random.default_rng(5)
    streams = []
    for name, kind in KINDS.items():
        counts = np.bincount(usual(rng, kind, 6_000), minlength=WIDTHS[ARENA_OF[kind]]).astype(np.uint32)
        groups = np.empty(0, dtype=np.int8)
        if kind is Kind.NUMERIC:
            groups = numeric_groups(counts)
        if kind is Kind.CATEGORICAL:
            groups = categorical_groups(counts, len(NAMES))
        streams.append(
            StreamReference(
                *(name, "", kind, counts, groups),
                grid=GRID if kind is Kind.NUMERIC else None,
                exponent=EXPONENT if kind is Kind.LOG else 0,
                categories=NAMES if kind is Kind.CATEGORICAL else (),
            )
        )
    return Reference(model, "1", "told", 0.0, 6_000 / RATE, 6_000, tuple(streams))


def usual(rng: np.random.Generator, kind: Kind, count: int, shift: float = 0.0) -> IntArray:
    """Give the bins of values as they are, or shifted by so many standard deviations (or as much as that is)."""
    if kind is Kind.NUMERIC:
        return numeric_bins(rng.normal(shift, 1.0, count))
    if kind is Kind.CATEGORICAL:
        bins = category_bins(rng, count)
        return np.where(rng.random(count) < 0.2 * shift, 5, bins)
    if kind is Kind.LOG:
        return log_bins(rng.lognormal(shift, 0.5, count))
    if kind is Kind.YES_NO:
        return np.where(rng.random(count) < 0.02 + 0.2 * shift, YES, NO)
    return np.full(count, NO)


@dataclass
class Traffic:
    """What comes in a pane, by model and field, and the same whoever asks."""

    seed: int = 0
    planted: Mapping[str, range] = field(default_factory=dict)
    models: Sequence[str] = ("a", "b")

    def bins(self, pane: int) -> dict[StreamKey, IntArray]:
        out = {}
        for model in self.models:
            rng = np.random.default_rng([self.seed, pane, ord(model)])
            count = 0 if model == "a" and pane in self.planted.get("silent", ()) else int(rng.poisson(RATE))
            for name, kind in KINDS.items():
                shift = 1.5 if model == "a" and pane in self.planted.get(name, ()) else 0.0
                bins = usual(rng, kind, count, shift)
                if name == "features.c" and model == "a" and pane in self.planted.get("null", ()):
                    bins = np.where(rng.random(count) < 0.25, NULLS[Arena.VALUES], bins)
                out[StreamKey(model, "1", name)] = bins
        return out


PLANTED: Final = {
    "features.x": range(95, 160),
    "latency_s": range(60, 110),
    "unsafe": range(30, 70),
    "null": range(80, 130),
    "silent": range(150, 175),
}
PANES: Final = 230


class Bench:
    """A judge over the streams of some references, by a plan for each model that may be another one later."""

    def __init__(
        self,
        references: Sequence[Reference],
        plans: Plans | None = None,
        budget: Budget = BUDGET,
        windows_s: tuple[float, ...] = WINDOWS_S,
        pane_s: float = 1.0,
    ) -> None:
        self.plans = dict(plans or {})
        self.budget, self.windows_s, self.pane_s = budget, windows_s, pane_s
        self.table = StreamTable(StreamLimits(), lambda _m, _v: Watch(), references)
        self.ladders = tuple(Ladder(windows_s, PAST_S * pane_s) for _ in Arena)
        self.views = Views(self.table, self.ladders)
        self.judge = self.new_judge()
        self.pane = 0
        self.transitions: list[Transition] = []
        for reference in references:
            self.table.scopes_of([reference.model], [reference.model_version])

    @classmethod
    def of(cls, models: Sequence[str] = ("a", "b"), **terms: object) -> Bench:
        return cls([reference_of(model) for model in models], **terms)  # type: ignore[arg-type] # named as above

    def new_judge(self) -> Judge:
        terms = Terms.of(self.budget, self.windows_s, self.pane_s)
        return Judge(self.table, self.views, DETECTORS, lambda m, _v: self.plans.get(m, PLAN), terms)

    def places(self) -> dict[StreamKey, tuple[Arena, int]]:
        return {key: (rows.arena, row) for rows in self.table.arenas for row, key in enumerate(rows.keys)}

    def close(self, traffic: Traffic) -> list[Transition]:
        """Close a pane with what comes in it; streams that are not here are left out."""
        places, hits = self.places(), {arena: [np.empty(0, dtype=np.int64)] for arena in Arena}
        for key, bins in traffic.bins(self.pane).items():
            if key in places:
                arena, row = places[key]
                hits[arena].append(row * WIDTHS[arena] + bins)
        start_s, end_s = self.pane * self.pane_s, (self.pane + 1) * self.pane_s
        flags = EMPTY
        for arena, ladder in zip(Arena, self.ladders, strict=True):
            counts = Counts.of_hits(hits[arena], self.table.arenas[arena].size)
            ladder.append(start_s, end_s, counts)
            self.judge.count(arena, counts.pairs(), end_s)
            flags = counts if arena is Arena.FLAGS else flags
        self.views.close(end_s, start_s, flags)
        self.pane += 1
        found = self.judge.look(self.pane - 1, end_s)
        self.transitions += found
        return found

    def run(self, traffic: Traffic, until: int) -> list[Transition]:
        return [t for _ in range(self.pane, until) for t in self.close(traffic)]

    # ---- store and restore

    def stored(self) -> dict[str, State]:
        """Give what the judge keeps, as it comes back from bytes."""
        return {section.name: decode(encode(section.make()), section.name) for section in self.judge.sections()}

    def again(
        self,
        states: Mapping[str, State] | None = None,
        *,
        plans: Plans | None = None,
        drop: Callable[[StreamKey], bool] = lambda _: False,
    ) -> Bench:
        """Give a bench in a new process, with this one's counts, that goes on from its state.

        plans: those of the new process, if others. drop: streams that begin anew. The rows stay where they are.
        """
        states = self.stored() if states is None else states
        other: Bench = copy.copy(self)
        other.plans, other.transitions = dict(self.plans if plans is None else plans), []
        other.table = copy.deepcopy(self.table)
        other.table.changed = {subject.index for subject in other.table.subjects}
        other.ladders = copy.deepcopy(self.ladders)
        other.views = Views(other.table, other.ladders)
        other.views.restore(self.views.state())
        other.judge = other.new_judge()
        other.judge.restore(states, moves_of(other.table, drop), self.pane * self.pane_s)
        return other


def moves_of(table: StreamTable, drop: Callable[[StreamKey], bool]) -> Moves:
    """Give moves by which every stream stays where it is, but for those that begin anew."""
    return {
        rows.arena: np.array([-1 if drop(key) else row for row, key in enumerate(rows.keys)], dtype=np.int64)
        for rows in table.arenas
    }


def differing(one: object, other: object, path: str = "") -> list[str]:
    """Give where two states differ, to the last bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        both = sorted(set(one) | set(other))
        return [
            d
            for name in both
            for d in (
                differing(one[name], other[name], f"{path}/{name}")
                if name in one and name in other
                else [f"{path}/{name} is on one side only"]
            )
        ]
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return [f"{path}: {len(one)} and {len(other)}"]
        return [d for i, (a, b) in enumerate(zip(one, other, strict=True)) for d in differing(a, b, f"{path}[{i}]")]
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        is_same = one.shape == other.shape and one.tobytes() == other.tobytes()
        return [] if is_same else [f"{path}: {one} and {other}"]
    is_same = one == other or {repr(one), repr(other)} == {"nan"}
    return [] if is_same else [f"{path}: {one!r} and {other!r}"]
