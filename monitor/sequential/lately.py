"""The shares seen lately against the reference's: evidence of any change, also of one that nobody named."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.domain import FloatArray
from monitor.sequential.alternatives import MEMORIES
from monitor.sequential.features import Floats32
from monitor.sequential.scores import CELLS

SHARE_LEAST: Final = 0.02
"""Least share of a cell under "any change", in terms of the reference's: one surprise must not undo all evidence."""
ERROR_DOUBT: Final = 10.0
"""Times the distance that a reference of m events is expected to have from the truth, which it has not by chance: by
shares (chi-squared of CELLS - 1 degrees of freedom), nor by values as common as 10/m that it happens not to hold."""
NEGLIGIBLE: Final = 0.005
"""Distance that is no change worth telling: that of a mean shifted by 0.07 standard deviations."""
DECAY: Final = np.log1p(-1.0 / np.array(MEMORIES)).astype(np.float32)
WIDTH: Final = len(MEMORIES) * CELLS
"""How many numbers one stream keeps: the gap of each cell, for each memory."""
DISTANCE_LEAST: Final = np.float32(1e-9)


def error_of(inflation: FloatArray, events: FloatArray) -> FloatArray:
    """Give the distance that is no evidence, because the reference's own error, or nothing, explains it; all (S,).

    However many values come, a reference of m events is off by (CELLS - 1) * inflation / m on average, for ever.
    """
    error: FloatArray = ERROR_DOUBT * (CELLS - 1) * inflation / np.maximum(events, 1.0)
    return np.maximum(error, NEGLIGIBLE)


def looked(
    gaps: Floats32, cells: Floats32, reference: Floats32, n: Floats32, noise: Floats32, error: Floats32
) -> Floats32:
    """Give the log likelihood ratio of the shares seen lately, shape (S, MEMORIES); then see these cells, too.

    gaps: shape (S, WIDTH), seen / reference - 1 of each memory's cells, and is updated. cells: this pane's counts, and
    reference: shares, both (S, WIDTH), repeated for each memory. n: values in the pane, (S,). noise: inflation *
    (CELLS - 1), and error: see `error_of`, both (S,), in terms of the distance sum(reference * gap^2) below.

    What was seen is drawn back to the reference by as much of its distance as noise explains (James and Stein (1961)),
    kept = max(0, 1 - expected / distance), so it stays silent while nothing changes. It only rests on earlier panes, so
    the ratio stays 1 on average (a plug-in martingale: Robbins and Siegmund (1974)).
    """
    values = np.maximum(n, np.float32(1.0))[:, None]  # a count of none is told, too, and nothing is divided by it
    fresh = -np.expm1(n[:, None] * DECAY)
    expected = noise[:, None] * fresh / (values * (np.float32(2.0) - fresh)) + error[:, None]
    distance = _summed(gaps * gaps, reference)
    kept = np.maximum(np.float32(1.0) - expected / np.maximum(distance, DISTANCE_LEAST), np.float32(0.0))
    ratio = gaps * np.repeat(kept, CELLS, axis=1)
    ratio += np.float32(1.0)
    np.maximum(ratio, np.float32(SHARE_LEAST), out=ratio)
    whole = _summed(ratio, reference)
    out = _summed(np.log(ratio, out=ratio), cells) - n[:, None] * np.log(whole)
    seen = cells / (values * reference)
    seen -= np.float32(1.0)
    seen -= gaps
    seen *= np.repeat(fresh, CELLS, axis=1)
    gaps += seen
    return out


def _summed(values: Floats32, weights: Floats32) -> Floats32:
    """Give the weighted sum of the cells of each memory, (S, MEMORIES) of (S, WIDTH).

    By einsum, whose order of addition does not depend on S, as a matrix product's does.
    """
    summed: Floats32 = np.einsum("ij,ij->i", values.reshape(-1, CELLS), weights.reshape(-1, CELLS))
    return summed.reshape(-1, len(MEMORIES))
