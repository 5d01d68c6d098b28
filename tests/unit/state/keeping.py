"""What a store does with sections, in memory: as bytes, and only those whose marks have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from monitor.codec import decode, encode
from monitor.counting_state import Counting
from monitor.kept import Section, State
from monitor.pipeline import Pipeline


class Kept:
    """Sections by name. written: names written by the last save."""

    def __init__(self) -> None:
        self.pieces: dict[str, tuple[str | None, bytes]] = {}
        self.written: list[str] = []

    def save(self, sections: Iterable[Section]) -> None:
        """Store sections in place of those till now; what has the same mark is not made."""
        before, self.pieces, self.written = self.pieces, {}, []
        for section in sections:
            assert section.name not in self.pieces, f"{section.name} comes twice"
            held = before.get(section.name)
            if held is None or section.mark is None or held[0] != section.mark:
                held = section.mark, encode(section.make())
                self.written.append(section.name)
            self.pieces[section.name] = held

    def states(self) -> dict[str, State]:
        """Give what is stored, read anew."""
        return {name: decode(data, name) for name, (_, data) in self.pieces.items()}


def counting_of(pipeline: Pipeline) -> Counting:
    """Give the parts of a pipeline that count."""
    return Counting(
        pipeline._table,
        pipeline._folder,
        pipeline._heavy,
        pipeline._ladders,
        pipeline._views,
        pipeline._open,
        pipeline._cadence,
        pipeline._watermark,
        pipeline._duplicates,
        pipeline._totals,
        pipeline._subjects,
    )


def plain(sections: Iterable[Section]) -> dict[str, object]:
    """Give all that is kept in a form that can be compared: counts bin by bin, arrays as bytes.

    Without `changes`, which tell a section from what it was before, and not what is in it.
    """
    return {section.name: plain_of(section.make()) for section in sections}


def plain_of(value: object) -> object:
    """Give a state in such a form."""
    if isinstance(value, Mapping):
        value = {name: own for name, own in value.items() if name != "changes"}
        if {"size", "counts", "at"} <= set(value):
            bins = np.arange(len(value["counts"])) if value["at"] is None else value["at"].astype(np.int64)
            counted = {int(at): int(count) for at, count in zip(bins, value["counts"], strict=True) if count}
            rest = {name: plain_of(own) for name, own in value.items() if name not in {"size", "counts", "at"}}
            return {**rest, "counts": counted}
        return {name: plain_of(own) for name, own in value.items()}
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list):
        return [plain_of(own) for own in value]
    return value
