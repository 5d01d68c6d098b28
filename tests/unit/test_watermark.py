"""The watermark against a model that takes one event at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import TopicPartition
from monitor.watermark import NEVER, Watermark

SOURCES = tuple(TopicPartition("t", i) for i in range(3))
DISORDER_S = 2.0


class Plain:
    """The definition: the least over busy partitions of the latest time seen, less the disorder; it never goes back."""

    def __init__(self) -> None:
        self.latest = dict.fromkeys(SOURCES, NEVER)
        self.idle: set[TopicPartition] = set()
        self.value_s = NEVER

    def rise(self) -> None:
        held = [t for p, t in self.latest.items() if p not in self.idle]
        if held and np.isfinite(min(held)):
            self.value_s = max(self.value_s, min(held) - DISORDER_S)

    def one(self, source: TopicPartition, time_s: float) -> float:
        before_s = self.value_s
        self.idle.discard(source)
        self.latest[source] = max(self.latest[source], time_s)
        self.rise()
        return before_s


EVENTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50).map(float)), min_size=1, max_size=12)
STEPS = st.lists(EVENTS | st.sets(st.sampled_from(SOURCES)), max_size=8)


@given(STEPS)
def test_follows_its_definition_in_any_batches(steps: list[list[tuple[int, float]] | set[TopicPartition]]) -> None:
    watermark, plain = Watermark(DISORDER_S), Plain()
    watermark.assign(SOURCES)
    for step in steps:
        if isinstance(step, set):
            watermark.set_idle(step)
            plain.idle = set(step)
            plain.rise()
        else:
            partitions, times_s = np.array([p for p, _ in step]), np.array([t for _, t in step])
            found = watermark.follow(SOURCES, partitions, times_s)
            assert [plain.one(SOURCES[p], t) for p, t in step] == found.tolist()
        assert plain.value_s == watermark.value_s


def follow(watermark: Watermark, partition: int, *times_s: float) -> list[float]:
    return [float(x) for x in watermark.follow(SOURCES, np.full(len(times_s), partition), np.array(times_s))]


def test_gives_the_value_just_before_each_event() -> None:
    watermark = Watermark(DISORDER_S)

    assert [NEVER, 8.0, 8.0, 18.0] == follow(watermark, 0, 10.0, 5.0, 20.0, 20.0)


def test_never_goes_back() -> None:
    watermark = Watermark(DISORDER_S)
    follow(watermark, 0, 100.0)

    watermark.assign(SOURCES)
    follow(watermark, 1, 3.0)

    assert 98.0 == watermark.value_s


def test_partition_that_gave_nothing_yet_holds_back() -> None:
    watermark = Watermark(DISORDER_S)
    watermark.assign(SOURCES[:2])

    follow(watermark, 0, 100.0)

    assert NEVER == watermark.value_s
    assert 100.0 == watermark.latest_s


def test_partition_without_times_holds_nothing_back_until_it_has_one() -> None:
    watermark = Watermark(DISORDER_S)
    watermark.assign(SOURCES[:2])
    watermark.set_timeless([SOURCES[1]])
    follow(watermark, 0, 100.0)
    assert 98.0 == watermark.value_s

    follow(watermark, 1, 99.0)
    follow(watermark, 0, 200.0)

    assert 98.0 == watermark.value_s


def test_all_idle_leaves_it_where_it_is() -> None:
    watermark = Watermark(DISORDER_S)
    watermark.assign(SOURCES)

    watermark.set_idle(SOURCES)

    assert NEVER == watermark.value_s
