"""Metric series of models, scored minute by minute from the panes, and the alerts of those who ask for them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from monitor import anomalies
from monitor.domain import AlertState, Picture, Reason, Severity
from monitor.pipeline import Pipeline
from monitor.pipeline_terms import TimeTerms
from monitor.rules import Level, Rule
from tests.golden.traffic import START_S, event, feed_cut, finished, pipeline, rule

MINUTE = 30
"""Events of one."""
ODD = 70
"""The minute in which something happens."""
RULE = rule(
    "anomaly", "anomaly", ["*"], yellow=Level(0.5), red=Level(0.9), severity=Severity.SEV4, keep_firing_for_s=0.0
)


def traffic(minutes: int, slow: Sequence[int] = (), silent: Sequence[int] = ()) -> list[bytes]:
    """Give a model's events, with minutes of tenfold latency, and minutes without any."""
    rng, out = random.Random(1), []
    for i in range(minutes * MINUTE):
        latency_s, minute = rng.lognormvariate(-1.0, 0.3), i // MINUTE
        if minute not in silent:
            content: dict[str, Any] = {"latency_s": latency_s * (10.0 if minute in slow else 1.0), "features": {}}
            out.append(event(i * 60 / MINUTE, unsafe=rng.random() < 0.1, segment={"country": "DE"}, **content))
    return out


def watched(*rules: Rule, segments: Sequence[str] = ()) -> Pipeline:
    return pipeline(rules=rules, learn_events=10**9, segments=segments, time=TimeTerms(pane_s=10.0))


def scores(picture: Picture) -> dict[tuple[str, str], float]:
    return {(each.field, each.statistic): each.score for each in picture.anomalies}


def test_every_series_has_a_score_between_0_and_1_without_any_rule() -> None:
    made = watched()

    assert [] == finished(made, traffic(60)).transitions

    found = scores(made.picture())
    assert {("events", "volume"), ("latency_s", "p50"), ("latency_s", "p95"), ("unsafe", "rate")} == set(found)
    assert all(0.0 <= score < 0.5 for score in found.values())


def test_odd_minute_scores_high_and_wakes_nobody_who_did_not_ask() -> None:
    made = watched()

    step = finished(made, traffic(ODD + 1, slow=[ODD]))

    assert [] == step.transitions
    assert max(scores(made.picture()).values()) >= 0.5


def test_rule_that_asks_tells_of_an_incident_once_and_of_its_end() -> None:
    made = watched(RULE)

    first, last = finished(made, traffic(ODD + 20, slow=[ODD, ODD + 1])).transitions

    alert = first.alert
    assert (AlertState.FIRING, Severity.SEV4, "latency_s") == (alert.state, alert.severity, alert.key.field)
    assert 0.5 <= alert.value <= 1.0
    assert alert.change in {"p50", "p95"}
    assert START_S + ODD * 60 == pytest.approx(alert.since_s, abs=60.0)
    assert (60.0, 60.0) == (alert.window_s, first.time_s - alert.since_s)
    assert MINUTE == pytest.approx(alert.samples, abs=10)
    assert alert.evidence >= alert.evidence_needed
    assert (AlertState.RESOLVED, Reason.CLEARED) == (last.alert.state, last.reason)
    minutes = (last.time_s - first.time_s) / 60
    assert anomalies.QUIET_POINTS <= minutes <= anomalies.QUIET_POINTS + 4


def test_red_is_what_scores_beyond_it_and_yellow_alone_stays_yellow() -> None:
    made = watched(rule("odd", "anomaly", ["latency_s"], yellow=Level(0.5), red=None, severity=Severity.SEV1))

    (first,) = finished(made, traffic(ODD + 2, slow=[ODD])).transitions

    assert ("yellow", Severity.SEV4) == (first.alert.band.label, first.alert.severity)


def test_rule_that_asks_for_more_certainty_or_other_fields_is_not_told() -> None:
    other = rule("other", "anomaly", ["unsafe"], yellow=Level(0.5), red=None)
    certain = rule("certain", "anomaly", ["*"], yellow=Level(1.0), red=None)

    assert [] == finished(watched(other, certain), traffic(ODD + 2, slow=[ODD])).transitions


def test_minute_without_events_has_a_volume_of_none_and_nothing_else() -> None:
    made = watched(RULE)

    (first,) = finished(made, [*traffic(ODD, silent=range(ODD - 4, ODD)), event(ODD * 60)]).transitions
    found = scores(made.picture())

    assert ("events", "volume") == (first.alert.key.field, first.alert.change)
    assert {("events", "volume")} == set(found)


def test_few_values_are_no_point() -> None:
    made = watched()

    finished(made, [event(i * 10.0, latency_s=0.5) for i in range(60)])

    assert {("events", "volume")} == set(scores(made.picture()))


def test_segments_have_no_series_of_their_own() -> None:
    made = watched(segments=["country"])

    finished(made, traffic(5))

    assert 4 == len(made.picture().anomalies)


def test_series_are_bounded_and_those_beyond_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomalies, "SERIES_MAX", 5)
    made = watched()

    finished(made, [event(i / 2, model=f"m{i % 3}", latency_s=0.1) for i in range(400)])

    # Each model has three: its volume, p50 and p95.
    assert 5 >= len(made.picture().anomalies)
    assert made.picture().overflow["anomaly_series"] >= 4


def test_many_models_fill_several_blocks() -> None:
    made = watched()

    finished(made, [event(i / 20, model=f"m{i % 300}") for i in range(3_000)])

    found = made.picture().anomalies
    assert 300 == len({each.model for each in found})


@pytest.mark.parametrize("size", [1, 37])
def test_same_messages_in_other_batches_give_the_same(size: int) -> None:
    messages = traffic(ODD + 10, slow=[ODD], silent=[60, 61])
    whole, pieces = watched(RULE), watched(RULE)

    one = feed_cut(whole, messages, [])
    many = feed_cut(pieces, messages, range(0, len(messages), size))

    assert one.transitions
    assert one.transitions == many.transitions
    assert sorted(whole.picture().anomalies, key=str) == sorted(pieces.picture().anomalies, key=str)


def test_windows_longer_than_a_minute_make_the_points() -> None:
    made = pipeline(rules=[rule("anomaly", "anomaly", ["*"], windows_s=(600.0,))], windows_s=(600.0,))

    finished(made, traffic(25))

    assert {0.0} == set(scores(made.picture()).values())
    assert not np.isnan(list(scores(made.picture()).values())).any()
