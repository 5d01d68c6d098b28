"""Events seen before, by event_id, within a bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from monitor.domain import BoolArray


class Duplicates:
    """Remembers at least the last `ids_max` event ids, at most twice as many. 0 switches it off.

    Memory: about 100 bytes per id.

    What is remembered depends on the ids and their order alone, not on how they were cut into batches.
    """

    def __init__(self, ids_max: int) -> None:
        self._ids_max = ids_max
        self._young: set[str] = set()
        self._old: set[str] = set()

    def seen(self, ids: Sequence[str | None]) -> BoolArray | None:
        """Remember the ids of a batch and give which events were seen before, shape (n,); None: none was."""
        if not self._ids_max:
            return None
        unique = set(ids)
        nones = ids.count(None) if None in unique else 0
        fresh = cast("set[str]", unique - {None} if nones else unique)
        is_plain = len(fresh) == len(ids) - nones
        has_room = len(self._young) + len(fresh) < self._ids_max
        if is_plain and has_room and fresh.isdisjoint(self._young) and fresh.isdisjoint(self._old):
            self._young |= fresh
            return None
        return self._each(ids)

    def _each(self, ids: Sequence[str | None]) -> BoolArray | None:
        out = np.zeros(len(ids), dtype=bool)
        for i, event_id in enumerate(ids):
            if event_id is None:
                continue
            out[i] = event_id in self._young or event_id in self._old
            self._young.add(event_id)
            if len(self._young) >= self._ids_max:
                self._old, self._young = self._young, set()
        return out if out.any() else None
