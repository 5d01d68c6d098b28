"""Python's collector of cyclic garbage, told how little of that driftd makes."""

from __future__ import annotations

import gc
from typing import Final

GC_THRESHOLDS: Final = (100_000, 20, 50)
"""At Python's own thresholds the collector takes a sixth of the pipeline's time: 6.0 us an event instead of 5.1."""


def calm_the_collector() -> None:
    """Look for cyclic garbage more rarely: a batch makes tens of thousands of objects, none of them in cycles."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()


def stop_the_collector() -> None:
    """Look for none at all until it is calmed: while references and state are read, a million objects, none garbage.

    It takes a quarter of that time otherwise.
    """
    gc.disable()
