"""The engine: odds of change that are right at any time, whoever else is watched."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bins import NULL, VALUE_BINS, WIDTHS, Arena
from monitor.domain import CountArray, FloatArray, IntArray
from monitor.sequential import engine as module
from monitor.sequential.alternatives import FIRST_ANY, change_of
from monitor.sequential.engine import Engine
from monitor.sequential.normal import Normal
from monitor.sequential.scores import LOCATION, NO_CLASS, class_shares, classes_by_value
from monitor.sequential.seasons import HOURS
from monitor.sequential.terms import FEATURE

WIDTH = WIDTHS[Arena.VALUES]
SHARES = np.exp(-0.5 * np.linspace(-3.0, 3.0, VALUE_BINS) ** 2)
SHARES /= SHARES.sum()
EVENTS = 10_000


def watching(rows: IntArray, seed: int = 1, events: int = EVENTS, nats: float = 15.0) -> Engine:
    """Give an engine that watches rows, each against a reference of its own."""
    engine = Engine(WIDTH)
    counts = np.stack([references(int(row), seed, events) for row in rows])
    normals = [Normal(own) for own in classes_by_value(counts)]
    engine.watch(rows, counts, normals, np.full(len(rows), nats), 0.0)
    return engine


def references(row: int, seed: int, events: int) -> CountArray:
    return np.random.default_rng((seed, row)).multinomial(events, SHARES).astype(np.uint32)


def pane(rng: np.random.Generator, rows: int, values: int, shares: FloatArray = SHARES) -> CountArray:
    """Give the counts of one pane, shape (rows, WIDTH)."""
    counts = np.zeros((rows, WIDTH), dtype=np.uint32)
    counts[:, :VALUE_BINS] = rng.multinomial(values, shares, size=rows)
    return counts


def observe(engine: Engine, counts: CountArray, end_s: float) -> IntArray:
    flat = np.flatnonzero(counts)
    return engine.observe(flat, counts.reshape(-1)[flat], end_s)


def shifted(bins: int) -> FloatArray:
    return np.roll(SHARES, bins)


def test_odds_less_time_are_a_martingale_whatever_came_before() -> None:
    # Exact: the same past for all rows, then a value of each class, weighed by its share in the reference. That is so
    # long that its own error takes next to nothing off.
    counts = (SHARES * 4e5).astype(np.uint32)[None]
    counts[0, [0, 1]] = 0
    classes = classes_by_value(counts)
    shares = class_shares(counts, classes)[0][0]
    held = [int(np.flatnonzero(classes[0] == at)[0]) for at in np.flatnonzero(shares) if at in classes[0]]
    p = shares[classes[0, held]]
    assert p.sum() == pytest.approx(1.0, abs=1e-5)
    rows = np.arange(len(held))
    engine = Engine(WIDTH)
    engine.watch(
        rows, np.repeat(counts, len(rows), axis=0), [Normal(classes[0])] * len(rows), np.full(len(rows), 15.0), 0.0
    )
    rng = np.random.default_rng(2)
    for look in range(40):
        observe(engine, np.repeat(pane(rng, 1, 3, shifted(1)), len(rows), axis=0), look + 1.0)
        before = np.exp(engine.evidence[rows].astype(np.float64))
    ones = np.zeros((len(rows), WIDTH), dtype=np.uint32)
    ones[rows, held] = 1
    observe(engine, ones, 45.0)
    assert p @ np.exp(engine.evidence[rows].astype(np.float64)) == pytest.approx(before[0] + 5.0, rel=4e-3)


def test_no_values_change_nothing() -> None:
    engine = watching(np.arange(3))
    observe(engine, pane(np.random.default_rng(1), 3, 5), 1.0)
    before = engine.evidence.copy()
    nulls = np.zeros((3, WIDTH), dtype=np.uint32)
    nulls[:, NULL] = 9
    assert not observe(engine, nulls, 2.0).size
    assert not engine.observe(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint32), 3.0).size
    assert before.tolist() == engine.evidence.tolist()


def test_counts_of_none_change_nothing_but_the_time() -> None:
    told, silent = watching(np.arange(2)), watching(np.arange(2))
    rng = np.random.default_rng(1)
    for own in (told, silent):
        observe(own, pane(np.random.default_rng(7), 2, 5), 1.0)
    told.observe(np.array([20, 21]), np.zeros(2, dtype=np.uint32), 2.0)
    told.observe(np.array([20, WIDTH + 20]), np.array([0, 1], dtype=np.uint32), 2.0)
    counts = pane(rng, 2, 5)
    observe(told, counts, 3.0)
    observe(silent, counts, 3.0)
    assert silent.evidence[0] == pytest.approx(told.evidence[0], abs=1e-5)


def test_a_gap_adds_its_seconds_to_the_odds() -> None:
    # One value after a gap: odds are (gap) * L, whose log has the gap's as its only difference.
    short, long = watching(np.arange(1)), watching(np.arange(1))
    counts = pane(np.random.default_rng(1), 1, 1)
    observe(short, counts, 10.0)
    observe(long, counts, 10_000.0)
    assert np.log(1_000.0) == pytest.approx(long.evidence[0] - short.evidence[0], abs=1e-4)


def test_late_panes_count_but_turn_no_time_back() -> None:
    late, prompt = watching(np.arange(1)), watching(np.arange(1))
    for own, times_s in ((late, (10.0, 3.0, -50.0, 11.0)), (prompt, (10.0, 10.0, 10.0, 11.0))):
        rng = np.random.default_rng(1)
        for end_s in times_s:
            observe(own, pane(rng, 1, 3), end_s)
            assert np.isfinite(own.evidence[0])
    assert prompt.evidence[0] == late.evidence[0]


def test_a_shift_is_found_and_named() -> None:
    engine = watching(np.arange(2))
    rng = np.random.default_rng(1)
    for look in range(10):
        counts = np.concatenate([pane(rng, 1, 4, shifted(10)), pane(rng, 1, 4)])
        observe(engine, counts, look + 1.0)
    assert engine.evidence[0] > 15.0
    assert engine.evidence[1] < 8.0
    assert "location" == change_of(engine.leader(0))


def test_restart_forgets_all() -> None:
    engine, fresh = watching(np.arange(1)), watching(np.arange(1))
    rng = np.random.default_rng(1)
    for look in range(20):
        observe(engine, pane(rng, 1, 4, shifted(10)), look + 1.0)
    engine.restart(np.arange(1), 50.0)
    fresh.restart(np.arange(1), 50.0)
    assert -np.inf == engine.evidence[0]
    counts = pane(rng, 1, 4)
    observe(engine, counts, 51.0)
    observe(fresh, counts, 51.0)
    assert fresh.evidence[0] == engine.evidence[0]


def test_values_at_the_instant_of_a_restart_are_no_evidence_whatever_they_are() -> None:
    engine = watching(np.arange(1))
    observe(engine, pane(np.random.default_rng(1), 1, 100_000, shifted(20)), 0.0)
    assert -np.inf == engine.evidence[0]
    observe(engine, pane(np.random.default_rng(1), 1, 100_000, shifted(20)), 1.0)
    assert engine.evidence[0] > 60.0


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 40), min_size=2, max_size=30), st.integers(0, 1_000), st.integers(1, 7))
def test_a_row_is_judged_alike_alone_and_among_others_however_they_are_blocked(
    chosen: set[int], seed: int, block: int
) -> None:
    rows = np.array(sorted(chosen))
    alone, among = watching(rows[:1], seed), watching(rows, seed)
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        for look in range(12):
            counts = np.zeros((41, WIDTH), dtype=np.uint32)
            for row in rows:
                # Panes of one value, of many, and of none.
                counts[row] = pane(rng, 1, int(rng.choice([0, 1, 1, 30, 5_000])))[0]
            observe(among, counts, look + 1.0)
            counts[rows[1:]] = 0
            observe(alone, counts, look + 1.0)
            assert alone.evidence[rows[0]].tobytes() == among.evidence[rows[0]].tobytes()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 19), min_size=1, max_size=5), st.integers(0, 100))
def test_streams_may_be_split_over_calls(cuts: list[int], seed: int) -> None:
    rows = np.arange(20)
    whole, split = watching(rows, seed), watching(rows, seed)
    rng = np.random.default_rng(seed)
    for look in range(5):
        counts = pane(rng, 20, 6)
        observe(whole, counts, look + 1.0)
        for first, last in pairwise(sorted({0, *cuts, 20})):
            part = np.zeros_like(counts)
            part[first:last] = counts[first:last]
            observe(split, part, look + 1.0)
    assert whole.evidence.tobytes() == split.evidence.tobytes()


def test_evidence_is_that_of_the_formula_worked_out_in_full() -> None:
    engine = watching(np.arange(1))
    rng = np.random.default_rng(4)
    odds = np.zeros(FIRST_ANY)
    for look in range(30):
        counts = pane(rng, 1, 7)
        observe(engine, counts, look + 1.0)
        sums = counts[0, :VALUE_BINS] @ module._FEATURES[engine.classes[0, :VALUE_BINS]].astype(np.float64)
        logs = engine._gain[0, :FIRST_ANY] * sums[FEATURE] - 7.0 * engine._cost[0, :FIRST_ANY]
        odds = (odds + 1.0) * np.exp(np.clip(logs, -80.0, 80.0))
    assert engine._odds[0, :FIRST_ANY] == pytest.approx(odds, rel=1e-3)


@pytest.mark.parametrize("values", [1_000, 1_000_000])
def test_panes_of_very_many_values_raise_no_false_alarm_and_find_what_changed(values: int) -> None:
    rows = np.arange(200)
    engine = watching(rows)
    rng = np.random.default_rng(1)
    highest = np.full(len(rows), -np.inf)
    for look in range(30):
        observe(engine, pane(rng, len(rows), values), look + 1.0)
        highest = np.maximum(highest, engine.evidence[: len(rows)])
    assert highest.max() < 12.0
    observe(engine, pane(rng, len(rows), values, shifted(4)), 31.0)
    assert engine.evidence[: len(rows)].min() > 30.0


@pytest.mark.parametrize("events", [30, 300])
def test_a_small_reference_raises_no_alarm_by_its_own_error(events: int) -> None:
    rows = np.arange(300)
    engine = watching(rows, events=events)
    rng = np.random.default_rng(1)
    alarmed = np.zeros(len(rows), dtype=bool)
    for look in range(100):
        observe(engine, pane(rng, len(rows), 20), look + 1.0)
        alarmed |= engine.evidence[: len(rows)] > 15.0
    assert alarmed.mean() < 0.05


def test_a_constant_stream_stays_quiet_until_it_is_constant_no_more() -> None:
    counts = np.zeros((1, VALUE_BINS), dtype=np.uint32)
    counts[0, 7] = EVENTS
    engine = Engine(WIDTH)
    engine.watch(np.arange(1), counts, [Normal(classes_by_value(counts)[0])], np.array([15.0]), 0.0)
    same = np.array([7])
    for look in range(2_000):
        engine.observe(same, np.array([5], dtype=np.uint32), look + 1.0)
    assert engine.evidence[0] < np.log(2_000.0) - 2.0
    for look in range(5):
        engine.observe(np.array([7, 9]), np.array([4, 1], dtype=np.uint32), 2_001.0 + look)
    assert engine.evidence[0] > 15.0
    assert change_of(engine.leader(0)) == "collapse"


def test_rows_that_nobody_watches_are_passed_over() -> None:
    engine = watching(np.array([1]))
    assert NO_CLASS == engine.classes[0, 0]
    flat = np.array([5, WIDTH + 5, 10_000 * WIDTH])
    assert [1] == engine.observe(flat, np.ones(3, dtype=np.uint32), 1.0).tolist()


def test_memory_does_not_grow_with_what_is_seen_or_watched_again() -> None:
    engine = watching(np.arange(4))
    profile = np.zeros((HOURS, module._FEATURES.shape[1]))
    profile[:, LOCATION] = 0.1
    counts = references(0, 1, EVENTS)[None]
    normal = Normal(classes_by_value(counts)[0], profile=profile)

    def size() -> int:
        arrays = [*vars(engine).values(), engine._profiles._values]
        return sum(value.nbytes for value in arrays if isinstance(value, np.ndarray))

    engine.watch(np.array([0]), counts, [normal], np.array([15.0]), 0.0)
    before = size()
    rng = np.random.default_rng(1)
    for look in range(50):
        engine.watch(np.array([0]), counts, [normal], np.array([15.0]), float(look))
        observe(engine, pane(rng, 4, 100), look + 1.0)
    assert before == size()


def test_what_an_hour_is_expected_to_add_is_no_evidence() -> None:
    # The whole of the week lies higher by what the profile says, so the shifted stream is a quiet one.
    counts = (SHARES * 1e6).astype(np.uint32)[None]
    classes = classes_by_value(counts)[0]
    features = module._FEATURES[classes].astype(np.float64)
    added = shifted(4) @ features - SHARES @ features
    profile = np.tile(added, (HOURS, 1))
    engine = Engine(WIDTH)
    normals = [Normal(classes), Normal(classes, profile=profile)]
    engine.watch(np.arange(2), np.tile(counts, (2, 1)), normals, np.full(2, 15.0), 0.0)
    rng = np.random.default_rng(1)
    for look in range(300):
        observe(engine, pane(rng, 2, 1, shifted(4)), look + 1.0)
    assert engine.evidence[0] > 15.0
    assert engine.evidence[1] < 12.0
