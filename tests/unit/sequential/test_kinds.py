"""What a change is called: shifts and scales are told from values that pile up in one place."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from monitor.bins import LOG_INNER, VALUE_BINS, log_bin, numeric_bin
from monitor.domain import CountArray, FloatArray
from monitor.sequential.kinds import kind_of
from monitor.sequential.scores import classes_by_value

EVENTS: Final = 10_000
LOG_BINS: Final = LOG_INNER + 2
SIGMA: Final = 0.45
SAMPLES: Final = pytest.mark.parametrize("samples", [40, 300, 5_000])


def of_numbers(values: FloatArray) -> CountArray:
    """Count values on a grid of normal ones with sd 1: its bins are a fifth of that in the middle."""
    grid = (0.0, 2.0, -0.7, 1.4 / (VALUE_BINS - 2))
    return np.bincount(numeric_bin(values, *map(np.asarray, grid)), minlength=VALUE_BINS).astype(np.uint32)


def of_latencies(values: FloatArray) -> CountArray:
    return np.bincount(log_bin(values, np.asarray(-10)), minlength=LOG_BINS).astype(np.uint32)


def told(counts: CountArray, reference: CountArray) -> str:
    return kind_of(counts, reference, classes_by_value(reference[None, :])[0])


@pytest.fixture(scope="module")
def numbers() -> CountArray:
    return of_numbers(np.random.default_rng(1).normal(size=EVENTS))


@pytest.fixture(scope="module")
def latencies() -> CountArray:
    return of_latencies(np.random.default_rng(1).lognormal(0.1, SIGMA, EVENTS))


@SAMPLES
@pytest.mark.parametrize("factor", [0.1, 0.3, 0.55, 0.75, 1.3, 1.5, 1.8, 2.5, 4.0, 10.0, 1_000.0])
def test_a_latency_that_is_multiplied_has_moved(latencies: CountArray, factor: float, samples: int) -> None:
    rng = np.random.default_rng(2)

    assert told(of_latencies(factor * rng.lognormal(0.1, SIGMA, samples)), latencies) == "location"


@SAMPLES
@pytest.mark.parametrize("shift", [-20.0, -3.0, -1.0, -0.7, 0.7, 1.0, 2.0, 3.0, 20.0])
def test_a_number_that_is_added_to_has_moved(numbers: CountArray, shift: float, samples: int) -> None:
    rng = np.random.default_rng(3)

    assert told(of_numbers(rng.normal(shift, 1.0, samples)), numbers) == "location"


@SAMPLES
@pytest.mark.parametrize("factor", [0.3, 0.5, 1.8, 2.5])
def test_a_number_around_nought_that_is_multiplied_has_another_scale(
    numbers: CountArray, factor: float, samples: int
) -> None:
    rng = np.random.default_rng(4)

    assert told(of_numbers(rng.normal(0.0, factor, samples)), numbers) == "scale"


@SAMPLES
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("place", [-2.5, -1.0, 0.0, 0.7, 2.5])
def test_numbers_in_one_place_are_a_collapse(numbers: CountArray, place: float, share: float, samples: int) -> None:
    rng = np.random.default_rng(5)
    values = np.where(np.arange(samples) < share * samples, place, rng.normal(size=samples))

    assert told(of_numbers(values), numbers) == "collapse"


@SAMPLES
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("place", [0.001, 0.5, 1.1, 3.0, 30.0])
def test_latencies_in_one_place_are_a_collapse(latencies: CountArray, place: float, share: float, samples: int) -> None:
    """As of a time-out, or of an answer from a cache."""
    rng = np.random.default_rng(6)
    values = np.where(np.arange(samples) < share * samples, place, rng.lognormal(0.1, SIGMA, samples))

    assert told(of_latencies(values), latencies) == "collapse"


@SAMPLES
def test_some_values_beyond_the_range_are_a_collapse_and_all_of_them_have_moved(
    numbers: CountArray, samples: int
) -> None:
    rng = np.random.default_rng(7)
    some = np.where(np.arange(samples) < 0.4 * samples, -999.0, rng.normal(size=samples))

    assert told(of_numbers(some), numbers) == "collapse"
    assert told(of_numbers(np.full(samples, 1e6)), numbers) == "location"


@pytest.mark.parametrize("samples", [1_000, 5_000])
def test_two_humps_are_a_shape(numbers: CountArray, samples: int) -> None:
    rng = np.random.default_rng(8)
    values = rng.choice([-0.9, 0.9], samples) + rng.normal(0.0, 0.4, samples)

    assert told(of_numbers(values), numbers) == "shape"


@pytest.mark.parametrize("samples", [300, 5_000])
def test_whole_numbers_that_grow_have_moved(samples: int) -> None:
    """Few bins hold all of them, so much of what is new in one lies in one place."""
    rng = np.random.default_rng(9)
    reference = np.bincount(np.minimum(rng.poisson(2.0, EVENTS), 40) + 5, minlength=VALUE_BINS).astype(np.uint32)
    counts = np.bincount(np.minimum(rng.poisson(3.5, samples), 40) + 5, minlength=VALUE_BINS).astype(np.uint32)

    assert told(counts, reference) == "location"
