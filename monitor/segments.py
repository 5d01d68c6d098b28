"""Segments found by themselves: values that many of a model's events have, whatever the segment is called.

Of each model version a frequent-items sketch (Apache DataSketches; Anderson and others, 2017) counts `name=value` of
its events' segments, so that however many values come, memory is bounded. It is short by at most 3.5 in 1,024 of all
that it was given, one for each segment of each event, and never over: with one segment per event no value that 1.4 in
a hundred have is missed, and none that less than one has is taken. A value that is promoted is a segment from then on,
for good. The sketch begins anew after so many events, so that what is frequent only now is found as well.

What is promoted, and when, depends on the events and their order alone: values are noted one by one, and taken when a
pane closes. The sketch drops its least counts by the median of all (it holds fewer than it samples), so what it does
does not depend on how its table came to lie, and it goes on after a restart as if there had been none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import datasketches
import numpy as np

from monitor.domain import StreamKey
from monitor.fields import VOLUME
from monitor.kept import Section, State, under
from monitor.scopes import Scope, Subject

SKETCH_LG: Final = 10
"""Logarithm of the entries of a sketch; about 100 KB with values of 64 characters. Up to 10 all counts are sampled."""
CHECK_EVENTS: Final = 1_000
"""It is seen what is frequent after so many events of a model, when the next pane closes."""
EPOCH_EVENTS: Final = 100_000
"""A sketch begins anew after so many."""
EVENTS_MIN: Final = 100
SHARE_MIN: Final = 0.01
"""A segment is frequent with so many events, and this share of all that have a segment."""
CHARS_MAX: Final = 64
OTHER_VALUE: Final = "(other)"


def segment_text(name: str, value: object) -> str:
    """Give a segment's name, as streams have it."""
    return f"{name}={str(value)[:CHARS_MAX]}"


def is_automatic(subject: Subject, segment: str) -> bool:
    """Tell whether a segment was found by itself, not configured by its name."""
    return bool(segment) and segment.partition("=")[0] not in subject.watch.segments


def has_late_volume(subject: Subject, key: StreamKey) -> bool:
    """Tell whether a stream's volume began in mid-learning: it says nothing of how much traffic is normal."""
    return key.field == VOLUME and subject.watch.auto_segments > 0 and is_automatic(subject, key.segment)


def names_of(subject: Subject, segments: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Give name and value of an event's segments that may be found by themselves, in order of name."""
    for name in sorted(segments):
        is_named = len(name) <= CHARS_MAX and "=" not in name
        if is_named and name not in subject.watch.segments and segments[name] is not None:
            yield name, segments[name]


def counted_in(subject: Subject, name: str, value: object) -> Scope | None:
    """Give where an event counts by a segment found by itself: the value's own, else (other); None before any is."""
    return subject.scopes.get(segment_text(name, value)) or subject.scopes.get(f"{name}={OTHER_VALUE}")


class _Heavy:
    """The frequent segments of one model version. seen: events that had any, ever; epoch: in this sketch."""

    def __init__(self) -> None:
        self.sketch = datasketches.frequent_strings_sketch(SKETCH_LG)
        self.seen = self.epoch = self.checked = 0

    def items(self, least: int) -> list[tuple[int, str]]:
        """Give count and name of all that came so often for certain, the most frequent first."""
        every = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES  # with which 0 gives all that is held
        found = ((int(lower), name) for name, _, lower, _ in self.sketch.get_frequent_items(every, 0))
        return sorted((each for each in found if each[0] >= least), key=lambda each: (-each[0], each[1]))

    def state(self, subject: int) -> State:
        """Give what is kept: the counts, which say all that is still to come of them."""
        items = self.items(1)
        return {
            "subject": subject,
            "names": [name for _, name in items],
            "counts": np.array([count for count, _ in items], dtype=np.int64),
            **{name: getattr(self, name) for name in ("seen", "epoch", "checked")},
        }

    @classmethod
    def of_state(cls, state: State) -> _Heavy:
        """Go on from a state."""
        made = cls()
        for name, count in zip(state["names"], state["counts"].tolist(), strict=True):
            made.sketch.update(name, count)
        made.seen, made.epoch, made.checked = (int(state[name]) for name in ("seen", "epoch", "checked"))
        return made


class HeavySegments:
    """The frequent segments of all model versions that ask for them; see the module."""

    def __init__(self) -> None:
        self._of: dict[int, _Heavy] = {}

    def note(self, subject: int, segments: Sequence[str]) -> None:
        """Note the segments of one event of a model version. Cost: half a microsecond each."""
        heavy = self._of.get(subject)
        if heavy is None:
            heavy = self._of[subject] = _Heavy()
        heavy.seen += 1
        heavy.epoch += 1
        for segment in segments:
            heavy.sketch.update(segment)

    def promoted(self, subjects: Sequence[Subject]) -> Iterator[tuple[Subject, str]]:
        """Give the segments to be counted from here on, and forget nothing: they are given once, being scopes then."""
        for index in sorted(self._of):
            heavy = self._of[index]
            if heavy.seen - heavy.checked < CHECK_EVENTS:
                continue
            heavy.checked = heavy.seen
            subject = subjects[index]
            for segment in self._due(subject, heavy):
                yield subject, segment
            if heavy.epoch >= EPOCH_EVENTS:
                heavy.sketch, heavy.epoch = datasketches.frequent_strings_sketch(SKETCH_LG), 0

    @staticmethod
    def _due(subject: Subject, heavy: _Heavy) -> list[str]:
        room = subject.watch.auto_segments - len(automatic(subject))
        if room <= 0:
            return []
        least = max(EVENTS_MIN, int(SHARE_MIN * heavy.epoch))
        return [name for _, name in heavy.items(least) if name not in subject.scopes][:room]

    def sections(self, prefix: str) -> Iterator[Section]:
        """Give what is kept, each model version by itself."""
        for index, heavy in self._of.items():
            yield Section(f"{prefix}/{index}", f"{heavy.seen}-{heavy.checked}", partial(heavy.state, index))

    def restore(self, prefix: str, states: Mapping[str, State], subjects: Sequence[Subject]) -> None:
        """Go on from a state, but for models that no longer ask for it."""
        for state in sorted((state for _, state in under(f"{prefix}/", states)), key=lambda each: int(each["subject"])):
            index = int(state["subject"])
            if index < len(subjects) and subjects[index].watch.auto_segments:
                self._of[index] = _Heavy.of_state(state)


def automatic(subject: Subject) -> list[str]:
    """Give the segments of a model version that were found by themselves, without those that hold the rest."""
    return [key for key in subject.scopes if is_automatic(subject, key) and not key.endswith(f"={OTHER_VALUE}")]
