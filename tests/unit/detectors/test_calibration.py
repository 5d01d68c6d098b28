"""Evidence of e nats on the wrong side must come with a probability of at most about exp(-e).

Seeded; each case draws 6,000 windows, each with a reference of its own, whose true value is the threshold. A second
case per detector has no change at all, where the threshold is anything above 0.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from monitor import bins
from monitor.detectors import DETECTORS
from monitor.domain import Kind
from tests.unit.detectors.views import at, bins_view, grouped_view, view_of

DRAWS = 6_000
NATS = np.array([1.0, 2.0, 3.0, 5.0, 7.0])
SLACK = 4.0
"""Standard errors of a simulated share that a bound may seem to be missed by."""

GROUPS = 10
INNER = norm.ppf(np.arange(1, GROUPS) / GROUPS)
EDGES = np.concatenate([[-3.7], INNER, [3.7]])
EVEN = np.full(GROUPS, 1.0 / GROUPS)


def normal(shift: float, scale: float) -> np.ndarray:
    return np.diff(np.concatenate([[0.0], norm.cdf((INNER - shift) / scale), [1.0]]))


def assert_bounded(nats: np.ndarray) -> None:
    """The share of draws with so many nats may exceed exp(-nats) by no more than the simulation's own error."""
    share = (nats[:, None] >= NATS).mean(axis=0)
    bound = np.exp(-NATS)

    assert (share <= bound + SLACK * np.sqrt(bound / len(nats))).all(), (share / bound).round(2)


SHAPES = {
    "nothing": EVEN,
    "a shift": normal(0.3, 1.0),
    "a wider spread": normal(0.0, 1.5),
    "a group that empties": np.concatenate([[0.02], np.full(GROUPS - 1, 0.98 / (GROUPS - 1))]),
    "a group that swells": np.concatenate([np.full(GROUPS - 1, 0.75 / (GROUPS - 1)), [0.25]]),
}


@pytest.mark.parametrize("change", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("name", ["psi", "js", "ks", "wasserstein", "chi_square"])
@pytest.mark.parametrize(("samples", "reference"), [(200, 2_000), (1_000, 20_000)])
def test_distances(name: str, change: np.ndarray, samples: int, reference: int) -> None:
    random = np.random.default_rng(11)
    detector = DETECTORS[name]
    endless = grouped_view([change * 1e9 * samples], [EVEN * 1e9 * reference], [EDGES])
    view = grouped_view(
        random.multinomial(samples, change, DRAWS),
        random.multinomial(reference, EVEN, DRAWS),
        np.tile(EDGES, (DRAWS, 1)),
    )
    nats = detector.evidence(view, detector.measure(view), at(detector.measure(endless).value[0], view))

    assert_bounded(nats)
    assert_bounded(-nats)


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.2, 0.25])
def test_psi_of_unchanged_streams_hardly_ever_exceeds_a_threshold(threshold: float) -> None:
    random = np.random.default_rng(12)
    view = grouped_view(random.multinomial(200, EVEN, DRAWS), random.multinomial(2_000, EVEN, DRAWS))
    psi = DETECTORS["psi"]
    nats = psi.evidence(view, psi.measure(view), at(threshold, view))

    assert (nats >= 3.0).mean() < 0.2 * np.exp(-3.0)
    assert_bounded(nats)


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.2])
@pytest.mark.parametrize("samples", [30, 1_000])
def test_rates(rate: float, samples: int) -> None:
    random = np.random.default_rng(13)
    counts = np.zeros((DRAWS, bins.FLAGS_WIDTH), dtype=np.uint32)
    counts[:, bins.YES] = random.binomial(samples, rate, DRAWS)
    counts[:, bins.NO] = samples - counts[:, bins.YES]
    view = view_of(counts)
    detector = DETECTORS["yes_rate"]
    nats = detector.evidence(view, detector.measure(view), at(rate, view))

    assert_bounded(nats)
    assert_bounded(-nats)


@pytest.mark.parametrize("name", ["p50", "p95", "p99"])
@pytest.mark.parametrize("samples", [40, 1_000])
def test_quantiles(name: str, samples: int) -> None:
    """Lognormal latencies; only bins near the quantile matter, so the rest of the row is drawn as two lumps."""
    random = np.random.default_rng(14)
    quantile = {"p50": 0.5, "p95": 0.95, "p99": 0.99}[name]
    threshold = float(np.exp(0.6 * norm.ppf(quantile)))
    bin_ = int(bins.log_bin(np.array([threshold]), np.array([-10]))[0])
    low_edge, high_edge = bins.log_edges(-10)[bin_ - 1 : bin_ + 1]
    until = norm.cdf(np.log([low_edge, high_edge]) / 0.6)
    drawn = random.multinomial(samples, [until[0], until[1] - until[0], 1.0 - until[1]], DRAWS)
    counts = np.repeat(bins_view(Kind.LOG, [{}]).counts, DRAWS, axis=0)
    counts[:, bin_ - 1 : bin_ + 2] = drawn
    view = view_of(counts, low=np.full(DRAWS, 2.0**-10))
    nats = DETECTORS[name].evidence(view, DETECTORS[name].measure(view), at(threshold, view))

    assert_bounded(nats)
    assert_bounded(-nats)


def test_volume() -> None:
    random = np.random.default_rng(15)
    counts = np.zeros((DRAWS, bins.FLAGS_WIDTH), dtype=np.uint32)
    counts[:, bins.NO] = random.poisson(90.0, DRAWS)
    view = view_of(counts, rate_per_s=np.full(DRAWS, 1.0))
    nats = DETECTORS["volume"].evidence(view, DETECTORS["volume"].measure(view), at(1.5, view))

    assert_bounded(nats)
    assert_bounded(-nats)


def test_mean_above_is_bounded_even_for_skewed_values() -> None:
    """Lognormal with sigma 1: a heavy right tail, 500 values."""
    random = np.random.default_rng(16)
    draws = 2_000
    bin_ = bins.log_bin(random.lognormal(0.0, 1.0, draws * 500), np.full(draws * 500, -10))
    flat = np.repeat(np.arange(draws), 500) * bins.LOGS_WIDTH + bin_
    counts = np.bincount(flat, minlength=draws * bins.LOGS_WIDTH).reshape(draws, -1).astype(np.uint32)
    view = view_of(counts, low=np.full(draws, 2.0**-10))
    mean = DETECTORS["mean"]

    assert_bounded(mean.evidence(view, mean.measure(view), at(float(np.exp(0.5)), view)))
