"""The same messages, however the partitions they lie in are read: one after the other, in chunks, or as they came."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final

import pytest

from benchmarks.faults.traffic import MODELS, event
from monitor import build
from monitor.baseline import Input, build_references
from monitor.config import Settings
from monitor.domain import Batch, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.pipeline import Pipeline
    from monitor.references import Reference

RATE_PER_S: Final = 100.0
START_S: Final = 1_795_200_002.4
SOURCES: Final = tuple(TopicPartition("t", number) for number in range(4))
SETTINGS: Final = Settings.model_validate({"kafka": {"topics": ["t"]}, "alerts": {"windows": ["10s"]}})

Sent = tuple[int, bytes]


def sent(seconds: float, rate_per_s: float, start_s: float = START_S) -> list[Sent]:
    """Give messages in the order of their sending, with the partition of each."""
    rng = random.Random(4)
    out = []
    for number in range(int(seconds * rate_per_s)):
        time_s = start_s + number / rate_per_s - 0.5 * rng.random()
        out.append((rng.randrange(len(SOURCES)), event(rng, rng.choice(list(MODELS)), time_s, is_planted=False)))
    return out


@pytest.fixture(scope="module")
def references() -> Sequence[Reference]:
    history = [value for _, value in sent(60.0, RATE_PER_S)]
    return build_references(SETTINGS, Input("test", lambda _: iter([history]))).references


def in_chunks(messages: Sequence[Sent], seed: int) -> list[Sent]:
    """Give each partition in its order, some at a time, as a reader does that has fallen behind."""
    rng = random.Random(seed)
    left = [[each for each in messages if each[0] == number] for number in range(len(SOURCES))]
    out: list[Sent] = []
    while any(left):
        own = rng.choice([each for each in left if each])
        count = rng.randrange(1, 400)
        out += own[:count]
        del own[:count]
    return out


def run(
    messages: Sequence[Sent], references: Sequence[Reference], size: int
) -> tuple[Pipeline, list[tuple[object, ...]]]:
    pipeline = build.pipeline(SETTINGS, references)
    pipeline.assign(SOURCES)
    told: list[tuple[object, ...]] = []
    for at in range(0, len(messages), size):
        part = messages[at : at + size]
        step = pipeline.step(Batch([value for _, value in part], [number for number, _ in part], SOURCES), math.inf)
        told += [(each.time_s, each.alert.rule, each.alert.key, each.alert.state) for each in step.transitions]
    return pipeline, sorted(told, key=str)


@pytest.mark.parametrize("size", [7, 500])
@pytest.mark.parametrize("seed", [1, 2])
def test_partition_that_is_read_last_holds_time_back_until_its_first_event(
    references: Sequence[Reference], seed: int, size: int
) -> None:
    pipeline, _ = run(in_chunks(sent(20.0, RATE_PER_S), seed), references, size)

    states = [section.make() for section in pipeline.sections() if section.name.startswith("ladder/")]
    assert {0} == {state["changes"] for state in states if "changes" in state}


def test_traffic_is_judged_from_its_start_and_alike_however_it_is_read(references: Sequence[Reference]) -> None:
    messages = sent(20.0, 6 * RATE_PER_S)
    _, live = run(messages, references, 20)
    _, behind = run(in_chunks(messages, 3), references, 500)

    assert {"volume_high"} == {rule for _, rule, _, _ in live}
    assert live == behind


def test_first_pane_which_is_only_part_of_one_is_no_drop_of_traffic(references: Sequence[Reference]) -> None:
    _, told = run(sent(20.0, RATE_PER_S), references, 20)

    assert [] == told
