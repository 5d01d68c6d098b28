"""Anomalies of many metric series at once: causal, seasonal, robust, with learned tails and one alarm per incident.

Five views of each new point, each upwards and downwards, with what is usual for them:

    point         value less the forecast of the last points (`forecasts`)       a spike, a dip, an edge
    stretch       mean of the last six of those, exponentially                   a burst of moderate ones
    season        value less slow level and time of day (`seasons`)              an outage, a day that is missing
    long season   mean of the last six of those, each bounded                    the same, smaller and longer
    level         value less slow level                                          a value never seen before

A size is a deviation over the largest of: its usual size (a long mean, with what exceeds a hundred times that cut), the
usual size of the last 500 points, and a third of the largest one that is usual at this time of day (`scales`). Sizes
have no units, so neither the scale nor the origin of a series matters, and tails (`tails`) turn them into the number of
such points to be expected among those remembered, or in four days if that is more (`spacing`).
Score = 1 / (1 + expected / 1.8) for the most surprising view.

An alarm is one point: the first at a score of 0.5 or more. The incident lasts until 12 points in a row are below; until
then scores are held at 0.499, and the tails learn from its points by a tenth, so that one incident does not hide
the next, but what goes on happening becomes usual. Everything else learns from bounded deviations and goes on learning,
so a new level is usual after some hundreds of points, and a new habit after some days.

Guarantee: nothing looks ahead; a series' scores do not depend on the other series, nor on how calls are cut.
False alarms are measured, not guaranteed, as tails are extrapolated: on thirty days of five-minute points 0.01 per
stream-day for normal noise (independent, with a daily cycle, or AR(1) of 0.7), 0.19 for lognormal noise of 0.5 with a
cycle of three to one, most of them in the first two weeks (tests/unit/series/test_watch.py); 0.03 on real KPIs of
three months (benchmarks/detection/series.py). Not found: a series that freezes at a usual value, and slow ramps.
Cost: 0.25 ms per call for one series, 4 us per point for a thousand at once; 9 kB of state per series.
Sources: expected counts beyond what was seen: Siffer and others (2017), KDD (SPOT), with Hill's (1975) estimator under
censoring; stretches against a long history: Lavin and Ahmad (2015), ICMLA (NAB).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from monitor.domain import BoolArray, FloatArray, IntArray
from monitor.kept import State
from monitor.kept_rows import bring_rows, rows_of
from monitor.series import forecasts, scales, seasons, spacing, tails
from monitor.series.forecasts import Forecasts
from monitor.series.scales import BOUND, STRETCH, Scales
from monitor.series.seasons import Seasons, place_of
from monitor.series.spacing import Spacing
from monitor.series.tails import REFRESH, Tails, positions_of

ALARM_SCORE: Final = 0.5
HELD_SCORE: Final = 0.499
"""Of points within an incident that was already told."""
ALARM_EXPECTED: Final = 1.8
"""Points as surprising to be expected among those remembered, below which a point is an alarm. Frozen.

It may exceed one: light tails are taken as Pareto's and so are overestimated, and the ten views mostly agree. For 1.3,
1.8 and 2.5, NAB's standard score was 65, 73 and 66, and 58, 64 and 70 % of KPI events were found."""
SETTLED: Final = 50
"""Points before a series has scores: usual sizes are then known to about a tenth."""
QUIET: Final = 12
"""Unsurprising points in a row that end an incident."""
WITHIN_INCIDENT: Final = 0.1
"""Weight in the tails of points within an incident."""
SLOW: Final = 1.0 / 2_000.0
"""Rate of slow levels, per point: slower than a day of five-minute points, so that a day does not become a level."""
VALUE_LARGEST: Final = 1e150
"""Values beyond are taken as this: sums of some of them stay finite."""
KEPT: Final = ("_seen", "_slow", "_season_slow", "_stretch", "_is_incident", "_quiet")
"""What is known of a series beside its parts: arrays by series."""


