"""Spacing: how many points four days have."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.series.spacing import LEAST_S, Spacing

ROW = np.array([0])


def least_points(*times_s: float) -> float:
    spacing = Spacing(1)
    return [float(spacing.least_points(ROW, np.array([time_s]))[0]) for time_s in times_s][-1]


@pytest.mark.parametrize("step_s", [1e-3, 60.0, 3_600.0])
def test_even_steps(step_s: float) -> None:
    assert least_points(*(step_s * np.arange(10))) == pytest.approx(LEAST_S / step_s)


def test_gaps_and_steps_back_count_little() -> None:
    times_s = 60.0 * np.arange(1_000)
    times_s[500:] += 1e6
    times_s[700] = 0.0

    assert least_points(*times_s) == pytest.approx(LEAST_S / 60.0, rel=0.1)


@pytest.mark.parametrize("times_s", [[5.0], [5.0, 5.0, 5.0], [5.0, 4.0]])
def test_without_a_step_nothing_is_known(times_s: list[float]) -> None:
    assert least_points(*times_s) == 0.0
