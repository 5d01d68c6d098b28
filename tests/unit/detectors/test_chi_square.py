from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from monitor.detectors.chi_square import ChiSquare
from monitor.detectors.evidence import g_evidence
from tests.unit.detectors.views import at, grouped_view


@pytest.mark.parametrize(
    ("window", "reference"), [([30, 70], [500, 500]), ([10, 20, 70], [300, 400, 300]), ([0, 50, 50], [10, 500, 490])]
)
def test_phi_squared_is_scipys_statistic_less_its_floor_over_the_effective_size(
    window: list[int], reference: list[int]
) -> None:
    n, m = sum(window), sum(reference)
    statistic = chi2_contingency([window, reference], correction=False).statistic
    expected = (statistic - (len(window) - 1)) * (n + m) / (n * m)
    view = grouped_view([window], [reference])

    assert max(expected, 0.0) == pytest.approx(ChiSquare().measure(view).value[0] ** 2)


def test_groups_empty_on_both_sides_do_no_harm() -> None:
    view = grouped_view([[30, 0, 70]], [[500, 0, 500]])

    assert np.isfinite(ChiSquare().measure(view).value).all()


def test_changed_at_all_is_the_g_test() -> None:
    view = grouped_view([[30, 70]], [[500, 500]])
    nats = ChiSquare().evidence(view, ChiSquare().measure(view), at(0.0, view))

    assert nats == pytest.approx(g_evidence(view.grouped, view.reference_grouped))


def test_evidence_above_an_effect_is_never_more_than_that_of_any_change() -> None:
    random = np.random.default_rng(5)
    view = grouped_view(random.poisson(1.0, (500, 8)), random.poisson(20.0, (500, 8)))
    measure = ChiSquare().measure(view)
    any_change = ChiSquare().evidence(view, measure, at(0.0, view))

    assert (ChiSquare().evidence(view, measure, at(0.2, view)) <= any_change + 1e-12).all()
