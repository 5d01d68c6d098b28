"""Histories of folds and judges, each made by a seed: appends, rebalances, kills, stops, losses, in any order.

A history ends when faults have ceased, a living fold owns each partition, and all was flushed; then the folds that are
still stopped go on, with what is on its way from them and from the dead, and it ends once more. Both times each court
must have counted every event of its own once.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, count
from random import Random
from typing import Final

from monitor.claims import committed_of
from monitor.domain import TopicPartition
from monitor.kept import State
from monitor.receipts import Receipt, Receipts, Verdict
from tests.unit.scaleout.small_fold import Fold, Rules
from tests.unit.scaleout.small_join import SmallJoin
from tests.unit.scaleout.small_kafka import Event, Kafka, Message, Terms

STEPS_MAX: Final = 20_000
"""Of an end: far more than any takes."""
FOLDS_MAX: Final = 3
GOOD: Final = Rules()


class WrongError(Exception):
    """A history that loses, doubles, tears, or comes to no end."""


class Judge:
    """The court of one delta partition, killed and brought back from what it once kept."""

    def __init__(self, kafka: Kafka, q: int) -> None:
        self._kafka = kafka
        self._q = q
        self._outcomes: list[list[Receipt]] = []
        self.overlaps = 0
        self._kept: list[tuple[int, State, Counter[int]]] = [(0, {}, Counter())]
        self.again()

    def again(self) -> None:
        """Be killed, and go on from any of the snapshots."""
        at, state, counted = self._kafka.rng.choice(self._kept)
        self._at, self.counted = at, Counter(counted)
        self.receipts = Receipts()
        self.receipts.restore(state)

    def keep(self) -> None:
        """Keep what is to be kept."""
        self._kept.append((self._at, self.receipts.state(), Counter(self.counted)))

    def read(self, messages: int) -> None:
        """Read on. Raises WrongError where anything is torn, missing, or not as it was the first time."""
        log = self._kafka.deltas[self._q]
        for at in range(self._at, min(self._at + messages, len(log))):
            outcome = []
            for p, epoch, stretch, events in log[at]:
                receipt = self.receipts.take(TopicPartition("t", p), epoch, stretch)
                outcome.append(receipt)
                if receipt.verdict is Verdict.TORN or receipt.missing:
                    raise WrongError(f"{receipt} of {p}: {stretch}")
                if receipt.verdict is Verdict.TAKEN:
                    from_offset = receipt.from_offset if stretch.is_fine else 0
                    self.counted.update(number for offset, number in events if offset >= from_offset)
            if at < len(self._outcomes):
                if outcome != self._outcomes[at]:
                    raise WrongError(f"read again: {outcome}, before: {self._outcomes[at]}")
            else:
                self._outcomes.append(outcome)
                self.overlaps += sum(
                    receipt.verdict is Verdict.TAKEN and receipt.from_offset > delta.stretch.first
                    for receipt, delta in zip(outcome, log[at], strict=True)
                )
            self._at = at + 1

    def verdicts(self) -> Iterable[Verdict]:
        """Give all verdicts, each once."""
        return (receipt.verdict for outcome in self._outcomes for receipt in outcome)


@dataclass(slots=True)
class Told:
    """What came about in histories.

    joined: pairs. late: requests to append that arrived after a history's first end. overlaps: deltas that were taken
    in part.
    """

    kills: int = 0
    stops: int = 0
    expelled: int = 0
    late: int = 0
    overlaps: int = 0
    restarts: int = 0
    events: int = 0
    joined: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)


class History:
    """One world, and what happens in it."""

    def __init__(self, seed: int, rules: Rules = GOOD, terms: Terms | None = None, told: Told | None = None) -> None:
        rng = self._rng = Random(seed)
        own = Terms(rng.random() < 0.5, is_idempotent=rng.random() < 0.6, has_overtaking=rng.random() < 0.5)
        self._rules = rules
        self._told = told or Told()
        self._clock = count(1)
        self._kafka = Kafka(rng, terms or own, rng.randint(1, 2), rng.randint(1, 3))
        self._skew_ms = 0 if rng.random() < 0.5 else 1000  # of clocks that say nothing, or that differ
        self._folds = [self._fold() for _ in range(rng.randint(1, 3))]
        self._stopped: list[Fold] = []
        self._dead: list[Fold] = []
        self._judges = [Judge(self._kafka, q) for q in range(len(self._kafka.deltas))]
        self._sent: list[Counter[int]] = [Counter() for _ in self._judges]
        self._whole = [SmallJoin(0) for _ in self._kafka.sources]
        self._number = 0
        weighted: Sequence[tuple[float, Callable[[], None]]] = (
            (55, self._go_on),
            (21, self._deliver),
            (7, self._append),
            (3, self._judge),
            (2, self._stop),
            (2, self._cross),
            (5, self._wake),
            (1, self._kill),
            (1, self._miss),
            (1, self._kafka.rebalance),
            (2, self._start),
        )
        self._weights = [*accumulate(weight for weight, _ in weighted)]
        self._events = [event for _, event in weighted]

    def _fold(self) -> Fold:
        skew_ms = self._rng.randrange(self._skew_ms) if self._skew_ms else -1_000_000
        return Fold(self._kafka, self._rules, skew_ms, self._clock)

    def run(self) -> None:
        """Go through all of it. Raises WrongError."""
        rng = self._rng
        for _ in range(rng.randrange(40, 250)):
            self._happen()
        self._kafka.is_calm = True
        if not self._folds:
            self._folds.append(self._fold())
        for fold in (*self._dead, *self._stopped):
            self._kafka.expel(fold.member)
        self._end(is_last=False)
        self._told.late += sum(request.q >= 0 for request in self._kafka.requests)
        self._folds += self._stopped
        self._stopped = []
        self._append()
        self._end(is_last=True)
        self._told.events += self._number
        for judge in self._judges:
            self._told.verdicts.update(judge.verdicts())
            self._told.overlaps += judge.overlaps

    # ---- faults

    def _happen(self) -> None:
        """Let one thing happen, by its weight."""
        self._events[bisect(self._weights, self._rng.random() * self._weights[-1])]()

    def _go_on(self) -> None:
        if self._folds:
            fold = self._rng.choice(self._folds)
            for _ in range(self._rng.randrange(1, 12)):
                fold.step()

    def _deliver(self) -> None:
        for _ in range(self._rng.randrange(1, 4)):
            self._kafka.deliver()

    def _start(self) -> None:
        if len(self._folds) < FOLDS_MAX:
            self._folds.append(self._fold())

    def _wake(self) -> None:
        if self._stopped:
            self._folds.append(self._stopped.pop(self._rng.randrange(len(self._stopped))))

    def _miss(self) -> None:
        """The group misses any one, also one that is there."""
        folds = [*self._stopped, *self._dead, *self._folds]
        if folds:
            self._expel(self._rng.choice(folds))

    def _expel(self, fold: Fold) -> None:
        self._told.expelled += fold.member in self._kafka.members
        self._kafka.expel(fold.member)

    def _stop(self) -> None:
        """Stop a fold, and now and then all, long enough for the group to miss them."""
        rng, is_all = self._rng, self._rng.random() < 0.1
        while self._folds:
            self._told.stops += 1
            self._stopped.append(self._folds.pop(rng.randrange(len(self._folds))))
            if is_all or rng.random() < 0.7:
                self._expel(self._stopped[-1])
            if not is_all:
                break

    def _cross(self) -> None:
        """Stop a fold in the midst of a flush, let others take over, and let it go on while they are at it."""
        rng = self._rng
        for _ in range(rng.randrange(1, 4)):
            while len(self._folds) < 2:
                self._folds.append(self._fold())
            fold = self._folds.pop(rng.randrange(len(self._folds)))
            for _ in range(60):
                fold.step()
                if fold.is_midway and rng.random() < 0.5:
                    break
                self._kafka.deliver()
            self._stopped.append(fold)
            self._told.stops += 1
            self._expel(fold)
            for _ in range(rng.randrange(60)):
                rng.choice(self._folds).step()
                if rng.random() < 0.5:
                    self._kafka.deliver()
        while self._stopped and rng.random() < 0.8:
            self._wake()
            for _ in range(rng.randrange(10)):
                self._folds[-1].step()
                self._kafka.deliver()

    def _kill(self) -> None:
        """Kill a fold; what it has sent may still arrive, or not."""
        if self._folds:
            self._told.kills += 1
            self._dead.append(self._folds.pop(self._rng.randrange(len(self._folds))))
            if self._rng.random() < 0.5:
                self._kafka.forget(self._dead[-1:])

    def _append(self) -> None:
        """Append messages of no, one or several events each, and what is to be joined."""
        rng = self._rng
        p = rng.randrange(len(self._kafka.sources))
        log, whole = self._kafka.sources[p], self._whole[p]
        for _ in range(rng.randrange(1, 5)):
            events = [self._event() for _ in range(rng.randrange(3))]
            ids = [len(log) + rng.randrange(-8, 4) for _ in range(rng.randrange(3))]  # about those that are asked now
            told = tuple((each, rng.randrange(2), self._event()) for each in ids)
            log.append(Message(tuple(events), (len(log),) if rng.random() < 0.7 else (), told))
            joined = whole.take(len(log) - 1, log[-1])
            self._told.joined += len(joined)
            for q, number in (*events, *joined):
                self._sent[q][number] = 1

    def _event(self) -> Event:
        self._number += 1
        return self._rng.randrange(len(self._judges)), self._number

    def _judge(self) -> None:
        judge, luck = self._rng.choice(self._judges), self._rng.random()
        judge.read(self._rng.randrange(1, 10))
        if luck < 0.3:
            judge.keep()
        elif luck < 0.5:
            self._told.restarts += 1
            judge.again()

    # ---- the end

    def _end(self, *, is_last: bool) -> None:
        """Let everything come to rest, and look at it. is_last: also what is on its way from the dead and stopped."""
        rng, kafka = self._rng, self._kafka
        senders = None if is_last or rng.random() < 0.3 else {id(fold) for fold in self._folds}
        for turn in range(STEPS_MAX):
            rng.choice(self._folds).step()
            if rng.random() < 0.4:
                kafka.deliver(senders)
            if turn % 16 == 0 and self._is_over(is_last=is_last):
                break
        else:
            raise WrongError("no end")
        for judge in self._judges:
            judge.read(STEPS_MAX)
        self._look()
        for judge in self._judges:  # as a successor would have it
            judge.again()
            judge.read(STEPS_MAX)
        self._look()

    def _is_over(self, *, is_last: bool) -> bool:
        """Tell whether living folds own all, and have committed the ends as acknowledged."""
        kafka = self._kafka
        ends = [committed_of(*kafka.committed.get(p, (0, ""))).offset for p in range(len(kafka.sources))]
        owners = {p for fold in self._folds for p in fold.held if kafka.owner.get(p) == fold.member}
        is_owned = len(owners) == len(ends) and all(fold.member in kafka.members for fold in self._folds)
        return is_owned and ends == [len(log) for log in kafka.sources] and not (is_last and kafka.requests)

    def _look(self) -> None:
        for q, (judge, sent) in enumerate(zip(self._judges, self._sent, strict=True)):
            if judge.counted != sent:
                lost, doubled = sent - judge.counted, judge.counted - sent
                raise WrongError(f"court {q}: lost {sorted(lost)}, doubled {sorted(doubled)}")
            for p, log in enumerate(self._kafka.sources):
                position = judge.receipts.positions.get(TopicPartition("t", p))
                if position is not None and position.next != len(log):
                    raise WrongError(f"court {q}: {position} of {p}, which ends at {len(log)}")


def failures(
    seeds: Iterable[int], rules: Rules = GOOD, terms: Terms | None = None, told: Told | None = None
) -> Iterator[tuple[int, str]]:
    """Give seed and fault of the histories that go wrong. told: to be added to."""
    for seed in seeds:
        try:
            History(seed, rules, terms, told).run()
        except WrongError as error:
            yield seed, str(error)
