"""What an adapter gives: messages as columns, and what could not be read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Protocol

import msgspec
import numpy as np

from monitor.decode.blocks import BlockFeatures, BlockRow
from monitor.decode.lanes import LaneFeatures, lane_of
from monitor.domain import FloatArray, IntArray, Rejection


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of one message is read.

    message_bytes_max: larger ones are rejected. features_max: per event, the rest is dropped.
    """

    message_bytes_max: int = 1 << 20
    features_max: int = 10_000


@dataclass(slots=True)
class Outcomes:
    """m outcome events in order of arrival; every sequence has length m.

    messages: index of the message each came from. kinds: as in canonical.OUTCOME_KINDS. request_ids: which inference
    each is about. times_s: event time. labels, values, evaluators, severities, failure_modes: as sent; None: absent.
    """

    messages: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    evaluators: list[Any] = field(default_factory=list)
    severities: list[Any] = field(default_factory=list)
    failure_modes: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.messages)

    def ordered(self) -> Outcomes:
        """Give them in the order of their messages."""
        if all(before <= after for before, after in pairwise(self.messages)):
            return self
        return self.at(sorted(range(len(self)), key=self.messages.__getitem__))

    def until(self, latest_s: float) -> Outcomes:
        """Give them with no time after `latest_s`."""
        if max(self.times_s, default=latest_s) <= latest_s:
            return self
        return replace(self, times_s=[min(time_s, latest_s) for time_s in self.times_s])

    def at(self, chosen: Sequence[int]) -> Outcomes:
        """Give some of them: those at these places, in this order."""
        return Outcomes(*([getattr(self, each.name)[i] for i in chosen] for each in fields(self)))

    def before(self, message: int) -> int:
        """Give how many of them, in order, came before a message."""
        return bisect_left(self.messages, message)

    def cut(self, run: slice) -> Outcomes:
        """Give a run of them."""
        if run.stop - run.start == len(self):
            return self
        return Outcomes(*(getattr(self, each.name)[run] for each in fields(self)))


Features = Mapping[str, Any] | LaneFeatures | BlockRow
"""The features of one event, whichever way they were read."""


def as_mapping(features: Features) -> Mapping[str, Any]:
    """Give an event's features by name."""
    if isinstance(features, BlockRow):
        return features.mapping()
    if isinstance(features, LaneFeatures):
        return dict(zip(lane_of(type(features)).features, msgspec.structs.astuple(features), strict=True))
    return features


def some_of(features: Sequence[Features], chosen: IntArray) -> Sequence[Features]:
    """Give the features of some events."""
    if isinstance(features, BlockFeatures):
        return features.at(chosen)
    return [features[i] for i in chosen.tolist()] if features else ()


@dataclass(slots=True)
class Columns:
    """n inference events in order of arrival; every sequence has length n unless said otherwise.

    messages: index of the message each event came from (a message may hold many). times_s: shape (n,), event time.
    fields: the fixed fields that at least one event carries (see domain of `streams.FIELDS`); None: absent or null.
    request_ids: by which outcomes refer to each, None where nothing says. user_ids: who asked, None where nothing says;
    empty where no event does. outcomes: the outcome events, of a length of their own. annotations: message and what it
    says (see notes). rejected: message and reason. dropped_features: features beyond the limit, not read.
    """

    messages: Sequence[int] = ()
    models: Sequence[str] = ()
    versions: Sequence[str] = ()
    times_s: FloatArray = field(default_factory=lambda: np.empty(0))
    event_ids: Sequence[str | None] = ()
    request_ids: Sequence[str | None] = ()
    user_ids: Sequence[str | None] = ()
    features: Sequence[Features] = ()
    segments: Sequence[Mapping[str, Any] | None] = ()
    fields: dict[str, Sequence[Any]] = field(default_factory=dict)
    outcomes: Outcomes = field(default_factory=Outcomes)
    annotations: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    rejected: list[tuple[int, Rejection]] = field(default_factory=list)
    dropped_features: int = 0

    def __len__(self) -> int:
        return len(self.messages)

    def at(self, chosen: IntArray) -> Columns:
        """Give some of the events: those at these places, in this order."""
        keep = chosen.tolist()

        def pick(column: Sequence[Any]) -> list[Any]:
            return [column[i] for i in keep]

        return self._each(pick, self.times_s[chosen], some_of(self.features, chosen))

    def cut(self, run: slice) -> Columns:
        """Give a run of the events."""
        if run.stop - run.start == len(self):
            return self
        return self._each(lambda column: column[run], self.times_s[run], self.features[run])

    def _each(
        self, pick: Callable[[Sequence[Any]], Sequence[Any]], times_s: FloatArray, features: Sequence[Features]
    ) -> Columns:
        return Columns(
            messages=pick(self.messages),
            models=pick(self.models),
            versions=pick(self.versions),
            times_s=times_s,
            event_ids=pick(self.event_ids),
            request_ids=pick(self.request_ids),
            user_ids=pick(self.user_ids) if self.user_ids else (),
            features=features,
            segments=pick(self.segments),
            fields={name: pick(column) for name, column in self.fields.items()},
        )


class Adapter(Protocol):
    """Turns the bytes of one producer's format into columns; called by the pipeline in the loop thread, per batch."""

    def decode(self, values: Sequence[bytes | None]) -> Columns:
        """Give the columns. Never raises on data: one bad message costs one message, with a bounded reason."""
        ...
