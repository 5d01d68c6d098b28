"""Detectors of series in plain use, with their usual settings: each gives a score per point, higher is stranger.

All are causal: the score of a point depends on it and on what came before. They are our own short versions, but for
river's. Windows in hours are turned into points by the median spacing of the series.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import stats

from monitor.domain import FloatArray

DAY_S: Final = 86_400.0
MAD_TO_SIGMA: Final = 1.4826
Score = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True, slots=True)
class Peer:
    """score: of times and values. threshold: the one in plain use, a score at or above which is an alarm."""

    score: Score
    threshold: float


def peers() -> Mapping[str, Peer]:
    """Give the peers, by name."""
    found = {
        "rolling z-score, 1 h": Peer(_rolling_z(1.0), 3.0),
        "rolling z-score, 24 h": Peer(_rolling_z(24.0), 3.0),
        "26 h bands (Grafana's PromQL)": Peer(_rolling_z(26.0), 2.0),
        "rolling median and MAD, 61 points": Peer(_hampel, 3.5),
        "EWMA chart, 0.2": Peer(_ewma_chart, 3.0),
        "seasonal median and MAD, 7 days": Peer(_seasonal_median, 3.5),
        "Holt-Winters and MAD": Peer(_holt_winters, 3.5),
        "windowed Gaussian (NAB)": Peer(_windowed_gaussian, 4.0),
        "SPOT": Peer(_spot(depth=0), float(-np.log(1e-4))),
        "DSPOT, depth 10": Peer(_spot(depth=10), float(-np.log(1e-4))),
        "random": Peer(_random, 0.999),
    }
    if importlib.util.find_spec("river") is not None:
        found["HalfSpaceTrees (river)"] = Peer(_half_space_trees, 0.95)
    return found


def _points(times_s: FloatArray, hours: float) -> int:
    return max(3, round(hours * 3_600.0 / float(np.median(np.diff(times_s)))))


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Divide, by a tenth of the mean size so far at least: stretches without noise would be all alarms otherwise."""
    size = np.nan_to_num(np.abs(above))
    so_far = np.cumsum(size) / np.arange(1, size.size + 1)
    return np.asarray(size / np.maximum(np.nan_to_num(below), 0.1 * so_far + 1e-300))


def _moments(values: FloatArray, width: int) -> tuple[FloatArray, FloatArray]:
    """Give mean and standard deviation of the `width` values before each."""
    centred = values - values.mean()
    first, second = (np.concatenate([[0.0], np.cumsum(centred**power)]) for power in (1, 2))
    at = np.arange(values.size)
    since = np.maximum(0, at - width)
    count = np.maximum(1, at - since)
    mean = (first[at] - first[since]) / count
    variance = (second[at] - second[since]) / count - mean**2
    return mean + values.mean(), np.sqrt(np.maximum(variance, 0.0))


def _rolling_z(hours: float) -> Score:
    def score(times_s: FloatArray, values: FloatArray) -> FloatArray:
        width = _points(times_s, hours)
        mean, deviation = _moments(values, max(width, 12))
        found = _ratio(values - mean, deviation)
        found[:12] = 0.0
        return found

    return score


