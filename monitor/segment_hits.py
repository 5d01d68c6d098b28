"""How often bad things happened in each segment, and in all traffic: what segments are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class SegmentHits:
    """Of each segment's stream, all of shape (n,): how many of its values were bad, and of all traffic of the field.

    window: as configured ("1h"). keys: StreamKey of each. samples, whole_samples: values that could have been bad.
    is_above: bad is what lies above where 95 in 100 of all values are; else the bad one of yes and no.
    """

    window: str
    keys: Sequence[tuple[str, str, str, str]]
    hits: npt.NDArray[np.int64]
    samples: npt.NDArray[np.int64]
    whole_hits: npt.NDArray[np.int64]
    whole_samples: npt.NDArray[np.int64]
    is_above: npt.NDArray[np.bool_]


def segments_of_all(parts: Sequence[SegmentHits]) -> SegmentHits | None:
    """Give the segments of different models, all of one window, as one; None where there are none."""
    if not parts:
        return None
    keys = tuple(key for part in parts for key in part.keys)
    names = ("hits", "samples", "whole_hits", "whole_samples", "is_above")
    return SegmentHits(parts[0].window, keys, *(np.concatenate([getattr(p, name) for p in parts]) for name in names))
