"""The formats driftd reads: one file and one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from monitor.decode.base import Adapter, Columns, Limits, Outcomes
from monitor.decode.canonical import CanonicalAdapter

ADAPTERS: Final[Mapping[str, Callable[[Limits], Adapter]]] = {
    "canonical": CanonicalAdapter,
}

__all__ = ["ADAPTERS", "Adapter", "Columns", "Limits", "Outcomes"]
