from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor import bins
from monitor.detectors.rates import (
    INVALID_RATE,
    NULL_RATE,
    OUT_OF_RANGE_RATE,
    UNSEEN_RATE,
    YES_RATE,
    RateDetector,
)
from monitor.domain import Kind
from tests.unit.detectors.views import at, bins_view

VALUES = {bins.BELOW: 1, 20: 70, bins.ABOVE: 4, bins.NULL: 10, bins.NOT_FINITE: 7, bins.WRONG_TYPE: 8}
LOGS = {
    bins.LOG_BELOW: 1,
    500: 70,
    bins.LOG_ABOVE: 4,
    bins.LOG_NULL: 10,
    bins.LOG_NOT_FINITE: 7,
    bins.LOG_WRONG_TYPE: 8,
}
FLAGS = {bins.YES: 3, bins.NO: 72, bins.UNCHECKED: 20, bins.FLAG_WRONG_TYPE: 5}


@pytest.mark.parametrize(
    ("detector", "kind", "row", "hits", "samples"),
    [
        (NULL_RATE, Kind.NUMERIC, VALUES, 10, 100),
        (NULL_RATE, Kind.CATEGORICAL, VALUES, 10, 100),
        (NULL_RATE, Kind.LOG, LOGS, 10, 100),
        (INVALID_RATE, Kind.NUMERIC, VALUES, 15, 100),
        (INVALID_RATE, Kind.LOG, LOGS, 15, 100),
        (INVALID_RATE, Kind.YES_NO, FLAGS, 5, 100),
        (UNSEEN_RATE, Kind.CATEGORICAL, VALUES, 4, 75),
        (OUT_OF_RANGE_RATE, Kind.NUMERIC, VALUES, 5, 75),
        (YES_RATE, Kind.YES_NO, FLAGS, 3, 75),
    ],
)
def test_rates_count_their_bins(
    detector: RateDetector, kind: Kind, row: dict[int, int], hits: int, samples: int
) -> None:
    view = bins_view(kind, [row])
    measure = detector.measure(replace(view, reference=view.counts))

    assert kind in detector.kinds
    assert samples == measure.samples[0]
    assert hits / samples == pytest.approx(measure.value[0])
    assert measure.low[0] < hits / samples < measure.high[0]


def test_unchecked_answers_never_dilute_the_rate() -> None:
    few, many = bins_view(
        Kind.YES_NO, [{bins.YES: 1, bins.NO: 9, bins.UNCHECKED: count} for count in (0, 10**6)]
    ).counts

    view = bins_view(Kind.YES_NO, [dict(enumerate(few.tolist())), dict(enumerate(many.tolist()))])
    assert YES_RATE.measure(view).value.tolist() == [0.1, 0.1]


def test_only_unchecked_is_no_rate() -> None:
    view = bins_view(Kind.YES_NO, [{bins.UNCHECKED: 500}])
    measure = YES_RATE.measure(view)

    assert np.isnan(measure.value[0])
    assert measure.samples[0] == 0.0
    assert YES_RATE.evidence(view, measure, at(0.1, view))[0] == 0.0


def test_unsafe_rate_needs_evidence_and_not_one_unlucky_event() -> None:
    """Threshold 0.5 %: 1 of 20 is 5 % but 1.5 nats; 30 of 600 is 5 % and 43 nats."""
    view = bins_view(Kind.YES_NO, [{bins.YES: 1, bins.NO: 19}, {bins.YES: 30, bins.NO: 570}])
    nats = YES_RATE.evidence(view, YES_RATE.measure(view), at(0.005, view))

    assert nats == pytest.approx([1.4237, 42.6975], abs=1e-3)


def test_reference_rate_is_its_upper_limit() -> None:
    view = bins_view(Kind.YES_NO, [{}] * 3, [{bins.NO: 100}, {bins.YES: 50_000, bins.NO: 950_000}, {}])
    reference = YES_RATE.of_reference(view)

    assert reference[0] == pytest.approx(0.0263, abs=1e-4)
    assert reference[1] == pytest.approx(0.05, rel=0.01)
    assert np.isnan(reference[2])


def test_reference_rate_is_its_lower_limit_where_below_is_bad() -> None:
    view = bins_view(Kind.YES_NO, [{}] * 3, [{bins.YES: 100}, {bins.YES: 950_000, bins.NO: 50_000}, {}])
    reference = YES_RATE.low_of_reference(view)

    assert reference[0] == pytest.approx(1 - 0.0263, abs=1e-4)
    assert reference[1] == pytest.approx(0.95, rel=0.001)
    assert np.isnan(reference[2])
