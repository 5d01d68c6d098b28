"""For how long nobody worked on a court, or on a source partition: from the logs of all replicas, and what was done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any, Final

TAKEN: Final = {"court taken up": "court", "partition claimed": "source"}
"""What a replica says when it begins to work on something, and what names it."""
AT_ONCE_S: Final = 0.5
"""Between two clocks: that of a log, and ours."""
GIVEN: Final = {"court given up": "court", "court is another's": "court"}


class _Held:
    """What one replica works on, as it goes. spans: where to put from when to when it did."""

    def __init__(self, spans: dict[str, list[tuple[float, float]]]) -> None:
        self._spans = spans
        self._since_s: dict[str, float] = {}
        self._asleep: list[str] = []
        self._unsure: set[str] = set()

    def end(self, at_s: float) -> None:
        self._asleep = list(self._since_s)
        for what in self._asleep:
            self._close(what, at_s)
        self._unsure.clear()

    def resume(self, at_s: float) -> None:
        self._since_s = dict.fromkeys(self._asleep, at_s)
        self._unsure = set(self._asleep)

    def say(self, line: Mapping[str, Any], at_s: float) -> None:
        event = line["event"]
        if event in TAKEN:
            what = str(line[TAKEN[event]])
            if what in self._unsure:
                self._give_up(what, at_s)
            self._since_s.setdefault(what, at_s)
        elif event in GIVEN:
            self._give_up(str(line[GIVEN[event]]), at_s)
        elif event == "partitions assigned" and self._since_s and "/" in next(iter(self._since_s)):
            for what in set(self._since_s) - set(line["partitions"]):
                self._give_up(what, at_s)

    def _give_up(self, what: str, at_s: float) -> None:
        if what in self._unsure:
            self._unsure.discard(what)
            del self._since_s[what]
        self._close(what, at_s)

    def _close(self, what: str, at_s: float) -> None:
        began_s = self._since_s.pop(what, None)
        if began_s is not None:
            self._spans[what].append((began_s, at_s))


@dataclass(slots=True)
class Owned:
    """Of one role, by wall clock. spans: from when to when somebody worked on what.

    hurt_s: when a replica was killed, stopped, or left. outages: from when to when there was no broker, without which
    nobody can take over.
    """

    outages: Sequence[tuple[float, float]] = ()
    spans: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    hurt_s: list[float] = field(default_factory=list)

    def add(
        self,
        lines: Iterable[Mapping[str, Any]],
        ends_s: Iterable[float],
        over_s: float,
        resumed_s: Iterable[float] = (),
    ) -> None:
        """Take in the log of a replica: lines with `event` and `wall_s`. ends_s: when it was killed, stopped, or ended.

        resumed_s: when one that was stopped went on. It works on what it had, unless it says later that it has given
        that up, or takes it up anew: then others had it since. over_s: when the run was over.
        """
        held = _Held(self.spans)
        known: list[tuple[float, int, Callable[[float], None]]] = [(at_s, 0, held.end) for at_s in ends_s]
        known += [(at_s, 1, held.resume) for at_s in resumed_s]
        known += [(float(line["wall_s"]), 2, partial(held.say, line)) for line in lines]
        for at_s, _, act in sorted(known, key=itemgetter(0, 1)):
            if at_s < over_s:
                act(at_s)
        held.end(over_s)

    def gaps(self, over_s: float) -> list[tuple[str, float, float]]:
        """Give when nobody worked on what, from its first owner on: what, from when, to when."""
        found = []
        for what, spans in self.spans.items():
            ordered = sorted(spans)
            until_s = ordered[0][1]
            for began_s, ended_s in [*ordered, (over_s, over_s)]:
                if began_s > until_s:
                    found.append((what, until_s, began_s))
                until_s = max(until_s, ended_s)
        return found

    def unowned_max_s(self, over_s: float) -> float:
        """Give the longest time in which nobody worked on something and there was a broker."""
        return max((self._served_s(from_s, to_s) for _, from_s, to_s in self.gaps(over_s)), default=0.0)

    def failover_max_s(self, over_s: float) -> float:
        """Give the longest that taking over took: from the last time in a gap that one was hurt, to its end.

        Where brokers were away in it, from when they were back: by Kafka's protocols all sessions begin anew then, also
        that of one who was killed before.
        """
        longest_s = 0.0
        back_s = [end_s for _, end_s in self.outages]
        for _, from_s, to_s in self.gaps(over_s):
            hurt = [at_s for at_s in self.hurt_s if from_s - AT_ONCE_S <= at_s < to_s]
            if hurt and to_s < over_s:
                began_s = max([*hurt, *(at_s for at_s in back_s if from_s <= at_s < to_s)])
                longest_s = max(longest_s, self._served_s(began_s, to_s))
        return longest_s

    def _served_s(self, from_s: float, to_s: float) -> float:
        """Give how much of a time there was a broker."""
        away_s = sum(max(0.0, min(to_s, end_s) - max(from_s, start_s)) for start_s, end_s in self.outages)
        return to_s - from_s - away_s
