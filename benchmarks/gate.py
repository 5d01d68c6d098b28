"""The gate under continuous looking: how often it is wrong, and how soon it decides.

    python -m benchmarks.gate [--quick]

Simulated A/B traffic, many runs of each kind of criterion, looked at 60 times in the events that a test of fixed size
would take, up to five times as many. At the margin itself, where it is hardest: false_pass and false_fail are the
shares of runs that ever said so, each at the alpha that stands for it. At the design effect on either side of the
margin: events_ratio is the mean of the events at the decision over those that a test of fixed size, of the same alpha
and a power of 0.8, needs; runs that had not decided count with all they saw. Exits with 1 where a figure breaks its
bar.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import binomtest, norm

from benchmarks.report import options, show
from monitor.bins import LOG_INNER, log_bin, log_edges, log_values
from monitor.domain import FloatArray, IntArray
from monitor.gate.contrasts import Contrast, Scale
from monitor.gate.evidence import log_evidence
from monitor.gate.means import Mean, mean_contrast
from monitor.gate.quantiles import Distribution, quantile_contrast
from monitor.gate.rates import Rate, rate_contrast

ALPHA: Final = 0.05
POWER: Final = 0.8
LOOKS_PER_TEST: Final = 60
TESTS: Final = 5
LOOKS: Final = LOOKS_PER_TEST * TESTS
SAMPLES_MIN: Final = 100
RATIO_MAX: Final = 1.5
SURPRISE: Final = 0.001
"""A rate of errors breaks the bar where chance alone, at alpha, would give as many in fewer than so many benchmarks."""
EXPONENT: Final = -14
QUANTILE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of criterion.

    traffic: the incumbent's events for each of the candidate's. level: of the incumbent: a rate, or the standard
    deviation of a log-normal value's logarithm.
    """

    name: str
    level: float
    margin: float
    effect: float
    traffic: float
    scale: Scale = Scale.RELATIVE


RATES: Final = (
    Case("success", 0.85, 0.05, 0.05, 1.0),
    Case("success_canary", 0.80, 0.0, 0.05, 19.0),
    Case("violations", 0.005, 0.002, 0.002, 1.0, Scale.POINTS),
    Case("violations_canary", 0.001, 0.001, 0.001, 19.0, Scale.POINTS),
)
MEANS: Final = (Case("cost", 1.0, 0.10, 0.10, 1.0), Case("cost_canary", 1.0, 0.10, 0.10, 10.0))
QUANTILES: Final = (Case("latency_p95", 0.5, 0.10, 0.10, 1.0),)


class Result(NamedTuple):
    """What came of a case: shares of runs, and mean events of the candidate."""

    false_pass: int
    false_fail: int
    runs: int
    events_ratio: float
    fixed_events: float
    wrong: float


Simulate = Callable[[Case, float, IntArray, np.random.Generator], Contrast]
"""Case, the candidate's true value relative to the incumbent's (or its rate), events at the looks: one run's
contrasts."""


def rates(case: Case, true: float, events: IntArray, rng: np.random.Generator) -> Contrast:
    """Simulate one run of a rate. Incumbent's events come as they like."""
    steps = np.diff(events, prepend=0)
    others = rng.poisson(steps * case.traffic)
    hits, hits_other = rng.binomial(steps, true), rng.binomial(others, case.level)
    own = Rate(hits.cumsum().astype(float), events.astype(float))
    other = Rate(hits_other.cumsum().astype(float), np.maximum(others.cumsum(), 1).astype(float))
    return rate_contrast(own, other, np.full(len(events), case.margin), case.scale)


def means(case: Case, true: float, events: IntArray, rng: np.random.Generator) -> Contrast:
    """Simulate one run of a mean of log-normal values, as their bins tell them."""
    own, other = (_moments(value, case.level, at, rng) for value, at in ((true, events), (1.0, _others(case, events))))
    return mean_contrast(own, other, np.full(len(events), case.margin), case.scale)


def _others(case: Case, events: IntArray) -> IntArray:
    return np.maximum((events * case.traffic).astype(np.int64), 1)


def _moments(value: float, sigma: float, at: IntArray, rng: np.random.Generator) -> Mean:
    values = log_values(EXPONENT)[_bins(value * np.exp(-(sigma**2) / 2.0), sigma, int(at[-1]), rng)]
    n = at.astype(float)
    first, second, third = (np.cumsum(values**power)[at - 1] / n for power in (1, 2, 3))
    variance = second - first**2
    return Mean(first, variance, third - 3.0 * first * second + 2.0 * first**3, 1.0 / n, 1.0 / n**2)


def _bins(median: float, sigma: float, n: int, rng: np.random.Generator) -> IntArray:
    return log_bin(median * np.exp(sigma * rng.standard_normal(n)), np.full(n, EXPONENT))


def quantiles(case: Case, true: float, events: IntArray, rng: np.random.Generator) -> Contrast:
    """Simulate one run of the p95 of log-normal values."""
    own, other = (_counts(value, case.level, at, rng) for value, at in ((true, events), (1.0, _others(case, events))))
    log_grid = np.log(log_edges(EXPONENT))
    found = [
        quantile_contrast(_distribution(mine, log_grid), _distribution(theirs, log_grid), QUANTILE, case.margin)
        for mine, theirs in zip(own, other, strict=True)
    ]
    return Contrast(*(np.array([float(getattr(each, name)[0]) for each in found]) for name in Contrast._fields))


def _distribution(counts: FloatArray, log_grid: FloatArray) -> Distribution:
    samples = counts.sum()
    return Distribution(log_grid, counts.cumsum()[:-1] / samples, float(samples))


