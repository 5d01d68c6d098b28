"""The physical limit: the least mean delay that any detector can have, from how often it may be wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq

from monitor.domain import FloatArray

Density = Callable[[float], float]


def optimal_delay(arl0: float, kl: float) -> float:
    """Give D*, in events: (h - 1 + exp(-h)) / KL with exp(h) - h - 1 = ARL0 * KL.

    The mean delay of the optimal CUSUM (Moustakides 1986) by its Brownian form: within 1 % of the exact one for
    Gaussian shifts, and up to 6 % above it for rates. log(ARL0) / KL is not the limit at the ARL0s in use.
    arl0: mean events between false alarms; kl: nats per event, of after over before, both > 0.
    """
    goal = arl0 * kl
    h = brentq(lambda x: math.expm1(x) - x - goal, 1e-9, math.log1p(goal) + 2.0)
    return float((h + math.expm1(-h)) / kl)


def kl_mean_shift(shift_sd: float) -> float:
    """Give the KL of N(shift, 1) over N(0, 1)."""
    return shift_sd**2 / 2.0


def kl_variance(factor: float) -> float:
    """Give the KL of N(0, factor) over N(0, 1); factor is of the variance."""
    return (factor - 1.0 - math.log(factor)) / 2.0


def kl_rate(before: float, after: float) -> float:
    """Give the KL of a yes/no stream at rate `after` over one at rate `before`."""
    return kl_shares((before, 1.0 - before), (after, 1.0 - after))


def kl_shares(before: Sequence[float], after: Sequence[float]) -> float:
    """Give the KL of shares over shares; each sums to 1, and `before` is > 0 wherever `after` is."""
    q, p = np.asarray(before, float), np.asarray(after, float)
    held = p > 0.0
    return float(np.sum(p[held] * np.log(p[held] / q[held])))


def kl_autoregressive(shift_sd: float, rho: float) -> float:
    """Give the KL per event of a mean shift in an AR(1) stream: that of the shift its innovations see."""
    return kl_mean_shift(shift_sd) * (1.0 - rho) / (1.0 + rho)


def kl_densities(before: Density, after: Density, low: float, high: float) -> float:
    """Give the KL of density over density by quadrature; outside of low to high `after` has no mass to speak of."""
    return float(quad(lambda x: after(x) * math.log(after(x) / before(x)), low, high, limit=200)[0])


def shares_with_newcomer(known: FloatArray, past_events: int, share: float) -> tuple[list[float], list[float]]:
    """Give the shares before and after a category comes up that the past never saw.

    KL is infinite there, for who knows that it can never come. Who has only `past_events` events without one can say no
    more than its rate is about 0.5 / (m + 1), the estimate of Krichevsky and Trofimov: that is its share before.
    """
    least = 0.5 / (past_events + 1.0)
    return [*(known * (1.0 - least)), least], [*(known * (1.0 - share)), share]
