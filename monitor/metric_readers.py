"""How the samples of metrics are read from a snapshot: each function gives a reader, or is one. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isnan
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias, TypeVar

import numpy as np

from monitor.domain import (
    DRILL_MODEL,
    Alert,
    AlertState,
    ModelStatus,
    Rejection,
    Snapshot,
    StatisticTable,
    StreamKey,
)
from monitor.objectives import ErrorBudget
from monitor.upkeep import CourtStatus, Delays, HalfStatus
from monitor.versions import GateStatus

Labels: TypeAlias = tuple[str, ...]
Sample: TypeAlias = tuple[Labels, float]
Source = TypeVar("Source")
Item = TypeVar("Item")
Reader: TypeAlias = Callable[[Source], Iterable[Sample]]

SUM: Final = "_sum"
COUNT: Final = "_count"
"""What takes the place of a bucket's bound in a histogram's samples of all buckets together."""


def one(value: Callable[[Snapshot], float | None]) -> Reader[Snapshot]:
    """Read a number without labels; None: unknown."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        number = value(snapshot)
        if number is not None:
            yield (), float(number)

    return read


def by_name(totals: Callable[[Snapshot], Mapping[str, int]]) -> Reader[Snapshot]:
    """Read a total of every name."""
    return lambda snapshot: (((name,), total) for name, total in totals(snapshot).items())


def by_pair(totals: Callable[[Snapshot], Mapping[tuple[str, str], int]]) -> Reader[Snapshot]:
    """Read a total of every pair of names."""
    return lambda snapshot: totals(snapshot).items()


def by_topic(totals: Callable[[Snapshot], Mapping[str, int]]) -> Reader[Snapshot]:
    """Read a total of every topic that anything was received from, 0 where there is none."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        found = totals(snapshot)
        return (((topic,), found.get(topic, 0)) for topic in {**snapshot.picture.received, **found})

    return read


def breakers(snapshot: Snapshot) -> Iterator[Sample]:
    """Read which breakers are open, of the partitions that are read here now."""
    for topic, number in (partition.source for partition in snapshot.partitions):
        yield (topic, str(number)), float((topic, number) in snapshot.dead_letters.broken)


def rejected(snapshot: Snapshot) -> Iterator[Sample]:
    """Read rejections, 0 for reasons that did not occur yet: 14 series per topic."""
    rejected = snapshot.picture.rejected
    every = {(topic, str(reason)): 0 for topic in snapshot.picture.received for reason in Rejection}
    return iter({**every, **rejected}.items())


def each(
    items: Callable[[Snapshot], Iterable[Item]], labels: Callable[[Item], Labels]
) -> Callable[[Callable[[Item], float | None]], Reader[Snapshot]]:
    """Give a maker of readers: one number of each item; None: unknown."""

    def reader(value: Callable[[Item], float | None]) -> Reader[Snapshot]:
        def read(snapshot: Snapshot) -> Iterator[Sample]:
            for item in items(snapshot):
                number = value(item)
                if number is not None:
                    yield labels(item), float(number)

        return read

    return reader


of_partitions: Final = each(lambda s: s.partitions, lambda p: (p.source.topic, str(p.source.partition)))
of_models: Final = each(lambda s: s.picture.models, lambda m: (m.model, m.model_version))
of_sinks: Final = each(lambda s: s.sinks, lambda k: (k.name,))


def of_fold(value: Callable[[HalfStatus], float]) -> Callable[[Snapshot], float | None]:
    """Read a number that only a fold has."""
    return lambda snapshot: value(snapshot.picture.half) if snapshot.picture.half.role == "fold" else None


class CourtSeen(NamedTuple):
    """A court, and when it was looked at."""

    number: int
    status: CourtStatus
    now_s: float


of_courts: Final = each(
    lambda s: (CourtSeen(number, status, s.wall_s) for number, status in s.picture.half.courts.items()),
    lambda c: (str(c.number),),
)


def sink_failures(snapshot: Snapshot) -> Iterator[Sample]:
    """Read how often telling a receiver failed, by reason."""
    for status in snapshot.sinks:
        for reason, count in status.failed.items():
            yield (status.name, reason), count


def model_states(snapshot: Snapshot) -> Iterable[Sample]:
    """Read how many model versions are in each state, 0 for those in which none is."""
    states = Counter(status.state for status in snapshot.picture.models)
    return (((state,), states[state]) for state in {"learning": 0, "ready": 0, **states})


def references(snapshot: Snapshot) -> Iterator[Sample]:
    """Read which reference each model version is judged by, and where that is from."""
    for status in snapshot.picture.models:
        if status.reference:
            yield (status.model, status.model_version, status.reference, *status.lineage), 1.0


def alert_counts(snapshot: Snapshot) -> Iterable[Sample]:
    """Read how many alerts there are of each model, rule, severity and state."""

    def labels(alert: Alert) -> Labels:
        return (alert.key.model, alert.rule, alert.severity.label, str(alert.state))

    return Counter(map(labels, snapshot.picture.alerts)).items()


def firing(snapshot: Snapshot) -> Iterator[Sample]:
    """Read which alerts fire."""
    for alert in snapshot.picture.alerts:
        if alert.state is AlertState.FIRING:
            key = alert.key
            yield (key.model, key.model_version, alert.rule, key.field, key.segment, alert.severity.label), 1.0


def detection_delays(snapshot: Snapshot) -> Iterator[Sample]:
    """Read how long it took from onset to decision, of the loop, and to each receiver."""
    yield from _histogram(("decision", ""), snapshot.pages.decided)
    yield from _histogram(("lag", ""), snapshot.pages.behind)
    for status in snapshot.sinks:
        yield from _histogram(("delivery", status.name), status.delays)


def resolution_delays(snapshot: Snapshot) -> Iterator[Sample]:
    """Read how long alerts fired."""
    yield from _histogram((), snapshot.pages.resolved)


def _histogram(labels: Labels, delays: Delays) -> Iterator[Sample]:
    total = 0
    for bound_s, count in zip((*map(str, delays.bounds_s), "+Inf"), delays.counts, strict=True):
        total += count
        yield (*labels, bound_s), total
    yield (*labels, SUM), delays.sum_s
    yield (*labels, COUNT), total


def budget_spent(snapshot: Snapshot) -> Iterator[Sample]:
    """Read what each model has spent, 0 where it had no page, so that its first one is seen as a step."""
    spent = snapshot.pages.spent
    for status in snapshot.picture.models:
        if status.model != DRILL_MODEL:
            yield (status.model, status.model_version), spent.get((status.model, status.model_version), 0.0)


def kpis(attribute: str) -> Reader[Snapshot]:
    """Read the KPIs, or an end of their intervals where it is known."""
    get = attrgetter(attribute)

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for kpi in snapshot.picture.kpis:
            number = float(get(kpi))
            if not isnan(number):
                yield (kpi.model, kpi.model_version, kpi.segment, kpi.window, kpi.name), number

    return read


def last_event_s(status: ModelStatus) -> float | None:
    """Give when a model's newest event was, None before the first."""
    return status.last_event_s if 0 < status.last_event_s < float("inf") else None


