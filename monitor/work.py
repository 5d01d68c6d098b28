"""What the loop asks of what it drives: a whole pipeline, or one of its halves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from monitor.absences import Missing
from monitor.court import Step
from monitor.domain import Alert, Batch, Gap, Picture, TopicPartition, Transition
from monitor.kept import Section, State
from monitor.pipeline_terms import PipelineTerms
from monitor.references import Reference
from monitor.upkeep import HalfStatus

ACKNOWLEDGED_S: Final = 15.0
"""So long may counts be on their way before a fold is not ready; as long as brokers may be away."""


class Work(Protocol):
    """See Court and Pipeline, which say what each is for. Only the loop's thread calls it."""

    @property
    def missing(self) -> Missing:
        """Where to say that messages are missing."""
        ...

    def lose(self, gaps: Sequence[Gap]) -> None:
        """Hear which messages are gone that were never read; before any that follow them."""
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


def waits(half: HalfStatus) -> str:
    """Say what a fold or judge waits for before all that it has is worked on; "" for nothing."""
    if half.unclaimed and half.role == "judge":
        return f"{half.unclaimed} court(s) not open yet: their states are being loaded, or can't be"
    if half.unclaimed:
        return f"{half.unclaimed} partition(s) not claimed yet: what was committed of them is not known, or not taken"
    if half.waiting_s > ACKNOWLEDGED_S:
        return f"counts: not acknowledged by the topic of deltas for {half.waiting_s:.0f} s"
    return ""
