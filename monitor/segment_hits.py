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
