"""What is remembered of an inference and of an outcome that wait for each other, and its form in bytes."""

from __future__ import annotations

from typing import Any, Final

import msgspec


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
