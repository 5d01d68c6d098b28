"""The statistics of all streams in all windows, as the tables that metrics and pages are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from monitor.bins import VALUE_SPANS, Arena
from monitor.detectors.base import Detector, View
from monitor.detectors.psi import psi_floor, psi_raw
from monitor.domain import FloatArray, Kind, StatisticTable, StreamKey
from monitor.streams import StreamTable
from monitor.views import Views

SHOWN: Final[Mapping[Arena, tuple[str, ...]]] = {
    Arena.VALUES: (
        "psi",
        "js",
        "ks",
        "wasserstein",
        "chi_square",
        "null_rate",
        "invalid_rate",
        "unseen_rate",
        "out_of_range_rate",
        "mode_share",
    ),
    Arena.LOGS: ("p50", "p95", "p99", "mean", "null_rate", "invalid_rate"),
    Arena.FLAGS: ("yes_rate", "volume"),
}
"""Statistics that are exported for the streams of each arena, where they are defined."""


class Tables:
    """Makes tables from views. Streams beyond the budget of label series are left out, and counted."""

    def __init__(
        self,
        table: StreamTable,
        views: Views,
        detectors: Mapping[str, Detector],
        windows_s: Sequence[float],
        series_max: int,
    ) -> None:
        self._table = table
        self._views = views
        self._detectors = detectors
        self._windows_s = windows_s
        self._series_max = series_max
        self._keys: list[StreamKey] = []
        self._starts: tuple[int, ...] = (0, 0, 0)

    def tables(self) -> tuple[Sequence[StreamKey], tuple[StatisticTable, ...], int]:
        """Give the streams, their statistics, and how many series were left out. Cost: as of a look at every window."""
        self._name()
        out: list[StatisticTable] = []
        left, dropped = self._series_max, 0
        for arena in (Arena.FLAGS, Arena.LOGS, Arena.VALUES):
            rows = len(self._table.arenas[arena])
            per_row = (len(SHOWN[arena]) + 4) * len(self._windows_s)
            shown = min(rows, max(0, left // per_row))
            dropped += (rows - shown) * per_row
            left -= shown * per_row
            if shown:
                out += self._of_arena(arena, shown)
        return self._keys, tuple(out), dropped

    def _name(self) -> None:
        sizes = [len(rows) for rows in self._table.arenas]
        if sum(sizes) != len(self._keys):
            self._keys = [key for rows in self._table.arenas for key in rows.keys]
            self._starts = (0, sizes[0], sizes[0] + sizes[1])

    def _of_arena(self, arena: Arena, shown: int) -> list[StatisticTable]:
        out: list[StatisticTable] = []
        rows = np.arange(shown)
        kinds = np.array([str(kind) for kind in self._table.arenas[arena].kinds[:shown]])
        if arena is Arena.VALUES:  # while the values of a stream wait for its grid, its nulls alone would mislead
            kinds[(kinds == str(Kind.NUMERIC)) & ~self._table.values.has_grid[:shown]] = ""
        for window, span_s in enumerate(self._windows_s):
            view = self._views.part(self._views.of(arena, window), rows)
            named = [(name, self._values(name, view, kinds)) for name in SHOWN[arena]]
            named.append(("samples", view.counts[:, : VALUE_SPANS[arena]].sum(axis=1).astype(np.float64)))
            if arena is Arena.VALUES:
                has_reference = view.groups_used > 0
                named.append(("psi_raw", np.where(has_reference, psi_raw(view), np.nan)))
                named.append(("psi_floor", np.where(has_reference, psi_floor(view), np.nan)))
            for name, values in named:
                defined = np.flatnonzero(~np.isnan(values))
                if defined.size:
                    at = defined + self._starts[arena]
                    out.append(StatisticTable(name, span_text(span_s), at, values[defined]))
        return out

    def _values(self, name: str, view: View, kinds: np.typing.NDArray[np.str_]) -> FloatArray:
        detector = self._detectors[name]
        applies = np.isin(kinds, [str(kind) for kind in detector.kinds])
        if detector.needs_reference and view.groups_used.any():
            applies &= view.groups_used > 0
        return np.where(applies, detector.measure(view).value, np.nan)


def span_text(span_s: float) -> str:
    """Give a span as people write it: 90s, 10m, 1h, 1d."""
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if span_s >= seconds and span_s % seconds == 0:
            return f"{int(span_s // seconds)}{unit}"
    return f"{span_s:g}s"
