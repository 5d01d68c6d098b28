"""The nearest allowed word to a misspelt one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from monitor.config.refusals import show_key

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """Gives the allowed word most like this one, or None when nothing is alike."""
    # Long words cost quadratic time and are never a slip of one of ours.
    found = difflib.get_close_matches(word[:80].lower(), list(allowed), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Gives the cure for a misspelt word: the nearest one, or all of them."""
    words = list(allowed)
    guess = nearest(word, words)
    return f"did you mean {show_key(guess)}?" if guess else f"allowed: {', '.join(words) or 'nothing'}"
