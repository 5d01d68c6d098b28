"""Annotations among canonical events: those whose `type` says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from monitor.decode.base import Columns
from monitor.decode.outcomes import Cells
from monitor.domain import Rejection
from monitor.notes import note_of

ANNOTATION: Final = "annotation"
"""The type of an annotation."""


def take_annotations(
    values: Sequence[bytes | None], messages: Sequence[int], cells: Cells, columns: Columns
) -> tuple[Sequence[int], Cells]:
    """Take the annotations out of a batch, into the columns; give the messages and cells of all others.

    values: the payloads of all messages. Cost: a pass over a column where there are none.
    """
    types = cells.get("type")
    if types is None or ANNOTATION not in types:
        return messages, cells
    rest = []
    for i, kind in enumerate(types):
        if kind != ANNOTATION:
            rest.append(i)
            continue
        found = _note_of(values[messages[i]] or b"")
        if isinstance(found, Rejection):
            columns.rejected.append((messages[i], found))
        else:
            columns.annotations.append((messages[i], found))
    return [messages[i] for i in rest], {name: [column[i] for i in rest] for name, column in cells.items()}


def _note_of(value: bytes) -> dict[str, object] | Rejection:
    """Give an annotation as it is kept, or why it is none. Its time is `event_time`, as of all events, or `time`."""
    try:
        document = msgspec.json.decode(value, type=dict[str, object])
    except (ValueError, RecursionError):
        return Rejection.BAD_ANNOTATION
    document.pop("type", None)
    if "event_time" in document:
        document["time"] = document.pop("event_time")
    if document.get("time") is None:
        return Rejection.NO_TIME
    try:
        return note_of(document, None)
    except ValueError:
        return Rejection.BAD_ANNOTATION
