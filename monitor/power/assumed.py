"""A made-up reference for models of which nothing is known but the traffic: independent values of common shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from monitor.bins import (
    FLAGS_WIDTH,
    LOGS_WIDTH,
    NO,
    NUMERIC_INNER,
    VALUE_BINS,
    VALUES_WIDTH,
    YES,
    log_edges,
    numeric_edges,
)
from monitor.domain import CountArray, FloatArray, Kind
from monitor.fields import EXPONENTS, FEATURE_PREFIX, FIELDS, VOLUME
from monitor.references import Grid, Reference, StreamReference, categorical_groups, numeric_groups
from monitor.rules import Rule

NUMBERS: Final = 10
CATEGORIES: Final = 3
"""Features that a model is assumed to have."""
WORDS: Final = (
    f"assumed: {NUMBERS} normal features and {CATEGORIES} of five categories, lognormal latency (sigma 0.6), yes/no"
    " rates of 1 %, or half of an absolute limit; independent values"
)
SIGMA: Final = 0.6
RATE: Final = 0.01
SHARES: Final = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
GRID: Final = Grid(0.0, 1.0, -0.8, 1.6 / NUMERIC_INNER)
"""Four standard deviations either way, as squashed."""
QUANTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
NO_GROUPS: Final = np.empty(0, dtype=np.int64)


def assumed_reference(name: str, rules: Sequence[Rule], events: int, events_per_s: float) -> Reference:
    """Give the reference that a model with such rules might learn from so many events."""
    fields = [f"{FEATURE_PREFIX}number_{at + 1}" for at in range(NUMBERS)]
    names = [f"{FEATURE_PREFIX}category_{at + 1}" for at in range(CATEGORIES)]
    streams = [
        *(_numeric(field, events) for field in fields),
        *(_categorical(field, events) for field in names),
        *(_fixed(field, kind, rules, events) for field, kind in FIELDS.items()),
        StreamReference(VOLUME, "", Kind.VOLUME, _flags(events, 0), NO_GROUPS),
    ]
    watched = [stream for stream in streams if any(rule.watches(stream.field) for rule in rules)]
    return Reference(name, "", "assumed", 0.0, events / events_per_s, events, tuple(watched))


def _fixed(field: str, kind: Kind, rules: Sequence[Rule], events: int) -> StreamReference:
    own = [rule for rule in rules if rule.watches(field)]
    if kind is Kind.YES_NO:
        limit = _absolute(own, "yes_rate")
        yes = round(events * (RATE if limit is None else 0.5 * limit))
        return StreamReference(field, "", kind, _flags(events - yes, yes), NO_GROUPS)
    if kind is Kind.LOG:
        return _log(field, _median(own), events)
    return _numeric(field, events) if kind is Kind.NUMERIC else _categorical(field, events)


def _median(rules: Sequence[Rule]) -> float:
    """Give the median with which the quantile that has an absolute limit is at two thirds of it; else a second."""
    for statistic, quantile in QUANTILES.items():
        limit = _absolute(rules, statistic)
        if limit is not None:
            return limit / 1.5 / float(np.exp(SIGMA * ndtri(quantile)))
    return 1.0


def _absolute(rules: Sequence[Rule], statistic: str) -> float | None:
    levels = [level for rule in rules if rule.statistic == statistic for level in (rule.yellow, rule.red)]
    return min((level.value for level in levels if level is not None and not level.is_relative), default=None)


def _numeric(field: str, events: int) -> StreamReference:
    edges = numeric_edges(*(np.array([v]) for v in (GRID.centre, GRID.width, GRID.low, GRID.step)))[0]
    counts = _counted(ndtr(edges), events, VALUES_WIDTH)
    return StreamReference(field, "", Kind.NUMERIC, counts, numeric_groups(counts), grid=GRID)


def _categorical(field: str, events: int) -> StreamReference:
    counts = np.zeros(VALUES_WIDTH, dtype=np.uint32)
    counts[: len(SHARES)] = np.round(SHARES * events)
    names = tuple(f"value_{at + 1}" for at in range(len(SHARES)))
    return StreamReference(
        field, "", Kind.CATEGORICAL, counts, categorical_groups(counts, len(SHARES)), categories=names
    )


def _log(field: str, median: float, events: int) -> StreamReference:
    exponent = EXPONENTS[field]
    below = ndtr(np.log(log_edges(exponent) / median) / SIGMA)
    return StreamReference(field, "", Kind.LOG, _counted(below, events, LOGS_WIDTH), NO_GROUPS, exponent=exponent)


def _counted(below: FloatArray, events: int, width: int) -> CountArray:
    """Give the counts of value bins by the shares below their inner edges, rounded so that their sum is kept."""
    until = np.round(np.concatenate([below, [1.0]]) * events)
    counts = np.zeros(width, dtype=np.uint32)
    counts[: len(until)] = np.diff(until, prepend=0.0)
    return counts


def _flags(no: int, yes: int) -> CountArray:
    counts = np.zeros(FLAGS_WIDTH, dtype=np.uint32)
    counts[NO], counts[YES] = no, yes
    return counts


assert VALUE_BINS == NUMERIC_INNER + 2
