"""river's detectors behind the verdict of every other rule: what they are fed, and what is told of what they detect."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from monitor.bins import Arena
from monitor.domain import AlertState, Reason, Severity, Transition
from monitor.explain.finding import Known
from monitor.explain.words import to_text
from monitor.fields import Watch
from monitor.pipeline import Pipeline
from monitor.posts import spread
from monitor.references import Reference
from monitor.river.base import BOOLEANS_MAX
from monitor.river.page_hinkley import threshold_for
from monitor.rules import RIVER_SHARE, Budget, Level, Rule
from monitor.scopes import StreamLimits
from monitor.streams import StreamTable
from monitor.watchmen import PANE_MAX_S, scores_of
from tests.golden.traffic import START_S, feed_cut, finished, pipeline, rule, steady

LEARNED = 2_000
ONSET, END, EVENTS = 5_000, 8_000, 12_000
RATE = 20.0


@cache
def traffic(events: int = EVENTS, shift: float = 1.0, unsafe: float = 0.4) -> list[bytes]:
    """Give traffic with something planted from ONSET to END."""

    def change(i: int, content: dict[str, Any]) -> None:
        if ONSET <= i < END:
            content["features"]["amount"] += shift
            content["unsafe"] = random.Random(i).random() < unsafe

    return steady(5, events, RATE, change)


def watching(*rules: Rule, references: Sequence[Reference] = (), **terms: object) -> Pipeline:
    terms = {"budget": Budget(has_river=True), "learn_events": LEARNED, **terms}
    return pipeline(rules=rules, references=references, **terms)  # type: ignore[arg-type] # named as in the helper


def by_river(name: str, *fields: str, **changes: object) -> Rule:
    return rule(name, name, fields, **{"yellow": Level(0.1), "red": None, **changes})


def told(transitions: list[Transition]) -> list[tuple[str, str, str]]:
    return [(t.alert.rule, t.alert.key.field, str(t.alert.state)) for t in transitions]


# ---- what is fed


@pytest.mark.parametrize(("hits", "events"), [(0, 5), (5, 5), (1, 1), (2, 64), (3, 7)])
def test_few_events_are_fed_as_they_are(hits: int, events: int) -> None:
    fed, owed = spread(hits, events, 0.0)

    assert (hits, events, 0.0) == (sum(fed), len(fed), owed)


def test_hits_are_spread_evenly() -> None:
    fed, _ = spread(4, 16, 0.0)

    assert [4, 4, 4] == np.diff(np.flatnonzero(fed)).tolist()


def test_many_events_are_fed_as_few_with_the_same_rate_in_the_long_run() -> None:
    hits, owed = 0, 0.0
    for _ in range(1_000):
        fed, owed = spread(3, 1_000, owed)
        assert BOOLEANS_MAX == len(fed)
        hits += sum(fed)

    assert 0.003 == pytest.approx(hits / (1_000 * BOOLEANS_MAX), rel=0.01)


def test_river_is_asked_for_a_tenth_of_the_budget_and_thresholds_for_less() -> None:
    with_river, without = Budget(has_river=True), Budget()

    assert without.line_pages - with_river.line_pages == pytest.approx(RIVER_SHARE)
    assert with_river.line_nats(10) > without.line_nats(10)
    assert 25 * 30 * 86_400.0 / RIVER_SHARE == pytest.approx(with_river.river_interval_s(25))


def test_threshold_of_page_hinkley_is_that_of_the_table_and_goes_on_beyond_it() -> None:
    told = [threshold_for(interval) for interval in (1.0, 1e3, 1.1e5, 2.8e7, 2.6e8, 1e12)]

    assert [20.0, 20.0, 300.0, 540.0] == pytest.approx(told[:4])
    assert 600.0 == pytest.approx(told[4], abs=10.0)  # where 2 of 1,000 streams of a million values had an alarm
    assert sorted(told) == told


def test_bins_are_scored_by_the_distance_from_the_references_mean() -> None:
    table = StreamTable(StreamLimits(), lambda _m, _v: Watch())
    scopes = table.scopes_of(["m"], [""])
    (row,) = table.field_rows("unsafe", [True], scopes).tolist()
    table.flags.reference[row, :2] = (899, 99)  # and half an event more of each

    scores = scores_of(table, Arena.FLAGS, row)

    assert scores is not None
    assert [-1 / 3, 3.0] == pytest.approx(scores.tolist(), abs=0.01)


def test_stream_without_a_spread_has_no_unit() -> None:
    table = StreamTable(StreamLimits(), lambda _m, _v: Watch())
    (row,) = table.field_rows("latency_s", [0.5], table.scopes_of(["m"], [""])).tolist()
    empty = scores_of(table, Arena.LOGS, row)
    table.logs.reference[row, 500] = 1_000

    assert (None, None) == (empty, scores_of(table, Arena.LOGS, row))


# ---- what is told


def test_drift_that_adwin_detects_is_told_with_all_that_can_be_said_and_ends() -> None:
    made = watching(by_river("adwin", "features.amount", "score"))

    first, last = finished(made, traffic()).transitions

    alert = first.alert
    assert (AlertState.FIRING, Severity.SEV4) == (alert.state, alert.severity)
    assert ("adwin", "features.amount") == (alert.statistic, alert.key.field)
    assert 1.0 == pytest.approx(alert.value, abs=0.1)
    assert alert.interval[0] < alert.value < alert.interval[1]
    assert START_S + ONSET / RATE == pytest.approx(alert.since_s, abs=15.0)
    assert 0.1 == alert.threshold
    assert (0.0, 0.0) == (alert.evidence, alert.evidence_needed)
    assert "location" == alert.change
    assert alert.samples >= 100
    assert alert.window_s == first.time_s - alert.since_s
    assert alert.reference
    assert (AlertState.RESOLVED, Reason.CLEARED) == (last.alert.state, last.reason)
    assert START_S + END / RATE < last.time_s < START_S + EVENTS / RATE


@pytest.mark.parametrize(
    ("name", "rate"), [("hddm_a", 0.4), ("hddm_w", 0.95), ("fhddm", 0.7), ("adwin", 0.4), ("page_hinkley", 0.4)]
)
def test_rate_that_rises_is_told(name: str, rate: float) -> None:
    made = watching(by_river(name, "unsafe"), budget=Budget(pages=1_000.0, has_river=True))

    (first,) = finished(made, traffic(END, unsafe=rate)).transitions

    assert "error rate" == first.alert.change
    assert START_S + ONSET / RATE == pytest.approx(first.alert.since_s, abs=10.0)


@pytest.mark.parametrize("name", ["ddm", "eddm"])
def test_rate_that_rises_is_told_by_those_that_know_no_budget(name: str) -> None:
    """They may have cried wolf before; at the end there is an alert."""
    made = watching(by_river(name, "unsafe"))

    finished(made, traffic(END))

    (alert,) = made.picture().alerts
    assert ("unsafe", AlertState.FIRING, "error rate") == (alert.key.field, alert.state, alert.change)


def test_change_below_the_rules_limit_is_not_told_whatever_river_detects() -> None:
    made = watching(by_river("adwin", "features.amount", yellow=Level(1.5)))

    assert [] == finished(made, traffic(END)).transitions


def test_alert_in_words_claims_no_evidence() -> None:
    made = watching(by_river("adwin", "features.amount"))
    (first,) = finished(made, traffic(END)).transitions

    text = to_text([Known(first.alert)])

    assert "none: river's adwin says that something has changed, without odds, so no budget is kept" in text
    assert "nats" not in text


def test_red_is_a_change_certainly_beyond_it() -> None:
    made = watching(by_river("adwin", "features.amount", red=Level(0.5)))

    (first,) = finished(made, traffic(END)).transitions

    assert ("red", 0.5, Severity.SEV3) == (first.alert.band.label, first.alert.threshold, first.alert.severity)


def test_nothing_is_told_while_there_is_no_reference() -> None:
    made = watching(by_river("adwin", "features.amount"), learn_events=10**9)

    assert [] == finished(made, traffic(END)).transitions


def test_kinds_that_a_detector_cannot_be_fed_with_are_left_alone() -> None:
    made = watching(by_river("ddm", "features.*", "score"), by_river("adwin", "features.channel"))

    assert [] == finished(made, traffic(END)).transitions


def test_latency_is_watched_by_its_logarithm() -> None:
    def change(i: int, content: dict[str, Any]) -> None:
        content["latency_s"] *= 2.0 if i >= ONSET else 1.0

    made = watching(by_river("adwin", "latency_s"))

    (first,) = finished(made, steady(5, END, RATE, change)).transitions

    assert float(np.log(2.0) / 0.5) == pytest.approx(first.alert.value, abs=0.1)


# ---- laws


@pytest.mark.parametrize("starts", [range(0, END, 7), random.Random(1).sample(range(END), 60)], ids=["small", "random"])
def test_same_messages_in_other_batches_give_the_same(starts: Sequence[int]) -> None:
    rules = [by_river(name, "features.amount", "unsafe", "latency_s") for name in ("adwin", "page_hinkley")]
    rules.append(by_river("ddm", "unsafe"))
    (reference,) = finished(watching(*rules), steady(8, LEARNED)).references
    messages = traffic(END)
    whole, pieces = (watching(*rules, references=[reference]) for _ in range(2))

    one, many = feed_cut(whole, messages, []), feed_cut(pieces, messages, starts)

    assert one.transitions
    assert one.transitions == many.transitions


def test_what_river_costs_is_bounded_and_what_is_beyond_is_counted() -> None:
    def change(_: int, content: dict[str, Any]) -> None:
        content["features"] |= {f"f{n}": content["score"] for n in range(100)}

    made = watching(by_river("kswin", "features.f*"), learn_events=200)

    finished(made, steady(3, 220, RATE, change))

    watched = 100 - made.picture().overflow["river_streams"]
    assert 0 < watched * 300e-6 <= PANE_MAX_S


def test_streams_are_those_of_the_rule() -> None:
    made = watching(by_river("adwin", "unsafe"))

    transitions = finished(made, traffic(END)).transitions

    assert [("adwin", "unsafe", "firing")] == told(transitions)
