"""Canonical JSON events (see README, "Events") to columns.

Fast path: msgspec into a struct whose fields are checked column by column, so that a wrong type in one field costs
that field and not the event. What msgspec refuses (NaN and Infinity literals, numbers beyond a double) is read again by
the standard library, which accepts them; only what that refuses too is rejected.

Defined outcomes: NaN and infinities are counted as `not finite`; integers beyond a double likewise; null is null; of
duplicate keys the last one counts; a feature that is a list or an object is a wrong type of that feature.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

import msgspec
import numpy as np

from monitor.decode.annotations import take_annotations
from monitor.decode.base import Columns, Limits
from monitor.decode.blocks import BlockFeatures, BlockRow
from monitor.decode.compiled import reader
from monitor.decode.guardrails import guardrail_fields
from monitor.decode.lanes import LaneFeatures, Lanes
from monitor.decode.outcomes import OUTCOME, Cells, Part, add_outcomes, ids_of, take_outcomes
from monitor.decode.templates import Templates
from monitor.decode.times import time_or_rejection, times_of
from monitor.domain import Rejection

NAME_CHARS_MAX: Final = 256
"""Longer names of models and versions are a wrong type: names are labels, not text."""


class Wire(msgspec.Struct, gc=False):
    """One event as sent. Every field is Any: types are judged by column, not by message."""

    model: Any = None
    model_version: Any = None
    event_time: Any = None
    event_id: Any = None
    features: Any = None
    segment: Any = None
    prediction: Any = None
    score: Any = None
    latency_s: Any = None
    ttft_s: Any = None
    tokens_in: Any = None
    tokens_out: Any = None
    cost_usd: Any = None
    unsafe: Any = None
    refused: Any = None
    fallback: Any = None
    status: Any = None
    error_type: Any = None
    finish_reason: Any = None
    guardrail_action: Any = None
    endpoint: Any = None
    route: Any = None
    type: Any = None
    kind: Any = None
    request_id: Any = None
    sample_rate: Any = None
    label: Any = None
    value: Any = None
    evaluator: Any = None
    severity: Any = None
    failure_mode: Any = None
    user_id: Any = None


OBSERVATIONS: Final = Wire.__struct_fields__[6:22]
"""Fields of which an event must have at least one, if it has no features."""
NOT_COUNTED: Final = frozenset(
    {"model", "model_version", "event_time", "event_id", "features", "segment", "status", "error_type"}
    | {"type", "kind", "request_id", "label", "value", "evaluator", "severity", "failure_mode", "user_id"}
)
"""Fields that are not counted as they are."""
WIRE_NAMES: Final = frozenset(Wire.__struct_fields__)
OK_STATUSES: Final = frozenset({"ok", "OK", "success", "succeeded", "completed", "200"})
ABSENT: Final[Sequence[Any]] = ()


class CanonicalAdapter:
    """The decoder of canonical events. Holds no state between batches."""

    def __init__(self, limits: Limits | None = None, *, is_compiled: bool = True) -> None:
        """Read events within limits. is_compiled: by templates where their reader was built."""
        self._limits = limits or Limits()
        self._lanes = Lanes(Wire)
        compiled = reader() if is_compiled else None
        self._templates = Templates(compiled, WIRE_NAMES, self._limits.features_max) if compiled else None

    def decode(self, values: Sequence[bytes | None]) -> Columns:
        """Give the columns of a batch.

        Cost: 2 to 3 microseconds per event of 900 bytes, and about half of that where templates are compiled.
        """
        columns = Columns()
        limit = self._limits.message_bytes_max
        try:
            is_plain = max(map(len, values), default=0) <= limit  # type: ignore[arg-type]
        except TypeError:  # a tombstone
            is_plain = False
        messages: Sequence[int] = range(len(values))
        read: list[Part] = []
        if is_plain and self._templates:
            read, left = self._templates.read(values)  # type: ignore[arg-type]  # each has a length
            messages = messages if len(left) == len(values) else left.tolist()
        if messages:
            own = values if len(messages) == len(values) else [values[i] for i in messages]
            read += _by_struct(*self._read(own, messages, columns, is_plain=is_plain))
        parts = [self._inferences(values, *part, columns) for part in read]
        messages, cells = _merged([part for part in parts if part[0]])
        if not messages:
            return columns
        keep = self._accept(messages, cells, columns)
        if keep is not None:
            messages = [messages[i] for i in keep]
            cells = {name: tuple(column[i] for i in keep) for name, column in cells.items()}
        if messages:
            self._fill(columns, messages, cells)
        return columns

    def _inferences(
        self, values: Sequence[bytes | None], messages: Sequence[int], cells: Cells, columns: Columns
    ) -> Part:
        """Take annotations and outcomes into the columns; give the rest."""
        messages, cells = take_annotations(values, messages, cells, columns)
        return take_outcomes(messages, cells, columns)

    def _read(
        self, values: Sequence[bytes | None], messages: Sequence[int], columns: Columns, *, is_plain: bool
    ) -> tuple[Sequence[int], list[Any]]:
        """Read the payloads of messages; is_plain: all are there, and none is too large."""
        if is_plain:
            try:
                return messages, self._lanes.decode_all(values)  # type: ignore[arg-type]
            except (ValueError, RecursionError):
                pass  # at least one is not well-formed: read them one by one
        kept: list[int] = []
        events: list[Wire] = []
        for message, value in zip(messages, values, strict=True):
            event = self._read_one(value)
            if isinstance(event, Rejection):
                columns.rejected.append((message, event))
            else:
                kept.append(message)
                events.append(event)
        return kept, events

    def _read_one(self, value: bytes | None) -> Wire | Rejection:
        if not value:
            return Rejection.EMPTY
        if len(value) > self._limits.message_bytes_max:
            return Rejection.TOO_LARGE
        try:
            event: Wire = self._lanes.decode(value)
        except (ValueError, RecursionError):
            return _read_leniently(value)
        return event

    def _accept(self, messages: Sequence[int], cells: Cells, columns: Columns) -> list[int] | None:
        """Take out what can't be counted; None: keep all, else the positions to keep."""
        names, types = cells.get("model", ABSENT), cells.get("type", ABSENT)
        is_plain = (
            set(map(type, types)) <= {str, type(None)}
            and set(types) <= {None, "inference"}
            and set(map(type, names)) == {str}
            and min(map(len, set(names))) > 0
            and max(map(len, set(names))) <= NAME_CHARS_MAX
            and self._has_features(cells["features"])
        )
        times = times_of(cells.get("event_time", ABSENT)) if is_plain else None
        if times is not None:
            columns.times_s = times
            return None
        keep: list[int] = []
        kept_times: list[float] = []
        late: list[int] = []
        for i, (message, cell) in enumerate(zip(messages, zip(*cells.values(), strict=True), strict=True)):
            verdict = self._accept_one(Wire(**dict(zip(cells, cell, strict=True))))
            if isinstance(verdict, Rejection):
                columns.rejected.append((message, verdict))
            elif isinstance(verdict, str):
                late.append(i)
            else:
                keep.append(i)
                kept_times.append(verdict)
        columns.times_s = np.array(kept_times, dtype=np.float64)
        add_outcomes(
            [messages[i] for i in late], {name: [column[i] for i in late] for name, column in cells.items()}, columns
        )
        return keep

    def _has_features(self, column: Sequence[Any]) -> bool:
        """Tell whether every event has features, and not too many."""
        if isinstance(column, BlockFeatures):
            return True
        kinds = {kind for kind in set(map(type, column)) if not issubclass(kind, (LaneFeatures, BlockRow))}
        if not kinds:
            return True
        if kinds != {dict}:
            return False
        return max(len(features) for features in column if type(features) is dict) <= self._limits.features_max

    def _accept_one(self, event: Wire) -> float | str | Rejection:
        """Give the event time of an inference, OUTCOME if it is one, or why it is neither."""
        if event.type not in (None, "inference"):
            return Rejection.BAD_KIND
        if event.model is None or event.model == "":
            return Rejection.NO_MODEL
        if not isinstance(event.model, str) or len(event.model) > NAME_CHARS_MAX:
            return Rejection.BAD_TYPE
        if not (event.features is None or isinstance(event.features, (dict, LaneFeatures, BlockRow))):
            return Rejection.BAD_TYPE
        if event.features is None and all(getattr(event, name) is None for name in OBSERVATIONS):
            return OUTCOME if event.kind is not None else Rejection.NO_OBSERVATION
        return time_or_rejection(event.event_time)

    def _fill(self, columns: Columns, messages: Sequence[int], cells: Cells) -> None:
        n = len(messages)
        none = (None,) * n
        columns.messages = messages
        columns.models = cells["model"]
        columns.versions = _texts(cells.get("model_version", none), "")
        ids = cells.get("event_id", none)
        is_plain = set(map(type, ids)) <= {str, type(None)}
        columns.event_ids = ids if is_plain else [None if v is None else str(v) for v in ids]
        columns.request_ids = ids_of(cells.get("request_id", none))
        users = cells.get("user_id", none)
        columns.user_ids = () if users.count(None) == n else ids_of(users)
        columns.features = self._bounded(columns, cells["features"])
        segments = cells.get("segment", none)
        columns.segments = segments if set(map(type, segments)) <= {dict, type(None)} else _mappings(segments)
        for name, column in cells.items():
            if name not in NOT_COUNTED and (column[0] is not None or column.count(None) < n):
                columns.fields[name] = column
        actions, unsafe = cells.get("guardrail_action", none), cells.get("unsafe", none)
        if actions.count(None) < n:
            columns.fields |= guardrail_fields(actions, unsafe)
        status, error = cells.get("status", none), cells.get("error_type", none)
        if status.count(None) < n or error.count(None) < n:
            columns.fields["error"] = _errors(status, error)

    def _bounded(self, columns: Columns, column: Sequence[Any]) -> Sequence[Any]:
        """Give features without those beyond the limit, which neither lanes nor templates ever have."""
        if isinstance(column, BlockFeatures):
            return column
        kinds = set(map(type, column))
        if dict not in kinds and type(None) not in kinds:
            return column
        most = self._limits.features_max
        found = [{} if f is None else f for f in column]
        excess = [len(f) - most for f in found if type(f) is dict and len(f) > most]
        if not excess:
            return found
        columns.dropped_features = sum(excess)
        return [dict(islice(f.items(), most)) if type(f) is dict else f for f in found]


