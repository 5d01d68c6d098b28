"""Values as counted, and how features that were read by column become such. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.bins import NULL, VALUES_WIDTH, WIDTHS, Arena, numeric_bin
from monitor.decode.base import Features
from monitor.decode.blocks import BlockFeatures, BlockRow
from monitor.decode.lanes import Lane, LaneFeatures, lane_of
from monitor.domain import BoolArray, FloatArray, IntArray
from monitor.numbers import NONE
from monitor.scopes import LaneTable


@dataclass(frozen=True, slots=True)
class Hits:
    """Values as counted: flat bins (row * width + bin) of one arena, and each one's event in the batch; shape (n,)."""

    arena: Arena
    flat: IntArray
    events: IntArray


def hits_of(arena: Arena, rows: IntArray, bins: IntArray, events: IntArray) -> Hits:
    """Give the hits of the values that have a stream and a bin."""
    counted = (rows != NONE) & (bins != NONE)
    if not counted.all():
        rows, bins, events = rows[counted], bins[counted], events[counted]
    return Hits(arena, rows * WIDTHS[arena] + bins, events)


def lanes_of(features: Sequence[Features]) -> Iterator[tuple[Lane, BoolArray | None]]:
    """Give the lanes by which some features were read, and which events are of each; None: all."""
    if isinstance(features, BlockFeatures):
        yield features.block.lane, None
        return
    kinds = set(map(type, features))
    for kind in kinds:
        if issubclass(kind, LaneFeatures):
            is_own = None if len(kinds) == 1 else np.array([type(f) is kind for f in features], dtype=bool)
            yield lane_of(kind), is_own
    if BlockRow in kinds:
        blocks = [own.block if isinstance(own, BlockRow) else None for own in features]
        numbers = np.fromiter(map(id, blocks), np.int64, len(blocks))
        for block in set(blocks):
            if block is not None:
                yield block.lane, numbers == id(block)


def hits_of_numbers(table: LaneTable, numbers: FloatArray, scopes: IntArray, events: IntArray) -> Hits:
    """Count finite numbers of a lane's features, shape (features, n); NaN: null."""
    is_null = np.isnan(numbers)
    has_nulls = bool(is_null.any())
    if has_nulls:
        numbers = np.where(is_null, 0.0, numbers)
    if (scopes == scopes[0]).all():
        bins = numeric_bin(numbers, *table.grid[:, scopes[0], :, None])
        if has_nulls:
            bins[is_null] = NULL
        bins += (table.numbers[scopes[0]] * VALUES_WIDTH)[:, None]
        return Hits(Arena.VALUES, bins.ravel(), np.tile(events, len(numbers)))
    bins = numeric_bin(np.ascontiguousarray(numbers.T), *table.grid[:, scopes])
    if has_nulls:
        bins[is_null.T] = NULL
    bins += table.numbers[scopes] * VALUES_WIDTH
    return Hits(Arena.VALUES, bins.ravel(), np.repeat(events, len(numbers)))
