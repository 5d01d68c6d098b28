"""Spans of event time of which messages are missing: what is counted in them is never judged. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.domain import BoolArray, FloatArray
from monitor.kept import State

SPANS_MAX: Final = 1_000
"""Spans held; beyond, the two oldest become one, with what lies between."""


class Incomplete:
    """Spans, merged and in order of time; those older than `kept_s` are forgotten. Bound: SPANS_MAX of them."""

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._spans: list[tuple[float, float]] = []

    @property
    def last_s(self) -> float:
        """Where the last span ends; minus infinity where there is none."""
        return self._spans[-1][1] if self._spans else -np.inf

    def add(self, start_s: float, end_s: float) -> None:
        """Note a span, from start_s to end_s (exclusive); it is joined to those that it meets."""
        if end_s <= start_s:
            return
        apart = [span for span in self._spans if span[1] < start_s or span[0] > end_s]
        met = [span for span in self._spans if not (span[1] < start_s or span[0] > end_s)]
        joined = (min([start_s, *(start for start, _ in met)]), max([end_s, *(end for _, end in met)]))
        self._spans = sorted([*apart, joined])
        if len(self._spans) > SPANS_MAX:
            (start_s, _), (_, end_s) = self._spans[:2]
            self._spans[:2] = [(start_s, end_s)]

    def forget(self, now_s: float) -> None:
        """Forget the spans that lie further back than is kept."""
        while self._spans and self._spans[0][1] <= now_s - self._kept_s:
            self._spans.pop(0)

    def touch(self, start_s: float, end_s: float) -> bool:
        """Tell whether any span lies in the time from start_s to end_s (exclusive), or a part of it."""
        return any(start < end_s and end > start_s for start, end in self._spans)

    def touched(self, start_s: FloatArray, end_s: float) -> BoolArray:
        """Tell the same for times that begin at start_s, shape (n,), and all end at end_s."""
        ends = [min(end, end_s) for start, end in self._spans if start < end_s]
        return start_s < max(ends, default=-np.inf)

    def state(self) -> State:
        """Give the spans."""
        return {"spans": [list(span) for span in self._spans]}

    def restore(self, state: State) -> None:
        """Go on with the spans that `state` gave."""
        for start_s, end_s in state.get("spans", []):
            self.add(float(start_s), float(end_s))
