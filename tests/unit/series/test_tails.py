"""Learned tails: expected counts against known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.domain import FloatArray
from monitor.series.tails import BINS, MEMORY, REFRESH, Tails, positions_of


def learned(sizes: FloatArray) -> Tails:
    tails, row = Tails(1, 1), np.array([0])
    for number, size in enumerate(sizes):
        tails.learn(row, positions_of(np.array([[size]])), np.ones(1))
        if number % REFRESH == 0:
            tails.refresh(row)
    return tails


def expected(tails: Tails, size: float, least: float = 0.0) -> float:
    return float(np.exp(-tails.surprise(np.array([0]), positions_of(np.array([[size]])), np.array([least]))[0]))


@pytest.mark.parametrize("index", [2.0, 4.0])
def test_a_pareto_tail_is_continued(index: float) -> None:
    sizes = np.random.default_rng(1).pareto(index, size=20_000) + 1.0

    tails = learned(sizes)

    for count in (10.0, 1.0, 0.1):
        size = (20_000 / count) ** (1.0 / index)
        assert count / 4.0 <= expected(tails, size) <= count * 4.0


def test_a_normal_tail_is_overestimated_not_underestimated() -> None:
    tails = learned(np.abs(np.random.default_rng(2).normal(size=20_000)))

    assert expected(tails, 4.9) >= 20_000 * 1e-6
    assert expected(tails, 20.0) < 1.0


def test_a_few_outliers_do_not_widen_the_tail() -> None:
    sizes = np.abs(np.random.default_rng(3).normal(size=20_000))
    with_outliers = sizes.copy()
    with_outliers[::1_000] = 1_000.0

    assert expected(learned(with_outliers), 15.0) < 1.0


def test_what_is_within_the_body_is_not_surprising() -> None:
    assert np.isinf(expected(learned(np.ones(1_000)), 1.0))
    assert np.isinf(expected(Tails(1, 1), 0.0))


def test_a_young_series_is_asked_about_more_points_than_it_has() -> None:
    tails = learned(np.abs(np.random.default_rng(4).normal(size=900)))

    assert expected(tails, 6.0, least=10_000.0) == pytest.approx(10.0 * expected(tails, 6.0), rel=0.02)
    assert expected(tails, 6.0, least=1e9) == expected(tails, 6.0, least=MEMORY)


def test_positions_stay_on_the_axis() -> None:
    positions = positions_of(np.array([0.0, 1e-300, 1.0, 1e300, np.inf]))

    assert [0.0, 0.0, 16.0] == positions[:3].tolist()
    assert ((positions >= 0.0) & (positions < BINS)).all()
