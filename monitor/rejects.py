"""What becomes of messages that can't be used: told to the dead letters, and counted by the breakers. For the loop."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

import structlog

from monitor.breakers import Breakers
from monitor.domain import Batch, Rejection, TopicPartition
from monitor.intake import DeadLetterStatus
from monitor.kept import Section, State

BREAKERS, LETTERS = "breakers", "dead_letters"
log = structlog.get_logger()


class Letters(Protocol):
    """What the loop asks of dead letters; see dead_letters.DeadLetters."""

    @property
    def is_full(self) -> bool:
        """Whether no more fit, so that nothing more may be read."""
        ...

    def open(self) -> None:
        """Begin to tell. Raises SinkError for wrong options."""
        ...

    def offer(self, batch: Batch, rejected: Sequence[tuple[int, Rejection]]) -> None:
        """Take in messages of a batch. Never waits, never raises."""
        ...

    def pump(self) -> None:
        """Go on telling; at every turn of the loop."""
        ...

    def oldest(self) -> Mapping[TopicPartition, int]:
        """Give the least offset of each partition whose letter is not accepted yet."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Wait for all to be accepted; tell whether they are."""
        ...

    def status(self, broken: Mapping[TopicPartition, str]) -> DeadLetterStatus:
        """Give how it fares."""
        ...

    def state(self) -> State:
        """Give what is not accepted yet."""
        ...

    def restore(self, state: State) -> None:
        """Go on with it."""
        ...

    def close(self, timeout_s: float = 0.0) -> int:
        """Let go; give how many were not accepted."""
        ...


class Rejects:
    """Breakers for all partitions, and dead letters where there is a topic for them (letters: None, there is none)."""

    def __init__(self, breakers: Breakers, letters: Letters | None = None) -> None:
        self._breakers = breakers
        self._letters = letters
        self._open: frozenset[TopicPartition] = frozenset()

    def open(self) -> None:
        """Begin to tell letters. Raises SinkError for wrong options."""
        if self._letters is not None:
            self._letters.open()

    def take(self, batch: Batch, rejected: Sequence[tuple[int, Rejection]], now_s: float) -> None:
        """Take in what came of a batch."""
        self._breakers.take(batch, (message for message, _ in rejected), now_s)
        if self._letters is not None and rejected:
            self._letters.offer(batch, rejected)
        self._note_open()

    def oldest(self) -> Mapping[TopicPartition, int]:
        """Give the least offset of each partition whose letter is not accepted yet."""
        return {} if self._letters is None else self._letters.oldest()

    def tick(self, now_s: float) -> None:
        """Go on telling, and try partitions that were held long enough."""
        self._breakers.tick(now_s)
        if self._letters is not None:
            self._letters.pump()

    def _note_open(self) -> None:
        reasons = self._breakers.open_partitions()
        for source in reasons.keys() - self._open:
            where = f"{source.topic}/{source.partition}"
            log.error(
                "partition held: too many messages can't be used",
                error_code="poison",
                partition=where,
                why=reasons[source],
            )
        self._open = frozenset(reasons)

    def retry(self) -> None:
        """Try all that is held now: somebody may have mended what was wrong."""
        self._breakers.retry()

    @property
    def broken(self) -> frozenset[TopicPartition]:
        """The partitions that are held since too many of their messages can't be used."""
        return self._breakers.held()

    def held(self, assigned: Collection[TopicPartition]) -> frozenset[TopicPartition]:
        """Give the partitions that are not to be read now: all, while no more letters fit."""
        is_full = self._letters is not None and self._letters.is_full
        return frozenset(assigned) if is_full else self._breakers.held()

    def status(self) -> DeadLetterStatus:
        """Give how they fare."""
        broken = self._breakers.open_partitions()
        if self._letters is not None:
            return self._letters.status(broken)
        return DeadLetterStatus(broken={(topic, number): why for (topic, number), why in broken.items()})

    def sections(self) -> Iterator[Section]:
        """Give what lives across a restart."""
        yield Section(BREAKERS, None, self._breakers.state)
        if self._letters is not None:
            yield Section(LETTERS, None, self._letters.state)

    def restore(self, states: Mapping[str, State], topics: Collection[str]) -> None:
        """Go on with it. topics: that are read."""
        self._breakers.restore(states.get(BREAKERS, {}), topics)
        if self._letters is not None:
            self._letters.restore(states.get(LETTERS, {}))

    def close(self, timeout_s: float) -> int:
        """Let go of the producer; give how many letters no broker has accepted (they are kept with the state)."""
        return 0 if self._letters is None else self._letters.close(timeout_s)
