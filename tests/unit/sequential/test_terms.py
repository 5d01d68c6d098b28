"""Alternatives and their terms: every likelihood ratio is 1 on average while nothing changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor.bins import VALUE_BINS
from monitor.domain import CountArray
from monitor.sequential.alternatives import (
    ADDED,
    ALTERNATIVES,
    FIRST_ADDITION,
    FIRST_ANY,
    MEMORIES,
    TILTED,
    TILTS,
    WEIGHTS,
    change_of,
)
from monitor.sequential.budget import OVERSHOOT, nats_for
from monitor.sequential.fluctuation import LEVELS
from monitor.sequential.normal import Normal
from monitor.sequential.scores import CELLS, LOCATION, SCALE, SCORES, cell_shares, class_shares, classes_by_value
from monitor.sequential.terms import MUTED, POWERS, Terms, additions, terms_of, tilts

COUNTS = arrays(np.uint32, (1, VALUE_BINS), elements=st.integers(0, 10_000)).filter(lambda counts: bool(counts.any()))


def terms(counts: CountArray, nats: float = 15.0, inflation: float = 1.0) -> Terms:
    factor = np.full((4, LEVELS), inflation)
    normals = [Normal(own, np.exp2(np.arange(LEVELS, dtype=np.float64)), factor) for own in classes_by_value(counts)]
    return terms_of(counts, normals, np.full(len(counts), nats))


def test_weights_are_of_one_whole() -> None:
    assert WEIGHTS.sum() == pytest.approx(1.0)
    assert len(WEIGHTS) == ALTERNATIVES == TILTS + len(ADDED) * CELLS + len(MEMORIES)
    assert np.all(WEIGHTS > 0.0)


def test_every_alternative_has_a_name_for_its_change() -> None:
    assert "location" == change_of(int(np.flatnonzero(TILTED == LOCATION)[0]))
    assert "scale" == change_of(int(np.flatnonzero(TILTED == SCALE)[0]))
    assert "new values" == change_of(FIRST_ADDITION + CELLS - 1)
    assert "collapse" == change_of(FIRST_ADDITION)
    assert "shape" == change_of(FIRST_ANY)


@given(COUNTS)
def test_tilts_have_likelihood_ratios_of_1_on_average_under_the_reference(counts: CountArray) -> None:
    shares, _ = class_shares(counts, classes_by_value(counts))
    psi, divergence = tilts(shares)
    assert np.exp(POWERS - psi[0][:, None]) @ shares[0] == pytest.approx(np.ones(TILTS))
    assert np.all(divergence >= 0.0)


@given(COUNTS)
def test_additions_have_likelihood_ratios_of_1_on_average_under_the_reference(counts: CountArray) -> None:
    shares, _ = class_shares(counts, classes_by_value(counts))
    cells = cell_shares(shares)
    hit, divergence = additions(cells)
    p, miss = np.tile(cells[0], len(ADDED)), 1.0 - np.repeat(ADDED, CELLS)
    assert p * np.exp(hit[0]) + (1.0 - p) * miss == pytest.approx(np.ones(len(p)))
    assert np.all(divergence >= 0.0)


def test_gain_and_cost_are_those_of_the_likelihood_ratio_raised_to_its_power() -> None:
    counts = np.full((1, VALUE_BINS), 10_000, dtype=np.uint32)
    found = terms(counts)
    shares, _ = class_shares(counts, classes_by_value(counts))
    psi, _ = tilts(shares)
    raised = found.gain[0, :TILTS, None] * SCORES[:, TILTED].T - found.cost[0, :TILTS, None]
    powers = found.cost[0, :TILTS] / psi[0]
    assert raised == pytest.approx(powers[:, None] * (POWERS - psi[0][:, None]))
    assert np.all((powers > 0.9) & (powers < 1.0))


def test_what_fluctuates_more_proves_less() -> None:
    counts = np.full((1, VALUE_BINS), 10_000, dtype=np.uint32)
    assert np.all(np.abs(terms(counts, inflation=3.0).gain) < 0.34 * np.abs(terms(counts).gain) + 1e-12)


@pytest.mark.parametrize("each", [2, 20, 200])
def test_what_the_references_own_error_looks_like_is_not_looked_for(each: int) -> None:
    small, large = (terms(np.full((1, VALUE_BINS), n, dtype=np.uint32)) for n in (each, 10 * each))
    was_muted, is_muted = small.cost[0] == MUTED, large.cost[0] == MUTED
    assert np.all(small.gain[0, was_muted] == 0.0)
    assert is_muted.sum() <= was_muted.sum()
    assert not is_muted[FIRST_ANY:].any()


def test_a_constant_stream_is_watched_for_new_values_alone() -> None:
    counts = np.zeros((1, VALUE_BINS), dtype=np.uint32)
    counts[0, 7] = 10_000
    found = terms(counts)
    assert np.isfinite(found.gain).all()
    of_cells = found.gain[0, FIRST_ADDITION : FIRST_ADDITION + CELLS]
    assert of_cells[[0, CELLS - 2]].min() > 1.0


def test_a_budget_of_seconds_is_its_logarithm_in_nats_less_the_overshoot() -> None:
    assert math.log(1e6 / OVERSHOOT) == pytest.approx(nats_for(1e6))
    assert nats_for(1e6) - math.log(0.5) == pytest.approx(nats_for(1e6, 0.5))
    assert nats_for(1e-3) == 1.0
