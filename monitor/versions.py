"""What versions of one model have counted beside one another, and what gates make of it. Words, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class StreamTotal(NamedTuple):
    """Counts of one stream. kind: as domain.Kind. exponent: of log streams. counts: shape (width of its arena,)."""

    field: str
    segment: str
    kind: str
    exponent: int
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VersionTotals:
    """One version of a model. streams: counted since since_s (event time), when it was first seen beside another.

    before: by older version what its streams had counted by then, so that both can be compared over the same time.
    """

    model_version: str
    since_s: float
    streams: Sequence[StreamTotal]
    before: Mapping[str, Sequence[StreamTotal]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelTotals:
    """The versions of one model, oldest first: those that were seen beside another."""

    model: str
    versions: Sequence[VersionTotals]


@dataclass(frozen=True, slots=True)
class GateStatus:
    """What a gate says, as of wall_s. verdicts: by criterion, and "overall": pass, fail or insufficient.

    changes: by criterion, for those that are known. more_events: likely missing, for those not decided. details: the
    whole of it as JSON values.
    """

    model: str
    incumbent: str
    candidate: str
    wall_s: float
    verdicts: Mapping[str, str]
    changes: Mapping[str, float]
    more_events: Mapping[str, int]
    score: float
    details: Mapping[str, Any]
