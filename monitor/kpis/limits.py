"""Intervals of single numbers at a chance `alpha` of missing, both sides together: shares, means, differences, ratios.

The detectors' intervals (monitor.detectors.intervals) are of many streams at once and at 95 %, for people to read.
These are of one number, at any alpha, and hold it for few events too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from scipy.special import bdtr, bdtrik, betaincinv, gammaincinv, ndtri, stdtrit

from monitor.domain import FloatArray
from monitor.kpis.base import UNKNOWN, Estimate

SKEWNESS_MAX: Final = 0.5
"""Most |skewness| / sqrt(n) that Hall's cube is given: beyond, it no longer grows with t, and the interval shrinks."""


class Moments(NamedTuple):
    """Of a sample: how many, mean, standard deviation (by n - 1), skewness; NaN where too few tell it."""

    samples: float
    mean: float
    deviation: float
    skewness: float


def z_of(alpha: float) -> float:
    """Give the normal quantile that leaves alpha / 2 on either side: 1.96 for 0.05."""
    return float(-ndtri(alpha / 2.0))


def share_limits(hits: float, samples: float, alpha: float) -> tuple[float, float]:
    """Give the limits of a share seen as `hits` of `samples`; both may be fractions (an effective number of samples).

    Beta quantiles: low is that of (h, n-h+1) at alpha/2, high that of (h+1, n-h) at 1 - alpha/2. 0 of 100 at 0.05
    gives 0 to 0.0362. Guarantee: for independent events each side misses with at most alpha/2, whatever n and share.
    Source: Clopper and Pearson (1934), Biometrika 26; for fractions Korn and Graubard (1998), Survey Methodology 24.
    """
    misses = max(samples - hits, 0.0)
    low = float(betaincinv(hits, misses + 1.0, alpha / 2.0)) if hits > 0.0 else 0.0
    high = float(betaincinv(hits + 1.0, misses, 1.0 - alpha / 2.0)) if misses > 0.0 else 1.0
    return low, high


def share_of(hits: int, samples: int, alpha: float) -> Estimate:
    """Give a share, 0 to 1, with Clopper and Pearson's interval; unknown without samples."""
    if samples <= 0:
        return UNKNOWN
    return Estimate(hits / samples, *share_limits(hits, samples, alpha), samples)


def effective_share(value: float, variance: float, samples: int, samples_max: float, alpha: float) -> Estimate:
    """Give an interval for a number of 0 to 1 that is no plain share, from the variance of its estimate.

    It is taken for a share of value (1 - value) / variance events, at most `samples_max`, so the interval stays within
    0 to 1, is lopsided near the ends and keeps a width at them, where the variance is 0. Guarantee: asymptotic.
    Source: Korn and Graubard (1998), Survey Methodology 24.
    """
    spread = value * (1.0 - value)
    effective = min(spread / variance, samples_max) if variance > 0.0 and spread > 0.0 else samples_max
    low, high = share_limits(value * effective, effective, alpha)
    return Estimate(value, min(low, value), max(high, value), samples)


def quantile_ranks(samples: int, quantile: float, alpha: float) -> tuple[int, int]:
    """Give the ranks between whose order statistics the quantile lies: 0 and n + 1 stand for values never seen.

    How many of n values lie at or below the quantile is binomial, whatever the distribution: the first rank is its
    alpha/2 quantile, the last its 1 - alpha/2 quantile and one. 20 and 0.5 at 0.05 give 6 and 15.
    Guarantee: each side misses with at most alpha/2, for independent values.
    Source: David and Nagaraja (2003), Order Statistics, section 7.1.
    """
    first, last = (_binomial_quantile(chance, samples, quantile) for chance in (alpha / 2.0, 1.0 - alpha / 2.0))
    return first, last + 1


def _binomial_quantile(chance: float, samples: int, share: float) -> int:
    """Give the least k with P(at most k of n) >= chance: scipy.stats.binom.ppf without its overhead of 0.1 ms."""
    k = math.ceil(float(bdtrik(chance, samples, share)))
    return k - 1 if k > 0 and float(bdtr(k - 1, samples, share)) >= chance else k


def count_limits(count: int, alpha: float) -> tuple[float, float]:
    """Give the limits of a Poisson mean of which `count` were seen: gamma quantiles. 0 at 0.05 gives 0 to 3.69.

    Guarantee: each side misses with at most alpha/2. Source: Garwood (1936), Biometrika 28.
    """
    low = float(gammaincinv(count, alpha / 2.0)) if count > 0 else 0.0
    return low, float(gammaincinv(count + 1.0, 1.0 - alpha / 2.0))


