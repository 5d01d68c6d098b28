"""The fixed fields of an event, and how a feature's kind is told from its first value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from monitor.domain import Kind

FIELDS: Final[Mapping[str, Kind]] = {
    "score": Kind.NUMERIC,
    "latency_s": Kind.LOG,
    "ttft_s": Kind.LOG,
    "tokens_in": Kind.LOG,
    "tokens_out": Kind.LOG,
    "cost_usd": Kind.LOG,
    "unsafe": Kind.YES_NO,
    "refused": Kind.YES_NO,
    "fallback": Kind.YES_NO,
    "error": Kind.YES_NO,
    "finish_reason": Kind.CATEGORICAL,
    "guardrail_action": Kind.CATEGORICAL,
    "endpoint": Kind.CATEGORICAL,
    "route": Kind.CATEGORICAL,
    "sample_rate": Kind.NUMERIC,
}
"""`prediction` is not among them: it is numeric or categorical, as its first value says."""
PREDICTION: Final = "prediction"
VOLUME: Final = "events"
FEATURE_PREFIX: Final = "features."
EXPONENTS: Final[Mapping[str, int]] = {
    "latency_s": -14,
    "ttft_s": -14,
    "tokens_in": 0,
    "tokens_out": 0,
    "cost_usd": -20,
}
"""Where the logarithmic grids start, as powers of two: 61 microseconds, 1 token, a millionth of a dollar."""
IGNORE: Final = "ignore"


@dataclass(frozen=True, slots=True)
class Watch:
    """How the events of one model are taken apart.

    segments: names counted apart. kinds: feature glob to kind or "ignore". auto_segments: how many more are found by
    themselves.
    """

    segments: tuple[str, ...] = ()
    kinds: tuple[tuple[str, str], ...] = ()
    auto_segments: int = 0

    def has_segment(self, name: str) -> bool:
        """Tell whether values of this name may be counted apart."""
        return name in self.segments or self.auto_segments > 0

    def configured(self, feature: str) -> str | None:
        """Give the configured kind of a feature, None if it is to be told from the values."""
        return next((kind for glob, kind in self.kinds if fnmatchcase(feature, glob)), None)


def kind_of_value(value: object) -> Kind | None:
    """Give the kind that a value suggests; None for null, lists and objects."""
    if type(value) in (str, bool):
        return Kind.CATEGORICAL
    return Kind.NUMERIC if type(value) in (int, float) else None
