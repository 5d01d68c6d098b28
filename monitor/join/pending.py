"""What waits for its other half: a large map by id, most of it elsewhere, that is exact over crashes.

What has changed since the last save is held here, and is part of the state; what was saved before is in a `Backing`,
which may be a file far larger than memory. A change goes to the backing only after the save that holds it. So whatever
happens, the backing never knows anything that is not stored with the offsets it rests on, and what it was not told yet
is told again by the next process, which changes nothing.

Entries are kept by generation, a slice of event time: what is too old is dropped slice by slice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from monitor.kept import Section, State

GONE: Final = b""
"""The value of an entry that was taken out."""
CHANGES_MAX: Final = 2_000_000
"""Changes that wait to be stored, and then for the backing: 250 bytes each."""
DRAINED_AT_ONCE: Final = 20_000
"""Entries given to the backing between two batches: some 30 ms."""


class Backing(Protocol):
    """A map from generation and id to a value. Called by the loop's thread; raises StateError where it fails."""

    def get_many(self, generation: int, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Give the value of each id of a generation, None where there is none."""
        ...

    def put_many(self, generation: int, ids: Sequence[bytes], values: Sequence[bytes]) -> bool:
        """Set values; GONE takes the entry out. False where there is no room: nothing was set."""
        ...

    def drop(self, generation: int) -> None:
        """Forget a generation, if there is one."""
        ...

    def generations(self) -> Iterable[int]:
        """Give the generations that are held."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes held, on disk or in memory."""
        ...


class InMemory:
    """A backing that lives as long as the process: for replays, and where no state is kept."""

    def __init__(self) -> None:
        self._held: dict[int, dict[bytes, bytes]] = {}
        self.nbytes = 0

    def get_many(self, generation: int, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Give values."""
        return list(map(self._held.get(generation, {}).get, ids))

    def put_many(self, generation: int, ids: Sequence[bytes], values: Sequence[bytes]) -> bool:
        """Set values."""
        held = self._held.setdefault(generation, {})
        self.nbytes += sum(map(len, ids)) + sum(map(len, values))
        held.update(zip(ids, values, strict=True))
        if GONE in values:
            for each in [each for each, value in zip(ids, values, strict=True) if value == GONE]:
                held.pop(each, None)
        return True

    def drop(self, generation: int) -> None:
        """Forget a generation."""
        for each, value in self._held.pop(generation, {}).items():
            self.nbytes -= len(each) + len(value)

    def generations(self) -> Iterable[int]:
        """Give the generations."""
        return list(self._held)


class Pending:
    """Entries by id. An id is in one generation; the newest that has it counts.

    counts: entries by generation. forgotten: entries that had to go since the backing was full. Memory: about 250 bytes
    for each entry that changed since the last save; the rest is the backing's.
    """

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._fresh: dict[bytes, tuple[int, bytes]] = {}
        self._saved: dict[bytes, tuple[int, bytes]] = {}
        self.counts: Counter[int] = Counter()
        self.forgotten = 0

    def __len__(self) -> int:
        return self.counts.total()

    @property
    def nbytes(self) -> int:
        """Bytes of the backing."""
        return self._backing.nbytes

    @property
    def changes(self) -> int:
        """Changes that the backing was not told of yet."""
        return len(self._fresh) + len(self._saved)

    def add(self, generations: Sequence[int], ids: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Set new entries; where too many wait to be stored, as nothing can be, they are forgotten.

        Cost: 0.2 microseconds each.
        """
        if self.changes + len(ids) > CHANGES_MAX:
            self.forgotten += len(ids)
            return
        self._fresh.update(zip(ids, zip(generations, values, strict=True), strict=True))
        self.counts.update(generations)

    def change(self, generation: int, each: bytes, value: bytes) -> None:
        """Set the value of an entry that there is."""
        self._fresh[each] = (generation, value)

    def remove(self, generation: int, each: bytes) -> None:
        """Take an entry out."""
        self._fresh[each] = (generation, GONE)
        self.counts[generation] -= 1

    def get_many(self, ids: Sequence[bytes]) -> list[tuple[int, bytes] | None]:
        """Give generation and value of each id, None where there is none. Cost: a look into each generation."""
        found: list[tuple[int, bytes] | None] = [None] * len(ids)
        left: list[int] = []
        for i, each in enumerate(ids):
            held = self._fresh.get(each) or self._saved.get(each)
            if held is None:
                left.append(i)
            elif held[1] != GONE:
                found[i] = held
        for generation in sorted(self._backing.generations(), reverse=True) if left else ():
            values = self._backing.get_many(generation, [ids[i] for i in left])
            for i, value in zip(left, values, strict=True):
                if value is not None:
                    found[i] = (generation, value)
            left = [i for i in left if found[i] is None]
            if not left:
                break
        return found

    def drop(self, generation: int) -> int:
        """Forget a generation; give how many entries that were."""
        for held in (self._fresh, self._saved):
            for each in [each for each, entry in held.items() if entry[0] == generation]:
                del held[each]
        self._backing.drop(generation)
        return self.counts.pop(generation, 0)

    def clear(self) -> None:
        """Forget all."""
        for generation in list(self._backing.generations()):
            self._backing.drop(generation)
        self._fresh, self._saved, self.counts = {}, {}, Counter()

    # ---- from the state to the backing

    def saved(self) -> None:
        """Hear that the state is stored: what it holds may go to the backing."""
        self._saved.update(self._fresh)
        ids = sorted(self._saved)  # so that what is drained at once lies together in the backing
        self._saved = dict(zip(ids, map(self._saved.__getitem__, ids), strict=True))
        self._fresh = {}

    def drain(self, at_most: int = DRAINED_AT_ONCE) -> None:
        """Give the backing some of what is stored. Cost: 1 to 2 microseconds an entry."""
        if not self._saved:
            return
        part = self._saved
        if len(part) > at_most:
            part = {each: self._saved[each] for _, each in zip(range(at_most), self._saved, strict=False)}
        by_generation: dict[int, tuple[list[bytes], list[bytes]]] = {}
        for each, (generation, value) in part.items():
            ids, values = by_generation.setdefault(generation, ([], []))
            ids.append(each)
            values.append(value)
        for generation, (ids, values) in by_generation.items():
            while not self._backing.put_many(generation, ids, values):
                if not self._make_room():
                    self.forgotten += len(ids)
                    break
        if part is self._saved:
            self._saved = {}
        else:
            for each in part:
                del self._saved[each]

    def _make_room(self) -> bool:
        """Drop the oldest generation that the backing has; tell whether there was one."""
        oldest = min(self._backing.generations(), default=None)
        if oldest is not None:
            self._backing.drop(oldest)
            self.forgotten += self.counts.pop(oldest, 0)
        return oldest is not None

    # ---- what is kept

    def sections(self, prefix: str) -> Iterator[Section]:
        """Give what is kept: how many entries there are, and those that the backing does not have."""
        yield Section(prefix, None, self._state)

    def _state(self) -> State:
        held = {**self._saved, **self._fresh}
        entries = held.values()
        return {
            "counts": [[generation, count] for generation, count in self.counts.items()],
            "ids": b"".join(held),
            "id_lengths": _lengths(held),
            "generations": np.array([generation for generation, _ in entries], dtype=np.int64),
            "values": b"".join(value for _, value in entries),
            "value_lengths": _lengths(value for _, value in entries),
        }

    def restore(self, prefix: str, states: Mapping[str, State]) -> None:
        """Go on from a state, with the backing that belongs to it; what that has beyond is dropped."""
        state = states.get(prefix, {})
        self.counts = Counter({int(generation): int(count) for generation, count in state.get("counts", ())})
        if state:
            ids = _cut(state["ids"], state["id_lengths"])
            values = _cut(state["values"], state["value_lengths"])
            entries = zip(state["generations"].tolist(), values, strict=True)
            self._saved = dict(zip(ids, entries, strict=True))
        for generation in set(self._backing.generations()) - set(self.counts):
            self._backing.drop(generation)


def _lengths(parts: Iterable[bytes]) -> npt.NDArray[np.uint32]:
    return np.array(list(map(len, parts)), dtype=np.uint32)


def _cut(whole: bytes, lengths: npt.NDArray[np.uint32]) -> Iterator[bytes]:
    at = 0
    for length in lengths.tolist():
        yield whole[at : at + length]
        at += length
