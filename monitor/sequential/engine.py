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
order), and an alternative that the error itself looks like is not looked for (see terms and lately).

Late panes count, but take no time back. The values of a pane are one step, in whatever order they came; float32 keeps
what a pane adds within 0.01 nats, also of a million values, where that is less than 60 (beyond, within a millionth). A
row's evidence does not depend on which others are in the call, to the last bit.

State: 0.8 KB per stream, and its classes (64 bytes; 1 KB of positive streams). Cost: half a microsecond per stream that
had a value in a pane on an idle core, twice that on a busy one or with ten values in as many bins, and 0.1 ms per call;
streams without values cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from monitor.bins import Arena
from monitor.domain import CountArray, FloatArray, IntArray
from monitor.kept import State
from monitor.kept_rows import bring_rows, rows_of
from monitor.rows import grown
from monitor.sequential import lately
from monitor.sequential.alternatives import ALTERNATIVES, FIRST_ANY, MEMORIES, WEIGHTS
from monitor.sequential.features import FEATURES, Entries, Floats32, entries_of
from monitor.sequential.normal import Normal
from monitor.sequential.scores import CELLS, CLASSES, NO_CLASS
from monitor.sequential.seasons import Profiles
from monitor.sequential.terms import FEATURE, SCORE_COUNT, Terms, terms_of

ODDS_MAX: Final = np.float32(1e30)
"""Where odds stop growing: 69 nats, beyond any budget, and float32 does not overflow."""
STEP_MAX: Final = np.float32(80.0)
"""Nats that one pane adds or takes at most: float32 neither overflows nor becomes denormal, which would be slow."""
BLOCK: Final = 1024
"""Rows worked through together: 200 KB per array of them stays in the processor's cache."""
WATCH_BLOCK: Final = 256
"""Rows whose terms are worked out together: 40 KB of passing memory each."""
WEIGHTS32: Final = WEIGHTS.astype(np.float32)
_KEPT: Final = ("evidence", "_odds", "_gaps", "_last_s")
"""What was seen of each row; all else follows from its reference and what is needed."""
_TERMS: Final = ("classes", "events", "_gain", "_cost", "_reference", "_noise", "_error")
_FEATURES: Final = FEATURES[Arena.VALUES]
_COLUMNS: Final = np.concatenate([FEATURE, np.zeros(len(MEMORIES), dtype=np.int64)])
_CELL_COLUMNS: Final = np.tile(np.arange(SCORE_COUNT, SCORE_COUNT + CELLS), len(MEMORIES))
_BY_CLASS: Final = np.ascontiguousarray(_FEATURES[:, _COLUMNS])
_CELLS_BY_CLASS: Final = np.ascontiguousarray(_FEATURES[:, _CELL_COLUMNS])


