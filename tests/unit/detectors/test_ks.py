from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from monitor.detectors.ks import KolmogorovSmirnov
from tests.unit.detectors.views import grouped_view


@pytest.mark.parametrize(
    ("window", "reference", "expected"),
    [([0, 10], [5, 5], 0.5), ([10, 0], [0, 10], 1.0), ([5, 5], [50, 50], 0.0), ([1, 2, 7], [3, 4, 3], 0.4)],
)
def test_ks_by_hand(window: list[int], reference: list[int], expected: float) -> None:
    assert expected == pytest.approx(KolmogorovSmirnov().measure(grouped_view([window], [reference])).value[0])


def test_ks_agrees_with_scipy_on_grouped_values() -> None:
    random = np.random.default_rng(6)
    window, reference = random.integers(0, 8, 300), random.integers(0, 10, 900)
    view = grouped_view([np.bincount(window, minlength=10)], [np.bincount(reference, minlength=10)])

    assert ks_2samp(window, reference).statistic == pytest.approx(KolmogorovSmirnov().measure(view).value[0])


def test_interval_is_the_band_of_the_effective_size() -> None:
    """1.358 * sqrt(1/100 + 1/100) = 0.192."""
    measure = KolmogorovSmirnov().measure(grouped_view([[20, 80]], [[60, 40]]))

    assert (0.4 - 0.192, 0.4 + 0.192) == pytest.approx((measure.low[0], measure.high[0]), abs=1e-3)
