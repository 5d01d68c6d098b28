"""driftd itself: the product's bins, learning and engine, one event a look, as a pipeline with panes of one event."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.detection.candidates import Past, Shape, StreamKind, Terms, Watcher
from monitor.bins import CATEGORIES_MAX, UNSEEN, VALUE_SPANS, WIDTHS, Arena, log_bin, numeric_bin
from monitor.domain import BoolArray, FloatArray, IntArray, Kind
from monitor.probes import PROBE_VALUES, place_grid
from monitor.sequential.budget import nats_for
from monitor.sequential.engine import Engine
from monitor.sequential.fluctuation import Inflation
from monitor.sequential.learning import Learner
from monitor.sequential.normal import Normal
from monitor.sequential.rates import ABOVE, BOTH, RateTracks, temper_of

KINDS = {Shape.NUMERIC: Kind.NUMERIC, Shape.POSITIVE: Kind.LOG, Shape.CATEGORICAL: Kind.CATEGORICAL}
ARENAS = {Shape.NUMERIC: Arena.VALUES, Shape.POSITIVE: Arena.LOGS, Shape.CATEGORICAL: Arena.VALUES}
NONE = -1
EXPONENT = -20


def candidate() -> Driftd:
    """Give ours, in its one configuration."""
    return Driftd()


@dataclass(frozen=True, slots=True)
class Driftd:
    """The sequential engine as users get it: odds of change, against a budget of seconds."""

    name: str = "driftd"

    def watch(self, stream: StreamKind, past: Past, terms: Terms) -> Watcher:
        """Learn from the past, and begin."""
        budget_s = terms.arl0_events / stream.events_per_s
        if stream.shape is Shape.RATE:
            return Rates(past.values, past, stream.rate_threshold, nats_for(budget_s))
        if stream.p95_budget is None:
            return Values(stream.shape, past, nats_for(budget_s))
        half = nats_for(2.0 * budget_s)
        over = Rates(_over(past.values, stream.p95_budget), past, 0.05, half)
        return Budgeted(stream.p95_budget, over, Values(stream.shape, past, half))


def _over(values: FloatArray, limit: float) -> FloatArray:
    return np.where(np.isnan(values), np.nan, values > limit)


class Values:
    """Numeric, positive or categorical streams under the drift engine."""

    def __init__(self, shape: Shape, past: Past, nats: float) -> None:
        streams = len(past.values)
        self._shape, self._arena = shape, ARENAS[shape]
        self._width = WIDTHS[self._arena]
        self._grid = self._grids(past.values) if shape is Shape.NUMERIC else np.zeros((streams, 4))
        self._codes = self._categories(past.values) if shape is Shape.CATEGORICAL else {}
        self._rows, self._nats = np.arange(streams), nats
        bins = self._bins(past.values)
        span = VALUE_SPANS[self._arena]
        counts = np.stack([np.bincount(own[own != NONE], minlength=span).astype(np.uint32) for own in bins])
        normals = self._learn(bins, counts, past.times_s)
        self._engine = Engine(self._width)
        self._engine.watch(self._rows, counts, normals, np.full(streams, nats), float(past.times_s[-1]))

    def _learn(self, bins: IntArray, counts: np.typing.NDArray[np.uint32], times_s: FloatArray) -> list[Normal]:
        learner = Learner(self._arena, float(times_s[1] - times_s[0]))
        kinds = [KINDS[self._shape]] * len(bins)
        seen = np.zeros((len(bins), self._width), dtype=np.uint32)
        panes = (times_s // (times_s[1] - times_s[0])).astype(np.int64)
        for look in range(bins.shape[1]):
            own = bins[:, look]
            at = np.flatnonzero(own != NONE)
            flat = at * self._width + own[at]
            learner.observe(int(panes[look]), float(times_s[look]), flat, np.ones(len(flat), dtype=np.uint32))
            seen.reshape(-1)[flat] += 1
            if look % 256 == 0:
                learner.begin(self._rows, seen, kinds)
        learned = [learner.finish(row, counts[row], kinds[row]) for row in range(len(bins))]
        return [normal for normal in learned if normal is not None]

    def _grids(self, values: FloatArray) -> FloatArray:
        grids = [place_grid(own[~np.isnan(own)][:PROBE_VALUES]) for own in values]
        return np.array([(g.centre, g.width, g.low, g.step) for g in grids])

    def _categories(self, values: FloatArray) -> dict[float, int]:
        names = np.unique(values[~np.isnan(values)]).tolist()
        return {name: min(at, CATEGORIES_MAX) for at, name in enumerate(names)}

    def _bins(self, values: FloatArray) -> IntArray:
        is_value = ~np.isnan(values)
        if self._shape is Shape.CATEGORICAL:
            codes = [self._codes.get(value, UNSEEN) for value in values[is_value].tolist()]
            out = np.full(values.shape, NONE)
            out[is_value] = codes
            return out
        filled = np.where(is_value, values, 1.0)
        if self._shape is Shape.POSITIVE:
            flat = filled.ravel()
            bins = log_bin(flat, np.full(flat.size, EXPONENT)).reshape(values.shape)
        else:
            bins = numeric_bin(filled, *(self._grid[:, at : at + 1] for at in range(4)))
        return np.where(is_value, bins, NONE)

    def feed(self, values: FloatArray, times_s: FloatArray) -> BoolArray:
        """Give where an alarm is raised."""
        bins, out = self._bins(values), np.zeros(values.shape, dtype=bool)
        for look, end_s in enumerate(times_s.tolist()):
            own = bins[:, look]
            at = np.flatnonzero(own != NONE) if (own == NONE).any() else self._rows
            ones = np.ones(len(at), dtype=np.uint32)
            hit = self._engine.observe(at * self._width + own[at], ones, end_s)
            alarmed = hit[self._engine.evidence[hit] >= self._nats]
            if alarmed.size:
                out[alarmed, look] = True
                self._engine.restart(alarmed, end_s)
        return out


class Rates:
    """Yes/no streams: against a limit a person gave, or against the past's own rate."""

    def __init__(self, values: FloatArray, past: Past, limit: float | None, nats: float) -> None:
        hits, events = np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1).astype(np.float64)
        self._rows, self._nats = np.arange(len(values)), nats
        learned = _learned_rates(values, past.times_s)
        inflation, scale = Inflation.of(learned, 1), np.array([normal.scale for normal in learned])
        rate = (hits + 0.5) / (events + 1.0) if limit is None else np.full(len(values), limit)
        needed = np.full(len(values), nats)
        temper = temper_of(rate, needed, inflation, events if limit is None else None) * scale[:, None]
        direction = np.full(len(values), BOTH if limit is None else ABOVE)
        self._tracks = RateTracks()
        self._tracks.watch(self._rows, rate, direction, temper, float(past.times_s[-1]))

    def feed(self, values: FloatArray, times_s: FloatArray) -> BoolArray:
        """Give where an alarm is raised."""
        out = np.zeros(values.shape, dtype=bool)
        for look, end_s in enumerate(times_s.tolist()):
            own = values[:, look]
            at = np.flatnonzero(~np.isnan(own))
            self._tracks.observe(at, own[at], np.ones(len(at)), end_s)
            alarmed = at[self._tracks.evidence[at] >= self._nats]
            if alarmed.size:
                out[alarmed, look] = True
                self._tracks.restart(alarmed, end_s)
        return out


