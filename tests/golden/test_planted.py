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


def test_each_incident_fires_once_soon_and_is_dated_right() -> None:
    """What the file must hold, whoever regenerates it."""
    first: dict[str, Transition] = {}
    for t in transitions():
        first.setdefault(t.alert.rule, t)

    for rule, planted_at in (("drift", SHIFT), ("unsafe", UNSAFE), ("slow", SLOW)):
        begin_s, end_s = planted_at.start / RATE, planted_at.stop / RATE
        time_s, since_s = first[rule].time_s - START_S, first[rule].alert.since_s - START_S
        assert begin_s < time_s < begin_s + 60, rule
        assert abs(since_s - begin_s) < 15, rule
        resolved = [t for t in transitions() if t.alert.rule == rule and str(t.alert.state) == "resolved"]
        assert 1 == len(resolved), rule
        assert end_s < resolved[0].time_s - START_S < end_s + 200, rule


def test_nothing_else_fires() -> None:
    assert {("drift", "features.amount"), ("unsafe", "unsafe"), ("slow", "latency_s")} == {
        (t.alert.rule, t.alert.key.field) for t in transitions()
    }


if __name__ == "__main__":
    FILE.write_text("".join(json.dumps(line) + "\n" for line in lines()), encoding="utf-8")
