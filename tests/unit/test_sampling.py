"""A change of the sample that is logged is told as such."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from monitor import build
from monitor.config import load_settings
from monitor.domain import AlertState, Batch, TopicPartition, Transition

START_S = 1_800_000_000.0
PER_S = 20


def told(rates: list[tuple[int, float | None]]) -> Iterator[Transition]:
    """Give what is told of a model of which so many events were logged at each rate."""
    env = {"DRIFTD_KAFKA__TOPICS": "t", "DRIFTD_REFERENCE__LEARN_EVENTS": "1000"}
    pipeline = build.pipeline(load_settings(None, env))
    chance, at = random.Random(7), 0
    for count, rate in rates:
        for first in range(0, count, PER_S):
            values = []
            for _ in range(min(PER_S, count - first)):
                event = {"model": "m", "event_time": START_S + at / PER_S, "features": {"x": chance.gauss(0, 1)}}
                values.append(json.dumps(event if rate is None else {**event, "sample_rate": rate}).encode())
                at += 1
            batch = Batch(values, [0] * len(values), (TopicPartition("t", 0),))
            yield from pipeline.step(batch, START_S + at / PER_S).transitions


def test_another_sample_is_told_by_its_own_rule() -> None:
    found = [t.alert for t in told([(2_000, 0.1), (1_000, 0.02)]) if t.alert.state is AlertState.FIRING]

    assert {("sampling", "sample_rate")} == {(alert.rule, alert.key.field) for alert in found}
    assert found[0].since_s - START_S > 1_950 / PER_S


def test_the_same_sample_is_no_news() -> None:
    assert [] == list(told([(4_000, 0.1)]))


def test_who_says_nothing_of_samples_hears_nothing_of_them() -> None:
    assert [] == list(told([(4_000, None)]))
