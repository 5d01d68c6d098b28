"""How much came, and how much of it the model was made for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from monitor.bins import ABOVE, ARENA_OF, BELOW, NULLS, UNSEEN, Arena
from monitor.detectors.mean import BIN_ERROR
from monitor.domain import Kind
from monitor.fields import FEATURE_PREFIX, VOLUME, is_of_outcomes
from monitor.kpis.base import UNKNOWN, Cell, Estimate, StreamCounts, flags_of, log_counts_of
from monitor.kpis.limits import count_limits, scaled, share_limits, z_of


@dataclass(frozen=True, slots=True)
class Throughput:
    """Events of the cell, a count; per_time of it is predictions per hour.

    Interval: Garwood's, of the mean behind a Poisson count. Guarantee: each side misses with at most alpha/2 for
    Poisson arrivals; traffic that comes in bursts varies more. Source: limits.count_limits. Zero is 0, not unknown.
    """

    name: str = "throughput"
    unit: str = "count"
    fields: tuple[str, ...] = (VOLUME,)
    is_higher_better: bool | None = None

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the count; unknown where events are not counted."""
        stream = cell.get(VOLUME)
        if stream is None or stream.kind is not Kind.VOLUME:
            return UNKNOWN
        count = int(stream.counts[0])
        return Estimate(float(count), *count_limits(count, alpha), count)


def per_time(estimate: Estimate, span_s: float, unit_s: float) -> Estimate:
    """Give a total of a stretch of `span_s` seconds as a rate per `unit_s` seconds; unknown for a stretch of none."""
    return scaled(estimate, unit_s / span_s) if span_s > 0.0 else UNKNOWN


@dataclass(frozen=True, slots=True)
class Successes:
    """Yes of a yes/no stream, a count: successful outcomes of a model version. Interval, guarantee: as Throughput."""

    name: str
    field: str
    unit: str = "count"
    is_higher_better: bool | None = True

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the count; unknown where nothing was told."""
        count, samples = flags_of(cell, self.field)
        return Estimate(float(count), *count_limits(count, alpha), samples) if samples else UNKNOWN


@dataclass(frozen=True, slots=True)
class Total:
    """Sum of all values of LOG streams, in their unit: tokens or cost of the cell; per_time of it is a rate.

    Interval: normal, of the sum over events that come as a Poisson process, whose variance is sum x^2; streams of one
    event go together, so their errors are added. 1 % further out for the grid; high is infinite where a value lies
    beyond it. Guarantee: asymptotic; traffic that comes in bursts varies more.
    Source: compound Poisson process, Feller (1968), volume 1, chapter XII.
    """

    name: str
    unit: str
    fields: tuple[str, ...]
    is_higher_better: bool | None = None

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the sum; unknown without values."""
        streams = [(x, n) for x, n in (log_counts_of(cell, field) for field in self.fields) if n.sum() > 0.0]
        if not streams:
            return UNKNOWN
        total = sum(float(n @ x) for x, n in streams)
        half = z_of(alpha) * sum(math.sqrt(float(n @ (x * x))) for x, n in streams)
        is_beyond = any(n[-1] > 0.0 for _, n in streams)
        high = math.inf if is_beyond else (total + half) * (1.0 + BIN_ERROR)
        samples = int(max(float(n.sum()) for _, n in streams))
        return Estimate(total, max(total - half, 0.0) * (1.0 - BIN_ERROR), high, samples)


@dataclass(frozen=True, slots=True)
class OutOfDistribution:
    """Share of all feature values that lie outside of what the reference saw; ratio.

    Outside: below or above the numeric range, or an unseen category. Nulls are in neither count. Interval:
    limits.share_limits for as many events as a feature has on average, as if the features of one event were outside
    together: it holds however they depend on each other. Guarantee: so for independent events, conservative.
    """

    name: str = "ood_rate"
    unit: str = "ratio"
    fields: tuple[str, ...] = (f"{FEATURE_PREFIX}*",)
    is_higher_better: bool | None = False

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the share; unknown without features."""
        outside, values, features = 0, 0, 0
        for hits, samples in _features(cell):
            outside, values, features = outside + hits, values + samples, features + (samples > 0)
        if values == 0:
            return UNKNOWN
        low, high = share_limits(outside / features, values / features, alpha)
        return Estimate(outside / values, low, high, values // features)


@dataclass(frozen=True, slots=True)
class Completeness:
    """Share of the values that were logged, of all that events of this model carry: features and fields; ratio.

    Nulls and absent values are missing; yes/no fields are left out, where null says "not checked". Interval:
    limits.share_limits for as many events as a stream has on average, as if all values of an event went missing
    together: it holds however they depend on each other. Guarantee: so for independent events, conservative.
    """

    name: str = "logging_completeness"
    unit: str = "ratio"
    fields: tuple[str, ...] = (f"{FEATURE_PREFIX}*",)
    is_higher_better: bool | None = True

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the share; unknown without values or nulls."""
        there = gone = streams = 0
        for field, stream in cell.items():
            arena = ARENA_OF[stream.kind]
            if arena is Arena.FLAGS or is_of_outcomes(field):
                continue
            nulls, samples = int(stream.counts[NULLS[arena]]), stream.samples()
            there, gone, streams = there + samples, gone + nulls, streams + (samples + nulls > 0)
        if there + gone == 0:
            return UNKNOWN
        low, high = share_limits(there / streams, (there + gone) / streams, alpha)
        return Estimate(there / (there + gone), low, high, (there + gone) // streams)


def _features(cell: Cell) -> Iterator[tuple[int, int]]:
    """Give values outside and values of each feature."""
    for field, stream in cell.items():
        if field.startswith(FEATURE_PREFIX) and stream.kind in (Kind.NUMERIC, Kind.CATEGORICAL):
            yield sum(int(stream.counts[bin_]) for bin_ in _outside(stream)), stream.samples()


def _outside(stream: StreamCounts) -> tuple[int, ...]:
    return (BELOW, ABOVE) if stream.kind is Kind.NUMERIC else (UNSEEN,)
