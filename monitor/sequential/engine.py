"""The engine: for every stream the odds that it has changed, by any of many alternatives, updated pane by pane.

For an alternative a with likelihood ratio L_a of a pane's values, odds are kept by the Shiryaev-Roberts recursion

    odds_a <- (odds_a + dt) * L_a ** (1 / inflation_a)

and the stream's odds are their weighted mean. Without change L_a is 1 on average, so odds - t is a martingale and the
mean time until odds first reach a limit B is at least B seconds, at any traffic, however often it is looked at and
whatever the distribution is (an e-detector: Shin, Ramdas and Rinaldo (2023), arXiv 2203.03532; Roberts (1966)). The
budget is thus in the threshold itself: log B nats for one false alarm in B seconds. After a change odds grow as fast as
those of the optimal CUSUM, up to log(1/weight) nats.

Two corrections keep that true on real streams. Dependent values: L is raised to 1/inflation (see fluctuation), the
likelihood ratio of sums that vary so much more. A finite reference of m events: the same with 1 + n/m, where n is the
number of events the alternative takes to prove; averaged over references, that offsets the error of each (to first
order, see docs/detection.md).

State: 4 bytes per alternative and stream, about 700 in all with the tables. Cost: below a microsecond per stream that
had values in a pane; streams without values cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from monitor.bins import Arena
from monitor.domain import FloatArray, IntArray
from monitor.rows import grown
from monitor.sequential.alternatives import (
    ADDED,
    ADDITIONS,
    ALTERNATIVES,
    FIRST_ADDITION,
    FIRST_ANY,
    MEMORIES,
    THETAS,
    TILTED,
    TILTS,
    WEIGHTS,
)
from monitor.sequential.features import FEATURES, summed
from monitor.sequential.fluctuation import Inflation
from monitor.sequential.normal import Normal
from monitor.sequential.scores import CELLS, NO_CLASS, SCORES, cell_shares, class_shares
from monitor.sequential.seasons import HOURS, at_time

if TYPE_CHECKING:
    import numpy.typing as npt

    from monitor.domain import CountArray

ODDS_MAX: Final = 1e30
"""Where odds stop growing: 69 nats, beyond any budget, and float32 does not overflow."""
SHARE_LEAST: Final = 0.02
"""Least share of a cell under "any change", in terms of the reference's: one surprise must not undo all evidence."""
THETAS32: Final = THETAS.astype(np.float32)
WEIGHTS32: Final = WEIGHTS.astype(np.float32)
MISS: Final = np.repeat(np.log1p(-np.array(ADDED)), CELLS).astype(np.float32)
SCORE_COUNT: Final = SCORES.shape[1]