def _counts(median: float, sigma: float, at: IntArray, rng: np.random.Generator) -> FloatArray:
    bins = _bins(median, sigma, int(at[-1]), rng)
    look = np.repeat(np.arange(len(at)), np.diff(at, prepend=0))
    flat = np.bincount(look * (LOG_INNER + 2) + bins, minlength=len(at) * (LOG_INNER + 2))
    counts: FloatArray = flat.reshape(len(at), LOG_INNER + 2).cumsum(axis=0).astype(float)
    return counts


def fixed_events(case: Case, side: float) -> float:
    """Give the candidate's events that a one-sided test of fixed size needs to see the design effect on one side.

    (z_alpha sqrt(variance at the margin) + z_power sqrt(variance at the effect))^2 / distance^2, per event.
    """
    slope = 1.0 + case.margin if case.scale is Scale.RELATIVE else 1.0
    change = case.margin + side * case.effect
    if case in RATES:
        own = [_true(case, at) for at in (case.margin, change)]
        other = slope**2 * case.level * (1.0 - case.level) / case.traffic
        variances = [p * (1.0 - p) + other for p in own]
        distance = own[1] - own[0]
    elif case in MEANS:
        relative = float(np.expm1(case.level**2))
        variances = [relative * ((1.0 + at) ** 2 + slope**2 / case.traffic) for at in (case.margin, change)]
        distance = case.effect
    else:
        density = norm.pdf(norm.ppf(QUANTILE)) / case.level
        variances = [QUANTILE * (1.0 - QUANTILE) / density**2 * (1.0 + 1.0 / case.traffic)] * 2
        distance = np.log((1.0 + change) / slope)
    needed = norm.isf(ALPHA) * np.sqrt(variances[0]) + norm.isf(1.0 - POWER) * np.sqrt(variances[1])
    return float((needed / distance) ** 2)


def _true(case: Case, change: float) -> float:
    """Give the candidate's true value at a change."""
    if case not in RATES:
        return 1.0 + change
    return case.level * (1.0 + change) if case.scale is Scale.RELATIVE else case.level + change


def decided(case: Case, contrast: Contrast, events: IntArray) -> tuple[int, int]:
    """Give the looks at which a run first proves a change above and below the margin; LOOKS for never."""
    is_due = (events >= SAMPLES_MIN) & (events * case.traffic >= SAMPLES_MIN)
    looks = []
    for sign in (1.0, -1.0):
        evidence = log_evidence(Contrast(sign * contrast.z, contrast.info), case.effect)
        is_enough = is_due & (evidence >= -np.log(ALPHA))
        looks.append(int(is_enough.argmax()) if is_enough.any() else LOOKS)
    return looks[0], looks[1]


def run(case: Case, simulate: Simulate, runs: int, rng: np.random.Generator) -> Result:
    """Simulate a case: at the margin, and at the design effect on either side."""
    null = fixed_events(case, 1.0 if case.margin - case.effect < -1.0 else -1.0)
    events = _looks(null)
    at_margin = [decided(case, simulate(case, _true(case, case.margin), events, rng), events) for _ in range(runs)]
    above, below = (sum(look[side] < LOOKS for look in at_margin) for side in (0, 1))
    ratios: list[float] = []
    fixed: list[float] = []
    wrong = 0
    for side in (1.0, -1.0):
        true = _true(case, case.margin + side * case.effect)
        if case in RATES and not 0.0 < true < 1.0:
            continue
        needed = fixed_events(case, side)
        events = _looks(needed)
        for _ in range(runs):
            own, other = decided(case, simulate(case, true, events, rng), events)[:: int(side)]
            ratios.append(float(events[min(own, other, LOOKS - 1)]) / needed)
            wrong += other < own
        fixed.append(needed)
    return Result(above, below, runs, float(np.mean(ratios)), float(np.mean(fixed)), wrong / len(ratios))


def _looks(fixed: float) -> IntArray:
    return np.maximum(1, np.round(fixed / LOOKS_PER_TEST * np.arange(1, LOOKS + 1))).astype(np.int64)


def main() -> int:
    """Run all cases; give the exit code."""
    quick = options(__doc__ or "").quick
    rng = np.random.default_rng(6)
    rows: dict[str, object] = {}
    figures: dict[str, float | int | None] = {}
    is_good = True
    kinds: tuple[tuple[tuple[Case, ...], Simulate, int], ...] = (
        (RATES, rates, 300 if quick else 2_000),
        (MEANS, means, 100 if quick else 1_000),
        (QUANTILES, quantiles, 40 if quick else 400),
    )
    for cases, simulate, runs in kinds:
        for case in cases:
            found = run(case, simulate, runs, rng)
            shares = found.false_pass / runs, found.false_fail / runs
            rows[case.name] = (
                f"above {shares[0]:.3f}  below {shares[1]:.3f}  of {runs} runs at the margin;"
                f"  events {found.events_ratio:.2f} of {found.fixed_events:,.0f};  wrong there {found.wrong:.3f}"
            )
            is_lower_better = case.name.startswith(("violations", "cost", "latency"))
            passed, failed = shares[::-1] if is_lower_better else shares
            figures |= {f"false_pass_{case.name}": passed, f"false_fail_{case.name}": failed}
            figures[f"events_ratio_{case.name}"] = found.events_ratio
            errors = max(found.false_pass, found.false_fail)
            is_chance = binomtest(errors, runs, ALPHA, alternative="greater").pvalue >= SURPRISE
            is_good = is_good and is_chance and found.events_ratio <= RATIO_MAX
    worst = max(value or 0.0 for name, value in figures.items() if name.startswith("events_ratio"))
    figures |= {"events_ratio_max": worst, "alpha": ALPHA, "is_good": int(is_good)}
    show("gate: errors under continuous looking, and events to a decision", rows, figures)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