class SeriesWatch:
    """The state of S series: feed points in the order of time, get scores and alarms."""

    def __init__(self, series: int) -> None:
        self._seen = np.zeros(series, dtype=np.int64)
        self._slow = np.zeros(series)
        self._season_slow = np.zeros(series)
        self._stretch = np.zeros((series, 2))
        self._spacing = Spacing(series)
        self._forecasts = Forecasts(series)
        self._seasons = Seasons(series, 3)
        self._scales = Scales(series)
        self._tails = Tails(series, 10)
        self._is_incident = np.zeros(series, dtype=np.bool_)
        self._quiet = np.zeros(series, dtype=np.int64)

    def observe(self, times_s: FloatArray, values: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Take one point of each series; give its score in [0, 1] and whether it is an alarm.

        times_s: epoch seconds, of any spacing; they tell the time of day, and how many points a day has. A value or
        time that is not finite is no point: score 0, and nothing is learned.
        """
        scores, is_alarm = np.zeros(values.shape), np.zeros(values.shape, dtype=np.bool_)
        rows = np.flatnonzero(np.isfinite(values) & np.isfinite(times_s))
        rows = self._without_first(rows, values)
        if rows.size:
            bounded = np.minimum(np.maximum(values[rows], -VALUE_LARGEST), VALUE_LARGEST)
            sizes = self._sizes(rows, times_s[rows], bounded)
            least = self._spacing.least_points(rows, times_s[rows])
            scores[rows], is_alarm[rows] = self._judge(rows, sizes, least)
        return scores, is_alarm

    def state(self, series: int) -> State:
        """Give all that is known of the first so many series; arrays are valid until the next point."""
        return {
            **rows_of(self, KEPT, series),
            **{name: rows_of(part, names, series) for name, part, names in self._parts()},
        }

    def restore(self, state: State, then: IntArray) -> None:
        """Make the first series those that were at places `then` in a state. Raises StateError where they can't be."""
        now = np.arange(len(then))
        bring_rows(self, KEPT, state, now, then)
        for name, part, names in self._parts():
            bring_rows(part, names, state.get(name, {}), now, then)

    def _parts(self) -> Iterator[tuple[str, object, tuple[str, ...]]]:
        yield "spacing", self._spacing, spacing.KEPT
        yield "forecasts", self._forecasts, forecasts.KEPT
        yield "seasons", self._seasons, seasons.KEPT
        yield "scales", self._scales, scales.KEPT
        yield "tails", self._tails, tails.KEPT

    def _without_first(self, rows: IntArray, values: FloatArray) -> IntArray:
        """Begin the series whose first value this is; give the others, each with one point more seen."""
        is_first = self._seen[rows] == 0
        if is_first.any():
            first = rows[is_first]
            start = np.clip(values[first], -VALUE_LARGEST, VALUE_LARGEST)
            self._slow[first] = self._season_slow[first] = start
            self._forecasts.start(first, start)
        self._seen[rows] += 1
        return np.asarray(rows[~is_first])

    def _sizes(self, rows: IntArray, times_s: FloatArray, values: FloatArray) -> FloatArray:
        """Give the sizes of all views, shape (n, 10), and learn all but the tails."""
        seen = self._seen[rows].astype(np.float64)
        place = place_of(times_s)
        self._seasons.enter(rows, place)
        season, is_known = self._seasons.level(rows, place)
        forecast, each = self._forecasts.give(rows, season)
        slow, season_slow = self._slow[rows], self._season_slow[rows]
        off = np.empty((rows.size, 3))
        off[:, 0], off[:, 1], off[:, 2] = values - forecast, values - season_slow - season, values - slow
        bound = self._scales.bound(rows, seen)
        clean = np.minimum(np.maximum(off, -bound), bound)
        views = self._views(rows, off, clean[:, 1], is_known)
        usual = self._scales.usual(rows, self._seasons.deviation(rows), np.abs(values) + np.abs(slow))

        self._seasons.note(rows, np.abs(off))
        self._scales.learn(rows, views, usual, is_known, seen)
        self._scales.learn_recent(rows, clean, seen)
        rate = np.maximum(SLOW, 1.0 / seen)
        self._slow[rows] = slow + rate * clean[:, 2]
        self._season_slow[rows] = season_slow + rate * clean[:, 1]
        self._seasons.learn(rows, place, values - self._season_slow[rows], BOUND * self._scales.recent(rows)[:, 1])
        clean_value = forecast + clean[:, 0]
        self._forecasts.learn(rows, each, values, clean_value, self._scales.rate(seen))
        self._forecasts.learn_season(rows, clean_value - season, is_known)
        signed = views / usual
        return np.asarray(np.maximum(np.concatenate([signed, -signed], axis=1), 0.0))

    def _views(self, rows: IntArray, off: FloatArray, bounded_season: FloatArray, is_known: BoolArray) -> FloatArray:
        """Give the five views, shape (n, 5); those of the season are 0 until it is known."""
        stretch = self._stretch[rows]
        views = np.empty((rows.size, 5))
        views[:, 0], views[:, 2], views[:, 4] = off[:, 0], off[:, 1] * is_known, off[:, 2]
        views[:, 1] = stretch[:, 0] + STRETCH * (off[:, 0] - stretch[:, 0])
        views[:, 3] = stretch[:, 1] + STRETCH * (bounded_season * is_known - stretch[:, 1])
        self._stretch[rows] = views[:, 1:4:2]
        return views

    def _judge(self, rows: IntArray, sizes: FloatArray, least: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Give scores and alarms, move the incidents, and learn the tails."""
        positions = positions_of(sizes)
        surprise = self._tails.surprise(rows, positions, least)
        surprise[self._seen[rows] < SETTLED] = -np.inf
        # Beyond 700 exp() would overflow; the score is 1 long before.
        scores = 1.0 / (1.0 + np.exp(np.minimum(np.maximum(-surprise, -700.0), 700.0)) / ALARM_EXPECTED)
        scores[np.isneginf(surprise)] = 0.0
        is_breach = scores >= ALARM_SCORE
        was_incident = self._is_incident[rows]
        quiet = np.where(is_breach, 0, self._quiet[rows] + 1)
        is_alarm = is_breach & ~was_incident
        is_incident = is_alarm | (was_incident & (quiet < QUIET))
        self._quiet[rows], self._is_incident[rows] = quiet, is_incident
        self._tails.learn(rows, positions, np.where(is_incident, WITHIN_INCIDENT, 1.0))
        due = rows[self._seen[rows] % REFRESH == 0]
        if due.size:
            self._tails.refresh(due)
        return np.where(was_incident & is_breach, HELD_SCORE, scores), is_alarm
