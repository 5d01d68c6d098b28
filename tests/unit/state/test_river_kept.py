"""river's detectors from one process to the next: each goes on to the last bit with what is kept of it."""

from __future__ import annotations

import random
from typing import Any, Final, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.codec import decode, encode
from monitor.errors import StateError
from monitor.kept import State
from monitor.river import RIVER
from monitor.river.adaptive import AdaptiveWindow
from monitor.river.base import Feed, RiverDetector, Watchman, maker

INTERVAL: Final = 2_000.0
"""Values between false alarms: short, so that there is something to detect."""
EACH: Final = pytest.mark.parametrize("name", sorted(RIVER))


def values(detector: RiverDetector, seed: int, count: int) -> list[float]:
    """Give values that change now and then."""
    rng, level, out = random.Random(seed), 0.2, []
    for _ in range(count):
        if rng.random() < 0.01:
            level = rng.choice([0.02, 0.2, 0.5, 0.98])
        is_mean = detector.feed is Feed.MEAN
        out.append(max(-4.0, min(4.0, rng.gauss(8.0 * level - 4.0, 1.0))) if is_mean else rng.random() < level)
    return out


def fed(watchman: Watchman, told: list[float]) -> list[bool]:
    found = []
    for value in told:
        watchman.update(value)
        found.append(bool(watchman.drift_detected))
    return found


def again(detector: RiverDetector, watchman: Watchman) -> Watchman:
    """Give one in a new process that goes on."""
    other = detector.make(INTERVAL)
    detector.restore(other, decode(encode(detector.state(watchman)), "a watchman"))
    return other


@EACH
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1_000), first=st.integers(0, 400))
def test_it_detects_the_same_as_one_that_was_never_stopped(name: str, seed: int, first: int) -> None:
    detector = RIVER[name]
    told = values(detector, seed, first + (300 if name == "kswin" else 1_500))
    one = detector.make(INTERVAL)
    fed(one, told[:first])

    other = again(detector, one)

    assert fed(one, told[first:]) == fed(other, told[first:])
    assert encode(detector.state(one)) == encode(detector.state(other))


@pytest.mark.parametrize("name", sorted(set(RIVER) - {"hddm_w"}))
def test_there_is_something_to_detect(name: str) -> None:
    """Else the test above would compare nothing; and one that has just detected something begins anew in both."""
    detector, found = RIVER[name], 0
    for seed in range(20):
        told = values(detector, seed, 700)
        one = detector.make(INTERVAL)
        at = next((i for i, is_found in enumerate(fed(one, told)) if is_found), None)
        if at is not None:
            one = detector.make(INTERVAL)
            fed(one, told[: at + 1])
            assert fed(again(detector, one), told[at + 1 :]) == fed(one, told[at + 1 :])
            found += 1
            if found == 3:
                return
    pytest.fail(f"{name} detected {found} changes")


@EACH
def test_a_state_that_is_none_is_refused(name: str) -> None:
    detector = RIVER[name]
    state = detector.state(detector.make(INTERVAL))
    broken: list[State] = [{}, dict.fromkeys(state, "x"), {key: [None] for key in state}]

    for each in broken:
        with pytest.raises(StateError):
            detector.restore(detector.make(INTERVAL), each)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.002, 1e-4, 1e-6]))
def test_our_adwin_is_rivers_number_by_number(seed: int, delta: float) -> None:
    rng, level = random.Random(seed), 0.5
    ours, rivers = AdaptiveWindow(delta, 32), cast("Any", maker("river.drift", "ADWIN")(delta=delta))

    for _ in range(2_000):
        level = rng.random() if rng.random() < 0.002 else level
        value = min(1.0, max(0.0, rng.gauss(level, 0.15)))
        ours.update(value)
        rivers.update(value)
        assert ours.drift_detected == rivers.drift_detected
        if not ours.drift_detected:
            assert ours.held == (rivers.width, rivers.total, rivers.variance)
