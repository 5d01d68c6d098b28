"""Rates compared: success, violations, errors, fallbacks."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from monitor.domain import FloatArray
from monitor.gate.contrasts import TINY, Contrast, Scale, contrast_of

STEPS: Final = 44
"""Halvings of the interval in which the fitted rate lies: to 6e-14."""
HIT_LEAST: Final = 0.25
"""Hits that a variance rests on at least: none seen is not none possible."""


class Rate(NamedTuple):
    """Hits of samples, both of shape (n,); whole numbers, or what counts of several strata are worth together."""

    hits: FloatArray
    samples: FloatArray


def rate_contrast(candidate: Rate, incumbent: Rate, change: FloatArray, scale: Scale) -> Contrast:
    """Compare two rates by the ratio of their likelihoods, with the other rate fitted (profile likelihood).

    H0: p_c = p_i * (1 + change), or p_i + change. z is the signed root of the deviance: near normal also where hits are
    few, and where one version has a twentieth of the other's traffic. Variance at the fit (Farrington and Manning
    1990).
    Cost: 44 halvings, 3 us each and 0.1 us per comparison.
    """
    is_relative = scale is Scale.RELATIVE
    slope = 1.0 + change if is_relative else np.ones_like(change)
    shift = np.zeros_like(change) if is_relative else change
    fitted = _fit(candidate, incumbent, slope, shift)
    of_candidate = np.clip(slope * fitted + shift, 0.0, 1.0)
    deviance = 2.0 * (_deviance(incumbent, fitted) + _deviance(candidate, of_candidate))
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = candidate.hits / candidate.samples - (slope * incumbent.hits / incumbent.samples + shift)
    variance = _variance(candidate, of_candidate) + slope**2 * _variance(incumbent, fitted)
    unit = np.maximum(fitted, HIT_LEAST / (incumbent.samples + candidate.samples)) if is_relative else 1.0
    return contrast_of(np.nan_to_num(distance), deviance, variance, np.asarray(unit))


def _fit(candidate: Rate, incumbent: Rate, slope: FloatArray, shift: FloatArray) -> FloatArray:
    """Give the incumbent's rate that is likeliest where the candidate's is slope * rate + shift."""
    low = np.clip(-shift / np.maximum(slope, TINY), 0.0, 1.0)
    high = np.clip((1.0 - shift) / np.maximum(slope, TINY), 0.0, 1.0)
    for _ in range(STEPS):
        middle = (low + high) / 2.0
        is_below = _gradient(incumbent, middle) + slope * _gradient(candidate, slope * middle + shift) > 0.0
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    fitted: FloatArray = (low + high) / 2.0
    return fitted


def _gradient(rate: Rate, p: FloatArray) -> FloatArray:
    gradient: FloatArray = rate.hits / np.maximum(p, TINY) - (rate.samples - rate.hits) / np.maximum(1.0 - p, TINY)
    return gradient


def _deviance(rate: Rate, p: FloatArray) -> FloatArray:
    """Give log likelihood at its best less that at p."""
    misses = rate.samples - rate.hits
    return _excess(rate.hits, rate.samples * p) + _excess(misses, rate.samples * (1.0 - p))


def _excess(seen: FloatArray, expected: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        part = seen * np.log(seen / np.maximum(expected, TINY))
    return np.where(seen > 0.0, part, 0.0)


def _variance(rate: Rate, p: FloatArray) -> FloatArray:
    samples = np.maximum(rate.samples, TINY)
    least = np.minimum(HIT_LEAST / samples, 0.5)
    inside = np.clip(p, least, 1.0 - least)
    return inside * (1.0 - inside) / samples
