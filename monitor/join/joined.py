"""What goes through the join: outcomes as they came, and rows of inferences and outcomes as they come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from monitor.decode.base import Columns
from monitor.join.answers import Fields
from monitor.join.records import Inference, Outcome


class Told(NamedTuple):
    """An outcome as it came. message: its place in the batch. asked: the id of its inference, in eight bytes."""

    message: int
    asked: bytes
    said: Outcome


@dataclass(slots=True)
class Joined:
    """What came of a run of messages: rows to be counted, and inferences that were marked.

    rows: as columns, of which models, versions, times_s, segments and fields are set. times_s: when each counts at the
    earliest. marked: field, and the inference it is true of.
    """

    models: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    segments: list[Mapping[str, Any] | None] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    fields: list[Fields] = field(default_factory=list)
    marked: list[tuple[str, Inference]] = field(default_factory=list)

    def add(self, asked: Inference, time_s: float, fields: Fields) -> None:
        """Add a row."""
        self.models.append(asked.model)
        self.versions.append(asked.model_version)
        self.segments.append(asked.segments)
        self.times_s.append(time_s)
        self.fields.append(fields)

    def columns(self) -> Columns:
        """Give the rows as columns; a field that a row has not is None there."""
        names = dict.fromkeys(name for row in self.fields for name in row)
        return Columns(
            messages=range(len(self.fields)),
            models=self.models,
            versions=self.versions,
            times_s=np.array(self.times_s, dtype=np.float64),
            segments=self.segments,
            fields={name: [row.get(name) for row in self.fields] for name in names},
        )
