"""Expected delays of sequential evidence, from the engine's own terms: how long until odds reach what is needed.

After a change, the log odds of alternative a grow by `gain` nats per event on average, from a head start: what the
recursion odds <- (odds + dt) * L holds anyway. For evidence that moves as a Brownian motion with drift mu and variance
v per second, the odds gathered before the change, and what the time after it adds, are each 2 / (v * Gamma(2 mu / v))
in law (Dufresne (1990), Scandinavian Actuarial Journal), whose mean logarithm is log(2 / v) - digamma(2 mu / v). The
stream's odds are the weighted sum over alternatives, so the delay solves

    log sum of w_a * head_a * exp(gain_a * events_per_s * t)  =  nats needed

and half a pane is added, since odds are looked at when panes end. Against simulation: tests/unit/test_power.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import digamma

from monitor.domain import FloatArray
from monitor.sequential import lately
from monitor.sequential.alternatives import FIRST_ANY, MEMORIES, WEIGHTS
from monitor.sequential.features import FEATURES
from monitor.sequential.rates import THETAS, cumulant
from monitor.sequential.scores import CELL_OF_CLASS, CELLS
from monitor.sequential.terms import FEATURE, Terms

DELAY_MAX_S: Final = 1e10
"""Three centuries: what takes longer never comes."""
HALVINGS: Final = 40
SHAPE_LEAST: Final = 0.5
"""Least 2 mu / v after the change: evidence that hardly grows gathers no endless head start within its delay."""
RATE_LEAST: Final = 1e-12
_FEATURES: Final = FEATURES[0].astype(np.float64)
_IN_CELL: Final = (CELL_OF_CLASS[:, None] == np.arange(CELLS)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Race:
    """The evidence of S streams by A alternatives around a change, all of shape (S, A), in nats per event.

    weight: of each in the mixture. loss: what odds lose on average before the change, gain: what they grow by after it.
    before, after: the variance of one event's evidence. late: events after the change until it speaks.
    """

    weight: FloatArray
    loss: FloatArray
    gain: FloatArray
    before: FloatArray
    after: FloatArray
    late: FloatArray


def delays_s(race: Race, nats: FloatArray, per_s: FloatArray, pane_s: float) -> FloatArray:
    """Give the expected seconds until each stream's odds reach `nats`; infinity where they never do; all (S,)."""
    rate = np.maximum(per_s, RATE_LEAST)[:, None]
    with np.errstate(divide="ignore"):
        start = np.log(race.weight) + np.log(_head_s(race, rate, pane_s))
    growth = race.gain * rate
    low, high = np.full(len(nats), np.log(1e-3)), np.full(len(nats), np.log(DELAY_MAX_S))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        spoken = np.maximum(np.exp(middle)[:, None] - race.late / rate, 0.0)
        is_reached = _total(np.where(growth > 0.0, start + growth * spoken, -np.inf)) >= nats
        low, high = np.where(is_reached, low, middle), np.where(is_reached, middle, high)
    delay = np.exp(high) + 0.5 * pane_s
    return np.where((high < np.log(DELAY_MAX_S) - 1e-6) & (per_s > 0.0), delay, np.inf)


def _total(logs: FloatArray) -> FloatArray:
    """Give the logarithm of the sum over alternatives, (S,) of (S, A)."""
    total: FloatArray = np.logaddexp.reduce(logs, axis=1)
    return total


def _head_s(race: Race, rate: FloatArray, pane_s: float) -> FloatArray:
    """Give the odds, in seconds, that the growth begins from: gathered before the change, and in the time after."""
    before = np.maximum(race.before, 1e-12) * rate / 2.0
    after = np.maximum(race.after, 1e-12) * rate / 2.0
    # On the good side of the limit a likelihood ratio is at most 1 on average, which is a shape of 1 or more.
    earlier = np.exp(-digamma(np.maximum(race.loss * rate / before, 1.0))) / before
    later = np.exp(-digamma(np.maximum(race.gain * rate / after, SHAPE_LEAST))) / after
    head: FloatArray = pane_s + earlier + later
    return head


