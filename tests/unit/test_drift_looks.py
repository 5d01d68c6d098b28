"""Model drift rate: looks at windows in which a drift test was beyond its threshold, by all that were judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from monitor.domain import AlertState
from monitor.errors import StateError
from monitor.pipeline import Pipeline
from tests.golden.traffic import SOURCE, START_S, feed, finished, pipeline, rule, steady
from tests.unit.state.keeping import Kept

PSI = rule("psi", "psi", ["features.amount"], windows_s=(60.0,))
EVERY_S = 3
"""How often a window of a minute is looked at."""
PER_S = 50
LEARNED_S = 2_000 // PER_S
SHIFTED_S, END_S = 120, 300


def shifted(number: int, content: dict[str, Any]) -> None:
    if number >= SHIFTED_S * PER_S:
        content["features"]["amount"] += 1.5


def looks(made: Pipeline) -> Mapping[str, int]:
    """Give the looks of all models and windows, by what they found."""
    found = {key[3]: count for key, count in made.picture().drift_looks.items()}
    assert len(found) == len(made.picture().drift_looks), "one model, one window"
    return found


def test_looks_are_counted_by_whether_a_test_was_beyond_its_limit() -> None:
    made = pipeline(rules=[PSI])
    step = finished(made, steady(5, END_S * PER_S, PER_S, shifted))
    fired_s = next(t.time_s for t in step.transitions if t.alert.state is AlertState.FIRING) - START_S
    found = looks(made)

    assert sum(found.values()) == pytest.approx((END_S - LEARNED_S) / EVERY_S, abs=2)
    assert found["beyond"] == pytest.approx((END_S - fired_s) / EVERY_S, abs=1)
    assert SHIFTED_S < fired_s < SHIFTED_S + 40


def test_only_drift_tests_count_and_only_in_windows_of_theirs() -> None:
    latency = rule("slow", "p95", ["latency_s"], yellow=None, windows_s=(60.0,))
    made = pipeline(rules=[latency])
    finished(made, steady(5, 150 * PER_S, PER_S))
    both = pipeline(rules=[latency, rule("psi", "psi", ["features.amount"], windows_s=(3600.0,))])
    finished(both, steady(5, END_S * PER_S, PER_S))

    assert {} == looks(made)
    assert {"1h"} == {window for _, _, window, _ in both.picture().drift_looks}


def test_looks_go_on_over_restarts() -> None:
    messages = steady(5, 150 * PER_S, PER_S)
    whole = pipeline(rules=[PSI])
    finished(whole, messages)
    first, kept = pipeline(rules=[PSI]), Kept()
    for stop in (3_000, 3_050, 3_100, 3_150):
        feed(first, messages[stop - 50 if stop > 3_000 else 0 : stop])
        kept.save(first.sections())
        first = pipeline(rules=[PSI])
        first.restore(kept.states())
        first.assign(SOURCE)
    finished(first, messages[3_150:])

    assert looks(whole) == looks(first)
    assert sum(looks(whole).values()) > 30


def test_state_that_is_none_is_refused() -> None:
    made = pipeline(rules=[PSI])

    with pytest.raises(StateError, match="looks of drift tests"):
        made._judge.drift_looks.restore({"counts": [["a", "1", 60.0, "within"]]})