def _by_struct(messages: Sequence[int], events: Sequence[msgspec.Struct]) -> Iterator[Part]:
    """Give events as columns, those of each struct apart: outcomes and inferences rarely share one."""
    kinds: dict[type[msgspec.Struct], None] = dict.fromkeys(map(type, events))
    for kind in kinds:
        own, chosen = messages, events
        if len(kinds) > 1:
            at = [i for i, event in enumerate(events) if type(event) is kind]
            own, chosen = [messages[i] for i in at], [events[i] for i in at]
        columns = zip(*map(msgspec.structs.astuple, chosen), strict=True)
        names = kind.__struct_fields__
        yield own, {name: column for name, column in zip(names, columns, strict=True) if name in WIRE_NAMES}


def _merged(parts: Sequence[Part]) -> Part:
    """Give parts as one, in the order of messages; a field that no part can have is not there."""
    if len(parts) <= 1:
        return parts[0] if parts else ((), {})
    messages = np.concatenate([np.asarray(own, dtype=np.int64) for own, _ in parts])
    order = np.argsort(messages)
    cells: Cells = {}
    for name in dict.fromkeys(chain.from_iterable(cells for _, cells in parts)):
        column = chain.from_iterable(own.get(name, (None,) * len(at)) for at, own in parts)
        cells[name] = np.fromiter(column, dtype=object, count=len(order))[order].tolist()
    return messages[order].tolist(), cells


