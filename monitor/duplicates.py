"""Events seen before, by event_id, within a bounded memory.

Ids are told apart by keyed 64-bit hashes (XXH3 with a seed), the same in every process that has the seed, so that what
was seen can be kept. Two different ids are taken for one with a chance of 2 * ids_max in 2**64 for each event: one in
46 trillion with 200,000 ids; ids made to collide take knowing the seed. Memory: 8 bytes per id and per place, two to
four places per id, two generations: 12 MB for 200,000 ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_digest

from monitor.domain import BoolArray
from monitor.kept import Section, State, under

Hashes = npt.NDArray[np.uint64]

CHUNK: Final = 16_384
"""Ids stored together: 128 KB, which is what a save writes at most beyond what is full and was written before."""


class Duplicates:
    """Remembers at least the last `ids_max` event ids, at most twice as many. 0 switches it off.

    What is remembered depends on the ids and their order alone, not on how they were cut into batches. seed: 0 to
    2**64 - 1, secret where producers are not trusted.
    """

    def __init__(self, ids_max: int, seed: int = 0) -> None:
        self._ids_max = ids_max
        self._seed = seed
        self._generation = 0
        self._young = HashSet(ids_max)
        self._old = HashSet(0)

    def seen(self, ids: Sequence[str | None]) -> BoolArray | None:
        """Remember the ids of a batch and give which events were seen before, shape (n,); None: none was.

        Cost: 0.1 microseconds per id for its hash, and as much for looking it up.
        """
        if not self._ids_max:
            return None
        named = [event_id for event_id in ids if event_id is not None]
        known = self._remember_all(hashes_of(named, self._seed))
        if not known.any():
            return None
        if len(named) == len(ids):
            return known
        out = np.zeros(len(ids), dtype=bool)
        out[[at for at, event_id in enumerate(ids) if event_id is not None]] = known
        return out

    def _remember_all(self, hashes: Hashes) -> BoolArray:
        known = np.zeros(len(hashes), dtype=bool)
        start = 0
        while start < len(hashes):
            part = hashes[start : start + self._ids_max - self._young.count]
            known[start : start + len(part)] = self._remember(part)
            start += len(part)
            if self._young.count >= self._ids_max:
                self._old, self._young = self._young, HashSet(self._ids_max)
                self._generation += 1
        return known

    def _remember(self, hashes: Hashes) -> BoolArray:
        """Take in at most as many ids as there is room for; give which were known, the later of two alike included."""
        ordered = np.sort(hashes)
        if (ordered[1:] != ordered[:-1]).all():  # which is usual, and spares finding out which come twice
            is_young = self._young.contains(hashes)
            self._young.add(hashes[~is_young] if is_young.any() else hashes)
            return is_young | self._old.contains(hashes)
        unique, first = np.unique(hashes, return_index=True)
        is_young = self._young.contains(unique)
        self._young.add(unique[~is_young])
        known = np.ones(len(hashes), dtype=bool)
        known[first] = is_young | self._old.contains(unique)
        return known

    # ---- what is kept

    def sections(self, prefix: str) -> Iterator[Section]:
        """Give what is kept: ids in chunks, of which only the last one of the young generation ever changes."""
        if not self._ids_max:
            return
        yield Section(prefix, None, self._head)
        for generation, held in ((self._generation - 1, self._old), (self._generation, self._young)):
            for start in range(0, held.count, CHUNK):
                part = held.ids[start : start + CHUNK]
                make = partial(_chunk, generation, start, part)
                yield Section(f"{prefix}/{generation}-{start}", str(len(part)), make)

    def _head(self) -> State:
        return {"seed": self._seed, "generation": self._generation, "ids_max": self._ids_max}

    def restore(self, prefix: str, states: Mapping[str, State]) -> None:
        """Go on with the ids and the seed of a state, in the same order; with another ids_max as many as it allows."""
        head = states.get(prefix)
        if head is None or not self._ids_max:
            return
        self._seed = int(head["seed"])
        generation = self._generation = int(head["generation"])
        own = [state for _, state in under(f"{prefix}/", states)]
        chunks: list[tuple[int, int, Hashes]] = sorted(
            ((int(state["generation"]), int(state["start"]), state["ids"]) for state in own),
            key=lambda chunk: chunk[:2],
        )
        if head.get("ids_max") != self._ids_max:
            self._generation += 1  # other ids than those that were stored by this name
            for _, _, ids in chunks:
                self._remember_all(ids)
            return
        for at, _, ids in chunks:
            if at == generation - 1 and not self._old.count:
                self._old = HashSet(self._ids_max)
            (self._young if at == generation else self._old).add(ids)


def _chunk(generation: int, start: int, ids: Hashes) -> State:
    return {"generation": generation, "start": start, "ids": ids}


def hashes_of(ids: Sequence[str], seed: int) -> Hashes:
    """Give the hash of each id, shape (n,). Half a character, as some formats let through, is hashed as it is."""
    try:
        found = b"".join(map(xxh3_64_digest, map(str.encode, ids), repeat(seed)))
    except UnicodeEncodeError:
        found = b"".join(xxh3_64_digest(event_id.encode(errors="surrogatepass"), seed) for event_id in ids)
    return np.frombuffer(found, dtype=">u8").astype(np.uint64)


class HashSet:
    """A set of 64-bit hashes by open addressing, looked up and filled many at a time. At most half full."""

    def __init__(self, capacity: int) -> None:
        size = 1 << (2 * capacity).bit_length()
        self._places = np.zeros(size, dtype=np.uint64)  # 0: free; the hash 0 is kept as 1
        self._ids = np.zeros(capacity, dtype=np.uint64)
        self._mask = np.uint64(size - 1)
        self.count = 0

    @property
    def ids(self) -> Hashes:
        """What was added, in order."""
        return self._ids[: self.count]

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
        """Add hashes that are not in the set, each once, and at most as many as there is room for."""
        wanted = np.maximum(hashes, np.uint64(1))
        at: Hashes = wanted & self._mask
        self._ids[self.count : self.count + len(hashes)] = hashes
        self.count += len(hashes)
        while wanted.size:
            is_free = self._places[at] == 0
            self._places[at[is_free]] = wanted[is_free]
            is_left = self._places[at] != wanted  # taken, or two wanted one place and the other got it
            wanted, at = wanted[is_left], (at[is_left] + np.uint64(1)) & self._mask