def _trailing_median(values: FloatArray, width: int) -> FloatArray:
    """Give the median of the `width` values before each; NaN at first."""
    found = np.full(values.size, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    for since in range(0, windows.shape[0] - 1, 20_000):
        part = windows[since : min(since + 20_000, windows.shape[0] - 1)]
        found[since + width : since + width + part.shape[0]] = np.median(part, axis=1)
    return found


def _hampel(times_s: FloatArray, values: FloatArray) -> FloatArray:  # noqa: ARG001
    off = values - _trailing_median(values, 61)
    spread = _trailing_median(np.abs(np.nan_to_num(off)), 61)
    return _ratio(off, MAD_TO_SIGMA * spread)


def _ewma_chart(times_s: FloatArray, values: FloatArray) -> FloatArray:
    mean = np.empty(values.size)
    level = values[0]
    for at, value in enumerate(values.tolist()):
        mean[at] = level
        level += 0.2 * (value - level)
    off = values - mean
    _, deviation = _moments(off, _points(times_s, 24.0))
    return _ratio(off, deviation)


def _seasonal_median(times_s: FloatArray, values: FloatArray) -> FloatArray:
    day = _points(times_s, 24.0)
    past = np.full((7, values.size), np.nan)
    for number in range(7):
        lag = (number + 1) * day
        past[number, lag:] = values[: max(0, values.size - lag)]
    known = np.isfinite(past).any(axis=0)
    off = np.where(known, values, 0.0) - np.nan_to_num(np.nanmedian(np.where(known, past, 0.0), axis=0))
    off[~known] = 0.0
    return _ratio(off, MAD_TO_SIGMA * _trailing_median(np.abs(off), min(day, 288)))


def _holt_winters(times_s: FloatArray, values: FloatArray) -> FloatArray:
    day = _points(times_s, 24.0)
    season, level, trend = [0.0] * day, float(values[0]), 0.0
    off = np.zeros(values.size)
    for at, value in enumerate(values.tolist()):
        slot = at % day
        error = value - level - trend - season[slot]
        off[at] = error if at >= 2 * day else 0.0
        before = level
        level += trend + 0.1 * error
        trend += 0.001 * (level - before - trend)
        season[slot] += 0.3 * (value - level - season[slot])
    return _ratio(off, MAD_TO_SIGMA * _trailing_median(np.abs(off), min(day, 288)))


def _windowed_gaussian(times_s: FloatArray, values: FloatArray) -> FloatArray:  # noqa: ARG001
    """NAB's baseline: mean and deviation of the last 6,400 points, taken anew each 100."""
    mean, deviation = _moments(values, 6_400)
    held = np.arange(values.size) // 100 * 100
    found = _ratio(values - mean[held], deviation[held])
    found[:100] = 0.0
    return found


def _spot(depth: int, share: float = 0.02, start: int = 500) -> Score:
    """SPOT (Siffer and others, 2017): a generalised Pareto tail of peaks, by moments; with a depth, of deviations."""

    def score(times_s: FloatArray, values: FloatArray) -> FloatArray:  # noqa: ARG001
        off = values - np.median(values[:start])
        if depth:
            off = values - _moments(values, depth)[0]
        return np.asarray(np.maximum(_tail(off, share, start), _tail(-off, share, start)))

    return score


def _tail(off: FloatArray, share: float, start: int) -> FloatArray:
    start = min(start, off.size // 4)
    level = float(np.quantile(off[:start], 1.0 - share))
    peaks = (off[:start][off[:start] > level] - level).tolist()
    total, squares, count = sum(peaks), sum(peak * peak for peak in peaks), len(peaks)
    found = np.zeros(off.size)
    for at in np.flatnonzero(off > level).tolist():
        if at < start:
            continue
        peak = float(off[at]) - level
        mean = max(total / max(1, count), 1e-12)
        variance = max(squares / max(1, count) - mean * mean, 1e-12 * mean * mean)
        shape = min(0.5 * (1.0 - mean * mean / variance), 0.45)
        scale = mean * (1.0 - shape)
        found[at] = -_log_sf(peak, shape, scale) - np.log(max(1, count) / (at + 1))
        # Alarms don't teach the tail, as in the paper.
        if found[at] < -np.log(1e-4):
            total, squares, count = total + peak, squares + peak * peak, count + 1
    return found


def _log_sf(peak: float, shape: float, scale: float) -> float:
    """Give the log of the share of a generalised Pareto distribution beyond a peak, at least -200."""
    return max(-200.0, float(stats.genpareto.logsf(peak, shape, scale=scale)))


def _random(times_s: FloatArray, values: FloatArray) -> FloatArray:  # noqa: ARG001
    return np.random.default_rng(values.size).random(values.size)


def _half_space_trees(times_s: FloatArray, values: FloatArray) -> FloatArray:  # noqa: ARG001
    """HalfSpaceTrees of river with its defaults, on values scaled to what was seen so far."""
    from river import anomaly  # noqa: PLC0415 - an optional peer

    trees: Any = anomaly.HalfSpaceTrees(seed=1)  # it publishes no types
    low, high = np.minimum.accumulate(values), np.maximum.accumulate(values)
    scaled = (values - low) / np.maximum(high - low, 1e-300)
    found = np.zeros(values.size)
    for at, value in enumerate(scaled.tolist()):
        point = {"value": value}
        found[at] = trees.score_one(point)
        trees.learn_one(point)
    return found
