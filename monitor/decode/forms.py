"""Forms: what messages of one producer have in common, learned from one of them. Pure.

A serialiser writes the same keys in the same order with the same spaces, message after message. A form is that text,
with a slot in place of each value. So a message is compared with it rather than parsed, and its values come out in
columns.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from monitor.decode.lanes import FEATURES_MAX

FEATURES, SEGMENT = "features", "segment"
IDS: Final = frozenset({"event_id", "request_id", "user_id", "event_time"})
"""Fields whose texts are rarely alike."""
SLOTS_MAX: Final = 4_000
TEXTS_MAX: Final = 256
"""Columns of texts that a form may have; memory: up to 20 kB each."""

_TOKEN: Final = re.compile(
    rb"[ \t\n\r]*(?:"
    rb'(?P<text>"[^"\\\x00-\x1f]*(?:\\["\\/bfnrtu][^"\\\x00-\x1f]*)*")'
    rb"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    rb"|(?P<atom>true|false|null)"
    rb"|(?P<mark>[{}:,])"
    rb"|(?P<end>\Z))"
)


class Slot(IntEnum):
    """What stands in a slot, as templates.c has it. IGNORED: a value of no field of an event."""

    NUMBER = 0
    TEXT = 1
    ID = 2
    ATOM = 3
    IGNORED = 4


@dataclass(frozen=True, slots=True)
class Form:
    """What messages have in common. literals: the text before each value, and after the last.

    kinds: of each value. names: of each, its group (FEATURES, SEGMENT, or "" for an event's own fields) and name.
    """

    literals: tuple[bytes, ...]
    kinds: tuple[Slot, ...]
    names: tuple[tuple[str, str], ...]


class _UnlikeError(Exception):
    """A message is like no form: it has lists, deeper objects, a key twice, or what leaves a value's kind open."""


class _Walk:
    """Takes one message apart."""

    def __init__(self, message: bytes, fields: Collection[str], features_max: int) -> None:
        self._message, self._fields, self._features_max = message, fields, features_max
        self._at = self._literal = 0
        self._literals: list[bytes] = []
        self._kinds: list[Slot] = []
        self._names: list[tuple[str, str]] = []

    def form(self) -> Form:
        """Give the form. Raises _UnlikeError."""
        self._expect(b"{")
        self._members("")
        if self._next()[0] != "end" or all(kind is Slot.IGNORED for kind in self._kinds):
            raise _UnlikeError
        literals = (*self._literals, self._message[self._literal :])
        return Form(literals, tuple(self._kinds), tuple(self._names))

    def _next(self) -> tuple[str, bytes]:
        """Give the kind and text of the next token."""
        found = _TOKEN.match(self._message, self._at)
        if found is None or found.lastgroup is None:
            raise _UnlikeError
        self._at = found.end()
        return found.lastgroup, found[found.lastgroup]

    def _expect(self, mark: bytes) -> None:
        if self._next() != ("mark", mark):
            raise _UnlikeError

    def _members(self, group: str) -> None:
        """Take the members of an object apart, from after its opening brace to after its closing one."""
        seen: set[str] = set()
        while True:
            kind, text = self._next()
            if kind == "mark" and text == b"}" and not seen and group != FEATURES:
                return
            if kind != "text" or b"\\" in text:
                raise _UnlikeError
            name = text[1:-1].decode()
            if name in seen:
                raise _UnlikeError
            seen.add(name)
            self._expect(b":")
            self._value(group, name)
            if len(self._kinds) > SLOTS_MAX or (group == FEATURES and len(seen) > self._features_max):
                raise _UnlikeError
            mark = self._next()
            if mark == ("mark", b"}"):
                return
            if mark != ("mark", b","):
                raise _UnlikeError

    def _value(self, group: str, name: str) -> None:
        kind, text = self._next()
        if kind == "mark" and text == b"{" and not group and name in (FEATURES, SEGMENT):
            self._members(name)
            return
        start = self._at - len(text)
        self._literals.append(self._message[self._literal : start])
        self._kinds.append(self._kind(group, name, kind))
        self._names.append((group, name))
        self._literal = self._at

    def _kind(self, group: str, name: str, sort: str) -> Slot:
        """Give what stands in a slot, by what stood there first."""
        if sort not in ("text", "number", "atom") or (not group and name == FEATURES):
            raise _UnlikeError
        if not group and name not in self._fields:
            return Slot.IGNORED
        if (group == FEATURES and sort == "atom") or (group == SEGMENT and sort != "text"):
            raise _UnlikeError  # null, which tells nothing of the others; or a segment that is no text
        if sort == "text":
            return Slot.ID if not group and name in IDS else Slot.TEXT
        return Slot.NUMBER if sort == "number" else Slot.ATOM


def form_of(message: bytes, fields: Collection[str], features_max: int = FEATURES_MAX) -> Form | None:
    """Give the form of a message; None where it has one that no template is for.

    fields: the names of an event's own fields. Cost: some eight microseconds for each value.
    """
    try:
        form = _Walk(message, fields, min(features_max, FEATURES_MAX)).form()
    except (_UnlikeError, UnicodeDecodeError):
        return None
    is_text = [kind in (Slot.TEXT, Slot.ID) for kind in form.kinds]
    return form if sum(is_text) <= TEXTS_MAX else None
