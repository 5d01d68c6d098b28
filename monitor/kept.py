"""What is kept of a part from one process to the next: plain values by name, which later versions can still read.

A part that lives across a restart has `state()`, which gives what can't be found again otherwise, and `restore(state)`,
called on a part newly made from today's configuration and references. Plain values are None, bool, int (64 bits),
float, str, bytes, numpy arrays, and lists and dicts (keys: str) of these. What a state lacks, an older version did not
know: it stays as it was made. What it has beyond, a newer version knew: it is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from monitor.bins import Arena
from monitor.domain import IntArray

State = dict[str, Any]
Moves = Mapping[Arena, IntArray]
"""Where the rows of each arena lie now: by the row in the state the row in today's table, or -1: no longer watched."""


class Section(NamedTuple):
    """A piece of state that is stored by itself.

    mark: stands for its content, in this process and the next, so that what is stored under the same mark need not be
    written again; None: always written. make: gives the state; valid until the next change.
    """

    name: str
    mark: str | None
    make: Callable[[], State]


def under(prefix: str, states: Mapping[str, State]) -> Iterator[tuple[str, State]]:
    """Give the states whose names begin with a prefix, and what is left of their names. No other one is looked at."""
    for name in states:
        if name.startswith(prefix):
            yield name.removeprefix(prefix), states[name]


def state_of(part: object, names: Iterable[str]) -> State:
    """Give attributes of a part by name, without the underscore of those that are its own."""
    return {name.lstrip("_"): getattr(part, name) for name in names}


def bring_back(part: object, names: Iterable[str], state: State) -> None:
    """Set attributes to what `state_of` gave, as far as the state has them; arrays become the part's own."""
    for name in names:
        found = state.get(name.lstrip("_"))
        if name.lstrip("_") in state:
            setattr(part, name, found.copy() if isinstance(found, np.ndarray) else found)
