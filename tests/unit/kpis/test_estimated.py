"""Quality before labels: right while scores are worth what they were, and a gap when they no longer are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.domain import BoolArray, FloatArray
from monitor.kpis.base import Cell
from monitor.kpis.estimated import EVENTS_MIN, EstimatedAccuracy, ScoreMap, gap_of, score_map_of
from monitor.probes import place_grid
from tests.unit.kpis.cells import binary, flags, numbers

ALPHA = 0.05


def draw(rows: int, a: float, b: float, seed: int, decay: float = 0.0) -> tuple[FloatArray, BoolArray]:
    """Give scores of a classifier, Beta(a, b), and labels: positive with chance score, `decay` nearer to a coin's."""
    random = np.random.default_rng(seed)
    scores = random.beta(a, b, rows)
    return scores, random.uniform(size=rows) < scores + decay * (0.5 - scores)


def made(cell: Cell) -> ScoreMap:
    score_map = score_map_of(cell)
    assert score_map is not None
    return score_map


KNOWN = made(binary(*draw(20_000, 0.5, 0.7, seed=1)))


def test_another_mix_of_scores_is_told_before_labels_come() -> None:
    scores, labels = draw(10_000, 2.0, 2.0, seed=2)
    realised = float(((scores >= 0.5) == labels).mean())
    estimate = EstimatedAccuracy(KNOWN).estimate(binary(scores, labels), ALPHA)

    assert realised == pytest.approx(estimate.value, abs=0.015)
    assert estimate.low < realised < estimate.high
    assert estimate.high - estimate.low < 0.04
    assert 10_000 == estimate.samples


def test_scores_on_the_grid_of_the_reference_tell_nearly_the_same() -> None:
    scores, labels = draw(10_000, 2.0, 2.0, seed=3)
    exact = EstimatedAccuracy(KNOWN).estimate(binary(scores, labels), ALPHA)
    spread = EstimatedAccuracy(KNOWN).estimate({"score": numbers(scores, place_grid(scores[:256]))}, ALPHA)

    assert exact.value == pytest.approx(spread.value, abs=0.003)


def test_a_gap_is_no_evidence_while_scores_are_worth_what_they_were() -> None:
    nats = []
    for seed in range(300):
        cell = binary(*draw(800, 1.0, 1.5, seed=100 + seed))
        gap = gap_of(KNOWN, cell, cell, ALPHA)
        assert gap.estimate.low <= gap.estimate.value <= gap.estimate.high
        nats.append(abs(gap.evidence))

    assert np.mean(np.array(nats) >= -math.log(0.05)) <= 0.05 + 3 * math.sqrt(0.05 / 300)


def test_concept_drift_is_a_gap_with_evidence_and_a_sign() -> None:
    cell = binary(*draw(3_000, 0.5, 0.7, seed=4, decay=0.3))
    gap = gap_of(KNOWN, cell, cell, ALPHA)

    assert gap.estimate.high < -0.03
    assert gap.evidence < -10.0


def test_scores_that_the_map_never_saw_may_be_all_right_or_all_wrong() -> None:
    low = made({"score_right": numbers(np.full(400, 0.2)), "score_wrong": numbers(np.full(100, 0.2))})
    seen, unseen, half = (
        EstimatedAccuracy(low).estimate({"score": numbers(x)}, ALPHA)
        for x in ([0.2] * 100, [0.9] * 100, [0.2, 0.9] * 50)
    )

    assert 0.8 == seen.value
    assert 0.7 < seen.low < seen.high < 0.9
    assert (0.0, 1.0) == unseen[1:3]
    assert half.low < 0.4
    assert half.high > 0.9
    gap = gap_of(low, {"score": numbers([0.9] * 100)}, {"correct": flags(10, 90)}, ALPHA)
    assert 0.0 == gap.evidence


def test_a_map_needs_rows_and_every_group_has_enough_of_them() -> None:
    few = binary(*draw(EVENTS_MIN - 1, 1.0, 1.0, seed=5))
    some = made(binary(*draw(130, 1.0, 1.0, seed=6)))

    assert None is score_map_of({})
    assert None is score_map_of(few)
    assert (some.events >= EVENTS_MIN).all()
    assert 130 == some.events.sum()


def test_without_scores_or_labels_all_is_unknown() -> None:
    cell = binary(*draw(100, 1.0, 1.0, seed=7))

    assert math.isnan(EstimatedAccuracy(KNOWN).estimate({}, ALPHA).value)
    for live, joined in (({}, cell), (cell, {})):
        gap = gap_of(KNOWN, live, joined, ALPHA)
        assert math.isnan(gap.estimate.value)
        assert 0.0 == gap.evidence
