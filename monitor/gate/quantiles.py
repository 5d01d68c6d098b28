"""Quantiles of log streams compared: p95 of latency."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from scipy.special import xlogy

from monitor.detectors.mean import BIN_ERROR
from monitor.domain import FloatArray
from monitor.gate.contrasts import TINY, Contrast, contrast_of

BIN_VARIANCE: Final = (2.0 * math.atanh(BIN_ERROR)) ** 2 / 12.0
"""Of where in its bin a value lies, in log units: no quantile is known better than that, whatever the events."""
PROFILE_STEPS: Final = 65
"""Places between the two quantiles at which the common one is tried."""
SPREAD: Final = 1.0
"""Standard errors on either side of a quantile between whose values its density is read."""


class Distribution(NamedTuple):
    """Shares of values below the edges of bins, as one version has them.

    log_edges: shape (E,), ascending, in log units. below: shape (E,), from 0 to 1. samples: what they rest on, at the
    quantile that is asked for.
    """

    log_edges: FloatArray
    below: FloatArray
    samples: float

    def share(self, log_x: FloatArray) -> FloatArray:
        """Give the share of values below; even within a bin in log terms."""
        return np.asarray(np.interp(log_x, self.log_edges, self.below), dtype=np.float64)

    def at(self, share: float) -> float:
        """Give the log value below which this share lies."""
        first = int(np.searchsorted(self.below, share))  # the first edge with at least so many below it
        low, high = max(first - 1, 0), min(first, len(self.below) - 1)
        gained = self.below[high] - self.below[low]
        part = 0.0 if gained <= 0.0 else (share - self.below[low]) / gained
        return float(self.log_edges[low] + part * (self.log_edges[high] - self.log_edges[low]))

    def deviance(self, log_x: FloatArray, quantile: float) -> FloatArray:
        """Give 2 * log likelihood ratio of that x is not the quantile over that it is."""
        share = np.clip(self.share(log_x), 0.0, 1.0)
        inside = xlogy(share, share / quantile) + xlogy(1.0 - share, (1.0 - share) / (1.0 - quantile))
        return np.asarray(2.0 * self.samples * inside, dtype=np.float64)

    def variance(self, quantile: float) -> float:
        """Give the variance of the log of the quantile, read from how far apart the values around it lie."""
        error = SPREAD * np.sqrt(quantile * (1.0 - quantile) / max(self.samples, TINY))
        low, high = self.at(max(quantile - error, 0.0)), self.at(min(quantile + error, 1.0))
        shares = min(quantile + error, 1.0) - max(quantile - error, 0.0)
        width = (high - low) / shares * 2.0 * error  # as if no end of the range were in the way
        return float((width / (2.0 * SPREAD)) ** 2) + BIN_VARIANCE


def quantile_contrast(candidate: Distribution, incumbent: Distribution, quantile: float, change: float) -> Contrast:
    """Compare a quantile, relative: H0 says that the candidate's is (1 + change) times the incumbent's.

    That a value is the quantile is a rate (a share 1 - quantile of values lies above), so its likelihood needs no
    assumption on the shape; the common quantile is fitted between the two (profile empirical likelihood). z is the
    signed root of the deviance. Continuous looking: the rate's increments are those of monitor.gate.evidence; where
    Howard and Ramdas (2022) bound all quantiles at once, for any n, this one asks for one quantile and for large n.
    info: of the log ratio. Guarantee: asymptotic, for a density that is continuous at the quantile. Cost: 0.2 ms.
    """
    shift = float(np.log1p(change))
    own, other = candidate.at(quantile) - shift, incumbent.at(quantile)
    tried = np.linspace(min(own, other), max(own, other), PROFILE_STEPS)
    deviance = candidate.deviance(tried + shift, quantile) + incumbent.deviance(tried, quantile)
    variance = candidate.variance(quantile) + incumbent.variance(quantile)
    return contrast_of(
        np.array([own - other]), np.array([deviance.min()]), np.array([variance]), np.array([1.0 + change])
    )
