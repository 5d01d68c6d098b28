"""Shares: yes of yes and no, one category of all, what was found of what was evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.bins import CATEGORIES_MAX
from monitor.domain import Kind
from monitor.kpis.base import UNKNOWN, Cell, Estimate, flags_of
from monitor.kpis.diversity import modes_of
from monitor.kpis.limits import complement, share_of
from monitor.kpis.means import numeric_mean_of


@dataclass(frozen=True, slots=True)
class Share:
    """Yes of yes and no of a yes/no stream; "not checked" is never in the denominator. Ratio, 0 to 1.

    is_complement: 1 - that, such as trust = 1 - override rate. Guarantee, source: limits.share_limits (Clopper and
    Pearson), for independent events.
    """

    name: str
    field: str
    is_higher_better: bool | None = True
    is_complement: bool = False
    unit: str = "ratio"

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the share; unknown where nothing was checked."""
        share = share_of(*flags_of(cell, self.field), alpha)
        return complement(share) if self.is_complement else share


@dataclass(frozen=True, slots=True)
class CategoryShare:
    """Share of the values of a categorical stream that are one of `categories`. Ratio, 0 to 1; interval as Share.

    Rare categories that were counted as "other" or unseen are in the denominator alone.
    """

    name: str
    field: str
    categories: frozenset[str]
    is_higher_better: bool | None = True
    unit: str = "ratio"

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the share; unknown without values."""
        stream = cell.get(self.field)
        if stream is None or stream.kind is not Kind.CATEGORICAL:
            return UNKNOWN
        names = enumerate(stream.categories[:CATEGORIES_MAX])
        hits = sum(int(stream.counts[bin_]) for bin_, name in names if name in self.categories)
        return share_of(hits, stream.samples(), alpha)


def shares_by_category(cell: Cell, field: str, alpha: float) -> Mapping[str, Estimate]:
    """Give the share of each category of a categorical stream that came: of reasons why a guardrail was bypassed, say.

    What has no bin of its own is (other) or (unseen). Each has its own interval, as Share; for all together take alpha
    over their number. Commonest first.
    """
    counts = modes_of(cell.get(field))
    found = sorted(counts, key=lambda name: (-counts[name], name))
    return {name: share_of(counts[name], sum(counts.values()), alpha) for name in found}


@dataclass(frozen=True, slots=True)
class Finding:
    """What evaluators or people found: `evaluation.<name>` or `feedback.<name>`, the share of yes, or the mean value.

    Of a yes/no stream the share (as Share), of a numeric one the mean (means.numeric_mean_of), which is a ratio only if
    the values are. Guarantee, source: there.
    """

    name: str
    field: str
    is_higher_better: bool | None = None
    unit: str = "ratio"

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the share or mean; unknown where nothing was evaluated."""
        stream = cell.get(self.field)
        if stream is not None and stream.kind is Kind.NUMERIC:
            return numeric_mean_of(stream, alpha)
        return share_of(*flags_of(cell, self.field), alpha)
