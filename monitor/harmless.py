"""Text from outside made fit to be shown: nothing in it may move a cursor, turn a direction or begin a line."""

from __future__ import annotations

import unicodedata
from typing import Final

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_unsafe(character: str) -> bool:
    """Tell whether it is a control, format (invisible, direction) or surrogate character, or separates lines."""
    return unicodedata.category(character) in _UNSAFE


def escaped(text: str) -> str:
    """Give text with backslash escapes in place of what is unsafe: one line, which UTF-8 can hold."""
    if text.isprintable():
        return text
    return "".join(each.encode("unicode_escape").decode("ascii") if is_unsafe(each) else each for each in text)
