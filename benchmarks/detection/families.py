"""Streams in which nothing changes: seeded, endless, made block by block, so that memory is bounded.

A stream is looked at on a grid of times. At each look it has one event, or none (NaN). A cycle is of a true day
(86,400 s) and a true week, but has few events, so that a past of several cycles and a watch of several cycles are
affordable: one event in 20 s for the daily stream, one in 50 s for the weekly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from scipy.signal import lfilter

from benchmarks.detection.candidates import DAY_S, Shape, StreamKind
from monitor.domain import FloatArray

Draw = Callable[[np.random.Generator, tuple[int, int]], FloatArray]

PAST_EVENTS = 10_000
"""The product's default."""
DAILY_LOOK_S, WEEKLY_LOOK_S = 20.0, 50.0
DAILY_PAST_DAYS, WEEKLY_PAST_DAYS = 7, 21
CYCLE_SD = 0.5
"""Amplitude of the daily cycle, in sd of the noise."""
WEEKEND_SD = 0.5
"""What Saturday and Sunday lie lower by."""
SPARSE_LOOK_S, SPARSE_PER_HOUR = 60.0, 20.0
OPEN_LOOKS, CLOSED_LOOKS = 720.0, 240.0
"""Mean looks (minutes) that a sparse stream is open and closed."""
CALM_EVENTS, SHORTEST_BURST, LONGEST_BURST = 150.0, 20, 60
WILD_BURST_EVENTS = 40.0
"""Mean length of wild bursts, which are geometric: one in four hundred is six times as long. Printed, not judged."""
BURST_SHIFT_SD = 0.5
BURSTS_PAST = 86_400
"""A day of past: bursts are learned from bursts, and 10,000 events would hold but fifty."""
BURST_RATE = 0.04
WILD_BURST_RATE = (1.0, 19.0)
"""Beta distribution that the rate of one wild burst is drawn from: mean 5 %, sd 4.8 %."""


class Source(Protocol):
    """Makes the values of S streams at the looks it is given; keeps what carries over from block to block."""

    def block(self, times_s: FloatArray) -> FloatArray:
        """Give the values at these looks, shape (S, n); NaN where a look has no event."""


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of stream, and how to make some of it."""

    name: str
    kind: StreamKind
    make: Callable[[np.random.Generator, int], Source]
    """From a generator and the number of streams."""
    look_s: float = 1.0
    past_looks: int = PAST_EVENTS
    is_judged: bool = True
    """Whether it counts in D1 and D2; if not, its row is printed only."""

    @property
    def events_per_look(self) -> float:
        """Give the share of looks with an event."""
        return self.kind.events_per_s * self.look_s

    @property
    def looks_per_day(self) -> float:
        """Give how many looks one stream has in a day."""
        return DAY_S / self.look_s


class Independent:
    """Each value drawn for itself."""

    def __init__(self, draw: Draw, rng: np.random.Generator, streams: int) -> None:
        self._draw, self._rng, self._streams = draw, rng, streams

    def block(self, times_s: FloatArray) -> FloatArray:
        """Give the values at these looks."""
        return self._draw(self._rng, (self._streams, len(times_s)))


class Autoregressive:
    """x' = rho x + sqrt(1 - rho^2) e with e of N(0, 1): N(0, 1) at any one time, and correlated rho at lag 1."""

    def __init__(self, rho: float, rng: np.random.Generator, streams: int) -> None:
        self._rho, self._rng = rho, rng
        self._last = rng.standard_normal(streams)

    def block(self, times_s: FloatArray) -> FloatArray:
        """Give the values at these looks."""
        innovations = math.sqrt(1.0 - self._rho**2) * self._rng.standard_normal((len(self._last), len(times_s)))
        values: FloatArray = lfilter([1.0], [1.0, -self._rho], innovations, zi=self._rho * self._last[:, None])[0]
        self._last = values[:, -1].copy()
        return values


