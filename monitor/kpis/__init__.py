"""KPIs: what the counts of one window say of a model's success, safety and cost. A new one is one line here.

docs/kpis.md has a row for each: what it is, its formula and interval, and what it needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from monitor.kpis.base import Kpi, KpiAcross, KpiAgainst
from monitor.kpis.calibration import (
    CLASSES,
    CONFIDENCE,
    CalibrationError,
    MaxCalibrationError,
    MeanScore,
    ScoreGap,
)
from monitor.kpis.classification import F1, Auc, AucResolution, MacroF1
from monitor.kpis.compare import GroupDifference, GroupRatio, SelectionRate, WorstDifference
from monitor.kpis.diversity import (
    DistinctModes,
    Entropy,
    FailureExpansion,
    FailureGrowth,
    Herfindahl,
    LargestShare,
    NewModes,
    OverSegments,
    largest_share_of,
    pair_share_of,
)
from monitor.kpis.economics import PerSuccess, Tokens
from monitor.kpis.estimated import EstimationGap, PromisedAccuracy
from monitor.kpis.means import Mean, Quantile, RootMeanSquare, SignedMean
from monitor.kpis.shares import CategoryShare, Finding, Share
from monitor.kpis.traffic import Completeness, OutOfDistribution, Successes, Throughput, Total

LOG_LOSS_MAX: Final = -math.log(1e-15)
"""Of a probability clipped at 1e-15."""
FINDINGS: Final = ("evaluation.", "feedback.")
"""Fields named so are KPIs of their own, by that name, whoever the evaluator."""

_ACCURACY: Final = Share("accuracy", "correct")
_RECALL: Final = Share("recall", "recall")
_SPECIFICITY: Final = Share("specificity", "specificity")
_SELECTION: Final = SelectionRate()

_ALL: Final[tuple[Kpi, ...]] = (
    # classes told
    Share("task_success", "success"),
    _ACCURACY,
    Share("precision", "precision"),
    _RECALL,
    _SPECIFICITY,
    F1(),
    MacroF1(),
    Auc(),
    AucResolution(),
    Mean("log_loss", "nats", "log_loss", ceiling=LOG_LOSS_MAX),
    Mean("brier", "ratio", "brier", ceiling=1.0),
    _SELECTION,
    # amounts told
    Mean("mae", "label", "abs_error"),
    RootMeanSquare("rmse", "label", "squared_error"),
    SignedMean("bias", "label", "over_error", "under_error"),
    # scores that mean what they say
    CalibrationError("ece", CLASSES),
    MaxCalibrationError("max_calibration_error", CLASSES),
    ScoreGap("calibration_bias", CLASSES),
    CalibrationError("confidence_ece", CONFIDENCE),
    MaxCalibrationError("confidence_max_error", CONFIDENCE),
    MeanScore("confidence", CONFIDENCE),
    ScoreGap("confidence_gap", CONFIDENCE),
    Share("abstention_precision", "abstention"),
    Mean("severity_weighted_error", "weight", "severity_error"),
    # failures, by their mode
    DistinctModes(),
    DistinctModes("distinct_critical_modes", "critical_failure_mode"),
    Entropy(),
    LargestShare(),
    Herfindahl(),
    # evaluations: silent failures and safety
    Finding("critical_field_accuracy", "evaluation.critical_field_correct", is_higher_better=True),
    Finding("required_entity_presence", "evaluation.entity_present", is_higher_better=True),
    Finding("prohibited_content_rate", "evaluation.prohibited_content", is_higher_better=False),
    Finding("citation_validity", "evaluation.citation_valid", is_higher_better=True),
    Finding("schema_conformity", "evaluation.schema_conform", is_higher_better=True),
    Finding("tool_use_correctness", "evaluation.tool_use_correct", is_higher_better=True),
    Finding("refusal_correctness", "evaluation.refusal_correct", is_higher_better=True),
    Finding("policy_violation_rate", "evaluation.policy_violation", is_higher_better=False),
    Finding("jailbreak_success_rate", "evaluation.jailbreak", is_higher_better=False),
    Finding("hallucination_rate", "evaluation.hallucination", is_higher_better=False),
    Finding("critical_hallucination_rate", "evaluation.critical_hallucination", is_higher_better=False),
    Finding("insecure_suggestion_rate", "evaluation.insecure_suggestion", is_higher_better=False),
    Finding("unauthorised_action_rate", "evaluation.unauthorised_action", is_higher_better=False),
    # safety, from events alone
    Share("unsafe_rate", "unsafe", is_higher_better=False),
    Share("refusal_rate", "refused", is_higher_better=None),
    Share("blocked_rate", "blocked", is_higher_better=None),
    Share("bypassed_rate", "bypassed", is_higher_better=False),
    Share("delivered_unsafe_rate", "delivered_unsafe", is_higher_better=False),
    # people
    Share("override_rate", "overridden", is_higher_better=False),
    Share("trust", "overridden", is_higher_better=True, is_complement=True),
    Share("escalation_rate", "escalated", is_higher_better=False),
    Finding("user_feedback", "feedback", is_higher_better=True),
    Finding("user_harm_rate", "feedback.harm", is_higher_better=False),
    Finding("opt_out_rate", "feedback.opt_out", is_higher_better=False),
    Finding("repeat_contact_rate", "feedback.repeat_contact", is_higher_better=False),
    Finding("conversion_rate", "feedback.conversion", is_higher_better=True),
    Finding("acceptance_rate", "feedback.accepted", is_higher_better=True),
    Finding("resolution_rate", "feedback.resolved", is_higher_better=True),
    Finding("deflection_rate", "feedback.deflected", is_higher_better=True),
    Finding("review_turnaround", "evaluation.review_turnaround_s.score", is_higher_better=False, unit="s"),
    # labels
    Share("label_coverage", "labelled"),
    Quantile("label_age_p50", "s", "label_age_s", 0.50),
    Quantile("label_age_p95", "s", "label_age_s", 0.95),
    # unit economics
    Mean("cost_per_prediction", "usd", "cost_usd"),
    Mean("cost_per_1000", "usd", "cost_usd", per=1000.0),
    PerSuccess("cost_per_success", "usd", "success_cost_usd"),
    Tokens(),
    PerSuccess("tokens_per_success", "tokens", "success_tokens"),
    Total("cost_total", "usd", ("cost_usd",)),
    Total("tokens_total", "tokens", ("tokens_in", "tokens_out")),
    # latency, reliability, traffic
    *(Quantile(f"latency_p{round(q * 100)}", "s", "latency_s", q) for q in (0.50, 0.95, 0.99)),
    *(Quantile(f"ttft_p{round(q * 100)}", "s", "ttft_s", q) for q in (0.50, 0.95, 0.99)),
    Share("error_rate", "error", is_higher_better=False),
    Share("fallback_rate", "fallback", is_higher_better=False),
    CategoryShare("fast_path_share", "route", frozenset({"fast"})),
    CategoryShare("cache_hit_rate", "features.cache_hit", frozenset({"true"})),
    CategoryShare("retry_rate", "features.retried", frozenset({"true"}), is_higher_better=False),
    OutOfDistribution(),
    Completeness(),
    Throughput(),
    Successes("successful_outcomes", "success"),
)

KPIS: Final[Mapping[str, Kpi]] = {kpi.name: kpi for kpi in _ALL}
"""By name: indicators of one cell."""

_DIFFERENCES: Final = {
    "recall": GroupDifference("equal_opportunity_difference", _RECALL),
    "specificity": GroupDifference("specificity_difference", _SPECIFICITY),
}

_ACROSS: Final[tuple[KpiAcross, ...]] = (
    GroupDifference("demographic_parity_difference", _SELECTION),
    GroupRatio("demographic_parity_ratio", _SELECTION),
    GroupDifference("error_rate_difference", _ACCURACY),
    *_DIFFERENCES.values(),
    OverSegments("failure_segment_largest_share", largest_share_of),
    OverSegments("failure_segment_herfindahl", pair_share_of),
    WorstDifference("equalised_odds_difference", tuple(_DIFFERENCES.values())),
)

KPIS_ACROSS: Final[Mapping[str, KpiAcross]] = {kpi.name: kpi for kpi in _ACROSS}
"""By name: indicators over the segments of one model version: fairness, and where failures concentrate."""

_AGAINST: Final[tuple[KpiAgainst, ...]] = (
    PromisedAccuracy(),
    EstimationGap(),
    FailureExpansion(),
    FailureGrowth(),
    NewModes(),
)

KPIS_AGAINST: Final[Mapping[str, KpiAgainst]] = {kpi.name: kpi for kpi in _AGAINST}
"""By name: indicators of a cell beside its reference."""

RATES: Final[Mapping[str, tuple[str, float]]] = {
    "predictions_per_hour": ("throughput", 3_600.0),
    "tokens_per_s": ("tokens_total", 1.0),
}
"""By name: totals, as rates per so many seconds of the stretch of time that a cell is of."""
TOTALS: Final = frozenset({"throughput", "successful_outcomes", "cost_total", "tokens_total"})
"""Those that grow with the stretch of time, and so are not to be compared with those of another one."""


def kpi_named(name: str) -> Kpi | None:
    """Give the KPI of that name: one of KPIS, or a field that starts as FINDINGS do; None if there is none."""
    if name in KPIS:
        return KPIS[name]
    return Finding(name, name) if name.startswith(FINDINGS) and name not in FINDINGS else None
