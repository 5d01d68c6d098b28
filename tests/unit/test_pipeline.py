"""The laws of the whole: what is counted where, what fires, and that cutting into batches changes nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.court import Step
from monitor.domain import AlertState, Batch, Picture, Rejection, TopicPartition, Transition
from monitor.panes import GAP_PANES_MAX
from monitor.pipeline_terms import TimeTerms
from monitor.references import Reference, from_text, to_text
from monitor.scopes import StreamLimits
from tests.golden.traffic import (
    NEVER_CLAMP,
    SOURCE,
    START_S,
    batch,
    counted_of,
    event,
    feed,
    feed_cut,
    finished,
    outcome,
    pipeline,
    rule,
    statistic,
    steady,
)

PAIR = (TopicPartition("events", 0), TopicPartition("events", 1))


def told(transitions: list[Transition]) -> list[tuple[float, str, str, str]]:
    return [(t.time_s - START_S, t.alert.rule, t.alert.key.field, str(t.alert.state)) for t in transitions]


def fired(transitions: list[Transition]) -> set[tuple[str, str]]:
    return {(t.alert.rule, t.alert.key.field) for t in transitions if t.alert.state is AlertState.FIRING}


def tables_of(picture: Picture) -> dict[tuple[str, str, str, str, str], float]:
    """Give every number of a picture by name: the order of streams is no part of the law."""
    out = {}
    for table in picture.tables:
        for row, value in zip(table.rows.tolist(), table.values.tolist(), strict=True):
            key = picture.keys[row]
            out[(table.name, table.window, key.model, key.field, key.segment)] = value
    return out


# ---- the law of batches


def hits_of(picture: Picture) -> dict[tuple[str, str, str, str], list[int]]:
    """Give what segments are compared by, by stream: in which order streams came depends on batches."""
    found = picture.segments
    assert found is not None
    columns = (found.hits, found.samples, found.whole_hits, found.whole_samples)
    return {key: [int(column[at]) for column in columns] for at, key in enumerate(found.keys)}


def restless(seed: int, events: int) -> list[bytes | None]:
    """Traffic with everything in it that could depend on where a batch ends."""
    rng = random.Random(seed)
    out: list[bytes | None] = []
    for i in range(events):
        content: dict[str, Any] = {"event_id": f"e{rng.randrange(events * 9)}", "model": rng.choice(("a", "b"))}
        content["features"] = {
            "x": rng.gauss(4.0 if i > events * 0.7 else 0.0, 1.0),
            "c": rng.choice("abcdefgh"[: 3 + i * 5 // events]),
        }
        if rng.random() < 0.3:
            content["features"]["rare"] = rng.choice((None, None, 2.5, "odd", float("nan"), [1]))
        if rng.random() < 0.1 and i > events // 10:
            content["features"][f"new{i * 4 // events}"] = rng.random()
        for name, value in (
            ("latency_s", rng.expovariate(3)),
            ("unsafe", rng.random() < 0.02),
            ("score", rng.random()),
        ):
            if rng.random() < 0.4:
                content[name] = rng.choice((None, value))
        content["segment"] = {"country": rng.choice(("DE", "US", "FR"))}
        at_s = i / 20 - rng.choice((0, 0, 0, 0, 0, 1, 5, 30, 300))
        out.append(rng.choice((None, b"{", outcome(at_s))) if rng.random() < 0.02 else event(at_s, **content))
    return out


CUTS = pytest.mark.parametrize("cut", ["one by one", "halves", "random"])


def starts_of(cut: str, messages: int) -> Sequence[int]:
    """Give where batches begin."""
    if cut == "one by one":
        return range(messages)
    return [messages // 2] if cut == "halves" else random.Random(1).sample(range(messages), 60)


@cache
def history() -> Reference:
    (reference,) = finished(pipeline(learn_events=1_000, segments=["country"]), steady(8, 1_500)).references
    return reference


@cache
def changing() -> list[bytes]:
    """Give steady traffic with late events, duplicates and planted change."""

    def change(i: int, content: dict[str, Any]) -> None:
        content["features"]["amount"] += 2.0 * (1_500 < i < 2_300)
        if i % 50 == 7:
            content["event_time"] = START_S + i / 50 - i % 40
        if i % 60 == 9:
            content["event_id"] = f"e9-{i - 30}"

    return steady(9, 3_000, change=change)


def judged(references: str, starts: Sequence[int] = ()) -> tuple[list[Transition], Picture]:
    """Give what came of the changing traffic, in batches that begin there, with a reference given or learned."""
    given = [history()] if references == "given" else []
    made = pipeline(learn_events=1_000, segments=["country"], references=given)
    transitions = feed_cut(made, changing(), starts).transitions + made.finish().transitions
    return transitions, made.picture()


judged_whole = cache(judged)


@CUTS
@pytest.mark.parametrize("references", ["learned", "given"])
def test_steady_messages_in_other_batches_give_the_same_judgement(cut: str, references: str) -> None:
    """Every stream is there from the first events on."""
    one, whole = judged_whole(references)
    many, pieces = judged(references, starts_of(cut, len(changing())))

    assert ("drift", "features.amount") in fired(one)
    if references == "given":
        assert one == many
        assert tables_of(whole) == tables_of(pieces)
        assert hits_of(whole) == hits_of(pieces)
    assert {(rule, field) for _, rule, field, _ in told(one)} == {(rule, field) for _, rule, field, _ in told(many)}
    plain: dict[str, Any] = {"keys": (), "tables": (), "segments": None, "alerts": (), "models": (), "transitions": {}}
    plain |= {"looks": 0} if references == "learned" else {}
    assert replace(whole, **plain) == replace(pieces, **plain)


def restless_run(seed: int, starts: Sequence[int] = ()) -> tuple[Step, Picture]:
    made = pipeline(learn_events=340, segments=["country"])
    step = feed_cut(made, restless(seed, 1_200), starts)
    step.transitions += made.finish().transitions
    return step, made.picture()


restless_whole = cache(restless_run)


@CUTS
@pytest.mark.parametrize("seed", [1, 2])
def test_same_messages_in_other_batches_give_the_same(seed: int, cut: str) -> None:
    one, before = restless_whole(seed)
    many, after = restless_run(seed, starts_of(cut, 1_200))

    assert [r.identity for r in one.references] == [r.identity for r in many.references]
    assert sorted(told(one.transitions)) == sorted(told(many.transitions))
    assert sorted(before.keys) == sorted(after.keys)
    assert tables_of(before) == tables_of(after)
    assert hits_of(before) == hits_of(after)
    plain: dict[str, Any] = {"keys": (), "tables": (), "segments": None, "alerts": ()}
    assert replace(before, **plain) == replace(after, **plain)


def test_replay_is_deterministic() -> None:
    messages = restless(3, 1_500)
    ones, others = (pipeline(learn_events=500, segments=["country"]) for _ in range(2))

    first, second = finished(ones, messages), finished(others, messages)

    assert [to_text(r) for r in first.references] == [to_text(r) for r in second.references]
    assert first.transitions == second.transitions
    assert tables_of(ones.picture()) == tables_of(others.picture())


def test_nulls_before_a_fields_first_value_count_alike_in_any_batches() -> None:
    messages = [event(i / 10, latency_s=None if i < 6 else 0.5) for i in range(12)]
    rates = []
    for size in (1, 4, 12):
        made = pipeline()
        finished(made, messages, size)
        rates.append(statistic(made.picture(), "null_rate", "latency_s"))

    assert [rates[0]] * 3 == rates


def test_nulls_in_a_batch_without_any_value_are_counted() -> None:
    messages = [event(i / 10, latency_s=0.5 if i < 6 else None) for i in range(12)]
    made = pipeline()

    finished(made, messages, 6)

    assert 0.5 == statistic(made.picture(), "null_rate", "latency_s")


def test_rates_of_a_new_stream_are_of_all_its_values() -> None:
    """Else the first hundred nulls of a feature that is rarely null look like nothing but nulls, and fire."""
    made = pipeline()
    odd = {0: None, 1: float("nan")}
    messages = [event(i / 20, features={"a": odd.get(i % 10, 1.0 * i)}) for i in range(400)]

    finished(made, messages[:200])
    early = statistic(made.picture(), "null_rate", "features.a")
    finished(made, messages[200:])

    picture = made.picture()
    assert np.isnan(early)
    assert pytest.approx((0.1, 0.1), abs=0.005) == (
        statistic(picture, "null_rate", "features.a"),
        statistic(picture, "invalid_rate", "features.a"),
    )


# ---- conservation


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    text = bytearray(event(draw(st.floats(-100, 100)), score=0.5, unsafe=True, segment={"country": "DE"}))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text) - 1))
        text[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    [
        *("model", "model_version", "event_time", "event_id", "features", "segment", "prediction", "score"),
        *("latency_s", "tokens_in", "unsafe", "status", "error_type", "finish_reason", "type", "kind", "request_id"),
    ]
)


@st.composite
def odd(draw: st.DrawFn) -> bytes:
    return event(draw(st.floats(-100, 100)), **draw(st.dictionaries(FIELDS, JSON, max_size=4)))


MESSAGES = st.lists(st.none() | st.binary(max_size=30) | mutated() | odd(), max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(MESSAGES, max_size=4), st.data())
def test_every_message_is_counted_once_whatever_it_is(batches: list[list[bytes | None]], data: st.DataObject) -> None:
    made = pipeline(sources=PAIR, segments=["country"], learn_events=10)
    for messages in batches:
        partitions = data.draw(st.lists(st.integers(0, 1), min_size=len(messages), max_size=len(messages)))
        made.step(Batch(messages, partitions, PAIR), START_S)
    made.finish()

    picture = made.picture()

    assert sum(map(len, batches)) == sum(picture.received.values())
    assert counted_of(picture) == sum(picture.counted.values())


def test_a_hundred_thousand_random_and_mutated_messages_leave_the_pipeline_running() -> None:
    rng = random.Random(7)
    good = [event(i / 100, event_id=str(i), score=i / 9, unsafe=i % 9 == 0, latency_s=0.1) for i in range(500)]
    made = pipeline(learn_events=3_000)
    sent = 0
    for _ in range(50):
        messages: list[bytes | None] = []
        for _ in range(1_000):
            text = bytearray(rng.choice(good))
            text[rng.randrange(len(text))] = rng.randrange(256)
            messages += [rng.randbytes(rng.randrange(40)), bytes(text)]
        made.step(batch(*messages), START_S + 10)
        sent += len(messages)
    made.finish()

    picture = made.picture()

    assert 100_000 == sent == picture.received["events"]
    assert counted_of(picture) == sum(picture.counted.values())
    assert picture.counted["events", "inference"] > 100


def test_topics_are_accounted_apart() -> None:
    sources = (TopicPartition("a", 0), TopicPartition("b", 0), TopicPartition("a", 1))
    made = pipeline(sources=sources)

    made.step(Batch([event(0), b"x", event(1), None, outcome(1)], [0, 1, 2, 1, 1], sources), NEVER_CLAMP)

    picture = made.picture()
    assert {"a": 2, "b": 3} == picture.received
    assert {("a", "inference"): 2, ("b", "label"): 1} == picture.counted
    assert {("b", "not_json"): 1, ("b", "empty"): 1} == picture.rejected


# ---- times


def total(picture: Picture, window: str = "1h") -> float:
    return statistic(picture, "samples", "events", window)


@pytest.mark.parametrize(
    ("late_s", "is_counted"),
    [
        pytest.param(2.0, True, id="within the disorder: in time"),
        pytest.param(10.0, True, id="its pane has closed, within the grace"),
        pytest.param(61.0, True, id="at the end of the grace"),
        pytest.param(64.0, False, id="beyond the grace"),
        pytest.param(100_000.0, False, id="long beyond the grace"),
    ],
)
def test_late_events_are_counted_within_the_grace(late_s: float, *, is_counted: bool) -> None:
    made = pipeline(time=TimeTerms(grace_s=60.0))
    feed(made, [event(i) for i in range(200)], size=1)

    feed(made, [event(199 - late_s)])
    made.finish()

    picture = made.picture()
    assert 200 + is_counted == total(picture) == picture.counted["events", "inference"]
    assert ({} if is_counted else {"events": 1}) == picture.late


def test_late_event_lies_where_its_time_is() -> None:
    made = pipeline(time=TimeTerms(grace_s=300.0))
    feed(made, [event(i) for i in range(120)], size=1)
    before = {window: total(made.picture(), window) for window in ("1m", "10m")}

    feed(made, [event(37.5), event(60.5)])

    after = {window: total(made.picture(), window) for window in ("1m", "10m")}
    assert {"1m": before["1m"] + 1, "10m": before["10m"] + 2} == after


def test_several_late_events_before_the_first_pane_are_all_counted() -> None:
    made = pipeline()

    feed(made, [event(100), event(110)])
    feed(made, [event(70), event(70.1), event(70.2)])
    made.finish()

    assert 5 == total(made.picture())


def test_future_times_are_clamped_and_counted() -> None:
    made = pipeline(time=TimeTerms(future_s=60.0))

    made.step(batch(event(0), event(59), event(4_000), event(5e8)), START_S)
    made.finish()

    picture = made.picture()
    assert {"events": 2} == picture.clamped
    assert 4 == picture.counted["events", "inference"]
    assert picture.watermark_s is not None
    assert picture.watermark_s <= START_S + 61


def test_replay_clamps_nothing() -> None:
    made = pipeline()

    made.step(batch(event(0), event(5e8)), NEVER_CLAMP)

    assert {} == made.picture().clamped


def test_idle_partition_does_not_hold_time_back() -> None:
    made = pipeline(sources=PAIR)
    made.step(batch(*[event(i) for i in range(50)], sources=PAIR), NEVER_CLAMP)
    assert made.picture().watermark_s is None

    made.idle([PAIR[1]], quiet_s=0.0, now_s=START_S + 50)

    assert START_S + 47 == made.picture().watermark_s


def test_partition_that_was_idle_holds_time_back_from_its_next_event_on() -> None:
    made = pipeline(sources=PAIR)
    made.idle([PAIR[1]], quiet_s=0.0, now_s=START_S)
    made.step(batch(event(0), sources=PAIR), NEVER_CLAMP)
    made.step(batch(event(5), of=1, sources=PAIR), NEVER_CLAMP)

    made.step(batch(event(90), sources=PAIR), NEVER_CLAMP)

    assert START_S + 3 == made.picture().watermark_s


def test_partition_with_outcomes_only_does_not_hold_time_back() -> None:
    made = pipeline(sources=PAIR)
    made.step(batch(outcome(0), of=1, sources=PAIR), NEVER_CLAMP)

    made.step(batch(event(0), event(9), sources=PAIR), NEVER_CLAMP)

    assert START_S + 7 == made.picture().watermark_s


def test_partition_taken_away_does_not_hold_time_back() -> None:
    made = pipeline(sources=PAIR)
    made.step(batch(event(0), of=1, sources=PAIR), NEVER_CLAMP)
    made.assign(PAIR[:1])

    made.step(batch(event(50), sources=PAIR), NEVER_CLAMP)

    assert START_S + 48 == made.picture().watermark_s


def test_time_goes_on_while_live_partitions_are_quiet() -> None:
    made = pipeline()
    feed(made, [event(i) for i in range(10)])

    made.idle(SOURCE, quiet_s=100.0, now_s=START_S + 109)

    watermark_s = made.picture().watermark_s
    assert watermark_s is not None
    assert START_S + 106 <= watermark_s <= START_S + 109


def test_time_stands_still_while_an_old_source_is_quiet() -> None:
    made = pipeline()
    feed(made, [event(i) for i in range(10)])

    made.idle(SOURCE, quiet_s=100.0, now_s=START_S + 90_000)

    assert START_S + 7 == made.picture().watermark_s


def test_silence_fires_and_resolves_when_traffic_is_back() -> None:
    made = pipeline(learn_events=500)
    feed(made, steady(1, 1_500))
    quiet = made.idle(SOURCE, quiet_s=600.0, now_s=START_S + 630).transitions

    back = feed(made, [event(640 + i / 50) for i in range(6_000)]).transitions

    assert [("silent", "events", "firing")] == [row[1:] for row in told(quiet)]
    assert 330 <= quiet[0].time_s - START_S <= 335
    assert ("silent", "events", "resolved") in [row[1:] for row in told(back)]


def test_finish_closes_every_pane() -> None:
    made = pipeline()
    feed(made, [event(0), event(500), event(450)])

    made.finish()

    picture = made.picture()
    assert 0 == picture.open_panes
    assert 3 == total(picture)


def test_finish_with_nothing_read_does_nothing() -> None:
    made = pipeline()

    step = made.finish()

    assert ([], []) == (step.transitions, step.references)
    assert 0 == made.picture().looks


@pytest.mark.parametrize("gap_s", [1_000, GAP_PANES_MAX * 2, 86_400 * 365 * 20])
@pytest.mark.parametrize(
    "learn_events",
    [
        pytest.param(
            100,
            id="after a freeze with values waiting",
        ),
        pytest.param(10_000, id="while learning"),
    ],
)
def test_gap_in_event_time_is_passed_over_cheaply(gap_s: int, learn_events: int) -> None:
    made = pipeline(learn_events=learn_events)
    feed(made, [event(i / 10) for i in range(150)], size=1)
    looks = made.picture().looks

    feed(made, [event(gap_s), event(gap_s + 10)])
    made.finish()

    picture = made.picture()
    assert picture.looks - looks < 3_000
    assert 0 == picture.open_panes


def test_window_after_a_gap_is_no_longer_than_it_says() -> None:
    volume = rule("few", "volume", ["events"], yellow=None, red=None)
    made = pipeline(rules=[volume], learn_events=1_000)
    feed(made, steady(1, 3_000))

    feed(made, [event(200_000 + i / 50) for i in range(4_000)])
    made.finish()

    assert 0.9 <= statistic(made.picture(), "volume", "events", "1m") <= 1.1


# ---- duplicates


def test_duplicates_are_told_by_event_id() -> None:
    made = pipeline()

    feed(made, [event(0, event_id="a"), event(0, event_id="b"), event(1, event_id="a"), event(1), event(1)])
    feed(made, [event(2, event_id="b")])

    picture = made.picture()
    assert {"events": 2} == picture.duplicate
    assert 4 == picture.counted["events", "inference"]


def test_a_topic_sent_twice_counts_once() -> None:
    messages = steady(1, 500)
    once, twice = pipeline(), pipeline()

    finished(once, messages)
    finished(twice, [m for m in messages for _ in range(2)])

    assert tables_of(once.picture()) == tables_of(twice.picture())
    assert {"events": 500} == twice.picture().duplicate


# ---- bounds


def test_models_beyond_the_limit_are_rejected_by_name() -> None:
    made = pipeline(limits=StreamLimits(models_max=2))

    feed(made, [event(0, model=name) for name in "abcab"])

    picture = made.picture()
    assert {("events", str(Rejection.TOO_MANY_MODELS)): 1} == picture.rejected
    assert ["a", "b"] == [status.model for status in picture.models]


def test_streams_beyond_the_limit_are_counted_and_not_watched() -> None:
    made = pipeline(limits=StreamLimits(streams_max=5))

    finished(made, [event(i, features={f"f{k}": 1.0 for k in range(20)}) for i in range(5)])

    picture = made.picture()
    assert 5 == picture.streams
    assert picture.overflow["streams"] >= 15
    assert 5 == picture.counted["events", "inference"]


def test_segment_values_beyond_the_limit_share_one() -> None:
    made = pipeline(segments=["country"], limits=StreamLimits(segment_values_max=2))

    finished(made, [event(0, segment={"country": name}) for name in "abcde"])

    picture = made.picture()
    assert {"", "country=a", "country=b", "country=(other)"} == {key.segment for key in picture.keys}
    assert 3 == statistic(picture, "samples", "events", "1h", "country=(other)")
    assert picture.overflow["segment_values"] >= 3


def test_models_seen_in_lost_events_only_do_no_harm() -> None:
    made = pipeline(limits=StreamLimits(models_max=500))
    feed(made, [event(1_000), event(1_010)])

    feed(made, [event(0, model=f"late{i}") for i in range(300)])
    feed(made, [event(1_020 + i) for i in range(5)])
    made.finish()

    assert {"events": 300} == made.picture().late


def test_picture_can_be_taken_at_any_time() -> None:
    made = pipeline(segments=["country"])
    assert () == tuple(made.picture().keys)
    for i in range(6):
        feed(made, [event(i / 9, model=f"m{k}", unsafe=True, latency_s=1.0) for k in range(i * 30)])
        made.picture()
    made.finish()

    assert 150 == len(made.picture().models)


def test_series_beyond_the_budget_are_left_out_and_counted() -> None:
    made = pipeline(series_max=100)

    finished(made, [event(i, features={f"f{k}": 1.0 for k in range(50)}) for i in range(5)])

    picture = made.picture()
    assert sum(len(table.rows) for table in picture.tables) <= 100
    assert picture.series_dropped > 0


# ---- what is counted


def test_segments_are_counted_apart_and_in_the_whole() -> None:
    made = pipeline(segments=["country"])

    finished(made, [event(i / 9, segment={"country": "DE" if i % 3 else "US"}) for i in range(9)])

    picture = made.picture()
    samples = {s: statistic(picture, "samples", "events", "1h", s) for s in ("", "country=DE", "country=US")}
    assert {"": 9, "country=DE": 6, "country=US": 3} == samples


@pytest.mark.parametrize("segment", [None, {}, {"country": None}, {"city": "B"}, [], "DE", 5])
def test_events_without_the_segment_are_in_the_whole_alone(segment: object) -> None:
    made = pipeline(segments=["country"])

    finished(made, [event(0, segment=segment)])

    assert {""} == {key.segment for key in made.picture().keys}


def test_absent_feature_counts_as_null() -> None:
    made = pipeline()
    full, part = {"a": 1.0, "b": "x"}, {"a": 1.0}

    finished(made, [event(i / 9, features=full if i < 2 else part) for i in range(8)])

    assert 0.75 == statistic(made.picture(), "null_rate", "features.b")


def test_feature_that_becomes_a_string_is_a_schema_change_and_invalid() -> None:
    made = pipeline()

    finished(made, [event(i / 9, features={"a": float(i) if i < 300 else str(i)}) for i in range(400)])

    picture = made.picture()
    assert {("fraud", "type"): 1} == picture.schema_changes
    assert 0.25 == statistic(picture, "invalid_rate", "features.a")


def test_feature_that_is_new_after_learning_is_a_schema_change() -> None:
    made = pipeline(learn_events=50)
    feed(made, [event(i) for i in range(100)])

    feed(made, [event(100 + i, features={"amount": 1.0, "extra": 2.0}) for i in range(10)])

    assert 1 == made.picture().schema_changes["fraud", "new"]


def test_not_finite_values_are_invalid_and_not_values() -> None:
    made = pipeline()
    values = [1.0, float("nan"), float("inf"), float("-inf"), 10**400, 2.0] * 200

    finished(made, [event(i / 99, features={"a": x}, latency_s=x) for i, x in enumerate(values)])

    picture = made.picture()
    assert statistic(picture, "invalid_rate", "features.a") == statistic(picture, "invalid_rate", "latency_s") == 4 / 6
    assert 400 == statistic(picture, "samples", "latency_s")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([1.7e308, -1.7e308], id="differences overflow"),
        pytest.param([0.0, 5e-324], id="the least numbers there are"),
        pytest.param([1.7e308, 5e-324, 0.0, 1.0], id="all sizes"),
        pytest.param([10**300, 1], id="large integers"),
        pytest.param([True, False, True], id="booleans are categories"),
    ],
)
def test_any_finite_values_have_bins_and_can_be_judged(values: list[float]) -> None:
    made = pipeline(learn_events=400)

    finished(made, [event(i / 20, features={"a": values[i % len(values)]}) for i in range(1_000)])

    picture = made.picture()
    assert 0.0 == statistic(picture, "invalid_rate", "features.a")
    assert pytest.approx(0.0, abs=0.05) == statistic(picture, "psi", "features.a")


def test_huge_value_after_a_fine_grid_is_above_it() -> None:
    made = pipeline(learn_events=400)

    finished(made, [event(i / 20, features={"a": 1e-3 * (i % 7) if i < 1_000 else 1.7e308}) for i in range(1_200)])

    assert statistic(made.picture(), "out_of_range_rate", "features.a") > 0.1


# ---- learning and judging


def test_learning_freezes_once_after_so_many_events() -> None:
    made = pipeline(learn_events=1_000)

    step = finished(made, steady(1, 3_000))

    assert 1 == len(step.references)
    reference = step.references[0]
    assert 1_000 <= reference.events <= 1_050

    status = made.picture().models[0]
    assert ("ready", 1.0, reference.identity) == (status.state, status.progress, status.reference)


def test_no_drift_alert_fires_while_learning() -> None:
    def change(i: int, content: dict[str, Any]) -> None:
        content["features"]["amount"] += i / 100

    made = pipeline(learn_events=100_000)

    step = finished(made, steady(1, 3_000, change=change))

    assert set() == {name for name, _ in fired(step.transitions)} & {
        "drift",
        "unsafe",
        "slow",
        "nulls",
        "new_categories",
    }
    assert "learning" == made.picture().models[0].state


def test_baseline_compared_with_itself_never_fires() -> None:
    messages = steady(5, 6_000)
    (reference,) = finished(pipeline(learn_events=5_500), messages).references

    again = finished(pipeline(references=[reference]), messages)

    assert [] == told(again.transitions)


def test_reference_from_a_file_judges_like_the_one_learned() -> None:
    def change(i: int, content: dict[str, Any]) -> None:
        content["features"]["amount"] += 2.0 * (i > 1_500)

    (reference,) = finished(pipeline(learn_events=2_000), steady(5, 2_500)).references
    later = steady(6, 4_000, change=change)

    ones = finished(pipeline(references=[reference]), later).transitions
    others = finished(pipeline(references=[from_text(to_text(reference))]), later).transitions

    assert ("drift", "features.amount") in fired(ones)
    assert ones == others


def test_reference_without_a_version_serves_every_version() -> None:
    (reference,) = finished(pipeline(learn_events=500), steady(5, 1_000)).references
    made = pipeline(references=[reference])

    feed(made, [event(0, model_version="1"), event(0, model_version="2")])

    assert ["ready", "ready"] == [status.state for status in made.picture().models]


SHIFTS = {
    "a shift fires drift of its feature alone": ("features.amount", 1.5, {("drift", "features.amount")}),
    "a new category fires both of its rules": (
        "features.channel",
        "fax",
        {("drift", "features.channel"), ("new_categories", "features.channel")},
    ),
    "a yes rate that rises fires": ("unsafe", True, {("unsafe", "unsafe")}),
    "a rise of nulls fires": ("features.maybe", None, {("nulls", "features.maybe")}),
    "slow answers fire": ("latency_s", 9.0, {("slow", "latency_s")}),
    "numbers that turn into text fire invalid": ("features.age", "x", {("invalid", "features.age")}),
}


@pytest.mark.parametrize(("where", "what", "expected"), SHIFTS.values(), ids=SHIFTS.keys())
def test_planted_change_fires_its_rule(where: str, what: object, expected: set[tuple[str, str]]) -> None:
    def change(i: int, content: dict[str, Any]) -> None:
        if i < 3_000 or i % 2:
            return
        holder, name = (content["features"], where[9:]) if where.startswith("features.") else (content, where)
        holder[name] = holder[name] + what if isinstance(what, float) and name == "amount" else what

    made = pipeline(learn_events=2_000)

    step = finished(made, steady(2, 6_000, change=change))

    assert expected <= fired(step.transitions)
    assert {field for _, field in expected} == {field for _, field in fired(step.transitions)}
    assert all(t.time_s - START_S > 60 for t in step.transitions)
    onset_s = next(t.alert.since_s for t in step.transitions) - START_S
    assert 55 <= onset_s <= 70


def test_nothing_fires_when_nothing_changes() -> None:
    step = finished(pipeline(learn_events=2_000, segments=["country"]), steady(3, 12_000))

    assert [] == told(step.transitions)


def test_names_of_any_letters_can_be_learned_judged_and_written() -> None:
    features = json.dumps({'\udc80 \u00e4\n"|,': 1.0}).encode()
    raw = [event(i / 10, model="m\ud800|\u4e2d").replace(b'{"amount": 1.5}', features) for i in range(400)] + [
        event(40 + i / 10, model="m\ud800|\u4e2d", features={"a": None}) for i in range(800)
    ]
    made = pipeline(learn_events=300, rules=[rule("n", "null_rate", ["*"])])

    step = finished(made, raw)

    texts = [to_text(reference).encode() for reference in step.references]
    assert [reference.identity for reference in step.references] == [from_text(t.decode()).identity for t in texts]
    assert 1_200 == counted_of(made.picture()) + sum(made.picture().rejected.values())


def test_counts_stay_exact_when_a_partition_runs_far_ahead() -> None:
    made = pipeline(sources=PAIR, rules=[])
    made.step(batch(event(0), of=1, sources=PAIR), NEVER_CLAMP)

    made.step(batch(*[event(float(i)) for i in range(7_300)], sources=PAIR), NEVER_CLAMP)

    picture = made.picture()
    assert picture.open_panes <= 7_200
    assert counted_of(picture) == sum(picture.counted.values()) == 7_301
    assert np.isfinite(picture.watermark_s or np.nan)
