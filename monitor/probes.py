"""The first values of a numeric stream, kept until they suffice to place its grid.

A stream without a reference has no bins yet. Its first values wait here; when there are enough, their quantiles place
the grid once and for all, and the values are counted into it. Memory: 24 bytes per waiting value, at most PROBE_VALUES
per stream and batch beyond.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from monitor.bins import NUMERIC_INNER, scaled, squash
from monitor.domain import FloatArray, IntArray
from monitor.kept import Section, State
from monitor.references import Grid

PROBE_VALUES: Final = 256
"""Values that place a grid: quantiles of 256 are good to a few percent of rank, and the grid covers the whole line."""
MARGIN: Final = 0.15
"""Share of the squashed range added at either end, since the extremes of 256 values are not those of the reference."""
LARGEST: Final = 1e300
"""Values beyond are taken for it when a grid is placed, so that no difference of two overflows."""


def place_grid(values: FloatArray) -> Grid:
    """Give the grid for values like these: shape (n,), n >= 1, finite.

    Centre: median. Width: a robust standard deviation.
    """
    ordered = np.clip(np.sort(values), -LARGEST, LARGEST)
    ranks = [int(share * (len(ordered) - 1)) for share in (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)]
    low, q05, q25, centre, q75, q95, high = ordered[ranks].tolist()
    spreads = ((q75 - q25) / 1.349, (q95 - q05) / 3.290, (high - low) / 6.0, abs(centre) * 1e-3)
    width = next((spread for spread in spreads if spread > 0 and np.isfinite(spread)), 1.0)
    ends = squash(scaled(np.array([low, high]), centre, width))
    margin = MARGIN * max(float(ends[1] - ends[0]), 0.2)
    lower, upper = max(float(ends[0]) - margin, -0.98), min(float(ends[1]) + margin, 0.98)
    return Grid(centre, width, lower, (upper - lower) / NUMERIC_INNER)


class Probes:
    """Waiting values of all numeric streams without a grid, in order of arrival."""

    def __init__(self) -> None:
        self._rows: list[IntArray] = []
        self._values: list[FloatArray] = []
        self._panes: list[IntArray] = []
        self._waiting = np.zeros(0, dtype=np.int64)
        self._changes = 0

    def add(self, rows: IntArray, values: FloatArray, panes: IntArray) -> None:
        """Set values aside; all of shape (n,)."""
        self._changes += 1
        self._rows.append(rows)
        self._values.append(values)
        self._panes.append(panes)
        most = int(rows.max()) + 1
        if most > self._waiting.size:
            self._waiting = np.concatenate(
                [self._waiting, np.zeros(most * 3 // 2 - self._waiting.size, dtype=np.int64)]
            )
        self._waiting += np.bincount(rows, minlength=self._waiting.size)

    def with_at_least(self, values: int) -> IntArray:
        """Give the rows with that many values waiting, ascending."""
        return np.flatnonzero(self._waiting >= values)

    def take(self, rows: IntArray) -> tuple[IntArray, FloatArray, IntArray]:
        """Give rows, values and panes of all that waits for these rows, by row, in order of arrival within a row."""
        if not self._rows:
            return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
        self._changes += 1
        row, value, pane = np.concatenate(self._rows), np.concatenate(self._values), np.concatenate(self._panes)
        wanted = np.zeros(self._waiting.size, dtype=bool)
        wanted[rows[rows < wanted.size]] = True
        chosen = wanted[row]
        self._rows, self._values, self._panes = [row[~chosen]], [value[~chosen]], [pane[~chosen]]
        self._waiting[wanted] = 0
        order = np.argsort(row[chosen], kind="stable")
        return row[chosen][order], value[chosen][order], pane[chosen][order]

    # ---- what is kept

    def sections(self, prefix: str, epoch: int = 0) -> Iterator[Section]:
        """Give what is kept: all that waits. epoch: how often rows were moved."""
        yield Section(prefix, f"{epoch}-{self._changes}", self._state)

    def _state(self) -> State:
        if len(self._rows) > 1:
            self._rows, self._values = [np.concatenate(self._rows)], [np.concatenate(self._values)]
            self._panes = [np.concatenate(self._panes)]
        if not self._rows:
            return {"changes": self._changes}
        waiting = {"rows": self._rows[0], "values": self._values[0], "panes": self._panes[0]}
        return {"changes": self._changes, **waiting}

    def restore(self, prefix: str, states: Mapping[str, State], rows: IntArray | None = None) -> None:
        """Go on with the values of a state. rows: by the row till now the row from now on, or -1; None: as then."""
        state = states.get(prefix, {})
        if "rows" in state:
            now = state["rows"] if rows is None else rows[state["rows"]]
            kept = now >= 0
            if kept.any():
                self.add(now[kept], state["values"][kept], state["panes"][kept])
        self._changes = int(state.get("changes", 0))
