"""Fluctuation: how much block sums vary, learned and believed as far as noise allows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from monitor.domain import FloatArray
from monitor.sequential.fluctuation import LEVELS, Fluctuation, Inflation, beyond_noise, smoothed

PANES = 20_000


def autoregressive(r: float, streams: int, seed: int = 1) -> FloatArray:
    noise = np.random.default_rng(seed).standard_normal((streams, PANES + 500)) * np.sqrt(1.0 - r * r)
    values: FloatArray = lfilter([1.0], [1.0, -r], noise, axis=1)
    return values[:, 500:]


def learned(values: FloatArray) -> Inflation:
    """Give the inflation of one score of streams, shape (S, panes), of one event each."""
    streams = np.arange(len(values))
    fluctuation = Fluctuation(1)
    fluctuation.reserve(len(values))
    for pane in range(values.shape[1]):
        fluctuation.observe(pane, streams, values[:, pane : pane + 1], np.ones(len(values)))
    mean, variance = values.mean(axis=1, keepdims=True), values.var(axis=1, keepdims=True)
    return fluctuation.inflation(streams, mean, variance, np.full(len(values), float(values.shape[1])))


@pytest.mark.parametrize("r", [0.3, 0.7])
def test_of_an_autoregression_it_is_that_of_theory(r: float) -> None:
    found = learned(autoregressive(r, 20)).factor[:, 0]
    width = 2.0 ** np.arange(10)
    theory = 1.0 + 2.0 * r / (1.0 - r) - 2.0 * r * (1.0 - r**width) / (width * (1.0 - r) ** 2)
    assert theory == pytest.approx(found.mean(axis=0)[:10], rel=0.15)
    assert (1.0 + r) / (1.0 - r) == pytest.approx(theory[-1], rel=0.02)


def test_of_independent_values_it_is_near_1() -> None:
    found = learned(autoregressive(0.0, 40)).factor[:, 0]
    assert found[:, 9].mean() == pytest.approx(1.0, abs=0.1)
    assert found.min() == 1.0


def test_it_does_not_fall_with_length_and_blocks_hold_ever_more_events() -> None:
    found = learned(autoregressive(0.5, 5))
    assert np.all(np.diff(found.factor, axis=2) >= 0.0)
    assert np.all(np.diff(found.events, axis=1) > 0.0)


def test_smoothed_ratios_of_an_autoregression_at_every_length() -> None:
    r, width = 0.5, np.exp2(np.arange(LEVELS, dtype=np.float64))
    ratio = 1.0 + 2.0 * r / (1.0 - r) - 2.0 * r * (1.0 - r**width) / (width * (1.0 - r) ** 2)
    blocks = np.maximum(1e6 / width, 0.0)[None]
    found = smoothed(width[None], ratio[None, None], blocks, np.zeros((1, 1)))
    assert found.factor[0, 0, -1] == pytest.approx((1.0 + r) / (1.0 - r), rel=0.02)


def test_a_gap_of_any_length_is_jumped_and_closes_what_was_open() -> None:
    slow, fast = Fluctuation(1), Fluctuation(1)
    stream, one, none = np.array([0]), np.ones((1, 1)), np.zeros((1, 1))
    for own in (slow, fast):
        own.reserve(1)
        own.observe(5, stream, one, np.ones(1))
    for pane in range(6, 5_000):
        slow.observe(pane, stream, none, np.zeros(1))
    for own in (slow, fast):
        own.observe(5_000, stream, one, np.ones(1))
    assert slow._blocks.tolist() == fast._blocks.tolist()
    assert slow._squares.tolist() == fast._squares.tolist()
    assert slow._open.tolist() == fast._open.tolist()
    fast.observe(10**12, stream, one, np.ones(1))
    assert [2.0] * 12 == fast._blocks[:12, 0].tolist()


def test_a_late_pane_counts_as_of_the_last() -> None:
    fluctuation = Fluctuation(1)
    fluctuation.reserve(1)
    for pane in (10, 3, 11):
        fluctuation.observe(pane, np.array([0]), np.ones((1, 1)), np.ones(1))
    assert fluctuation._squares[0, 0].tolist() == [4.0, 4.0]


def test_streams_are_learned_alike_together_and_apart() -> None:
    values = autoregressive(0.4, 3)[:, :2_000]
    together = learned(values).factor
    assert together.tolist() == np.concatenate([learned(values[at : at + 1]).factor for at in range(3)]).tolist()


def test_at_horizon_reads_the_length_at_which_inflated_need_is_met() -> None:
    factor = np.minimum(np.exp2(0.5 * np.arange(LEVELS)), 4.0)[None, None]
    inflation = Inflation(np.exp2(np.arange(LEVELS, dtype=np.float64))[None], factor)
    # 4 events become 4 * sqrt(length): met at a length of 16, where the factor is 4.
    needed = np.array([[1.0, 4.0, 1_000.0]])
    assert [[1.0, 4.0, 4.0]] == inflation.at_horizon(needed, np.zeros(3, dtype=np.int64)).tolist()


def test_beyond_all_lengths_growth_goes_on_as_it_went() -> None:
    growing = Inflation(np.exp2(np.arange(LEVELS, dtype=np.float64))[None], np.linspace(1.0, 2.0, LEVELS)[None, None])
    flat = Inflation(growing.events, np.ones((1, 1, LEVELS)))
    needed, score = np.array([[2.0**LEVELS * 8.0]]), np.zeros(1, dtype=np.int64)
    assert growing.at_horizon(needed, score)[0, 0] > 10.0
    assert [[1.0]] == flat.at_horizon(needed, score).tolist()


def test_more_is_believed_of_what_stands_out_more() -> None:
    excess = np.linspace(0.0, 10.0, 50)
    believed = beyond_noise(excess, np.ones(50))
    assert np.all(np.diff(believed) > 0.0)
    assert believed[0] == 0.0
    assert np.all(believed <= excess)
    assert beyond_noise(np.array([4.0]), np.ones(1))[0] == pytest.approx(4.0 * 0.8)
