"""What kind of change values show: the family of changes that explains best what a stream has become.

Which alternative of the engine speaks loudest does not tell: odds are cut at a limit that large changes soon reach with
many alternatives, and some are not looked for in streams that fluctuate. So the values since the onset are fitted anew,
by classes, with each family's own parameter free:

* location, scale and shape are tilts, p exp(theta * score - psi), as in `alternatives`;
* a collapse is a share s of all values in one class, (1 - s) p + s. It counts only where what was added lies in one
  bin: values that have moved on together share a class, too, but not a place.

The greatest likelihood wins, each weighted with its family's share among the alternatives. Where nine tenths of all
values are in one bin that held few, nothing need be fitted. Beyond the range of the bins no place is told from another:
all values beyond it have moved there, some of them are a collapse.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.domain import CountArray, FloatArray
from monitor.sequential.alternatives import ADDITION_SHARE, LOCATION_SHARE, SCALE_SHARE, SHAPE_SHARE, SHAPES
from monitor.sequential.scores import CLASSES, LOCATION, SCALE, SCORES, SKEWNESS, TAILS, class_shares

PILE: Final = 0.5
"""Share of what was added to a class which must lie in one bin, for it to be one place."""
ONE_PLACE: Final = 0.9
"""Share of all values that says it alone, in a bin that held less than half of it."""
_SIZES: Final = np.geomspace(0.05, 40.0, 60)
"""Tilts tried: each a tenth larger than the last, up to where all values lie at one end."""
_BEND_MAX: Final = 1.0
"""Tilts of skewness and tails beyond it look like anything."""


def _tilts() -> tuple[tuple[str, float, FloatArray], ...]:
    """Give families with their shares and the tilts tried, theta * score, shape (n, CLASSES)."""
    both = np.concatenate([-_SIZES, _SIZES])[:, None]
    small = both[np.abs(both[:, 0]) <= _BEND_MAX]
    shapes = np.concatenate([SCORES[:, list(SHAPES)].T, small * SCORES[:, SKEWNESS], small * SCORES[:, TAILS]])
    return (
        ("location", LOCATION_SHARE, both * SCORES[:, LOCATION]),
        ("scale", SCALE_SHARE, both * SCORES[:, SCALE]),
        ("shape", SHAPE_SHARE, shapes),
    )


_TILTS: Final = _tilts()


def kind_of(counts: CountArray, reference: CountArray, classes: npt.NDArray[np.uint8]) -> str:
    """Give the kind of change from a reference, of value bins in order of value, all of shape (B,).

    counts: since the onset, at least one. Cost: a tenth of a millisecond.
    """
    n, m = float(counts.sum()), max(float(reference.sum()), 1.0)
    gained = counts / n - reference / m
    bin_ = int(np.argmax(gained))
    is_place = 0 < bin_ < len(counts) - 1
    if is_place and counts[bin_] >= ONE_PLACE * n and 2.0 * reference[bin_] / m < counts[bin_] / n:
        return "collapse"
    shares = class_shares(reference[None, :], classes[None, :])[0][0]
    by_class = np.bincount(np.minimum(classes, CLASSES), weights=counts, minlength=CLASSES + 1)
    held = by_class[:CLASSES].astype(np.float64)
    found = {name: np.log(share) + _fit(held, shares, powers) for name, share, powers in _TILTS}
    at = int(classes[bin_])
    if gained[bin_] >= PILE * (held[at] / n - shares[at]):
        found["collapse"] = np.log(ADDITION_SHARE / CLASSES) + _fit_added(held[at], n, float(shares[at]))
    return max(found, key=found.__getitem__)


def _fit(held: FloatArray, shares: FloatArray, powers: FloatArray) -> float:
    """Give the greatest log likelihood ratio of some tilts, shape (n, CLASSES), for values held by class."""
    top = powers.max(axis=1, keepdims=True)
    psi = top[:, 0] + np.log(np.exp(powers - top) @ shares)
    return float((powers @ held - held.sum() * psi).max())


def _fit_added(held: float, n: float, share: float) -> float:
    """Give the greatest log likelihood ratio of an addition to one class, which holds `held` of n values."""
    added = min(max((held / n - share) / (1.0 - share), 0.0), 1.0 - 1e-9)
    return float(held * np.log1p(added * (1.0 - share) / share) + (n - held) * np.log1p(-added))
