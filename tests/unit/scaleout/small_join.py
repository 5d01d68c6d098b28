"""A join without anything but its protocol: time is the offset, and what is joined counts with the later message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from monitor.join.reach import Reach
from tests.unit.scaleout.small_kafka import Event, Message

TTL: Final = 8
"""How far apart two messages may be to be joined."""
SPAN: Final = 2
"""Of a generation."""


@dataclass(slots=True)
class Entry:
    """An id that was asked, or told of before. marks: those who have told of it; the first of each counts."""

    at: int
    is_asked: bool
    told: list[tuple[int, Event]] = field(default_factory=list)
    marks: set[int] = field(default_factory=set)


class SmallJoin:
    """What waits in one partition. start: where it is read from."""

    def __init__(self, start: int) -> None:
        self.reach = Reach(start)
        self._entries: dict[int, Entry] = {}

    def take(self, offset: int, message: Message) -> tuple[Event, ...]:
        """Take in a message; give what it completes. A told is (id, mark, event)."""
        self.reach.offset = offset
        out: list[Event] = []
        for each in message.asked:
            waits = self._entries.pop(each, None)
            entry = self._entries[each] = Entry(offset, is_asked=True)
            self.reach.note([offset // SPAN])
            if waits is not None and not waits.is_asked:
                self.reach.inherit(offset // SPAN, waits.at // SPAN)
                out += [event for mark, event in waits.told if self._is_first(entry, mark)]
        for each, mark, event in message.told:
            entry_of = self._entries.get(each)
            if entry_of is None:
                entry_of = self._entries[each] = Entry(offset, is_asked=False)
                self.reach.note([offset // SPAN])
            if entry_of.is_asked:
                out += [event] if self._is_first(entry_of, mark) else []
            else:
                entry_of.told.append((mark, event))
        before = (offset + 1 - TTL) // SPAN
        self._entries = {each: entry for each, entry in self._entries.items() if entry.at // SPAN >= before}
        self.reach.expire(before)
        self.reach.passed(offset + 1)
        return tuple(out)

    @staticmethod
    def _is_first(entry: Entry, mark: int) -> bool:
        is_first = mark not in entry.marks
        entry.marks.add(mark)
        return is_first
