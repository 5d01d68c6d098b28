"""Sequential evidence about rates: that hits are more (or less) frequent than a limit, whatever windows they fall in.

For unsafe answers, errors and nulls a hit is such an event; for "p95 below 2 s" it is a value above 2 s, and the limit
is 5 %. As in the engine, odds of each alternative follow odds <- (odds + dt) * L ** (1 / inflation), here with the
binomial likelihood of hits in n events under odds of a hit that are `RATIOS` times those of the limit. For true rates
on the good side of the limit each L is at most 1 on average, so the guarantee holds for all of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.domain import FloatArray, IntArray
from monitor.rows import grown
from monitor.sequential.engine import ODDS_MAX
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
_UP: Final = len(RATIOS_ABOVE)


class RateTracks:
    """The odds of many rates against their limits. A track is a limit on a stream; one writer."""

    def __init__(self) -> None:
        self._psi = np.zeros((0, ALTERNATIVES))
        self._temper = np.zeros((0, ALTERNATIVES))
        self._weights = np.zeros((0, ALTERNATIVES))
        self._odds = np.zeros((0, ALTERNATIVES))
        self._last_s = np.zeros(0)
        self.evidence = np.zeros(0)

    def __len__(self) -> int:
        return len(self.evidence)

    def watch(self, tracks: IntArray, limit: FloatArray, direction: IntArray, temper: FloatArray, now_s: float) -> None:
        """Begin tracks: their limits, ABOVE, BELOW or BOTH, and the powers of their likelihoods, (n, ALTERNATIVES)."""
        size = int(tracks.max(initial=-1)) + 1
        if size > len(self):
            for name, value in list(vars(self).items()):
                setattr(self, name, grown(value, size))
        self._psi[tracks] = cumulant(limit)
        self._temper[tracks] = temper
        self._weights[tracks] = weights_of(direction)
        self.restart(tracks, now_s)

    def restart(self, tracks: IntArray, now_s: float) -> None:
        """Forget the past of tracks."""
        self._odds[tracks] = 0.0
        self._last_s[tracks] = now_s
        self.evidence[tracks] = -np.inf

    def observe(self, tracks: IntArray, hits: FloatArray, events: FloatArray, end_s: float) -> None:
        """Take in the hits among a pane's events of each of n tracks, all of shape (n,)."""
        logs = hits[:, None] * THETAS - events[:, None] * self._psi[tracks]
        odds = self._odds[tracks] + (end_s - self._last_s[tracks])[:, None]
        with np.errstate(over="ignore", under="ignore"):
            odds *= np.exp(logs * self._temper[tracks])
        np.minimum(odds, ODDS_MAX, out=odds)
        self._odds[tracks] = odds
        self._last_s[tracks] = end_s
        with np.errstate(divide="ignore"):
            self.evidence[tracks] = np.log(np.einsum("ij,ij->i", odds, self._weights[tracks]))


def cumulant(limit: FloatArray) -> FloatArray:
    """Give log E exp(theta * hit) at the limit, shape (n, ALTERNATIVES)."""
    p = np.clip(limit, RATE_LEAST, 1.0 - RATE_LEAST)[:, None]
    psi: FloatArray = np.log1p(p * np.expm1(THETAS))
    return psi


def weights_of(direction: IntArray) -> FloatArray:
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

    nats: that will be needed. events: what a limit learned from a reference rests on; None: it is known.
    """
    p = np.clip(limit, RATE_LEAST, 1.0 - RATE_LEAST)[:, None]
    psi = cumulant(limit)
    q = p * np.exp(THETAS - psi)
    divergence = np.maximum(q * THETAS - psi, 1e-12)
    needed = nats[:, None] / divergence
    factor = np.ones_like(needed)
    if inflation is not None:
        factor = inflation.at_horizon(needed, np.zeros(ALTERNATIVES, dtype=np.int64))
    if events is not None:
        factor = factor * (1.0 + factor * needed / np.maximum(events, 1.0)[:, None])
    powers: FloatArray = 1.0 / factor
    return powers
