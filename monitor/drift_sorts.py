"""Sorts of drift: of what goes in, of what comes out, of what is right, and of the relation between them.

Features, predictions and labels may drift while a model is as good as ever. Concept drift is that it is right less
often, or further off, than it was: it is seen in the errors, so only where outcomes are joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from monitor.fields import FEATURE_PREFIX, LABEL, PREDICTION

CONCEPT: Final = "concept drift"
OTHERS: Final = ("feature drift", "prediction drift", "label drift")
_ERRORS: Final = ("correct", "abs_error", "squared_error", "over_error", "under_error", "brier", "log_loss")
_KPIS: Final = ("accuracy", "mae", "rmse", "estimation_gap")
SORTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        PREDICTION: OTHERS[1],
        "score": OTHERS[1],
        LABEL: OTHERS[2],
        **dict.fromkeys((*_ERRORS, "severity_error", *_KPIS), CONCEPT),
    }
)
"""By field, or KPI; every feature is of the first of OTHERS."""
NO_DRIFT: Final = frozenset({"null_rate", "invalid_rate", "unseen_rate", "out_of_range_rate", "burn", "anomaly"})
"""Statistics that say something else of a field than that its values have moved."""


def sort_of(statistic: str, field: str) -> str:
    """Give the sort of drift that a statistic of a field tells of, "" where it is none."""
    if statistic in NO_DRIFT:
        return ""
    return OTHERS[0] if field.startswith(FEATURE_PREFIX) else SORTS.get(field, "")
