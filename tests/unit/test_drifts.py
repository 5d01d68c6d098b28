"""What a drift alert is raised on, how it ends, and what changes nothing about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bins import NULL, UNSEEN, VALUES_WIDTH, Arena
from monitor.domain import AlertState, Band, IntArray, Kind, Reason
from monitor.drifts import MEASURES_MAX, RAISES_MAX
from monitor.references import from_text, to_text
from monitor.rules import Budget, Level
from tests.golden.traffic import finished, pipeline, rule, steady
from tests.unit.courts import NAMES, Court, category_bins, drift_rule, fired, log_bins, numeric_bins, reference_of, told

SIZE: Final = 10_000


def normal(rng: np.random.Generator, count: int, shift: float = 0.0, scale: float = 1.0) -> IntArray:
    """Give bins of values, none of which lies beyond the ends of the grid."""
    return np.clip(numeric_bins(rng.normal(shift, scale, count)), 1, 57)


def numeric(streams: int, seed: int = 0, size: int = SIZE) -> dict[str, tuple[Kind, IntArray]]:
    rng = np.random.default_rng(seed)
    return {f"f{i}": (Kind.NUMERIC, normal(rng, size)) for i in range(streams)}


def court(streams: int = 1, **changes: object) -> Court:
    return Court(reference_of(numeric(streams)), (drift_rule(**changes),))


def one(rng: np.random.Generator, rate: float = 5.0, shift: float = 0.0) -> Callable[[], dict[str, IntArray]]:
    return lambda: {"f0": normal(rng, rng.poisson(rate), shift)}


# ---- that it is raised


CHANGES = {
    "up": (lambda rng, n: normal(rng, n, 0.5), "location"),
    "down": (lambda rng, n: normal(rng, n, -0.5), "location"),
    "wider": (lambda rng, n: normal(rng, n, 0.0, 1.6), "scale"),
    "narrower": (lambda rng, n: normal(rng, n, 0.0, 0.5), "scale"),
    "collapse": (lambda rng, n: np.where(rng.random(n) < 0.4, 30, normal(rng, n)), "collapse"),
}


@pytest.mark.parametrize(("draw", "change"), CHANGES.values(), ids=CHANGES.keys())
def test_change_is_told_once_with_its_kind_and_onset(
    draw: Callable[[np.random.Generator, int], IntArray], change: str
) -> None:
    rng = np.random.default_rng(1)
    held = court()
    held.seconds(120, one(rng))

    transitions = held.seconds(240, lambda: {"f0": draw(rng, rng.poisson(5.0))})

    (alert,) = fired(transitions)
    assert change == alert.change
    assert change in alert.summary
    assert abs(alert.since_s - 120) <= 16
    assert 120 < alert.pending_s < 180
    assert alert.samples >= 20
    assert alert.value >= 0.02
    assert alert.evidence >= alert.evidence_needed
    assert alert.window_s == alert.pending_s - alert.since_s
    assert alert.reference == held.reference.identity


def test_new_category_is_told() -> None:
    rng = np.random.default_rng(1)
    held = Court(reference_of({"c": (Kind.CATEGORICAL, category_bins(rng, SIZE))}))
    held.seconds(120, lambda: {"c": category_bins(rng, 5)})

    transitions = held.seconds(60, lambda: {"c": np.array([*category_bins(rng, 4), UNSEEN])})

    (alert,) = fired(transitions)
    assert "new category" == alert.change
    assert abs(alert.since_s - 120) <= 8


def test_categories_have_no_location() -> None:
    rng = np.random.default_rng(1)
    held = Court(reference_of({"c": (Kind.CATEGORICAL, category_bins(rng, SIZE))}))

    transitions = held.seconds(120, lambda: {"c": rng.integers(0, len(NAMES), 5)})

    assert "shape" == fired(transitions)[0].change


def test_latency_is_judged_on_its_own_grid() -> None:
    rng = np.random.default_rng(1)
    held = Court(reference_of({"latency_s": (Kind.LOG, log_bins(rng.lognormal(-1, 0.5, SIZE)))}))
    held.seconds(60, lambda: {"latency_s": log_bins(rng.lognormal(-1, 0.5, 5))})

    transitions = held.seconds(60, lambda: {"latency_s": log_bins(rng.lognormal(-0.6, 0.5, 5))})

    assert ["location"] == [alert.change for alert in fired(transitions)]


def test_stream_without_a_reference_or_values_is_not_judged() -> None:
    rng = np.random.default_rng(1)
    held = court()

    assert [] == held.seconds(60, lambda: {"f0": np.full(20, NULL)})
    assert [] == held.close({Arena.VALUES: [VALUES_WIDTH * 7 + normal(rng, 50)], Arena.LOGS: [], Arena.FLAGS: []})


# ---- what it is worth


def test_red_is_certain_and_comes_as_soon_as_it_is() -> None:
    rng = np.random.default_rng(2)
    held = court()
    held.seconds(60, one(rng))

    transitions = held.seconds(120, one(rng, 20.0, 1.0))

    assert ["yellow", "red"] == [band for _, _, _, band in told(transitions)]
    assert 0.25 == transitions[-1].alert.threshold
    assert transitions[-1].alert.interval[0] > 0.25


def test_a_change_that_is_certain_but_negligible_is_not_told() -> None:
    """A tenth of a standard deviation is a PSI of 0.01."""
    rng = np.random.default_rng(3)
    held = Court(reference_of(numeric(1, size=1_000_000)))

    transitions = held.seconds(600, one(rng, 100.0, 0.1))

    assert [] == transitions
    assert held.judge._drifts._watches[Arena.VALUES].engine.evidence[0] > 20


@pytest.mark.parametrize(
    ("yellow", "red", "bands"),
    [(None, Level(0.1), ["red"]), (Level(0.02), None, ["yellow"]), (Level(0.1), Level(5), ["yellow"])],
)
def test_rule_may_have_any_bands(yellow: Level | None, red: Level | None, bands: list[str]) -> None:
    rng = np.random.default_rng(4)
    held = court(yellow=yellow, red=red)

    assert bands == [band for _, _, _, band in told(held.seconds(60, one(rng, 20.0, 1.0)))]


def test_rule_for_great_changes_joins_when_a_small_one_grows() -> None:
    rng = np.random.default_rng(5)
    held = Court(reference_of(numeric(1)), (drift_rule(), drift_rule(name="great", yellow=None, red=Level(0.5))))
    assert ["drift"] == [alert.rule for alert in fired(held.seconds(120, one(rng, 20.0, 0.4)))]

    assert ["great"] == [alert.rule for alert in fired(held.seconds(600, one(rng, 20.0, 1.5)))]


@pytest.mark.parametrize("samples_min", [20, 500])
def test_no_verdict_on_fewer_samples_than_asked_for(samples_min: int) -> None:
    rng = np.random.default_rng(6)
    held = court(samples_min=samples_min)

    (alert,) = fired(held.seconds(600, one(rng, 2.0, 2.0)))

    assert samples_min <= alert.samples <= samples_min * 1.3
    assert held.seconds(1, one(rng)) == []


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1_000), st.floats(0.3, 30.0), st.floats(0.0, 2.0))
def test_no_verdict_below_the_evidence_that_is_needed(seed: int, rate: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    held = court(streams=3)

    for alert in fired(held.seconds(90, one(rng, rate, shift))):
        assert alert.evidence >= alert.evidence_needed >= Budget().drift_nats(1)
        assert alert.samples >= 20


def test_histogram_stands_beside_the_references() -> None:
    rng = np.random.default_rng(7)
    kinds = {
        "n": (Kind.NUMERIC, normal(rng, SIZE)),
        "c": (Kind.CATEGORICAL, category_bins(rng, SIZE)),
        "latency_s": (Kind.LOG, log_bins(rng.lognormal(-1, 0.5, SIZE))),
    }
    held = Court(reference_of(kinds))
    shifted: dict[str, Callable[[], IntArray]] = {
        "n": lambda: np.where(rng.random(20) < 0.1, 58, normal(rng, 20, 1.0)),
        "c": lambda: rng.choice([0, 1, 2, UNSEEN], 20),
        "latency_s": lambda: log_bins(rng.lognormal(0, 0.5, 20)),
    }

    alerts = fired(held.seconds(20, lambda: {name: draw() for name, draw in shifted.items()}))

    shown = {alert.key.field: alert.histogram for alert in alerts}
    assert set(kinds) == set(shown)
    for alert in alerts:
        histogram = shown[alert.key.field]
        assert histogram is not None
        assert 1 == pytest.approx(sum(histogram.reference), abs=1e-3)
        assert 1 == pytest.approx(sum(histogram.current), abs=1e-3)
        assert len(histogram.labels) == len(histogram.reference) == len(histogram.current) >= 4
        assert alert.samples == histogram.samples
        assert abs(histogram.reference_samples - SIZE) <= 3
    labels = {name: histogram.labels for name, histogram in shown.items() if histogram is not None}
    assert labels["c"][-1] == "(new)"
    assert any("a" in label for label in labels["c"])
    assert labels["latency_s"][0].startswith("< 0.")
    assert " to " in labels["n"][3]
    assert labels["n"][-1].startswith((">=", "outside"))


# ---- that it lasts, ends, and comes again


@pytest.mark.parametrize(
    ("rate", "lasts_s", "shift", "pane_s"), [(50.0, 900, 0.5, 1.0), (1.0, 3_600, 0.5, 4.0), (20.0, 1_800, 0.25, 4.0)]
)
def test_alert_begins_once_and_stays_while_the_change_lasts_and_ends_soon_after(
    rate: float, lasts_s: int, shift: float, pane_s: float
) -> None:
    rng = np.random.default_rng(8)
    held = Court(reference_of(numeric(2)), pane_s=pane_s)
    healthy, changed = (one(rng, pane_s * rate, own) for own in (0.0, shift))
    held.seconds(int(300 / pane_s), healthy)
    during = held.seconds(int(lasts_s / pane_s), changed)
    assert [AlertState.FIRING] == [t.alert.state for t in during if t.reason is not Reason.ESCALATED]

    (end,) = held.seconds(int(900 / pane_s), healthy)

    assert AlertState.RESOLVED == end.alert.state
    assert end.time_s - (300 + lasts_s) < 60 + 600 / rate + 60
    (again,) = fired(held.seconds(int(600 / pane_s), changed))
    assert again.since_s > 1_000 + lasts_s


def test_slight_change_that_is_healed_as_soon_as_it_was_told_is_over_within_minutes() -> None:
    """What comes after the return is not taken for what changed; else some of these lasted for a quarter of an hour."""
    lasted_s = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        held = Court(reference_of(numeric(1)))
        healthy, changed = (one(rng, 100.0, own) for own in (0.0, 0.18))
        held.seconds(30, healthy)
        while not fired(held.seconds(1, changed)):
            assert held.now_s < 300
        healed_s = held.now_s
        end = held.seconds(300, healthy)
        assert [AlertState.RESOLVED] == [t.alert.state for t in end]
        lasted_s.append(end[0].time_s - healed_s)

    assert np.mean(lasted_s) < 120


def test_quiet_stream_waits_for_evidence_through_days_and_neither_flaps_nor_goes_stale() -> None:
    """Twenty events an hour, in panes of five minutes: such a shift takes some hours to be certain."""
    rng = np.random.default_rng(9)
    held = Court(reference_of(numeric(1)), pane_s=300.0)
    per_pane = 20 / 12

    assert [] == held.seconds(48 * 12, one(rng, per_pane))
    changed = held.seconds(96 * 12, one(rng, per_pane, 0.6))
    end = held.seconds(24 * 12, one(rng, per_pane))

    assert [AlertState.FIRING] == [t.alert.state for t in changed if t.reason is not Reason.ESCALATED]
    assert changed[0].time_s - 48 * 3600 < 16 * 3600
    assert abs(changed[0].alert.since_s - 48 * 3600) < 12 * 3600
    assert [AlertState.RESOLVED] == [t.alert.state for t in end]


def test_alert_of_a_stream_that_went_silent_goes_stale() -> None:
    rng = np.random.default_rng(10)
    held = Court(reference_of(numeric(1)), (drift_rule(windows_s=(60.0, 600.0)),))
    held.seconds(60, one(rng, 20.0, 1.0))
    assert held.alerts

    transitions = held.seconds(1_000, dict) + held.seconds(900, dict)

    assert [Reason.STALE] == [t.reason for t in transitions]
    assert fired(held.seconds(60, one(rng, 20.0, 1.0)))


def test_pending_alert_fires_when_it_has_lasted() -> None:
    rng = np.random.default_rng(11)
    held = court(for_s=30.0)

    transitions = held.seconds(90, one(rng, 20.0, 1.0))

    pending, firing = transitions[:2]
    assert (AlertState.PENDING, AlertState.FIRING) == (pending.alert.state, firing.alert.state)
    assert 30 == firing.time_s - pending.time_s


def test_change_into_another_change_stays_one_alert_until_both_are_over() -> None:
    rng = np.random.default_rng(12)
    held = court()
    held.seconds(600, one(rng, 10.0, 0.7))

    assert [] == [t for t in held.seconds(600, one(rng, 10.0, 1.2)) if t.alert.state is not AlertState.FIRING]
    assert [AlertState.RESOLVED] == [t.alert.state for t in held.seconds(600, one(rng, 10.0))]


# ---- many streams


def test_one_dead_feature_of_two_hundred_is_found() -> None:
    rng = np.random.default_rng(13)
    held = court(streams=200)

    def draw(*, is_dead: bool) -> dict[str, IntArray]:
        values = {f"f{i}": normal(rng, 2) for i in range(200)}
        return values | {"f77": numeric_bins(np.zeros(2))} if is_dead else values

    assert [] == held.seconds(60, lambda: draw(is_dead=False))
    transitions = held.seconds(60, lambda: draw(is_dead=True))

    (alert,) = fired(transitions)
    assert ("f77", "collapse", 1, 1) == (alert.key.field, alert.change, alert.rank, alert.together)
    assert alert.pending_s - 60 < 20


def many(streams: int) -> tuple[Court, Callable[[np.random.Generator, int, float], list[object]]]:
    base = numeric_bins(np.random.default_rng(0).normal(size=2_000))
    held = Court(reference_of({f"f{i}": (Kind.NUMERIC, base) for i in range(streams)}))

    def second(rng: np.random.Generator, moved: int, shift: float) -> list[object]:
        bins = numeric_bins(rng.normal(size=streams) + shift * (np.arange(streams) < moved))
        flat = np.arange(streams) * VALUES_WIDTH + bins
        return list(held.close({Arena.VALUES: [flat], Arena.LOGS: [], Arena.FLAGS: []}))

    return held, second


def test_fifty_of_five_thousand_that_move_together_are_one_incident_ranked_through() -> None:
    rng = np.random.default_rng(14)
    held, second = many(5_000)
    for _ in range(30):
        second(rng, 0, 0.0)

    for _ in range(120):
        second(rng, 50, 1.0)

    alerts = fired(held.transitions)
    assert 50 == len(alerts)
    assert {f"f{i}" for i in range(50)} == {alert.key.field for alert in alerts}
    assert 1 == len({alert.incident for alert in alerts})
    assert list(range(1, 51)) == sorted(alert.rank for alert in alerts)
    alone = Budget().drift_nats(5_000)
    assert min(alert.evidence_needed for alert in alerts) < alone - 3.0
    assert all(alert.evidence >= alert.evidence_needed for alert in alerts)


def test_a_look_at_thousands_of_alerts_measures_only_some_of_them() -> None:
    rng = np.random.default_rng(15)
    held, second = many(1_000)
    begun = [len(second(rng, 600, 2.5)) for _ in range(40)]
    assert max(begun) <= RAISES_MAX + MEASURES_MAX
    assert 600 == len(held.alerts)

    looks = [list(held.judge._drifts.look(held.judge.book, held.now_s + 10.0 * i)) for i in range(5)]

    assert max(map(len, looks)) <= MEASURES_MAX


# ---- what changes nothing


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.data())
def test_order_and_cut_of_counts_within_a_pane_change_no_verdict(seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    first, second = court(streams=2), court(streams=2)
    for at in range(60):
        bins = {name: normal(rng, 6, 1.0 * (at > 30)) for name in ("f0", "f1")}
        hits = [first.flat(name, own)[1] for name, own in bins.items()]
        first.close({Arena.VALUES: hits, Arena.LOGS: [], Arena.FLAGS: []})
        joined = np.array(data.draw(st.permutations(np.concatenate(hits).tolist())) if at % 10 == 0 else hits[::-1])
        parts = np.array_split(joined.ravel(), 3)
        second.close({Arena.VALUES: parts, Arena.LOGS: [], Arena.FLAGS: []})

    assert first.transitions
    assert first.transitions == second.transitions


def test_a_reference_replayed_against_itself_never_fires() -> None:
    rng = np.random.default_rng(16)
    kinds = {
        "n": (Kind.NUMERIC, normal(rng, SIZE)),
        "c": (Kind.CATEGORICAL, category_bins(rng, SIZE)),
        "latency_s": (Kind.LOG, log_bins(rng.lognormal(-1, 0.5, SIZE))),
    }
    held = Court(reference_of(kinds))

    for at in range(0, SIZE, 5):
        held.second({name: bins[at : at + 5] for name, (_, bins) in kinds.items()})

    assert [] == held.transitions


@cache
def scaled(factor: float, offset: float) -> list[tuple[float, str, str, float]]:
    def change(i: int, content: dict[str, dict[str, float]]) -> None:
        value = content["features"]["amount"] + 0.7 * (3_000 < i < 5_000)
        content["features"] = {"amount": value * factor + offset}

    made = pipeline(rules=[rule("drift", "drift", ["features.*"], yellow=Level(0.02), samples_min=20)])
    transitions = finished(made, steady(20, 9_500, change=change)).transitions
    return [(t.time_s, t.alert.key.field, str(t.alert.state), t.alert.value) for t in transitions]


@pytest.mark.parametrize("power", [-20, 3, 40])
def test_units_of_a_power_of_two_change_nothing_at_all(power: int) -> None:
    assert scaled(1.0, 0.0) == scaled(2.0**power, 0.0) != []


@pytest.mark.parametrize(("factor", "offset"), [(1.8, 32.0), (1e-6, 0.0), (-1.0, 0.0), (1e3, -1e5)])
def test_other_units_change_no_verdict(factor: float, offset: float) -> None:
    plain, other = scaled(1.0, 0.0), scaled(factor, offset)

    assert ("firing", "resolved") == (plain[0][2], plain[-1][2])
    assert {(field, state) for _, field, state, _ in plain} == {(field, state) for _, field, state, _ in other}
    assert abs(plain[0][0] - other[0][0]) <= 5


def test_learned_live_or_read_from_a_file_the_reference_judges_alike() -> None:
    def change(i: int, content: dict[str, dict[str, float]]) -> None:
        content["features"]["amount"] += 0.8 * (i > 6_000)

    messages = steady(21, 9_000, change=change)
    live = pipeline(learn_events=4_000)
    learned = finished(live, messages)
    (reference,) = learned.references
    after = [m for i, m in enumerate(messages) if i / 50 > reference.span_s]

    read = finished(pipeline(references=[from_text(to_text(reference))]), after)

    def key(t: object) -> tuple[object, ...]:
        alert = replace(t.alert, evidence=0.0)  # type: ignore[attr-defined] # a Transition
        return (alert.rule, alert.key.field, str(alert.state), alert.since_s, alert.reference)

    assert [key(t) for t in learned.transitions] == [key(t) for t in read.transitions] != []


def test_new_streams_do_not_disturb_the_odds_of_others() -> None:
    rng = np.random.default_rng(22)
    held = court()
    held.seconds(60, one(rng, 5.0, 0.2))
    engine = held.judge._drifts._watches[Arena.VALUES].engine
    before = float(engine.evidence[0])

    held.table.changed.add(0)
    held.judge.look(0, held.now_s)

    assert before == float(engine.evidence[0])


def test_late_values_count_as_evidence() -> None:
    """Ten of eleven values come half a minute late: within the grace they are counted, and judged."""

    def change(i: int, content: dict[str, object]) -> None:
        features = content["features"]
        assert isinstance(features, dict)
        features["amount"] += 1.5 * (i > 4_000)
        if i % 11:
            content["event_time"] = 1_763_600_000.0 + i / 50 - 30.0

    made = pipeline(learn_events=3_000)

    transitions = finished(made, steady(23, 6_000, change=change)).transitions

    drift = [t.alert for t in transitions if t.alert.rule == "drift"]
    assert drift
    assert drift[0].pending_s - 1_763_600_000.0 < 85


def test_long_silence_is_no_change() -> None:
    rng = np.random.default_rng(24)
    held = court(streams=20)

    def draw() -> dict[str, IntArray]:
        return {f"f{i}": normal(rng, 5) for i in range(20)}

    held.seconds(60, draw)

    held.pane += 3 * 86_400
    transitions = held.seconds(300, draw)

    assert [] == transitions


def test_bands_of_alerts_are_kept_when_measured_again() -> None:
    rng = np.random.default_rng(25)
    held = court()
    held.seconds(300, one(rng, 20.0, 1.0))

    (alert,) = held.alerts

    assert Band.RED is alert.band
    assert pytest.approx(1.0, abs=0.2) == alert.value
