"""From messages to KPIs: what is shown beside scikit-learn's of the rows that the messages were made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from monitor import build
from monitor.config import load_settings
from monitor.detectors.mean import BIN_ERROR
from monitor.domain import Picture
from monitor.join.terms import SEVERITIES
from monitor.kpis import KPIS
from monitor.kpis.base import UNIT_ERROR
from monitor.pipeline import Pipeline
from monitor.quality import KpiValue
from tests.unit.join.everything import CONFIG, JUDGED, ROWS, STEP_S, Everything, everything
from tests.unit.join.traffic import encoded, fed


@pytest.fixture(scope="module")
def told() -> Everything:
    return everything()


@pytest.fixture(scope="module")
def picture(told: Everything, tmp_path_factory: pytest.TempPathFactory) -> Picture:
    path = tmp_path_factory.mktemp("config") / "driftd.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    made: Pipeline = build.pipeline(load_settings(path, {}))
    return fed(made, encoded(told.messages)).picture()


@pytest.fixture(scope="module")
def kpis(picture: Picture) -> Mapping[tuple[str, str], KpiValue]:
    """Give the KPIs of the classifier's first version, all that came, by name and segment."""
    return {(kpi.name, kpi.segment): kpi for kpi in picture.kpis if (*kpi[:2], kpi.window) == ("fraud", "v1", "1h")}


