"""One seeded stream with three planted incidents, and every transition it must give, in planted.jsonl.

The file is checked in: a change of it is a change of what people are woken for, and is looked at as such. To write it
anew after a change that is meant, and see in the diff what it does:

    python -m tests.golden.test_planted
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from monitor.domain import Transition
from tests.golden.traffic import START_S, finished, pipeline, steady

FILE: Final = Path(__file__).with_name("planted.jsonl")
RATE: Final = 50.0
EVENTS: Final = 38_000
SHIFT: Final = range(4_000, 8_000)
UNSAFE: Final = range(13_000, 18_000)
SLOW: Final = range(23_000, 28_000)
"""By number of event: a shift of one feature, five times the unsafe answers, latency half as long again."""
LEARN_EVENTS: Final = 3_000


def planted(i: int, content: dict[str, Any]) -> None:
    if i in SHIFT:
        content["features"]["amount"] += 0.8
    if i in UNSAFE and i % 20 == 0:
        content["unsafe"] = True
    if i in SLOW:
        content["latency_s"] *= 2.0


EXPECTED: Final = (
    ("drift", "features.amount", SHIFT, 5.0),
    ("psi", "features.amount", SHIFT, 50.0),
    ("unsafe", "unsafe", UNSAFE, 40.0),
    ("slow", "latency_s", SLOW, 5.0),
    ("drift", "latency_s", SLOW, 5.0),
)
"""What each incident must fire: rule and field, the incident, and within how many seconds of its begin. PSI is judged
in windows, which take longer than sequential evidence."""


@cache
def transitions() -> tuple[Transition, ...]:
    return tuple(finished(pipeline(learn_events=LEARN_EVENTS), steady(42, EVENTS, RATE, planted)).transitions)


def lines() -> Iterator[dict[str, Any]]:
    for t in transitions():
        yield {
            "time": t.time_s - START_S,
            "rule": t.alert.rule,
            "field": t.alert.key.field,
            "status": str(t.alert.state),
            "severity": t.alert.severity.label,
            "reason": str(t.reason),
            "since": round(t.alert.since_s - START_S, 3),
        }


def test_planted_incidents_give_exactly_these_transitions() -> None:
    expected = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]

    assert expected == list(lines())


@pytest.mark.parametrize(("rule", "field", "planted_at", "soon_s"), EXPECTED)
def test_each_incident_fires_once_soon_and_is_dated_right(
    rule: str, field: str, planted_at: range, soon_s: float
) -> None:
    """What the file must hold, whoever regenerates it."""
    own = [t for t in transitions() if (t.alert.rule, t.alert.key.field) == (rule, field)]
    begin_s, end_s = planted_at.start / RATE, planted_at.stop / RATE

    assert begin_s < own[0].time_s - START_S <= begin_s + soon_s
    assert abs(own[0].alert.since_s - START_S - begin_s) <= 6
    assert ["resolved"] == [str(t.alert.state) for t in own if t.before is not None and t.alert.resolved_s is not None]
    assert end_s < own[-1].time_s - START_S < end_s + 130


def test_nothing_else_fires() -> None:
    assert {(rule, field) for rule, field, _, _ in EXPECTED} == {
        (t.alert.rule, t.alert.key.field) for t in transitions()
    }


if __name__ == "__main__":
    FILE.write_text("".join(json.dumps(line) + "\n" for line in lines()), encoding="utf-8")
