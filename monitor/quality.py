"""What models are measured by: outcomes, KPIs, and how odd a series is. Words, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class JoinStatus:
    """Inferences and outcomes that are joined. See join.joiner for what becomes of outcomes, by kind and result.

    pending: inferences that are remembered. waiting: outcomes' ids that wait for their inference. expired: those that
    waited in vain. forgotten: inferences that had to go before their time. nbytes: what waits takes on disk.
    """

    is_on: bool = False
    outcomes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    pending: int = 0
    waiting: int = 0
    expired: int = 0
    forgotten: int = 0
    nbytes: int = 0


REFERENCE: Final = "reference"
"""In place of a window: what a KPI was in the reference."""


class KpiValue(NamedTuple):
    """A KPI of one model version and segment in one window, with its interval of 95 %. See monitor.kpis.

    segment: "" for all traffic, name=value, or the name alone where its values are compared. window: as it is written
    ("1h"), or REFERENCE. name: of the KPI.
    """

    model: str
    model_version: str
    segment: str
    window: str
    name: str
    value: float
    low: float
    high: float
    samples: int


class ModeShare(NamedTuple):
    """Share of one failure mode, or reason of a bypass, among all of its field in one window. value: 0 to 1."""

    model: str
    model_version: str
    window: str
    field: str
    mode: str
    value: float


class AnomalyScore(NamedTuple):
    """How odd the last point of a metric series is, 0 to 1 (0.5: an alarm). statistic: volume, p50, p95, mean, rate."""

    model: str
    model_version: str
    field: str
    statistic: str
    score: float
