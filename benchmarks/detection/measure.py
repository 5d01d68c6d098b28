"""Run one candidate on one family or scenario, and say with what certainty what came of it."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, chi2

from benchmarks.detection.candidates import Candidate, Past, Terms, Watcher
from benchmarks.detection.families import Family, Source
from benchmarks.detection.scenarios import Scenario
from monitor.domain import FloatArray, IntArray

BLOCK_LOOKS = 1_000
WARM_EVENTS = (200, 600)
"""The onset comes after so many quiet events, drawn evenly: no candidate can know it, nor wait for it."""
NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Quiet:
    """Alarms where nothing changed."""

    alarms: int
    events: int
    days: float
    """Stream-days watched."""
    dispersion: float = 1.0
    """Variance over mean of the streams' numbers of alarms, at least 1: above it where some have an unlucky past."""

    @property
    def per_day(self) -> float:
        """Give false alarms per stream-day."""
        return self.alarms / self.days

    @property
    def per_day_upper(self) -> float:
        """Give the upper end of its one-sided 95 % interval (Poisson)."""
        return float(chi2.ppf(0.95, 2 * self.alarms + 2)) / 2.0 / self.days

    def interval_ratio(self, arl0_events: float) -> tuple[float, float, float]:
        """Give realised over configured mean interval between false alarms, with the ends of its 95 % interval.

        The estimate for censored exponential intervals is all events over all alarms; it is infinite without alarms.
        The ends are Poisson's with as many alarms as count as independent, alarms / dispersion.
        """
        configured = self.events / arl0_events
        count = self.alarms / self.dispersion
        low = configured / (self.dispersion * float(chi2.ppf(0.975, 2.0 * count + 2.0)) / 2.0)
        if not self.alarms:
            return math.inf, low, math.inf
        high = configured / (self.dispersion * float(chi2.ppf(0.025, 2.0 * count)) / 2.0)
        return configured / self.alarms, low, high


@dataclass(frozen=True, slots=True)
class Delays:
    """How long each stream took to tell a change."""

    events: FloatArray
    """Events from the onset to the first alarm after it, at least 1; infinite if none came within the deadline."""
    limit_events: float
    missed_after_events: float
    deadline_events: float

    @property
    def mean(self) -> float:
        """Give the mean delay in events, misses at the deadline."""
        return float(self._charged.mean())

    @property
    def mean_error(self) -> float:
        """Give half of the mean's 95 % interval (normal)."""
        return NORMAL_95 * float(self._charged.std(ddof=1)) / math.sqrt(len(self.events))

    @property
    def ratio(self) -> float:
        """Give the mean delay over D*."""
        return self.mean / self.limit_events

    @property
    def missed(self) -> float:
        """Give the share of streams that took longer than counts as a miss."""
        return float(np.mean(self.events > self.missed_after_events))

    @property
    def missed_upper(self) -> float:
        """Give the upper end of its one-sided 95 % interval (Clopper and Pearson)."""
        n, k = len(self.events), int(np.sum(self.events > self.missed_after_events))
        return 1.0 if k == n else float(beta.ppf(0.95, k + 1, n - k))

    @property
    def _charged(self) -> FloatArray:
        return np.minimum(self.events, self.deadline_events)


@dataclass(slots=True)
class _Watch:
    """A source and who watches it, from where the past ended."""

    family: Family
    source: Source
    watcher: Watcher
    position: int

    def times_s(self, looks: int) -> FloatArray:
        """Give the times of the next looks."""
        times_s = np.arange(self.position, self.position + looks, dtype=np.float64) * self.family.look_s
        self.position += looks
        return times_s


def watch_quiet(
    candidate: Candidate, family: Family, arl0_events: float, streams: int, looks: int, seed: int = 1
) -> Quiet | None:
    """Count alarms on streams where nothing changes; None if the candidate is not for them."""
    watch = _begin(candidate, family, arl0_events, streams, np.random.default_rng(_seeds(seed, family.name)))
    if watch is None:
        return None
    alarms = np.zeros(streams, np.int64)
    events = 0
    for start in range(0, looks, BLOCK_LOOKS):
        times_s = watch.times_s(min(BLOCK_LOOKS, looks - start))
        values = watch.source.block(times_s)
        alarms += watch.watcher.feed(values, times_s).sum(axis=1)
        events += int(np.count_nonzero(~np.isnan(values)))
    return Quiet(int(alarms.sum()), events, streams * looks / family.looks_per_day, _dispersion(alarms))


def watch_change(candidate: Candidate, scenario: Scenario, streams: int, seed: int = 1) -> Delays | None:
    """Time the first alarm after the onset in each stream; None if the candidate is not for them.

    Alarms before the onset are false and count in `watch_quiet`, not here: their streams watch on, restarted.
    """
    rng = np.random.default_rng(_seeds(seed, scenario.name))
    watch = _begin(candidate, scenario.before, scenario.arl0_events, streams, rng)
    if watch is None:
        return None
    density = scenario.before.events_per_look
    onset = (watch.position + rng.integers(*WARM_EVENTS, size=streams, endpoint=True) / density).astype(np.int64)
    delay, since = np.full(streams, math.inf), np.zeros(streams, np.int64)
    while np.any(np.isinf(delay) & (since < scenario.deadline_events)):
        first = watch.position
        times_s = watch.times_s(_block_looks(scenario, first, onset))
        looks_since = first + np.arange(len(times_s)) - onset[:, None] + 1
        is_after = looks_since >= 1
        before = watch.source.block(times_s)
        values = np.where(is_after, scenario.after(before, looks_since.astype(np.float64) * density, rng), before)
        alarms = watch.watcher.feed(values, times_s) & is_after
        counted = since[:, None] + np.cumsum(is_after & ~np.isnan(values), axis=1)
        is_found = alarms.any(axis=1) & np.isinf(delay)
        at = alarms.argmax(axis=1)
        delay[is_found] = np.maximum(1, counted[is_found, at[is_found]])
        since = counted[:, -1]
    delay[delay > scenario.deadline_events] = math.inf
    return Delays(delay, scenario.limit_events, scenario.missed_after_events, scenario.deadline_events)


def _begin(
    candidate: Candidate, family: Family, arl0_events: float, streams: int, rng: np.random.Generator
) -> _Watch | None:
    source = family.make(rng, streams)
    times_s = np.arange(family.past_looks, dtype=np.float64) * family.look_s
    past = Past(np.empty((streams, family.past_looks)), times_s)
    for start in range(0, family.past_looks, BLOCK_LOOKS):
        block = slice(start, start + BLOCK_LOOKS)
        past.values[:, block] = source.block(times_s[block])
    watcher = candidate.watch(family.kind, past, Terms(arl0_events, int(rng.integers(2**31))))
    return _Watch(family, source, watcher, family.past_looks) if watcher is not None else None


def _block_looks(scenario: Scenario, position: int, onset: IntArray) -> int:
    """Give the looks until all onsets are past; then small blocks, to stop soon after the last stream is done."""
    to_onsets = int(onset.max()) - position
    if to_onsets > 0:
        return min(BLOCK_LOOKS, to_onsets)
    return min(BLOCK_LOOKS, 20 + int(scenario.limit_events / 4.0 / scenario.before.events_per_look))


def _dispersion(alarms: IntArray) -> float:
    return max(1.0, float(alarms.var(ddof=1) / alarms.mean())) if alarms.any() and len(alarms) > 1 else 1.0


def _seeds(seed: int, name: str) -> list[int]:
    """Give seeds that are the same for every candidate, so that all watch the same streams."""
    return [seed, zlib.crc32(name.encode())]
