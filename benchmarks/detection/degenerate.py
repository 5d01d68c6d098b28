"""Baselines that know nothing: whatever a measure is worth, it must rank these low."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.detection.candidates import Past, StreamKind, Terms
from monitor.domain import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Never:
    """Never fires."""

    name: str = "never fires"

    def watch(self, stream: StreamKind, past: Past, terms: Terms) -> _Every:  # noqa: ARG002
        """Begin to watch nothing."""
        return _Every(np.full(len(past.values), np.iinfo(np.int64).max))


@dataclass(frozen=True, slots=True)
class Every:
    """Fires at every n-th event, whatever it is; with n = 1 always."""

    n: int

    @property
    def name(self) -> str:
        """Give the name in the tables."""
        return "always fires" if self.n == 1 else f"fires every {self.n:,}"

    def watch(self, stream: StreamKind, past: Past, terms: Terms) -> _Every:  # noqa: ARG002
        """Begin to count."""
        return _Every(np.full(len(past.values), self.n))


class _Every:
    def __init__(self, n: IntArray) -> None:
        self._n, self._seen = n, np.zeros(len(n), np.int64)

    def feed(self, values: FloatArray, times_s: FloatArray) -> BoolArray:  # noqa: ARG002
        """Give where the count is a multiple of n."""
        is_event: BoolArray = ~np.isnan(values)
        seen = self._seen[:, None] + np.cumsum(is_event, axis=1)
        self._seen = seen[:, -1]
        is_event &= seen % self._n[:, None] == 0
        return is_event
