"""Segments found by themselves: the frequent ones, within a memory bound, alike in any batches and over restarts."""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Any, Final

import pytest

from monitor.court import Step
from monitor.domain import Picture
from monitor.fields import Watch
from monitor.kept import Section
from monitor.pipeline import Pipeline
from monitor.references import Reference, from_text, to_text
from monitor.rules import Plan
from monitor.scopes import Scope, Subject
from monitor.segments import CHECK_EVENTS, EPOCH_EVENTS, HeavySegments, automatic
from tests.golden.traffic import NEVER_CLAMP, RULES, add, batch, event, pipeline
from tests.unit.state.keeping import Kept, plain
from tests.unit.test_pipeline import tables_of

EVENTS: Final = 4_500
BATCH: Final = 90


def finding(limit: int = 8, *, segments: tuple[str, ...] = ("country",), **changes: Any) -> Pipeline:  # noqa: ANN401
    plan = Plan(Watch(segments=segments, auto_segments=limit), RULES)
    return pipeline(plan_of=lambda _model, _version: plan, **{"learn_events": 3_000, **changes})


@cache
def messages() -> tuple[bytes, ...]:
    """Traffic of two models: few values that many have, very many that few have, and one that comes late."""
    rng = random.Random(6)
    out = []
    for i in range(EVENTS):
        tier = rng.choice(("gold", "silver", "silver", "silver"))
        device = f"d{int(rng.paretovariate(0.7))}"
        late = {"campaign": "autumn"} if i > 2_000 and rng.random() < 0.5 else {}
        segment = {"country": rng.choice("AB"), "tier": tier, "device": device, "user": f"u{i}", **late}
        fields = {"features": {"amount": rng.gauss(0.0, 1.0)}, "segment": segment, "event_id": f"e{i}"}
        out.append(event(i / 50.0, model="fraud" if i % 3 else "other", **fields))
    return tuple(out)


def run(starts: tuple[int, ...], stops: frozenset[int] = frozenset(), limit: int = 8) -> tuple[Step, Pipeline]:
    made, kept, whole = finding(limit), Kept(), Step()
    bounds = [*starts, EVENTS]
    for number, (start, stop) in enumerate(pairwise(bounds)):
        if number in stops:
            kept.save(made.sections())
            made = finding(limit)
            made.restore(kept.states())
            made.assign([*batch().sources])
        add(whole, made.step(batch(*messages()[start:stop]), NEVER_CLAMP))
    add(whole, made.finish())
    return whole, made


EVEN: Final = tuple(range(0, EVENTS, BATCH))
whole_run = cache(lambda limit=8: run(EVEN, limit=limit))


def segments_of(made: Pipeline, model: str = "fraud") -> set[str]:
    (subject,) = (subject for subject in made.subjects if subject.model == model)
    return set(automatic(subject))


def events_of(picture: Picture, model: str, window: str = "1h") -> dict[str, float]:
    return {
        segment: value
        for (statistic, own_window, own_model, field, segment), value in _samples(picture).items()
        if (statistic, own_window, own_model, field) == ("samples", window, model, "events")
    }


def _samples(picture: Picture) -> dict[tuple[str, str, str, str, str], float]:
    return {
        (table.name, table.window, picture.keys[row].model, picture.keys[row].field, picture.keys[row].segment): value
        for table in picture.tables
        for row, value in zip(table.rows.tolist(), table.values.tolist(), strict=True)
    }


def test_frequent_values_are_found_whatever_they_are_called() -> None:
    _, made = whole_run()

    found = segments_of(made)
    assert {"tier=gold", "tier=silver", "campaign=autumn", "device=d1"} <= found
    assert not any(segment.startswith(("user=", "country=")) for segment in found)
    assert len(found) <= 8


def test_all_others_of_a_name_count_together() -> None:
    _, made = whole_run()
    (subject,) = (subject for subject in made.subjects if subject.model == "fraud")

    names = {segment.partition("=")[0] for segment in automatic(subject)}
    assert {f"{name}=(other)" for name in names} <= set(subject.scopes)
    assert "user=(other)" not in subject.scopes  # of a name without any, all traffic says the same


def test_events_count_from_promotion_on_once_in_each_of_their_segments() -> None:
    _, made = whole_run()
    counted = events_of(made.picture(), "fraud")

    devices = sum(count for segment, count in counted.items() if segment.startswith("device="))
    tiers = counted["tier=gold"] + counted["tier=silver"]
    assert 0 == counted.get("tier=(other)", 0)
    assert devices == tiers  # promoted at one look, every event has both
    assert EVENTS / 3 < tiers < EVENTS * 2 / 3


def test_limit_takes_the_most_frequent() -> None:
    _, made = whole_run(limit=1)

    assert {"tier=silver"} == segments_of(made)


@pytest.mark.parametrize("cut", ["one by one", "by chance", "all at once"])
def test_same_messages_in_other_batches_find_the_same(cut: str) -> None:
    rng = random.Random(8)
    starts = {
        "one by one": tuple(range(EVENTS)),
        "by chance": (0, *sorted(rng.sample(range(1, EVENTS), 40))),
        "all at once": (0,),
    }[cut]
    before, one = whole_run()
    after, other = run(starts)

    assert before.transitions == after.transitions
    assert [to_text(r) for r in before.references] == [to_text(r) for r in after.references]
    assert tables_of(one.picture()) == tables_of(other.picture())
    assert segments_of(one) == segments_of(other)


