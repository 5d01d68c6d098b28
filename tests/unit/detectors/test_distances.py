"""What psi, js, ks, wasserstein and chi_square have in common."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor.detectors import DETECTORS
from tests.unit.detectors.views import at, grouped_view

DISTANCES = ("psi", "js", "ks", "wasserstein", "chi_square")
NAMES = pytest.mark.parametrize("name", DISTANCES)
TABLES = arrays(np.int64, st.tuples(st.integers(0, 4), st.integers(2, 12)), elements=st.integers(0, 10**6))
THRESHOLDS = st.floats(0.0, 10.0)


@NAMES
@given(window=TABLES, data=st.data())
def test_any_counts_give_finite_numbers_or_nan(name: str, window: np.ndarray, data: st.DataObject) -> None:
    elements = st.integers(0, 10**6)
    reference = data.draw(arrays(np.int64, window.shape, elements=elements))
    view = grouped_view(window, reference)
    measure = DETECTORS[name].measure(view)
    nats = DETECTORS[name].evidence(view, measure, at(data.draw(st.floats()), view))

    for array in (measure.value, measure.low, measure.high, measure.samples, nats):
        assert not np.isinf(array).any()
    assert (np.isnan(measure.value) == (measure.samples == 0.0)).all()
    assert np.isfinite(nats).all()
    known = ~np.isnan(measure.value)
    assert (measure.value[known] >= 0.0).all()
    assert (measure.low[known] <= measure.value[known]).all()
    assert (measure.value[known] <= measure.high[known] + 1e-12).all()


@NAMES
@given(counts=TABLES, threshold=THRESHOLDS)
def test_a_reference_compared_with_itself_is_never_above_anything(
    name: str, counts: np.ndarray, threshold: float
) -> None:
    view = grouped_view(counts, counts)
    nats = DETECTORS[name].evidence(view, DETECTORS[name].measure(view), at(threshold, view))

    assert (nats <= 1e-6).all()


@NAMES
@given(window=TABLES, data=st.data(), low=THRESHOLDS, high=THRESHOLDS)
def test_evidence_falls_as_the_threshold_rises(
    name: str, window: np.ndarray, data: st.DataObject, low: float, high: float
) -> None:
    view = grouped_view(window, data.draw(arrays(np.int64, window.shape, elements=st.integers(0, 10**6))))
    measure = DETECTORS[name].measure(view)
    low, high = sorted((low, high))
    at_low = DETECTORS[name].evidence(view, measure, at(low, view))
    at_high = DETECTORS[name].evidence(view, measure, at(high, view))

    assert (at_low >= at_high - 1e-9 * np.abs(at_high) - 1e-9).all()


@NAMES
@pytest.mark.parametrize(
    ("threshold", "sign"), [(0.0, 1), (0.01, 1), (20.0, -1)], ids=["changed at all", "far above", "far below"]
)
def test_evidence_has_the_side_of_the_estimate(name: str, threshold: float, sign: int) -> None:
    view = grouped_view([[100, 200, 700]], [[3000, 4000, 3000]])
    nats = DETECTORS[name].evidence(view, DETECTORS[name].measure(view), at(threshold, view))

    assert nats[0] * sign > 10.0


@NAMES
def test_unused_groups_make_no_difference(name: str) -> None:
    plain = grouped_view([[10, 20, 70]], [[300, 400, 300]])
    padded = grouped_view(
        [[10, 20, 70, 0, 0]], [[300, 400, 300, 0, 0]], [[0, 1, 2, 3, np.nan, np.nan]], groups_used=np.array([3])
    )
    detector = DETECTORS[name]

    for view in (plain, padded):
        measure = detector.measure(view)
        assert measure.value == pytest.approx(detector.measure(plain).value)
        assert detector.evidence(view, measure, at(0.05, view)) == pytest.approx(
            detector.evidence(plain, detector.measure(plain), at(0.05, plain))
        )


@NAMES
def test_more_events_of_the_same_mixture_make_the_same_value_surer(name: str) -> None:
    few = grouped_view([[100, 200, 700]], [[3000, 4000, 3000]])
    many = grouped_view([[10_000, 20_000, 70_000]], [[300_000, 400_000, 300_000]])
    detector = DETECTORS[name]
    first, second = detector.measure(few), detector.measure(many)

    assert first.value[0] == pytest.approx(second.value[0], rel=0.03)
    assert second.high[0] - second.low[0] < 0.2 * (first.high[0] - first.low[0])
    assert detector.evidence(many, second, at(0.1, many))[0] > 20 * detector.evidence(few, first, at(0.1, few))[0]


@NAMES
@pytest.mark.parametrize(
    ("window", "reference", "used"),
    [([0, 0], [5, 5], 2), ([5, 5], [0, 0], 2), ([5, 0], [5, 0], 1), ([0, 0], [0, 0], 0)],
    ids=["empty window", "no reference", "one group", "no groups"],
)
def test_nothing_to_compare_is_nan_without_samples(
    name: str, window: list[int], reference: list[int], used: int
) -> None:
    view = grouped_view([window], [reference], groups_used=np.array([used]))
    measure = DETECTORS[name].measure(view)

    assert np.isnan([measure.value[0], measure.low[0], measure.high[0]]).all()
    assert measure.samples[0] == 0.0
    assert DETECTORS[name].evidence(view, measure, at(0.0, view))[0] == 0.0


@pytest.mark.parametrize("name", ["psi", "js", "chi_square"])
def test_the_order_of_groups_is_irrelevant(name: str) -> None:
    one = DETECTORS[name].measure(grouped_view([[10, 20, 70]], [[300, 400, 300]]))
    other = DETECTORS[name].measure(grouped_view([[70, 10, 20]], [[300, 300, 400]]))

    assert one.value == pytest.approx(other.value)
