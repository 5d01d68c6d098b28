"""For how long nobody worked on a court, or on a source partition: from the logs of all replicas, and what was done."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

TAKEN: Final = {"court taken up": "court", "partition claimed": "source"}
"""What a replica says when it begins to work on something, and what names it."""
AT_ONCE_S: Final = 0.5
"""Between two clocks: that of a log, and ours."""
GIVEN: Final = {"court given up": "court", "court is another's": "court"}


@dataclass(slots=True)
class Owned:
    """Of one role, by wall clock. spans: from when to when somebody worked on what.

    hurt_s: when a replica was killed, stopped, or left. outages: from when to when there was no broker, without which
    nobody can take over.
    """

    outages: Sequence[tuple[float, float]] = ()
    spans: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    hurt_s: list[float] = field(default_factory=list)

    def add(self, lines: Sequence[Mapping[str, Any]], ends_s: Iterable[float], over_s: float) -> None:
        """Take in the log of a replica: lines with `event` and `wall_s`. ends_s: when it was killed, stopped, or ended.

        over_s: when the run was over.
        """
        ends = sorted([*(at_s for at_s in ends_s if at_s < over_s), over_s])
        open_s: dict[str, float] = {}
        for line in lines:
            event, at_s = line["event"], line["wall_s"]
            if at_s >= over_s:
                break
            for what, began_s in list(open_s.items()):  # whatever it had when it was killed, it had until then
                end_s = ends[bisect.bisect_left(ends, began_s)]
                if end_s <= at_s:
                    self.spans[what].append((began_s, end_s))
                    del open_s[what]
            if event in TAKEN:
                open_s.setdefault(str(line[TAKEN[event]]), at_s)
            elif event in GIVEN:
                self._close(open_s, str(line[GIVEN[event]]), at_s)
            elif event == "partitions assigned" and open_s and "/" in next(iter(open_s)):
                for what in set(open_s) - set(line["partitions"]):
                    self._close(open_s, what, at_s)
        for what, began_s in open_s.items():
            self.spans[what].append((began_s, ends[bisect.bisect_left(ends, began_s)]))

    def _close(self, open_s: dict[str, float], what: str, at_s: float) -> None:
        began_s = open_s.pop(what, None)
        if began_s is not None:
            self.spans[what].append((began_s, at_s))

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
        """Give the longest that taking over took: from the last time in a gap that one was hurt, to its end."""
        longest_s = 0.0
        for _, from_s, to_s in self.gaps(over_s):
            hurt = [at_s for at_s in self.hurt_s if from_s - AT_ONCE_S <= at_s < to_s]
            if hurt and to_s < over_s:
                longest_s = max(longest_s, self._served_s(max(hurt), to_s))
        return longest_s

    def _served_s(self, from_s: float, to_s: float) -> float:
        """Give how much of a time there was a broker."""
        away_s = sum(max(0.0, min(to_s, end_s) - max(from_s, start_s)) for start_s, end_s in self.outages)
        return to_s - from_s - away_s
