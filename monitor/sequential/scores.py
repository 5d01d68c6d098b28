"""Classes and scores: where a value stands in its reference, in a form that all streams share.

A bin of any arena becomes a class by its mid-rank in the reference: the normal quantile of it, in steps of a quarter
from -3 to 3. All that the engine computes is a function of classes, so it is free of units and of distribution: a
monotone change of a stream's unit changes nothing, and lognormal, Pareto and normal streams are one case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    import numpy.typing as npt

    from monitor.domain import CountArray, FloatArray

Z_STEP: Final = 0.25
Z_MAX: Final = 3.0
CLASSES: Final = int(2 * Z_MAX / Z_STEP) + 2
"""Twenty-five by rank, and one for values such as the reference never had."""
NOVEL: Final = CLASSES - 1
NO_CLASS: Final = 255
"""Class of bins that hold no values: null, not finite, wrong type."""
CELLS: Final = 11
"""Ten tenths by rank, and the novel ones: what alternatives without direction are told in."""
NOVEL_EVENTS: Final = 0.5
"""Events that a category never seen is taken to have had in the reference."""
CELL_LEAST: Final = 1e-6
SMOOTHING: Final = 0.5
"""Events added to each class, so that none is impossible."""

FLAT_SCALE: Final = 1.72
"""Of exp(-(x / scale)^4), so that its variance is 1."""
SHAPE_MAX: Final = 3.0
"""Greatest evidence of one value for or against a shape, in nats."""
_Z: Final = np.concatenate([np.arange(-Z_MAX, Z_MAX + Z_STEP / 2, Z_STEP), [0.0]])
LOCATION, SCALE, SKEWNESS, TAILS, HUMPED, PEAKED, HEAVY, FLAT, SKEWED_UP, SKEWED_DOWN = range(10)
POLYNOMIALS: Final = 4
"""The first scores are Hermite polynomials of the class's normal quantile, orthonormal under the normal distribution:
location, scale, skewness, tails (Neyman's smooth test (1937), with normal scores)."""
FLUCTUATES_AS: Final = np.array([LOCATION, SCALE, SKEWNESS, TAILS, TAILS, TAILS, TAILS, TAILS, SKEWNESS, SKEWNESS])
"""The polynomial by whose fluctuation that of each score is told."""


def _shapes() -> FloatArray:
    """Give log(g/f) of each rank class, shape (NOVEL, 6), for six shapes g with the mean and variance of the normal f.

    Two humps (at 0.8 and -0.8), Laplace, t with 5 degrees of freedom, exp(-x^4), and skew normal (6) either way: the
    alternatives that tests of shape are usually compared on.
    """
    x = np.linspace(-9.0, 9.0, 18001)
    hump, width = 0.8, np.sqrt(1.0 - 0.8**2)
    slant = 6.0 / np.sqrt(37.0) * np.sqrt(2.0 / np.pi)
    spread = np.sqrt(1.0 - slant**2)
    up = np.exp(-0.5 * (x * spread + slant) ** 2) * ndtr(6.0 * (x * spread + slant))
    densities = np.stack(
        [
            np.exp(-0.5 * ((x - hump) / width) ** 2) + np.exp(-0.5 * ((x + hump) / width) ** 2),
            np.exp(-np.sqrt(2.0) * np.abs(x)),
            (1.0 + x * x / 3.0) ** -3.0,
            np.exp(-((x / FLAT_SCALE) ** 4)),
            up,
            up[::-1],
            np.exp(-0.5 * x * x),
        ]
    )
    at = np.clip(np.rint((x + Z_MAX) / Z_STEP), 0, NOVEL - 1).astype(np.int64)
    mass = np.stack([np.bincount(at, weights=own / own.sum(), minlength=NOVEL) for own in densities])
    shapes: FloatArray = np.clip(np.log(mass[:-1] / mass[-1]), -SHAPE_MAX, SHAPE_MAX).T
    return shapes


SCORES: Final = np.concatenate(
    [
        np.stack(
            [
                _Z,
                (_Z**2 - 1.0) / np.sqrt(2.0),
                (_Z**3 - 3.0 * _Z) / np.sqrt(6.0),
                (_Z**4 - 6.0 * _Z**2 + 3.0) / np.sqrt(24.0),
            ],
            axis=1,
        ),
        np.concatenate([_shapes(), np.zeros((1, 6))]),
    ],
    axis=1,
)
"""Shape (CLASSES, 10): the polynomials, and the log likelihood ratios of six shapes. A novel value has the scores of
the middle: which side it is on is not known of categories, and the novel cell speaks for it."""
SCORES[NOVEL] = 0.0
CELL_OF_CLASS: Final = np.concatenate([np.minimum((ndtr(_Z[:-1]) * 10.0).astype(np.int64), 9), [CELLS - 1]])


def classes_by_value(counts: CountArray) -> npt.NDArray[np.uint8]:
    """Give the class of each bin, shape (S, B), of streams whose B value bins are in order of value.

    Empty bins take the rank they stand at, so those beyond all that the reference holds are of the outermost classes.
    """
    mass = counts.astype(np.float64)
    until = np.cumsum(mass, axis=1)
    return _classes_of_rank(until - 0.5 * mass, until[:, -1:])


def classes_by_frequency(counts: CountArray) -> npt.NDArray[np.uint8]:
    """Give the class of each bin, shape (S, B), of categorical streams: commonest first; those not seen are novel."""
    mass = counts.astype(np.float64)
    order = np.argsort(-mass, axis=1, kind="stable")
    ordered = np.take_along_axis(mass, order, axis=1)
    until = np.cumsum(ordered, axis=1)
    classes = np.empty(counts.shape, dtype=np.uint8)
    np.put_along_axis(classes, order, _classes_of_rank(until - 0.5 * ordered, until[:, -1:]), axis=1)
    return np.where(mass == 0.0, np.uint8(NOVEL), classes)


def _classes_of_rank(rank: FloatArray, total: FloatArray) -> npt.NDArray[np.uint8]:
    z = ndtri((rank + 0.5) / (total + 1.0))
    return np.clip(np.rint((z + Z_MAX) / Z_STEP), 0, NOVEL - 1).astype(np.uint8)


def class_shares(counts: CountArray, classes: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
    """Give the reference's share of each class, shape (S, CLASSES), smoothed, and the events it rests on, (S,)."""
    rows = np.repeat(np.arange(len(counts)), counts.shape[1])
    keys = rows * (CLASSES + 1) + np.minimum(classes, CLASSES).ravel()
    size = len(counts) * (CLASSES + 1)
    mass = np.bincount(keys, weights=counts.ravel(), minlength=size).reshape(-1, CLASSES + 1)[:, :CLASSES]
    events = mass.sum(axis=1)
    is_used = np.zeros((len(counts), CLASSES + 1), dtype=bool)
    is_used[rows, np.minimum(classes, CLASSES).ravel()] = True
    smoothed = mass + np.where(is_used[:, :CLASSES], SMOOTHING, 0.0)
    smoothed[:, NOVEL] = mass[:, NOVEL] + NOVEL_EVENTS
    return smoothed / smoothed.sum(axis=1, keepdims=True), events


def cell_shares(shares: FloatArray) -> FloatArray:
    """Give the share of each cell, shape (S, CELLS), from those of the classes; of unused ones next to nothing."""
    in_cell = (np.arange(CELLS)[:, None] == CELL_OF_CLASS).astype(np.float64)
    cells: FloatArray = np.einsum("sc,kc->sk", shares, in_cell)  # a row's sums do not depend on the other rows
    return np.maximum(cells, CELL_LEAST)
