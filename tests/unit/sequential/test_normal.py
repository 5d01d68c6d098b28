"""What is normal, as it is written and read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from monitor.sequential.fluctuation import LEVELS
from monitor.sequential.normal import Normal
from monitor.sequential.scores import CLASSES, NO_CLASS
from monitor.sequential.seasons import HOURS

BINS, FEATURES, SCORES = 59, 21, 4


def full() -> Normal:
    rng = np.random.default_rng(1)
    return Normal(
        classes=np.sort(rng.integers(0, CLASSES, BINS)).astype(np.uint8),
        events=0.123456789 * np.exp2(np.arange(LEVELS, dtype=np.float64)),
        inflation=1.0 + rng.random((SCORES, LEVELS)),
        profile=rng.normal(size=(HOURS, FEATURES)),
        scale=0.75,
    )


def read(found: dict[str, Any]) -> Normal:
    return Normal.from_dicts([found], BINS, FEATURES, SCORES)[0]


def test_what_was_written_is_read_back() -> None:
    written = full()
    found = read(json.loads(json.dumps(written.to_dict())))
    assert written.classes.tolist() == found.classes.tolist()
    assert written.scale == found.scale
    for name in ("events", "inflation", "profile"):
        assert getattr(found, name) == pytest.approx(getattr(written, name), rel=1e-5, abs=5e-4)


def test_rounded_once_it_stays_as_it_is() -> None:
    once = full().rounded(FEATURES, SCORES)
    assert once.to_dict() == once.rounded(FEATURES, SCORES).to_dict()


def test_what_is_not_known_is_not_written() -> None:
    classes = np.full(BINS, NO_CLASS, dtype=np.uint8)
    assert {"classes": [[NO_CLASS, BINS]]} == Normal(classes).to_dict()
    found = read(Normal(classes).to_dict())
    assert (None, None, None, 1.0) == (found.events, found.inflation, found.profile, found.scale)


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": [[1, BINS - 1]]},
        {"classes": [[CLASSES, BINS]]},
        {"scale": 0.0},
        {"scale": 1.5},
        {"scale": float("nan")},
        {"inflation": [[0.5] * LEVELS] * SCORES},
        {"inflation": [[1.0] * LEVELS]},
        {"block_events": [1.0] * (LEVELS - 1)},
        {"block_events": list(range(LEVELS, 0, -1))},
        {"block_events": None},
        {"hours": [[0.0] * FEATURES] * (HOURS - 1)},
        {"hours": [[float("inf")] * FEATURES] * HOURS},
    ],
)
def test_what_can_not_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read(full().to_dict() | wrong)
