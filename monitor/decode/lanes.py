"""Lanes: decoders made for the features that a model was seen to send.

Reading an object of known names and types into a struct is nearly twice as fast as reading it into a dict, and its
values come out in a known order, so that a whole batch is taken apart by column. A lane is only ever a faster way to
the same result: what does not fit it (a new feature, another type) is read the general way, and may open a new lane.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

LANES_MAX: Final = 256
"""Distinct sets of features with a decoder of their own; memory: about 10 kB each."""
HINTS_MAX: Final = 4_096
FEATURES_MAX: Final = 2_000
MISSES_MAX: Final = 8
"""A model whose messages missed its lane so often, against the hits since, is read the general way for a while."""
MODEL_KEY: Final = b'"model":'
HINT_BYTES_MAX: Final = 300
UNKNOWN_MAX: Final = 32
"""Fields that are no part of an event and still pass through lanes; producers with more are read the general way."""
NOTHING: Final = msgspec.Raw()
ODD_NAME: Final = re.compile(r'[\\"\x00-\x1f]')
"""Names with such characters can't be those of a struct's fields."""
BATCHES_SKIPPED: Final = 50
"""Batches for which the one lane is not tried on all messages at once, after a batch in which one did not fit."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A set of features, each always of one type. numbers, names: numeric and text features, in the struct's order."""

    numbers: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """All names, in the struct's order."""
        return self.numbers + self.names


class LaneFeatures(msgspec.Struct, gc=False):
    """The base of the structs that lanes read features into; an absent feature is None, as a null one is."""


def lane_of(struct: type[Any]) -> Lane:
    """Give the lane of a struct type."""
    lane: Lane = struct.lane  # set by _event_struct
    return lane


def _lane_for(features: Any) -> Lane | None:
    """Give the lane for features like these; None if any value does not tell its type, or has one no lane is for."""
    if not isinstance(features, dict) or not 0 < len(features) <= FEATURES_MAX or any(map(ODD_NAME.search, features)):
        return None
    kinds = {name: type(value) for name, value in features.items()}
    numbers = tuple(name for name, kind in kinds.items() if kind in (float, int))
    names = tuple(name for name, kind in kinds.items() if kind is str)
    return Lane(numbers, names) if len(numbers) + len(names) == len(kinds) else None


class Lanes:
    """Reads messages, each by the lane of its model if there is one. wire: the struct of an event read the general way.

    A lane's struct has only the fields of an event that were ever seen with a value: so it is cheaper to take apart.
    """

    def __init__(self, wire: type[msgspec.Struct]) -> None:
        self._wire = wire
        self._names = frozenset(wire.__struct_fields__)
        self._general: Callable[[bytes], Any] = msgspec.json.Decoder(wire).decode
        self._used: frozenset[str] = frozenset()
        self._unknown: frozenset[str] = frozenset()
        self._decoders: dict[Lane, Callable[[bytes], Any]] = {}
        self._of_model: dict[bytes, Callable[[bytes], Any]] = {}
        self._misses: dict[bytes, int] = {}
        self._skips = 0

    def decode_all(self, values: Sequence[bytes]) -> list[Any]:
        """Read a batch of well-formed messages. Raises what msgspec raises for one that it can't read at all."""
        if len(self._decoders) == 1 and not self._skips:
            (only,) = self._decoders.values()
            try:
                return list(map(only, values))
            except (msgspec.ValidationError, UnicodeDecodeError):
                self._skips = BATCHES_SKIPPED
        self._skips = max(0, self._skips - 1)
        return list(map(self.decode, values))

    def decode(self, value: bytes) -> Any:
        """Read one message, by the lane of its model if there is one."""
        at = value.find(MODEL_KEY)
        hint = value[at + 8 : value.find(b",", at)]
        decoder = self._of_model.get(hint)
        if decoder is not None:
            try:
                return decoder(value)
            except (msgspec.ValidationError, UnicodeDecodeError):  # the latter: of a name that is unknown, and no text
                self._miss(hint)
        event = self._general(value)
        if at >= 0 and hint not in self._of_model:
            self._open(hint, value, event.features)
        return event

    def _miss(self, hint: bytes) -> None:
        """Close a lane that a message missed; the model's next message opens one, but not for ever."""
        count = self._misses[hint] = self._misses.get(hint, 0) + 1
        if count > MISSES_MAX:
            self._of_model[hint] = self._general
        else:
            self._of_model.pop(hint, None)

    def _open(self, hint: bytes, value: bytes, features: Any) -> None:
        if len(self._misses) + len(self._of_model) >= HINTS_MAX or len(hint) > HINT_BYTES_MAX:
            return
        lane = _lane_for(features)
        if lane is None or not self._widen(value):
            self._miss(hint)
            return
        if lane not in self._decoders:
            if len(self._decoders) >= LANES_MAX:
                return
            self._decoders[lane] = msgspec.json.Decoder(self._event_struct(lane)).decode
        self._of_model[hint] = self._decoders[lane]

    def _widen(self, value: bytes) -> bool:
        """Take in a message's fields; lanes made for fewer are made anew.

        False if it has too many unknown ones, or one whose name fits no struct.
        """
        try:
            found = frozenset(msgspec.json.decode(value, type=dict[str, msgspec.Raw]))
        except ValueError:  # a name that is no text, which passes where it is not looked at
            return False
        if any(map(ODD_NAME.search, found)):
            return False
        used, unknown = self._used | (found & self._names), self._unknown | (found - self._names)
        if len(unknown) > UNKNOWN_MAX:
            return False
        if (used, unknown) != (self._used, self._unknown):
            self._used, self._unknown = used, unknown
            self._decoders.clear()
            self._of_model = {h: d for h, d in self._of_model.items() if d is self._general}
        return True

    def _event_struct(self, lane: Lane) -> type[msgspec.Struct]:
        """Make the struct of an event of this lane: fields in use, features in a struct, unknown ones passed over."""
        fields: list[Any] = [
            (f"n{i}", float | int | None, msgspec.field(default=None, name=n)) for i, n in enumerate(lane.numbers)
        ]
        fields += [(f"t{i}", str | None, msgspec.field(default=None, name=n)) for i, n in enumerate(lane.names)]
        features = msgspec.defstruct(
            "Features", fields, bases=(LaneFeatures,), namespace={"lane": lane}, forbid_unknown_fields=True, gc=False
        )
        used = [name for name in self._wire.__struct_fields__ if name in self._used and name != "features"]
        every: list[Any] = [("features", features), *((name, Any, None) for name in used)]
        raw = [
            (f"u{i}", msgspec.Raw, msgspec.field(default=NOTHING, name=n)) for i, n in enumerate(sorted(self._unknown))
        ]
        return msgspec.defstruct("Event", [*every, *raw], kw_only=True, forbid_unknown_fields=True, gc=False)
