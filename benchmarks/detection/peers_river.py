"""river's detectors as peers: with their defaults, and re-calibrated.

Each stream has a detector of its own, warmed with the last of the past. After an alarm it goes on as river made it to.
Re-calibrated: its one threshold is such that it has one false alarm in 100,000 events of N(0, 1), or of yes/no at 1 %,
and numeric streams are standardised by their past first (positive ones after a logarithm). The thresholds were found
by `python -m benchmarks.detection.peers_river`, and what they give is measured anew in every run.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.detection.candidates import Past, Shape, StreamKind, Terms
from monitor.domain import BoolArray, FloatArray

WARM_EVENTS = 1_000
TARGET_EVENTS = 1e5
STEPS = 9
BINARY = "river.drift.binary"
NUMBERS = frozenset({Shape.NUMERIC, Shape.POSITIVE, Shape.RATE})
YES_NO = frozenset({Shape.RATE})


class Detector(Protocol):
    """What river's detectors have in common."""

    drift_detected: bool

    def update(self, x: float) -> object:
        """Take one value."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One of river's detectors, and its one threshold."""

    name: str
    module: str
    parameter: str
    bounds: tuple[float, float]
    """Loosest and strictest value in the search, of one sign; the search is even in the logarithm."""
    shapes: frozenset[Shape]
    calibrated: tuple[float | None, float | None] = (None, None)
    """For numbers and for yes/no. None: KSWIN costs too much to search, and no threshold of DDM is strict enough."""
    events: int = 4_000_000
    """What the search watches at each step."""

    def maker(self, value: float | None, seed: int = 1) -> Callable[[], Detector]:
        """Give a maker of detectors with this threshold, or the default one."""
        kind = getattr(importlib.import_module(self.module), self.name)
        arguments = {} if value is None else {self.parameter: value}
        if self.name == "KSWIN":
            arguments["seed"] = seed
        return lambda: kind(**arguments)


ADWIN = Algorithm("ADWIN", "river.drift", "delta", (0.5, 1e-6), NUMBERS, (0.0188, 0.2635))
PAGE_HINKLEY = Algorithm("PageHinkley", "river.drift", "threshold", (2.0, 500.0), NUMBERS, (267.5, 22.39))
KSWIN = Algorithm("KSWIN", "river.drift", "alpha", (0.01, 1e-6), NUMBERS)
DDM = Algorithm("DDM", BINARY, "drift_threshold", (1.0, 30.0), YES_NO)
EDDM = Algorithm("EDDM", BINARY, "beta", (0.94, 0.1), YES_NO, (None, 0.674))
HDDM_A = Algorithm("HDDMA", BINARY, "drift_confidence", (0.5, 1e-12), YES_NO, (None, 0.03796), 1_000_000)
HDDM_W = Algorithm("HDDMW", BINARY, "drift_confidence", (0.5, 1e-12), YES_NO, (None, 0.09285), 1_000_000)
ALGORITHMS = (ADWIN, PAGE_HINKLEY, KSWIN, DDM, EDDM, HDDM_A, HDDM_W)


@dataclass(frozen=True, slots=True)
class River:
    """One of river's detectors as a candidate."""

    algorithm: Algorithm
    is_calibrated: bool = False

    @property
    def name(self) -> str:
        """Give the name in the tables."""
        return f"{self.algorithm.name}{', re-calibrated' if self.is_calibrated else ''}"

    def watch(self, stream: StreamKind, past: Past, terms: Terms) -> Each | None:
        """Begin to watch; None if the detector is not for such values."""
        value = self.algorithm.calibrated[stream.shape is Shape.RATE] if self.is_calibrated else None
        if stream.shape not in self.algorithm.shapes or (self.is_calibrated and value is None):
            return None
        ready = Standard(stream.shape, past.values) if self.is_calibrated else None
        watcher = Each(self.algorithm.maker(value, terms.seed), len(past.values), ready)
        watcher.warm(past)
        return watcher


class Standard:
    """Standardises numbers by their past, positive ones after a logarithm; leaves yes/no as it is."""

    def __init__(self, shape: Shape, past: FloatArray) -> None:
        self._is_log, self._is_rate = shape is Shape.POSITIVE, shape is Shape.RATE
        known = self._scaled(past)
        self._mean = np.nanmean(known, axis=1, keepdims=True)
        self._sd = np.nanstd(known, axis=1, keepdims=True)

    def __call__(self, values: FloatArray) -> FloatArray:
        """Give the values on the scale of the past."""
        return values if self._is_rate else (self._scaled(values) - self._mean) / self._sd

    def _scaled(self, values: FloatArray) -> FloatArray:
        return np.log(values) if self._is_log else values


class Each:
    """A detector for each stream, fed event by event."""

    def __init__(self, make: Callable[[], Detector], streams: int, ready: Standard | None) -> None:
        self._detectors, self._ready = [make() for _ in range(streams)], ready

    def warm(self, past: Past) -> None:
        """Feed the last of the past; its alarms are not told."""
        is_last = np.cumsum(~np.isnan(past.values[:, ::-1]), axis=1)[:, ::-1] <= WARM_EVENTS
        self.feed(np.where(is_last, past.values, np.nan), past.times_s)

    def feed(self, values: FloatArray, times_s: FloatArray) -> BoolArray:  # noqa: ARG002
        """Give where a detector tells of drift."""
        ready = self._ready(values) if self._ready else values
        alarms = np.zeros(values.shape, np.bool_)
        for row, told, detector in zip(ready, alarms, self._detectors, strict=True):
            for i in np.flatnonzero(~np.isnan(row)).tolist():
                detector.update(row.item(i))
                if detector.drift_detected:
                    told[i] = True
        return alarms


def calibrate(algorithm: Algorithm, *, is_rate: bool) -> float:
    """Find the threshold with one false alarm in TARGET_EVENTS, by bisection on its logarithm."""
    rng = np.random.default_rng(1)
    streams, looks = 40, algorithm.events // 40
    values = (rng.random((streams, looks)) < 0.01).astype(float) if is_rate else rng.standard_normal((streams, looks))
    loose, strict = np.log(algorithm.bounds)
    for _ in range(STEPS):
        middle = (loose + strict) / 2.0
        watcher = Each(algorithm.maker(float(np.exp(middle))), streams, None)
        alarms = watcher.feed(values, np.arange(looks, dtype=np.float64)).sum()
        loose, strict = (middle, strict) if alarms > values.size / TARGET_EVENTS else (loose, middle)
    return float(np.exp(strict))


def main() -> None:
    """Print the re-calibrated thresholds."""
    for algorithm in ALGORITHMS:
        for is_rate in (False, True):
            if algorithm is not KSWIN and (Shape.RATE if is_rate else Shape.NUMERIC) in algorithm.shapes:
                kind = "yes/no" if is_rate else "numbers"
                print(f"{algorithm.name}, {kind}: {algorithm.parameter} = {calibrate(algorithm, is_rate=is_rate):.4g}")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