# ---- statistics of streams


def _rows(
    snapshot: Snapshot, statistics: Iterable[str]
) -> Iterator[tuple[StatisticTable, Iterable[tuple[StreamKey, float]]]]:
    """Give the tables of some statistics, each with its streams and their values."""
    keys = snapshot.picture.keys
    for table in snapshot.picture.tables:
        if table.name in statistics:
            known = ~np.isnan(table.values)
            rows, values = table.rows[known].tolist(), table.values[known].tolist()
            yield table, zip(map(keys.__getitem__, rows), values, strict=True)


def of_streams(statistic: str) -> Reader[Snapshot]:
    """Read one statistic of all streams."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for table, rows in _rows(snapshot, (statistic,)):
            window = (table.window,)
            for key, value in rows:
                yield key + window, value

    return read


def of_fields(what: tuple[Mapping[str, Labels], Mapping[str, Labels]]) -> Reader[Snapshot]:
    """Read statistics of fields that have a metric of their own, with what tells them apart in it."""
    statistics, fields = what

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for table, rows in _rows(snapshot, statistics):
            told = statistics[table.name]
            for (model, version, field, segment), value in rows:
                if field in fields:
                    yield (model, version, *fields[field], segment, table.window, *told), value

    return read


def of_others(statistics: Mapping[str, Labels], but: frozenset[str]) -> Reader[Snapshot]:
    """Read statistics of fields that have no metric of their own, so that no stream is silently left out."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for table, rows in _rows(snapshot, statistics):
            told = (table.window, *statistics[table.name])
            for key, value in rows:
                if key[2] not in but:
                    yield key + told, value

    return read


def burns(snapshot: Snapshot) -> Iterator[Sample]:
    """Read how fast error budgets are spent, by rule and window."""
    for own in snapshot.picture.budgets:
        yield from (((*own[:4], window, own.rule), burn) for window, burn in own.burns.items())


def of_budgets(value: Callable[[ErrorBudget], float]) -> Reader[Snapshot]:
    """Read a number of every error budget; NaN, where there were no events, has no sample."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        found = (((*own[:4], own.rule), value(own)) for own in snapshot.picture.budgets)
        return (sample for sample in found if not math.isnan(sample[1]))

    return read


def by_criterion(values: Callable[[GateStatus], Mapping[str, float]]) -> Reader[Snapshot]:
    """Read a number of each criterion of each gate."""
    return lambda snapshot: (
        ((gate.model, gate.incumbent, gate.candidate, name), float(value))
        for gate in snapshot.gates
        for name, value in values(gate).items()
    )
