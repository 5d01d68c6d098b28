"""Hours of the week: what is normal at each, learned with the reference where it is long enough.

A stream that is different by day and by night is no drifting stream. Where the reference holds three days or more, the
mean of each feature is learned by hour of the day, and from two weeks on by day of the week and by hour of the week
beyond both, each drawn back by as much of it as noise explains (empirical Bayes). What an hour is expected to add is
then taken off before anything is judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray, IntArray
from monitor.kept import Section, State
from monitor.sequential.features import Floats32

HOUR_S: Final = 3600.0
HOURS: Final = 168
HOURS_FOR_DAY: Final = 72
HOURS_FOR_WEEK: Final = 336
DAY: Final = np.arange(HOURS) // 24
HOUR: Final = np.arange(HOURS) % 24
FLOAT16_MAX: Final = 6e4
"""Just below the greatest number that profiles are kept as; scores are far below it."""


class Seasons:
    """Sums of features by hour of the week, while learning. Memory: 15 KB per stream, from the second hour on."""

    def __init__(self, features: int) -> None:
        self._features = features
        self._current = np.zeros((0, features + 1))
        self._sums = np.zeros((0, HOURS, features + 1), dtype=np.float32)
        self._hours_seen = np.zeros(0)
        self._hour: int | None = None
        self._closed: dict[int, int] = {}

    def reserve(self, streams: int) -> None:
        """Make room for so many streams."""
        more = streams - len(self._current)
        if more <= 0:
            return
        self._current = np.concatenate([self._current, np.zeros((more, self._features + 1))])
        self._hours_seen = np.concatenate([self._hours_seen, np.zeros(more)])

    def observe(self, time_s: float, streams: IntArray, sums: FloatArray, events: FloatArray) -> None:
        """Add a pane's sums of features, shape (n, features), and events, (n,), of n of the streams.

        Late panes, of an hour that is over, count in the one that is not.
        """
        hour = int(time_s // HOUR_S)
        if self._hour is None:
            self._hour = hour
        elif hour > self._hour:
            self._close(hour)
        self._current[streams, :-1] += sums
        self._current[streams, -1] += events

    def _close(self, hour: int) -> None:
        """Keep what the hour till now had; another begins."""
        more = len(self._current) - len(self._sums)
        if more:
            self._sums = np.concatenate([self._sums, np.zeros((more, *self._sums.shape[1:]), dtype=np.float32)])
        assert self._hour is not None
        self._sums[:, self._hour % HOURS] += self._current
        self._hours_seen += self._current[:, -1] > 0.0
        self._current[:] = 0.0
        self._closed[self._hour % HOURS] = self._hour
        self._hour = hour

    def keep(self, streams: IntArray) -> None:
        """Keep these streams alone, numbered anew in this order."""
        more = len(self._current) - len(self._sums)
        self._sums = np.concatenate([self._sums, np.zeros((more, *self._sums.shape[1:]), dtype=np.float32)])[streams]
        self._current, self._hours_seen = self._current[streams], self._hours_seen[streams]

    def sections(self, prefix: str, epoch: str, streams: int) -> Iterator[Section]:
        """Give what is kept of the first streams; an hour of the week is written when it is over, and not before.

        epoch: changes with the streams, or their numbers.
        """
        yield Section(prefix, None, partial(self._state, streams))
        for hour, closed in self._closed.items():
            yield Section(f"{prefix}/{hour}", f"{epoch}-{closed}", partial(self._kept_hour, hour, streams))

    def _state(self, streams: int) -> State:
        return {
            "hour": self._hour,
            "closed": [[hour, closed] for hour, closed in self._closed.items()],
            "current": self._current[:streams],
            "hours_seen": self._hours_seen[:streams],
        }

    def _kept_hour(self, hour: int, streams: int) -> State:
        return {"sums": self._sums[:streams, hour]}

    def restore(self, prefix: str, states: Mapping[str, State]) -> None:
        """Go on from a state; streams are the same."""
        state = states.get(prefix, {})
        self._hour = state.get("hour")
        self._closed = {int(hour): int(closed) for hour, closed in state.get("closed", ())}
        for name, own in (("current", self._current), ("hours_seen", self._hours_seen)):
            if name in state:
                own[: len(state[name])] = state[name]
        self._sums = np.zeros((len(self._current) if self._closed else 0, *self._sums.shape[1:]), dtype=np.float32)
        for hour in self._closed:
            found = states.get(f"{prefix}/{hour}", {}).get("sums")
            if found is not None:
                self._sums[: len(found), hour] = found

    def known(self, streams: IntArray) -> IntArray:
        """Give what can be told of each stream, shape (n,): 0 nothing, 1 the hours of the day, 2 those of the week."""
        hours = self._hours_seen[streams]
        return (hours >= HOURS_FOR_DAY).astype(np.int64) + (hours >= HOURS_FOR_WEEK)

    def profile(self, streams: IntArray, variance: FloatArray, inflation: FloatArray) -> FloatArray | None:
        """Give what each hour of the week adds to the mean of each feature; None where no stream is known so well.

        Shape (n, HOURS, features), zeros for streams seen for less than three days. variance: of one event's features,
        shape (n, features). inflation: of sums within an hour, shape (n,).
        """
        hours_seen = self._hours_seen[streams]
        is_known = hours_seen >= HOURS_FOR_DAY
        if not is_known.any():
            return None
        sums = np.zeros((len(streams), HOURS, self._features + 1))
        sums[is_known] = self._sums[streams[is_known]]
        noise = variance * inflation[:, None]
        by_day_and_hour = sums.reshape(len(sums), 7, 24, -1)
        overall = sums.sum(axis=1)
        mean = overall[:, None, :-1] / np.maximum(overall[:, None, -1:], 1.0)
        hour, hour_raw = _shrunk(by_day_and_hour.sum(axis=1), mean, noise)
        day, day_raw = _shrunk(by_day_and_hour.sum(axis=2), mean, noise)
        rest = _shrunk(sums, mean + hour_raw[:, HOUR] + day_raw[:, DAY], noise)[0]
        has_week = hours_seen >= HOURS_FOR_WEEK
        out = hour[:, HOUR] + (day[:, DAY] + rest) * has_week[:, None, None]
        profile: FloatArray = out * is_known[:, None, None]
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


def at_time(profiles: npt.NDArray[np.float16], chosen: IntArray, time_s: float) -> Floats32:
    """Give chosen profiles at a time, between the middles of hours: (n, features) of (HOURS, profiles, features).

    Linear between the middles of neighbouring hours, and around the week's end, so it never jumps.
    """
    position = time_s / HOUR_S - 0.5
    before = int(np.floor(position))
    share = np.float32(position - before)
    between: Floats32 = profiles[before % HOURS].take(chosen, axis=0).astype(np.float32)
    between *= np.float32(1.0) - share
    between += profiles[(before + 1) % HOURS].take(chosen, axis=0).astype(np.float32) * share
    return between


class Profiles:
    """The hours of the week of many streams, each in a slot. Slot 0 is for streams whose hours are all alike.

    Memory: 7 KB per stream that has any. Cost: 100 ns per stream and pane.
    """

    def __init__(self, features: int) -> None:
        self._values = np.zeros((HOURS, 1, features), dtype=np.float16)
        self._used = 1

    def __len__(self) -> int:
        """How many slots are in use, but for the first."""
        return self._used - 1

    def kept(self, slot: int, profile: FloatArray | None) -> int:
        """Keep a profile, shape (HOURS, features), of a stream that had this slot; give the slot it has from now on."""
        if profile is None:
            self._values[:, slot] = 0.0
            return slot
        if slot == 0:
            slot = self._used
            self._used += 1
            if slot >= self._values.shape[1]:
                more = np.zeros((HOURS, max(16, slot // 2), self._values.shape[2]), dtype=np.float16)
                self._values = np.concatenate([self._values, more], axis=1)
        self._values[:, slot] = np.clip(profile, -FLOAT16_MAX, FLOAT16_MAX)
        return slot

    def state(self, slots: IntArray) -> State:
        """Give the profiles in n slots, each once; half precision as the bits it is made of."""
        used, which = np.unique(slots[slots > 0], return_inverse=True)
        at = np.zeros(len(slots), dtype=np.int64)
        at[slots > 0] = which + 1
        return {"at": at, "bits": np.ascontiguousarray(self._values[:, used]).view(np.uint16)}

    def restore(self, state: State) -> IntArray:
        """Take the profiles of a state into a new one of these; give the n slots that they have now."""
        found = state["bits"].view(np.float16)
        self._values = np.concatenate([self._values[:, :1], found], axis=1)
        self._used = self._values.shape[1]
        at: IntArray = state["at"]
        return at

    def at(self, slots: IntArray, time_s: float) -> Floats32:
        """Give what slots add to each feature at a time, shape (n, features)."""
        return at_time(self._values, slots, time_s)
