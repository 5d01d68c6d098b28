"""Annotations: releases, incidents, campaigns and maintenance, told by people and pipelines."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from monitor.kept import State
from monitor.notes import note_of

KEPT_MAX: Final = 1_000
"""The newest are kept."""


class Annotations:
    """The newest annotations, in the order in which they were told; any thread may add and read."""

    def __init__(self) -> None:
        self._held: deque[dict[str, Any]] = deque(maxlen=KEPT_MAX)
        self._lock = threading.Lock()
        self._told = 0

    def add(self, document: object, now_s: float) -> dict[str, Any]:
        """Take one in, as JSON values; give it as it is kept. Raises ValueError with what is wrong: notes.note_of."""
        return self.keep(note_of(document, now_s))

    def keep(self, note: Mapping[str, Any]) -> dict[str, Any]:
        """Keep one that note_of gave. One that is held already, as a topic may tell it twice, is not kept again."""
        with self._lock:
            for held in self._held:
                if all(held[name] == value for name, value in note.items()):
                    return held
            self._told += 1
            kept = {"id": self._told, **note}
            self._held.append(kept)
        return kept

    def latest(self, model: str | None = None) -> list[dict[str, Any]]:
        """Give them, the oldest first; model: those about it and about all."""
        with self._lock:
            return [each for each in self._held if model is None or each["model"] in {"", model}]

    def state(self) -> State:
        """Give what is kept."""
        with self._lock:
            return {"told": self._told, "held": list(self._held)}

    def restore(self, state: State) -> None:
        """Go on from a state."""
        with self._lock:
            self._told = max(self._told, int(state.get("told", 0)))
            self._held.extendleft(reversed(state.get("held", [])))


class OpenNotes:
    """Annotations as the web server takes and shows them. is_open: whether any may be added."""

    def __init__(self, held: Annotations, *, is_open: bool, clock: Callable[[], float] = time.time) -> None:
        self._held = held
        self._clock = clock
        self.is_open = is_open

    def add(self, document: object) -> dict[str, Any]:
        """Take one in; raises ValueError with what is wrong."""
        return self._held.add(document, self._clock())

    def latest(self, model: str | None) -> list[dict[str, Any]]:
        """Give them, the oldest first."""
        return self._held.latest(model)