class Engine:
    """The odds of all streams of one arena; rows are those of the arena. One writer."""

    def __init__(self, width: int) -> None:
        self._width = width
        self.classes = np.full((0, width), NO_CLASS, dtype=np.uint8)
        self._psi = np.zeros((0, TILTS), dtype=np.float32)
        self._added = np.zeros((0, ADDITIONS), dtype=np.float32)
        self.cells = np.zeros((0, CELLS), dtype=np.float32)
        self._temper = np.zeros((0, ALTERNATIVES), dtype=np.float32)
        self._odds = np.zeros((0, ALTERNATIVES), dtype=np.float32)
        self._recent = np.zeros((0, len(MEMORIES), CELLS), dtype=np.float32)
        self._floor = np.zeros(0, dtype=np.float32)
        self._last_s = np.zeros(0)
        self.events = np.zeros(0)
        self._seasonal = np.zeros(0, dtype=np.int64)
        self._profiles = np.zeros((1, HOURS, FEATURES[Arena.VALUES].shape[1]), dtype=np.float16)
        self.evidence = np.zeros(0, dtype=np.float32)

    def reserve(self, rows: int) -> None:
        """Make room for so many rows."""
        before = len(self.evidence)
        if rows <= before:
            return
        capacity = max(64, rows * 3 // 2)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and name != "_profiles":
                setattr(self, name, grown(value, capacity))
        self.classes[before:] = NO_CLASS
        self.evidence[before:] = -np.inf

    def watch(
        self, rows: IntArray, counts: CountArray, normals: Sequence[Normal], nats: FloatArray, now_s: float
    ) -> None:
        """Begin to watch rows against their references: counts of value bins, shape (n, B), and what is normal.

        nats: that will be needed, shape (n,), which says how much of a reference's error matters.
        """
        self.reserve(int(rows.max(initial=-1)) + 1)
        classes = np.stack([normal.classes for normal in normals])
        inflation = Inflation.of(normals, SCORE_COUNT)
        shares, events = class_shares(counts, classes)
        cells = cell_shares(shares)
        psi, divergence = _tilts(shares)
        added, added_divergence = _additions(cells)
        self.classes[rows] = NO_CLASS
        self.classes[rows, : classes.shape[1]] = classes
        self._psi[rows], self._added[rows], self.cells[rows] = psi, added, cells
        self.events[rows] = events
        needs = np.concatenate([divergence, added_divergence], axis=1)
        scale = np.array([normal.scale for normal in normals])
        self._temper[rows] = _temper(nats, needs, inflation, events) * scale[:, None]
        self._floor[rows] = _worst(inflation)[:, 0]
        for row, normal in zip(rows.tolist(), normals, strict=True):
            self._season(row, normal.profile)
        self.restart(rows, now_s)

    def _season(self, row: int, profile: FloatArray | None) -> None:
        """Take off what each hour of the week adds to the features of a row, shape (HOURS, features)."""
        self._seasonal[row] = 0
        if profile is not None:
            self._seasonal[row] = len(self._profiles)
            self._profiles = np.concatenate([self._profiles, profile[None].astype(np.float16)])

    def restart(self, rows: IntArray, now_s: float) -> None:
        """Forget the past of rows: nothing has changed yet."""
        self._odds[rows] = 0.0
        self._recent[rows] = self.cells[rows][:, None, :]
        self._last_s[rows] = now_s
        self.evidence[rows] = -np.inf

    def observe(self, flat: IntArray, counts: CountArray, end_s: float) -> IntArray:
        """Take in a pane's counts at flat indices (row * width + bin, ascending); give the rows that had values."""
        found = summed(self.classes, FEATURES[Arena.VALUES], flat, counts)
        if found is None:
            return np.empty(0, dtype=np.int64)
        rows, sums, events = found
        if len(self._profiles) > 1:
            sums -= (events[:, None] * at_time(self._profiles, self._seasonal[rows], end_s)).astype(np.float32)
        logs = self._likelihoods(rows, sums, events)
        logs *= self._temper[rows]
        odds = self._odds[rows]
        odds += (end_s - self._last_s[rows]).astype(np.float32)[:, None]
        with np.errstate(over="ignore", under="ignore"):
            odds *= np.exp(logs, out=logs)
        np.minimum(odds, np.float32(ODDS_MAX), out=odds)
        self._odds[rows] = odds
        self._last_s[rows] = end_s
        with np.errstate(divide="ignore"):
            self.evidence[rows] = np.log(odds @ WEIGHTS32)
        return rows

    def leader(self, row: int) -> int:
        """Give the alternative that speaks loudest for a row."""
        return int(np.argmax(self._odds[row] * WEIGHTS32))

    def _likelihoods(
        self, rows: IntArray, sums: npt.NDArray[np.float32], events: FloatArray
    ) -> npt.NDArray[np.float32]:
        """Give the log likelihood ratio of every alternative, shape (n, ALTERNATIVES), and note the cells seen."""
        n = events.astype(np.float32)[:, None]
        cells = sums[:, SCORE_COUNT:]
        out = np.empty((len(rows), ALTERNATIVES), dtype=np.float32)
        np.multiply(sums[:, TILTED], THETAS32, out=out[:, :TILTS])
        out[:, :TILTS] -= n * self._psi[rows]
        repeated = np.concatenate([cells] * len(ADDED), axis=1)
        added = out[:, FIRST_ADDITION:FIRST_ANY]
        np.multiply(repeated, self._added[rows], out=added)
        added += (n - repeated) * MISS
        self._any(rows, cells, n, out[:, FIRST_ANY:])
        return out

    def _any(
        self,
        rows: IntArray,
        cells: npt.NDArray[np.float32],
        n: npt.NDArray[np.float32],
        out: npt.NDArray[np.float32],
    ) -> None:
        """Give the log likelihood ratio of the shares seen lately, and then see these.

        What was seen is drawn back to the reference by as much of its distance as noise explains (James and Stein), so
        it stays silent while nothing changes. It only rests on earlier panes, so the ratio stays 1 on average.
        """
        reference = self.cells[rows]
        noise = (CELLS - 1) * self._floor[rows]
        finite = (CELLS - 1) / np.maximum(self.events[rows], 1.0).astype(np.float32)
        seen = cells / n
        for at, memory in enumerate(MEMORIES):
            recent = self._recent[rows, at]
            fresh = -np.expm1(n * np.float32(np.log1p(-1.0 / memory)))
            gap = recent - reference
            distance = np.einsum("ij,ij->i", gap, gap / reference)
            expected = noise * (fresh / (n * (2.0 - fresh)))[:, 0] + finite
            kept = np.maximum(1.0 - expected / np.maximum(distance, 1e-9), 0.0)[:, None]
            ratio = np.maximum(1.0 + kept * gap / reference, SHARE_LEAST)
            ratio /= np.einsum("ij,ij->i", ratio, reference)[:, None]
            out[:, at] = np.einsum("ij,ij->i", cells, np.log(ratio))
            recent += fresh * (seen - recent)
            self._recent[rows, at] = recent


def _tilts(shares: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give psi = log E exp(theta * score) and the divergence of each tilt from the reference, both (S, TILTS)."""
    powers = THETAS[:, None] * SCORES[:, TILTED].T
    psi = np.log(shares @ np.exp(powers).T)
    tilted = shares[:, None, :] * np.exp(powers[None] - psi[:, :, None])
    return psi, np.einsum("sac,ac->sa", tilted, powers) - psi


def _additions(cells: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give log(q/p) of a value in the cell added to, and the divergence, both (S, ADDITIONS)."""
    share = np.repeat(np.array(ADDED), CELLS)
    p = np.clip(np.concatenate([cells] * len(ADDED), axis=1), 1e-9, 1.0)
    q = (1.0 - share) * p + share
    hit = np.log(q / p)
    return hit, np.maximum(q * hit + (1.0 - q) * np.log1p(-share), 0.0)


def _temper(nats: FloatArray, divergence: FloatArray, inflation: Inflation, events: FloatArray) -> FloatArray:
    """Give the power to which each likelihood ratio is raised, shape (S, ALTERNATIVES)."""
    needed = nats[:, None] / np.maximum(divergence, 1e-9)
    factor = inflation.at_horizon(needed[:, :TILTS], TILTED)
    loosest = _worst(inflation, needed[:, TILTS:])
    factor = np.concatenate([factor, loosest], axis=1)
    total = factor * (1.0 + factor * needed / np.maximum(events, 1.0)[:, None])
    return np.concatenate([1.0 / total, np.repeat(1.0 / _worst(inflation), len(MEMORIES), axis=1)], axis=1)


def _worst(inflation: Inflation, needed: FloatArray | None = None) -> FloatArray:
    """Give the greatest inflation of all scores where so many events are needed (by default for "any change")."""
    if needed is None:
        needed = np.full((len(inflation.events), 1), 2.0 * max(MEMORIES))
    scores = range(inflation.factor.shape[1])
    columns = needed.shape[1]
    worst: FloatArray = np.stack([inflation.at_horizon(needed, np.full(columns, score)) for score in scores]).max(
        axis=0
    )
    return worst
