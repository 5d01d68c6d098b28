"""Intervals hold the truth as often as they say: by enumeration for shares, else by seeded simulation at 95 %.

Each case draws cells of a known truth. MISSES is the largest share of intervals on one side of it that is accepted:
2.5 % where the docstring says so for any number of events, somewhat more where it is asymptotic and events are few.
Widths are held against those of a normal interval, so that an interval can't hold by being useless.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from monitor.bins import VALUES_WIDTH
from monitor.domain import FloatArray, Kind
from monitor.kpis import KPIS, KPIS_ACROSS
from monitor.kpis.base import UNIT_VALUES, Cell, Estimate, StreamCounts
from monitor.kpis.compare import lift_of
from monitor.kpis.estimated import EstimatedAccuracy, score_map_of
from monitor.kpis.limits import difference_of, ratio_of, share_limits, share_of
from tests.unit.kpis.cells import flags, logs, modes, numbers, regression

ALPHA = 0.05
DRAWS = 500
SLACK = 3.0
"""Standard errors of a simulated share that a limit may seem to be missed by."""

Draw = Callable[[np.random.Generator], Estimate]


@dataclass(frozen=True)
class Case:
    """What is drawn, the truth behind it, and the largest share of misses on each side. width: of the mean interval."""

    draw: Draw
    truth: float
    misses: float = 0.025
    width: float = math.inf


def estimate(name: str, cell: Cell) -> Estimate:
    return KPIS[name].estimate(cell, ALPHA)


# ---- classes told


def f1_of(rows: int, chances: tuple[float, float, float]) -> Draw:
    def draw(random: np.random.Generator) -> Estimate:
        hits, wrong, missed, _ = random.multinomial(rows, (*chances, 1.0 - sum(chances))).tolist()
        return estimate("f1", {"precision": flags(hits, wrong), "recall": flags(hits, missed)})

    return draw


def macro_f1_of(rows: int, table: FloatArray) -> Draw:
    def draw(random: np.random.Generator) -> Estimate:
        counts = np.zeros(VALUES_WIDTH, dtype=np.int64)
        counts[: table.size] = random.multinomial(rows, table.ravel())
        pairs = tuple(f"{p} > {y}" for p in range(len(table)) for y in range(len(table)))
        return estimate("macro_f1", {"confusion": StreamCounts(Kind.CATEGORICAL, counts, categories=pairs)})

    return draw


def macro_f1_truth(table: FloatArray) -> float:
    return float((2 * np.diag(table) / (table.sum(axis=0) + table.sum(axis=1))).mean())


GOOD = np.array([[0.45, 0.03, 0.01], [0.04, 0.30, 0.02], [0.01, 0.02, 0.12]])
GREAT = np.array([[0.64, 0.004, 0.001], [0.003, 0.30, 0.001], [0.001, 0.001, 0.049]])


def chances_of(away: float) -> FloatArray:
    """Give the chance of each of the 57 bins for logistic scores `away` from 0."""
    edges = np.log(np.arange(1, 57) / np.arange(56, 0, -1))
    chances: FloatArray = np.diff(np.concatenate([[0.0], stats.norm.cdf(edges - away), [1.0]]))
    return chances


def auc_of(positives: int, negatives: int, away: float) -> Draw:
    high, low = chances_of(away), chances_of(0.0)

    def draw(random: np.random.Generator) -> Estimate:
        found = (np.repeat(UNIT_VALUES, random.multinomial(*args)) for args in ((positives, high), (negatives, low)))
        return estimate("auc", dict(zip(("score_positive", "score_negative"), map(numbers, found), strict=True)))

    return draw


def auc_of_two_kinds(rows: int, *, is_positive: bool) -> Draw:
    """One class scores near 0 or near 1, the other between: no chance of ranks is less certain."""

    def draw(random: np.random.Generator) -> Estimate:
        apart, between = random.choice([0.01, 0.99], rows), random.uniform(0.3, 0.7, 10 * rows)
        high, low = (apart, between) if is_positive else (between, apart)
        return estimate("auc", {"score_positive": numbers(high), "score_negative": numbers(low)})

    return draw


def auc_truth(away: float) -> float:
    low = chances_of(0.0)
    return float(chances_of(away) @ (np.cumsum(low) - low / 2))


CLASSES_TOLD = {
    "f1 of 30 rows": Case(f1_of(30, (0.3, 0.1, 0.1)), 0.75),
    "f1 of 1,000 rows": Case(f1_of(1_000, (0.02, 0.01, 0.005)), 4 / 5.5, width=0.30),
    "macro f1 of 60 rows": Case(macro_f1_of(60, GOOD), macro_f1_truth(GOOD), 0.04),
    "macro f1 of 1,000 rows": Case(macro_f1_of(1_000, GOOD), macro_f1_truth(GOOD), 0.03, 0.06),
    "macro f1 of 200 rows, nearly all right": Case(macro_f1_of(200, GREAT), macro_f1_truth(GREAT), 0.04),
    "auc of nothing": Case(auc_of(40, 40, 0.0), 0.5, 0.03),
    "auc of 25 and 25": Case(auc_of(25, 25, 1.2), auc_truth(1.2), 0.03),
    "auc of 15 and 2,000": Case(auc_of(15, 2_000, 1.2), auc_truth(1.2), 0.04),
    "auc of 1,000 and 1,000": Case(auc_of(1_000, 1_000, 1.2), auc_truth(1.2), 0.03, 0.045),
    "auc of positives of two kinds": Case(auc_of_two_kinds(60, is_positive=True), 0.5, 0.03, 0.28),
    "auc of negatives of two kinds": Case(auc_of_two_kinds(60, is_positive=False), 0.5, 0.03, 0.28),
    "auc near 1": Case(auc_of(50, 50, 4.0), auc_truth(4.0), 0.03),
}

# ---- amounts told


def mean_of(name: str, field: str, rows: int, values: Callable[[np.random.Generator, int], FloatArray]) -> Draw:
    return lambda random: estimate(name, {field: logs(values(random, rows))})


def lognormal(random: np.random.Generator, rows: int) -> FloatArray:
    return random.lognormal(0.0, 1.0, rows)


def rare(random: np.random.Generator, rows: int) -> FloatArray:
    """Give severities: 5 % of 1 or 5, the rest 0."""
    return np.where(random.uniform(size=rows) < 0.05, random.choice([1.0, 5.0], rows), 0.0)


def squares(random: np.random.Generator, rows: int) -> FloatArray:
    normal: FloatArray = random.normal(0.0, 2.0, rows)
    return normal * normal


def bias_of(rows: int) -> Draw:
    return lambda random: estimate("bias", regression(random.exponential(2.0, rows), np.full(rows, 1.5)))


def per_success_of(rows: int) -> Draw:
    """Failures cost more than successes, which makes the mean and the share depend on each other."""

    def draw(random: np.random.Generator) -> Estimate:
        success = random.uniform(size=rows) < 0.7
        cost = random.exponential(np.where(success, 1.0, 3.0))
        won = int(success.sum())
        return estimate("cost_per_success", {"success_cost_usd": logs(cost), "success": flags(won, rows - won)})

    return draw


def total_of(mean_rows: int) -> Draw:
    """How many come is chance too."""
    return lambda random: estimate("cost_total", {"cost_usd": logs(random.exponential(2.0, random.poisson(mean_rows)))})


def quantile_of(rows: int, name: str) -> Draw:
    return lambda random: estimate(name, {"latency_s": logs(random.lognormal(0.0, 1.0, rows))})


AMOUNTS_TOLD = {
    "mean of 50 log-normal": Case(mean_of("mae", "abs_error", 50, lognormal), math.exp(0.5), 0.06),
    "mean of 2,000 log-normal": Case(mean_of("mae", "abs_error", 2_000, lognormal), math.exp(0.5), 0.03, 0.25),
    "severity of 50": Case(mean_of("severity_weighted_error", "severity_error", 50, rare), 0.15, 0.03),
    "severity of 2,000": Case(mean_of("severity_weighted_error", "severity_error", 2_000, rare), 0.15, 0.03, 0.08),
    "rmse of 50": Case(mean_of("rmse", "squared_error", 50, squares), 2.0, 0.04),
    "rmse of 2,000": Case(mean_of("rmse", "squared_error", 2_000, squares), 2.0, 0.025, 0.16),
    "bias of 50": Case(bias_of(50), 0.5, 0.04),
    "bias of 2,000": Case(bias_of(2_000), 0.5, 0.025, 0.24),
    "cost per success of 200": Case(per_success_of(200), 1.6 / 0.7, 0.025),
    "total of 200": Case(total_of(200), 400.0, 0.04, 175.0),
    "p50 of 20": Case(quantile_of(20, "latency_p50"), 1.0),
    "p95 of 1,000": Case(quantile_of(1_000, "latency_p95"), math.exp(stats.norm.ppf(0.95)), width=1.6),
}

# ---- scores that mean what they say


def scores_of(name: str, rows: int, slope: float) -> Draw:
    """Scores are bins' middles s, and 0.5 + slope (s - 0.5) of them come true."""

    def draw(random: np.random.Generator) -> Estimate:
        scores = random.choice(UNIT_VALUES, rows)
        true = random.uniform(size=rows) < 0.5 + slope * (scores - 0.5)
        return estimate(name, {"score_positive": numbers(scores[true]), "score_negative": numbers(scores[~true])})

    return draw


