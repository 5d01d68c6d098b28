"""What is remembered of an inference and of an outcome that wait for each other, and its form in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from monitor.decode.base import Columns


class Inference(msgspec.Struct, array_like=True, gc=False):
    """An inference that outcomes may be about. segments: those that are configured. marks: outcomes that it had.

    New fields go to the end, with a default: older states lack them.
    """

    model: str
    model_version: str
    time_s: float
    prediction: Any = None
    score: Any = None
    segments: dict[str, Any] | None = None
    cost_usd: Any = None
    tokens: Any = None
    marks: tuple[str, ...] = ()


class Outcome(msgspec.Struct, array_like=True, gc=False):
    """An outcome: of what kind, when it was known, and what it says. New fields go to the end, with a default."""

    kind: str
    time_s: float
    label: Any = None
    value: Any = None
    evaluator: str = ""
    severity: str = ""
    failure_mode: str = ""

    @property
    def mark(self) -> str:
        """What tells it from other outcomes of the same inference: two of one mark are one told twice."""
        return f"{self.kind}.{self.evaluator}" if self.evaluator else self.kind


_ENCODER: Final = msgspec.msgpack.Encoder()
encode: Final = _ENCODER.encode
inference_of: Final = msgspec.msgpack.Decoder(Inference).decode
outcomes_of: Final = msgspec.msgpack.Decoder(list[Outcome]).decode
pair_of: Final = msgspec.msgpack.Decoder(tuple[Inference, Outcome]).decode


def inferences_of(columns: Columns, at: Sequence[int]) -> list[Inference]:
    """Give what is remembered of the inferences at some places."""
    none = (None,) * len(columns)
    fields = columns.fields

    def some(column: Sequence[Any]) -> Sequence[Any]:
        return column if len(at) == len(column) else [column[i] for i in at]

    tokens: Sequence[float | None] = none[: len(at)]
    if "tokens_in" in fields or "tokens_out" in fields:
        pairs = zip(some(fields.get("tokens_in", none)), some(fields.get("tokens_out", none)), strict=True)
        tokens = [_sum(*pair) for pair in pairs]
    named = (fields.get(name, none) for name in ("prediction", "score"))
    return list(
        map(
            Inference,
            some(columns.models),
            some(columns.versions),
            columns.times_s[list(at)].tolist(),
            *map(some, named),
            some(columns.segments),
            some(fields.get("cost_usd", none)),
            tokens,
        )
    )


def _sum(*parts: object) -> float | None:
    numbers = [part for part in parts if isinstance(part, (int, float)) and type(part) is not bool]
    return sum(numbers) if numbers else None
