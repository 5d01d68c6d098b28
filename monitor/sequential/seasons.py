"""Hours of the week: what is normal at each, learned with the reference where it is long enough.

A stream that is different by day and by night is no drifting stream. Where the reference holds three days or more, the
mean of each feature is learned by hour of the day, and from two weeks on by day and hour of the week, each drawn back
to the coarser one by as much of it as noise explains (empirical Bayes). What an hour is expected to add is then taken
off before anything is judged.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray, IntArray

HOUR_S: Final = 3600.0
HOURS: Final = 168
HOURS_FOR_DAY: Final = 72
HOURS_FOR_WEEK: Final = 336
DAY: Final = np.arange(HOURS) // 24
HOUR: Final = np.arange(HOURS) % 24


class Seasons:
    """Sums of features by hour of the week, while learning. Memory: 11 KB per stream, from the second hour on."""

    def __init__(self, features: int) -> None:
        self._features = features
        self._current = np.zeros((0, features + 1))
        self._sums = np.zeros((0, HOURS, features + 1), dtype=np.float32)
        self._hours_seen = np.zeros(0)
        self._hour: int | None = None

    def reserve(self, streams: int) -> None:
        """Make room for so many streams."""
        more = streams - len(self._current)
        if more <= 0:
            return
        self._current = np.concatenate([self._current, np.zeros((more, self._features + 1))])
        self._hours_seen = np.concatenate([self._hours_seen, np.zeros(more)])

    def observe(self, time_s: float, streams: IntArray, sums: FloatArray, events: FloatArray) -> None:
        """Add a pane's sums of features, shape (n, features), and events, (n,), of n of the streams."""
        hour = int(time_s // HOUR_S)
        if self._hour is not None and hour != self._hour:
            self._close()
        self._hour = hour
        self._current[streams, :-1] += sums
        self._current[streams, -1] += events

    def _close(self) -> None:
        assert self._hour is not None
        more = len(self._current) - len(self._sums)
        if more:
            self._sums = np.concatenate([self._sums, np.zeros((more, *self._sums.shape[1:]), dtype=np.float32)])
        self._sums[:, self._hour % HOURS] += self._current
        self._hours_seen += self._current[:, -1] > 0.0
        self._current[:] = 0.0

    def profile(self, streams: IntArray, variance: FloatArray, inflation: FloatArray) -> FloatArray | None:
        """Give what each hour of the week adds to the mean of each feature; None where no stream is known so well.

        Shape (n, HOURS, features), zeros for streams seen for less than three days. variance: of one event's features,
        shape (n, features). inflation: of sums within an hour, shape (n,).
        """
        if not len(self._sums) or not (self._hours_seen[streams] >= HOURS_FOR_DAY).any():
            return None
        if self._hour is not None:
            self._close()
            self._hour = None
        sums = self._sums[streams].astype(np.float64)
        noise = variance * inflation[:, None]
        by_day = sums.reshape(len(sums), 7, 24, -1).sum(axis=1)
        overall = sums.sum(axis=1)
        mean = overall[:, None, :-1] / np.maximum(overall[:, None, -1:], 1.0)
        day, day_raw = _shrunk(by_day, mean, noise)
        rest = _shrunk(sums, mean + day_raw[:, HOUR], noise)[0]
        has_week = self._hours_seen[streams] >= HOURS_FOR_WEEK
        out = day[:, HOUR] + rest * has_week[:, None, None]
        profile: FloatArray = out * (self._hours_seen[streams] >= HOURS_FOR_DAY)[:, None, None]
        return profile


def _shrunk(sums: FloatArray, mean: FloatArray, noise: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give how far each cell's mean is from `mean`, drawn back by the share that is noise, and as it is.

    sums: shape (n, cells, features + 1), events last. mean: (n, cells or 1, features). noise: variance of one event.
    """
    events = sums[:, :, -1:]
    raw = np.where(events > 0.0, sums[:, :, :-1] / np.maximum(events, 1.0) - mean, 0.0)
    expected = noise[:, None, :] / np.maximum(events, 1.0)
    weight = events / np.maximum(events.sum(axis=1, keepdims=True), 1.0)
    between = np.maximum((weight * (raw * raw - expected)).sum(axis=1, keepdims=True), 0.0)
    return raw * between / np.maximum(between + expected, 1e-12), raw


def at_time(profiles: npt.NDArray[np.float16], chosen: IntArray, time_s: float) -> FloatArray:
    """Give chosen profiles at a time, between the middles of hours: (n, features) of (profiles, HOURS, features)."""
    position = time_s / HOUR_S - 0.5
    before = int(np.floor(position))
    share = position - before
    first, second = profiles[chosen, before % HOURS], profiles[chosen, (before + 1) % HOURS]
    between: FloatArray = first.astype(np.float64) * (1.0 - share) + second.astype(np.float64) * share
    return between
