"""Model drift rate: of all windows that drift tests judged, those in which one was certainly beyond its threshold.

Each look at a window is a yes or a no of the stream `drifted`, counted with the next pane that closes, of models that
have a reference. Looks at one window follow each other by a part of it, so they are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from monitor.bins import FLAGS_WIDTH, NO, YES
from monitor.domain import DRILL_MODEL, IntArray
from monitor.fields import DRIFTED
from monitor.kept import State
from monitor.streams import NONE, StreamTable

DRIFT_TESTS: Final = frozenset({"psi", "js", "ks", "wasserstein", "chi_square"})
"""Statistics that are drift tests of windows."""

Looks = Sequence[tuple[IntArray, IntArray]]
"""Of each window that was looked at: the subjects that were judged, and 1 or 0 for whether any test was beyond."""


class DriftRate:
    """Turns what tests said into hits of the stream. Called in the loop thread."""

    def __init__(self, table: StreamTable) -> None:
        self._table = table
        self._told: list[tuple[int, int]] = []

    def note(self, looks: Looks) -> None:
        """Note what came of a look at all windows that were due."""
        for subjects, is_beyond in looks:
            self._told += zip(subjects.tolist(), is_beyond.tolist(), strict=True)

    def take(self) -> IntArray | None:
        """Give what was noted since, as hits of the FLAGS arena; None: nothing."""
        told = [each for each in self._told if self._table.subjects[each[0]].model != DRILL_MODEL]
        self._told = []
        if not told:
            return None
        scopes = np.array([self._table.subjects[subject].scopes[""].index for subject, _ in told], dtype=np.int64)
        rows = self._table.field_rows(DRIFTED, [True] * len(told), scopes)
        bins = np.array([YES if is_beyond else NO for _, is_beyond in told], dtype=np.int64)
        flat: IntArray = rows * FLAGS_WIDTH + bins
        counted: IntArray = flat[rows != NONE]
        return counted

    def state(self) -> State:
        """Give what is kept: what was noted and is not counted yet."""
        return {"told": [list(each) for each in self._told]}

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self._told = [(int(subject), int(is_beyond)) for subject, is_beyond in state.get("told", [])]
