"""How much a stream fluctuates by itself: block sums of its scores at every length, learned with the reference.

Events of real streams are not independent: one request follows from another, traffic comes in bursts, days have
hours. Sums of scores then vary more than independent ones would, and evidence counted as if they did not is false. The
`inflation` of a length is how many times more; evidence is divided by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import numpy as np

from monitor.domain import FloatArray, IntArray
from monitor.kept import Section, State
from monitor.sequential.seasons import HOUR_S

LEVELS: Final = 21
"""Block lengths of 1, 2, 4, ... panes: with panes of a second up to twelve days."""
BLOCKS_MIN: Final = 16
"""Fewest blocks of a length from which its fluctuation is believed."""
NATS_TYPICAL: Final = 15.0
"""Evidence that thresholds usually ask for, by which an uncertain inflation is raised."""
KURTOSIS: Final = (0.0, 8.0, 22.0, 17.0)
"""Excess kurtosis of the polynomials' scores, about, for independent values; of hits with variance v it is 1/v."""
CORRELATION_MAX: Final = 0.98
GROWTH_FROM: Final = 1.5
"""Inflation at the greatest length measured from which it is taken to grow on."""


class Learned(Protocol):
    """What was learned of one stream: events, shape (LEVELS,), and inflation, shape (scores, LEVELS), or None."""

    @property
    def events(self) -> FloatArray | None:
        """Give the events per block of each level."""

    @property
    def inflation(self) -> FloatArray | None:
        """Give the inflation of each score and level."""


@dataclass(frozen=True, slots=True)
class Inflation:
    """How many times more than independent events the sums of each score vary, by length of block.

    events: shape (S, LEVELS), events that a block of each level holds. factor: shape (S, scores, LEVELS), at least 1,
    not falling with length.
    """

    events: FloatArray
    factor: FloatArray

    @classmethod
    def of(cls, learned: Sequence[Learned], scores: int) -> Inflation:
        """Give that of streams by what was learned of each; where nothing was, that of independent events."""
        events = np.tile(2.0 ** np.arange(LEVELS), (len(learned), 1))
        factor = np.ones((len(learned), scores, LEVELS))
        for at, normal in enumerate(learned):
            if normal.events is not None and normal.inflation is not None:
                events[at], factor[at] = normal.events, normal.inflation
        return cls(events, factor)

    @classmethod
    def of_first(cls, learned: Sequence[Learned]) -> Inflation:
        """Give that of the first score alone: of hits, or of where the values lie."""
        events = np.tile(2.0 ** np.arange(LEVELS), (len(learned), 1))
        factor = np.ones((len(learned), 1, LEVELS))
        for at, normal in enumerate(learned):
            if normal.events is not None and normal.inflation is not None:
                events[at], factor[at, 0] = normal.events, normal.inflation[0]
        return cls(events, factor)

    def at_horizon(self, needed: FloatArray, score: IntArray) -> FloatArray:
        """Give the inflation of each alternative at the length that proving it takes, shape (S, A).

        needed: shape (S, A), events that independent ones would take. score: shape (A,), which score is meant. It
        takes the more events the more they fluctuate, so the length is where both agree; beyond what was measured,
        growth goes on as it went.
        """
        if (self.factor[:, score] == 1.0).all():
            return np.ones_like(needed)
        by_level = np.ascontiguousarray(self.factor.transpose(2, 0, 1))
        last = by_level[-1][:, score]
        growth = np.clip(np.log2(last), 0.0, 1.0) * (last > GROWTH_FROM)
        beyond = np.maximum(needed * last / np.maximum(self.events[:, -1:], 1.0), 1.0)
        found: FloatArray = last * beyond**growth
        for level in range(LEVELS - 1, -1, -1):  # so that the first level that reaches has the last word
            own = by_level[level][:, score]
            np.copyto(found, own, where=self.events[:, level, None] >= needed * own)
        return found


BY_LEVEL: Final = ("_open", "_squares", "_crossed", "_blocks")


