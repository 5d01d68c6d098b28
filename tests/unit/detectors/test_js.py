from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from monitor.detectors.js import JensenShannon
from tests.unit.detectors.views import grouped_view


@pytest.mark.parametrize(
    ("window", "reference"),
    [([1, 9], [5, 5]), ([1, 2, 7], [3, 4, 3]), ([1, 1, 1, 97], [97, 1, 1, 1])],
)
def test_large_samples_agree_with_scipy(window: list[int], reference: list[int]) -> None:
    view = grouped_view(np.array([window]) * 10**7, np.array([reference]) * 10**7)

    assert jensenshannon(window, reference, base=2) == pytest.approx(JensenShannon().measure(view).value[0], rel=1e-4)


def test_nothing_in_common_is_one() -> None:
    measure = JensenShannon().measure(grouped_view([[10**7, 0]], [[0, 10**7]]))

    assert measure.value[0] == pytest.approx(1.0, abs=1e-5)
    assert measure.high[0] == pytest.approx(1.0, abs=1e-5)


def test_noise_alone_is_taken_off() -> None:
    """200 events in 10 groups: plain distance 0.09 on average, corrected often 0 and about 0.04."""
    random = np.random.default_rng(4)
    shares = np.full(10, 0.1)
    view = grouped_view(random.multinomial(200, shares, 2000), random.multinomial(20_000, shares, 2000))
    value = JensenShannon().measure(view).value

    assert (value == 0.0).mean() > 0.5
    assert value.mean() < 0.03
