"""The law of state: a pipeline that is stored and brought back, at any place, goes on as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from monitor.domain import Picture
from monitor.pipeline import Pipeline, Step
from monitor.references import to_text
from tests.golden.traffic import NEVER_CLAMP, add, batch, pipeline
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


def run(name: str, stops: frozenset[int] = frozenset()) -> tuple[Step, Picture, dict[str, Any]]:
    """Feed the traffic in batches; before those named, the process ends and another one goes on from what it kept."""
    make, traffic = TRAFFIC[name]
    made, kept, whole, messages = make(), Kept(), Step(), traffic()
    bounds = [*range(0, len(messages), BATCH), len(messages)]
    for number, (start, stop) in enumerate(pairwise(bounds)):
        if number in stops:
            kept.save(made.sections())
            made = make()
            made.restore(kept.states())
            made.assign([*batch().sources])
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
