"""Peers that compare tumbling windows with the past, by a rule with a fixed threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, wasserstein_distance

from benchmarks.detection.candidates import Past, Shape, StreamKind, Terms
from monitor.domain import BoolArray, FloatArray, IntArray

Rule = Callable[[IntArray, FloatArray], BoolArray]
"""Judges full windows, shape (k, n), of the streams whose numbers are given, shape (k,)."""

DECILES = 10
LEAST_SHARE = 1e-4
"""What an empty group counts as: the usual fill."""
EVIDENTLY_DISTANCE = 0.1
EVIDENTLY_NORM_LEAST = 0.001
SCOUTER_ALPHA = 0.05


class Tumbling:
    """Collects windows of n events, and alarms at the last event of each that the rule calls drift."""

    def __init__(self, events: int, rule: Rule, streams: int) -> None:
        self._rule, self._held = rule, np.zeros((streams, events))
        self._count = np.zeros(streams, np.int64)

    def feed(self, values: FloatArray, times_s: FloatArray) -> BoolArray:  # noqa: ARG002
        """Give where a window ends that the rule calls drift."""
        alarms = np.zeros(values.shape, np.bool_)
        for i in range(values.shape[1]):
            rows = np.flatnonzero(~np.isnan(values[:, i]))
            self._held[rows, self._count[rows]] = values[rows, i]
            self._count[rows] += 1
            full = np.flatnonzero(self._count == self._held.shape[1])
            if len(full):
                alarms[full, i] = self._rule(full, self._held[full])
                self._count[full] = 0
        return alarms


class Groups:
    """Frozen groups of the past: tenths of equal mass, categories with one group for unknown ones, or no and yes."""

    def __init__(self, shape: Shape, past: FloatArray) -> None:
        if shape in {Shape.NUMERIC, Shape.POSITIVE}:
            edges = np.nanquantile(past, np.arange(1, DECILES) / DECILES, axis=1).T
        else:
            codes = 1.0 if shape is Shape.RATE else np.nanmax(past) + 1.0
            edges = np.tile(np.arange(codes) + 0.5, (len(past), 1))
        self._edges: FloatArray = np.asarray(edges, dtype=np.float64)
        self.count = self._edges.shape[1] + 1
        self.past = np.stack([self._shares(row, values) for row, values in enumerate(past)])

    def of_windows(self, rows: IntArray, windows: FloatArray) -> FloatArray:
        """Give the shares of the groups in each window, shape (k, groups)."""
        return np.stack([self._shares(int(row), window) for row, window in zip(rows, windows, strict=True)])

    def _shares(self, row: int, values: FloatArray) -> FloatArray:
        known = values[~np.isnan(values)]
        groups = np.searchsorted(self._edges[row], known, side="right")
        return np.bincount(groups, minlength=self.count) / known.size


@dataclass(frozen=True, slots=True)
class Psi:
    """PSI of a window against the past, with the two thresholds that everyone quotes, whatever the window's size."""

    events: int
    threshold: float

    @property
    def name(self) -> str:
        """Give the name in the tables."""
        return f"PSI >= {self.threshold:g}, {self.events:,}"

    def watch(self, stream: StreamKind, past: Past, terms: Terms) -> Tumbling:  # noqa: ARG002
        """Begin to watch."""
        groups = Groups(stream.shape, past.values)
        return Tumbling(self.events, lambda rows, held: psi(groups, rows, held) >= self.threshold, len(past.values))


@dataclass(frozen=True, slots=True)
class ScouterPsi:
    """Scouter's default: PSI against chi-squared's 95 % point over the window's size, at each check (one-sample)."""

    events: int

    @property
    def name(self) -> str:
        """Give the name in the tables."""
        return f"Scouter chi2-PSI, {self.events:,}"

    def watch(self, stream: StreamKind, past: Past, terms: Terms) -> Tumbling:  # noqa: ARG002
        """Begin to watch."""
        groups = Groups(stream.shape, past.values)
        threshold = float(chi2.ppf(1.0 - SCOUTER_ALPHA, groups.count - 1)) / self.events
        return Tumbling(self.events, lambda rows, held: psi(groups, rows, held) >= threshold, len(past.values))


@dataclass(frozen=True, slots=True)
class Evidently:
    """Evidently's default test for a past of more than 1,000 events, stated again after 0.7.23.

    Numbers: the first Wasserstein distance over the past's standard deviation, at least 0.1. Categories, and numbers
    with at most five values: the Jensen-Shannon distance (natural logarithm) of the shares of all values, at least 0.1.
    The real package takes part too, as a foreign peer, where it is installed.
    """

    events: int

    @property
    def name(self) -> str:
        """Give the name in the tables."""
        return f"Evidently restated, {self.events:,}"

    def watch(self, stream: StreamKind, past: Past, terms: Terms) -> Tumbling:  # noqa: ARG002
        """Begin to watch."""
        known = [row[~np.isnan(row)] for row in past.values]
        is_number = stream.shape in {Shape.NUMERIC, Shape.POSITIVE}
        distance = normed_wasserstein if is_number else shares_distance

        def rule(rows: IntArray, held: FloatArray) -> BoolArray:
            found = [distance(known[row], window) for row, window in zip(rows, held, strict=True)]
            return np.array(found) >= EVIDENTLY_DISTANCE

        return Tumbling(self.events, rule, len(past.values))


def psi(groups: Groups, rows: IntArray, windows: FloatArray) -> FloatArray:
    """Give the PSI of each window, empty groups filled."""
    p = np.maximum(groups.of_windows(rows, windows), LEAST_SHARE)
    q = np.maximum(groups.past[rows], LEAST_SHARE)
    found: FloatArray = np.sum((p - q) * np.log(p / q), axis=1)
    return found


def normed_wasserstein(past: FloatArray, window: FloatArray) -> float:
    """Give the first Wasserstein distance over the past's standard deviation."""
    return float(wasserstein_distance(past, window)) / max(float(np.std(past)), EVIDENTLY_NORM_LEAST)


def shares_distance(past: FloatArray, window: FloatArray) -> float:
    """Give the Jensen-Shannon distance of the shares of all values that either has."""
    q, p = (np.bincount(values.astype(np.int64)) / values.size for values in (past, window))
    width = max(q.size, p.size)
    return float(jensenshannon(np.pad(q, (0, width - q.size)), np.pad(p, (0, width - p.size))))