def gaps(slope: float) -> FloatArray:
    """Give the true gap of each of the 19 bins."""
    away: FloatArray = (1.0 - slope) * (UNIT_VALUES[1::3] - 0.5)
    return np.abs(away)


SCORES_TOLD = {
    f"{name} of {rows} at slope {slope}": Case(scores_of(name, rows, slope), truth, width=width)
    for rows, slope, width in ((150, 1.0, 1.0), (150, 0.6, 1.0), (5_000, 1.0, 0.2), (5_000, 0.6, 0.2))
    for name, truth in (
        ("ece", float(gaps(slope).mean())),
        ("max_calibration_error", float(gaps(slope).max())),
        ("calibration_bias", 0.0),
    )
}

# ---- failures


def modes_drawn(name: str, rows: int, chances: FloatArray) -> Draw:
    def draw(random: np.random.Generator) -> Estimate:
        return estimate(name, modes(**{f"m{i}": n for i, n in enumerate(random.multinomial(rows, chances).tolist())}))

    return draw


EVEN = np.full(10, 0.1)
SKEWED = np.array([0.6, 0.2, 0.1, 0.05, 0.05])
TRUTHS: dict[str, Callable[[FloatArray], float]] = {
    "failure_entropy": lambda chances: float(stats.entropy(chances)),
    "failure_herfindahl": lambda chances: float(chances @ chances),
    "failure_largest_share": lambda chances: float(chances.max()),
}
FAILURES_TOLD = {
    f"{name} of {rows}, {shape}": Case(modes_drawn(name, rows, chances), truth(chances), 0.04 if rows < 500 else 0.03)
    for name, truth in TRUTHS.items()
    for shape, chances in (("even", EVEN), ("skewed", SKEWED))
    for rows in (80, 1_000)
}
FAILURES_TOLD["distinct modes"] = Case(modes_drawn("distinct_modes", 60, np.full(25, 0.04)), 25.0, 0.05, 20.0)

