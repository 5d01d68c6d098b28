"""Sequential evidence about thresholds on rates and quantiles: how long a limit must be passed to be certain.

A line's statistic is a rate of hits against a limit: the share of nulls above 2 %, or, for "p95 above 2 s", the share
of values above 2 s against 5 %. "Below" is the same of what is no hit. The limit is where the line's first band begins;
once that is passed, the past says which band it is (see onsets).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from monitor.bins import Arena
from monitor.detectors.base import View
from monitor.domain import BoolArray, CountArray, FloatArray, IntArray
from monitor.kept import State
from monitor.kept_rows import bring_rows, rows_of
from monitor.sequential.fluctuation import NATS_TYPICAL, Inflation
from monitor.sequential.normal import Normal
from monitor.sequential.rates import ABOVE, ALTERNATIVES, RateTracks, temper_of

ROWS_MAX: Final = 1 << 32
_KEPT: Final = ("_told", "since_s")
"""What is known of each line beside its odds."""


@runtime_checkable
class Countable(Protocol):
    """A detector whose statistic passes a threshold when hits pass a rate."""

    def ranks(self, arena: Arena) -> IntArray:
        """Give the rank of each bin, shape (width,), -1 where it is not counted; high ones are hits."""
        ...

    def cuts(self, view: View, threshold: FloatArray, is_above: BoolArray) -> tuple[IntArray, FloatArray]:
        """Give the rank from which values are hits, and the rate of hits at the threshold, both of shape (S,)."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What n lines of one statistic are held to; all arrays end in n, so that those of many models can be joined.

    cut: rank from which values are hits. rate: of hits at the limit, NaN where there is none. temper: shape
    (ALTERNATIVES, n), powers of the likelihoods. nats: needed.
    """

    cut: IntArray
    rate: FloatArray
    temper: npt.NDArray[np.float32]
    nats: FloatArray

    @classmethod
    def of(
        cls, detector: Countable, view: View, threshold: FloatArray, is_above: BoolArray, learned: Sequence[Normal]
    ) -> Limits:
        """Give those of thresholds, shape (n,), of streams of a view; nats are still to be set."""
        cut, rate = detector.cuts(view, threshold, is_above)
        rate = np.where(np.isfinite(threshold), rate, np.nan)
        rate = np.where(is_above, rate, 1.0 - rate)
        inflation, scale = Inflation.of_first(learned), np.array([normal.scale for normal in learned])
        nats = np.full(len(is_above), NATS_TYPICAL)
        temper = temper_of(np.where(np.isnan(rate), 0.5, rate), nats, inflation) * scale[:, None]
        return cls(cut, rate, temper.T.astype(np.float32), nats)


class Tracks:
    """The tracks of the lines of one statistic on one arena. Cost of a pane: 20 ns per bin hit, 1 us per line hit.

    rule, row: of each line, shape (n,); lines of one rule and row go on when the tracks are made anew. since_s: shape
    (n,), when a line was last begun anew, because what it had told of was over; minus infinity before.
    """

    def __init__(
        self, ranks: IntArray, limits: Limits, lines: tuple[IntArray, IntArray, BoolArray], now_s: float
    ) -> None:
        self._rule, self._row, self._is_above = lines
        self._limits = limits
        self._ranks = ranks
        self._has_limit = np.isfinite(limits.rate)
        self._order = np.argsort(self._row, kind="stable")
        self._rows_in_order = self._row[self._order]
        beyond = len(ranks)
        self._hit_from = np.where(self._is_above, limits.cut, beyond).min(initial=beyond)
        self._hit_below = np.where(self._is_above, 0, limits.cut).max(initial=0)
        self._events = np.zeros(0)
        self._told = np.zeros(len(self._row))
        self._rates = RateTracks()
        self.since_s = np.full(len(self._row), -np.inf)
        rate, temper = np.where(self._has_limit, limits.rate, 0.5), limits.temper.T.astype(np.float64)
        self._rates.watch(np.arange(len(rate)), rate, np.full(len(rate), ABOVE), temper, now_s)

    def adopt(self, other: Tracks) -> None:
        """Go on where lines of the same rule and stream were before."""
        _, mine, its = np.intersect1d(self._names(), other._names(), return_indices=True)
        self._events = other._events
        self._told[:] = self._so_far(np.arange(len(self._row)))
        self.since_s[mine] = other.since_s[its]
        self._told[mine] = other._told[its]
        self._rates.adopt(mine, other._rates, its)

    def state(self) -> State:
        """Give what was seen, line by line, and how many events each row had."""
        n = len(self._row)
        return {"events": np.trim_zeros(self._events, "b"), **rows_of(self, _KEPT, n), "rates": self._rates.state(n)}

    def restore(self, state: State, rows: tuple[IntArray, IntArray], lines: tuple[IntArray, IntArray]) -> None:
        """Go on from a state; lines that are not of it begin now.

        rows: those of today, and what they were in the state; lines: the same, of the lines that go on.
        """
        events, (now, then) = state.get("events", np.zeros(0)), rows
        had = then < len(events)
        if had.any():
            self._reserve(int(now[had].max()) + 1)
            self._events[now[had]] = events[then[had]]
        self._told[:] = self._so_far(np.arange(len(self._row)))
        bring_rows(self, _KEPT, state, *lines)
        self._rates.restore(state.get("rates", {}), *lines)

    def restart(self, names: Iterable[tuple[int, int]], now_s: float) -> None:
        """Begin lines anew, by rule and row: what they told of is over, and nothing has passed a limit since."""
        wanted = [rule * ROWS_MAX + row for rule, row in names]
        lines = np.flatnonzero(np.isin(self._names(), np.array(wanted, dtype=np.int64)))
        self.since_s[lines] = now_s
        self._told[lines] = self._so_far(lines)
        self._rates.restart(lines, now_s)

    def _names(self) -> IntArray:
        return self._rule * ROWS_MAX + self._row

    def observe(self, flat: IntArray, held: CountArray, end_s: float) -> None:
        """Take in a pane's counts at flat indices. Lines without a hit only count their events."""
        row, rank = flat // len(self._ranks), self._ranks[flat % len(self._ranks)]
        is_counted = rank >= 0
        if not is_counted.all():
            row, rank, held = row[is_counted], rank[is_counted], held[is_counted]
        if not row.size:
            return
        self._reserve(int(row[-1]) + 1)
        seen = np.bincount(row, weights=held).astype(np.float64, copy=False)
        self._events[: len(seen)] += seen
        may_hit = (rank >= self._hit_from) | (rank < self._hit_below)
        if may_hit.any():
            self._observe_hits((row[may_hit], rank[may_hit], held[may_hit]), seen, end_s)

    def _observe_hits(self, hits: tuple[IntArray, IntArray, CountArray], seen: FloatArray, end_s: float) -> None:
        """Tell lines what hit them. seen: how many events each row had in the pane."""
        row, rank, held = hits
        first = np.searchsorted(self._rows_in_order, row, "left")
        times = np.searchsorted(self._rows_in_order, row, "right") - first
        entry = np.repeat(np.arange(len(row)), times)
        line = self._order[np.arange(len(entry)) - np.repeat(np.cumsum(times) - times, times) + first[entry]]
        is_hit = (rank[entry] >= self._limits.cut[line]) == self._is_above[line]
        is_hit &= self._has_limit[line]
        if not is_hit.any():
            return
        found = np.bincount(line[is_hit], weights=held[entry[is_hit]], minlength=len(self._row))
        told = np.flatnonzero(found)
        self._tell(told, found[told].astype(np.float64), seen[self._row[told]], end_s)

    def _tell(self, lines: IntArray, hits: FloatArray, events: FloatArray, end_s: float) -> None:
        """Tell lines the hits and the events of the pane that ends now, and the quiet events before it."""
        so_far = self._so_far(lines)
        since = so_far - self._told[lines]
        self._told[lines] = so_far
        self._rates.observe(lines, hits, since, end_s, since - events)

    def _reserve(self, rows: int) -> None:
        if rows > len(self._events):
            self._events = np.concatenate([self._events, np.zeros(rows * 3 // 2 - len(self._events))])

    def _so_far(self, lines: IntArray) -> FloatArray:
        """Give the events that the streams of some lines have had."""
        rows = self._row[lines]
        if not len(self._events):
            return np.zeros(len(rows))
        return np.where(rows < len(self._events), self._events[np.minimum(rows, len(self._events) - 1)], 0.0)

    def reached(self, end_s: float) -> IntArray:
        """Give the lines whose limit is certainly passed, with all events until now; surest first."""
        lines = np.flatnonzero(self.evidence >= self._limits.nats)
        if lines.size:
            none: FloatArray = np.zeros(len(lines))
            self._tell(lines, none, none, end_s)
            over = self.evidence[lines] - self._limits.nats[lines]
            lines = lines[np.argsort(-over, kind="stable")][: int((over >= 0.0).sum())]
        return lines

    @property
    def evidence(self) -> FloatArray:
        """The nats of each line, shape (n,), as of its last hit; minus infinity where there is no limit."""
        return np.where(self._has_limit, self._rates.evidence[: len(self._row)], -np.inf)


UNKNOWN: Final = Normal(np.zeros(0, dtype=np.uint8))
"""Of streams without a reference: their values are taken for independent."""
NO_LIMITS: Final = Limits(
    cut=np.zeros(0, dtype=np.int64),
    rate=np.zeros(0),
    temper=np.zeros((ALTERNATIVES, 0), dtype=np.float32),
    nats=np.zeros(0),
)
"""Of lines whose statistic is judged in windows alone."""
