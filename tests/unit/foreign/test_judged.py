"""Traffic judged against references made of profiles: as it was nothing is said, once it changes the change is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from monitor.domain import AlertState, FloatArray
from monitor.lineage import Lineage
from monitor.references import Reference, from_text, to_text
from monitor.shapes import Bars, Column, Names, Ranks, stream_of
from tests.golden.traffic import finished, pipeline, steady

LINEAGE: Final = Lineage("evidently", "run-1", "fraud/7")
N: Final = 20_000


def bars(values: FloatArray) -> Column:
    counts, edges = np.histogram(values, bins=10)
    return Bars(edges, counts.astype(np.float64))


def ranks(values: FloatArray) -> Column:
    shares = np.linspace(0.0, 1.0, 201)
    return Ranks(np.quantile(values, shares), shares, len(values), error=0.001)


def few_ranks(values: FloatArray) -> Column:
    shares = np.array([0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0])
    return Ranks(np.quantile(values, shares), shares, len(values))


def profiled(kept: Callable[[FloatArray], Column]) -> Reference:
    """Give the reference of a profile of traffic such as `steady` makes."""
    rng = random.Random(99)
    columns: dict[str, Column] = {
        "amount": kept(np.array([rng.gauss(0.0, 1.0) for _ in range(N)])),
        "age": kept(np.array([float(rng.randrange(18, 80)) for _ in range(N)])),
        "channel": Names({"web": N // 4, "app": N // 2, "phone": N // 4}),
        "score": kept(np.array([rng.random() for _ in range(N)])),
        "latency_s": kept(np.array([rng.lognormvariate(-1.0, 0.5) for _ in range(N)])),
        "unsafe": Names({"true": N // 100, "false": N - N // 100}),
    }
    streams = [stream_of(name, column) for name, column in columns.items()]
    found = tuple(sorted((s for s in streams if s is not None), key=lambda s: s.field))
    made = Reference("fraud", "", "a profile", 0.0, 0.0, N, found, lineage=LINEAGE)
    return from_text(to_text(made))  # as it is after its file


def without_maybe(_: int, content: dict[str, Any]) -> None:
    del content["features"]["maybe"]


def moved(number: int, content: dict[str, Any]) -> None:
    without_maybe(number, content)
    if number >= 6_000:
        content["features"]["amount"] += 0.7
        content["latency_s"] *= 2.0


@pytest.mark.parametrize("kept", [bars, ranks, few_ranks])
def test_traffic_as_it_was_is_no_drift(kept: Callable[[FloatArray], Column]) -> None:
    step = finished(pipeline(references=[profiled(kept)]), steady(4, 15_000, change=without_maybe))

    assert [] == [(each.alert.rule, each.alert.key.field) for each in step.transitions]


@pytest.mark.parametrize("kept", [bars, ranks, few_ranks])
def test_change_is_found_and_tells_where_its_reference_is_from(kept: Callable[[FloatArray], Column]) -> None:
    step = finished(pipeline(references=[profiled(kept)]), steady(4, 9_000, change=moved))

    fired = {
        (each.alert.rule, each.alert.key.field) for each in step.transitions if each.alert.state is AlertState.FIRING
    }
    assert {("drift", "features.amount"), ("drift", "latency_s")} <= fired
    assert {"features.amount", "latency_s"} == {field for _, field in fired}
    assert {LINEAGE} == {each.alert.lineage for each in step.transitions}
