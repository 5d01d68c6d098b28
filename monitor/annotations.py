"""Annotations: releases, incidents, campaigns and maintenance, told by people and pipelines."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from monitor.kept import State

KINDS: Final = ("release", "incident", "campaign", "maintenance", "note")
KEPT_MAX: Final = 1_000
"""The newest are kept."""
CHARACTERS_MAX: Final = 1_000
SECONDS_MAX: Final = 1e11
"""Times beyond, the year 5138, are milliseconds by mistake."""
TEXTS: Final = ("text", "kind", "model", "model_version", "author")
TIMES: Final = ("time", "end")


class Annotations:
    """The newest annotations, in the order in which they were told; any thread may add and read."""

    def __init__(self) -> None:
        self._held: deque[dict[str, Any]] = deque(maxlen=KEPT_MAX)
        self._lock = threading.Lock()
        self._told = 0

    def add(self, document: object, now_s: float) -> dict[str, Any]:
        """Take one in, as JSON values; give it as it is kept. Raises ValueError with what is wrong and the cure.

        text: what there is to say. time: epoch seconds or RFC 3339 [default: now]; end: where it lasts. kind: of KINDS.
        model, model_version, author: whom it is about and from, "" for all.
        """
        if not isinstance(document, Mapping):
            raise ValueError('write a JSON object, such as {"kind": "release", "text": "v2 goes to 10 %"}')  # noqa: TRY004 - a value of JSON
        unknown = sorted(str(name)[:50] for name in document.keys() - {*TEXTS, *TIMES})
        if unknown:
            raise ValueError(f"unknown: {', '.join(unknown[:5])}; these are known: {', '.join((*TEXTS, *TIMES))}")
        kept: dict[str, Any] = {name: _text(name, document.get(name, "")) for name in TEXTS}
        kept["kind"] = kept["kind"] or "note"
        if kept["kind"] not in KINDS:
            raise ValueError(f"kind: use one of {', '.join(KINDS)}")
        if not kept["text"].strip():
            raise ValueError("text: is missing; say what happened")
        time_s = _time("time", document.get("time", now_s))
        end_s = None if document.get("end") is None else _time("end", document["end"])
        if end_s is not None and end_s < time_s:
            raise ValueError("end: is before time")
        with self._lock:
            self._told += 1
            kept = {"id": self._told, "time": time_s, "end": end_s, **kept}
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


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > CHARACTERS_MAX:
        raise ValueError(f"{name}: write text of at most {CHARACTERS_MAX} characters")
    return value


def _time(name: str, value: object) -> float:
    cure = f"{name}: write epoch seconds, or RFC 3339 such as 2026-11-28T12:00:00Z"
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(cure) from None
        if found.tzinfo is None:
            raise ValueError(f"{cure}: a zone is missing")
        return found.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < SECONDS_MAX:
        raise ValueError(cure)
    return float(value)