class Fluctuation:
    """Block sums of S streams at all levels, learned pane by pane. Memory: 2.5 KB per stream, while learning.

    Panes are aligned to the clock, so that all streams close a block together: a level costs one pass over all streams
    each time it closes, two passes per pane in all, and gaps cost nothing.
    """

    def __init__(self, scores: int, pane_s: float = 1.0) -> None:
        self._pane_s = pane_s
        self._open = np.zeros((LEVELS, 0, scores + 1))
        self._squares = np.zeros((LEVELS, 0, scores + 1))
        self._crossed = np.zeros((LEVELS, 0, scores))
        self._blocks = np.zeros((LEVELS, 0))
        self._is_open = [False] * LEVELS
        self._closed = [0] * LEVELS
        self._next: int | None = None

    def __len__(self) -> int:
        """How many streams there is room for."""
        return self._blocks.shape[1]

    def reserve(self, streams: int) -> None:
        """Make room for so many streams."""
        more = streams - len(self)
        if more <= 0:
            return
        for name, old in vars(self).items():
            if isinstance(old, np.ndarray):
                setattr(self, name, np.concatenate([old, np.zeros((LEVELS, more, *old.shape[2:]))], axis=1))

    def keep(self, streams: IntArray) -> None:
        """Keep these streams alone, numbered anew in this order."""
        for name, old in vars(self).items():
            if isinstance(old, np.ndarray):
                setattr(self, name, old[:, streams])

    def sections(self, prefix: str, epoch: str, streams: int) -> Iterator[Section]:
        """Give what is kept of the first streams, level by level: long blocks are written when they change, so seldom.

        epoch: changes with the streams, or their numbers.
        """
        yield Section(prefix, None, lambda: {"next": self._next, "is_open": self._is_open, "closed": self._closed})
        for level in range(LEVELS):
            if level and not self._closed[level - 1]:
                return  # nothing was ever this long
            mark = f"{epoch}-{self._closed[level - 1]}-{self._closed[level]}" if level else None
            yield Section(f"{prefix}/{level}", mark, partial(self._level, level, streams))

    def _level(self, level: int, streams: int) -> State:
        return {name.lstrip("_"): getattr(self, name)[level, :streams] for name in BY_LEVEL}

    def restore(self, prefix: str, states: Mapping[str, State]) -> None:
        """Go on from a state; streams are the same."""
        state = states.get(prefix, {})
        self._next = state.get("next")
        for name, own in (("is_open", self._is_open), ("closed", self._closed)):
            own[:] = state.get(name, own)
        for level in range(LEVELS):
            for name in BY_LEVEL:
                found = states.get(f"{prefix}/{level}", {}).get(name.lstrip("_"))
                if found is not None:
                    getattr(self, name)[level, : len(found)] = found

    def observe(self, pane: int, streams: IntArray, sums: FloatArray, events: FloatArray) -> None:
        """Add a pane's sums of scores, shape (n, scores), and its events, (n,), of n of the streams.

        A pane that is before the last one counts as of the last.
        """
        self._pass(pane)
        block = np.concatenate([sums, events[:, None]], axis=1)
        self._open[0][streams] += block
        self._is_open[0] = True

    def _pass(self, pane: int) -> None:
        """Close the blocks that end before a pane, jumping from one that holds something to the next."""
        if self._next is None:
            self._next = pane
        while self._next < pane:
            if not any(self._is_open):
                self._next = pane
                return
            width = 1 << self._is_open.index(True)
            self._next = (self._next // width + 1) * width
            if self._next > pane:
                self._next = pane
                return
            self._close(self._next)

    def _close(self, until: int) -> None:
        """Close the blocks that end where pane `until` begins."""
        for level in range(LEVELS):
            if until % (1 << level):
                return
            if not self._is_open[level]:
                continue
            block = self._open[level]
            self._squares[level] += block * block
            self._crossed[level] += block[:, :-1] * block[:, -1:]
            self._blocks[level] += block[:, -1] > 0.0
            if level + 1 < LEVELS:
                self._open[level + 1] += block
                self._is_open[level + 1] = True
            block[:] = 0.0
            self._is_open[level] = False
            self._closed[level] += 1

    def inflation(
        self,
        streams: IntArray,
        mean: FloatArray,
        variance: FloatArray,
        events: FloatArray,
        profile: FloatArray | None = None,
    ) -> Inflation:
        """Give what was learned of some streams.

        mean, variance: of one event's scores, shape (n, scores). events: seen in all, shape (n,). profile: what hours
        of the week explain of the scores, shape (n, hours, scores); its share is left out, and so are longer blocks.
        """
        squares = self._squares[:, streams].transpose(1, 2, 0)
        counts = squares[:, -1]
        seen = np.maximum(events, 1.0)[:, None]
        per_block = counts / seen
        spread = (
            squares[:, :-1]
            - 2.0 * mean[:, :, None] * self._crossed[:, streams].transpose(1, 2, 0)
            + (mean * mean)[:, :, None] * counts[:, None, :]
        )
        ratio = spread / np.maximum(variance[:, :, None] * seen[:, None, :], 1e-12)
        blocks = self._blocks[:, streams].T
        if profile is not None:
            explained = profile.var(axis=1) / np.maximum(variance, 1e-12)
            ratio = ratio - explained[:, :, None] * per_block[:, None, :]
            blocks = np.where(np.arange(LEVELS) <= level_within(HOUR_S, self._pane_s), blocks, 0.0)
        kurtosis = KURTOSIS if len(KURTOSIS) == variance.shape[1] else 1.0 / np.maximum(variance, 1e-9)
        return smoothed(per_block, ratio, blocks, np.broadcast_to(kurtosis, variance.shape))


def level_within(span_s: float, pane_s: float) -> int:
    """Give the greatest level whose blocks are no longer than a span."""
    return int(np.clip(np.floor(np.log2(span_s / pane_s)), 0, LEVELS - 1))


def smoothed(events: FloatArray, ratio: FloatArray, blocks: FloatArray, kurtosis: FloatArray) -> Inflation:
    """Give the inflation behind measured ratios, shape (S, scores, LEVELS), on so many blocks each, (S, LEVELS).

    First what a short memory explains: with correlation r of neighbouring panes, 1 + 2 sum (1 - l/w) r^l at a length of
    w panes (exact for an autoregression; its r is known from all panes, so long blocks need not be waited for). What is
    measured beyond that counts as far as it stands out of its noise, sqrt((2 + kurtosis / events) / blocks), where
    kurtosis, shape (S, scores), is the excess of one event's score, and is raised for being uncertain:
    evidence divided by an estimate with relative variance v is right on average when it is raised by nats * v / 2.
    """
    blocks = blocks[:, None, :]
    short = _short_memory(ratio, blocks)
    excess = np.maximum(ratio - short, 0.0)
    squared = 2.0 + kurtosis[:, :, None] / np.maximum(events, 1.0)[:, None, :]
    believed = beyond_noise(excess, short * np.sqrt(squared / np.maximum(blocks, 1.0)))
    uncertain = NATS_TYPICAL / np.maximum(blocks, BLOCKS_MIN)
    factor = np.where(blocks >= BLOCKS_MIN, short + believed * (1.0 + uncertain), 1.0)
    return Inflation(_grown(events, blocks[:, 0, :]), np.maximum(np.maximum.accumulate(factor, axis=2), 1.0))


def beyond_noise(excess: FloatArray, noise: FloatArray) -> FloatArray:
    """Give as much of an excess, at least 0, as stands out of its noise: e^3 / (e^2 + (2 noise)^2).

    Smooth where a test would be all or nothing: of one standard error a fifth is believed, of four four fifths.
    """
    believed: FloatArray = excess**3 / np.maximum(excess**2 + (2.0 * noise) ** 2, 1e-12)
    return believed


def _short_memory(ratio: FloatArray, blocks: FloatArray) -> FloatArray:
    """Give the ratios that the correlation of neighbouring panes explains, shape (S, scores, LEVELS)."""
    first = np.maximum(ratio[:, :, :1], 1e-12)
    noise = 1.0 / np.sqrt(np.maximum(blocks[:, :, :1], 1.0))
    r = beyond_noise(np.clip(ratio[:, :, 1:2] / first - 1.0, 0.0, CORRELATION_MAX), 0.5 * noise)
    within = 1.0 + beyond_noise(np.maximum(first - 1.0, 0.0), np.sqrt(2.0) * noise)
    width = 2.0 ** np.arange(LEVELS)
    growth = 1.0 + 2.0 * r / (1.0 - r) - 2.0 * r * (1.0 - r**width) / (width * (1.0 - r) ** 2)
    short: FloatArray = within * np.maximum(growth, 1.0)
    return short


def _grown(events: FloatArray, blocks: FloatArray) -> FloatArray:
    """Give the events per block, doubled on from the last level that was measured, so that it never falls."""
    out = np.maximum(events, 1e-9)
    for level in range(1, LEVELS):
        trusted = blocks[:, level] >= BLOCKS_MIN
        out[:, level] = np.where(trusted, np.maximum(out[:, level], out[:, level - 1]), 2.0 * out[:, level - 1])
    return out
