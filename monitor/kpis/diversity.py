"""Failure diversity: how many ways there are to fail, how evenly they share, and whether they spread.

All read `failure_mode`, a categorical stream of the failures alone. What it counts as "other" or unseen is taken for
one mode each, since no more is known of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.special import gammaln

from monitor.bins import CATEGORIES_MAX
from monitor.detectors.evidence import chi_square_nats, rate_evidence
from monitor.domain import FloatArray, Kind
from monitor.kpis.base import UNKNOWN, Cell, Estimate, StreamCounts
from monitor.kpis.limits import ratio_of, share_limits, share_of, z_of

FIELD: Final = "failure_mode"
NOT_TOLD: Final = ("(other)", "(unseen)")
"""Stand for the modes beyond those that have a bin of their own."""


def modes_of(stream: StreamCounts | None) -> dict[str, int]:
    """Give how often each mode came, without those that never did."""
    if stream is None or stream.kind is not Kind.CATEGORICAL:
        return {}
    names = [*stream.categories[:CATEGORIES_MAX]]
    names += [""] * (CATEGORIES_MAX - len(names))
    return {name: int(n) for name, n in zip((*names, *NOT_TOLD), stream.valued(), strict=True) if n > 0}


def _counts_of(cell: Cell, field: str) -> FloatArray:
    return np.array([*modes_of(cell.get(field)).values()], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class DistinctModes:
    """Distinct failure modes that were seen, of `only` those named if any are; a count.

    low is the value: they were seen. high allows for modes that were not: the upper limit of Chao's estimate
    S + (n-1)/n f1 (f1 - 1) / (2 (f2 + 1)), log-normal, where f1 and f2 modes came once and twice; with `only`, at most
    how many those are. Guarantee: low always; high asymptotic, and Chao's estimate is itself a lower bound of what
    exists, so modes rarer than about 1 / n may hide beyond it.
    Source: Chao (1987), Biometrics 43; bias-corrected with its variance in Chao and Chiu (2016), Wiley StatsRef.
    """

    name: str = "distinct_modes"
    field: str = FIELD
    only: frozenset[str] = frozenset()
    unit: str = "count"
    is_higher_better: bool | None = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the number; unknown without failures."""
        modes = modes_of(cell.get(self.field))
        samples = sum(modes.values())
        if samples == 0:
            return UNKNOWN
        counts = [n for name, n in modes.items() if not self.only or name in self.only]
        high = _chao_limit(len(counts), samples, counts.count(1), counts.count(2), z_of(alpha))
        most = float(len(self.only)) if self.only else math.inf
        return Estimate(float(len(counts)), float(len(counts)), min(high, most), samples)


def _chao_limit(seen: int, samples: int, once: int, twice: int, z: float) -> float:
    """Give the upper limit of the number of kinds of which `seen` were seen."""
    shrink = (samples - 1.0) / samples
    hidden = shrink * once * (once - 1.0) / (2.0 * (twice + 1.0))
    if hidden == 0.0:
        return float(seen)
    variance = (
        hidden
        + shrink**2 * once * (2.0 * once - 1.0) ** 2 / (4.0 * (twice + 1.0) ** 2)
        + shrink**2 * once**2 * twice * (once - 1.0) ** 2 / (4.0 * (twice + 1.0) ** 4)
    )
    return seen + hidden * math.exp(z * math.sqrt(math.log1p(variance / hidden**2)))


