"""The burn-rate alerts of Google's SRE workbook (table 5-8) on the unsafe scenario (D7), by the minute.

They need hours, so they are run on counts per minute, which is how Prometheus would evaluate them, and not on events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.detection.families import UNSAFE, UNSAFE_RATE
from benchmarks.detection.scenarios import UNSAFE_AFTER
from monitor.domain import FloatArray

BUDGET = 0.01
"""The objective: 99 % safe. With the old rate as budget the slow alert would fire on every second day without drift."""
BEFORE_MINUTES, AFTER_MINUTES = 3 * 24 * 60, 24 * 60
REPETITIONS = 100


@dataclass(frozen=True, slots=True)
class Alert:
    """Fires while the rate exceeds `burn` budgets in both of its windows."""

    name: str
    burn: float
    long_minutes: int
    short_minutes: int


ALERTS = (
    Alert("14.4x 1h/5m", 14.4, 60, 5),
    Alert("6x 6h/30m", 6.0, 360, 30),
    Alert("1x 3d/6h", 1.0, 4_320, 360),
)


def seconds_to_fire(repetitions: int) -> dict[str, float | None]:
    """Give, per alert, the mean seconds from the rise to the first firing; None if it is silent for a day somewhere."""
    rng = np.random.default_rng(1)
    per_minute = int(UNSAFE.events_per_s * 60.0)
    before = rng.binomial(per_minute, UNSAFE_RATE, (repetitions, BEFORE_MINUTES))
    after = rng.binomial(per_minute, UNSAFE_AFTER, (repetitions, AFTER_MINUTES))
    total = np.cumsum(np.hstack([before, after]), axis=1) / per_minute
    found: dict[str, float | None] = {}
    for alert in ALERTS:
        is_over = _rate(total, alert.long_minutes) > alert.burn * BUDGET
        is_over &= _rate(total, alert.short_minutes) > alert.burn * BUDGET
        minutes = is_over.argmax(axis=1) + 1
        found[alert.name] = float(minutes.mean()) * 60.0 if is_over.any(axis=1).all() else None
    return found


def lines() -> dict[str, str]:
    """Give a line for each alert."""
    found = seconds_to_fire(REPETITIONS)
    return {
        f"burn rate {name} | D7": "silent for a day" if mean is None else f"{mean:,.0f} s ({mean / 3600.0:.1f} h)"
        for name, mean in found.items()
    }


def _rate(total: FloatArray, minutes: int) -> FloatArray:
    """Give the rate over the last so many minutes, at each minute after the rise."""
    end = np.arange(BEFORE_MINUTES, BEFORE_MINUTES + AFTER_MINUTES)
    start = np.maximum(end - minutes, 0)
    rates: FloatArray = (total[:, end] - total[:, start]) / (end - start)
    return rates
