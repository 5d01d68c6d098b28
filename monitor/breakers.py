"""When a partition is no longer read because too many of its messages can't be used. Pure: the caller brings the clock.

A producer that was deployed broken would otherwise have its messages counted as rejected, one by one, while everyone
sees a healthy daemon and a model that fell silent. So the partition is held: nothing more of it is consumed, somebody
is told, and from time to time a batch is tried. What was fixed on either side is then read in full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from monitor.domain import Batch, TopicPartition
from monitor.kept import State

LAST: Final = 1_000
"""Messages of a partition that the share is taken of."""
SHARE_MIN: Final = 100
"""With fewer messages than this no share opens a breaker."""
TRIED_MIN: Final = 20
"""So many messages of a partition that is tried decide whether it is read again."""


@dataclass(frozen=True, slots=True)
class BreakerTerms:
    """share_max: of the last messages that can't be used, 1: off. run_max: in a row, 0: off. retry_s: until a trial."""

    share_max: float = 0.5
    run_max: int = 100
    retry_s: float = 300.0


@dataclass(slots=True)
class Breaker:
    """One partition. Closed: it is read. Open: it is held. Tried: it is read, and what comes decides.

    seen: messages so far. invalid: which of the last LAST can't be used, by number. run: how many of the last ones in a
    row. reason: why it opened, "" while closed. due_s: when it is tried next, wall clock; 0 while it is.
    """

    terms: BreakerTerms
    seen: int = 0
    run: int = 0
    invalid: deque[int] = field(default_factory=deque)
    reason: str = ""
    due_s: float = 0.0

    @property
    def is_held(self) -> bool:
        """Whether the partition is not to be read now."""
        return bool(self.reason) and self.due_s > 0.0

    def take(self, count: int, invalid: Sequence[int], now_s: float) -> None:
        """Take in the messages of a batch: how many, and the places (0 to count-1, ascending) of those of no use."""
        for place in invalid:
            number = self.seen + place
            self.run = self.run + 1 if self.invalid and self.invalid[-1] == number - 1 else 1
            self.invalid.append(number)
        self.seen += count
        if self.invalid and self.invalid[-1] != self.seen - 1:
            self.run = 0
        while self.invalid and self.invalid[0] < self.seen - LAST:
            self.invalid.popleft()
        self._decide(now_s)

    def _decide(self, now_s: float) -> None:
        """Open or close. By what the batch came to in the end: a fault that was over within it needs nobody."""
        size = min(self.seen, LAST)
        share = len(self.invalid) / size if size else 0.0
        if self.reason:
            if self.is_held or size < TRIED_MIN:
                return
            if share > self.terms.share_max or (self.terms.run_max and self.run >= min(self.terms.run_max, size)):
                self._open(f"{len(self.invalid)} of {size} messages that were tried can't be used", now_s)
            else:
                self.reason = ""
        elif self.terms.run_max and self.run >= self.terms.run_max:
            self._open(f"{self.run} messages in a row can't be used", now_s)
        elif size >= SHARE_MIN and share > self.terms.share_max:
            self._open(f"{len(self.invalid)} of the last {size} messages can't be used", now_s)

    def _open(self, reason: str, now_s: float) -> None:
        self.reason, self.due_s = reason, now_s + self.terms.retry_s

    def retry(self) -> None:
        """Try the partition: what is read from now on decides, and nothing before."""
        if self.is_held:
            self.due_s, self.seen, self.run = 0.0, 0, 0
            self.invalid.clear()


class Breakers:
    """The breakers of all partitions. Memory: up to LAST numbers for each partition that has invalid messages."""

    def __init__(self, terms: BreakerTerms) -> None:
        self._terms = terms
        self._breakers: dict[TopicPartition, Breaker] = {}

    def take(self, batch: Batch, invalid: Iterable[int], now_s: float) -> None:
        """Take in a batch. invalid: index of each of its messages that can't be used. now_s: wall clock."""
        partitions = np.asarray(batch.partitions, dtype=np.int64)
        counts = np.bincount(partitions, minlength=len(batch.sources)).tolist()
        places: dict[int, list[int]] = {}
        for message in sorted(set(invalid)):  # one with several rows is one message
            at = int(partitions[message])
            if at not in places:
                places[at] = []
            places[at].append(message)
        for at, count in enumerate(counts):
            if count:
                breaker = self._breakers.setdefault(batch.sources[at], Breaker(self._terms))
                breaker.take(count, _ranks(partitions, at, places.get(at, ())), now_s)

    def tick(self, now_s: float) -> None:
        """Try the partitions whose time has come."""
        for breaker in self._breakers.values():
            if breaker.is_held and now_s >= breaker.due_s:
                breaker.retry()

    def retry(self) -> None:
        """Try every held partition now, as after a reload."""
        for breaker in self._breakers.values():
            breaker.retry()

    def held(self) -> frozenset[TopicPartition]:
        """Give the partitions that are not to be read now."""
        return frozenset(each for each, breaker in self._breakers.items() if breaker.is_held)

    def open_partitions(self) -> Mapping[TopicPartition, str]:
        """Give the partitions that are held or tried, with the reason: what somebody should look at."""
        return {each: breaker.reason for each, breaker in sorted(self._breakers.items()) if breaker.reason}

    def state(self) -> State:
        """Give what lives across a restart."""
        return {
            "partitions": [
                {
                    "topic": each.topic,
                    "partition": each.partition,
                    "seen": breaker.seen,
                    "run": breaker.run,
                    "invalid": np.array(breaker.invalid, dtype=np.int64),
                    "reason": breaker.reason,
                }
                for each, breaker in self._breakers.items()
            ]
        }

    def restore(self, state: State, topics: Collection[str]) -> None:
        """Go on with what `state` gave of these topics.

        What was held is tried: whoever restarts may have mended what was wrong.
        """
        found: list[dict[str, Any]] = state.get("partitions", [])
        for each in found:
            if each["topic"] not in topics:
                continue
            breaker = Breaker(self._terms, each["seen"], each["run"], deque(each["invalid"].tolist()), each["reason"])
            if breaker.reason:
                breaker.due_s = 1.0  # held, and due
                breaker.retry()
            self._breakers[TopicPartition(each["topic"], each["partition"])] = breaker


def _ranks(partitions: np.ndarray[Any, np.dtype[np.int64]], at: int, messages: Sequence[int]) -> list[int]:
    """Give how many messages of the same partition come before each of these."""
    if not messages:
        return []
    own = np.flatnonzero(partitions == at)
    return [int(rank) for rank in np.searchsorted(own, messages)]
