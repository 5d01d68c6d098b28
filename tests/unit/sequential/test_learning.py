"""Learning what is normal, and that it keeps the budget: small simulations of all parts together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from benchmarks.detection import limits
from monitor.bins import VALUE_BINS, VALUE_SPANS, WIDTHS, YES, Arena
from monitor.domain import FloatArray, IntArray, Kind
from monitor.sequential.budget import nats_for
from monitor.sequential.engine import Engine
from monitor.sequential.learning import CLASSES_FROM, Learner
from monitor.sequential.normal import Normal
from monitor.sequential.scores import NOVEL

WIDTH = WIDTHS[Arena.VALUES]
LEARNED = 6_000


def normal_values(rng: np.random.Generator, shape: tuple[int, int], r: float = 0.0) -> FloatArray:
    noise = rng.standard_normal((shape[0], shape[1] + 100)) * np.sqrt(1.0 - r * r)
    values: FloatArray = lfilter([1.0], [1.0, -r], noise, axis=1)
    return values[:, 100:]


def bins_of(values: FloatArray) -> IntArray:
    return np.clip(np.rint(values * 8.0 + VALUE_BINS // 2), 0, VALUE_BINS - 1).astype(np.int64)


def taught(bins: IntArray, kind: Kind = Kind.NUMERIC, arena: Arena = Arena.VALUES) -> tuple[list[Normal], IntArray]:
    """Give what was learned of streams, a value of each in each second, and their counts."""
    learner, rows, width = Learner(arena), np.arange(len(bins)), WIDTHS[arena]
    seen, ones = np.zeros((len(bins), width), dtype=np.uint32), np.ones(len(bins), dtype=np.uint32)
    for look in range(bins.shape[1]):
        flat = rows * width + bins[:, look]
        learner.observe(look, look + 1.0, flat, ones)
        seen.reshape(-1)[flat] += 1
        if look % 256 == 0:
            learner.begin(rows, seen, [kind] * len(rows))
    span = VALUE_SPANS[arena]
    found = [learner.finish(row, seen[row, :span], kind) for row in rows.tolist()]
    learner.end()
    assert not len(learner._begun)
    return [normal for normal in found if normal is not None], seen[:, :span].astype(np.int64)


def watching(bins: IntArray, nats: float) -> Engine:
    normals, counts = taught(bins)
    engine = Engine(WIDTH)
    rows = np.arange(len(bins))
    engine.watch(rows, counts.astype(np.uint32), normals, np.full(len(rows), nats), float(bins.shape[1]))
    return engine


@pytest.mark.parametrize(("r", "least", "most"), [(0.0, 0.5, 3.0), (0.7, 0.5, 3.5)])
def test_false_alarms_keep_to_the_budget_also_of_dependent_values(r: float, least: float, most: float) -> None:
    streams, looks, budget_s = 60, 8_000, 2_000.0
    rng, nats = np.random.default_rng(3), nats_for(budget_s)
    bins = bins_of(normal_values(rng, (streams, LEARNED + looks), r))
    engine = watching(bins[:, :LEARNED], nats)
    rows, ones, alarms = np.arange(streams), np.ones(streams, dtype=np.uint32), 0
    for look in range(LEARNED, LEARNED + looks):
        hit = engine.observe(rows * WIDTH + bins[:, look], ones, look + 1.0)
        alarmed = hit[engine.evidence[hit] >= nats]
        engine.restart(alarmed, look + 1.0)
        alarms += len(alarmed)
    assert least < streams * looks / (alarms * budget_s) < most


@pytest.mark.parametrize("shift", [0.5, 1.0])
def test_shifts_are_found_about_as_soon_as_is_possible_at_all(shift: float) -> None:
    streams, budget_s = 40, 1e5
    rng, nats = np.random.default_rng(4), nats_for(budget_s)
    engine = watching(bins_of(normal_values(rng, (streams, LEARNED))), nats)
    limit = limits.optimal_delay(budget_s, shift**2 / 2.0)
    looks = int(6.0 * limit)
    bins = bins_of(normal_values(rng, (streams, looks)) + shift)
    delay, rows = np.full(streams, float(looks)), np.arange(streams)
    for look in range(looks):
        engine.observe(rows * WIDTH + bins[:, look], np.ones(streams, dtype=np.uint32), LEARNED + look + 1.0)
        found = (engine.evidence[:streams] >= nats) & (delay == looks)
        delay[found] = look + 1.0
    assert delay.mean() < 2.2 * limit
    assert (delay < looks).mean() > 0.9


def test_values_beyond_all_that_came_while_learning_are_outermost() -> None:
    normals, counts = taught(bins_of(normal_values(np.random.default_rng(1), (2, 3_000))))
    for normal, own in zip(normals, counts, strict=True):
        assert np.all(normal.classes[np.cumsum(own) == 0] == 0)
        assert np.all(normal.classes[np.cumsum(own[::-1])[::-1] == 0] == NOVEL - 1)


def test_dependence_is_learned() -> None:
    rng = np.random.default_rng(1)
    bins = np.concatenate([bins_of(normal_values(rng, (3, LEARNED), r)) for r in (0.0, 0.7)])
    normals, _ = taught(bins)
    far = [normal.inflation[0, 9] for normal in normals if normal.inflation is not None]
    assert np.all(np.array(far[:3]) < 1.5)
    assert np.all(np.array(far[3:]) > 3.0)


def test_few_values_teach_classes_alone() -> None:
    normals, _ = taught(bins_of(normal_values(np.random.default_rng(1), (1, CLASSES_FROM // 2))))
    assert normals[0].inflation is None
    assert 1.0 == normals[0].scale


def test_a_row_without_values_teaches_nothing() -> None:
    learner = Learner(Arena.VALUES)
    assert learner.finish(0, np.zeros(VALUE_BINS, dtype=np.uint32), Kind.NUMERIC) is None


@pytest.mark.parametrize("kind", [Kind.NUMERIC, Kind.CATEGORICAL])
def test_a_constant_stream_can_be_learned_and_watched(kind: Kind) -> None:
    normals, counts = taught(np.full((1, 4_000), 7), kind)
    engine = Engine(WIDTH)
    engine.watch(np.arange(1), counts.astype(np.uint32), normals, np.array([15.0]), 4_000.0)
    engine.observe(np.array([7]), np.ones(1, dtype=np.uint32), 4_001.0)
    assert np.isfinite(engine.evidence[0])
    assert normals[0].inflation is None or np.isfinite(normals[0].inflation).all()


def test_yes_no_streams_are_learned_by_their_hits() -> None:
    rng = np.random.default_rng(1)
    bins = np.where(rng.random((2, LEARNED)) < 0.05, YES, 1 - YES)
    normals, _ = taught(bins, Kind.YES_NO, Arena.FLAGS)
    for normal in normals:
        assert normal.inflation is not None
        assert normal.inflation[0, 8] < 1.5
