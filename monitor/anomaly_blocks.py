"""Metric series in blocks that are fed together, and what is known of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Final

import numpy as np

from monitor.bins import Arena
from monitor.domain import FloatArray, IntArray, StreamKey
from monitor.fields import VOLUME
from monitor.kept import Moves, State
from monitor.kept_rows import GONE, moved, reading
from monitor.quality import AnomalyScore
from monitor.series import SeriesWatch
from monitor.streams import StreamTable

BLOCK: Final = 256
"""Series that share a detector and are fed together: 2.3 MB, 2 ms."""
SERIES: Final[Mapping[str, tuple[str, ...]]] = {
    VOLUME: ("volume",),
    "latency_s": ("p50", "p95"),
    "tokens_in": ("mean",),
    "tokens_out": ("mean",),
    "cost_usd": ("mean",),
    "error": ("rate",),
    "unsafe": ("rate",),
    "refused": ("rate",),
    "fallback": ("rate",),
}
"""What is scored of each field."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One series: a statistic of a stream."""

    subject: int
    key: StreamKey
    statistic: str
    arena: Arena
    row: int


@dataclass(frozen=True, slots=True)
class Group:
    """Series of one arena that have the same statistics: the streams' rows, and the places of each statistic's."""

    arena: Arena
    rows: IntArray
    places: Mapping[str, IntArray]


@dataclass(slots=True)
class Block:
    """Series that are fed together. scores, samples: of the last points, shape (BLOCK,); NaN: no point.

    told: those scores, for who looks from outside. fed_s: when the last points came.
    """

    slots: list[Slot] = field(default_factory=list)
    watch: SeriesWatch = field(default_factory=lambda: SeriesWatch(BLOCK))
    due_s: float = -np.inf
    scores: FloatArray = field(default_factory=lambda: np.full(BLOCK, np.nan))
    samples: FloatArray = field(default_factory=lambda: np.zeros(BLOCK))
    told: list[AnomalyScore] = field(default_factory=list)
    fed_s: float = -np.inf
    _groups: list[Group] = field(default_factory=list)

    def add(self, slots: Sequence[Slot]) -> None:
        """Take in the series of one stream."""
        self.slots += slots
        self._groups = []

    @property
    def groups(self) -> Sequence[Group]:
        """The series by what is measured of them, put together anew when there are more."""
        if not self._groups:
            places: dict[tuple[str, ...], dict[str, list[int]]] = {}
            for at, slot in enumerate(self.slots):
                names = SERIES[slot.key.field]
                places.setdefault(names, {name: [] for name in names})[slot.statistic].append(at)
            self._groups = [self._group(own) for own in places.values()]
        return self._groups

    def _group(self, places: Mapping[str, list[int]]) -> Group:
        first = [self.slots[at] for at in next(iter(places.values()))]
        rows = np.array([slot.row for slot in first])
        return Group(first[0].arena, rows, {name: np.array(at) for name, at in places.items()})

    def tell(self) -> None:
        """Tell the last scores to who looks from outside."""
        self.told = [
            AnomalyScore(slot.key.model, slot.key.model_version, slot.key.field, slot.statistic, score)
            for slot, score in zip(self.slots, self.scores.tolist(), strict=False)
            if not isnan(score)
        ]

    # ---- from one process to the next

    @property
    def mark(self) -> str:
        """What stands for all that is known of the series: they change when they are fed, and when some are added."""
        named = [(slot.arena, slot.row, slot.statistic) for slot in self.slots]
        return hashlib.sha256(repr((self.fed_s, self.due_s, named)).encode()).hexdigest()[:20]

    def state(self) -> State:
        """Give all that is known of the series."""
        n = len(self.slots)
        statistics = sorted({slot.statistic for slot in self.slots})
        return {
            "due_s": self.due_s,
            "fed_s": self.fed_s,
            "arenas": [arena.name for arena in Arena],
            "arena": np.array([slot.arena for slot in self.slots], dtype=np.uint8),
            "row": np.array([slot.row for slot in self.slots], dtype=np.int64),
            "statistics": statistics,
            "statistic": np.array([statistics.index(slot.statistic) for slot in self.slots], dtype=np.uint8),
            "scores": self.scores[:n],
            "samples": self.samples[:n],
            "watch": self.watch.state(n),
        }

    @classmethod
    def restored(cls, state: State, table: StreamTable, moves: Moves) -> Block:
        """Give the block of a state, with the series whose streams there still are.

        Raises StateError for what is none.
        """
        block, kept = cls(), []
        with reading("a block of series"):
            arenas = [Arena[name] for name in state["arenas"]]
            named = zip(state["arena"].tolist(), state["row"].tolist(), state["statistic"].tolist(), strict=True)
            for at, (number, row, statistic) in enumerate(named):
                arena = arenas[number]
                now = int(moved(np.array([row]), moves[arena])[0])
                if now != GONE:
                    rows = table.arenas[arena]
                    kept.append(at)
                    name = state["statistics"][statistic]
                    block.slots.append(Slot(int(rows.subjects[now]), rows.keys[now], name, arena, now))
            block.due_s, block.fed_s = float(state["due_s"]), float(state["fed_s"])
            block.scores[: len(kept)], block.samples[: len(kept)] = state["scores"][kept], state["samples"][kept]
        block.watch.restore(state.get("watch", {}), np.array(kept, dtype=np.int64))
        block.tell()
        return block