def columns(told: Everything, region: str | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give scores, predictions and labels."""
    rows = [row for row in told.rows if region in (None, row["region"])]
    scores = np.array([row["score"] for row in rows])
    return scores, scores >= 0.5, np.array([row["label"] for row in rows])


@pytest.mark.parametrize("region", [None, "eu", "us"])
def test_quality_is_scikit_learns_of_the_same_rows(
    told: Everything, kpis: Mapping[tuple[str, str], KpiValue], region: str | None
) -> None:
    scores, predicted, labels = columns(told, region)
    segment = "" if region is None else f"region={region}"
    clipped = np.clip(scores, 1e-15, 1 - 1e-15)
    exact = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "task_success": metrics.accuracy_score(labels, predicted),
        "precision": metrics.precision_score(labels, predicted),
        "recall": metrics.recall_score(labels, predicted),
        "specificity": metrics.recall_score(labels, predicted, pos_label=0),
        "f1": metrics.f1_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "selection_rate": predicted.mean(),
        "successful_outcomes": (labels == predicted).sum(),
    }
    near = {
        "log_loss": metrics.log_loss(labels, clipped),
        "brier": metrics.brier_score_loss(labels, scores),
    }

    assert exact == pytest.approx({name: kpis[name, segment].value for name in exact})
    assert near == pytest.approx({name: kpis[name, segment].value for name in near}, rel=BIN_ERROR)
    auc = metrics.roc_auc_score(labels, scores)
    assert abs(auc - kpis["auc", segment].value) <= kpis["auc_resolution", segment].value
    assert (scores - labels).mean() == pytest.approx(kpis["calibration_bias", segment].value, abs=UNIT_ERROR)
    right = predicted == labels
    assert scores.mean() - right.mean() == pytest.approx(kpis["confidence_gap", segment].value, abs=UNIT_ERROR)
    assert all(each.low <= each.value <= each.high for each in kpis.values())
    assert {len(scores)} == {kpis[name, segment].samples for name in ("accuracy", "auc", "brier", "task_success")}


def test_abstentions_and_severities_are_those_of_the_rows(
    told: Everything, kpis: Mapping[tuple[str, str], KpiValue]
) -> None:
    scores, predicted, labels = columns(told)
    unsure = np.maximum(scores, 1 - scores) < 0.6
    wrong = predicted != labels
    modes = [row["mode"] for row, is_wrong in zip(told.rows, wrong, strict=True) if is_wrong]
    critical = [row["severity"] == "critical" for row in told.rows]
    counts = np.array([*Counter(modes).values()])

    assert wrong[unsure].mean() == pytest.approx(kpis["abstention_precision", ""].value)
    assert len(set(modes)) == kpis["distinct_modes", ""].value
    critical_modes = {
        row["mode"] for row, gone in zip(told.rows, wrong, strict=True) if gone and row["severity"] == "critical"
    }
    assert len(critical_modes) == kpis["distinct_critical_modes", ""].value
    assert stats.entropy(counts) + (len(counts) - 1) / (2 * counts.sum()) == pytest.approx(
        kpis["failure_entropy", ""].value
    )
    assert counts.max() / counts.sum() == pytest.approx(kpis["failure_largest_share", ""].value)
    weights = np.where(critical, SEVERITIES["critical"], SEVERITIES.get("minor", 1.0))
    assert (weights * wrong).mean() == pytest.approx(kpis["severity_weighted_error", ""].value, rel=BIN_ERROR)


@pytest.mark.parametrize("field", JUDGED)
def test_what_somebody_said_is_a_share_of_those_who_were_asked(
    told: Everything, kpis: Mapping[tuple[str, str], KpiValue], field: str
) -> None:
    said = [row[field] for row in told.rows if field in row]
    name = next((kpi.name for kpi in KPIS.values() if kpi.fields == (field,)), field)

    assert (np.mean(said), len(said)) == (pytest.approx(kpis[name, ""].value), kpis[name, ""].samples)


def test_people_reviews_and_guardrails(told: Everything, kpis: Mapping[tuple[str, str], KpiValue]) -> None:
    def share(values: list[Any]) -> float:
        known = [value for value in values if value is not None]
        return float(np.mean(known))

    def from_the_first(field: str) -> list[bool]:
        """Give who was and was not: nobody is known not to have been before the second in which the first one was."""
        said = [row[field] for row in told.rows]
        first_s = int(said.index(True) * STEP_S)
        return said[math.ceil(first_s / STEP_S) :]

    rows = told.rows
    blocked = [row["guardrail_action"] == "block" for row in rows]
    expected = {
        "override_rate": share(from_the_first("overridden")),
        "trust": 1 - share(from_the_first("overridden")),
        "escalation_rate": share(from_the_first("escalated")),
        "unsafe_rate": share([row["unsafe"] for row in rows]),
        "refusal_rate": share([row["refused"] for row in rows]),
        "blocked_rate": share(blocked),
        "bypassed_rate": share([row["guardrail_action"].startswith("bypassed") for row in rows]),
        "delivered_unsafe_rate": share([row["unsafe"] for row, gone in zip(rows, blocked, strict=True) if not gone]),
        "cache_hit_rate": share([row["cache_hit"] for row in rows]),
        "retry_rate": share([row["retried"] for row in rows]),
        "fast_path_share": share([row["route"] == "fast" for row in rows]),
        "label_coverage": 1.0,
    }
    reviews = [row["review_s"] for row in rows if row["review_s"] is not None]

    assert expected == pytest.approx({name: kpis[name, ""].value for name in expected})
    assert np.mean(reviews) == pytest.approx(kpis["review_turnaround", ""].value, rel=0.05)
    assert len(reviews) == kpis["review_turnaround", ""].samples


def test_reasons_why_a_guardrail_failed_open_are_shown(told: Everything, picture: Picture) -> None:
    reasons = Counter(r["guardrail_action"].partition(":")[2] for r in told.rows if ":" in r["guardrail_action"])
    found = {m.mode: m.value for m in picture.modes if m[:4] == ("fraud", "v1", "1h", "bypass_reason")}

    assert {"timeout", "(unseen)"} == found.keys()  # the other one came after the reference was frozen
    assert (reasons["timeout"] / reasons.total(), 1.0) == pytest.approx((found["timeout"], sum(found.values())))


def test_economics_and_users(told: Everything, kpis: Mapping[tuple[str, str], KpiValue]) -> None:
    _, predicted, labels = columns(told)
    cost = np.array([row["cost_usd"] for row in told.rows])
    tokens = np.array([row["tokens_in"] + row["tokens_out"] for row in told.rows])
    successes = (predicted == labels).sum()
    latency = np.array([row["latency_s"] for row in told.rows])
    expected = {
        "cost_per_prediction": cost.mean(),
        "cost_per_1000": 1_000 * cost.mean(),
        "cost_per_success": cost.sum() / successes,
        "tokens_per_prediction": tokens.mean(),
        "tokens_per_success": tokens.sum() / successes,
        "cost_total": cost.sum(),
        "latency_p95": np.quantile(latency, 0.95, method="inverted_cdf"),
        "label_age_p50": np.quantile([row["age_s"] for row in told.rows], 0.5, method="inverted_cdf"),
    }

    assert expected == pytest.approx({name: kpis[name, ""].value for name in expected}, rel=BIN_ERROR)
    assert len({row["user_id"] for row in told.rows}) == round(kpis["distinct_users", ""].value)
    assert len(told.rows) == kpis["throughput", ""].value
    span_h = (STEP_S * ROWS + 120.0) / 3_600.0
    assert len(told.rows) / span_h == pytest.approx(kpis["predictions_per_hour", ""].value, rel=0.03)
    assert tokens.sum() / span_h / 3_600.0 == pytest.approx(kpis["tokens_per_s", ""].value, rel=0.03)


def test_fairness_compares_regions(told: Everything, kpis: Mapping[tuple[str, str], KpiValue]) -> None:
    of = {region: columns(told, region) for region in ("eu", "us")}
    selected = [predicted.mean() for _, predicted, _ in of.values()]
    accuracy = [metrics.accuracy_score(labels, predicted) for _, predicted, labels in of.values()]
    recall = [metrics.recall_score(labels, predicted) for _, predicted, labels in of.values()]
    specificity = [metrics.recall_score(labels, predicted, pos_label=0) for _, predicted, labels in of.values()]
    expected = {
        "demographic_parity_difference": np.ptp(selected),
        "demographic_parity_ratio": min(selected) / max(selected),
        "error_rate_difference": np.ptp(accuracy),
        "equalised_odds_difference": max(np.ptp(recall), np.ptp(specificity)),
    }

    assert expected == pytest.approx({name: kpis[name, "region"].value for name in expected})


def test_estimate_before_labels_holds_what_came(told: Everything, kpis: Mapping[tuple[str, str], KpiValue]) -> None:
    _, predicted, labels = columns(told)
    accuracy, estimated, gap = (
        metrics.accuracy_score(labels, predicted),
        *(kpis[name, ""] for name in ("estimated_accuracy", "estimation_gap")),
    )

    assert estimated.low <= accuracy <= estimated.high
    assert accuracy - estimated.value == pytest.approx(gap.value, abs=0.005)  # of the rows whose labels are in time
    assert gap.low <= 0.0 <= gap.high


def test_regression_errors_are_those_of_the_rows(told: Everything, picture: Picture) -> None:
    found = {kpi.name: kpi.value for kpi in picture.kpis if (*kpi[:3], kpi.window) == ("eta", "1", "", "1h")}
    predicted, labels = (np.array([row[name] for row in told.numbers]) for name in ("prediction", "label"))
    mae = metrics.mean_absolute_error(labels, predicted)

    assert mae == pytest.approx(found["mae"], rel=BIN_ERROR)
    assert metrics.root_mean_squared_error(labels, predicted) == pytest.approx(found["rmse"], rel=BIN_ERROR)
    assert (predicted - labels).mean() == pytest.approx(found["bias"], abs=BIN_ERROR * mae)
