"""Evidence that may be looked at after every event, and what it takes to decide.

Let B = z * sqrt(info) be a contrast as a sum over what is known so far (monitor.gate.contrasts). Estimates that are
efficient have independent increments in information, so that B - change * info goes to a Brownian motion in info,
whatever share of traffic either version has and however it changes (Scharfstein, Tsiatis and Robins 1997). For a change
on the wrong side of the margin

    E = sum_k w_k * exp(theta_k * B - theta_k^2 * info / 2),    theta_k > 0

is then a supermartingale that begins at 1, so P(E ever >= 1/alpha) <= alpha (Ville 1939): the mixture of Robbins
(1970), as an asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2021). It is a function of
totals alone: no path is kept, and an interval is what the same sum does not exclude.

The weights lie around the design effect, so that a decision there takes about as many events as a test of fixed size
would (`python -m benchmarks.gate`). Smaller and larger effects have a share: whatever differs is decided in the end.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import ndtri

from monitor.domain import FloatArray
from monitor.gate.contrasts import Contrast

RATIOS: Final = np.array([64.0, 16.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125])
"""Alternatives, as multiples of the design effect."""
LOG_WEIGHTS: Final = np.log(np.array([0.01, 0.02, 0.08, 0.20, 0.50, 0.10, 0.05, 0.02, 0.01, 0.01]))
"""Mean events over those of the fixed test, in theory: 1.05 at the design effect, 1.2 at half and at twice of it."""
INFO_FACTOR_MAX: Final = 1e6
"""Beyond this multiple of a fixed test's information nobody asks how much is missing."""


def log_evidence(contrast: Contrast, effect: float) -> FloatArray:
    """Give log E that the true change lies above the supposed one, shape (n,); for "below" turn the sign of z.

    effect: the design effect, > 0, in the change's unit. Cost: ten exponentials each.
    """
    thetas = effect * RATIOS
    score = (contrast.z * np.sqrt(contrast.info))[..., None]
    terms = LOG_WEIGHTS + thetas * score - thetas**2 * contrast.info[..., None] / 2.0
    greatest = terms.max(axis=-1)
    summed: FloatArray = greatest + np.log(np.exp(terms - greatest[..., None]).sum(axis=-1))
    return summed


def fixed_info(effect: float, alpha: float, power: float) -> float:
    """Give the information that a one-sided test of fixed size needs: (z_alpha + z_power)^2 / effect^2."""
    return float(((ndtri(1.0 - alpha) + ndtri(power)) / effect) ** 2)


def info_to_decide(score: float, info: float, effect: float, alpha: float, drift: float) -> float:
    """Give the information at which the evidence is expected to suffice if the change lies `drift` above, > 0.

    score, info: B and what is known now. At least info. Infinite where it never will.
    """

    def missing(total: float) -> float:
        expected = score + drift * (total - info)
        one = Contrast(np.array([expected / np.sqrt(total)]), np.array([total]))
        return float(log_evidence(one, effect)[0] + np.log(alpha))

    start = max(info, 1e-9 * fixed_info(effect, alpha, 0.8))
    if missing(start) >= 0.0:
        return info
    end = start + fixed_info(effect, alpha, 0.8)
    while missing(end) < 0.0:
        end *= 2.0
        if end > INFO_FACTOR_MAX * fixed_info(effect, alpha, 0.8):
            return float("inf")
    from scipy.optimize import brentq  # noqa: PLC0415 - half a second, which a daemon's start need not take

    return float(brentq(missing, start, end, rtol=1e-3))
