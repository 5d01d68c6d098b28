"""Templates: whole batches of messages read by forms, by the compiled reader.

A template is only ever a faster way to the same result: what fits none is read the general way, and may be learned
from. What does not fit: other keys, another order or spacing, escapes in a text that is used, a number that takes more
than 64 bits, a value of another type than the form was made with.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any, Final

import numpy as np

from monitor.decode.blocks import Block, BlockFeatures, TextColumn, as_sent
from monitor.decode.compiled import (
    CODES,
    PADDING,
    PLACES,
    UNKNOWN,
    OutputStruct,
    Reader,
    TemplateStruct,
    hash_of,
    powers_of_five,
)
from monitor.decode.forms import FEATURES, SEGMENT, Form, Slot, form_of
from monitor.decode.lanes import Lane
from monitor.decode.outcomes import Cells, Part
from monitor.domain import IntArray

TEMPLATES_MAX: Final = 16
"""Memory: up to 20 kB for each column of texts."""
KNOWN_BYTES_MAX: Final = 64
"""Longer texts get no code."""
TRIES_MAX: Final = 4
"""Messages that are learned from in one batch: about 300 microseconds each, with 37 values."""
TRIED_EVERY: Final = 64
"""Batches after which it is tried again at the latest."""
HITS_LEAST: Final = 0.25
BATCHES_SKIPPED: Final = 50
"""Batches that are read the general way alone after one of which fewer fitted, with no room for more templates."""
RARE_MAX: Final = 0.1
"""Share of a field's texts without a code, beyond which it gives none any more."""
ATOMS: Final = (True, False, None)

_KIND_COLUMNS: Final = {Slot.NUMBER: Slot.NUMBER, Slot.TEXT: Slot.TEXT, Slot.ID: Slot.TEXT, Slot.ATOM: Slot.ATOM}


class Texts:
    """The texts known of each column of a template, and the code of each; as arrays for the compiled reader."""

    def __init__(self, columns: int) -> None:
        self.places = np.zeros((columns, PLACES), dtype=np.uint16)
        self.starts = np.zeros((columns, CODES), dtype=np.int32)
        self.sizes = np.zeros((columns, CODES), dtype=np.int32)
        self.bytes = np.zeros(1024, dtype=np.uint8)
        self.names: list[list[str | None]] = [[None] * (UNKNOWN + 1) for _ in range(columns)]
        self.counts = [0] * columns
        self._used = 0

    def add(self, column: int, text: bytes) -> int:
        """Give the code of a text that has none yet; UNKNOWN where it gets none."""
        code = self.counts[column]
        if code >= CODES or len(text) > KNOWN_BYTES_MAX:
            return UNKNOWN
        start, end = self._used, self._used + len(text)
        if end + len(PADDING) > len(self.bytes):
            self.bytes = np.concatenate([self.bytes, np.zeros(len(self.bytes), dtype=np.uint8)])
        self.bytes[start:end] = np.frombuffer(text, dtype=np.uint8)
        self._used = end
        place = hash_of(text) >> 55
        while self.places[column, place]:
            place = (place + 1) % PLACES
        self.places[column, place] = code + 1
        self.starts[column, code], self.sizes[column, code] = start, len(text)
        self.names[column][code] = text.decode()
        self.counts[column] += 1
        return code


class Rows:
    """What a template gives of n messages: a column of n for each slot."""

    def __init__(self, sizes: dict[Slot, int], count: int, ids_room: int) -> None:
        numbers, texts, atoms = (sizes[kind] for kind in (Slot.NUMBER, Slot.TEXT, Slot.ATOM))
        self.numbers = np.empty((numbers, count))
        self.written = np.empty((numbers, count), dtype=np.uint8)
        self.codes = np.empty((texts, count), dtype=np.uint8)
        self.starts = np.empty((texts, count), dtype=np.int64)
        self.sizes = np.empty((texts, count), dtype=np.int32)
        self.ids = np.empty(ids_room, dtype=np.uint8)
        self.atoms = np.empty((atoms, count), dtype=np.uint8)
        self.fitted = np.empty(count, dtype=np.int64)
        self.left = np.empty(count, dtype=np.int64)

    def struct(self) -> OutputStruct:
        """Give it as the compiled reader takes it."""
        before = (self.numbers, self.written, self.codes, self.starts, self.sizes, self.ids)
        after = (self.atoms, self.fitted, self.left)
        return OutputStruct(
            len(self.fitted),
            *(array.ctypes.data for array in before),
            0,
            *(array.ctypes.data for array in after),
        )

    def ids_of(self, column: int, count: int, ids: bytes) -> list[str | None]:
        """Give a column of ids. ids: all that were read."""
        starts, sizes = self.starts[column, :count], self.sizes[column, :count]
        spans = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
        found: list[str | None]
        if ids.isascii():
            text = ids.decode()
            found = [text[start:end] for start, end in spans]
        else:
            found = [ids[start:end].decode() for start, end in spans]
        for at in np.flatnonzero(sizes < 0).tolist():
            found[at] = None
        return found


