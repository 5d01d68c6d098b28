"""Evidence, in nats: how improbable an estimate would be if the truth were on the other side of the threshold.

All functions work on arrays of shape (S,) and give 0 where anything is NaN, so that no data never speaks. A signed
evidence is positive when the estimate lies above the threshold and negative when it lies below; exp(-|e|) bounds the
chance of so extreme an estimate with the true value at the threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import gammaincc, gammaln, kl_div

if TYPE_CHECKING:
    from monitor.domain import FloatArray

FACT_NATS: Final = 700.0
"""Evidence of what is known and not estimated: exp(-700) is about the least positive float64, beyond any budget."""
THRESHOLD_MAX: Final = 1e9
"""No distance or ratio gets here; greater thresholds, and infinity, are taken for it: squares stay finite."""
TINY: Final = 1e-300
"""Stands for zero inside a logarithm: one hit against a rate of zero then weighs 690 nats, not infinity."""


def limit_of(threshold: FloatArray) -> FloatArray:
    """Give a threshold of something that is at least 0, cut to 0 to THRESHOLD_MAX; NaN stays."""
    return np.clip(threshold, 0.0, THRESHOLD_MAX)


def rate_evidence(hits: FloatArray, samples: FloatArray, threshold: FloatArray) -> FloatArray:
    """Give the signed evidence that a rate, seen as `hits` of `samples`, lies above the threshold.

    n * KL(hits/n || threshold) with the side's sign, KL between two yes/no distributions.
    Guarantee: not asymptotic; for any n, P(e >= x) <= exp(-x) when the true rate is at or below the threshold, and
    likewise for the other side (Chernoff (1952), Annals of Mathematical Statistics 23; Hoeffding (1963), theorem 1).
    Worked: 10 of 200 against 0.005 gives 14.2 nats. Thresholds are clipped into 0 to 1. Cost: O(S), two logarithms.
    """
    limit = np.clip(threshold, TINY, 1.0 - 1e-16)
    is_known = (samples > 0.0) & np.isfinite(limit)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = hits / samples
        nats = samples * (kl_div(rate, limit) + kl_div(1.0 - rate, 1.0 - limit))
    return np.where(is_known, np.copysign(nats, rate - limit), 0.0)


def count_evidence(counts: FloatArray, expected: FloatArray) -> FloatArray:
    """Give the signed evidence that the mean behind a Poisson count lies above `expected`.

    c log(c/mu) - c + mu with the side's sign: Chernoff's bound, exact for any mu. 0 of 10 gives -10 nats.
    Bursty traffic varies more than Poisson; who feeds this with such counts must allow for it. Cost: O(S).
    """
    mean = np.maximum(expected, TINY)
    nats = kl_div(counts, mean)
    return np.where(np.isfinite(nats), np.copysign(nats, counts - mean), 0.0)


def ks_evidence(distance: FloatArray, effective: FloatArray, threshold: FloatArray) -> FloatArray:
    """Give the signed evidence that the true largest gap of two distribution functions lies above the threshold.

    Above: 2 N (d - t)^2 - log 2 (Dvoretzky, Kiefer and Wolfowitz, with Massart's constant (1990), Annals of Probability
    18, for two samples with N = nm/(n+m)). Below: 2 N (t - d)^2, by Hoeffding at the one place where the gap is t.
    distance, threshold: 0 to 1. effective: N, events. Cost: O(S).
    """
    with np.errstate(invalid="ignore"):
        nats = 2.0 * effective * (distance - threshold) ** 2
        signed = np.where(distance > threshold, np.maximum(nats - np.log(2.0), 0.0), -nats)
    return np.where(np.isfinite(signed), signed, 0.0)


def gap_evidence(gap: FloatArray, variance: FloatArray, samples: FloatArray) -> FloatArray:
    """Give the evidence of a mean of n values that lies `gap` from the threshold, with that variance per value.

    n gap^2 / (2 (variance + gap^2)) with the gap's sign: the self-normalised bound, at most n/2 nats however small
    the spread, near z^2/2 for small gaps. Holds for any n when errors are symmetric, else for large n.
    Source: Efron (1969), Journal of the American Statistical Association 64. gap, sqrt(variance): in one unit.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = 1.0 / (1.0 + variance / (gap * gap))
    nats = np.copysign(0.5 * samples * share, gap)
    return np.where(np.isfinite(nats) & (gap != 0.0), nats, 0.0)


def chi_square_nats(statistic: FloatArray, freedom: FloatArray) -> FloatArray:
    """Give -log P(chi-square with `freedom` >= statistic), right for any statistic, however large.

    Where the probability underflows, Gamma(a, x) <= x^a exp(-x) / (x - a + 1) takes over: low by less than 0.01 nats
    in 700. 0 where freedom is not positive or anything is NaN.
    """
    is_known = (freedom > 0.0) & (statistic > 0.0) & np.isfinite(statistic)
    a = np.where(is_known, freedom, 1.0) / 2.0
    x = np.where(is_known, statistic, 0.0) / 2.0
    chance = gammaincc(a, x)
    far = np.maximum(x, 2.0 * a + 1.0)
    beyond = far - a * np.log(far) + gammaln(a) + np.log(far - np.maximum(a - 1.0, 0.0))
    return np.where(is_known, np.where(chance > TINY, -np.log(np.maximum(chance, TINY)), beyond), 0.0)


def g_evidence(counts: FloatArray, reference: FloatArray) -> FloatArray:
    """Give the evidence, at least 0, that two rows of counts come from different distributions; both of shape (S, G).

    -log P(chi-square with G-1 >= G-statistic / q), where the statistic is 2 sum O log(O/E) over the two rows and q is
    Williams' correction 1 + (N/n + N/m - 1)(sum N/column - 1) / (6 N (G-1)). Groups empty in both say nothing and are
    left out. Guarantee: asymptotic; good where a group expects about 2 events or more.
    Source: Sokal and Rohlf, Biometry (G-test); Williams (1976), Biometrika 63. Cost: O(S G), two logarithms per group.
    """
    ones = np.ones(counts.shape[1])
    n, m = counts @ ones, reference @ ones
    total = n + m
    columns = counts + reference
    is_used = columns > 0.0
    rarity = np.where(is_used, 1.0 / np.maximum(columns, 1.0), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = 2.0 * (_surprise(counts, rarity, total / n) + _surprise(reference, rarity, total / m))
        freedom = is_used @ ones - 1.0
        spread = total * np.einsum("ij->i", rarity) - 1.0
        correction = 1.0 + (total / n + total / m - 1.0) * spread / (6.0 * total * freedom)
        corrected = statistic / correction
    return chi_square_nats(corrected, np.where((n > 0.0) & (m > 0.0), freedom, 0.0))


def _surprise(counts: FloatArray, rarity: FloatArray, inverse_share: FloatArray) -> FloatArray:
    """Give sum O log(O/E) of one row of each table, with 0 log 0 = 0; rarity is 1 over the column's total."""
    ratio = np.maximum(counts * rarity * inverse_share[:, None], TINY)
    surprise: FloatArray = np.einsum("ij,ij->i", counts, np.log(ratio))
    return surprise
