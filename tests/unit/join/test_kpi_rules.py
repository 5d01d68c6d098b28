"""Rules on KPIs, and what is normal of outcomes, through the whole pipeline."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from monitor.config import load_settings
from monitor.court import Step
from monitor.domain import AlertState
from monitor.join.terms import JoinTerms
from monitor.kpi_cells import Cells, Shown
from monitor.pipeline import Pipeline
from monitor.pipeline_terms import LearnTerms
from monitor.plans import Plans
from monitor.quality import REFERENCE
from monitor.rules import KPI, Level, Plan, Rule
from tests.unit.join.traffic import START_S, encoded, inference, joining, outcome, step

TERMS = JoinTerms(mode="on", absence_s=60.0, learn_rows=300)
WINDOWS_S = (60.0, 365 * 86_400.0)


def traffic(count: int, from_s: float, flip: float, seed: int, per_s: int = 10) -> list[dict[str, Any]]:
    """Give ten inferences a second with their labels; flip: share of scores that say nothing."""
    chance = random.Random(seed)
    out = []
    for number in range(count):
        time_s, key = from_s + number / per_s, seed * 1_000_000 + number
        is_yes = chance.random() < 0.5
        score = chance.betavariate(6, 3) if is_yes else chance.betavariate(3, 6)
        score = chance.random() if chance.random() < flip else score
        out += [
            inference(key, time_s, prediction="yes" if score > 0.5 else "no", score=score),
            outcome(key, time_s + 0.05, label="yes" if is_yes else "no"),
        ]
    return out


def watching(*rules: Rule) -> Pipeline:
    """Give a pipeline with these rules."""
    made = joining(TERMS)
    plan = made._terms.plan_of("m", "1")
    terms = replace(
        made._terms, plan_of=lambda _, __: Plan(plan.watch, rules), windows_s=WINDOWS_S, learn=LearnTerms(events=600)
    )
    return Pipeline(terms, made._adapter)


def fed(made: Pipeline, events: list[dict[str, Any]]) -> Step:
    """Feed events in small batches."""
    whole, messages = Step(), encoded(events)
    for start in range(0, len(messages), 400):
        whole.transitions += step(made, messages[start : start + 400]).transitions
    return whole


@pytest.mark.parametrize("yellow", [Level(0.8), Level(0.85, is_relative=True)])
def test_fallen_kpi_fires_and_resolves(yellow: Level) -> None:
    """As a number, and as a share of what the model's own labels taught."""
    rule = Rule("auc", KPI, ("auc",), yellow, None, WINDOWS_S[:1], is_above=False, keep_firing_for_s=1.0)
    made = watching(rule)
    healthy = fed(made, traffic(3_000, START_S, 0.0, 1))
    broken = fed(made, traffic(1_500, START_S + 300, 1.0, 2))
    mended = fed(made, traffic(3_000, START_S + 450, 0.0, 3))

    assert [] == healthy.transitions
    (fired,) = [t for t in broken.transitions if t.alert.state is AlertState.FIRING]
    assert ("auc", "", "auc") == (fired.alert.key.field, fired.alert.key.segment, fired.alert.rule)
    assert fired.alert.value < fired.alert.threshold
    assert fired.alert.interval[0] <= fired.alert.value <= fired.alert.interval[1] < fired.alert.threshold
    assert fired.alert.evidence >= fired.alert.evidence_needed
    assert AlertState.RESOLVED in {t.alert.state for t in mended.transitions}


def built_in(name: str) -> Rule:
    """Give a built-in rule as a configuration without a word of it has it."""
    settings = load_settings(None, {"DRIFTD_ALERTS__WINDOWS": "[1m]"}, topics_required=False)
    return next(rule for rule in Plans(settings)("m", "1").rules if rule.name == name)


