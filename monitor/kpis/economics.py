"""Unit economics: what a prediction, a thousand of them and a success cost, in money and tokens.

Cost and tokens per prediction are means of streams of inferences; per success, those of joined inferences by the share
that succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.kpis.base import UNKNOWN, Cell, Estimate, flags_of, log_counts_of
from monitor.kpis.limits import quotient_of, share_of
from monitor.kpis.means import log_mean_of


@dataclass(frozen=True, slots=True)
class PerSuccess:
    """Mean of a LOG stream of all joined inferences, failures too, by the share of them that succeeded; unit of field.

    That is all cost by all successes. Interval: low of the mean by high of the share, and the other way round, both at
    alpha (limits.quotient_of), as the counts don't tell whether successes are the cheap ones: it holds for any
    correlation. Infinite while nothing succeeded. Guarantee: as the mean's (means.log_mean_of), else conservative.
    """

    name: str
    unit: str
    amount: str
    success: str = "success"
    is_higher_better: bool | None = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Give both fields."""
        return (self.amount, self.success)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the amount per success; unknown without amounts or without successes and failures told."""
        amount = log_mean_of(cell, self.amount, alpha)
        return quotient_of(amount, share_of(*flags_of(cell, self.success), alpha))


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens per prediction, in and out together: the sum of the two means.

    Interval: the sum of the ends, as inputs and outputs of one request go together; it holds for any correlation.
    Guarantee, source: means.log_mean_of. With one of the streams alone it is that one's mean.
    """

    name: str = "tokens_per_prediction"
    unit: str = "tokens"
    fields: tuple[str, ...] = ("tokens_in", "tokens_out")
    is_higher_better: bool | None = False

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the mean; unknown without values."""
        means = [log_mean_of(cell, field, alpha) for field in self.fields if log_counts_of(cell, field)[1].sum() > 0.0]
        if not means:
            return UNKNOWN
        value, low, high = (sum(ends) for ends in zip(*(mean[:3] for mean in means), strict=True))
        return Estimate(value, low, high, min(mean.samples for mean in means))
