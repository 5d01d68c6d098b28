"""The terms of one stream: what the engine works out when it begins to watch, so that a pane costs little.

The evidence of an alternative in a pane is then  gain * (sum of its feature) - cost * (number of values):

* a tilt q = p exp(theta * score - psi), psi = log E_p exp(theta * score), has the log likelihood ratio
  theta * sum(score) - n * psi (exponential families: Neyman (1937), on the classes of scores.py);
* an addition q = (1 - s) p + s in one cell, with h values there of n: h * log(q/p) + (n - h) * log(1 - s).

Both are raised to 1 / (I * (1 + I * needed / m)): I is the stream's inflation at the length that proof takes, `needed`
= nats / divergence the independent values it takes, m the reference's events, all of which are as uncertain as the new
ones. Reason: a score's sum over n values has variance n * I, and the reference's own error adds n^2 * I / m.

That offsets the reference's error until the proof is done, not for ever. An alternative is only looked for where the
error can't look like it: a tilt gains from a stream that stands more than half-way to it, which is
sqrt(divergence * m / (2 * I)) standard errors of the reference, and must be sqrt(nats) of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.domain import BoolArray, CountArray, FloatArray
from monitor.sequential.alternatives import (
    ADDED,
    ADDITIONS,
    MEMORIES,
    THETAS,
    TILTED,
    TILTS,
)
from monitor.sequential.fluctuation import Inflation
from monitor.sequential.normal import Normal
from monitor.sequential.scores import CELLS, FLUCTUATES_AS, POLYNOMIALS, SCORES, cell_shares, class_shares

SCORE_COUNT: Final = SCORES.shape[1]
FEATURE: Final = np.concatenate([TILTED, SCORE_COUNT + np.tile(np.arange(CELLS), len(ADDED))])
"""Which feature each tilt and addition is of."""
DIVERGENCE_LEAST: Final = 1e-9
"""Nats per value below which an alternative is the reference itself: no length proves it."""
DOUBT_MAX: Final = 0.5
"""Greatest I * needed / m, in terms of the reference, of what is looked for: the same as sqrt(nats) standard errors."""
HOURS_APART: Final = 120.0
"""Where hours are told apart, each rests on a 24th of the reference; and as each has an error of its own, the hour with
the worst one counts: a fifth of that."""
MEMORIES_LAST: Final = 4.0
"""How many of its memories "any change" usually takes."""
MUTED: Final = 1e3
"""Cost per value, in nats, of what is not looked for: its odds are 0 whatever comes."""
POWERS: Final = THETAS[:, None] * SCORES[:, TILTED].T
"""Shape (TILTS, CLASSES): theta * score."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of S streams. gain, cost: shape (S, ALTERNATIVES); of "any change" the gain is the power alone.

    cells: shape (S, CELLS), the reference's shares. events: shape (S,), that it rests on. inflation: shape (S,), the
    greatest of any score over the memories of "any change".
    """

    gain: FloatArray
    cost: FloatArray
    cells: FloatArray
    events: FloatArray
    inflation: FloatArray


def terms_of(counts: CountArray, normals: Sequence[Normal], nats: FloatArray) -> Terms:
    """Give the terms of streams by the counts of their value bins, shape (S, B), what is normal, and the nats needed.

    Cost: about 40 us and 40 KB of passing memory per stream.
    """
    shares, events = class_shares(counts, np.stack([normal.classes for normal in normals]))
    cells = cell_shares(shares)
    psi, divergence = tilts(shares)
    hit, added_divergence = additions(cells)
    miss = np.repeat(np.log1p(-np.array(ADDED)), CELLS)
    inflation = Inflation.of(normals, POLYNOMIALS)
    over_memories = _worst(inflation, np.full((len(events), 1), 2.0 * max(MEMORIES)))
    needs = np.concatenate([divergence, added_divergence], axis=1)
    apart = np.array([_apart(normal, own) for normal, own in zip(normals, events.tolist(), strict=True)])
    power, is_muted = _power(nats, needs, inflation, events / apart)
    doubt = over_memories * MEMORIES_LAST * np.array(MEMORIES) * (apart / np.maximum(events, 1.0))[:, None]
    power = np.concatenate([power, 1.0 / (over_memories * (1.0 + doubt))], axis=1)
    power *= np.array([normal.scale for normal in normals])[:, None]
    gain = np.concatenate([np.broadcast_to(THETAS, psi.shape), hit - miss, np.ones((len(psi), len(MEMORIES)))], axis=1)
    cost = np.concatenate([psi, np.broadcast_to(-miss, hit.shape), np.zeros((len(psi), len(MEMORIES)))], axis=1)
    gain, cost = gain * power, cost * power
    gain[:, : len(FEATURE)][is_muted], cost[:, : len(FEATURE)][is_muted] = 0.0, MUTED
    return Terms(gain, cost, cells, events, over_memories[:, 0])


def _apart(normal: Normal, events: float) -> float:
    """Give into how many parts hours cut a reference of so many events: 1 where they hardly differ."""
    if normal.profile is None:
        return 1.0
    between = float(normal.profile[:, 0].var())
    kept = between / (between + 24.0 / max(events, 1.0))
    return 1.0 + kept * (HOURS_APART - 1.0)


def tilts(shares: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give psi = log E exp(theta * score) and the divergence of each tilt from the reference, both (S, TILTS)."""
    # einsum and not a matrix product, whose rounding may depend on how many rows it was given.
    mean = np.einsum("sc,ac->sa", shares, np.exp(POWERS))
    psi: FloatArray = np.log(mean)
    return psi, np.maximum(np.einsum("sc,ac->sa", shares, np.exp(POWERS) * POWERS) / mean - psi, 0.0)


def additions(cells: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give log(q/p) of a value in the cell added to, and the divergence, both (S, ADDITIONS)."""
    share = np.repeat(np.array(ADDED), CELLS)
    p = np.tile(cells, len(ADDED))
    q = (1.0 - share) * p + share
    hit = np.log(q / p)
    divergence: FloatArray = q * hit + (1.0 - q) * np.log1p(-share)
    return hit, np.maximum(divergence, 0.0)


def _power(
    nats: FloatArray, divergence: FloatArray, inflation: Inflation, events: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Give the power of each tilt's and addition's likelihood ratio, and which are muted, (S, TILTS + ADDITIONS)."""
    needed = nats[:, None] / np.maximum(divergence, DIVERGENCE_LEAST)
    of_tilts = inflation.at_horizon(needed[:, :TILTS], FLUCTUATES_AS[TILTED])
    factor = np.concatenate([of_tilts, _worst(inflation, needed[:, TILTS:])], axis=1)
    doubt = factor * needed / np.maximum(events, 1.0)[:, None]
    return 1.0 / (factor * (1.0 + doubt)), doubt > DOUBT_MAX


def _worst(inflation: Inflation, needed: FloatArray) -> FloatArray:
    """Give the greatest inflation of all scores where so many events are needed, shape (S, A) as `needed`."""
    scores = range(inflation.factor.shape[1])
    columns = needed.shape[1]
    each = [inflation.at_horizon(needed, np.full(columns, score)) for score in scores]
    worst: FloatArray = np.maximum.reduce(each)
    return worst


assert len(FEATURE) == TILTS + ADDITIONS
