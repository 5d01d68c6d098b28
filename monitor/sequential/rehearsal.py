"""A rehearsal: the engine watches the end of the reference by what its beginning taught, and is scaled by what it said.

Whatever no model foresaw (bursts, clumps, slow tides) makes evidence where nothing has changed. While nothing changes,
peaks of evidence above x come about PEAKS * exp(-x) times a second; where they are higher, all evidence is scaled down
until they are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from monitor.bins import WIDTHS, YES, Arena
from monitor.domain import BoolArray, CountArray, FloatArray, IntArray
from monitor.kept import Section, State
from monitor.kept_rows import bring_rows, rows_of
from monitor.rows import grown
from monitor.sequential.engine import Engine
from monitor.sequential.features import FEATURES, summed
from monitor.sequential.fluctuation import NATS_TYPICAL, Inflation, beyond_noise
from monitor.sequential.normal import Normal
from monitor.sequential.rates import BOTH, RateTracks, temper_of
from monitor.sequential.scores import NO_CLASS

TOPS: Final = 4
"""Greatest block maxima kept."""
BLOCKS: Final = 16
"""Blocks that a rehearsal is cut into, of its length as foreseen: as long as the reference was till then."""
PEAKS: Final = (0.8, 0.8, 0.8, 0.85)
"""The k-th greatest maximum of t seconds is about log(t * PEAKS[k] / k), for independent events: measured 2026-11-20 by
benchmarks/detection/overshoot.py as 0.79, 0.78, 0.80 and 0.83, within 0.69 to 0.99 for each distribution."""
PEAKS_OF_RATES: Final = (0.66, 0.68, 0.67, 0.67)
"""The same for yes/no streams: rates of .001, .01 and .05 have 0.5, 0.65 and 0.8 to 0.9."""
LUCK: Final = 2.3
"""Nats by which the greatest peak is beyond its usual height one time in ten: more than that tells of a tail."""
NATS_MIN: Final = 3.0
BLOCKS_MIN: Final = 4
"""Fewest blocks of a rehearsal that replace what the one before it said."""
KEPT: Final = ("_tops", "_peak", "_block_s", "_end_s", "_blocks", "_before")


class Peaks:
    """The greatest block maxima of the evidence of many rows."""

    def __init__(self, usual: tuple[float, ...]) -> None:
        self._usual_of = usual
        self._tops = np.zeros((0, TOPS), dtype=np.float32)
        self._peak = np.zeros(0, dtype=np.float32)
        self._block_s = np.zeros(0)
        self._end_s = np.zeros(0)
        self._blocks = np.zeros(0)
        self._before = np.zeros(0)

    def begin(self, row: int, now_s: float, block_s: float, *, is_new: bool) -> None:
        """Forget the peaks of a row; blocks of so many seconds begin. is_new: the last rehearsal was of another state.

        Until there are blocks enough, what the last one said holds.
        """
        before = 1.0 if is_new else self.scale(row)
        self._reserve(row + 1)
        self._tops[row], self._peak[row], self._blocks[row] = 0.0, 0.0, 0.0
        self._block_s[row], self._end_s[row], self._before[row] = block_s, now_s + block_s, before

    def _reserve(self, rows: int) -> None:
        if rows > len(self._peak):
            for name, old in vars(self).items():
                if isinstance(old, np.ndarray):
                    setattr(self, name, grown(old, rows * 3 // 2))

    def begun(self, rows: IntArray) -> IntArray:
        """Give those of the rows that have begun."""
        own = rows[rows < len(self._block_s)]
        return own[self._block_s[own] > 0.0]

    def state(self, rows: IntArray) -> State:
        """Give what is kept of some rows."""
        return rows_of(self, KEPT, rows)

    def restore(self, state: State, rows: IntArray, its: IntArray) -> None:
        """Let rows go on with those at `its` of a state, both of shape (n,)."""
        self._reserve(int(rows.max(initial=-1)) + 1)
        bring_rows(self, KEPT, state, rows, its)

    def observe(self, rows: IntArray, evidence: FloatArray, now_s: float) -> None:
        """See the evidence of rows after a pane."""
        ended = rows[now_s > self._end_s[rows]]
        if ended.size:
            self._close(ended, now_s)
        self._peak[rows] = np.maximum(self._peak[rows], evidence)

    def _close(self, rows: IntArray, now_s: float) -> None:
        tops = self._tops[rows]
        least = tops.argmin(axis=1)
        at = np.arange(len(rows))
        tops[at, least] = np.maximum(tops[at, least], self._peak[rows])
        self._tops[rows], self._peak[rows] = tops, 0.0
        passed = np.ceil((now_s - self._end_s[rows]) / self._block_s[rows])
        self._blocks[rows] += passed
        self._end_s[rows] += passed * self._block_s[rows]

    def scale(self, row: int) -> float:
        """Give what all evidence of a row is to be multiplied with, 0 to 1.

        The expected height of the k-th peak over that of those seen, as far as the excess stands out of its noise,
        and raised for being uncertain (see fluctuation.smoothed).
        """
        if row >= len(self._blocks):
            return 1.0  # its reference ended before any rehearsal began
        blocks = float(self._blocks[row])
        if blocks < BLOCKS_MIN:
            return float(self._before[row]) or 1.0
        kept = int(min(TOPS, blocks // 2))
        seen = np.sort(self._tops[row].astype(np.float64))[::-1][:kept]
        expected = np.log(
            np.array(self._usual_of[:kept]) * blocks * float(self._block_s[row]) / np.arange(1.0, kept + 1.0)
        )
        height = max(float(expected.mean()), NATS_MIN)
        noise = 1.0 / (np.sqrt(kept) * height)
        most = (seen[0] - expected[0] - LUCK) / max(float(expected[0]), NATS_MIN)
        excess = max(0.0, float(seen.mean()) / height - 1.0, float(most))
        believed = float(beyond_noise(np.array([excess]), np.array([noise]))[0])
        return 1.0 / (1.0 + believed * (1.0 + NATS_TYPICAL / (4.0 * TOPS)))


@dataclass(frozen=True, slots=True)
class History:
    """Of n rows: how long each reference is already, and whether more of its hours is known than last time."""

    span_s: FloatArray
    is_new: BoolArray


class Stage:
    """The rehearsals of all rows of one arena that learn: numbers and categories by the engine, yes/no as rates."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._engine = Engine(WIDTHS[arena])
        self._tracks = RateTracks()
        self._classes = np.full((0, WIDTHS[arena]), NO_CLASS, dtype=np.uint8)
        self._peaks = Peaks(PEAKS_OF_RATES if arena is Arena.FLAGS else PEAKS)

    def begin(
        self, rows: IntArray, counts: CountArray, normals: Sequence[Normal], now_s: float, history: History
    ) -> None:
        """Begin the rehearsal of rows anew, by counts of value bins so far, shape (n, B), and what is normal.

        Cost: 50 us per row.
        """
        for row, so_far, is_new in zip(rows.tolist(), history.span_s.tolist(), history.is_new.tolist(), strict=True):
            self._peaks.begin(row, now_s, max(so_far, 1.0) / BLOCKS, is_new=is_new)
        nats = np.full(len(rows), NATS_TYPICAL)
        if self._arena is not Arena.FLAGS:
            self._engine.watch(rows, counts, normals, nats, now_s)
            return
        events = counts.sum(axis=1).astype(np.float64)
        rate = (counts[:, YES] + 0.5) / (events + 1.0)
        temper = temper_of(rate, nats, Inflation.of(normals, 1), events)
        self._tracks.watch(rows, rate, np.full(len(rows), BOTH), temper, now_s)
        self._reserve(int(rows.max()) + 1)
        self._classes[rows, : counts.shape[1]] = [normal.classes for normal in normals]

    def _reserve(self, rows: int) -> None:
        more = rows - len(self._classes)
        if more > 0:
            self._classes = np.concatenate([self._classes, np.full((more, self._classes.shape[1]), NO_CLASS, np.uint8)])

    def observe(self, flat: IntArray, counts: CountArray, end_s: float) -> None:
        """Take in a pane's counts at flat indices, ascending."""
        if self._arena is not Arena.FLAGS:
            rows = self._engine.observe(flat, counts, end_s)
            self._peaks.observe(rows, self._engine.evidence[rows].astype(np.float64), end_s)
            return
        found = summed(self._classes, FEATURES[self._arena], flat, counts) if len(self._classes) else None
        if found is not None:
            rows, hits, events = found
            self._tracks.observe(rows, hits[:, 0].astype(np.float64), events, end_s)
            self._peaks.observe(rows, self._tracks.evidence[rows], end_s)

    def sections(self, prefix: str, rows: IntArray, mark: str) -> Iterator[Section]:
        """Give what is kept of those of the rows that rehearse. mark: changes with them, and when one begins anew."""
        own = self._peaks.begun(rows)
        if own.size:
            yield Section(prefix, None, partial(self._seen, own))
            yield Section(f"{prefix}/terms", mark, partial(self._terms, own))

    def _seen(self, rows: IntArray) -> State:
        part = self._tracks if self._arena is Arena.FLAGS else self._engine
        return {"peaks": self._peaks.state(rows), "seen": part.seen(rows)}

    def _terms(self, rows: IntArray) -> State:
        if self._arena is Arena.FLAGS:
            return {"rows": rows, "terms": self._tracks.terms(rows), "classes": self._classes[rows]}
        return {"rows": rows, "terms": self._engine.terms(rows)}

    def restore(self, prefix: str, states: Mapping[str, State], rows: IntArray | None = None) -> None:
        """Go on from a state. rows: by the row till now the row from now on, or -1; None: as then."""
        if prefix not in states:
            return
        state, terms = states[prefix], states[f"{prefix}/terms"]
        then: IntArray = terms["rows"]
        now = then if rows is None else rows[then]
        its = np.flatnonzero(now >= 0)
        if not its.size:
            return
        own = now[its]
        self._peaks.restore(state["peaks"], own, its)
        part = self._tracks if self._arena is Arena.FLAGS else self._engine
        part.resume(terms["terms"], state["seen"], own, its)
        if self._arena is Arena.FLAGS:
            self._reserve(int(own.max()) + 1)
            self._classes[own] = terms["classes"][its]

    def scale(self, row: int) -> float:
        """Give what all evidence of a row is to be multiplied with."""
        return self._peaks.scale(row)
