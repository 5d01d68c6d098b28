"""The law of state: a pipeline that is stored and brought back, at any place, goes on as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from monitor.court import Step
from monitor.domain import AlertState, Picture, Reason, Transition
from monitor.pipeline import Pipeline
from monitor.references import to_text
from tests.golden.traffic import NEVER_CLAMP, RULES, add, batch, pipeline
from tests.unit.state.keeping import Kept, plain
from tests.unit.test_pipeline import changing, history, restless, tables_of

BATCH = 60


def learning() -> Pipeline:
    """Give a pipeline that has all to learn yet."""
    return pipeline(learn_events=340, segments=["country"])


def judging() -> Pipeline:
    """Give a pipeline that knows what is normal."""
    return pipeline(learn_events=1_000, segments=["country"], references=[history()])


TRAFFIC: dict[str, tuple[Callable[[], Pipeline], Callable[[], Sequence[bytes | None]]]] = {
    "restless": (learning, lambda: restless(4, 1_200)),
    "changing": (judging, changing),
}


def run(
    name: str, stops: frozenset[int] = frozenset(), reloads: frozenset[int] = frozenset()
) -> tuple[Step, Picture, dict[str, Any]]:
    """Feed the traffic in batches.

    Before those of `stops` the process ends and another one goes on from what it kept; before those of `reloads` it
    reads the same configuration anew: other objects that say the same.
    """
    make, traffic = TRAFFIC[name]
    made, kept, whole, messages = make(), Kept(), Step(), traffic()
    bounds = [*range(0, len(messages), BATCH), len(messages)]
    for number, (start, stop) in enumerate(pairwise(bounds)):
        if number in stops:
            kept.save(made.sections())
            made = make()
            made.restore(kept.states())
            made.assign([*batch().sources])
        if number in reloads:
            whole.transitions += made.replan(make()._terms)
        add(whole, made.step(batch(*messages[start:stop]), NEVER_CLAMP))
    add(whole, made.finish())
    return whole, made.picture(), plain(made.sections())


uninterrupted = cache(run)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", TRAFFIC)
def test_process_that_ends_anywhere_changes_nothing(name: str, seed: int) -> None:
    whole, before, kept = uninterrupted(name)
    batches = len(TRAFFIC[name][1]()) // BATCH
    stops = frozenset(random.Random(seed).sample(range(batches), 3 if seed else batches // 2))

    pieces, after, kept_after = run(name, stops)

    check_same((whole, before, kept), (pieces, after, kept_after))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", TRAFFIC)
def test_same_configuration_read_anew_anywhere_changes_nothing(name: str, seed: int) -> None:
    chance, batches = random.Random(seed), len(TRAFFIC[name][1]()) // BATCH
    reloads = frozenset(chance.sample(range(batches), 3 if seed else batches // 2))
    stops = frozenset(chance.sample(range(batches), 2)) if seed == 2 else frozenset()

    check_same(uninterrupted(name), run(name, stops, reloads))


def test_rule_that_is_gone_ends_its_alerts_and_touches_no_others() -> None:
    """At the same place, in the middle of an incident: one goes on, one is told that a rule is no more."""
    make, traffic = TRAFFIC["changing"]
    rules = [each for each in RULES if each.name != "drift"]
    same, other = make(), make()
    told: list[Step] = [Step(), Step()]
    is_replanned = False
    for start in range(0, len(traffic()), BATCH):
        values = traffic()[start : start + BATCH]
        for made, step in zip((same, other), told, strict=True):
            add(step, made.step(batch(*values), NEVER_CLAMP))
        if not is_replanned and any(alert.rule == "drift" for alert in other.alerts):
            before = list(other.alerts)
            gone = other.replan(pipeline(rules=rules, segments=["country"])._terms)
            is_replanned = True
            left = list(other.alerts)

    assert is_replanned
    assert [alert.dedup_key for alert in before if alert.rule == "drift"] == [t.alert.dedup_key for t in gone]
    assert {(AlertState.RESOLVED, Reason.REMOVED)} == {(t.alert.state, t.reason) for t in gone}
    assert [alert for alert in before if alert.rule != "drift"] == left
    after = [t for t in told[1].transitions if t.alert.rule != "drift"]
    assert [_alone(t) for t in told[0].transitions if t.alert.rule != "drift"] == [_alone(t) for t in after]
    assert same.picture().counted == other.picture().counted


def _alone(transition: Transition) -> Transition:
    """Give a transition without what it says of other alerts of its model."""
    return replace(transition, alert=replace(transition.alert, rank=1, together=1, incident=""))


def check_same(one: tuple[Step, Picture, dict[str, Any]], other: tuple[Step, Picture, dict[str, Any]]) -> None:
    """Check that two runs came to the same: what was told and learned, what is shown, and all that is kept."""
    (whole, before, kept), (pieces, after, kept_after) = one, other
    assert whole.transitions == pieces.transitions
    assert [to_text(r) for r in whole.references] == [to_text(r) for r in pieces.references]
    assert before.keys == after.keys
    assert tables_of(before) == tables_of(after)
    assert {**kept, "judge/drifts/VALUES": 0} == {**kept_after, "judge/drifts/VALUES": 0}


def test_second_save_writes_only_what_has_changed() -> None:
    make, traffic = TRAFFIC["changing"]
    made, kept, messages = make(), Kept(), traffic()
    for start in range(0, 1_800, BATCH):
        made.step(batch(*messages[start : start + BATCH]), NEVER_CLAMP)
    kept.save(made.sections())
    first = kept.written
    made.step(batch(*messages[1_800 : 1_800 + BATCH]), NEVER_CLAMP)
    kept.save(made.sections())

    assert any(name.startswith("ladder/") for name in first)
    ladders = {name for name in kept.pieces if name.startswith("ladder/")}
    assert {name for name in kept.written if name.startswith("ladder/")} < ladders
    assert not any(name.startswith("table/reference") for name in kept.written)
