"""What every one of river's detectors promises as driftd uses it; a new line in RIVER is under test when written."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from monitor.config.thresholds import STATISTICS
from monitor.detectors import DETECTORS
from monitor.domain import Kind
from monitor.river import RIVER
from monitor.river.base import BOOLEANS_MAX, FLAGS, Feed, RiverDetector

NAMED = pytest.mark.parametrize("name", RIVER)
DETECTOR = pytest.mark.parametrize("detector", [pytest.param(own, id=name) for name, own in RIVER.items()])
INTERVAL = 1e6


def fed(detector: RiverDetector, seed: int, quiet: int, changed: int) -> list[float]:
    """Give what a stream feeds that changes in the end: by three deviations, or from a rate of 2 % to 70 %."""
    rng = np.random.default_rng(seed)
    if detector.feed is Feed.BOOLEANS:
        return list(map(bool, rng.random(quiet + changed) < np.repeat([0.02, 0.7], [quiet, changed])))
    values = rng.standard_normal(quiet + changed) + np.repeat([0.0, 3.0], [quiet, changed])
    return list(map(float, np.clip(values, -4.0, 4.0)))


def detections(detector: RiverDetector, values: list[float], interval: float = INTERVAL) -> list[int]:
    watchman = detector.make(interval)
    found = []
    for at, value in enumerate(values):
        watchman.update(value)
        if watchman.drift_detected:
            found.append(at)
    return found


@NAMED
def test_name_is_the_key_and_no_other_statistic(name: str) -> None:
    assert name == RIVER[name].name
    assert name in STATISTICS
    assert name not in DETECTORS


@NAMED
def test_docstring_says_budget_source_guarantee_and_cost(name: str) -> None:
    text = " ".join(part.__doc__ or "" for part in (type(RIVER[name]), sys.modules[type(RIVER[name]).__module__]))

    assert "Guarantee" in text
    assert "Cost" in text
    assert "Budget" in text
    assert "Source" in text


@DETECTOR
def test_kinds_are_those_that_have_what_it_is_fed_with(detector: RiverDetector) -> None:
    assert detector.kinds
    assert detector.kinds <= {Kind.NUMERIC, Kind.LOG, Kind.YES_NO}
    assert detector.feed is Feed.MEAN or detector.kinds == FLAGS
    assert 0.0 < detector.pane_s < 1e-3


@DETECTOR
def test_nothing_is_detected_where_nothing_happens(detector: RiverDetector) -> None:
    assert [] == detections(detector, [False] * 1_000 if detector.feed is Feed.BOOLEANS else [0.0] * 1_000)


@DETECTOR
def test_great_change_is_detected(detector: RiverDetector) -> None:
    found = [at for at in detections(detector, fed(detector, 1, 600, 600)) if at >= 600]

    assert found


@DETECTOR
def test_same_values_give_the_same_detections(detector: RiverDetector) -> None:
    values = fed(detector, 2, 300, 300)

    assert detections(detector, values) == detections(detector, values)


@DETECTOR
@pytest.mark.parametrize("interval", [1.0, 1e3, 1e12])
def test_any_budget_can_be_asked_for_and_a_smaller_one_never_detects_more(
    detector: RiverDetector, interval: float
) -> None:
    values = fed(detector, 3, 500, 0)

    assert len(detections(detector, values, interval)) >= len(detections(detector, values, interval * 1e3))


@DETECTOR
def test_detectors_share_nothing(detector: RiverDetector) -> None:
    first, second = detector.make(INTERVAL), detector.make(INTERVAL)
    for value in fed(detector, 4, 200, 200):
        first.update(value)

    assert not second.drift_detected


def test_booleans_are_bounded() -> None:
    assert BOOLEANS_MAX <= 100


def test_river_is_not_loaded_before_a_rule_asks_for_it() -> None:
    code = "import sys, monitor.build; assert monitor.river.RIVER; sys.exit('river' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode
