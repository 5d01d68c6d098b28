"""Means of heavy-tailed values compared: cost, tokens, errors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.domain import FloatArray
from monitor.gate.contrasts import TINY, Contrast, Scale


class Mean(NamedTuple):
    """A mean as estimated, and the shape of what it was estimated from; all of shape (n,).

    variance, third: central moments of the values. share, share_third: what the estimate has of them: 1 / n and 1 / n^2
    of one stratum.
    """

    value: FloatArray
    variance: FloatArray
    third: FloatArray
    share: FloatArray
    share_third: FloatArray


def mean_contrast(candidate: Mean, incumbent: Mean, change: FloatArray, scale: Scale) -> Contrast:
    """Compare two means by their difference in standard errors, with its skewness taken out.

    H0: m_c = m_i * (1 + change), or m_i + change. Where values are skewed, a sample that lacks large ones has a low
    mean and a low variance, so that a plain t proves "cheaper" too often. So each version's variance and third moment
    are at least those of both together (about their own means, in units of the mean where the change is relative), as
    they are alike where H0 holds; and Hall's (1992) cubic takes the first-order error out: t + g (2 t^2 + 1) / 6 + g^2
    t^3 / 27, g the skewness of the difference.
    Guarantee: asymptotic, for values with a third moment. Cost: a few passes.
    """
    is_relative = scale is Scale.RELATIVE
    slope = 1.0 + change if is_relative else np.ones_like(change)
    shift = np.zeros_like(change) if is_relative else change
    units = [np.maximum(m.value, TINY) if is_relative else np.ones_like(m.value) for m in (candidate, incumbent)]
    means = list(zip((candidate, incumbent), units, strict=True))
    weight = sum(1.0 / m.share for m in (candidate, incumbent))
    pooled2 = sum(m.variance / unit**2 / m.share for m, unit in means) / weight
    pooled3 = sum(m.third / unit**3 / m.share for m, unit in means) / weight
    own2, other2 = (np.maximum(m.variance, pooled2 * unit**2) * m.share for m, unit in means)
    own3, other3 = (np.maximum(m.third, pooled3 * unit**3) * m.share_third for m, unit in means)
    variance = np.maximum(own2 + slope**2 * other2, TINY)
    t = (candidate.value - slope * incumbent.value - shift) / np.sqrt(variance)
    skewness = (own3 - slope**3 * other3) / variance**1.5
    z = t + skewness * (2.0 * t**2 + 1.0) / 6.0 + skewness**2 * t**3 / 27.0
    return Contrast(z, units[1] ** 2 / variance)
