"""What segments are compared by: their hits in one window beside those of all traffic, as arrays."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.bins import NO, VALUE_SPANS, YES, Arena
from monitor.domain import IntArray, Kind, StreamKey
from monitor.segment_hits import SegmentHits
from monitor.streams import StreamTable
from monitor.tables import span_text
from monitor.views import Views
from monitor.worst import NEUTRAL, is_yes_bad

TAIL: Final = 0.95
ROWS_MAX: Final = 5_000
"""Segment streams compared, of each arena; a picture of them takes some milliseconds."""


class SegmentCounts:
    """Gives the hits of all segments. window, window_s: the one that is looked at."""

    def __init__(self, table: StreamTable, views: Views, window: int, window_s: float) -> None:
        self._table = table
        self._views = views
        self._window = window
        self._window_s = window_s
        self._known: tuple[int, int] = (-1, -1)
        self._rows: dict[Arena, tuple[IntArray, IntArray]] = {}

    def hits(self) -> SegmentHits | None:
        """Give them; None where there are no segments. Cost: 2 microseconds per segment stream."""
        self._find()
        if not any(own.size for own, _ in self._rows.values()):
            return None
        keys: list[StreamKey] = []
        columns: list[list[IntArray]] = []
        for arena, (own, whole) in self._rows.items():
            if own.size:
                keys += [self._table.arenas[arena].keys[row] for row in own.tolist()]
                columns.append(self._flags(own, whole) if arena is Arena.FLAGS else self._logs(own, whole))
        hits, samples, whole_hits, whole_samples, is_above = map(np.concatenate, zip(*columns, strict=True))
        window = span_text(self._window_s)
        return SegmentHits(window, tuple(keys), hits, samples, whole_hits, whole_samples, is_above.astype(bool))

    def _find(self) -> None:
        """Find the rows of segments, and beside each that of all traffic, when there are new ones."""
        sizes = (len(self._table.flags), len(self._table.logs))
        if sizes == self._known:
            return
        self._known = sizes
        for arena in (Arena.FLAGS, Arena.LOGS):
            rows = self._table.arenas[arena]
            at = {key: row for row, key in enumerate(rows.keys) if not key.segment}
            own, whole = [], []
            for row, key in enumerate(rows.keys):
                all_traffic = at.get(key._replace(segment="")) if key.segment else None
                if all_traffic is not None and rows.kinds[row] is not Kind.VOLUME and key.field not in NEUTRAL:
                    own.append(row)
                    whole.append(all_traffic)
            self._rows[arena] = (np.array(own[:ROWS_MAX], np.int64), np.array(whole[:ROWS_MAX], np.int64))

    def _flags(self, own: IntArray, whole: IntArray) -> list[IntArray]:
        counts = self._views.of(Arena.FLAGS, self._window).counts.astype(np.int64)
        keys = self._table.flags.keys
        bad = np.array([YES if is_yes_bad(keys[row].field) else NO for row in own.tolist()], dtype=np.int64)
        both = counts[:, NO] + counts[:, YES]
        return [counts[own, bad], both[own], counts[whole, bad], both[whole], np.zeros(len(own), dtype=np.int64)]

    def _logs(self, own: IntArray, whole: IntArray) -> list[IntArray]:
        counts = self._views.of(Arena.LOGS, self._window).counts[:, : VALUE_SPANS[Arena.LOGS]]
        alls, back = np.unique(whole, return_inverse=True)
        until = np.cumsum(counts[alls], axis=1, dtype=np.int64)
        tail = (until < np.ceil(TAIL * until[:, -1:])).sum(axis=1)  # the bin that the quantile is in
        above = until[:, -1] - np.take_along_axis(until, np.minimum(tail, until.shape[1] - 1)[:, None], axis=1)[:, 0]
        mine = np.cumsum(counts[own], axis=1, dtype=np.int64)
        least = np.minimum(tail[back], mine.shape[1] - 1)
        hits = mine[:, -1] - np.take_along_axis(mine, least[:, None], axis=1)[:, 0]
        return [hits, mine[:, -1], above[back], until[back, -1], np.ones(len(own), dtype=np.int64)]
