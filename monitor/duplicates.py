"""Events seen before, by event_id, within a bounded memory.

Ids are told apart by 64-bit keyed hashes (Python's own, SipHash), so that a batch is looked up at once. Two different
ids are taken for one with a chance of 2 * ids_max in 2**64 for each event: one in 46 trillion with 200,000 ids.
Memory: 8 bytes per place, two to four places per id, two generations: at most 16 MB for 200,000 ids.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor.domain import BoolArray

Hashes = npt.NDArray[np.uint64]


class Duplicates:
    """Remembers at least the last `ids_max` event ids, at most twice as many. 0 switches it off.

    What is remembered depends on the ids and their order alone, not on how they were cut into batches.
    """

    def __init__(self, ids_max: int) -> None:
        self._ids_max = ids_max
        self._young = HashSet(ids_max)
        self._old = HashSet(0)

    def seen(self, ids: Sequence[str | None]) -> BoolArray | None:
        """Remember the ids of a batch and give which events were seen before, shape (n,); None: none was."""
        if not self._ids_max:
            return None
        hashes = np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64)
        named = np.arange(len(ids))
        if None in ids:
            named = np.array([i for i, event_id in enumerate(ids) if event_id is not None], dtype=np.int64)
        out = np.zeros(len(ids), dtype=bool)
        start = 0
        while start < len(named):
            at = named[start : start + self._ids_max - self._young.count]
            out[at] = self._remember(hashes[at])
            start += len(at)
            if self._young.count >= self._ids_max:
                self._old, self._young = self._young, HashSet(self._ids_max)
        return out if out.any() else None

    def _remember(self, hashes: Hashes) -> BoolArray:
        """Take in at most as many ids as there is room for; give which were known, the later of two alike included."""
        if np.unique(hashes).size == len(hashes):  # which is usual, and spares finding out which come twice
            is_young = self._young.contains(hashes)
            self._young.add(hashes[~is_young] if is_young.any() else hashes)
            return is_young | self._old.contains(hashes)
        unique, first = np.unique(hashes, return_index=True)
        is_young = self._young.contains(unique)
        self._young.add(unique[~is_young])
        known = np.ones(len(hashes), dtype=bool)
        known[first] = is_young | self._old.contains(unique)
        return known


class HashSet:
    """A set of 64-bit hashes by open addressing, looked up and filled many at a time. At most half full."""

    def __init__(self, capacity: int) -> None:
        size = 1 << (2 * capacity).bit_length()
        self._places = np.zeros(size, dtype=np.uint64)  # 0: free; the hash 0 is kept as 1
        self._mask = np.uint64(size - 1)
        self.count = 0

    def contains(self, hashes: Hashes) -> BoolArray:
        """Give which are in the set. Cost: some passes over ever fewer of them."""
        wanted = np.maximum(hashes, np.uint64(1))
        found = np.zeros(len(hashes), dtype=bool)
        left = np.arange(len(hashes))
        at = wanted & self._mask
        while left.size:
            there = self._places[at]
            is_it = there == wanted[left]
            found[left[is_it]] = True
            goes_on = ~is_it & (there != 0)
            left, at = left[goes_on], (at[goes_on] + np.uint64(1)) & self._mask
        return found

    def add(self, hashes: Hashes) -> None:
        """Add hashes that are not in the set, each once."""
        wanted = np.maximum(hashes, np.uint64(1))
        at: Hashes = wanted & self._mask
        self.count += len(hashes)
        while wanted.size:
            is_free = self._places[at] == 0
            self._places[at[is_free]] = wanted[is_free]
            is_left = self._places[at] != wanted  # taken, or two wanted one place and the other got it
            wanted, at = wanted[is_left], (at[is_left] + np.uint64(1)) & self._mask
