"""How far back a log has to be read to know what waits at a place in it: the first offset that any of it rests on.

Whoever takes the log over reads from there on, and knows what its predecessor knew, without anything being handed on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter


class Reach:
    """First offsets by generation of entries. start: where reading begins. Memory: two numbers per generation."""

    def __init__(self, start: int) -> None:
        self.offset = start
        """Of the messages that are taken in now: none of them is before it."""
        self._firsts: dict[int, int] = {}
        self._steps = [(start, start)]

    def note(self, generations: Iterable[int]) -> None:
        """Take in that there are entries of these generations in the messages at hand."""
        for generation in set(generations):
            self._firsts.setdefault(generation, self.offset)

    def inherit(self, generation: int, other: int) -> None:
        """Take in that what an entry says rests on one of another generation."""
        found = self._firsts.get(other, self.offset)
        self._firsts[generation] = min(found, self._firsts.get(generation, found))

    def expire(self, before: int) -> None:
        """Forget the generations before one: nothing of them is of use any more."""
        for generation in [each for each in self._firsts if each < before]:
            del self._firsts[generation]

    def passed(self, position: int) -> None:
        """Hear that all before a position was taken in."""
        least = min(self._firsts.values(), default=position)
        if least > self._steps[-1][1]:
            self._steps.append((position, least))

    def back_from(self, position: int) -> int:
        """Give from where to read to know what waits at a position. Positions asked for never fall."""
        at = bisect_right(self._steps, position, key=itemgetter(0)) - 1
        del self._steps[: max(0, at)]
        return self._steps[0][1]
