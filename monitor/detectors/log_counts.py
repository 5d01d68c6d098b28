"""Questions to logarithmic counts: how many values, which bin holds the r-th, how many lie above a bin.

Rows have 1,028 value bins, so they are summed once into blocks of 38 (an octave); a rank or a tail is then found by
its octave and within it, and the wide rows are read once per question instead of cumulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from monitor import bins

if TYPE_CHECKING:
    from monitor.domain import CountArray, FloatArray, IntArray

VALUE_SPAN: Final = bins.VALUE_SPANS[bins.Arena.LOGS]
BLOCK_EDGES: Final = np.concatenate(
    [[bins.LOG_BELOW], 1 + bins.BINS_PER_OCTAVE * np.arange(bins.OCTAVES), [bins.LOG_ABOVE, VALUE_SPAN]]
)
"""First bin of each block and the end: one block for values below the grid, one per octave, one for those above."""
VALUES: Final = bins.log_values(0)
"""The value of each bin when the grid starts at 1; times view.low it is the stream's."""


@dataclass(frozen=True, slots=True)
class LogCounts:
    """Counts, shape (S, LOGS_WIDTH), and `until`: the values before each block, and in all, shape (S, OCTAVES + 3)."""

    counts: CountArray
    until: IntArray

    def samples(self) -> IntArray:
        """Give the number of values, shape (S,)."""
        samples: IntArray = self.until[:, -1]
        return samples

    def bin_of_rank(self, rank: FloatArray) -> IntArray:
        """Give the bin that holds the rank-th smallest value (1 to n), shape (S,); for empty rows the last bin."""
        block = np.minimum((self.until[:, 1:] < rank[:, None]).sum(axis=1), len(BLOCK_EDGES) - 2)
        before = self._before(block)
        inside = np.cumsum(self._bins_of(block), axis=1, dtype=np.int64)
        step = (inside < (rank - before)[:, None]).sum(axis=1)
        bin_: IntArray = np.minimum(BLOCK_EDGES[block] + step, BLOCK_EDGES[block + 1] - 1)
        return bin_

    def before(self, bin_: IntArray) -> IntArray:
        """Give how many values lie in bins below `bin_` (0 to VALUE_SPAN), both of shape (S,)."""
        block = np.searchsorted(BLOCK_EDGES[1:-1], bin_, side="right")
        is_before = np.arange(bins.BINS_PER_OCTAVE) < (bin_ - BLOCK_EDGES[block])[:, None]
        inside = self._bins_of(block).sum(axis=1, where=is_before, dtype=np.int64)
        before: IntArray = self._before(block) + inside
        return before

    def _before(self, block: IntArray) -> IntArray:
        before: IntArray = self.until[np.arange(len(block)), block]
        return before

    def _bins_of(self, block: IntArray) -> CountArray:
        """Give the counts of each row's block, shape (S, 38), zeros beyond the block's end."""
        index = BLOCK_EDGES[block][:, None] + np.arange(bins.BINS_PER_OCTAVE)
        inside = np.take_along_axis(self.counts, np.minimum(index, VALUE_SPAN - 1), axis=1)
        return np.where(index < BLOCK_EDGES[block + 1][:, None], inside, np.uint32(0))


def log_counts_of(counts: CountArray) -> LogCounts:
    """Give the counts with their block sums. Cost: one pass."""
    inner = counts[:, 1 : bins.LOG_ABOVE].reshape(len(counts), bins.OCTAVES, bins.BINS_PER_OCTAVE)
    until = np.zeros((len(counts), len(BLOCK_EDGES)), dtype=np.int64)
    until[:, 1] = counts[:, bins.LOG_BELOW]
    until[:, 2:-1] = inner.sum(axis=2, dtype=np.int64)
    until[:, -1] = counts[:, bins.LOG_ABOVE]
    return LogCounts(counts=counts, until=np.cumsum(until, axis=1))


def log_bin_of(threshold: FloatArray, low: FloatArray) -> IntArray:
    """Give the bin of each threshold in its row's grid; 0 where either is not finite."""
    # Dividing by the grid's start is exact, as it is a power of two.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scaled = threshold / low
    usable = np.clip(np.where(np.isfinite(scaled), scaled, 0.0), 0.0, None)
    return bins.log_bin(usable, np.zeros(len(usable), dtype=np.int64))
