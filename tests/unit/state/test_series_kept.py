"""Metric series from one process to the next: scores go on to the last bit, and blocks are written when they change."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.codec import decode, encode
from monitor.domain import IntArray, Kind, StreamKey
from monitor.errors import StateError
from monitor.fields import Watch
from monitor.kept import State
from monitor.rules import Level, Plan, Rule
from monitor.series import SeriesWatch
from tests.unit.state.benches import KINDS, RATE, Bench, Traffic, differing, usual

WINDOWS_S: Final = (60.0, 600.0)
SPIKE: Final = 70
PLAN: Final = Plan(
    Watch(), (Rule("odd", "anomaly", ("*",), Level(0.5), Level(0.9), windows_s=WINDOWS_S, keep_firing_for_s=0.0),)
)


class Minutes(Traffic):
    """Latencies of a minute each, with a spike."""

    def bins(self, pane: int) -> dict[StreamKey, IntArray]:
        out = {}
        for model in self.models:
            rng = np.random.default_rng([self.seed, pane, ord(model)])
            for name, kind in KINDS.items():
                shift = 6.0 if model == "a" and name == "latency_s" and pane == SPIKE else 0.0
                out[StreamKey(model, "1", name)] = usual(rng, kind, RATE * 4, shift)
        return out


def minutes(until: int = 0) -> Bench:
    bench = Bench.of(plans={"a": PLAN, "b": PLAN}, windows_s=WINDOWS_S, pane_s=60.0)
    bench.run(Minutes(3), until)
    return bench


@pytest.mark.parametrize("stop", [1, 40, SPIKE, SPIKE + 1, SPIKE + 3, SPIKE + 12])
def test_scores_and_alerts_go_on(stop: int) -> None:
    one = minutes(stop)
    other = one.again()

    went_on, came_back = one.run(Minutes(3), 95), other.run(Minutes(3), 95)

    assert went_on == came_back
    assert one.judge.anomalies.scores() == other.judge.anomalies.scores()
    assert [] == differing(one.stored(), other.stored())


def test_there_is_something_odd() -> None:
    assert [(t.alert.rule, t.alert.key.field) for t in minutes(95).transitions][:1] == [("odd", "latency_s")]


def test_scores_to_be_seen_are_there_at_once() -> None:
    one = minutes(60)

    assert one.judge.anomalies.scores()
    assert one.judge.anomalies.scores() == one.again().judge.anomalies.scores()


def test_a_block_is_the_same_until_it_is_fed_also_in_the_next_process() -> None:
    bench = minutes(60)
    marks = {section.name: section.mark for section in bench.judge.sections()}

    other = bench.again()

    assert marks == {section.name: section.mark for section in other.judge.sections()}
    assert marks["judge/anomalies/0"]
    bench.run(Minutes(3), 61)
    assert marks["judge/anomalies/0"] != next(s.mark for s in bench.judge.sections() if s.name == "judge/anomalies/0")


def test_series_of_streams_that_are_gone_are_left_out_and_the_others_go_on() -> None:
    one = minutes(60)
    gone = StreamKey("a", "1", "latency_s")

    other = one.again(drop=lambda key: key == gone)
    one.run(Minutes(3), SPIKE + 1)
    other.run(Minutes(3), SPIKE + 1)

    before, after = ({score[:4]: score.score for score in b.judge.anomalies.scores()} for b in (one, other))
    assert before.keys() == after.keys()
    assert any(before[name] > 0.0 for name in before if name[:3] == gone[:3])
    for name, score in after.items():  # one that begins anew has no score in its first points
        assert score == (0.0 if name[:3] == gone[:3] else before[name])


def test_a_minute_that_lacks_messages_is_no_point() -> None:
    one, other = minutes(SPIKE), minutes(SPIKE)
    one.judge.skip(SPIKE * 60.0, SPIKE * 60.0 + 1.0)

    with_gap, without = one.run(Minutes(3), 90), other.run(Minutes(3), 90)

    assert with_gap == []
    assert without


def test_a_reload_keeps_the_series_and_drops_alerts_without_a_rule() -> None:
    bench = minutes(SPIKE + 2)
    before = bench.judge.anomalies
    bench.plans["a"] = Plan(Watch(), ())

    removed = bench.judge.replan(bench.pane * 60.0)

    assert [str(t.reason) for t in removed] == ["rule or stream no longer watched"]
    assert bench.judge.anomalies is before
    assert bench.run(Minutes(3), 90) == []


# ---- the detector itself


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1_000), st.integers(0, 300), st.integers(1, 6))
def test_a_watch_goes_on_with_the_series_that_are_left(seed: int, first: int, series: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.lognormal(0.0, 0.6, (first + 200, series)) + 3.0 * (rng.random((first + 200, series)) < 0.01)
    points[rng.random(points.shape) < 0.05] = np.nan
    kept = np.flatnonzero(rng.random(series) < 0.7)
    one, other = SeriesWatch(series), SeriesWatch(series)
    for at in range(first):
        one.observe(np.full(series, at * 300.0), points[at])

    other.restore(decode(encode(one.state(series)), "series"), kept)

    for at in range(first, len(points)):
        scores, alarms = one.observe(np.full(series, at * 300.0), points[at])
        left = np.full(series, np.nan)
        left[: kept.size] = points[at][kept]
        again, alarms_again = other.observe(np.full(series, at * 300.0), left)
        assert scores[kept].tolist() == again[: kept.size].tolist()
        assert alarms[kept].tolist() == alarms_again[: kept.size].tolist()


def test_series_of_another_shape_are_refused() -> None:
    state: State = SeriesWatch(3).state(3)
    state["seasons"] = {"usual": np.zeros((3, 5, 5))}

    with pytest.raises(StateError, match="another shape"):
        SeriesWatch(3).restore(state, np.arange(3))


def test_kinds_of_the_bench_are_those_with_series() -> None:
    assert {Kind.LOG, Kind.YES_NO, Kind.VOLUME} <= set(KINDS.values())
