"""Looks of drift tests at windows, and those that found one beyond its limit: what the model drift rate is of. Pure.

Windows are looked at every few panes, so they overlap: the rate is that of windows at a random moment, and looks that
follow each other are not independent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np

from monitor.domain import DRILL_MODEL, Seen
from monitor.kept import State
from monitor.kept_rows import reading
from monitor.lines import Lines, Where
from monitor.streams import StreamTable

DRIFT_TESTS: Final = frozenset({"psi", "js", "ks", "wasserstein", "chi_square"})
"""Statistics that are drift tests of windows."""
BEYOND, WITHIN = "beyond", "within"

Look = tuple[str, str, float, str]
"""Model, version, window (s), and BEYOND or WITHIN."""


class DriftLooks:
    """Counts, of each model version and window, the looks at which any drift test had samples enough to say anything.

    One of them found the window beyond its yellow or red limit, with the evidence that an alert takes: BEYOND. Memory:
    two numbers per model version and window.
    """

    def __init__(self, table: StreamTable) -> None:
        self._table = table
        self.counts: Counter[Look] = Counter()

    def count(self, lines: Mapping[Where, Lines], window: int, window_s: float) -> None:
        """Take in what all lines saw at a look at a window. Cost: microseconds per statistic, and one per model."""
        judged, beyond = (np.zeros(len(self._table.subjects), dtype=bool) for _ in range(2))
        for (statistic, _), own in lines.items():
            if statistic in DRIFT_TESTS:
                seen = np.where(own.in_window[window], own.seen[window], Seen.UNKNOWN)
                judged[own.subject[seen > Seen.UNKNOWN]] = True
                beyond[own.subject[seen >= Seen.YELLOW]] = True
        for index in np.flatnonzero(judged).tolist():
            subject = self._table.subjects[index]
            if subject.model != DRILL_MODEL:
                found = BEYOND if beyond[index] else WITHIN
                self.counts[subject.model, subject.model_version, window_s, found] += 1

    def state(self) -> State:
        """Give what is kept."""
        return {"counts": [[*look, count] for look, count in self.counts.items()]}

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError for what is none."""
        with reading("looks of drift tests"):
            for model, version, window_s, found, count in state.get("counts", []):
                self.counts[str(model), str(version), float(window_s), str(found)] = int(count)
