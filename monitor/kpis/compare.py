"""KPIs that compare cells: segments with each other (fairness), one version or stretch of time with another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from monitor.kpis.base import UNKNOWN, Cell, Estimate, Kpi, flags_of
from monitor.kpis.limits import difference_of, ratio_of, share_of


def change_of(before: Estimate, now: Estimate) -> Estimate:
    """Give how much a KPI is higher now than before, in its unit; see limits.difference_of."""
    return difference_of(now, before)


def lift_of(incumbent: Estimate, candidate: Estimate) -> Estimate:
    """Give the candidate's KPI by the incumbent's, less 1: 0.05 is 5 % more. For KPIs >= 0; see limits.ratio_of."""
    ratio = ratio_of(candidate, incumbent)
    return Estimate(ratio.value - 1.0, ratio.low - 1.0, ratio.high - 1.0, ratio.samples)


@dataclass(frozen=True, slots=True)
class SelectionRate:
    """Share of the joined rows that were predicted positive; ratio, interval as shares.Share.

    `precision` counts those predicted positive, `recall` and `specificity` those labelled positive and negative.
    """

    name: str = "selection_rate"
    unit: str = "ratio"
    fields: tuple[str, ...] = ("precision", "recall", "specificity")
    is_higher_better: bool | None = None

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the share; unknown without labels, and where the streams don't count the same rows."""
        positive, labelled, others = (flags_of(cell, field)[1] for field in self.fields)
        rows = labelled + others
        return share_of(positive, rows, alpha) if positive <= rows else UNKNOWN


@dataclass(frozen=True, slots=True)
class GroupDifference:
    """Largest difference of a KPI between any two groups, in its unit; 0 is parity.

    Interval: of each pair's difference (limits.difference_of) at alpha over the number of pairs, so that all hold
    together, and so does the largest: from the largest low of |difference| to the largest high. Guarantee: as those of
    the pairs, by Bonferroni's inequality; for two groups it is the plain one. Chance alone makes the largest of many
    differences: judge by low, not by value.
    Source: Newcombe (1998), Statistics in Medicine 17; the measures, Hardt, Price and Srebro (2016), NeurIPS.
    """

    name: str
    kpi: Kpi
    is_higher_better: bool | None = False

    @property
    def unit(self) -> str:
        """Give the unit of the KPI."""
        return self.kpi.unit

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the fields of the KPI."""
        return self.kpi.fields

    def estimate_across(self, cells: Mapping[str, Cell], alpha: float) -> Estimate:
        """Give the largest difference; unknown below two groups in which the KPI is known."""
        gaps = [difference_of(first, second) for first, second in _pairs(self.kpi, cells, alpha)]
        if not gaps:
            return UNKNOWN
        value = max(abs(gap.value) for gap in gaps)
        low = max(max(gap.low, -gap.high, 0.0) for gap in gaps)
        high = max(max(gap.high, -gap.low) for gap in gaps)
        return Estimate(value, low, high, min(gap.samples for gap in gaps))


@dataclass(frozen=True, slots=True)
class GroupRatio:
    """Smallest ratio of a KPI between any two groups, the lesser by the greater; 1 is parity, 0.8 the four-fifths rule.

    "0.8 to 1.25" asks that this is at least 0.8. Interval: of each pair's ratio (limits.ratio_of) at alpha over the
    number of pairs: from the smallest low to the smallest high, at most 1. Guarantee as GroupDifference. A pair of two
    zeros has no ratio and is left out.
    Source: Zou and Donner (2008), Statistics in Medicine 27; Uniform Guidelines (1978), 29 CFR 1607.4 D.
    """

    name: str
    kpi: Kpi
    unit: str = "ratio"
    is_higher_better: bool | None = True

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the fields of the KPI."""
        return self.kpi.fields

    def estimate_across(self, cells: Mapping[str, Cell], alpha: float) -> Estimate:
        """Give the smallest ratio; unknown below two groups in which the KPI is known and not 0 in both."""
        pairs = (sorted(pair, reverse=True) for pair in _pairs(self.kpi, cells, alpha))
        ratios = [(ratio_of(less, more), ratio_of(more, less)) for more, less in pairs if more.value > 0.0]
        if not ratios:
            return UNKNOWN
        low = min(min(there.low, back.low) for there, back in ratios)
        high = min(there.high for there, _ in ratios)
        return Estimate(min(there.value for there, _ in ratios), low, min(high, 1.0), min(r.samples for r, _ in ratios))


@dataclass(frozen=True, slots=True)
class WorstDifference:
    """The largest of several GroupDifferences, such as equalised odds: of recall and of specificity; in their unit.

    Interval: each at alpha over their number; from the largest low to the largest high. Guarantee as GroupDifference.
    """

    name: str
    differences: tuple[GroupDifference, ...]
    is_higher_better: bool | None = False

    @property
    def unit(self) -> str:
        """Give the unit, which they share."""
        return self.differences[0].unit

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the fields of all, each once."""
        return tuple(dict.fromkeys(field for each in self.differences for field in each.fields))

    def estimate_across(self, cells: Mapping[str, Cell], alpha: float) -> Estimate:
        """Give the largest; unknown while one of them is."""
        found = [each.estimate_across(cells, alpha / len(self.differences)) for each in self.differences]
        if any(each.samples == 0 for each in found):
            return UNKNOWN
        values, lows, highs, samples = zip(*found, strict=True)
        return Estimate(max(values), max(lows), max(highs), min(samples))


def _pairs(kpi: Kpi, cells: Mapping[str, Cell], alpha: float) -> Iterator[tuple[Estimate, Estimate]]:
    """Give the estimates of every two groups that have a finite one, at alpha over the number of pairs."""
    known = [cell for cell in cells.values() if math.isfinite(kpi.estimate(cell, alpha).value)]
    pairs = len(known) * (len(known) - 1) // 2
    yield from combinations([kpi.estimate(cell, alpha / max(pairs, 1)) for cell in known], 2)