# ---- comparisons


def compared(
    how: Callable[[Estimate, Estimate], Estimate], first: tuple[int, float], second: tuple[int, float]
) -> Draw:
    def draw(random: np.random.Generator) -> Estimate:
        return how(*(share_of(int(random.binomial(n, p)), n, ALPHA) for n, p in (first, second)))

    return draw


def lift(rows: int, before: float, after: float) -> Draw:
    def draw(random: np.random.Generator) -> Estimate:
        old, new = (int(random.binomial(rows, p)) for p in (before, after))
        return lift_of(share_of(old, rows, ALPHA), share_of(new, rows, ALPHA))

    return draw


def across(name: str, rows: int, rates: tuple[float, ...]) -> Draw:
    def draw(random: np.random.Generator) -> Estimate:
        cells: dict[str, Cell] = {}
        for i, rate in enumerate(rates):
            hits = int(random.binomial(rows, rate))
            half = rows // 2
            cells[f"g{i}"] = {
                "precision": flags(hits, 0),
                "recall": flags(half, 0),
                "specificity": flags(rows - half, 0),
            }
        return KPIS_ACROSS[name].estimate_across(cells, ALPHA)

    return draw


def promised(map_rows: int, rows: int) -> Draw:
    """Accuracy is the score; the map is of even scores, the live ones are higher."""

    def draw(random: np.random.Generator) -> Estimate:
        known = random.choice(UNIT_VALUES, map_rows)
        right = random.uniform(size=map_rows) < known
        score_map = score_map_of({"score_right": numbers(known[right]), "score_wrong": numbers(known[~right])})
        assert score_map is not None
        live = random.choice(UNIT_VALUES, rows, p=UNIT_VALUES / UNIT_VALUES.sum())
        return EstimatedAccuracy(score_map).estimate({"score": numbers(live)}, ALPHA)

    return draw