class Cycle:
    """N(0, 1) noise about a sine of a day, and if wished a lower level at weekends; every stream has its own phase."""

    def __init__(self, weekend_sd: float, rng: np.random.Generator, streams: int) -> None:
        self._weekend_sd, self._rng = weekend_sd, rng
        self._phase_s = rng.random((streams, 1)) * 7 * DAY_S

    def block(self, times_s: FloatArray) -> FloatArray:
        """Give the values at these looks."""
        local_s = times_s + self._phase_s
        level = CYCLE_SD * np.sin(2.0 * np.pi * local_s / DAY_S)
        level -= self._weekend_sd * (local_s // DAY_S % 7 >= 5)
        level += self._rng.standard_normal(level.shape)
        return level


class Episodes:
    """Which looks lie within an episode: two states, each of geometric length; gives the episode's number, or 0."""

    def __init__(self, outside: float, inside: float, rng: np.random.Generator, streams: int) -> None:
        self._enter, self._leave, self._rng = 1.0 / outside, 1.0 / inside, rng
        self._is_inside = rng.random(streams) < inside / (inside + outside)
        self._number = np.where(self._is_inside, 1, 0)

    def block(self, looks: int) -> tuple[FloatArray, FloatArray]:
        """Give whether each look is inside (1 or 0), and the episode's number in its stream; both of shape (S, n)."""
        chance = self._rng.random((len(self._is_inside), looks))
        inside, number = np.empty_like(chance), np.empty_like(chance)
        for i in range(looks):
            turn = chance[:, i] < np.where(self._is_inside, self._leave, self._enter)
            self._is_inside = self._is_inside ^ turn
            self._number = self._number + (turn & self._is_inside)
            inside[:, i], number[:, i] = self._is_inside, self._number
        return inside, number


class Visits:
    """As Episodes, but inside for 20 to 60 looks, all equally likely: a batch job, a deploy, a crawler."""

    def __init__(self, outside: float, rng: np.random.Generator, streams: int) -> None:
        self._enter, self._rng = 1.0 / outside, rng
        self._left = np.zeros(streams, dtype=np.int64)
        self._number = np.zeros(streams, dtype=np.int64)

    def block(self, looks: int) -> tuple[FloatArray, FloatArray]:
        """Give whether each look is inside (1 or 0), and the visit's number in its stream; both of shape (S, n)."""
        chance = self._rng.random((len(self._left), looks))
        inside, number = np.empty_like(chance), np.empty_like(chance)
        for i in range(looks):
            self._left = np.maximum(self._left - 1, 0)
            enters = (self._left == 0) & (chance[:, i] < self._enter)
            self._left[enters] = self._rng.integers(SHORTEST_BURST, LONGEST_BURST + 1, size=int(enters.sum()))
            self._number += enters
            inside[:, i], number[:, i] = self._left > 0, self._number
        return inside, number


class Bursts:
    """Benign bursts, as of deploys and changes of traffic mix: over-dispersed, in the past just as in the watch.

    Calm stretches last 150 events on average (geometric), bursts 20 to 60, so 21 % of events lie in bursts. In one,
    numeric streams, N(0, 1) when calm, are 0.5 sd higher or lower throughout; yes/no streams, 1 % when calm, at 4 %.

    Wild bursts have no bounds, and so no reference can tell how bad they get: of geometric length, with an offset of
    N(0, 0.5 sd), or a rate of Beta(1, 19).
    """

    def __init__(self, shape: Shape, rng: np.random.Generator, streams: int, *, is_wild: bool) -> None:
        self._is_rate, self._is_wild, self._rng = shape is Shape.RATE, is_wild, rng
        wild = Episodes(CALM_EVENTS, WILD_BURST_EVENTS, rng, streams)
        self._episodes = wild if is_wild else Visits(CALM_EVENTS, rng, streams)
        self._own, self._of = self._fresh(streams), np.zeros(streams)

    def block(self, times_s: FloatArray) -> FloatArray:
        """Give the values at these looks."""
        inside, number = self._episodes.block(len(times_s))
        own = np.empty_like(inside)
        for i in range(len(times_s)):
            is_new = number[:, i] != self._of
            if is_new.any():
                self._own = np.where(is_new, self._fresh(len(is_new)), self._own)
                self._of = number[:, i]
            own[:, i] = self._own
        if self._is_rate:
            return (self._rng.random(own.shape) < np.where(inside > 0.0, own, 0.01)).astype(float)
        own *= inside
        own += self._rng.standard_normal(own.shape)
        return own

    def _fresh(self, streams: int) -> FloatArray:
        if self._is_rate:
            return self._rng.beta(*WILD_BURST_RATE, size=streams) if self._is_wild else np.full(streams, BURST_RATE)
        size = self._rng.standard_normal(streams)
        return BURST_SHIFT_SD * (size if self._is_wild else np.sign(size))


class Sparse:
    """20 events an hour while open, closed for hours now and then: most looks, one a minute, have no event.

    A minute has an event with chance 1/3, so gaps are geometric: Poisson traffic but for two events in a minute. The
    stream is open for 12 h and closed for 4 h on average (both geometric), so 15 events an hour over all.
    """

    def __init__(self, draw: Draw, rng: np.random.Generator, streams: int) -> None:
        self._draw, self._rng = draw, rng
        self._open = Episodes(CLOSED_LOOKS, OPEN_LOOKS, rng, streams)

    def block(self, times_s: FloatArray) -> FloatArray:
        """Give the values at these looks."""
        is_open, _ = self._open.block(len(times_s))
        has_event = self._rng.random(is_open.shape) < is_open * (SPARSE_PER_HOUR * SPARSE_LOOK_S / 3600.0)
        return np.where(has_event, self._draw(self._rng, is_open.shape), np.nan)


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Draw from N(0, 1)."""
    return rng.standard_normal(shape)


def lognormal(sigma: float) -> Draw:
    """Give a drawer of exp(sigma N(0, 1))."""
    return lambda rng, shape: np.exp(sigma * rng.standard_normal(shape))


def pareto(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Draw from the Pareto distribution with tail 2.5 that starts at 1."""
    return 1.0 + rng.pareto(2.5, shape)


def yes_no(rate: float) -> Draw:
    """Give a drawer of 1 with chance `rate`, else 0."""
    return lambda rng, shape: (rng.random(shape) < rate).astype(float)


def zipf_shares(categories: int) -> FloatArray:
    """Give shares in proportion to 1/1, 1/2, 1/3 and so on."""
    shares: FloatArray = 1.0 / np.arange(1.0, categories + 1.0)
    shares /= shares.sum()
    return shares


def codes(shares: FloatArray) -> Draw:
    """Give a drawer of category codes."""
    ends = np.cumsum(shares)[:-1]
    return lambda rng, shape: np.searchsorted(ends, rng.random(shape), side="right").astype(float)


def beta(a: float, b: float) -> Draw:
    """Give a drawer of scores."""
    return lambda rng, shape: rng.beta(a, b, shape)


def independent(name: str, kind: StreamKind, draw: Draw, *, is_judged: bool = True) -> Family:
    """Give a family of independent values, one at each look."""
    look_s = 1.0 / kind.events_per_s
    return Family(name, kind, lambda rng, streams: Independent(draw, rng, streams), look_s, is_judged=is_judged)


def sparse(name: str, shape: Shape, draw: Draw) -> Family:
    """Give a family with little traffic."""
    share_open = OPEN_LOOKS / (OPEN_LOOKS + CLOSED_LOOKS)
    kind = StreamKind(shape, SPARSE_PER_HOUR / 3600.0 * share_open)
    looks = int(PAST_EVENTS / (kind.events_per_s * SPARSE_LOOK_S))
    return Family(name, kind, lambda rng, streams: Sparse(draw, rng, streams), SPARSE_LOOK_S, looks)


def autoregressive(rho: float) -> Family:
    """Give the family of AR(1) streams."""
    return Family(f"AR(1) {rho:g}", NUMERIC, lambda rng, streams: Autoregressive(rho, rng, streams))


def cycle(name: str, look_s: float, past_days: int, weekend_sd: float) -> Family:
    """Give a family with a cycle of a day, and of a week if weekends differ."""
    kind = StreamKind(Shape.NUMERIC, 1.0 / look_s)
    return Family(name, kind, lambda rng, s: Cycle(weekend_sd, rng, s), look_s, int(past_days * DAY_S / look_s))


def bursts(name: str, shape: Shape, *, is_judged: bool = True) -> Family:
    """Give a family with benign bursts; wild ones are not judged."""
    make = partial(Bursts, shape, is_wild=not is_judged)
    return Family(name, StreamKind(shape), make, past_looks=BURSTS_PAST, is_judged=is_judged)


NUMERIC = StreamKind(Shape.NUMERIC)
POSITIVE = StreamKind(Shape.POSITIVE)
CATEGORICAL = StreamKind(Shape.CATEGORICAL)
RATE = StreamKind(Shape.RATE)
LATENCY_SIGMA = 0.6
LATENCY_P95 = math.exp(LATENCY_SIGMA * 1.6448536269514722)
UNSAFE_RATE = 0.005
UNSAFE = StreamKind(Shape.RATE, events_per_s=10.0, rate_threshold=UNSAFE_RATE)
LATENCY = StreamKind(Shape.POSITIVE, p95_budget=LATENCY_P95)

FAMILIES = (
    independent("N(0,1)", NUMERIC, normal),
    independent("lognormal 1", POSITIVE, lognormal(1.0)),
    independent("Pareto 2.5", POSITIVE, pareto),
    independent("rate .001", RATE, yes_no(0.001)),
    independent("rate .01", RATE, yes_no(0.01)),
    independent("rate .05", RATE, yes_no(0.05)),
    independent("Zipf 50", CATEGORICAL, codes(zipf_shares(50))),
    autoregressive(0.3),
    autoregressive(0.7),
    cycle("daily cycle", DAILY_LOOK_S, DAILY_PAST_DAYS, 0.0),
    cycle("daily+weekly", WEEKLY_LOOK_S, WEEKLY_PAST_DAYS, WEEKEND_SD),
    bursts("bursts", Shape.NUMERIC),
    bursts("bursts of a rate", Shape.RATE),
    sparse("low traffic", Shape.NUMERIC, normal),
    sparse("low traffic rate", Shape.RATE, yes_no(0.01)),
    independent("unsafe rule .005", UNSAFE, yes_no(UNSAFE_RATE), is_judged=False),
    independent("rate rule .01", StreamKind(Shape.RATE, rate_threshold=0.01), yes_no(0.01), is_judged=False),
    independent("p95 rule", LATENCY, lognormal(LATENCY_SIGMA), is_judged=False),
    bursts("wild bursts", Shape.NUMERIC, is_judged=False),
    bursts("wild bursts, rate", Shape.RATE, is_judged=False),
)
"""Those of D1 and D2; then, printed, two whose rule has a threshold just where the truth is, and rarer bursts."""