def _texts(column: Sequence[Any], missing: str) -> Sequence[str]:
    """Give names as text of bounded length: numbers become what they look like."""
    if set(map(type, column)) == {str} and max(map(len, column)) <= NAME_CHARS_MAX:
        return column
    return [missing if v is None else str(v)[:NAME_CHARS_MAX] for v in column]


def _mappings(column: Sequence[Any]) -> Sequence[Any]:
    return [value if type(value) is dict else None for value in column]


def _errors(status: Sequence[Any], error: Sequence[Any]) -> Sequence[bool | None]:
    if error.count(None) == len(error) and set(map(type, status)) <= {str, type(None)}:
        said = {value: _is_error(value, None) for value in set(status)}
        return [said[value] for value in status] if len(said) > 1 else list(said.values()) * len(status)
    pairs = list(zip(status, error, strict=True))
    try:
        known = {pair: _is_error(*pair) for pair in set(pairs)}
    except TypeError:  # a list or an object among them
        return [_is_error(*pair) for pair in pairs]
    return [known[pair] for pair in pairs]


def _read_leniently(value: bytes) -> Wire | Rejection:
    """Read what msgspec refused with the standard library; NaN, Infinity and 1e999 are numbers to it."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return Rejection.NOT_UTF8
    try:
        found = json.loads(text)
    except RecursionError:
        return Rejection.TOO_DEEP
    except ValueError:
        return Rejection.NOT_JSON
    if not isinstance(found, dict):
        return Rejection.NOT_OBJECT
    try:  # half a character, as "\\ud800" writes it, fits no file, label or hash
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Rejection.NOT_UTF8
    return Wire(**{name: item for name, item in found.items() if name in WIRE_NAMES})


def _is_error(status: Any, error_type: Any) -> bool | None:
    """Give whether the call failed; None when the event says nothing of it.

    Numbers are HTTP status codes: 400 and up failed.
    """
    if error_type is not None and error_type != "":
        return True
    if status is None:
        return None
    if type(status) is str:
        return status not in OK_STATUSES and not (status.isdecimal() and int(status[:9]) < 400)
    return bool(status >= 400) if type(status) in (int, float) else True
