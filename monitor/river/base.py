"""What one of river's detectors is to driftd: what it can be fed with, how its parameter follows from the budget.

river (Montiel and others 2021, JMLR 22) judges one value after the other, without a reference and without evidence that
could be added up. So driftd asks it only whether something has changed, once per closed pane and stream, and measures
what changed itself (`watchmen`). river is imported only where a rule asks for it: 0.5 s and 52 MB, with scipy.stats.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Final, Protocol, cast

from monitor.domain import Kind
from monitor.errors import StateError
from monitor.kept import State

BOOLEANS_MAX: Final = 64
"""Hits and misses that a pane feeds at most: river takes up to 13 us for each."""


class Feed(Enum):
    """What a detector is fed with, pane by pane.

    MEAN: the pane's mean, in standard deviations of such a mean if nothing has changed, cut at MEAN_MAX. BOOLEANS:
    whether each event was a hit, BOOLEANS_MAX at most, evenly spread, as the order within a pane is not kept.
    """

    MEAN = auto()
    BOOLEANS = auto()


MEAN_MAX: Final = 4.0
"""Where fed means are cut: no single pane, however odd, says more than that."""
NUMBERS: Final = frozenset({Kind.NUMERIC, Kind.LOG, Kind.YES_NO})
FLAGS: Final = frozenset({Kind.YES_NO})


class Watchman(Protocol):
    """One detector of river, watching one stream."""

    @property
    def drift_detected(self) -> bool:
        """Tell whether the last value fed made it detect a drift."""
        ...

    def update(self, x: float) -> object:
        """Take one value. After a detection it begins anew."""
        ...


class RiverDetector(Protocol):
    """How driftd uses one of river's detectors."""

    # Properties, so that a constant will do: nobody assigns to them.
    @property
    def name(self) -> str:
        """Give the key in RIVER, and the statistic's name in rules and alerts."""
        ...

    @property
    def kinds(self) -> frozenset[Kind]:
        """Give the kinds of stream it can watch."""
        ...

    @property
    def feed(self) -> Feed:
        """Tell what it is fed with."""
        ...

    @property
    def pane_s(self) -> float:
        """Give the seconds that feeding a full pane of one stream takes, measured."""
        ...

    def make(self, interval: float) -> Watchman:
        """Give one that watches. interval: values between two false alarms that are asked for, where it can be."""
        ...

    def state(self, watchman: Watchman) -> State:
        """Give all that one has seen, as plain values: what it detects from here on depends on nothing else."""
        ...

    def restore(self, watchman: Watchman, state: State) -> None:
        """Let one that was newly made go on from a state. Raises StateError for what is none."""
        ...


def load() -> None:
    """Import river now, at the start, and not in the loop."""
    importlib.import_module("river.drift.binary")


def maker(module: str, name: str) -> Callable[..., Watchman]:
    """Give a class of river."""
    return cast("Callable[..., Watchman]", getattr(importlib.import_module(module), name))


# ---- what river's detectors keep, attribute by attribute: they are plain objects, so that nothing need be pickled

SIGNALS: Final = ("_drift_detected", "_warning_detected")
"""Of all of river's detectors for booleans."""


def mean_at(path: str) -> tuple[str, str]:
    """Give the attributes of a river.stats.Mean that is found there."""
    return f"{path}.n", f"{path}._mean"


def inner(part: object, path: str) -> object:
    """Give what is found at a path of attributes, such as "_p.n"."""
    for name in path.split("."):
        part = getattr(part, name)
    return part


def kept_of(part: object, paths: Iterable[str]) -> State:
    """Give the numbers found at some paths, by path. Raises TypeError where there is another thing."""
    found = {path: inner(part, path) for path in paths}
    if not all(_is_number(value) for value in found.values()):
        raise TypeError(f"river keeps more than numbers: {found}")
    return found


def bring_kept(part: object, paths: Iterable[str], state: Mapping[str, object]) -> None:
    """Set what is found at some paths to what `kept_of` gave. Raises StateError for what is missing, or no number."""
    for path in paths:
        if path not in state or not _is_number(state[path]):
            raise StateError(f"stored state: {path} of {type(part).__name__} of river is missing, or no number")
        *way, name = path.split(".")
        setattr(inner(part, ".".join(way)) if way else part, name, state[path])


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float)
