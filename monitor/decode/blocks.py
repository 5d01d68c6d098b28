"""Blocks: the features of many events as arrays, as templates read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from monitor.decode.compiled import NO_NUMBER, REAL, UNKNOWN, WHOLE
from monitor.decode.lanes import Lane
from monitor.domain import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class TextColumn:
    """Texts of n events as codes, shape (n,). texts: what codes stand for; rare: by event, those that have none."""

    codes: NDArray[np.uint8]
    texts: Sequence[str | None]
    rare: Mapping[int, str]

    def __getitem__(self, at: int) -> str | None:
        """Give one text, None for null."""
        code = int(self.codes[at])
        return self.rare[at] if code == UNKNOWN else self.texts[code]

    def all(self) -> list[str | None]:
        """Give all of them. Cost: about 30 ns each."""
        if not len(self.codes):
            return []
        found = list(map(self.texts.__getitem__, self.codes.tobytes()))
        for at, text in self.rare.items():
            found[at] = text
        return found

    def at(self, rows: IntArray) -> TextColumn:
        """Give some of them."""
        codes = self.codes[rows]
        rare = {i: self.rare[int(rows[i])] for i in np.flatnonzero(codes == UNKNOWN).tolist()} if self.rare else {}
        return TextColumn(codes, self.texts, rare)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The features of n events. numbers: shape (numbers of the lane, n), NaN where null. names: of the lane's texts.

    written: how each number was, REAL or WHOLE; same shape.
    """

    lane: Lane
    numbers: FloatArray
    written: NDArray[np.uint8]
    names: tuple[TextColumn, ...]

    def at(self, rows: IntArray) -> Block:
        """Give those of some of the events."""
        names = tuple(column.at(rows) for column in self.names)
        return Block(self.lane, self.numbers[:, rows], self.written[:, rows], names)


@dataclass(frozen=True, slots=True)
class BlockRow:
    """The features of one event: a row of a block."""

    block: Block
    row: int

    def mapping(self) -> Mapping[str, Any]:
        """Give them by name."""
        block, row = self.block, self.row
        numbers = as_sent(block.numbers[:, row], block.written[:, row])
        names = [column[row] for column in block.names]
        return dict(zip(block.lane.features, [*numbers, *names], strict=True))


class BlockFeatures(Sequence[BlockRow]):
    """The features of events that are all of one block, in order. rows: which of them; None: all."""

    __slots__ = ("_rows", "block")

    def __init__(self, block: Block, rows: IntArray | None = None) -> None:
        self.block = block
        self._rows = rows

    def __len__(self) -> int:
        return self.block.numbers.shape[1] if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, at: int) -> BlockRow: ...
    @overload
    def __getitem__(self, at: slice) -> BlockFeatures: ...
    def __getitem__(self, at: int | slice) -> BlockRow | BlockFeatures:
        """Give the features of an event, or of a run of them."""
        if isinstance(at, slice):
            return self.at(np.arange(len(self))[at])
        return BlockRow(self.block, int(range(len(self))[at] if self._rows is None else self._rows[at]))

    def __iter__(self) -> Iterator[BlockRow]:
        rows = range(len(self)) if self._rows is None else self._rows.tolist()
        return (BlockRow(self.block, row) for row in rows)

    def at(self, chosen: IntArray) -> BlockFeatures:
        """Give those of some of the events."""
        return BlockFeatures(self.block, chosen if self._rows is None else self._rows[chosen])

    def held(self) -> Block:
        """Give their own block."""
        return self.block if self._rows is None else self.block.at(self._rows)


def block_of(features: Sequence[Any]) -> Block | None:
    """Give the features of events, all read by one template, as a block; None where they were read otherwise."""
    if isinstance(features, BlockFeatures):
        return features.held()
    if not features or not isinstance(features[0], BlockRow):
        return None
    return features[0].block.at(np.array([own.row for own in features], dtype=np.int64))


def as_sent(numbers: NDArray[np.float64], written: NDArray[np.uint8]) -> list[Any]:
    """Give numbers as they were sent: floats, ints and None."""
    if not len(written):
        return []
    how = int(written[0])
    if how != NO_NUMBER and (written == how).all():
        found: list[Any] = (numbers if how == REAL else numbers.astype(np.int64)).tolist()
        return found
    each = zip(numbers.tolist(), written.tolist(), strict=True)
    return [None if kind == NO_NUMBER else int(number) if kind == WHOLE else number for number, kind in each]
