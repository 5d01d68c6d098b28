"""What a comparison comes down to: how far the data lie from a change, in standard errors, and how much they know."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from monitor.domain import FloatArray

TINY: Final = 1e-300
"""What keeps a quotient of zeros finite."""


class Scale(StrEnum):
    """How a change is told: relative to the incumbent's value, or as a difference in the value's own unit."""

    RELATIVE = "relative"
    POINTS = "points"


class Contrast(NamedTuple):
    """Candidate against incumbent, beside one supposed change; both of shape (n,).

    z: standard errors by which the candidate lies above what the change would make of the incumbent, about normal if
    the change is the true one. info: 1 / variance of the change as estimated, in the change's unit; it grows with
    events.
    """

    z: FloatArray
    info: FloatArray


def contrast_of(distance: FloatArray, deviance: FloatArray, variance: FloatArray, unit: FloatArray) -> Contrast:
    """Give the contrast of a likelihood ratio: its signed root.

    distance: of which only the sign counts. deviance: 2 * log ratio. variance: of the difference of the values; unit:
    the difference of the values that one unit of change is.
    """
    z = np.sign(distance) * np.sqrt(np.maximum(deviance, 0.0))
    return Contrast(z, unit**2 / np.maximum(variance, TINY))
