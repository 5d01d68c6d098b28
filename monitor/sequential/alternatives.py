"""What the engine looks for: changes of many kinds and sizes at once, each with its weight in the mixture.

Tilts: the reference's shares p times exp(theta * score): more or less of location, scale, skewness or tails. Shapes:
six large changes of form, each as it is: two humps, a peak, heavy or no tails, skewed up or down. Additions: a share of
all values moves into one cell. Any: the shares seen lately against those of the reference, whatever they are. Weights
sum to 1; a change found by an alternative of weight w costs log(1/w) nats more than had one known what to look for,
which is the price of not knowing.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np

from monitor.sequential.scores import (
    CELLS,
    FLAT,
    HEAVY,
    HUMPED,
    LOCATION,
    PEAKED,
    SCALE,
    SKEWED_DOWN,
    SKEWED_UP,
    SKEWNESS,
    TAILS,
)

LOCATION_SHARE: Final = 0.40
SCALE_SHARE: Final = 0.18
SHAPE_SHARE: Final = 0.14
ADDITION_SHARE: Final = 0.10
NOVEL_SHARE: Final = 0.08
"""Of additions to the novel cell: what was never seen before is the commonest of them by far."""
ANY_SHARE: Final = 0.10

SHIFTS: Final = (0.2, 0.35, 0.6, 1.0, 1.7)
"""Shifts in standard deviations, each about 1.7 times the last: a shift between two is found with 93 % of the speed of
one that is named. Smaller ones than 0.2 would need more than a reference of ten thousand events can prove."""
WIDER: Final = (0.12, 0.24, 0.45)
"""Tilts of the scale's score that are exactly standard deviations times 1.1, 1.23 and 1.65 for a normal stream."""
NARROWER: Final = (-0.3, -0.8, -2.0)
"""The same for standard deviations times 0.84, 0.68 and 0.51."""
BEND: Final = 0.15
"""A tilt of skewness or tails, for small changes of shape."""
SHAPES: Final = (HUMPED, PEAKED, HEAVY, FLAT, SKEWED_UP, SKEWED_DOWN)
"""Large ones, each as it is: their score is the likelihood ratio itself."""
ADDED: Final = (0.02, 0.25)
"""Shares of all values that move into one cell."""
MEMORIES: Final = (60.0, 400.0)
"""Events over which the shares seen lately are averaged, for changes of any kind."""

_TILTS: Final = (
    *((LOCATION, sign * size, LOCATION_SHARE / (2 * len(SHIFTS))) for size, sign in product(SHIFTS, (1, -1))),
    *((SCALE, theta, SCALE_SHARE * 0.6 / len(WIDER)) for theta in WIDER),
    *((SCALE, theta, SCALE_SHARE * 0.4 / len(NARROWER)) for theta in NARROWER),
    *((score, sign * BEND, SHAPE_SHARE * 0.3 / 4) for score, sign in product((SKEWNESS, TAILS), (1, -1))),
    *((score, 1.0, SHAPE_SHARE * 0.7 / len(SHAPES)) for score in SHAPES),
)

TILTED: Final = np.array([score for score, _, _ in _TILTS])
"""Which score each tilt is of."""
THETAS: Final = np.array([theta for _, theta, _ in _TILTS])
TILTS: Final = len(_TILTS)
ADDITIONS: Final = len(ADDED) * CELLS
ALTERNATIVES: Final = TILTS + ADDITIONS + len(MEMORIES)
FIRST_ADDITION: Final = TILTS
FIRST_ANY: Final = TILTS + ADDITIONS
WEIGHTS: Final = np.concatenate(
    [
        [weight for _, _, weight in _TILTS],
        np.tile([*[ADDITION_SHARE / (ADDITIONS - len(ADDED))] * (CELLS - 1), NOVEL_SHARE / len(ADDED)], len(ADDED)),
        np.full(len(MEMORIES), ANY_SHARE / len(MEMORIES)),
    ]
)


def change_of(alternative: int) -> str:
    """Give the kind of change, in a word or two: location, scale, shape, addition, novel or any."""
    if alternative < TILTS:
        return {LOCATION: "location", SCALE: "scale"}.get(int(TILTED[alternative]), "shape")
    if alternative < FIRST_ANY:
        return "new values" if (alternative - FIRST_ADDITION) % CELLS == CELLS - 1 else "collapse"
    return "shape"
