"""Rows turned into the streams of a cell, as the join counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from monitor.bins import (
    CATEGORIES_MAX,
    FLAGS_WIDTH,
    LOGS_WIDTH,
    NO,
    OTHER,
    VALUES_WIDTH,
    YES,
    log_bin,
    numeric_bin,
)
from monitor.domain import BoolArray, FloatArray, Kind
from monitor.kpis.base import UNIT_GRID, Cell, StreamCounts
from monitor.references import Grid

Column = Sequence[float] | FloatArray | BoolArray
EXPONENT = -14


def flags(yes: int, no: int) -> StreamCounts:
    counts = np.zeros(FLAGS_WIDTH, dtype=np.int64)
    counts[[YES, NO]] = yes, no
    return StreamCounts(Kind.YES_NO, counts)


def flags_from(values: Column) -> StreamCounts:
    column = np.asarray(values, dtype=bool)
    return flags(int(column.sum()), int((~column).sum()))


def logs(values: Column, exponent: int = EXPONENT) -> StreamCounts:
    column = np.asarray(values, dtype=np.float64)
    bins = log_bin(column, np.full(len(column), exponent))
    return StreamCounts(Kind.LOG, np.bincount(bins, minlength=LOGS_WIDTH), exponent=exponent)


def numbers(values: Column, grid: Grid = UNIT_GRID) -> StreamCounts:
    column = np.asarray(values, dtype=np.float64)
    place = (np.array(x) for x in (grid.centre, grid.width, grid.low, grid.step))
    return StreamCounts(Kind.NUMERIC, np.bincount(numeric_bin(column, *place), minlength=VALUES_WIDTH), grid)


def names(values: Sequence[str], categories: Sequence[str] | None = None) -> StreamCounts:
    known = tuple(dict.fromkeys(values) if categories is None else categories)[:CATEGORIES_MAX]
    counts = np.zeros(VALUES_WIDTH, dtype=np.int64)
    for value in values:
        counts[known.index(value) if value in known else OTHER] += 1
    return StreamCounts(Kind.CATEGORICAL, counts, categories=known)


def modes(**counts: int) -> Cell:
    return {"failure_mode": names([name for name, n in counts.items() for _ in range(n)], [*counts])}


def binary(scores: Column, labels: Column, cut: float = 0.5) -> Cell:
    """Give the streams of a binary classifier that predicts positive from `cut` on."""
    score, label = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    predicted = score >= cut
    right = predicted == label
    given = np.clip(np.where(label, score, 1.0 - score), 1e-15, 1.0)
    pairs = [f"{'yes' if p else 'no'} > {'yes' if y else 'no'}" for p, y in zip(predicted, label, strict=True)]
    return {
        "correct": flags_from(right),
        "precision": flags_from(label[predicted]),
        "recall": flags_from(predicted[label]),
        "specificity": flags_from(~predicted[~label]),
        "confusion": names(pairs, [f"{p} > {y}" for p in ("yes", "no") for y in ("yes", "no")]),
        "score": numbers(score),
        "score_positive": numbers(score[label]),
        "score_negative": numbers(score[~label]),
        "score_right": numbers(score[right]),
        "score_wrong": numbers(score[~right]),
        "brier": logs((score - label) ** 2, -26),
        "log_loss": logs(-np.log(given), -20),
    }


def several(predicted: Sequence[str], labelled: Sequence[str]) -> Cell:
    """Give the streams of a classifier of several classes."""
    return {"confusion": names([f"{p} > {y}" for p, y in zip(predicted, labelled, strict=True)])}


def regression(predicted: Column, labels: Column) -> Cell:
    """Give the streams of a regression."""
    gap = np.asarray(predicted, dtype=np.float64) - np.asarray(labels, dtype=np.float64)
    return {
        "abs_error": logs(np.abs(gap)),
        "squared_error": logs(gap**2),
        "over_error": logs(np.maximum(gap, 0.0)),
        "under_error": logs(np.maximum(-gap, 0.0)),
    }


def added(first: Cell, second: Cell) -> Mapping[str, StreamCounts]:
    """Give the counts of both cells, which have the same fields."""
    return {field: first[field] + second[field] for field in first}
