"""Values beside scikit-learn's and SciPy's of the same rows: exact where counts know all, else within the grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve

from monitor.detectors.mean import BIN_ERROR
from monitor.domain import FloatArray
from monitor.kpis import KPIS, KPIS_ACROSS
from monitor.kpis.base import UNIT_ERROR, Cell
from monitor.kpis.calibration import CLASSES, RELIABILITY_BINS, reliability_bins
from monitor.kpis.limits import count_limits, quantile_ranks, share_limits
from tests.unit.kpis.cells import binary, flags, logs, modes, names, regression, several

ALPHA = 0.05
SIZES = pytest.mark.parametrize("rows", [12, 300, 20_000])


def draw(rows: int, seed: int = 1) -> tuple[FloatArray, FloatArray]:
    """Give scores of a fair classifier that is overconfident, and labels."""
    random = np.random.default_rng(seed)
    chance = random.beta(0.8, 1.2, rows)
    labels = random.uniform(size=rows) < chance
    labels[:2] = True, False
    return np.clip(1.2 * (chance - 0.5) + 0.5, 0.0, 1.0), labels.astype(np.float64)


def value(name: str, cell: Cell) -> float:
    estimate = KPIS[name].estimate(cell, ALPHA)
    assert estimate.low <= estimate.value <= estimate.high
    return estimate.value


@SIZES
def test_shares_of_classes_are_exact(rows: int) -> None:
    scores, labels = draw(rows)
    cell, predicted = binary(scores, labels), scores >= 0.5

    assert metrics.accuracy_score(labels, predicted) == pytest.approx(value("accuracy", cell))
    assert metrics.precision_score(labels, predicted) == pytest.approx(value("precision", cell))
    assert metrics.recall_score(labels, predicted) == pytest.approx(value("recall", cell))
    assert metrics.recall_score(labels, predicted, pos_label=0) == pytest.approx(value("specificity", cell))
    assert metrics.f1_score(labels, predicted) == pytest.approx(value("f1", cell))
    assert metrics.f1_score(labels, predicted, average="macro") == pytest.approx(value("macro_f1", cell))
    assert predicted.mean() == pytest.approx(value("selection_rate", cell))
    assert rows == KPIS["accuracy"].estimate(cell, ALPHA).samples == KPIS["macro_f1"].estimate(cell, ALPHA).samples


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from("abcdefg")), min_size=1, max_size=200))
def test_macro_f1_of_several_classes_is_exact(rows: list[tuple[str, str]]) -> None:
    predicted, labelled = (list(column) for column in zip(*rows, strict=True))
    expected = metrics.f1_score(labelled, predicted, average="macro", zero_division=0.0)

    assert expected == pytest.approx(value("macro_f1", several(predicted, labelled)))


@SIZES
def test_auc_is_exact_for_scores_told_to_the_bin_and_within_its_bound_for_others(rows: int) -> None:
    scores, labels = draw(rows)
    told = np.minimum(np.floor(scores * 57), 56)
    cell = binary(scores, labels)

    assert metrics.roc_auc_score(labels, told) == pytest.approx(value("auc", cell))
    assert abs(metrics.roc_auc_score(labels, scores) - value("auc", cell)) <= value("auc_resolution", cell)


def test_auc_of_scores_within_one_bin_says_how_little_it_knows() -> None:
    scores = np.linspace(0.001, 0.01, 200)
    cell = binary(scores, scores > 0.0055)

    assert (0.5, 0.5) == (value("auc", cell), value("auc_resolution", cell))


@SIZES
def test_losses_lie_within_one_percent(rows: int) -> None:
    scores, labels = draw(rows)
    cell = binary(scores, labels)
    clipped = np.clip(scores, 1e-15, 1.0 - 1e-15)

    assert metrics.log_loss(labels, clipped) == pytest.approx(value("log_loss", cell), rel=BIN_ERROR)
    assert metrics.brier_score_loss(labels, scores) == pytest.approx(value("brier", cell), rel=BIN_ERROR)


@SIZES
def test_errors_of_regressions_lie_within_one_percent(rows: int) -> None:
    random = np.random.default_rng(2)
    labels = random.normal(10.0, 5.0, rows)
    predicted = labels + random.normal(0.7, 2.0, rows)
    cell, error = regression(predicted, labels), metrics.mean_absolute_error(labels, predicted)

    assert error == pytest.approx(value("mae", cell), rel=BIN_ERROR)
    assert metrics.root_mean_squared_error(labels, predicted) == pytest.approx(value("rmse", cell), rel=BIN_ERROR)
    assert (predicted - labels).mean() == pytest.approx(value("bias", cell), abs=BIN_ERROR * error)


@SIZES
def test_calibration_is_that_of_the_rows_within_the_grid(rows: int) -> None:
    scores, labels = draw(rows)
    cell = binary(scores, labels)
    shares, means = calibration_curve(labels, scores, n_bins=RELIABILITY_BINS, strategy="uniform")
    weights = np.histogram(scores, RELIABILITY_BINS, (0.0, 1.0))[0] / rows
    gaps = np.abs(shares - means)
    found = reliability_bins(cell, CLASSES, ALPHA)

    assert shares == pytest.approx(np.array([each.share.value for each in found]))
    assert means == pytest.approx(np.array([each.score for each in found]), abs=UNIT_ERROR)
    assert all(each.low <= each.score <= each.high for each in found)
    assert weights[weights > 0] @ gaps == pytest.approx(value("ece", cell), abs=UNIT_ERROR)
    assert gaps.max() == pytest.approx(value("max_calibration_error", cell), abs=UNIT_ERROR)
    assert (scores - labels).mean() == pytest.approx(value("calibration_bias", cell), abs=UNIT_ERROR)


def test_confidence_stands_beside_accuracy() -> None:
    random = np.random.default_rng(5)
    confidence = random.uniform(0.5, 1.0, 5_000)
    right = random.uniform(size=5_000) < confidence - 0.1
    cell = binary(confidence, right, cut=0.0)  # all predicted positive, so right is labelled positive

    assert confidence.mean() == pytest.approx(value("confidence", cell), abs=UNIT_ERROR)
    assert confidence.mean() - right.mean() == pytest.approx(value("confidence_gap", cell), abs=UNIT_ERROR)
    assert 0.1 == pytest.approx(value("confidence_ece", cell), abs=0.02)


@pytest.mark.parametrize("counts", [(1,), (1, 1, 1), (50, 30, 20), (1000, 1, 1)])
def test_entropy_is_scipys_and_millers_correction(counts: tuple[int, ...]) -> None:
    cell = modes(**{f"m{i}": n for i, n in enumerate(counts)})
    expected = stats.entropy(counts) + (len(counts) - 1) / (2 * sum(counts))

    assert expected == pytest.approx(value("failure_entropy", cell))
    assert max(counts) / sum(counts) == pytest.approx(value("failure_largest_share", cell))


def test_concentration_is_the_chance_of_two_of_one_mode() -> None:
    counts = (5, 3, 2)
    rows = np.repeat(np.arange(3), counts)
    pairs = [(rows[i] == rows[j]) for i in range(10) for j in range(10) if i != j]

    assert np.mean(pairs) == pytest.approx(value("failure_herfindahl", modes(a=5, b=3, c=2)))


def test_unit_economics_are_sums_by_counts() -> None:
    random = np.random.default_rng(8)
    cost = random.lognormal(-6.0, 1.0, 4_000)
    tokens_in, tokens_out = (np.ceil(random.lognormal(5.0, 1.0, 4_000)) for _ in range(2))
    cell = {
        "cost_usd": logs(cost),
        "success_cost_usd": logs(cost),
        "success": flags(3_000, 1_000),
        "tokens_in": logs(tokens_in, 0),
        "tokens_out": logs(tokens_out, 0),
        "success_tokens": logs(tokens_in + tokens_out, 0),
    }

    assert cost.mean() == pytest.approx(value("cost_per_prediction", cell), rel=BIN_ERROR)
    assert 1000 * cost.mean() == pytest.approx(value("cost_per_1000", cell), rel=BIN_ERROR)
    assert cost.sum() / 3_000 == pytest.approx(value("cost_per_success", cell), rel=BIN_ERROR)
    assert (tokens_in + tokens_out).mean() == pytest.approx(value("tokens_per_prediction", cell), rel=BIN_ERROR)
    assert (tokens_in + tokens_out).sum() / 3_000 == pytest.approx(value("tokens_per_success", cell), rel=BIN_ERROR)


@pytest.mark.parametrize("rows", [1, 19, 2_000])
def test_quantiles_lie_within_one_percent_of_the_order_statistic(rows: int) -> None:
    seconds = np.random.default_rng(4).lognormal(0.0, 1.0, rows)
    cell = {"label_age_s": logs(seconds), "latency_s": logs(seconds)}

    for name, quantile in {"label_age_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}.items():
        expected = np.quantile(seconds, quantile, method="inverted_cdf")
        assert expected == pytest.approx(value(name, cell), rel=BIN_ERROR)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
@pytest.mark.parametrize(("hits", "samples"), [(0, 1), (1, 1), (0, 100), (3, 100), (97, 100), (5_000, 10_000)])
def test_limits_of_shares_are_scipys(hits: int, samples: int, alpha: float) -> None:
    expected = stats.binomtest(hits, samples).proportion_ci(1.0 - alpha, method="exact")

    assert (expected.low, expected.high) == pytest.approx(share_limits(hits, samples, alpha))


@pytest.mark.parametrize("count", [0, 1, 7, 1_000])
def test_limits_of_counts_are_those_of_chi_square(count: int) -> None:
    low = stats.chi2.ppf(ALPHA / 2, 2 * count) / 2 if count else 0.0
    high = stats.chi2.ppf(1 - ALPHA / 2, 2 * count + 2) / 2

    assert (low, high) == pytest.approx(count_limits(count, ALPHA))


@pytest.mark.parametrize("samples", [1, 2, 20, 367, 368, 12_345, 10_000_000])
@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.0001])
def test_ranks_of_quantiles_are_those_of_the_binomial(samples: int, quantile: float, alpha: float) -> None:
    first, last = (int(stats.binom.ppf(chance, samples, quantile)) for chance in (alpha / 2, 1 - alpha / 2))

    assert (first, last + 1) == quantile_ranks(samples, quantile, alpha)


def test_fairness_is_told_from_groups() -> None:
    cells = {}
    rates = {}
    for group, shift in {"a": 0.0, "b": 0.1, "c": -0.2}.items():
        scores, labels = draw(3_000, seed=len(group) + int(10 * shift) + 7)
        scores = np.clip(scores + shift, 0.0, 1.0)
        cells[group] = binary(scores, labels)
        predicted = scores >= 0.5
        rates[group] = (
            predicted.mean(),
            metrics.recall_score(labels, predicted),
            metrics.recall_score(labels, predicted, pos_label=0),
            metrics.accuracy_score(labels, predicted),
        )
    selection, recall, specificity, accuracy = (np.ptp(column) for column in zip(*rates.values(), strict=True))
    found = {name: kpi.estimate_across(cells, ALPHA).value for name, kpi in KPIS_ACROSS.items()}
    selected = [rate[0] for rate in rates.values()]

    assert selection == pytest.approx(found["demographic_parity_difference"])
    assert min(selected) / max(selected) == pytest.approx(found["demographic_parity_ratio"])
    assert recall == pytest.approx(found["equal_opportunity_difference"])
    assert specificity == pytest.approx(found["specificity_difference"])
    assert max(recall, specificity) == pytest.approx(found["equalised_odds_difference"])
    assert accuracy == pytest.approx(found["error_rate_difference"])


def test_share_of_a_route_is_that_of_all_values() -> None:
    routes = ["fast"] * 9 + ["slow"] * 2 + ["odd"]

    assert 0.75 == value("fast_path_share", {"route": names(routes, ["fast", "slow"])})
