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
    "label_age_s": Kind.LOG,
    "success": Kind.YES_NO,
    "success_cost_usd": Kind.LOG,
    "success_tokens": Kind.LOG,
    "labelled": Kind.YES_NO,
    "blocked": Kind.YES_NO,
    "bypassed": Kind.YES_NO,
    "bypass_reason": Kind.CATEGORICAL,
    "delivered_unsafe": Kind.YES_NO,
}
"""What an inference and its outcome say together, and guardrails. `label` is not among them: it is as `prediction`."""
FEEDBACK: Final = "feedback"
OUTCOME_PREFIXES: Final = ("evaluation.", f"{FEEDBACK}.")
"""Fields named by who judged: yes/no or numeric, as the first value says. `feedback` alone: nobody in particular."""
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

    segments: names counted apart. kinds: feature glob to kind or "ignore".
    """

    segments: tuple[str, ...] = ()
    kinds: tuple[tuple[str, str], ...] = ()

    def configured(self, feature: str) -> str | None:
        """Give the configured kind of a feature, None if it is to be told from the values."""
        return next((kind for glob, kind in self.kinds if fnmatchcase(feature, glob)), None)


def known_kinds(field: str) -> frozenset[Kind]:
    """Give the kinds that a field may have; none of a field that no stream ever has."""
    kind = Kind.VOLUME if field == VOLUME else FIELDS.get(field) or OUTCOME_FIELDS.get(field)
    if kind is not None:
        return frozenset({kind})
    if field in (PREDICTION, LABEL) or field.startswith(FEATURE_PREFIX):
        return frozenset({Kind.NUMERIC, Kind.CATEGORICAL})
    if field == FEEDBACK or field.startswith(OUTCOME_PREFIXES):
        return frozenset({Kind.NUMERIC, Kind.YES_NO})
    return frozenset()


def kind_of_value(value: object) -> Kind | None:
    """Give the kind that a value suggests; None for null, lists and objects."""
    if type(value) in (str, bool):
        return Kind.CATEGORICAL
    return Kind.NUMERIC if type(value) in (int, float) else None
