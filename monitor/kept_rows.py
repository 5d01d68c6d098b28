"""Arrays by row, kept and brought back: rows have moved, some are gone, and what a state lacks stays as it was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.domain import IntArray, StreamKey
from monitor.errors import StateError
from monitor.kept import State

GONE: Final = -1
"""The row today of what is no longer watched."""


def rows_of(part: object, names: Iterable[str], at: int | IntArray) -> State:
    """Give arrays of a part by name, without their first underscore: their first `at` rows, or the rows `at`."""
    own = slice(0, at) if isinstance(at, int) else at
    return {name.lstrip("_"): getattr(part, name)[own] for name in names}


def bring_rows(part: object, names: Iterable[str], state: State, now: IntArray, then: IntArray) -> None:
    """Set rows `now` of a part's arrays to what rows `then` of the state hold, both of shape (n,).

    Raises StateError where a row has another shape than the part's own, or the state holds too few of them.
    """
    for name in names:
        found = state.get(name.lstrip("_"))
        if found is None:
            continue
        own: npt.NDArray[Any] = getattr(part, name)
        if not isinstance(found, np.ndarray) or found.shape[1:] != own.shape[1:]:
            raise StateError(f"stored state: {name.lstrip('_')} of {type(part).__name__} has another shape")
        if then.size and int(then.max()) >= len(found):
            raise StateError(f"stored state: {name.lstrip('_')} of {type(part).__name__} is cut short")
        own[now] = found[then]


def moved(rows: IntArray, moves: IntArray) -> IntArray:
    """Give where rows of the state lie now, shape (n,): GONE also for those that the moves do not know."""
    if not len(moves):
        return np.full(len(rows), GONE, dtype=np.int64)
    known = (rows >= 0) & (rows < len(moves))
    return np.where(known, moves[np.clip(rows, 0, len(moves) - 1)], GONE)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Within it, a value that is missing or of another kind than it must be is a StateError. what: for its message."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        told = f"{type(error).__name__}: {error}"
        raise StateError(f"stored state: what should be {what} is none ({told})") from error


def key_list(key: StreamKey) -> list[str]:
    """Give the name of a stream as a plain value."""
    return list(key)


def key_of(found: Sequence[str]) -> StreamKey:
    """Give the name of a stream that `key_list` gave. Raises StateError when it is none."""
    try:
        return StreamKey(*map(str, found))
    except TypeError:
        raise StateError(f"stored state: {found!r} is no stream's name") from None
