"""Values of events as arrays of numbers, and which of them are none."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from monitor.domain import FloatArray, IntArray

NONE: Final = -1
"""In place of a bin: the value is a finite number, and has none yet."""


def plain_columns(columns: Sequence[Sequence[Any]]) -> FloatArray | None:
    """Give columns as numbers, shape (columns, n), if all are finite ones, else None."""
    try:
        numbers = np.stack([doubles(column) for column in columns])
    except (struct.error, OverflowError):
        return None
    return numbers if np.isfinite(numbers).all() else None


def doubles(values: Sequence[Any]) -> FloatArray:
    """Give numbers as an array, faster than numpy's way, which asks each value what it is."""
    return np.frombuffer(struct.pack(f"{len(values)}d", *values), dtype=np.float64)


def numbers_of(values: Sequence[Any], null: int, not_finite: int, wrong_type: int) -> tuple[FloatArray, IntArray]:
    """Give values as numbers, and the bin of those that are none (NONE: a finite number); both of shape (n,)."""
    try:
        numbers = doubles(values)
        bins = np.full(len(numbers), NONE, dtype=np.int64)
    except (struct.error, OverflowError):
        return _mixed_numbers(values, null, not_finite, wrong_type)
    return _finite(numbers, bins, not_finite)


def _finite(numbers: FloatArray, bins: IntArray, not_finite: int) -> tuple[FloatArray, IntArray]:
    infinite = ~np.isfinite(numbers)
    if infinite.any():
        bins[infinite & (bins == NONE)] = not_finite
        numbers = np.where(infinite, 0.0, numbers)
    return numbers, bins


def _mixed_numbers(values: Sequence[Any], null: int, not_finite: int, wrong_type: int) -> tuple[FloatArray, IntArray]:
    """Read values of which some are null or of another type."""
    if set(map(type, values)) <= {float, int, bool, type(None)}:
        try:
            numbers = np.array(values, dtype=np.float64)
        except OverflowError:
            pass
        else:
            is_null = np.fromiter((value is None for value in values), dtype=bool, count=len(values))
            return _finite(numbers, np.where(is_null, null, NONE), not_finite)
    found = [_number(value, null, not_finite, wrong_type) for value in values]
    numbers = np.array([number for number, _ in found], dtype=np.float64)
    bins = np.array([code for _, code in found], dtype=np.int64)
    return _finite(numbers, bins, not_finite)


def _number(value: object, null: int, not_finite: int, wrong_type: int) -> tuple[float, int]:
    if value is None:
        return 0.0, null
    if not isinstance(value, (float, int)):
        return 0.0, wrong_type
    try:
        return float(value), NONE
    except OverflowError:
        return 0.0, not_finite


def spread(rows: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
    """Give the rows of all events one after the other, and the event of each."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    return np.concatenate(rows), np.repeat(np.arange(len(rows)), lengths)