class Template:
    """A form at work: reads messages that have it."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.sizes = {Slot.NUMBER: 0, Slot.TEXT: 0, Slot.ATOM: 0}
        columns = np.zeros(len(form.kinds), dtype=np.int32)
        self._columns: dict[tuple[str, str], tuple[Slot, int]] = {}
        # The numeric features first: together they are one array.
        order = sorted(range(len(form.kinds)), key=lambda i: form.names[i][0] != FEATURES)
        for i in order:
            kind = form.kinds[i]
            if kind is not Slot.IGNORED:
                own = _KIND_COLUMNS[kind]
                columns[i] = self.sizes[own]
                self._columns[form.names[i]] = kind, self.sizes[own]
                self.sizes[own] += 1
        features = [(name, kind) for (group, name), (kind, _) in self._columns.items() if group == FEATURES]
        numbers = tuple(name for name, kind in features if kind is Slot.NUMBER)
        self.lane = Lane(numbers, tuple(name for name, kind in features if kind is not Slot.NUMBER))
        self._texts = Texts(self.sizes[Slot.TEXT])
        self._fixed = (
            np.frombuffer(b"".join(form.literals), dtype=np.uint8),
            np.array(list(accumulate(map(len, form.literals))), dtype=np.int32),
            np.array(form.kinds, dtype=np.uint8),
            columns,
        )

    def read(
        self, reader: Reader, batch: bytes, ends: IntArray, messages: IntArray
    ) -> tuple[IntArray, Cells, IntArray]:
        """Give the messages that fit, their cells by field, and the others. messages: those of the batch to read."""
        rows, texts = Rows(self.sizes, len(messages), len(batch)), self._texts
        arrays = (*self._fixed, texts.places, texts.starts, texts.sizes, texts.bytes, powers_of_five())
        struct = TemplateStruct(len(self.form.kinds), *(array.ctypes.data for array in arrays))
        out = rows.struct()
        count = reader(
            ctypes.byref(struct),
            ctypes.byref(out),
            batch,
            ends.ctypes.data,
            messages.ctypes.data,
            len(messages),
        )
        cells = self._cells(rows, count, batch, rows.ids[: out.ids_size].tobytes()) if count else {}
        return rows.fitted[:count], cells, rows.left[: len(messages) - count]

    def _cells(self, rows: Rows, count: int, batch: bytes, ids: bytes) -> Cells:
        cells: Cells = {}
        segments: dict[str, TextColumn] = {}
        names = []
        for (group, name), (kind, column) in list(self._columns.items()):
            if kind is Slot.NUMBER and not group:
                cells[name] = as_sent(rows.numbers[column, :count], rows.written[column, :count])
            elif kind is Slot.ATOM:
                cells[name] = list(map(ATOMS.__getitem__, rows.atoms[column, :count].tobytes()))
            elif kind is Slot.ID:
                cells[name] = rows.ids_of(column, count, ids)
            elif kind is Slot.TEXT:
                found = self._coded(rows, column, count, batch)
                if group == FEATURES:
                    names.append(found)
                elif group == SEGMENT:
                    segments[name] = found
                else:
                    cells[name] = found.all()
                    if len(found.rare) > RARE_MAX * count:
                        self._read_as_ids(group, name)
        cells[FEATURES] = self._features(rows, count, tuple(names))
        if segments:
            cells[SEGMENT] = _segments(segments)
        return cells

    def _features(self, rows: Rows, count: int, names: tuple[TextColumn, ...]) -> Sequence[Any]:
        if not self.lane.features:
            return (None,) * count
        numbers = len(self.lane.numbers)
        return BlockFeatures(Block(self.lane, rows.numbers[:numbers, :count], rows.written[:numbers, :count], names))

    def _read_as_ids(self, group: str, name: str) -> None:
        """Give no more codes to the texts of a field: they are too many."""
        _, column = self._columns[group, name]
        self._columns[group, name] = Slot.ID, column
        kinds = self._fixed[2]
        kinds[self.form.names.index((group, name))] = Slot.ID

    def _coded(self, rows: Rows, column: int, count: int, batch: bytes) -> TextColumn:
        """Give a column of texts; those that are new get a code while there is room."""
        codes, texts = rows.codes[column, :count], self._texts
        rare: dict[int, str] = {}
        new: dict[bytes, int] = {}
        for at in np.flatnonzero(codes == UNKNOWN).tolist():
            start = int(rows.starts[column, at])
            text = batch[start : start + int(rows.sizes[column, at])]
            code = new.get(text)
            if code is None:
                code = new[text] = texts.add(column, text)
            codes[at] = code
            if code == UNKNOWN:
                rare[at] = text.decode()
        return TextColumn(codes, texts.names[column], rare)


class Templates:
    """Reads batches by the templates it learns. fields: the names of an event's own fields."""

    def __init__(self, reader: Reader, fields: Collection[str], features_max: int) -> None:
        self._reader, self._fields, self._features_max = reader, frozenset(fields), features_max
        self._templates: list[Template] = []
        self._failed = 0
        self._skips = 0

    def read(self, values: Sequence[bytes]) -> tuple[list[Part], IntArray]:
        """Give what fits templates, a part for each, and the messages that fit none.

        Cost: about a nanosecond per byte, and 30 ns for each of an event's own fields.
        """
        left: IntArray = np.arange(len(values))
        if self._skips or not values:
            self._skips = max(0, self._skips - 1)
            return [], left
        batch = b"".join([*values, PADDING])
        ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
        parts: list[Part] = []
        for template in list(self._templates):
            left = self._take(template, batch, ends, left, parts)
            if not left.size:
                return parts, left
        for number in range(TRIES_MAX if self._may_learn() else 0):
            learned = self._learned(values[int(left[(self._failed + number) % left.size])])
            if learned is not None:
                left = self._take(learned, batch, ends, left, parts)
            if not left.size:
                break
        if left.size > (1.0 - HITS_LEAST) * len(values) and len(self._templates) >= TEMPLATES_MAX:
            self._skips = BATCHES_SKIPPED
            self._templates.clear()
        return parts, left

    def _take(
        self, template: Template, batch: bytes, ends: IntArray, messages: IntArray, parts: list[Part]
    ) -> IntArray:
        fitted, cells, left = template.read(self._reader, batch, ends, messages)
        if fitted.size:
            is_all = fitted.size == len(ends)
            parts.append((range(len(ends)) if is_all else fitted.tolist(), cells))
        return left

    def _may_learn(self) -> bool:
        """Tell whether to learn from what did not fit: more seldom the more often it failed."""
        self._failed += 1
        is_time = self._failed & (self._failed - 1) == 0 or self._failed % TRIED_EVERY == 0
        return len(self._templates) < TEMPLATES_MAX and is_time

    def _learned(self, message: bytes) -> Template | None:
        form = form_of(message, self._fields, self._features_max)
        if form is None or any(form == template.form for template in self._templates):
            return None
        self._failed = 0
        self._templates.insert(0, Template(form))
        return self._templates[0]


def _segments(columns: dict[str, TextColumn]) -> list[dict[str, str | None]]:
    """Give the segment of each event; events of one segment share it."""
    known: dict[tuple[str | None, ...], dict[str, str | None]] = {}
    found = []
    for values in zip(*(column.all() for column in columns.values()), strict=True):
        segment = known.get(values)
        if segment is None:
            segment = known[values] = dict(zip(columns, values, strict=True))
        found.append(segment)
    return found
