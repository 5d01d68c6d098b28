"""The bins of every stream: where a value is counted, and what a bin says about the value.

Three arenas of fixed width, so that all streams of one are rows of one array:

* VALUES (64 bins): numeric and categorical streams. Bins 0 to 58 hold values, the last five say what was not a value.
  Numeric: 0 is below and 58 above the range seen in the reference, 1 to 57 cut that range evenly on the scale
  u / (1 + |u|), u = (x - centre) / width, which is fine in the middle and coarse in the tails.
  Categorical: 0 to 56 are the reference's categories, 57 is every other one it knew, 58 one it had never seen.
* LOGS (1,031 bins): positive, heavy-tailed streams (latency, tokens, cost): 27 octaves of 38 bins, so that a quantile
  read from the counts is within 1 % of the true one: a p95 of 1.000 s is told as 0.990 to 1.010 s.
* FLAGS (4 bins): yes/no streams, and volume (which uses bin 0 alone).

Only +, -, *, / and frexp are used, which IEEE 754 rounds alike everywhere: the same value falls into the same bin on
any machine, so counts merge exactly. The curve within an octave is the quadratic through the ends with equal slope in
log terms there, log2(1+m) ~ (4m - m^2) / 3 (after DDSketch's interpolated mappings, Masson, Rim and Lee 2019); its
least slope is 4/3 per unit of ln x, so the widest bin spans a factor exp(3 / (4 * 38)) = 1.0199, below 1.01 / 0.99.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from monitor.domain import FloatArray, IntArray, Kind


class Arena(IntEnum):
    """Which array a stream's counts live in."""

    VALUES = 0
    LOGS = 1
    FLAGS = 2


ARENA_OF: Final = {
    Kind.NUMERIC: Arena.VALUES,
    Kind.CATEGORICAL: Arena.VALUES,
    Kind.LOG: Arena.LOGS,
    Kind.YES_NO: Arena.FLAGS,
    Kind.VOLUME: Arena.FLAGS,
}

VALUE_BINS: Final = 59
NUMERIC_INNER: Final = VALUE_BINS - 2
BELOW: Final = 0
ABOVE: Final = VALUE_BINS - 1
CATEGORIES_MAX: Final = VALUE_BINS - 2
OTHER: Final = VALUE_BINS - 2
UNSEEN: Final = VALUE_BINS - 1
NULL: Final = 60
NOT_FINITE: Final = 61
WRONG_TYPE: Final = 62
VALUES_WIDTH: Final = 64

OCTAVES: Final = 27
BINS_PER_OCTAVE: Final = 38
LOG_INNER: Final = OCTAVES * BINS_PER_OCTAVE
LOG_BELOW: Final = 0
LOG_ABOVE: Final = LOG_INNER + 1
LOG_NULL: Final = LOG_INNER + 2
LOG_NOT_FINITE: Final = LOG_INNER + 3
LOG_WRONG_TYPE: Final = LOG_INNER + 4
LOGS_WIDTH: Final = LOG_INNER + 5

NO: Final = 0
YES: Final = 1
UNCHECKED: Final = 2
FLAG_WRONG_TYPE: Final = 3
FLAGS_WIDTH: Final = 4

WIDTHS: Final = (VALUES_WIDTH, LOGS_WIDTH, FLAGS_WIDTH)
VALUE_SPANS: Final = (VALUE_BINS, LOG_INNER + 2, 2)
"""Per arena: bins 0 to this (exclusive) hold values; the rest are null, not finite, wrong type, not checked."""
NULLS: Final = (NULL, LOG_NULL, UNCHECKED)
INVALIDS: Final = ((NOT_FINITE, WRONG_TYPE), (LOG_NOT_FINITE, LOG_WRONG_TYPE), (FLAG_WRONG_TYPE,))
WRONG_TYPES: Final = (WRONG_TYPE, LOG_WRONG_TYPE, FLAG_WRONG_TYPE)
FAR: Final = 1e15
"""Widths from the centre beyond which distance no longer matters: squashed it is 1 within 1e-15, and none overflows."""


def scaled(values: FloatArray, centre: FloatArray | float, width: FloatArray | float) -> FloatArray:
    """Give the distance of finite values from the centre in widths, within -FAR to FAR, however large they are."""
    with np.errstate(over="ignore"):
        distance: FloatArray = values - centre
        distance /= width
    return np.clip(distance, -FAR, FAR, out=distance)


def squash(u: FloatArray) -> FloatArray:
    """Give u / (1 + |u|): all of the real line onto (-1, 1), steepest at 0."""
    return u / (1.0 + np.abs(u))


def unsquash(s: FloatArray) -> FloatArray:
    """Give the u whose squash is s, for s in (-1, 1)."""
    return s / (1.0 - np.abs(s))


def numeric_bin(
    values: FloatArray, centre: FloatArray, width: FloatArray, low: FloatArray, step: FloatArray
) -> IntArray:
    """Give the VALUES bin of each finite value, however large; the grid's parameters are broadcast to `values`' shape.

    low: squash of the range's lower end; step: squashed width of one inner bin, > 0. Cost: 5 ns per value, in place.
    """
    u = scaled(values, centre, width)
    size = np.abs(u)
    size += 1.0
    u /= size
    u -= low
    u /= step
    u += 1.0
    np.clip(u, float(BELOW), float(ABOVE), out=u)
    return u.astype(np.int64)  # which cuts towards zero, and none is below it


def numeric_edges(centre: FloatArray, width: FloatArray, low: FloatArray, step: FloatArray) -> FloatArray:
    """Give the inner edges of numeric streams in their own unit: shape (S, 58), ascending; parameters of shape (S,)."""
    squashed = low[:, None] + step[:, None] * np.arange(NUMERIC_INNER + 1)
    return centre[:, None] + width[:, None] * unsquash(np.clip(squashed, -0.999999, 0.999999))


def log_bin(values: FloatArray, exponent: IntArray) -> IntArray:
    """Give the LOGS bin of each finite value >= 0, for a grid that starts at 2**exponent; both of shape (n,)."""
    mantissa, power = np.frexp(values)
    m = mantissa * 2.0 - 1.0
    position = (power - 1 - exponent) + m * (4.0 - m) / 3.0
    inner = np.floor(np.clip(position, -1.0, float(OCTAVES)) * BINS_PER_OCTAVE).astype(np.int64) + 1
    return np.clip(np.where(values > 0.0, inner, LOG_BELOW), LOG_BELOW, LOG_ABOVE)


def log_edges(exponent: int) -> FloatArray:
    """Give the LOG_INNER + 1 edges of the inner bins of a grid that starts at 2**exponent, in the stream's unit."""
    octave, step = np.divmod(np.arange(LOG_INNER + 1), BINS_PER_OCTAVE)
    fraction = step / BINS_PER_OCTAVE
    mantissa = 2.0 - np.sqrt(4.0 - 3.0 * fraction)
    edges: FloatArray = np.ldexp(1.0 + mantissa, octave + exponent)
    return edges


def log_values(exponent: int) -> FloatArray:
    """Give the value that stands for each LOGS value bin, within 1 % of every value in it (below: 0).

    Shape (LOG_INNER + 2,).
    """
    edges = log_edges(exponent)
    inside = 2.0 * edges[:-1] * edges[1:] / (edges[:-1] + edges[1:])
    return np.concatenate([[0.0], inside, edges[-1:]])
