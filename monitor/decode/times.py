"""Event times as sent: RFC 3339, or seconds or milliseconds since the epoch."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from monitor.domain import FloatArray, Rejection
from monitor.numbers import doubles

MILLISECONDS_FROM: Final = 1e11
"""Epoch times above this are milliseconds: as seconds it would be the year 5138."""
TIME_MAX_S: Final = 1e10


def times_of(column: Sequence[Any]) -> FloatArray | None:
    """Give all event times at once, or None if any of them wants a look of its own."""
    kinds = set(map(type, column))
    try:
        if kinds and kinds <= {float, int}:  # no event of the batch has a time: each is told so
            times = doubles(column)
            times = np.where(times > MILLISECONDS_FROM, times / 1000.0, times)
        elif kinds == {str}:
            times = np.array([_parse(text) for text in column])
        else:
            return None
    except (ValueError, OverflowError, struct.error):
        return None
    return times if bool(np.all((times > 0) & (times < TIME_MAX_S))) else None


def time_or_rejection(value: Any) -> float | Rejection:
    """Give one event time, or why it is none."""
    if value is None:
        return Rejection.NO_TIME
    if type(value) not in (float, int, str):
        return Rejection.BAD_TIME
    try:
        time_s = _parse(value) if isinstance(value, str) else _seconds(float(value))
    except (ValueError, OverflowError):
        return Rejection.BAD_TIME
    return time_s if math.isfinite(time_s) and 0 < time_s < TIME_MAX_S else Rejection.BAD_TIME


def _seconds(epoch: float) -> float:
    return epoch / 1000.0 if epoch > MILLISECONDS_FROM else epoch


def _parse(text: str) -> float:
    """Give epoch seconds of an RFC 3339 time; one without an offset is UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
