from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor import bins
from monitor.detectors.log_counts import VALUE_SPAN, log_counts_of
from monitor.detectors.mean import Mean
from monitor.detectors.quantiles import P50, P95, P99, QuantileDetector
from monitor.domain import Kind
from tests.unit.detectors.views import at, bins_view, view_of

EXPONENT = -10
LATENCIES = arrays(np.float64, st.integers(1, 200), elements=st.floats(2.0**EXPONENT, 1000.0))


def counted(values: np.ndarray) -> np.ndarray:
    """Rows of values as rows of counts on a grid that starts at 2**EXPONENT."""
    rows = np.atleast_2d(values)
    counts = np.zeros((len(rows), bins.LOGS_WIDTH), dtype=np.uint32)
    for row, filled in zip(counts, rows, strict=True):
        np.add.at(row, bins.log_bin(filled, np.full(len(filled), EXPONENT)), 1)
    return counts


@pytest.mark.parametrize("detector", [P50, P95, P99], ids=lambda detector: detector.name)
@given(values=LATENCIES)
def test_quantile_is_within_one_percent_of_the_exact_one(detector: QuantileDetector, values: np.ndarray) -> None:
    expected = np.quantile(values, detector.quantile, method="inverted_cdf")
    measure = detector.measure(view_of(counted(values), low=np.array([2.0**EXPONENT])))

    assert expected == pytest.approx(measure.value[0], rel=0.01)
    assert measure.low[0] <= measure.value[0] <= measure.high[0]
    assert measure.samples[0] == len(values)


@given(arrays(np.uint32, (3, bins.LOGS_WIDTH), elements=st.integers(0, 3), fill=st.just(0)), st.data())
def test_ranks_and_tails_agree_with_the_cumulated_row(counts: np.ndarray, data: st.DataObject) -> None:
    cumulated = np.cumsum(counts[:, :VALUE_SPAN], axis=1)
    quick = log_counts_of(counts)
    rank = data.draw(st.integers(1, 20))
    bin_ = data.draw(st.integers(0, VALUE_SPAN))
    expected = np.minimum((cumulated < rank).sum(axis=1), VALUE_SPAN - 1)

    assert quick.samples().tolist() == cumulated[:, -1].tolist()
    assert quick.bin_of_rank(np.full(3, float(rank))).tolist() == expected.tolist()
    assert quick.before(np.full(3, bin_)).tolist() == counts[:, :bin_][:, :VALUE_SPAN].sum(axis=1).tolist()


def test_grids_may_start_elsewhere_in_each_row() -> None:
    counts = np.repeat(bins_view(Kind.LOG, [{100: 10}]).counts, 2, axis=0)
    value = P50.measure(view_of(counts, low=np.array([1.0, 0.25]))).value

    assert value[1] == value[0] / 4


@pytest.mark.parametrize(
    ("row", "expected"),
    [({bins.LOG_BELOW: 5}, 0.0), ({bins.LOG_ABOVE: 5}, 2.0**27), ({bins.LOG_NULL: 5}, np.nan), ({}, np.nan)],
    ids=["below the grid", "above the grid", "nulls only", "empty"],
)
def test_ends_of_the_grid(row: dict[int, int], expected: float) -> None:
    assert P95.measure(bins_view(Kind.LOG, [row])).value[0] == pytest.approx(expected, nan_ok=True)


def test_interval_is_read_at_binomial_ranks() -> None:
    """1,000 values: the 936th and the 965th smallest."""
    values = np.linspace(1.0, 2.0, 1000)
    measure = P95.measure(view_of(counted(values), low=np.array([2.0**EXPONENT])))

    assert measure.low[0] == pytest.approx(values[935], rel=0.01)
    assert measure.high[0] == pytest.approx(values[964], rel=0.01)


def test_evidence_is_that_of_the_rate_of_exceedances() -> None:
    """20 of 100 above a budget that 5 % may exceed: 100 KL(.2 || .05) = 13.98 nats; none of 100: 100 log(.95)."""
    late = counted(np.repeat([0.5, 3.0], [80, 20]))
    early = counted(np.full(100, 0.5))
    view = view_of(np.concatenate([late, early]), low=np.full(2, 2.0**EXPONENT))
    nats = P95.evidence(view, P95.measure(view), at(1.5, view))

    assert nats == pytest.approx([13.977, -5.129], abs=1e-3)


def test_values_in_the_bin_of_the_threshold_speak_for_neither_side() -> None:
    view = view_of(counted(np.full(1000, 1.5)), low=np.array([2.0**EXPONENT]))

    assert P95.evidence(view, P95.measure(view), at(1.5, view))[0] == 0.0


@pytest.mark.parametrize("threshold", [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e-300, 1e300])
@pytest.mark.parametrize("detector", [P99, Mean()], ids=lambda detector: detector.name)
def test_odd_thresholds_give_finite_evidence(detector: QuantileDetector | Mean, threshold: float) -> None:
    view = view_of(counted(np.full(100, 1.5)), low=np.array([2.0**EXPONENT]))

    assert np.isfinite(detector.evidence(view, detector.measure(view), at(threshold, view))).all()


@pytest.mark.parametrize("detector", [P50, P95, Mean()], ids=lambda detector: detector.name)
def test_evidence_falls_as_the_threshold_rises(detector: QuantileDetector | Mean) -> None:
    values = np.random.default_rng(8).lognormal(0.0, 1.0, 500)
    thresholds = np.geomspace(0.01, 100.0, 300)
    view = view_of(np.repeat(counted(values), 300, axis=0), low=np.full(300, 2.0**EXPONENT))
    nats = detector.evidence(view, detector.measure(view), thresholds)

    assert (np.diff(nats) <= 1e-9).all()
    assert nats[0] > 10.0
    assert nats[-1] < -10.0


@given(LATENCIES)
def test_mean_is_within_one_percent(values: np.ndarray) -> None:
    measure = Mean().measure(view_of(counted(values), low=np.array([2.0**EXPONENT])))

    assert values.mean() == pytest.approx(measure.value[0], rel=0.01)


def test_mean_allows_for_the_error_of_its_bins() -> None:
    """All values equal: no spread at all, yet half a percent above the threshold proves nothing."""
    view = view_of(counted(np.full(100, 1.5)), low=np.array([2.0**EXPONENT]))
    measure = Mean().measure(view)

    assert Mean().evidence(view, measure, measure.value / 1.005)[0] == 0.0
    assert Mean().evidence(view, measure, measure.value / 1.5)[0] > 10.0
    assert Mean().evidence(view, measure, measure.value * 1.5)[0] < -10.0


@pytest.mark.parametrize("detector", [P50, P95, P99, Mean()], ids=lambda detector: detector.name)
def test_reference_is_read_like_the_window(detector: QuantileDetector | Mean) -> None:
    counts = counted(np.random.default_rng(9).lognormal(0.0, 1.0, 500))
    view = view_of(np.zeros_like(counts), counts, low=np.array([2.0**EXPONENT]))
    swapped = view_of(counts, low=view.low)

    assert detector.of_reference(view)[0] == detector.measure(swapped).value[0]
    assert np.isnan(detector.of_reference(swapped)[0])
