"""What the loop asks of what it drives: a whole pipeline, or one of its halves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from monitor.absences import Missing
from monitor.court import Step
from monitor.domain import Alert, Batch, Picture, TopicPartition, Transition
from monitor.kept import Section, State
from monitor.pipeline_terms import PipelineTerms
from monitor.references import Reference


class Work(Protocol):
    """See Court and Pipeline, which say what each is for. Only the loop's thread calls it."""

    @property
    def missing(self) -> Missing:
        """Where to say that messages are missing."""
        ...

    @property
    def alerts(self) -> Sequence[Alert]:
        """The alerts that are pending or firing."""
        ...

    def step(self, batch: Batch, now_s: float) -> Step:
        """Take in a batch of messages."""
        ...

    def idle(self, idle: Iterable[TopicPartition], quiet_s: float, now_s: float) -> Step:
        """Hear which partitions are caught up, and for how long nothing came at all."""
        ...

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Hear which partitions there are to wait for."""
        ...

    def ahead(self) -> Sequence[TopicPartition]:
        """Give the partitions that are better not read on for now."""
        ...

    def sections(self) -> Iterator[Section]:
        """Give all that is kept."""
        ...

    def saved(self) -> None:
        """Hear that all that `sections` gave is stored."""
        ...

    def restore(self, states: Mapping[str, State]) -> None:
        """Go on where `sections` left it."""
        ...

    def replan(self, terms: PipelineTerms) -> list[Transition]:
        """Go by other plans; give the alerts that this ends."""
        ...

    def picture(self) -> Picture:
        """Give all numbers."""
        ...

    def references(self, models: Sequence[Sequence[str]]) -> list[Reference]:
        """Give the references of some model versions."""
        ...