@pytest.mark.parametrize("seed", range(3))
def test_process_that_ends_anywhere_finds_the_same(seed: int) -> None:
    stops = frozenset(random.Random(seed).sample(range(len(EVEN)), 12))
    before, one = whole_run()
    after, other = run(EVEN, stops)

    assert before.transitions == after.transitions
    assert [to_text(r) for r in before.references] == [to_text(r) for r in after.references]
    assert one.picture().keys == other.picture().keys
    assert tables_of(one.picture()) == tables_of(other.picture())
    ours, theirs = (plain(made.sections()) for made in (one, other))
    assert {name: ours[name] for name in ours if "segments" in name} == {
        name: theirs[name] for name in theirs if "segments" in name
    }


def test_state_without_sketches_is_read() -> None:
    """An older version kept none."""
    kept = Kept()
    _, made = whole_run()
    kept.save([each for each in made.sections() if not each.name.startswith("counting/segments")])

    again = finding()
    again.restore(kept.states())

    assert segments_of(made) == segments_of(again)


def test_segments_are_gone_when_none_are_to_be_found_any_more() -> None:
    kept = Kept()
    _, made = whole_run()
    kept.save(made.sections())

    again = finding(0)
    again.restore(kept.states())

    assert set() == segments_of(again)
    assert {"", "country=A", "country=B"} == set(again.subjects[0].scopes)


def test_volume_of_segments_found_while_learning_is_no_reference() -> None:
    """They were not counted from the beginning, so how much traffic they have is not known."""
    step, _ = whole_run()
    (fraud,) = (
        (reference for reference in step.references if reference.model == "fraud") if step.references else (None,)
    )
    assert fraud is not None

    with_volume = {stream.segment for stream in fraud.streams if stream.field == "events"}
    assert {"", "country=A", "country=B"} == with_volume
    assert "tier=gold" in {stream.segment for stream in fraud.streams}


def test_reference_brings_its_segments() -> None:
    step, _ = whole_run()
    reference: Reference = from_text(to_text(step.references[0]))

    again = finding(references=[reference])
    again.step(batch(*messages()[:300]), NEVER_CLAMP)
    again.finish()

    assert "tier=gold" in segments_of(again, reference.model)
    assert events_of(again.picture(), reference.model)["tier=gold"] > 0


# ---- the sketch


def subject(limit: int, model: str = "m") -> Subject:
    made = Subject(model, "", Watch(auto_segments=limit), 0)
    made.scopes[""] = Scope(made, "", 0)
    return made


def noted(heavy: HeavySegments, values: list[str], own: Subject) -> list[str]:
    for value in values:
        heavy.note(0, [value])
    return [segment for _, segment in heavy.promoted([own])]


@pytest.mark.parametrize("seed", range(3))
def test_none_that_two_in_a_hundred_have_is_missed_among_very_many(seed: int) -> None:
    rng = random.Random(seed)
    values = [f"n={rng.choice('abcde')}" if rng.random() < 0.15 else f"n={rng.random()}" for _ in range(60_000)]

    found = noted(HeavySegments(), values, subject(50))

    counted = Counter(values)
    assert {value for value, count in counted.items() if count >= 0.02 * len(values)} <= set(found)
    assert all(counted[value] >= 0.01 * len(values) for value in found)


def test_sketch_goes_on_from_its_state_as_if_there_had_been_none() -> None:
    rng = random.Random(3)
    values = [f"n={int(rng.paretovariate(0.4))}" for _ in range(30_000)]
    whole, parts = HeavySegments(), HeavySegments()
    for number, value in enumerate(values):
        whole.note(0, [value])
        parts.note(0, [value])
        if number % 1_777 == 0:
            kept: list[Section] = list(parts.sections("s"))
            parts = HeavySegments()
            parts.restore("s", {each.name: each.make() for each in kept}, [subject(5)])

    assert plain(whole.sections("s")) == plain(parts.sections("s"))
    assert [name for _, name in whole.promoted([subject(5)])] == [name for _, name in parts.promoted([subject(5)])]


def test_what_is_frequent_only_now_is_found() -> None:
    heavy, own = HeavySegments(), subject(5)
    noted(heavy, ["n=old"] * (20 * EPOCH_EVENTS // 10), own)

    assert "n=new" in noted(heavy, ["n=new"] * CHECK_EVENTS, own)


def test_memory_is_bounded_whatever_comes() -> None:
    heavy = HeavySegments()
    for number in range(50_000):
        heavy.note(0, [f"user={number}", f"{number}=x"])

    (section,) = heavy.sections("s")
    assert len(section.make()["names"]) <= 1_024


def test_odd_segments_are_passed_over() -> None:
    made = finding(4, segments=())
    odd: list[dict[str, object]] = [
        {"a=b": "x"},
        {"n" * 100: "x"},
        {"n": None},
        {"n": [1]},
        {"n": {"x": 1}},
        {"n": True},
    ]
    values = [event(i / 100, segment=odd[i % len(odd)]) for i in range(2_400)]

    made.step(batch(*values), NEVER_CLAMP)
    made.step(
        batch(json.dumps({"model": "fraud", "event_time": 1, "segment": 7, "features": {}}).encode()), NEVER_CLAMP
    )
    made.finish()

    assert {"n=[1]", "n={'x': 1}", "n=True"} == segments_of(made)
