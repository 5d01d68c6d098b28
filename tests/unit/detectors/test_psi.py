from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor.detectors.psi import Psi, psi_floor, psi_raw
from tests.unit.detectors.views import at, grouped_view

COUNTS = arrays(np.int64, (3, 5), elements=st.integers(0, 10**9))


def test_psi_by_hand() -> None:
    """Shares .3/.7 against .5/.5: .2 log(.7/.5) - .2 log(.3/.5) = 0.169460; millions drown the half counts."""
    view = grouped_view([[3_000_000, 7_000_000]], [[5_000_000, 5_000_000]])

    assert psi_raw(view)[0] == pytest.approx(0.169460, abs=1e-6)
    assert psi_floor(view)[0] == pytest.approx(2e-7)
    assert Psi().measure(view).value[0] == pytest.approx(0.169460 - 2e-7, abs=1e-6)


def test_half_an_event_is_added_to_each_group() -> None:
    """Shares .5/11 and 10.5/11 against 5.5/11 twice."""
    view = grouped_view([[0, 10]], [[5, 5]])
    p, q = np.array([0.5, 10.5]) / 11, np.array([0.5, 0.5])

    assert psi_raw(view)[0] == pytest.approx(((p - q) * np.log(p / q)).sum())


def test_excess_is_raw_less_floor_and_never_negative() -> None:
    view = grouped_view([[60, 40], [50, 50]], [[500, 500], [500, 500]])

    assert psi_floor(view) == pytest.approx([0.011, 0.011])
    assert Psi().measure(view).value == pytest.approx([psi_raw(view)[0] - 0.011, 0.0])


def test_excess_is_centred_where_nothing_changed() -> None:
    """The usual index is 0.18 on average here, which would page; the excess is half the time 0, and small."""
    random = np.random.default_rng(3)
    shares = np.full(10, 0.1)
    view = grouped_view(random.multinomial(50, shares, 4000), random.multinomial(100_000, shares, 4000))

    assert (psi_raw(view) > 0.1).mean() > 0.7
    assert (psi_raw(view) - psi_floor(view)).mean() == pytest.approx(0.0, abs=0.02)
    assert (Psi().evidence(view, Psi().measure(view), at(0.1, view)) > 3.0).mean() < 0.005


@given(COUNTS, COUNTS)
def test_raw_is_at_least_zero_and_symmetric(window: np.ndarray, reference: np.ndarray) -> None:
    forward = psi_raw(grouped_view(window, reference))
    backward = psi_raw(grouped_view(reference, window))

    assert (forward[~np.isnan(forward)] >= 0.0).all()
    assert forward == pytest.approx(backward, rel=1e-6, abs=1e-12, nan_ok=True)


def test_psi_above_its_threshold_becomes_evidence_only_with_events() -> None:
    """The same shares, PSI 0.17 against 0.1: 40 events say nothing, 4,000 say 18 nats or more."""
    views = [grouped_view([[0.3 * n, 0.7 * n]], [[50_000, 50_000]]) for n in (40, 4_000)]
    few, many = (Psi().evidence(view, Psi().measure(view), at(0.1, view))[0] for view in views)

    assert few < 0.5
    assert many > 10.0
