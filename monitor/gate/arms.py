"""The two versions' traffic brought to one mix, so that an easier mix is no merit (direct standardisation)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from monitor.bins import LOG_INNER, NO, YES, log_edges, log_values
from monitor.domain import FloatArray, Kind
from monitor.fields import VOLUME
from monitor.gate.contrasts import TINY
from monitor.gate.means import Mean
from monitor.gate.policy import Criterion, Measure, Mix
from monitor.gate.quantiles import Distribution
from monitor.gate.rates import Rate
from monitor.kpis.base import Cell, StreamCounts

Cells = Mapping[str, Cell]
"""By segment, "" for all traffic: one model version over one stretch of time."""
STRATUM_LEAST: Final = 20
"""Values of either version below which a stratum is thrown together with the others that are as small."""
KINDS: Final[Mapping[Measure, Kind]] = {
    Measure.RATE: Kind.YES_NO,
    Measure.MEAN: Kind.LOG,
    Measure.QUANTILE: Kind.LOG,
}
Stratum = tuple[StreamCounts, StreamCounts]
"""Candidate's and incumbent's counts."""


class Strata(NamedTuple):
    """What is compared with what. weights: of the mix, summing to 1. coverage: share of the mix that is in here.

    left_out: segments that only one version has served.
    """

    strata: Sequence[Stratum]
    weights: FloatArray
    coverage: float = 1.0
    left_out: tuple[str, ...] = ()


def stream_of(cells: Cells, segment: str, criterion: Criterion) -> StreamCounts | None:
    """Give the counts that a criterion reads of a segment; None where there are none of the kind that it needs."""
    stream = cells.get(segment, {}).get(criterion.field)
    return None if stream is None or stream.kind is not KINDS[criterion.measure] else stream


def strata_of(candidate: Cells, incumbent: Cells, criterion: Criterion, segment: str, mix: Mix) -> Strata | None:
    """Give the strata of two versions by the values of a segment name, "" for one stratum; None where nothing is there.

    Weights are shares of events, as streams of values may be sampled. Events without a value of the segment are in
    none.
    """
    if not segment:
        own, other = stream_of(candidate, "", criterion), stream_of(incumbent, "", criterion)
        return None if own is None or other is None else Strata([(own, other)], np.ones(1))
    found: list[Stratum] = []
    weights: list[float] = []
    small: list[tuple[str, StreamCounts | None, StreamCounts | None, float]] = []
    for name in sorted(n for n in {*candidate, *incumbent} if n.startswith(f"{segment}=")):
        own, other = stream_of(candidate, name, criterion), stream_of(incumbent, name, criterion)
        events = _events(incumbent, name, other) + (_events(candidate, name, own) if mix == "pooled" else 0.0)
        if own is None or other is None or min(own.samples(), other.samples()) < STRATUM_LEAST:
            small.append((name, own, other, events))
        else:
            found.append((own, other))
            weights.append(events)
    rest = _sum([own for _, own, _, _ in small]), _sum([other for _, _, other, _ in small])
    left_out: tuple[str, ...] = tuple(name for name, _, _, events in small if events > 0.0)
    missing = sum(events for *_, events in small)
    if rest[0] is not None and rest[1] is not None and min(r.samples() for r in rest if r) >= STRATUM_LEAST:
        found.append((rest[0], rest[1]))
        weights.append(missing)
        left_out, missing = (), 0.0
    total = sum(weights)
    if total <= 0.0:
        return None
    return Strata(found, np.array(weights) / total, total / (total + missing), left_out)


def _events(cells: Cells, segment: str, stream: StreamCounts | None) -> float:
    volume = cells.get(segment, {}).get(VOLUME)
    if volume is not None:
        return float(volume.counts[0])
    return 0.0 if stream is None else float(stream.samples())


def _sum(streams: Sequence[StreamCounts | None]) -> StreamCounts | None:
    total: StreamCounts | None = None
    for stream in streams:
        if stream is not None:
            total = stream if total is None else total + stream
    return total


# ---- one version, of all strata


def rate_of(streams: Sequence[StreamCounts], weights: FloatArray) -> Rate:
    """Give a rate of the mix, as hits of so many samples that its variance is that of the weighted strata."""
    hits = np.array([stream.counts[YES] for stream in streams], dtype=np.float64)
    samples = np.array([stream.counts[YES] + stream.counts[NO] for stream in streams], dtype=np.float64)
    smooth = (hits + 0.5) / (samples + 1.0)  # else strata without a hit would know their rate for certain
    mean = float(weights @ smooth)
    effective = mean * (1.0 - mean) / float(weights**2 @ (smooth * (1.0 - smooth) / samples))
    return Rate(np.array([effective * float(weights @ (hits / samples))]), np.array([effective]))


def mean_of(streams: Sequence[StreamCounts], weights: FloatArray) -> Mean:
    """Give a mean of the mix. Values beyond the grid count as its end, those below it as 0."""
    moments = np.array([_moments(stream) for stream in streams])
    samples, mean, second, third = moments.T
    share, share_third = float(weights**2 @ (1.0 / samples)), float(weights**3 @ (1.0 / samples**2))
    parts = (
        weights @ mean,
        weights**2 @ (second / samples) / share,
        weights**3 @ (third / samples**2) / share_third,
        share,
        share_third,
    )
    return Mean(*(np.array([float(part)]) for part in parts))


def _moments(stream: StreamCounts) -> tuple[float, float, float, float]:
    counts, values = stream.valued().astype(np.float64), log_values(stream.exponent)
    samples = counts.sum()
    mean = counts @ values / samples
    return samples, mean, counts @ (values - mean) ** 2 / samples, counts @ (values - mean) ** 3 / samples


def distribution_of(streams: Sequence[StreamCounts], weights: FloatArray, quantile: float) -> Distribution:
    """Give the distribution of the mix."""
    below = np.array([np.cumsum(stream.valued())[: LOG_INNER + 1] / stream.samples() for stream in streams])
    samples = np.array([stream.samples() for stream in streams], dtype=np.float64)
    whole = Distribution(np.log(log_edges(streams[0].exponent)), weights @ below, 1.0)
    at = np.array([float(np.interp(whole.at(quantile), whole.log_edges, each)) for each in below])
    at = (at * samples + 0.5) / (samples + 1.0)
    mean = float(weights @ at)
    variance = float(weights**2 @ (at * (1.0 - at) / samples))
    return whole._replace(samples=mean * (1.0 - mean) / max(variance, TINY))


def value_of(arm: Rate | Mean | Distribution, quantile: float) -> float:
    """Give what a person would call the value of a version."""
    if isinstance(arm, Rate):
        return float(arm.hits[0] / arm.samples[0])
    return float(arm.value[0]) if isinstance(arm, Mean) else float(np.exp(arm.at(quantile)))


OF: Final[Mapping[Measure, Callable[[Sequence[StreamCounts], FloatArray, float], Rate | Mean | Distribution]]] = {
    Measure.RATE: lambda streams, weights, _: rate_of(streams, weights),
    Measure.MEAN: lambda streams, weights, _: mean_of(streams, weights),
    Measure.QUANTILE: distribution_of,
}
