"""The courts of one process: those whose partitions of the topic of deltas are its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

import numpy as np

from monitor.absences import Missing
from monitor.court import Step
from monitor.delta_court import DeltaCourt
from monitor.deltas import Post
from monitor.domain import Alert, Batch, Gap, Picture, StatisticTable, StreamKey, TopicPartition, Transition
from monitor.kept import Section, State
from monitor.layouts import Layout
from monitor.pipeline_terms import PipelineTerms
from monitor.quality import JoinStatus
from monitor.references import Reference
from monitor.segment_hits import segments_of_all
from monitor.upkeep import HalfStatus

K = TypeVar("K")
T = TypeVar("T")

NAME: Final = "court"
NOBODY: Final = Picture(None, {}, {}, {}, {}, {}, {}, {}, {}, 0, 0, 0, 0, (), (), (), (), {})


class Comings(Protocol):
    """Who opens and closes courts as their partitions come and go; see succession.Succession."""

    def close_gone(self, house: CourtHouse) -> None:
        """Close the courts that are not ours any more. Called before messages are taken in."""
        ...

    def open_due(self, house: CourtHouse) -> None:
        """Open those that are. Called twice a second, with no messages in hand: what was read before is of no use."""
        ...

    def expected(self) -> Sequence[TopicPartition]:
        """Give the partitions that are ours and whose courts are not open yet."""
        ...


class CourtHouse:
    """Gives each open court its posts; those of others are passed over, to be read when their court is open.

    make: a court that knows nothing yet. tell: lets the folds know of new layouts. Only one thread may call it.
    """

    def __init__(
        self, make: Callable[[], DeltaCourt], tell: Callable[[Sequence[Layout]], None], comings: Comings
    ) -> None:
        self._make = make
        self._tell = tell
        self._comings = comings
        self._terms: PipelineTerms | None = None
        self._courts: dict[int, DeltaCourt] = {}
        self._missing = Missing()

    # ---- courts

    @property
    def courts(self) -> Mapping[int, DeltaCourt]:
        """The open ones, by number; a view, not a copy."""
        return MappingProxyType(self._courts)

    def open(self, number: int, states: Mapping[str, State]) -> list[Transition]:
        """Open a court that goes on where its sections left it; {}: it begins. Give the alerts that this ends.

        Raises StateError where they can't be read.
        """
        court = self._make()
        if states:
            court.restore(states)
        ended = [] if self._terms is None else court.replan(self._terms)
        self._courts[number] = court
        self._tell(court.known_layouts())
        return ended

    def close(self, number: int) -> None:
        """Forget a court; one that is not open does nothing."""
        self._courts.pop(number, None)

    # ---- posts

    def step(self, batch: Batch, now_s: float) -> Step:  # noqa: ARG002 - courts go by the clock of the senders
        """Take in posts. Raises StateError for one that can't be read: to pass it over would lose what it holds."""
        self._comings.close_gone(self)
        step = Step()
        for at, (number, value) in enumerate(zip(batch.partitions, batch.values, strict=True)):
            source = batch.sources[number]
            court = self._courts.get(source.partition)
            if court is None:
                continue
            offset = batch.offsets[at] if len(batch.offsets) else at
            post = Post.decode(value or b"", f"topic {source.topic!r}, partition {source.partition}, offset {offset}")
            found = court.take(post)
            step.transitions += found.transitions
            step.references += found.references
            step.annotations += found.annotations
            if made := court.layouts():  # after each post: which layouts there are must not hang on where batches end
                self._tell(made)
        return step

    def assign(self, partitions: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - the comings know
        """Close the courts that are not ours any more."""
        self._comings.close_gone(self)

    def idle(self, idle: Iterable[TopicPartition], quiet_s: float, now_s: float) -> Step:  # noqa: ARG002 - as in step
        """See which courts come and go. Else nothing happens without a post: folds send them also when all is quiet."""
        self._comings.close_gone(self)
        self._comings.open_due(self)
        return Step()

    def lose(self, gaps: Sequence[Gap]) -> None:
        """Of no effect: each court finds by offsets what is missing of events."""

    def ahead(self) -> Sequence[TopicPartition]:
        """Give those whose courts are not open yet; open courts take what comes."""
        return self._comings.expected()

    @property
    def missing(self) -> Missing:
        """Of no effect: each court finds by offsets what is missing of events."""
        return self._missing

    # ---- from one process, or configuration, to the next

    def sections(self) -> Iterator[Section]:
        """Give all that is known, court by court."""
        for number, court in self._courts.items():
            for section in court.sections():
                yield section._replace(name=f"{NAME}/{number}/{section.name}")

    def saved(self) -> None:
        """Nothing waits for it."""

    def restore(self, states: Mapping[str, State]) -> None:
        """Of no effect: courts go on as their partitions come, see `open`."""

    def replan(self, terms: PipelineTerms) -> list[Transition]:
        """Go by other plans from the next look on, also in courts to come; give the alerts that this ends."""
        self._terms = terms
        return [each for court in self._courts.values() for each in court.replan(terms)]

    # ---- what there is to see

    @property
    def alerts(self) -> Sequence[Alert]:
        """The alerts that are pending or firing."""
        return [alert for court in self._courts.values() for alert in court.alerts]

    def references(self, models: Sequence[Sequence[str]]) -> list[Reference]:
        """Give the references of some model versions."""
        return [each for court in self._courts.values() for each in court.references(models)]

    def picture(self) -> Picture:
        """Give all numbers of all courts; the event time is that of the last of them."""
        courts = self._courts
        half = HalfStatus(
            role="judge",
            unclaimed=len(self._comings.expected()),
            courts={number: court.status for number, court in courts.items()},
            verdicts=_summed(court.verdicts for court in courts.values()),
        )
        return replace(together([court.picture() for court in courts.values()]), half=half)


def together(pictures: Sequence[Picture]) -> Picture:
    """Give one picture of several of different models."""
    if not pictures:
        return NOBODY
    keys: list[StreamKey] = []
    tables: dict[tuple[str, str], list[StatisticTable]] = {}
    for picture in pictures:
        for table in picture.tables:
            tables.setdefault((table.name, table.window), []).append(replace(table, rows=table.rows + len(keys)))
        keys += picture.keys
    times_s = [picture.watermark_s for picture in pictures]
    known_s = [time_s for time_s in times_s if time_s is not None]
    return Picture(
        watermark_s=min(known_s) if known_s else None,
        received=_summed(each.received for each in pictures),
        counted=_summed(each.counted for each in pictures),
        rejected=_summed(each.rejected for each in pictures),
        late=_summed(each.late for each in pictures),
        duplicate=_summed(each.duplicate for each in pictures),
        clamped=_summed(each.clamped for each in pictures),
        schema_changes=_summed(each.schema_changes for each in pictures),
        overflow=_summed(each.overflow for each in pictures),
        series_dropped=sum(each.series_dropped for each in pictures),
        looks=sum(each.looks for each in pictures),
        open_panes=sum(each.open_panes for each in pictures),
        streams=sum(each.streams for each in pictures),
        models=_all(each.models for each in pictures),
        keys=tuple(keys),
        tables=tuple(_joined(found) for found in tables.values()),
        alerts=_all(each.alerts for each in pictures),
        transitions=_summed(each.transitions for each in pictures),
        drift_looks=_summed(each.drift_looks for each in pictures),
        anomalies=_all(each.anomalies for each in pictures),
        join=_join_of_all([each.join for each in pictures]),
        budgets=_all(each.budgets for each in pictures),
        kpis=_all(each.kpis for each in pictures),
        modes=_all(each.modes for each in pictures),
        releases=_all(each.releases for each in pictures),
        segments=segments_of_all([each.segments for each in pictures if each.segments is not None]),
    )


def _join_of_all(parts: Sequence[JoinStatus]) -> JoinStatus:
    return JoinStatus(
        is_on=any(each.is_on for each in parts),
        outcomes=_summed(each.outcomes for each in parts),
        pending=sum(each.pending for each in parts),
        waiting=sum(each.waiting for each in parts),
        expired=sum(each.expired for each in parts),
        forgotten=sum(each.forgotten for each in parts),
        nbytes=sum(each.nbytes for each in parts),
    )


def _joined(tables: Sequence[StatisticTable]) -> StatisticTable:
    rows, values = (np.concatenate([getattr(table, name) for table in tables]) for name in ("rows", "values"))
    return replace(tables[0], rows=rows, values=values)


def _all(parts: Iterable[Sequence[T]]) -> tuple[T, ...]:
    return tuple(chain.from_iterable(parts))


def _summed(counters: Iterable[Mapping[K, int]]) -> Counter[K]:
    total: Counter[K] = Counter()
    for counter in counters:
        total.update(counter)
    return total