def moments_of(values: FloatArray, counts: FloatArray) -> Moments:
    """Give the moments of a sample in which each value came so often; both of shape (n,)."""
    samples = float(counts.sum())
    if samples <= 0.0:
        return Moments(0.0, math.nan, math.nan, math.nan)
    mean = float(counts @ values) / samples
    away = values - mean
    square = float(counts @ (away * away)) / samples
    if samples < 2.0:
        return Moments(samples, mean, math.nan, math.nan)
    deviation = math.sqrt(square)
    skewness = float(counts @ (away / deviation) ** 3) / samples if deviation > 0.0 else 0.0
    return Moments(samples, mean, deviation * math.sqrt(samples / (samples - 1.0)), skewness)


def mean_limits(moments: Moments, alpha: float) -> tuple[float, float]:
    """Give the limits of the mean behind a sample, of which the spread and skewness are known only from itself.

    mean - s g(t) / sqrt(n) with Student's t and Hall's cube g, which takes out what skewness does to t:
    g(x) = 3 ((1 + k (x - k/6))^(1/3) - 1) / k, k = skewness / sqrt(n). Without skewness it is Student's interval.
    Infinite for one value. Zero for a sample without spread: it knows only variation that it has seen.
    Guarantee: asymptotic, each side off by O(1/n) and not O(1/sqrt(n)) as Student's. Measured in
    tests/unit/kpis/test_coverage.py: at least 92 % of 95 % for log-normal values of sigma 1 from n = 50.
    Source: Hall (1992), Journal of the Royal Statistical Society B 54, "On the removal of skewness by transformation".
    """
    if not math.isfinite(moments.deviation):
        return -math.inf, math.inf
    root = math.sqrt(moments.samples)
    t = -float(stdtrit(moments.samples - 1.0, alpha / 2.0))
    skew = min(max(moments.skewness / root, -SKEWNESS_MAX), SKEWNESS_MAX)
    low, high = (moments.mean - moments.deviation * _cube(x, skew) / root for x in (t, -t))
    return min(low, moments.mean), max(high, moments.mean)


def _cube(x: float, skew: float) -> float:
    """Give the inverse of Hall's cubic; x itself where there is no skewness to speak of."""
    if abs(skew) < 1e-6:
        return x
    return 3.0 * (float(np.cbrt(1.0 + skew * (x - skew / 6.0))) - 1.0) / skew


def difference_of(first: Estimate, second: Estimate) -> Estimate:
    """Give first - second of two independent estimates, from their intervals alone, which have one alpha.

    d - sqrt((x - lx)^2 + (uy - y)^2) to d + sqrt((ux - x)^2 + (y - ly)^2): each side borrows the width of the side it
    depends on. Guarantee: as good as the intervals it is given, asymptotically.
    Source: Newcombe (1998), Statistics in Medicine 17, method 10; Zou and Donner (2008), Statistics in Medicine 27.
    """
    if math.isnan(first.value) or math.isnan(second.value):
        return UNKNOWN
    gap = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(gap, gap - below, gap + above, min(first.samples, second.samples))


def ratio_of(first: Estimate, second: Estimate) -> Estimate:
    """Give first / second of two independent estimates that are at least 0, from their intervals, which have one alpha.

    difference_of of the logarithms; where either value is 0, the ratio of the outermost ends, which is wider. Infinite
    where the second may be 0; unknown where both are 0. Guarantee and source: as difference_of.
    """
    if not (first.value > 0.0 and second.value > 0.0):
        return quotient_of(first, second)
    gap = difference_of(mapped(first, _log), mapped(second, _log))
    return Estimate(first.value / second.value, _exp(gap.low), _exp(gap.high), gap.samples)


def quotient_of(first: Estimate, second: Estimate) -> Estimate:
    """Give first / second of two estimates that are at least 0, however they depend on each other.

    Low is the one's low by the other's high, high the other way round. Guarantee: for jointly normal logarithms its
    chance of missing is at most the alpha of the two, whatever their correlation (the spread of a sum is at most the
    sum of the spreads). Infinite where the second may be 0; unknown where both are 0.
    """
    if math.isnan(first.value) or math.isnan(second.value) or (first.value == 0.0 and second.value == 0.0):
        return UNKNOWN
    low = max(first.low, 0.0) / second.high if second.high > 0.0 else math.inf
    high = first.high / second.low if second.low > 0.0 else math.inf
    value = first.value / second.value if second.value > 0.0 else math.inf
    return Estimate(value, low, high, min(first.samples, second.samples))


def mapped(estimate: Estimate, function: Callable[[float], float]) -> Estimate:
    """Give an increasing function of an estimate: that of its ends holds that of the true value as often."""
    value, low, high, samples = estimate
    return Estimate(function(value), function(low), function(high), samples)


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """Give an estimate in another unit: factor > 0 times as much."""
    return mapped(estimate, lambda x: x * factor)


def complement(estimate: Estimate) -> Estimate:
    """Give 1 - estimate."""
    return Estimate(1.0 - estimate.value, 1.0 - estimate.high, 1.0 - estimate.low, estimate.samples)


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else -math.inf


def _exp(x: float) -> float:
    return math.exp(x) if x < math.log(np.finfo(np.float64).max) else math.inf
