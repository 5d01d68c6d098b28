from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, wasserstein_distance

from monitor.detectors.wasserstein import OUTER_SCALES_MAX, Wasserstein, transport_of
from tests.unit.detectors.views import at, grouped_view

MILLIONS = 10**8


def test_wasserstein_agrees_with_scipy_on_the_groups_middles() -> None:
    window, reference = np.array([1.0, 2.0, 7.0, 5.0]), np.array([3.0, 4.0, 3.0, 9.0])
    edges = np.array([0.0, 1.0, 2.5, 3.0, 4.5])
    middles = 0.5 * (edges[1:] + edges[:-1])
    expected = wasserstein_distance(middles, middles, window, reference) / 2.0
    view = grouped_view([window * MILLIONS], [reference * MILLIONS], [edges], scale=np.array([2.0]))

    assert expected == pytest.approx(Wasserstein().measure(view).value[0], rel=1e-6)


@pytest.mark.parametrize("shift", [-1.0, 0.25, 1.0])
def test_a_shifted_normal_moves_by_about_its_shift(shift: float) -> None:
    """Twelve equal-mass groups and an outlier at 50 in the reference: the far edge must not count as a place."""
    inner = norm.ppf(np.arange(1, 12) / 12)
    window = np.diff(np.concatenate([[0.0], norm.cdf(inner - shift), [1.0]]))
    edges = np.concatenate([[-4.0], inner, [50.0]])
    view = grouped_view([window * MILLIONS], [np.full(12, MILLIONS)], [edges])

    assert abs(shift) == pytest.approx(Wasserstein().measure(view).value[0], rel=0.1)


def test_outer_groups_reach_a_bounded_way() -> None:
    """All of the window in the last of two groups, whose middles are 0.75 scales on either side of the inner edge."""
    view = grouped_view([[0, MILLIONS]], [[MILLIONS, 0]], [[-1e9, 0.0, 1e9]])

    assert Wasserstein().measure(view).value[0] == pytest.approx(OUTER_SCALES_MAX, rel=1e-3)


@given(st.floats(1e-9, 1e9), st.floats(-1e6, 1e6))
def test_unit_and_origin_are_irrelevant(unit: float, origin: float) -> None:
    edges = np.array([[0.0, 1.0, 2.5, 3.0]])
    plain = grouped_view([[10, 20, 70]], [[300, 400, 300]], edges)
    moved = grouped_view([[10, 20, 70]], [[300, 400, 300]], (edges + origin) * unit, scale=np.array([unit]))

    assert transport_of(plain).raw == pytest.approx(transport_of(moved).raw, rel=1e-6)
    assert Wasserstein().measure(plain).value == pytest.approx(Wasserstein().measure(moved).value, rel=1e-5)


@pytest.mark.parametrize("scale", [0.0, np.nan, -1.0])
def test_without_a_scale_there_is_no_value(scale: float) -> None:
    view = grouped_view([[10, 20, 70]], [[300, 400, 300]], scale=np.array([scale]))
    measure = Wasserstein().measure(view)

    assert np.isnan(measure.value[0])
    assert measure.samples[0] == 0.0
    assert Wasserstein().evidence(view, measure, at(0.0, view))[0] == 0.0
