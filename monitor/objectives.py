"""Words for what an objective allows and what is left of it. Layer 0: nothing but names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class ErrorBudget(NamedTuple):
    """How a rule of the statistic `burn` stands on one stream.

    burns: by window as configured ("1h"), how many times faster than the objective allows the budget is used up; 1 uses
    it up exactly at the period's end. left: of the period's budget, as a share of 1; negative once it is overdrawn.
    uptime: share of good events in the period, 0 to 1. Windows without events are left out; NaN where there are none.
    """

    model: str
    model_version: str
    field: str
    segment: str
    rule: str
    burns: Mapping[str, float]
    left: float
    uptime: float