@dataclass(frozen=True, slots=True)
class Entropy:
    """Entropy of the failure modes, bias-corrected: -sum p log p + (K - 1) / 2n, in nats; 0 for one mode alone.

    exp of it is the number of equally common modes that would be as diverse. Interval: normal, variance
    (sum p log^2 p - H^2) / n + (K - 1) / 2n^2, at least 0; the second term counts where modes are equally common and
    the first is 0. One mode alone: up to the entropy with one more, as common as it may be unseen.
    Guarantee: asymptotic, for modes that come several times each.
    Source: Miller (1955), Note on the bias of information estimates; Basharin (1959), Theory of Probability 4, and
    the variance of half a chi-square with K - 1 degrees of freedom over n, which is what is left for equal modes.
    """

    name: str = "failure_entropy"
    field: str = FIELD
    unit: str = "nats"
    is_higher_better: bool | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the entropy; unknown without failures."""
        counts = _counts_of(cell, self.field)
        if not len(counts):
            return UNKNOWN
        value, variance = _entropy_of(counts)
        half = z_of(alpha) * math.sqrt(variance)
        if len(counts) == 1:
            half = _entropy_with_one(share_limits(0.0, float(counts.sum()), alpha)[1])
        return Estimate(value, max(value - half, 0.0), value + half, int(counts.sum()))


def _entropy_of(counts: FloatArray) -> tuple[float, float]:
    """Give the corrected entropy, in nats, and the variance of that estimate."""
    samples, kinds = float(counts.sum()), len(counts)
    shares = counts / samples
    logs = np.log(shares)
    plain = -float(shares @ logs)
    first = max(float(shares @ (logs * logs)) - plain * plain, 0.0) / samples
    return plain + (kinds - 1.0) / (2.0 * samples), first + (kinds - 1.0) / (2.0 * samples**2)


def _entropy_with_one(share: float) -> float:
    """Give the entropy of two modes, one of this share; above 1/2, the most that two can have."""
    rare = min(share, 0.5)
    return -rare * math.log(rare) - (1.0 - rare) * math.log1p(-rare)


@dataclass(frozen=True, slots=True)
class LargestShare:
    """Share of the commonest failure mode, ratio: near 1, one cause is behind most failures.

    Interval: the largest of the modes' lower limits, and of their upper ones, at alpha over their number, so that it
    holds for whichever mode is the commonest in truth. Guarantee: misses with at most alpha, for independent failures.
    Source: limits.share_limits, Bonferroni's inequality.
    """

    name: str = "failure_largest_share"
    field: str = FIELD
    unit: str = "ratio"
    is_higher_better: bool | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the share; unknown without failures."""
        return largest_share_of(_counts_of(cell, self.field), alpha)


def largest_share_of(counts: FloatArray, alpha: float) -> Estimate:
    """Give the share of the greatest of several counts, as LargestShare has it."""
    samples = float(counts.sum())
    if samples == 0.0:
        return UNKNOWN
    most = float(counts.max())
    # Limits grow with the count, so both are those of the commonest; one never seen has the limit of 0 hits.
    low, high = share_limits(most, samples, alpha / (len(counts) + 1.0))
    return Estimate(most / samples, low, high, int(samples))


