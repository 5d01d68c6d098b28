"""The categories of one categorical stream: from value to bin at the speed of a dict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from monitor.bins import CATEGORIES_MAX, NULL, OTHER, UNSEEN, WRONG_TYPE

CATEGORY_CHARS_MAX: Final = 128
"""Longer strings are text, not categories: they count as `other` and are never kept."""
NAMES: Final = {True: "true", False: "false"}


class Categories(dict[Any, int]):
    """Value to bin. Open: a new value gets the next free bin. Closed (frozen): a new value is `unseen`.

    Once a value had to be left out (no bin free, or too long), new ones can't be told from it: they are `other` for
    good. Memory: at most CATEGORIES_MAX strings of CATEGORY_CHARS_MAX characters. Looking up an unhashable value raises
    TypeError.
    """

    __slots__ = ("is_complete", "is_open", "names", "numbers_are_names")

    def __init__(self, *, numbers_are_names: bool = False) -> None:
        super().__init__({None: NULL})
        self.names: list[str] = []
        self.is_open = True
        self.is_complete = True
        self.numbers_are_names = numbers_are_names

    def close(self, names: Iterable[str], *, is_complete: bool) -> None:
        """Take the categories of a frozen reference, in bin order; nothing new is admitted from here on."""
        for name in names:
            self._admit(name)
        self.is_open = False
        self.is_complete = is_complete

    def __missing__(self, value: Any) -> int:
        kind = type(value)
        if kind is bool:
            return self[NAMES[value]]
        if kind in (int, float) and self.numbers_are_names:
            return self[str(value)]
        if kind is not str:
            return WRONG_TYPE
        if self.is_open:
            return self._admit(value)
        return UNSEEN if self.is_complete else OTHER

    def _admit(self, name: str) -> int:
        if len(self.names) >= CATEGORIES_MAX or len(name) > CATEGORY_CHARS_MAX:
            self.is_complete = False
            return OTHER
        self[name] = at = len(self.names)
        self.names.append(name)
        return at
