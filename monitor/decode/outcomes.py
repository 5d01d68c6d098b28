"""Outcome events among canonical ones: which they are, and their columns.

An event is an outcome if its `type` says so, or if it has a `kind` and neither a type nor a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from monitor.decode.base import Columns
from monitor.decode.times import time_or_rejection, times_of
from monitor.domain import Rejection

OUTCOME_KINDS: Final = frozenset({"label", "feedback", "override", "escalation", "evaluation"})
OUTCOME: Final = "outcome"
"""The type of an outcome."""
ID_CHARS_MAX: Final = 1_024
"""Longer ids are cut: what is told apart by more is told apart by its hash nowhere."""

Cells = dict[str, Sequence[Any]]
"""Columns of a batch by field; a field that no event can have is not there."""
Part = tuple[Sequence[int], Cells]
"""Messages, ascending, and their columns."""


def take_outcomes(messages: Sequence[int], cells: Cells, columns: Columns) -> Part:
    """Take the outcomes out of a batch, into the columns; give the messages and cells of all others.

    Cost: two passes over a column where there are none.
    """
    kinds, types = cells.get("kind"), cells.get("type")
    if (kinds is None or kinds.count(None) == len(kinds)) and (types is None or OUTCOME not in types):
        return messages, cells
    none = (None,) * len(messages)
    each = zip(types or none, cells.get("model", none), kinds or none, strict=True)
    is_outcome = [t == OUTCOME or (t is None and m is None and k is not None) for t, m, k in each]
    own = [i for i, is_one in enumerate(is_outcome) if is_one]
    add_outcomes([messages[i] for i in own], _some(cells, own), columns)
    if not own:
        return messages, cells
    rest = [i for i, is_one in enumerate(is_outcome) if not is_one]
    return [messages[i] for i in rest], _some(cells, rest)


def _some(cells: Cells, chosen: Sequence[int]) -> Cells:
    return {name: [column[i] for i in chosen] for name, column in cells.items()}


def add_outcomes(messages: Sequence[int], cells: Mapping[str, Sequence[Any]], columns: Columns) -> None:
    """Add outcomes to the columns, or why they are none. cells: by field, of these messages alone."""
    if not messages:
        return
    none = (None,) * len(messages)
    ids, kinds, given = cells.get("request_id", none), cells.get("kind", none), cells.get("event_time", none)
    times = times_of(given) if set(map(type, kinds)) == {str} and set(kinds) <= OUTCOME_KINDS else None
    plain = times is not None and set(map(type, ids)) == {str} and "" not in ids
    times_s = times.tolist() if times is not None and plain else []
    kept: Sequence[int] = range(len(messages))
    if not plain:
        found = [_accept(*each) for each in zip(ids, kinds, given, strict=True)]
        kept = [i for i, verdict in enumerate(found) if not isinstance(verdict, Rejection)]
        times_s = [verdict for verdict in found if not isinstance(verdict, Rejection)]
        bad = [(messages[i], verdict) for i, verdict in enumerate(found) if isinstance(verdict, Rejection)]
        columns.rejected.extend(bad)
    out = columns.outcomes
    out.messages.extend(messages[i] for i in kept)
    out.kinds.extend(kinds[i] for i in kept)
    out.request_ids.extend(_id_of(ids[i]) for i in kept)
    out.times_s.extend(times_s)
    named = (("label", out.labels), ("value", out.values), ("evaluator", out.evaluators))
    for name, column in (*named, ("severity", out.severities), ("failure_mode", out.failure_modes)):
        cell = cells.get(name, none)
        column.extend(cell[i] for i in kept)


def _accept(request_id: Any, kind: Any, event_time: Any) -> float | Rejection:
    """Give the time of an outcome, or why it is none."""
    if request_id is None or request_id == "" or type(request_id) not in (str, int):
        return Rejection.NO_REQUEST_ID
    if not isinstance(kind, str) or kind not in OUTCOME_KINDS:
        return Rejection.BAD_KIND
    return time_or_rejection(event_time)


def _id_of(value: Any) -> str:
    return str(value)[:ID_CHARS_MAX]


def ids_of(column: Sequence[Any]) -> Sequence[str | None]:
    """Give the ids that events name as text; what is neither text nor a whole number is none."""
    kinds = set(map(type, column))
    if kinds <= {str, type(None)}:
        return column if kinds != {str} or max(map(len, column)) <= ID_CHARS_MAX else list(map(_id_of, column))
    return [_id_of(value) if type(value) in (str, int) and value != "" else None for value in column]
