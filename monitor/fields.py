"""The fixed fields of an event, and how a feature's kind is told from its first value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from monitor.domain import Kind
from monitor.join.terms import Task

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
    "blocked": Kind.YES_NO,
    "bypassed": Kind.YES_NO,
    "bypass_reason": Kind.CATEGORICAL,
    "delivered_unsafe": Kind.YES_NO,
}
"""`prediction` is not among them: it is numeric or categorical, as its first value says."""
DERIVED: Final = frozenset({"error", "blocked", "bypassed", "bypass_reason", "delivered_unsafe"})
"""Those that no event carries: they follow from others."""
PREDICTION: Final = "prediction"
VOLUME: Final = "events"
FEATURE_PREFIX: Final = "features."
LABEL: Final = "label"
OUTCOME_FIELDS: Final[Mapping[str, Kind]] = {
    "correct": Kind.YES_NO,
    "precision": Kind.YES_NO,
    "recall": Kind.YES_NO,
    "specificity": Kind.YES_NO,
    "confusion": Kind.CATEGORICAL,
    "score_positive": Kind.NUMERIC,
    "score_negative": Kind.NUMERIC,
    "score_right": Kind.NUMERIC,
    "score_wrong": Kind.NUMERIC,
    "brier": Kind.LOG,
    "log_loss": Kind.LOG,
    "abs_error": Kind.LOG,
    "squared_error": Kind.LOG,
    "over_error": Kind.LOG,
    "under_error": Kind.LOG,
    "severity_error": Kind.LOG,
    "abstention": Kind.YES_NO,
    "overridden": Kind.YES_NO,
    "escalated": Kind.YES_NO,
    "failure_mode": Kind.CATEGORICAL,
    "critical_failure_mode": Kind.CATEGORICAL,
    "label_age_s": Kind.LOG,
    "success": Kind.YES_NO,
    "success_cost_usd": Kind.LOG,
    "success_tokens": Kind.LOG,
    "labelled": Kind.YES_NO,
}
"""What an inference and its outcome say together. `label` is not among them: it is as `prediction`."""
FEEDBACK: Final = "feedback"
OUTCOME_PREFIXES: Final = ("evaluation.", f"{FEEDBACK}.")
"""Fields named by who judged: yes/no. `feedback` alone: nobody in particular."""
SCORE_SUFFIX: Final = ".score"
"""What the names of those that are numbers end with."""
EXPONENTS: Final[Mapping[str, int]] = {
    "latency_s": -14,
    "ttft_s": -14,
    "tokens_in": 0,
    "tokens_out": 0,
    "cost_usd": -20,
    "brier": -26,
    "log_loss": -20,
    "severity_error": -13,
    "label_age_s": -2,
    "success_cost_usd": -20,
    "success_tokens": 0,
}
"""Where the logarithmic grids start, as powers of two: 61 microseconds, 1 token, a millionth of a dollar."""
ERROR_EXPONENTS: Final[Mapping[str, tuple[int, int]]] = {
    "abs_error": (1, -19),
    "over_error": (1, -19),
    "under_error": (1, -19),
    "squared_error": (2, -22),
}
"""Errors have the unit of what is predicted: the grid starts at a power of the first label's own power of two, times
another."""
UNIT_FIELDS: Final = frozenset({"score_positive", "score_negative", "score_right", "score_wrong"})
"""Scores that are probabilities: their grids are 57 equal bins on [0, 1]."""
TOGETHER: Final = (
    ("score_right", "score_wrong"),
    ("score_positive", "score_negative"),
    ("precision", "recall", "specificity"),
)
"""Fields by which rows are parted: what is normal of them must be learned from the same rows."""
IGNORE: Final = "ignore"


@dataclass(frozen=True, slots=True)
class Watch:
    """How the events of one model are taken apart.

    segments: names counted apart. kinds: feature glob to kind or "ignore". task: what its answers are. auto_segments:
    how many more segments are found by themselves.
    """

    segments: tuple[str, ...] = ()
    kinds: tuple[tuple[str, str], ...] = ()
    task: Task = field(default_factory=Task)
    auto_segments: int = 0

    def has_segment(self, name: str) -> bool:
        """Tell whether values of this name may be counted apart."""
        return name in self.segments or self.auto_segments > 0

    def configured(self, feature: str) -> str | None:
        """Give the configured kind of a feature, None if it is to be told from the values."""
        return next((kind for glob, kind in self.kinds if fnmatchcase(feature, glob)), None)


def known_kinds(field: str) -> frozenset[Kind]:
    """Give the kinds that a field may have; none of a field that no stream ever has."""
    if field == VOLUME:
        return frozenset({Kind.VOLUME})
    if field in (PREDICTION, LABEL) or field.startswith(FEATURE_PREFIX):
        return frozenset({Kind.NUMERIC, Kind.CATEGORICAL})
    if (kind := fixed_kind(field)) is not None:
        return frozenset({kind})
    return frozenset()


def fixed_kind(name: str) -> Kind | None:
    """Give the kind of a fixed field; None where it is told from the first value, which is a number or a name."""
    known = FIELDS.get(name) or OUTCOME_FIELDS.get(name)
    if known is None and (name == FEEDBACK or name.startswith(OUTCOME_PREFIXES)):
        return Kind.NUMERIC if name.endswith(SCORE_SUFFIX) else Kind.YES_NO
    return known


def kind_of_field(name: str, value: object) -> Kind | None:
    """Give the kind of a fixed field's stream; None while no value tells that there is one, or what it is."""
    return None if value is None else fixed_kind(name) or kind_of_value(value)


def is_of_outcomes(name: str) -> bool:
    """Tell whether a field is of inferences and outcomes together, and not of inferences alone."""
    return name in OUTCOME_FIELDS or name in (LABEL, FEEDBACK) or name.startswith(OUTCOME_PREFIXES)


def exponent_of(name: str, scale: int | None) -> int:
    """Give where the logarithmic grid of a field starts. scale: power of two of what is predicted, None: unknown."""
    if name in ERROR_EXPONENTS:
        power, start = ERROR_EXPONENTS[name]
        return power * (scale or 0) + start
    return EXPONENTS.get(name, 0)


def kind_of_value(value: object) -> Kind | None:
    """Give the kind that a value suggests; None for null, lists and objects."""
    if type(value) in (str, bool):
        return Kind.CATEGORICAL
    return Kind.NUMERIC if type(value) in (int, float) else None
