"""Events seen before, by event_id, within a bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.domain import BoolArray

import numpy as np


class Duplicates:
    """Remembers at least the last `ids_max` event ids, at most twice as many. 0 switches it off. Memory: about 100 bytes per id."""

    def __init__(self, ids_max: int) -> None:
        self._ids_max = ids_max
        self._young: set[str] = set()
        self._old: set[str] = set()

    def seen(self, ids: Sequence[str | None]) -> BoolArray | None:
        """Remember the ids of a batch and give which events were seen before, shape (n,); None: none was."""
        if not self._ids_max:
            return None
        fresh = set(ids)
        has_none = None in fresh
        fresh.discard(None)
        is_plain = len(fresh) == len(ids) - (ids.count(None) if has_none else 0)
        known = fresh & self._young | fresh & self._old  # type: ignore[operator]
        found = None if is_plain and not known else self._each(ids)
        self._young |= fresh
        if len(self._young) >= self._ids_max:
            self._old, self._young = self._young, set()
        return found

    def _each(self, ids: Sequence[str | None]) -> BoolArray:
        batch: set[str] = set()
        out = np.zeros(len(ids), dtype=bool)
        for i, event_id in enumerate(ids):
            if event_id is None:
                continue
            out[i] = event_id in batch or event_id in self._young or event_id in self._old
            batch.add(event_id)
        return out
