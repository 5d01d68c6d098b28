"""Sequential evidence about rates: that hits are more (or less) frequent than a limit, whatever windows they fall in.

For unsafe answers, errors and nulls a hit is such an event; for "p95 below 2 s" it is a value above 2 s, and the limit
is 5 %. As in the engine, odds of each alternative follow odds <- (odds + dt) * L ** (1 / inflation), here with the
binomial likelihood of hits in n events under odds of a hit that are RATIOS_ABOVE (or RATIOS_BELOW) times those of the
limit. For true rates on the good side of the limit each L is at most 1 on average, so the guarantee holds for all of
them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray, IntArray
from monitor.kept import State
from monitor.kept_rows import bring_rows, rows_of
from monitor.rows import grown
from monitor.sequential.fluctuation import Inflation

RATIOS_ABOVE: Final = np.array([1.3, 1.7, 2.4, 4.0, 9.0, 25.0])
RATIOS_BELOW: Final = np.array([0.8, 0.6, 0.4, 0.2])
ABOVE_SHARE: Final = 0.6
"""Weight of rises where both directions count."""
THETAS: Final = np.log(np.concatenate([RATIOS_ABOVE, RATIOS_BELOW]))
ALTERNATIVES: Final = len(THETAS)
BOTH: Final = 0
ABOVE: Final = 1
BELOW: Final = -1
RATE_LEAST: Final = 1e-7
ODDS_MAX: Final = 1e30
"""Where odds stop growing: 69 nats, beyond any budget."""
LOST_LEAST: Final = 1e-9
"""Nats below which quiet events take off nothing: (1 - exp(-x)) / x is then 1 within a billionth."""
LOGS_MAX: Final = 300.0
"""Greatest change of odds at once, in nats: beyond any budget, and nothing overflows to infinity, or 0 times it."""
WEIGHT_LEAST: Final = 1e-12
DOUBT_MAX: Final = 0.5
"""Greatest inflation * needed / events of what is looked for: see terms."""
_UP: Final = len(RATIOS_ABOVE)
_TERMS: Final = ("_limit", "_direction", "_temper")
_SEEN: Final = ("_odds", "_last_s", "evidence")
_OF_HIT: Final = ("_odds", "evidence")
"""Of tracks that had a hit; others have no odds."""


class RateTracks:
    """The odds of many rates against their limits. A track is a limit on a stream; one writer.

    Memory: 105 bytes per track. What follows from a limit is worked out for the tracks that are told, not kept.
    """

    def __init__(self) -> None:
        self._limit = np.zeros(0)
        self._direction = np.zeros(0, dtype=np.int8)
        self._temper = np.zeros((0, ALTERNATIVES), dtype=np.float32)
        self._odds = np.zeros((0, ALTERNATIVES), dtype=np.float32)
        self._last_s = np.zeros(0)
        self.evidence = np.zeros(0)

    def __len__(self) -> int:
        """How many tracks there is room for."""
        return len(self.evidence)

    def watch(self, tracks: IntArray, limit: FloatArray, direction: IntArray, temper: FloatArray, now_s: float) -> None:
        """Begin tracks: their limits, ABOVE, BELOW or BOTH, and the powers of their likelihoods, (n, ALTERNATIVES).

        Alternatives of power 0 are left out, and the others share their weight.
        """
        size = int(tracks.max(initial=-1)) + 1
        if size > len(self):
            before = len(self)
            for name, value in list(vars(self).items()):
                setattr(self, name, grown(value, max(16, size * 3 // 2 if before else size)))
            self.evidence[before:] = -np.inf
        self._limit[tracks], self._direction[tracks], self._temper[tracks] = limit, direction, temper
        self.restart(tracks, now_s)

    def restart(self, tracks: IntArray, now_s: float) -> None:
        """Forget the past of tracks."""
        self._odds[tracks] = 0.0
        self._last_s[tracks] = now_s
        self.evidence[tracks] = -np.inf

    def adopt(self, tracks: IntArray, other: RateTracks, its: IntArray) -> None:
        """Go on with the odds that tracks of another had."""
        self._odds[tracks], self._last_s[tracks] = other._odds[its], other._last_s[its]
        self.evidence[tracks] = other.evidence[its]

    def state(self, tracks: int) -> State:
        """Give what the first so many tracks hold: odds and evidence of those that were ever told of a hit."""
        hit = np.flatnonzero((self._odds[:tracks] != 0.0).any(axis=1) | (self.evidence[:tracks] > -np.inf))
        return {"last_s": self._last_s[:tracks], "hit": hit, **rows_of(self, _OF_HIT, hit)}

    def restore(self, state: State, tracks: IntArray, its: IntArray) -> None:
        """Let tracks that have begun anew go on with what those at `its` in a state held, both of shape (n,)."""
        bring_rows(self, ("_last_s",), state, tracks, its)
        hit = state.get("hit", np.zeros(0, dtype=np.int64))
        _, mine, at = np.intersect1d(its, hit, return_indices=True)
        bring_rows(self, _OF_HIT, state, tracks[mine], at)

    def terms(self, tracks: IntArray) -> State:
        """Give the limits of some tracks, where nobody else knows them."""
        return rows_of(self, _TERMS, tracks)

    def seen(self, tracks: IntArray) -> State:
        """Give what was seen of some tracks."""
        return rows_of(self, _SEEN, tracks)

    def resume(self, terms: State, seen: State, tracks: IntArray, its: IntArray) -> None:
        """Begin tracks with those at `its` of terms and of what was seen, both of shape (n,)."""
        limit, direction, temper = (terms[name.lstrip("_")][its] for name in _TERMS)
        self.watch(tracks, limit, direction, temper, 0.0)
        bring_rows(self, _SEEN, seen, tracks, its)

    def observe(
        self, tracks: IntArray, hits: FloatArray, events: FloatArray, end_s: float, quiet: FloatArray | None = None
    ) -> None:
        """Take in the hits among the events since each of n tracks was last told, all of shape (n,).

        Panes without hits need not be told one by one: quiet is how many of the events came in such panes, before the
        one that ends now (None: all are of this pane). They take x nats off the odds; of the time since, over which
        they came evenly, (1 - exp(-x)) / x is left on average. The hits of this pane speak for the time before it, too,
        and its events against it: hits told as if quiet events had come with them would be evidence of nothing.
        """
        power = self._temper[tracks].astype(np.float64)
        drain = cumulant(self._limit[tracks]) * power
        since = np.maximum(end_s - self._last_s[tracks], 0.0)
        odds = self._odds[tracks].astype(np.float64)
        own = events
        if quiet is None or not quiet.any():
            odds += since[:, None]
        else:
            own = events - quiet
            lost = np.clip(quiet[:, None] * drain, -LOGS_MAX, LOGS_MAX)
            left = np.divide(-np.expm1(-lost), lost, out=np.ones_like(lost), where=np.abs(lost) > LOST_LEAST)
            odds = odds * np.exp(-lost) + since[:, None] * left
        odds *= np.exp(np.clip(hits[:, None] * THETAS * power - own[:, None] * drain, -LOGS_MAX, LOGS_MAX))
        np.minimum(odds, ODDS_MAX, out=odds)
        self._odds[tracks] = odds
        self._last_s[tracks] += since
        with np.errstate(divide="ignore"):
            self.evidence[tracks] = np.log(np.einsum("ij,ij->i", odds, self._weights(tracks, power)))

    def _weights(self, tracks: IntArray, power: FloatArray) -> FloatArray:
        """Give the weights of the alternatives that are not left out, shape (n, ALTERNATIVES)."""
        weights = weights_of(self._direction[tracks]) * (power > 0.0)
        shared: FloatArray = weights / np.maximum(weights.sum(axis=1, keepdims=True), WEIGHT_LEAST)
        return shared


def cumulant(limit: FloatArray) -> FloatArray:
    """Give log E exp(theta * hit) at the limit, shape (n, ALTERNATIVES)."""
    p = np.clip(limit, RATE_LEAST, 1.0 - RATE_LEAST)[:, None]
    psi: FloatArray = np.log1p(p * np.expm1(THETAS))
    return psi


def weights_of(direction: npt.NDArray[np.integer]) -> FloatArray:
    """Give the weights of the alternatives, shape (n, ALTERNATIVES), summing to 1."""
    above = np.where(np.arange(ALTERNATIVES) < _UP, 1.0 / _UP, 0.0)
    below = np.where(np.arange(ALTERNATIVES) >= _UP, 1.0 / (ALTERNATIVES - _UP), 0.0)
    share = np.select([direction == ABOVE, direction == BELOW], [1.0, 0.0], ABOVE_SHARE)[:, None]
    weights: FloatArray = share * above + (1.0 - share) * below
    return weights


def temper_of(
    limit: FloatArray, nats: FloatArray, inflation: Inflation | None = None, events: FloatArray | None = None
) -> FloatArray:
    """Give the power of each likelihood, shape (n, ALTERNATIVES): 1 for independent events and a limit that is known.

    nats: that will be needed. events: what a limit learned from a reference rests on; None: it is known. 0 for what the
    limit's own error may look like, which is not looked for (see terms).
    """
    p = np.clip(limit, RATE_LEAST, 1.0 - RATE_LEAST)[:, None]
    psi = cumulant(limit)
    q = p * np.exp(THETAS - psi)
    divergence = np.maximum(q * THETAS - psi, 1e-12)
    needed = nats[:, None] / divergence
    factor = np.ones_like(needed)
    if inflation is not None:
        factor = inflation.at_horizon(needed, np.zeros(ALTERNATIVES, dtype=np.int64))
    if events is None:
        powers: FloatArray = 1.0 / factor
        return powers
    doubt = factor * needed / np.maximum(events, 1.0)[:, None]
    return np.where(doubt > DOUBT_MAX, 0.0, 1.0 / (factor * (1.0 + doubt)))
