"""Features: what is summed of the values of a pane, by their classes; all evidence is made of these sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.domain import CountArray, FloatArray, IntArray
from monitor.sequential.scores import CELL_OF_CLASS, CELLS, POLYNOMIALS, SCORES

Floats32 = npt.NDArray[np.float32]

_BY_CLASS: Final = np.concatenate([SCORES, CELL_OF_CLASS[:, None] == np.arange(CELLS)], axis=1).astype(np.float32)
_HIT: Final = np.array([[0.0], [1.0]], dtype=np.float32)
FEATURES: Final = (_BY_CLASS, _BY_CLASS, _HIT)
"""Per arena: what is summed of a value of each class: ten scores and the cell it is in; for yes/no the hit."""
SCORE_COUNTS: Final = (POLYNOMIALS, POLYNOMIALS, 1)
"""Per arena: of how many features, the first, the fluctuation is learned."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The values of a pane, entry by entry in the order of rows: a class, and how many values were of it.

    found: shape (m,), the classes. weights: shape (m,), how many values. rows: shape (n,), ascending, those that had
    values. starts: shape (n + 1,), where the entries of each row begin, and where the last ones end.
    """

    found: npt.NDArray[np.uint8]
    weights: Floats32
    rows: IntArray
    starts: IntArray

    def sums(self, features: Floats32, first: int, last: int) -> Floats32:
        """Give the sums of features, shape (classes, F), over the values of rows `first` to `last`, exclusive: (n, F).

        A row's sum is the same whichever other rows there are, to the last bit.
        """
        own = slice(self.starts[first], self.starts[last])
        weights = self.weights[own]
        sums = features.take(self.found[own], axis=0)
        if (weights != 1.0).any():
            sums *= weights[:, None]
        if len(sums) == last - first:
            return sums
        totals: Floats32 = np.add.reduceat(sums, self.starts[first:last] - self.starts[first], axis=0)
        return totals

    def events(self, first: int, last: int) -> Floats32:
        """Give how many values rows `first` to `last`, exclusive, had, shape (n,)."""
        starts = self.starts[first:last]
        if self.starts[last] - self.starts[first] == last - first:
            return self.weights[starts[0] : self.starts[last]]
        totals: Floats32 = np.add.reduceat(self.weights[: self.starts[last]], starts)
        return totals


def entries_of(classes: npt.NDArray[np.uint8], known: int, flat: IntArray, counts: CountArray) -> Entries | None:
    """Give the entries of classes below `known` among counts at flat indices (row * width + bin), ascending.

    classes: shape (rows, width). What is beyond its rows, or of no class, is passed over. None if nothing is left.
    """
    if not flat.size:
        return None
    if flat[-1] >= classes.size:
        flat = flat[: np.searchsorted(flat, classes.size)]
        counts = counts[: len(flat)]
    found = classes.reshape(-1).take(flat)
    if found.size and found.max() >= known:
        at = np.flatnonzero(found < known)
        flat, counts, found = flat[at], counts[at], found[at]
    if not flat.size:
        return None
    row = flat // classes.shape[1]
    is_first = np.empty(len(row) + 1, dtype=bool)
    is_first[0] = is_first[-1] = True
    np.not_equal(row[1:], row[:-1], out=is_first[1:-1])
    starts = np.flatnonzero(is_first)
    return Entries(found, counts.astype(np.float32), row[starts[:-1]], starts)


def summed(
    classes: npt.NDArray[np.uint8], features: Floats32, flat: IntArray, counts: CountArray
) -> tuple[IntArray, Floats32, FloatArray] | None:
    """Give the rows with values among counts at flat indices, ascending; their features' sums, and their events.

    classes: shape (rows, width). Rows without classes are passed over. None if there are no values. Cost: 50 ns per
    flat index.
    """
    entries = entries_of(classes, len(features), flat, counts)
    if entries is None:
        return None
    n = len(entries.rows)
    return entries.rows, entries.sums(features, 0, n), entries.events(0, n).astype(np.float64)
