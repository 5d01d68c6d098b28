"""What a reference says of its streams, set on their rows: many at once, since a restart sets those of all models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.bins import VALUES_WIDTH, Arena
from monitor.domain import IntArray, Kind
from monitor.freezing import Bins, arranged, order_of
from monitor.references import StreamReference
from monitor.rows import Rows, ValueRows
from monitor.sequential.learning import normal_of
from monitor.sequential.normal import Normal

IN_PLACE: Final = np.arange(VALUES_WIDTH)

Normals = dict[tuple[Arena, int], Normal]
"""What is normal, by arena and row."""


def set_references(rows: Rows, at: Sequence[int], streams: Sequence[StreamReference], normals: Normals) -> None:
    """Make parts of references those of the rows `at`, in the order of a row's categories if it has any already.

    normals: where to put what is normal for the rows. Cost: 3 us per stream.
    """
    if not at:
        return
    orders = [_order(rows, row, stream) for row, stream in zip(at, streams, strict=True)]
    each = list(zip(at, streams, orders, strict=True))
    rows.reference[at] = [_arranged(stream.counts, order) for _, stream, order in each]
    rows.is_learning[at] = False
    rows.exponents[at] = [stream.exponent for stream in streams]
    for row, stream, order in each:
        normal = stream.normal or normal_of(rows.arena, stream.counts, stream.kind)
        if normal is not None and order is not IN_PLACE:
            normal = replace(normal, classes=arranged(normal.classes, order))
        if normal is not None:
            normals[rows.arena, row] = normal
    if isinstance(rows, ValueRows):
        rows.set_grids({row: stream.grid for row, stream, _ in each if stream.grid is not None})
        rows.set_groups({row: _arranged(stream.groups, order) for row, stream, order in each if stream.groups.size})


def _arranged(bins: Bins, order: IntArray) -> Bins:
    return bins if order is IN_PLACE else arranged(bins, order)


def _order(rows: Rows, row: int, stream: StreamReference) -> IntArray:
    """Give the row's bin of each bin of a reference; a row without categories takes those of the reference."""
    if stream.kind is not Kind.CATEGORICAL or not isinstance(rows, ValueRows):
        return IN_PLACE
    categories = rows.categories[row]
    if categories.names:
        return order_of(categories.names, stream.categories)
    categories.close(stream.categories, is_complete=stream.is_complete)
    return IN_PLACE
