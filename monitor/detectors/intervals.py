"""Intervals of about 95 % for people to read: of a rate, of a count, of a quantile's rank.

Decisions never rest on these; they rest on evidence (monitor.detectors.evidence).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from monitor.domain import FloatArray

Z_TWO_SIDED: Final = 1.959963984540054
"""Normal quantile that leaves 2.5 % on either side."""
Z_ONE_SIDED: Final = 1.6448536269514722
"""Normal quantile that leaves 5 % above."""


def wilson_interval(hits: FloatArray, samples: FloatArray, z: float = Z_TWO_SIDED) -> tuple[FloatArray, FloatArray]:
    """Give the lower and upper limit of a rate seen as `hits` of `samples`; NaN where there are no samples.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Ratios, shape (S,), within 0 to 1.
    Unlike p -+ z*se it keeps a width at 0 and at 1: 0 of 1,000 gives 0 to 0.0038.
    Guarantee: coverage near the nominal for n >= 10, a little less when n*p is below about 1.
    Source: Wilson (1927), Journal of the American Statistical Association 22. Cost: O(S).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = hits / samples
        shrink = 1.0 / (1.0 + z * z / samples)
        centre = (rate + z * z / (2.0 * samples)) * shrink
        half = z * shrink * np.sqrt(rate * (1.0 - rate) / samples + (z / (2.0 * samples)) ** 2)
    low = np.where(hits <= 0.0, np.minimum(rate, 0.0), np.clip(centre - half, 0.0, 1.0))
    high = np.where(hits >= samples, np.maximum(rate, 1.0), np.clip(centre + half, 0.0, 1.0))
    return np.where(samples > 0.0, low, np.nan), np.where(samples > 0.0, high, np.nan)


def wilson_upper(hits: FloatArray, samples: FloatArray) -> FloatArray:
    """Give the one-sided 95 % upper limit of a rate; NaN without samples. 0 of m gives 2.7 / (m + 2.7)."""
    return wilson_interval(hits, samples, Z_ONE_SIDED)[1]


def wilson_lower(hits: FloatArray, samples: FloatArray) -> FloatArray:
    """Give the one-sided 95 % lower limit of a rate; NaN without samples."""
    return wilson_interval(hits, samples, Z_ONE_SIDED)[0]


def count_interval(counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give the limits of a Poisson mean of which `counts` were seen: the score interval, shape (S,).

    c + z^2/2 -+ z sqrt(c + z^2/4); 0 gives 0 to 3.84, 100 gives 82.2 to 121.6.
    """
    centre = counts + Z_TWO_SIDED**2 / 2.0
    half = Z_TWO_SIDED * np.sqrt(counts + Z_TWO_SIDED**2 / 4.0)
    return np.maximum(centre - half, 0.0), centre + half


def quantile_ranks(samples: FloatArray, quantile: float) -> tuple[FloatArray, FloatArray]:
    """Give the ranks (1 to n) of the order statistics between which the true quantile lies in about 95 % of cases.

    n*q -+ z sqrt(n q (1-q)), rounded outwards: the number of values below the true quantile is binomial, whatever
    the distribution. Clamped to what was seen: for few samples (p99: under 380) the upper one is only the largest.
    """
    spread = Z_TWO_SIDED * np.sqrt(samples * (quantile * (1.0 - quantile)))
    low = np.floor(samples * quantile - spread)
    high = np.ceil(samples * quantile + spread) + 1.0
    return np.clip(low, 1.0, np.maximum(samples, 1.0)), np.clip(high, 1.0, np.maximum(samples, 1.0))
