"""The freeze: what a row has learned as the part of a reference, in which categories are in alphabetical order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from monitor.bins import VALUE_BINS, VALUE_SPANS, VALUES_WIDTH
from monitor.domain import IntArray, Kind
from monitor.references import StreamReference, categorical_groups, numeric_groups
from monitor.rows import Rows, ValueRows
from monitor.sequential.features import FEATURES, SCORE_COUNTS
from monitor.sequential.learning import Learner
from monitor.sequential.normal import Normal

Bins = TypeVar("Bins", bound=npt.NDArray[Any])


def order_of(names: Sequence[str], categories: Sequence[str]) -> IntArray:
    """Give the row's bin of each bin of a reference, shape (VALUES_WIDTH,).

    names: of the row's categories, in the order in which they came. categories: of the reference, which has them in
    alphabetical order where they are the same.
    """
    order = np.arange(VALUES_WIDTH)
    ordered = np.argsort(np.array(names, dtype=object), kind="stable")
    if [names[at] for at in ordered.tolist()] == list(categories):
        order[: len(names)] = ordered
    return order


def arranged(bins: Bins, order: IntArray) -> Bins:
    """Give what a reference says of each value bin by the bins of the row."""
    own: Bins = np.empty_like(bins)
    own[order[: len(bins)]] = bins
    return own


def learned_normal(rows: Rows, row: int, learner: Learner) -> Normal | None:
    """Give what is normal for a stream, as a file will hold it: live and after a restart it judges alike.

    The row learns no more of it.
    """
    if rows.kinds[row] is Kind.VOLUME:
        return None
    counts = rows.reference[row][: VALUE_SPANS[rows.arena]]
    normal = learner.finish(row, counts, rows.kinds[row])
    return normal and normal.rounded(FEATURES[rows.arena].shape[1], SCORE_COUNTS[rows.arena])


def frozen(rows: Rows, row: int, normal: Normal | None) -> StreamReference | None:
    """Make what a row has learned its reference, and give it; None where it stays without one: too few values."""
    rows.is_learning[row] = False
    key, kind, counts = rows.keys[row], rows.kinds[row], rows.reference[row].copy()
    if isinstance(rows, ValueRows):
        if kind is Kind.CATEGORICAL:
            return _frozen_categories(rows, row, normal)
        grid = rows.get_grid(row)
        if grid is None:
            return None  # too few values to place a grid
        groups = numeric_groups(counts)
        rows.set_groups({row: groups})
        return StreamReference(key.field, key.segment, kind, counts, groups, grid=grid, normal=normal)
    exponent, none = int(rows.exponents[row]), np.empty(0, dtype=np.int8)
    return StreamReference(key.field, key.segment, kind, counts, none, exponent=exponent, normal=normal)


def _frozen_categories(rows: ValueRows, row: int, normal: Normal | None) -> StreamReference:
    """Freeze a categorical row: in the reference in alphabetical order; here the bins stay where they are."""
    key, counts, categories = rows.keys[row], rows.reference[row], rows.categories[row]
    categories.is_open = False
    names = tuple(sorted(categories.names))
    order = order_of(categories.names, names)
    groups = categorical_groups(counts[order], len(names))
    rows.set_groups({row: arranged(groups, order)})
    return StreamReference(
        key.field,
        key.segment,
        Kind.CATEGORICAL,
        counts[order],
        groups,
        categories=names,
        is_complete=categories.is_complete,
        normal=normal and replace(normal, classes=normal.classes[order[:VALUE_BINS]]),
    )
