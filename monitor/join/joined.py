"""What goes through the join: outcomes as they came, and rows of inferences and outcomes as they come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monitor.decode.base import Columns
from monitor.join.answers import Fields
from monitor.join.records import Inference, Outcome


class Told(NamedTuple):
    """An outcome as it came. message: its place in the batch. asked: the id of its inference, in eight bytes."""

    message: int
    asked: bytes
    said: Outcome


class Row(NamedTuple):
    """What an inference and an outcome say together.

    message: the place in the batch of the one that came last. marks: of the inference, before this outcome. time_s:
    when it counts at the earliest. fields: may be none. marked: what the inference is by this outcome, "" if nothing.
    result: what became of the outcome: joined, or late. is_guess: what kind of task it is, this pair alone told.
    """

    message: int
    asked: Inference
    told: Outcome
    marks: tuple[str, ...]
    time_s: float
    fields: Fields
    marked: str = ""
    result: str = "joined"
    is_guess: bool = False


def columns_of(rows: Sequence[Row]) -> Columns:
    """Give rows as columns: messages, models, versions, times, segments and fields; what a row lacks is None.

    They have neither ids nor features.
    """
    names = dict.fromkeys(name for row in rows for name in row.fields)
    return Columns(
        messages=[row.message for row in rows],
        models=[row.asked.model for row in rows],
        versions=[row.asked.model_version for row in rows],
        times_s=np.array([row.time_s for row in rows], dtype=np.float64),
        event_ids=[None] * len(rows),
        request_ids=[None] * len(rows),
        features=[{}] * len(rows),
        segments=[row.asked.segments for row in rows],
        fields={name: [row.fields.get(name) for row in rows] for name in names},
    )
