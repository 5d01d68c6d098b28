"""The courts of one process: those whose partitions of the topic of deltas are its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np

from monitor.absences import Missing
from monitor.court import Step
from monitor.delta_court import DeltaCourt
from monitor.deltas import Post
from monitor.domain import Alert, Batch, Picture, StatisticTable, StreamKey, TopicPartition, Transition
from monitor.kept import Section, State
from monitor.layouts import Layout
from monitor.pipeline_terms import PipelineTerms
from monitor.references import Reference

K = TypeVar("K")

NAME: Final = "court"
NOBODY: Final = Picture(None, {}, {}, {}, {}, {}, {}, {}, {}, 0, 0, 0, 0, (), (), (), (), {})


class CourtHouse:
    """Gives each court its posts. make: a court that knows nothing yet. tell: lets the folds know of new layouts.

    forget: called for each partition whose court is closed here, to be read from where its state says when it is back.
    Only one thread may call it.
    """

    def __init__(
        self,
        make: Callable[[], DeltaCourt],
        tell: Callable[[Sequence[Layout]], None],
        topic: str,
        forget: Callable[[TopicPartition], None],
    ) -> None:
        self._make = make
        self._tell = tell
        self._topic = topic
        self._forget = forget
        self._courts: dict[int, DeltaCourt] = {}
        self._missing = Missing()

    # ---- posts

    def step(self, batch: Batch, now_s: float) -> Step:  # noqa: ARG002 - courts go by the clock of the senders
        """Take in posts. Raises StateError for one that can't be read: to pass it over would lose what it holds."""
        step = Step()
        for at, (number, value) in enumerate(zip(batch.partitions, batch.values, strict=True)):
            source = batch.sources[number]
            offset = batch.offsets[at] if len(batch.offsets) else at
            post = Post.decode(value or b"", f"topic {source.topic!r}, partition {source.partition}, offset {offset}")
            court = self._court(source.partition)
            found = court.take(post)
            step.transitions += found.transitions
            step.references += found.references
            if made := court.layouts():  # after each post: which layouts there are must not hang on where batches end
                self._tell(made)
        return step

    def _court(self, number: int) -> DeltaCourt:
        if number not in self._courts:
            self._courts[number] = self._make()
        return self._courts[number]

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Say which partitions there are; courts of others are closed here."""
        wanted = {source.partition for source in partitions}
        for number in self._courts.keys() - wanted:
            del self._courts[number]
            self._forget(TopicPartition(self._topic, number))

    def idle(self, idle: Iterable[TopicPartition], quiet_s: float, now_s: float) -> Step:  # noqa: ARG002 - as in step
        """Nothing happens without a post: folds send them also when there is nothing to tell."""
        return Step()

    def ahead(self) -> Sequence[TopicPartition]:
        """None: courts take what comes."""
        return ()

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
        """Go on where `sections` left it."""
        by_court: dict[int, dict[str, State]] = {}
        for name, state in states.items():
            kind, _, rest = name.partition("/")
            if kind == NAME:
                number, _, own = rest.partition("/")
                by_court.setdefault(int(number), {})[own] = state
        for court, kept in by_court.items():
            self._court(court).restore(kept)
            self._tell(self._court(court).known_layouts())

    def replan(self, terms: PipelineTerms) -> list[Transition]:
        """Go by other plans from the next look on; give the alerts that this ends."""
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
        return together([court.picture() for court in self._courts.values()])


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
        models=tuple(model for each in pictures for model in each.models),
        keys=tuple(keys),
        tables=tuple(_joined(found) for found in tables.values()),
        alerts=tuple(alert for each in pictures for alert in each.alerts),
        transitions=_summed(each.transitions for each in pictures),
        anomalies=tuple(score for each in pictures for score in each.anomalies),
        releases=tuple(model for each in pictures for model in each.releases),
    )


def _joined(tables: Sequence[StatisticTable]) -> StatisticTable:
    rows, values = (np.concatenate([getattr(table, name) for table in tables]) for name in ("rows", "values"))
    return replace(tables[0], rows=rows, values=values)


def _summed(counters: Iterable[Mapping[K, int]]) -> Counter[K]:
    total: Counter[K] = Counter()
    for counter in counters:
        total.update(counter)
    return total