COMPARED = {
    "difference of shares": Case(compared(difference_of, (60, 0.9), (200, 0.8)), 0.1),
    "difference of rare shares": Case(compared(difference_of, (500, 0.01), (500, 0.002)), 0.008),
    "ratio of shares": Case(compared(ratio_of, (300, 0.3), (200, 0.2)), 1.5, 0.03),
    "ratio of rare shares": Case(compared(ratio_of, (500, 0.01), (500, 0.004)), 2.5, 0.03),
    "lift of success": Case(lift(2_000, 0.8, 0.84), 0.05, width=0.08),
    "parity of five equal groups": Case(across("demographic_parity_difference", 200, (0.3,) * 5), 0.0, 0.05),
    "difference of groups": Case(across("demographic_parity_difference", 400, (0.3, 0.35, 0.5)), 0.2, width=0.22),
    "ratio of groups": Case(across("demographic_parity_ratio", 400, (0.3, 0.35, 0.5)), 0.6, 0.03, 0.4),
    "ratio of two groups": Case(across("demographic_parity_ratio", 100, (0.2, 0.25)), 0.8, 0.03),
    "estimated accuracy": Case(
        promised(3_000, 1_000), float(UNIT_VALUES @ UNIT_VALUES / UNIT_VALUES.sum()), 0.03, 0.075
    ),
    "estimated accuracy of a small map": Case(
        promised(150, 5_000), float(UNIT_VALUES @ UNIT_VALUES / UNIT_VALUES.sum()), 0.04
    ),
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name)
        for cases in (CLASSES_TOLD, AMOUNTS_TOLD, SCORES_TOLD, FAILURES_TOLD, COMPARED)
        for name, case in cases.items()
    ],
)
def test_interval_holds_the_truth(case: Case) -> None:
    random = np.random.default_rng(17)
    found = np.array([case.draw(random)[:3] for _ in range(DRAWS)])
    below, above = float((found[:, 2] < case.truth - 1e-12).mean()), float((found[:, 1] > case.truth + 1e-12).mean())
    limit = case.misses + SLACK * math.sqrt(case.misses / DRAWS)

    assert max(below, above) <= limit, (below, above)
    assert np.nanmean(found[:, 2] - found[:, 1]) <= case.width


@pytest.mark.parametrize("samples", [1, 7, 50, 400])
@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
def test_shares_miss_with_at_most_half_alpha_on_either_side_whatever_the_share(samples: int, alpha: float) -> None:
    hits = np.arange(samples + 1)
    low, high = np.array([share_limits(float(h), float(samples), alpha) for h in hits]).T
    for share in np.linspace(0.001, 0.999, 97):
        chances = stats.binom.pmf(hits, samples, share)
        assert chances[low > share].sum() <= alpha / 2 + 1e-9
        assert chances[high < share].sum() <= alpha / 2 + 1e-9
