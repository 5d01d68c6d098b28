"""From a budget in time to the evidence it asks for."""

from __future__ import annotations

import math
from typing import Final

OVERSHOOT: Final = 1.5
"""How far odds are beyond a limit when they pass it, on average: evidence comes in steps. Measured, see
benchmarks/detection/overshoot.py."""


def nats_for(between_s: float, share: float = 1.0) -> float:
    """Give the evidence needed for one false alarm in `between_s` seconds, of a stream that has `share` of the budget.

    The mean time to a false alarm is at least that of the limit itself (see engine) times the overshoot, so the limit
    is log(between_s / (share * OVERSHOOT)), and never below one nat.
    """
    return max(1.0, math.log(between_s / (share * OVERSHOOT)))