@dataclass(frozen=True, slots=True)
class Herfindahl:
    """Chance that two failures are of one mode: sum n_k (n_k - 1) / (n (n - 1)), without bias; ratio, 1 for one mode.

    Interval: normal for its logarithm, of Simpson's variance (4 (n-2) (sum p^3 - q^2) + 2 (q - q^2)) / (n (n-1)) with
    q = sum p^2, which counts where modes are equally common too. Where one mode is all: down to the square of the least
    share that it can have. Guarantee: asymptotic. Unknown below two failures.
    Source: Simpson (1949), Nature 163; Herfindahl (1950).
    """

    name: str = "failure_herfindahl"
    field: str = FIELD
    unit: str = "ratio"
    is_higher_better: bool | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Give the one field."""
        return (self.field,)

    def estimate(self, cell: Cell, alpha: float) -> Estimate:
        """Give the concentration."""
        return pair_share_of(_counts_of(cell, self.field), alpha)


def pair_share_of(counts: FloatArray, alpha: float) -> Estimate:
    """Give the chance that two of those counted are of one kind, as Herfindahl has it."""
    samples = float(counts.sum())
    if samples < 2.0:
        return UNKNOWN
    value, variance = _pairs_of(counts)
    half = z_of(alpha) * math.sqrt(variance)
    if value == 0.0:
        return Estimate(0.0, 0.0, half, int(samples))
    low, high = value * math.exp(-half / value), min(value * math.exp(half / value), 1.0)
    if counts.max() == samples:
        low = share_limits(samples, samples, alpha)[0] ** 2
    return Estimate(value, low, high, int(samples))


@dataclass(frozen=True, slots=True)
class OverSegments:
    """How failures concentrate on segments: largest_share_of or pair_share_of over failures by segment; ratio.

    A segment with many events has many failures too: it is where failures are, not where they are likely. Guarantee,
    interval and source: LargestShare, Herfindahl.
    """

    name: str
    measure: Callable[[FloatArray, float], Estimate]
    fields: tuple[str, ...] = (FIELD,)
    unit: str = "ratio"
    is_higher_better: bool | None = None

    def estimate_across(self, cells: Mapping[str, Cell], alpha: float) -> Estimate:
        """Give the concentration; unknown below two segments that hold anything, and without failures."""
        counts = [float(_counts_of(cell, field).sum()) for cell in cells.values() if cell for field in self.fields]
        return self.measure(np.array(counts), alpha) if len(counts) > 1 else UNKNOWN


def _pairs_of(counts: FloatArray) -> tuple[float, float]:
    """Give the chance that two of at least two failures are of one mode, and the variance of that estimate."""
    samples = float(counts.sum())
    value = float(counts @ (counts - 1.0)) / (samples * (samples - 1.0))
    return value, _pairs_variance(counts / samples, samples)


def _pairs_variance(shares: FloatArray, samples: float) -> float:
    """Give the variance of the estimated chance of a pair, for modes of these shares."""
    square, cube = float(shares @ shares), float(shares @ shares**2)
    variance = 4.0 * (samples - 2.0) * (cube - square**2) + 2.0 * (square - square**2)
    return max(variance, 0.0) / (samples * (samples - 1.0))


class Expansion(NamedTuple):
    """What two cells say about the growth of failure modes. evidence: nats, of either the set or the spread growing.

    new: modes of the later cell that the earlier one never saw, commonest first. of_set: nats that more modes are new
    than a shuffle of the failures over the two cells makes. growth: how many times as many modes there are in effect,
    with its interval: the chance that two failures are of one mode, before by now. of_spread: nats that it is above 1.
    """

    evidence: float
    new: tuple[str, ...]
    of_set: float
    growth: Estimate
    of_spread: float


def expansion_of(before: Cell, now: Cell, alpha: float, field: str = FIELD) -> Expansion:
    """Give the evidence that failures spread over more modes in the later of two cells; "expands rapidly" of KPIS.

    Of the set: under no change the cells are a shuffle of all failures, so a mode that came m times in all is in the
    later cell alone with chance p = C(n, m) / C(N, m), n of N failures being there. That x of k modes are new has the
    evidence k KL(x/k || mean p) (detectors.evidence.rate_evidence). Of the spread: the normal tail of the difference of
    logarithms of the two chances of a pair, by its standard error with one more failure of a mode of its own on either
    side. Those chances have no bias, however few failures there are, which entropies have: of 40 modes with a long
    tail, 30 failures against 300 seem to spread. evidence is the greater less log 2, for the choice among the two.
    Guarantee: of the set, P(evidence >= e) <= exp(-e) for any numbers, as shuffled indicators are negatively
    associated (Joag-Dev and Proschan (1983), Annals of Statistics 11) and Chernoff's bound then holds with the mean
    chance (Hoeffding (1956), Annals of Mathematical Statistics 27); of the spread, asymptotic, and held in
    simulation from 30 failures on (tests/unit/kpis/test_diversity.py). For independent failures: one cause that fails
    many requests at once is one failure. That failures became more is not growth here.
    Cost: O(modes).
    """
    earlier, later = modes_of(before.get(field)), modes_of(now.get(field))
    names = earlier.keys() | later.keys()
    pooled = np.array([earlier.get(name, 0) + later.get(name, 0) for name in names], dtype=np.float64)
    fresh = sorted(later.keys() - earlier.keys(), key=lambda name: (-later[name], name))
    some = float(sum(later.values()))
    of_set = _newness(pooled, some, len(fresh)) if earlier and later else 0.0
    pairs = Herfindahl(field=field)
    growth = ratio_of(pairs.estimate(before, alpha), pairs.estimate(now, alpha))
    of_spread = _growth(_counts_of(before, field), _counts_of(now, field))
    best = max(of_set, of_spread) - math.log(2.0)
    return Expansion(max(best, 0.0), tuple(fresh), of_set, growth, of_spread)


@dataclass(frozen=True, slots=True)
class FailureExpansion:
    """Evidence that failures spread over more modes than in the reference, in nats: expansion_of; "expands rapidly".

    low is what is left of it beyond a chance of alpha/2, so above 0 only where such evidence comes by chance with at
    most that; high is the value. Guarantee and source: there.
    """

    name: str = "failure_expansion"
    unit: str = "nats"
    fields: tuple[str, ...] = (FIELD,)
    is_higher_better: bool | None = False

    def estimate_against(self, usual: Cell, now: Cell, alpha: float) -> Estimate:
        """Give the evidence; unknown without failures on either side."""
        samples = sum(modes_of(now.get(FIELD)).values())
        if not samples or not modes_of(usual.get(FIELD)):
            return UNKNOWN
        nats = expansion_of(usual, now, alpha).evidence
        return Estimate(nats, max(nats - math.log(2.0 / alpha), 0.0), nats, samples)


@dataclass(frozen=True, slots=True)
class FailureGrowth:
    """How many times as many failure modes there are in effect as in the reference: expansion_of's growth; ratio.

    Guarantee, interval and source: Herfindahl, of both; a ratio of two chances of a pair (limits.ratio_of). Modes that
    the reference never saw are one mode here, since they have no bins of their own.
    """

    name: str = "failure_growth"
    unit: str = "ratio"
    fields: tuple[str, ...] = (FIELD,)
    is_higher_better: bool | None = False

    def estimate_against(self, usual: Cell, now: Cell, alpha: float) -> Estimate:
        """Give the growth; unknown below two failures on either side."""
        growth = expansion_of(usual, now, alpha).growth
        return growth if math.isfinite(growth.value) else UNKNOWN


@dataclass(frozen=True, slots=True)
class NewModes:
    """Failures of modes that the reference never saw, among all failures; ratio, interval as shares.Share.

    Guarantee: of the share, exact. A reference of n failures lacks modes rarer than about 1 / n by chance alone, so a
    limit below that fires without anything new.
    """

    name: str = "new_failure_modes"
    unit: str = "ratio"
    fields: tuple[str, ...] = (FIELD,)
    is_higher_better: bool | None = False

    def estimate_against(self, usual: Cell, now: Cell, alpha: float) -> Estimate:
        """Give the share; unknown without failures on either side."""
        before, modes = modes_of(usual.get(FIELD)), modes_of(now.get(FIELD))
        if not before:
            return UNKNOWN
        fresh = sum(count for mode, count in modes.items() if mode not in before)
        return share_of(fresh, sum(modes.values()), alpha)


def _newness(pooled: FloatArray, some: float, fresh: int) -> float:
    """Give the nats that `fresh` modes of those that came `pooled` times lie among `some` failures alone."""
    total = float(pooled.sum())
    rest = np.maximum(some - pooled, 0.0)
    logs = gammaln(some + 1.0) - gammaln(rest + 1.0) + gammaln(total - pooled + 1.0) - gammaln(total + 1.0)
    chance = np.where(pooled <= some, np.exp(np.minimum(logs, 0.0)), 0.0)
    kinds = float(len(pooled))
    nats = rate_evidence(np.array([float(fresh)]), np.array([kinds]), np.array([float(chance.mean())]))
    return max(float(nats[0]), 0.0)


def _growth(before: FloatArray, now: FloatArray) -> float:
    """Give the nats that two failures are less often of one mode behind the counts `now` than behind `before`."""
    if before.sum() < 2.0 or now.sum() < 2.0:
        return 0.0
    (first, first_error), (second, second_error) = _log_pairs_of(before), _log_pairs_of(now)
    if not first > second:
        return 0.0
    z = (first - second) / math.hypot(first_error, second_error)
    return float(chi_square_nats(np.array([z * z]), np.array([1.0]))[0]) + math.log(2.0)


def _log_pairs_of(counts: FloatArray) -> tuple[float, float]:
    """Give the logarithm of the chance of a pair and its standard error, never 0; -inf and NaN without any pair."""
    value, _ = _pairs_of(counts)
    if value == 0.0:
        return -math.inf, math.nan
    shares = np.append(counts, 1.0) / (counts.sum() + 1.0)
    return math.log(value), math.sqrt(_pairs_variance(shares, float(counts.sum()))) / value
