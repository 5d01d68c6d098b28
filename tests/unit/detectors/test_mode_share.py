"""The share of what was most frequent in the reference, against counts done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from monitor.bins import NULL, OTHER, UNSEEN
from monitor.detectors.mode_share import ModeShare
from monitor.domain import Kind
from tests.unit.detectors.views import bins_view

FAST, SLOW = 3, 7
USUAL = {FAST: 90, SLOW: 10}


def test_it_is_the_share_of_the_references_most_frequent_category() -> None:
    view = bins_view(Kind.CATEGORICAL, [{FAST: 60, SLOW: 30, OTHER: 5, UNSEEN: 5, NULL: 100}], [USUAL])
    found = ModeShare().measure(view)

    assert (0.6, 100.0) == (found.value[0], found.samples[0])
    assert found.low[0] < 0.6 < found.high[0]
    assert [0.9] == ModeShare().of_reference(view).tolist()


def test_what_is_most_frequent_now_does_not_matter() -> None:
    assert [0.1] == ModeShare().measure(bins_view(Kind.CATEGORICAL, [{SLOW: 90, FAST: 10}], [USUAL])).value.tolist()


@pytest.mark.parametrize("reference", [{}, {OTHER: 10}, {NULL: 10}])
def test_without_a_category_in_the_reference_nothing_is_said(reference: dict[int, int]) -> None:
    view = bins_view(Kind.CATEGORICAL, [{FAST: 10}], [reference])
    found = ModeShare().measure(view)

    assert np.isnan(found.value[0])
    assert [0.0] == ModeShare().evidence(view, found, np.array([0.5])).tolist()


def test_evidence_bounds_the_chance_of_so_few() -> None:
    view = bins_view(Kind.CATEGORICAL, [{FAST: 80, SLOW: 20}], [USUAL])
    nats = ModeShare().evidence(view, ModeShare().measure(view), np.array([0.9]))[0]

    assert nats < 0
    assert binom.cdf(80, 100, 0.9) <= np.exp(nats)
