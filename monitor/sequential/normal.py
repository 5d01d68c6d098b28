"""What is normal for one stream, as far as sequential evidence needs to know it: a part of its frozen reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray
from monitor.sequential.fluctuation import LEVELS
from monitor.sequential.scores import CLASSES, NO_CLASS
from monitor.sequential.seasons import HOURS

CLASSES_KNOWN: Final = frozenset((*range(CLASSES), NO_CLASS))
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
    def from_dict(cls, found: Mapping[str, Any], bins: int, features: int, scores: int) -> Normal:
        """Read what `to_dict` gave. Raises ValueError on what can't be of a stream of so many bins."""
        ats, lengths = zip(*found["classes"], strict=True)
        if not CLASSES_KNOWN.issuperset(ats) or min(lengths) < 0 or sum(lengths) != bins:
            raise ValueError(f"classes must be of {bins} bins, and below {CLASSES}")
        classes = np.repeat(np.array(ats, dtype=np.uint8), lengths)
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
        return Normal.from_dict(self.to_dict(), len(self.classes), features, scores)


def _shaped(found: object, shape: tuple[int, ...]) -> FloatArray:
    array = np.array(found, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"found numbers of shape {array.shape}, expected {shape}")
    return array