def _learned_rates(values: FloatArray, times_s: FloatArray) -> list[Normal]:
    learner = Learner(Arena.FLAGS, float(times_s[1] - times_s[0]))
    rows, width = np.arange(len(values)), WIDTHS[Arena.FLAGS]
    seen = np.zeros((len(values), width), dtype=np.uint32)
    panes = (times_s // (times_s[1] - times_s[0])).astype(np.int64)
    for look in range(values.shape[1]):
        at = np.flatnonzero(~np.isnan(values[:, look]))
        flat = at * width + values[at, look].astype(np.int64)
        learner.observe(int(panes[look]), float(times_s[look]), flat, np.ones(len(flat), dtype=np.uint32))
        seen.reshape(-1)[flat] += 1
        if look % 256 == 0:
            learner.begin(rows, seen, [Kind.YES_NO] * len(rows))
    span = VALUE_SPANS[Arena.FLAGS]
    learned = [learner.finish(row, seen[row, :span], Kind.YES_NO) for row in range(len(values))]
    return [normal for normal in learned if normal is not None]


class Budgeted:
    """Latency under a p95 budget: the rate of values above it, and drift of the whole, each with half of the budget."""

    def __init__(self, limit: float, over: Rates, whole: Values) -> None:
        self._limit, self._over, self._whole = limit, over, whole

    def feed(self, values: FloatArray, times_s: FloatArray) -> BoolArray:
        """Give where either raises an alarm."""
        return self._over.feed(_over(values, self._limit), times_s) | self._whole.feed(values, times_s)


def ns_per_stream_look(streams: int = 25_000, looks: int = 20) -> float:
    """Give what a look costs the engine per stream, in nanoseconds, when every stream had a value."""
    rng = np.random.default_rng(7)
    past = Past(rng.normal(size=(streams, 600)), np.arange(600.0))
    watcher = Values(Shape.NUMERIC, past, nats_for(1e7))
    values = rng.normal(size=(streams, looks))
    watcher.feed(values[:, :2], np.array([600.0, 601.0]))
    bins = watcher._bins(values)  # noqa: SLF001 - the engine alone is to be timed
    ones, rows = np.ones(streams, dtype=np.uint32), np.arange(streams) * WIDTHS[Arena.VALUES]
    start = time.perf_counter()
    for look in range(looks):
        watcher._engine.observe(rows + bins[:, look], ones, 602.0 + look)  # noqa: SLF001
    return (time.perf_counter() - start) / (streams * looks) * 1e9