def race_of_drift(terms: Terms, shares: FloatArray, changed: FloatArray) -> Race:
    """Give the race of the engine's alternatives, by the shares of classes before and after, both (S, CLASSES)."""
    feature = _FEATURES[:, FEATURE]
    known = slice(0, FIRST_ANY)
    weight = np.broadcast_to(WEIGHTS, terms.gain.shape)
    is_heard = terms.gain[:, known] != 0.0
    power, cost = terms.gain[:, known], terms.cost[:, known]
    gain = np.where(is_heard, power * (changed @ feature) - cost, -1.0)
    loss = np.where(is_heard, cost - power * (shares @ feature), 1.0)
    # Powers are such that odds are no more than a martingale before the change, however dependent values are: a shape
    # of 1, which is a variance of twice the loss. It is about the same after.
    spread = 2.0 * np.maximum(loss, 1e-9)
    any_gain, memory = _any(terms, changed)
    any_loss = np.broadcast_to(1.0 / memory, any_gain.shape)
    late = np.concatenate([np.zeros(gain.shape[1]), memory])
    return Race(
        weight=weight,
        loss=np.concatenate([loss, any_loss], axis=1),
        gain=np.concatenate([gain, any_gain], axis=1),
        before=np.concatenate([spread, 2.0 * any_loss], axis=1),
        after=np.concatenate([spread, 2.0 * any_loss], axis=1),
        late=np.broadcast_to(late, terms.gain.shape),
    )


def cells_of(shares: FloatArray) -> FloatArray:
    """Give the share of each cell, (S, CELLS), by the shares of classes, (S, CLASSES)."""
    cells: FloatArray = shares @ _IN_CELL
    return cells


def psi_of(reference: FloatArray, changed: FloatArray, events: FloatArray) -> FloatArray:
    """Give the true PSI of a change over the cells, both (S, CELLS), with half an event of the reference in each."""
    least = 0.5 / np.maximum(events, 1.0)[:, None]
    p, q = np.maximum(changed, least), np.maximum(reference, least)
    psi: FloatArray = ((p - q) * np.log(p / q)).sum(axis=1)
    return psi


def _any(terms: Terms, changed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give the growth of "any change" once its memory holds what came after, (S, MEMORIES), and the memories.

    As lately.looked: what is seen is drawn back by as much of its distance as noise and the reference's error explain.
    """
    memory = np.array(MEMORIES)
    cells = terms.cells
    gap = cells_of(changed) / cells - 1.0
    noise = (CELLS - 1) * terms.inflation[:, None] / (2.0 * memory)
    distance = (cells * gap * gap).sum(axis=1, keepdims=True)
    error = lately.error_of(terms.inflation, terms.events)[:, None]
    kept = np.maximum(1.0 - (noise + error) / (distance + noise), 0.0)
    ratio = np.maximum(1.0 + gap[:, None, :] * kept[:, :, None], lately.SHARE_LEAST)
    whole = (cells[:, None, :] * ratio).sum(axis=2)
    growth = (cells_of(changed)[:, None, :] * np.log(ratio)).sum(axis=2) - np.log(whole)
    return terms.gain[:, FIRST_ANY:] * growth, memory


def race_of_rates(
    limit: FloatArray, weight: FloatArray, power: FloatArray, share: FloatArray, changed: FloatArray
) -> Race:
    """Give the race of the alternatives to a limit, by the share of hits before and after; all (S,).

    weight, power: of each alternative's likelihood, (S, ALTERNATIVES).
    """
    psi, steps = cumulant(limit), power * THETAS
    before, after = share[:, None], changed[:, None]
    return Race(
        weight=weight,
        loss=power * psi - steps * before,
        gain=steps * after - power * psi,
        before=steps**2 * before * (1.0 - before),
        after=steps**2 * after * (1.0 - after),
        late=np.zeros_like(power),
    )
