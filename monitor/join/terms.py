"""How inferences and outcomes are joined, and what an outcome says of a model's answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

POSITIVE: Final = ("1", "true", "yes", "positive")
NEGATIVE: Final = ("0", "false", "no", "negative")
"""What the two classes are called where the configuration does not say."""
SEVERITIES: Final[Mapping[str, float]] = {"critical": 10.0, "high": 5.0, "medium": 2.0, "low": 1.0}
"""What an error of each severity weighs, where the configuration does not say; 1 without a severity."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a model's answers are, and when one is right.

    kind: classification, regression, or auto: told by the first label. positive: names of the positive class, in lower
    case; empty: POSITIVE. threshold: of the score, from which on the positive class is predicted where an event has no
    prediction. severities: weight of an error by the outcome's severity. abstentions: predictions that are none.
    abstain_below: scores below it (of the predicted class) count as abstaining. success: the field that says whether
    the task succeeded, auto: `correct`, or an evaluation named task_success. maturity_s: see JoinTerms, None: as there.
    """

    kind: str = "auto"
    positive: tuple[str, ...] = ()
    threshold: float = 0.5
    severities: Mapping[str, float] = field(default_factory=lambda: dict(SEVERITIES))
    abstentions: tuple[str, ...] = ()
    abstain_below: float | None = None
    success: str = "auto"
    maturity_s: float | None = None


@dataclass(frozen=True, slots=True)
class JoinTerms:
    """How inferences and outcomes are brought together.

    mode: on; off; or auto: inferences are kept from the first outcome on. ttl_s: how long either waits for the other.
    maturity_s: an outcome counts once its inference is so old, so that windows hold whole cohorts and not only the
    quick labels. absence_s: an inference that nobody has overridden or escalated by then was not. sample: share of
    requests that are joined, told by their id, so that both sides keep the same ones. pending_max: inferences that
    wait; beyond, the oldest are forgotten. key_by_event: an inference without a request_id has its event_id's.
    learn_rows: values of a stream of outcomes from which its reference is learned.
    """

    mode: str = "off"
    ttl_s: float = 7 * 86_400.0
    maturity_s: float = 0.0
    absence_s: float = 3_600.0
    sample: float = 1.0
    pending_max: int = 10_000_000
    key_by_event: bool = True
    learn_rows: int = 500

    @property
    def horizon_s(self) -> float:
        """How old an inference is when it is told what it was not."""
        return max(self.absence_s, self.maturity_s)
