"""From a budget in time to the evidence it asks for."""

from __future__ import annotations

import math
from typing import Final

OVERSHOOT: Final = 1.5
"""How much longer it takes odds to pass a limit than the guarantee says: they pass it in a step, not at the limit.

Measured 2026-11-20 by benchmarks/detection/overshoot.py, at a limit of 10,000 s with references of 10,000 events:
N(0,1) 2.17, lognormal 2.09, Pareto 2.04, Zipf 1.96, rates of .001, .01 and .05 2.44, 1.95 and 2.02. Of the mean, 2.1,
only 1.5 is taken: what is learned of streams that fluctuate is less certain, and bursts of a rate need the rest (at 2.0
their interval was 0.71 of what was asked for).
"""


def nats_for(between_s: float, share: float = 1.0) -> float:
    """Give the evidence needed for one false alarm in `between_s` seconds, of a stream that has `share` of the budget.

    The mean time to a false alarm is at least that of the limit itself (see engine) times the overshoot, so the limit
    is log(between_s / (share * OVERSHOOT)), and never below one nat.
    """
    return max(1.0, math.log(between_s / (share * OVERSHOOT)))