class Engine:
    """The odds of all streams of one arena; rows are those of the arena. One writer.

    evidence: shape (rows,), log of the odds in nats, -inf before the first values. classes: shape (rows, width), of
    each bin. events: shape (rows,), that the reference rests on.
    """

    def __init__(self, width: int) -> None:
        self.classes = np.full((0, width), NO_CLASS, dtype=np.uint8)
        self.events = np.zeros(0)
        self.evidence = np.zeros(0, dtype=np.float32)
        self._gain = np.zeros((0, ALTERNATIVES), dtype=np.float32)
        self._cost = np.zeros((0, ALTERNATIVES), dtype=np.float32)
        self._odds = np.zeros((0, ALTERNATIVES), dtype=np.float32)
        self._gaps = np.zeros((0, lately.WIDTH), dtype=np.float32)
        self._reference = np.zeros((0, lately.WIDTH), dtype=np.float32)
        self._noise = np.zeros(0, dtype=np.float32)
        self._error = np.zeros(0, dtype=np.float32)
        self._last_s = np.zeros(0)
        self._seasonal = np.zeros(0, dtype=np.int64)
        self._profiles = Profiles(_FEATURES.shape[1])

    @property
    def cells(self) -> Floats32:
        """Give the reference's share of each cell, shape (rows, CELLS)."""
        return self._reference[:, :CELLS]

    def reserve(self, rows: int) -> None:
        """Make room for so many rows."""
        before = len(self.evidence)
        if rows <= before:
            return
        capacity = max(64, rows * 5 // 4)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
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
        for first in range(0, len(rows), WATCH_BLOCK):
            own = slice(first, first + WATCH_BLOCK)
            self._set(rows[own], normals[own], terms_of(counts[own], normals[own], nats[own]))
        self.restart(rows, now_s)

    def _set(self, rows: IntArray, normals: Sequence[Normal], terms: Terms) -> None:
        classes = np.stack([normal.classes for normal in normals])
        self.classes[rows] = NO_CLASS
        self.classes[rows, : classes.shape[1]] = classes
        self._reference[rows] = np.tile(terms.cells, len(MEMORIES))
        self.events[rows] = terms.events
        self._gain[rows], self._cost[rows] = terms.gain, terms.cost
        self._noise[rows] = (CELLS - 1) * terms.inflation
        self._error[rows] = lately.error_of(terms.inflation, terms.events)
        for row, normal in zip(rows.tolist(), normals, strict=True):
            self._seasonal[row] = self._profiles.kept(int(self._seasonal[row]), normal.profile)

    def restart(self, rows: IntArray, now_s: float) -> None:
        """Forget the past of rows: nothing has changed yet."""
        self._odds[rows] = 0.0
        self._gaps[rows] = 0.0
        self._last_s[rows] = now_s
        self.evidence[rows] = -np.inf

    def observe(self, flat: IntArray, counts: CountArray, end_s: float) -> IntArray:
        """Take in a pane's counts at flat indices (row * width + bin, ascending); give the rows that had values.

        A pane that ends before the last one of a row is taken in as if no time had passed.
        """
        entries = entries_of(self.classes, CLASSES, flat, counts)
        if entries is None:
            return np.empty(0, dtype=np.int64)
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            for first, last in _blocks(len(entries.rows)):
                self._update(entries, first, last, end_s)
        return entries.rows

    def state(self, rows: int) -> State:
        """Give what was seen of the first so many rows."""
        return rows_of(self, _KEPT, rows)

    def restore(self, state: State, rows: IntArray, its: IntArray) -> None:
        """Let rows that are watched go on with what rows `its` of a state had seen, both of shape (n,)."""
        bring_rows(self, _KEPT, state, rows, its)

    def terms(self, rows: IntArray) -> State:
        """Give what follows from the references of some rows, where those are nowhere else."""
        return {"profiles": self._profiles.state(self._seasonal[rows]), **rows_of(self, _TERMS, rows)}

    def seen(self, rows: IntArray) -> State:
        """Give what was seen of some rows."""
        return rows_of(self, _KEPT, rows)

    def resume(self, terms: State, seen: State, rows: IntArray, its: IntArray) -> None:
        """Begin rows, of which none was watched, with those at `its` of terms and of what was seen; both (n,)."""
        self.reserve(int(rows.max(initial=-1)) + 1)
        bring_rows(self, _TERMS, terms, rows, its)
        bring_rows(self, _KEPT, seen, rows, its)
        self._seasonal[rows] = self._profiles.restore(terms["profiles"])[its]

    def leader(self, row: int) -> int:
        """Give the alternative that speaks loudest for a row."""
        return int(np.argmax(self._odds[row] * WEIGHTS32))

    def _update(self, entries: Entries, first: int, last: int, end_s: float) -> None:
        """Bring the odds of rows `first` to `last` of the entries up to date."""
        at = _span(entries.rows[first:last])
        logs = self._likelihoods(entries, first, last, at, end_s)
        np.clip(logs, -STEP_MAX, STEP_MAX, out=logs)
        since = np.maximum(end_s - self._last_s[at], 0.0)
        odds = self._odds[at]
        odds += since.astype(np.float32)[:, None]
        odds *= np.exp(logs, out=logs)
        np.minimum(odds, ODDS_MAX, out=odds)
        self._odds[at] = odds
        self._last_s[at] += since
        self.evidence[at] = np.log(np.einsum("ij,j->i", odds, WEIGHTS32))

    def _likelihoods(self, entries: Entries, first: int, last: int, at: slice | IntArray, end_s: float) -> Floats32:
        """Give the evidence of every alternative in the pane, shape (n, ALTERNATIVES), and note the cells seen."""
        n = entries.events(first, last)
        if len(self._profiles) or entries.starts[last] - entries.starts[first] > last - first:
            sums = entries.sums(_FEATURES, first, last)
            sums -= n[:, None] * self._profiles.at(self._seasonal[at], end_s)
            logs, cells = sums.take(_COLUMNS, axis=1), sums.take(_CELL_COLUMNS, axis=1)
        else:
            logs, cells = entries.sums(_BY_CLASS, first, last), entries.sums(_CELLS_BY_CLASS, first, last)
        gaps, reference = self._gaps[at], self._reference[at]
        logs[:, FIRST_ANY:] = lately.looked(gaps, cells, reference, n, self._noise[at], self._error[at])
        self._gaps[at] = gaps
        logs *= self._gain[at]
        logs -= self._cost[at] if (n == 1.0).all() else n[:, None] * self._cost[at]
        return logs


def _blocks(rows: int) -> Iterator[tuple[int, int]]:
    """Give the first row, and the one after the last, of each block."""
    return ((first, min(first + BLOCK, rows)) for first in range(0, rows, BLOCK))


def _span(rows: IntArray) -> slice | IntArray:
    """Give ascending rows as a slice if there is none between that is not of them: then nothing need be copied."""
    first, after = int(rows[0]), int(rows[-1]) + 1
    return slice(first, after) if after - first == len(rows) else rows
