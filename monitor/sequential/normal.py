"""What is normal for one stream, as far as sequential evidence needs to know it: a part of its frozen reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray
from monitor.sequential.fluctuation import LEVELS
from monitor.sequential.scores import CLASSES, NO_CLASS
from monitor.sequential.seasons import HOURS

CLASSES_KNOWN: Final = (*range(CLASSES), NO_CLASS)
DIGITS: Final = 3
"""Decimals of what is written: a thousandth of an inflation or of a standard deviation changes nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """How one stream behaves while nothing changes.

    classes: shape (B,), the class of each value bin. events: shape (LEVELS,), per block of each length, and inflation:
    shape (scores, LEVELS), see fluctuation; None: taken for independent. profile: shape (HOURS, features), see seasons;
    None: all hours alike. scale: what all evidence is multiplied with, by the rehearsal.
    """

    classes: npt.NDArray[np.uint8]
    events: FloatArray | None = None
    inflation: FloatArray | None = None
    profile: FloatArray | None = None
    scale: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Give it for the reference's file, rounded as `rounded` does."""
        out: dict[str, Any] = {"classes": [[int(at), len(list(run))] for at, run in groupby(self.classes.tolist())]}
        if self.events is not None and self.inflation is not None:
            out["block_events"] = [float(f"{v:.6g}") for v in self.events.tolist()]
            out["inflation"] = np.round(self.inflation, DIGITS).tolist()
        if self.scale < 1.0:
            out["scale"] = round(self.scale, DIGITS)
        if self.profile is not None:
            out["hours"] = np.round(self.profile, DIGITS).tolist()
        return out

    @classmethod
    def from_dicts(cls, found: Sequence[Mapping[str, Any]], bins: int, features: int, scores: int) -> list[Normal]:
        """Read what `to_dict` gave of many streams. Raises ValueError on what can't be of streams of so many bins."""
        classes = _classes_of([each["classes"] for each in found], bins)
        return [cls._of(each, own, features, scores) for each, own in zip(found, classes, strict=True)]

    @classmethod
    def _of(cls, found: Mapping[str, Any], classes: npt.NDArray[np.uint8], features: int, scores: int) -> Normal:
        events = inflation = profile = None
        if "inflation" in found:
            events, inflation = (
                _shaped(found.get("block_events"), (LEVELS,)),
                _shaped(found["inflation"], (scores, LEVELS)),
            )
            if not (np.all(inflation >= 1.0) and np.all(np.diff(events) >= 0.0)):
                raise ValueError("inflation must be 1 or more, and block_events must ascend")
        if "hours" in found:
            profile = _shaped(found["hours"], (HOURS, features))
        scale = float(found.get("scale", 1.0))
        if not 0.0 < scale <= 1.0:
            raise ValueError(f"scale must be above 0 and at most 1, found {scale}")
        return cls(classes, events, inflation, profile, scale)

    def rounded(self, features: int, scores: int) -> Normal:
        """Give it as it is read back from a file, so that what was learned live and what was read judge alike."""
        return Normal.from_dicts([self.to_dict()], len(self.classes), features, scores)[0]


def _classes_of(runs: Sequence[Sequence[Sequence[int]]], bins: int) -> npt.NDArray[np.uint8]:
    """Give the class of each bin, shape (S, bins), of what is written as runs: a class, and how many bins it has."""
    pairs = list(chain.from_iterable(runs))
    ats, lengths = np.fromiter(chain.from_iterable(pairs), np.float64).reshape(-1, 2).T
    ends = np.cumsum([0, *map(len, runs)])
    until = np.concatenate([[0.0], np.cumsum(lengths)])[ends]
    is_well = np.isin(ats, CLASSES_KNOWN).all() and (lengths >= 0.0).all() and (lengths == np.floor(lengths)).all()
    if not is_well or {2}.union(map(len, pairs)) != {2} or (np.diff(until) != bins).any():
        raise ValueError(f"classes must be of {bins} bins, and below {CLASSES}")
    return np.repeat(ats.astype(np.uint8), lengths.astype(np.int64)).reshape(len(runs), bins)


def _shaped(found: object, shape: tuple[int, ...]) -> FloatArray:
    array = np.array(found, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"found numbers of shape {array.shape}, expected {shape}")
    return array