def test_scores_that_promise_too_much_are_told_by_built_in_rules_as_concept_drift() -> None:
    """And nothing is said of label or prediction, which are as they were."""
    made = watching(*(built_in(name) for name in ("correct_rate", "estimation_gap", "drift", "psi")))
    healthy = fed(made, traffic(1_500, START_S, 0.0, 1, per_s=5))
    broken = fed(made, traffic(3_500, START_S + 300, 0.7, 2, per_s=5))

    fired = {t.alert.rule: t.alert for t in broken.transitions if t.alert.state is AlertState.FIRING}
    assert [] == healthy.transitions
    assert {"correct_rate", "estimation_gap"} <= fired.keys()
    assert all(": concept drift" in fired[name].summary for name in ("correct_rate", "estimation_gap"))
    assert fired["estimation_gap"].interval[1] < -0.02
    assert "label" not in {t.alert.key.field for t in broken.transitions}


def scored(count: int, from_s: float, sure: float, late_s: float, seed: int) -> list[dict[str, Any]]:
    """Give ten inferences a second and their labels; sure: share of scores that are right in 19 of 20, else in 12."""
    chance = random.Random(seed)
    out = []
    for number in range(count):
        time_s, key = from_s + number / 10, seed * 1_000_000 + number
        worth = 0.95 if chance.random() < sure else 0.6
        says_yes, is_right = chance.random() < 0.5, chance.random() < worth
        score = worth if says_yes else 1.0 - worth
        out += [
            inference(key, time_s, prediction="yes" if says_yes else "no", score=score),
            outcome(key, time_s + late_s, label="yes" if says_yes == is_right else "no"),
        ]
    return out


def test_gap_is_of_the_rows_that_have_labels_and_not_of_scores_that_came_meanwhile() -> None:
    """Scores are worth what they were throughout; those of now are of another mix than those whose labels come now."""
    made = watching()
    fed(made, scored(3_000, START_S, 0.5, 0.05, 1))
    events = [*scored(900, START_S + 300, 1.0, 90.0, 2), *scored(900, START_S + 390, 0.0, 90.0, 3)]
    events = sorted(events, key=lambda event: event["event_time"])
    fed(made, [event for event in events if event["event_time"] < START_S + 480])
    found = {kpi.name: kpi for kpi in made.picture().kpis if kpi.window == "1m"}

    assert found["accuracy"].low > 0.9
    assert found["estimated_accuracy"].value < 0.7
    assert abs(found["estimation_gap"].value) < 0.05


def test_streams_of_outcomes_learn_what_is_normal_after_their_model_has() -> None:
    made = watching()
    fed(made, traffic(500, START_S, 0.0, 1))
    learned = made._table.subjects[0].reference
    fed(made, traffic(3_000, START_S + 50, 0.0, 2))
    extended = made._table.subjects[0].reference

    assert learned is None or "correct" not in {stream.field for stream in learned.streams}
    assert extended is not None
    assert {"features.x", "correct", "label", "brier"} <= {stream.field for stream in extended.streams}
    assert extended.base
    assert extended.base != extended.identity


def test_right_and_wrong_scores_are_learned_from_the_same_rows() -> None:
    """Wrong ones are rare: each frozen with its first 300, scores would be taken for worth far less than they are."""
    made = watching()
    fed(made, traffic(2_000, START_S, 0.0, 1))
    reference = made._table.subjects[0].reference
    assert reference is not None
    held = {s.field: int(s.counts[:59].sum()) for s in reference.streams if s.field.startswith("score_")}

    assert {"score_right", "score_wrong", "score_positive", "score_negative"} == held.keys()
    assert held["score_right"] / (held["score_right"] + held["score_wrong"]) == pytest.approx(0.85, abs=0.05)
    assert held["score_wrong"] < 300 <= held["score_right"]
    assert held["score_right"] + held["score_wrong"] == held["score_positive"] + held["score_negative"]


def test_kpis_are_shown_with_intervals() -> None:
    made = watching()
    fed(made, traffic(1_000, START_S, 0.0, 1))
    found = {(kpi.name, kpi.segment, kpi.window): kpi for kpi in made.picture().kpis}

    accuracy = found["accuracy", "", "1m"]
    assert 0.6 < accuracy.low < accuracy.value < accuracy.high < 0.95
    assert 550 <= accuracy.samples <= 800
    assert {"auc", "f1", "ece", "log_loss"} <= {name for name, _, window in found if window == "1m"}


def test_model_without_outcomes_has_the_kpis_that_its_rules_name() -> None:
    rule = Rule("cache", KPI, ("cache_hit_rate",), Level(0.5), None, WINDOWS_S[:1], is_above=False, samples_min=20)
    speed = Rule("speed", KPI, ("predictions_per_hour", "tokens_per_s"), Level(1e9), None, WINDOWS_S[:1])
    chance = random.Random(3)

    def asked(number: int, hit: float) -> dict[str, Any]:
        features = {"cache_hit": chance.random() < hit, "x": 0.5}
        return inference(number, START_S + number / 10, features=features, tokens_in=10, tokens_out=20)

    made = watching(rule, speed)
    healthy = fed(made, [asked(i, 0.9) for i in range(1_500)])
    found = {(kpi.name, kpi.window): kpi for kpi in made.picture().kpis}
    broken = fed(made, [asked(i, 0.1) for i in range(1_500, 3_000)])

    assert [] == healthy.transitions
    assert {"cache_hit_rate", "predictions_per_hour", "tokens_per_s"} == {name for name, _ in found}
    assert found["cache_hit_rate", "1m"].low < 0.9 < found["cache_hit_rate", "1m"].high
    assert found["predictions_per_hour", "1m"].value == pytest.approx(36_000, rel=0.05)
    assert found["tokens_per_s", "1m"].value == pytest.approx(300.0, rel=0.05)
    assert found["cache_hit_rate", REFERENCE].samples >= 600
    assert {"cache"} == {t.alert.rule for t in broken.transitions if t.alert.state is AlertState.FIRING}


def failing(count: int, from_s: float, modes: str, seed: int) -> list[dict[str, Any]]:
    """Give ten failures a second, of these modes."""
    chance = random.Random(seed)
    out = []
    for number in range(count):
        key, time_s = seed * 1_000_000 + number, from_s + number / 10
        said = {"evaluator": "tone", "value": False, "failure_mode": chance.choice(modes)}
        out += [inference(key, time_s), outcome(key, time_s + 0.05, "evaluation", **said)]
    return out


def test_failures_that_spread_to_new_modes_fire() -> None:
    limits = {"failure_expansion": 1.0, "failure_growth": 1.2, "new_failure_modes": 0.1}
    made = watching(*(Rule(kpi, KPI, (kpi,), Level(limit), None, WINDOWS_S[:1]) for kpi, limit in limits.items()))
    healthy = fed(made, failing(1_200, START_S, "aaab", 1))
    more = fed(made, failing(400, START_S + 120, "aaab", 2))
    spread = fed(made, failing(700, START_S + 160, "aaabcdefgh", 3))

    assert [] == healthy.transitions == more.transitions
    assert limits.keys() == {t.alert.rule for t in spread.transitions if t.alert.state is AlertState.FIRING}


def test_kpis_are_worked_out_once_a_pane(monkeypatch: pytest.MonkeyPatch) -> None:
    made = watching()
    events = traffic(1_000, START_S, 0.0, 1)
    fed(made, events)
    before = made.picture().kpis
    worked: list[int] = []
    work_out = Cells._work_out

    def counted(cells: Cells) -> Shown:
        worked.append(1)
        return work_out(cells)

    monkeypatch.setattr(Cells, "_work_out", counted)

    assert before is made.picture().kpis
    assert [] == worked
    step(made, encoded([inference(7, START_S + 90.0)]))  # late, of a pane that has closed
    late = made.picture().kpis
    assert [1] == worked
    fed(made, traffic(20, START_S + 101.0, 0.0, 2))
    made.picture()
    made.picture()
    assert [1, 1] == worked
    assert late != before
