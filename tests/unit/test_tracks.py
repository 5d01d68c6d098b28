"""Rules on rates and quantiles: what they are raised on, that they stay while it lasts, and that they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bins import ABOVE, NO, NULL, UNSEEN, YES, Arena
from monitor.detectors import DETECTORS
from monitor.domain import AlertState, Band, IntArray, Kind, Reason
from monitor.judge import CHANGES, PASTS_MAX
from monitor.rules import Budget, Level, Rule
from monitor.sequential.fluctuation import NATS_TYPICAL
from monitor.tracks import NO_LIMITS, UNKNOWN, Countable, Limits, Tracks
from tests.unit.courts import WINDOWS_S, Court, category_bins, fired, log_bins, numeric_bins, reference_of, told

SIZE = 10_000
COARSE_S = 4.0
"""Panes where hours go by: panes cost time, values hardly any."""
Draw = Callable[[], dict[str, IntArray]]


def unsafe(**changes: object) -> Rule:
    given: dict[str, object] = {
        "name": "unsafe",
        "statistic": "yes_rate",
        "fields": ("*",),
        "yellow": Level(0.02),
        "red": Level(0.05),
        "windows_s": WINDOWS_S,
    }
    return Rule(**{**given, **changes})  # type: ignore[arg-type] # a builder for tests: names are checked by Rule


def court(*rules: Rule, pane_s: float = 1.0, seed: int = 0) -> Court:
    rng = np.random.default_rng(seed)
    kinds = {
        "n": (Kind.NUMERIC, np.clip(numeric_bins(rng.normal(size=SIZE)), 1, 57)),
        "c": (Kind.CATEGORICAL, category_bins(rng, SIZE)),
        "latency_s": (Kind.LOG, log_bins(rng.lognormal(-1, 0.6, SIZE))),
        "unsafe": (Kind.YES_NO, np.where(rng.random(SIZE) < 0.01, YES, NO)),
        "events": (Kind.VOLUME, np.zeros(SIZE, dtype=np.int64)),
    }
    return Court(reference_of(kinds), rules or (unsafe(),), pane_s=pane_s)


def flags(rng: np.random.Generator, rate: float, share: float) -> Draw:
    return lambda: {"unsafe": np.where(rng.random(rng.poisson(rate)) < share, YES, NO)}


def times(rng: np.random.Generator, rate: float, factor: float = 1.0) -> Draw:
    return lambda: {"latency_s": log_bins(factor * rng.lognormal(-1, 0.6, rng.poisson(rate)))}


def in_panes(seconds: int) -> int:
    return int(seconds / COARSE_S)


# ---- that they are raised


@pytest.mark.parametrize(
    ("share", "band", "soon_s"), [(0.035, Band.YELLOW, 600), (0.15, Band.RED, 60), (0.6, Band.RED, 20)]
)
def test_rate_above_its_limit_fires_in_its_band(share: float, band: Band, soon_s: float) -> None:
    rng = np.random.default_rng(1)
    held = court()
    assert [] == held.seconds(300, flags(rng, 10.0, 0.01))

    transitions = held.seconds(900, flags(rng, 10.0, share))

    (alert,) = fired(transitions)
    assert alert.pending_s - 300 < soon_s
    assert abs(alert.since_s - 300) <= 40
    assert band is transitions[-1].alert.band
    assert alert.value > alert.threshold
    assert alert.samples >= 100
    assert alert.evidence >= alert.evidence_needed == pytest.approx(Budget().line_nats(1))


def test_rate_below_its_limit_fires() -> None:
    rng = np.random.default_rng(2)
    held = court(unsafe(is_above=False, yellow=Level(0.8), red=Level(0.5)))
    assert [] == held.seconds(120, flags(rng, 10.0, 0.98))

    transitions = held.seconds(120, flags(rng, 10.0, 0.3))
    end = held.seconds(240, flags(rng, 10.0, 0.98))

    assert "red" == told(transitions)[-1][3]
    assert transitions[0].time_s - 120 < 20
    assert transitions[0].alert.value < 0.8
    assert [AlertState.RESOLVED] == [t.alert.state for t in end]


@pytest.mark.parametrize(("factor", "fires"), [(1.0, False), (1.1, False), (1.5, True), (3.0, True)])
def test_p95_above_its_limit_fires(factor: float, *, fires: bool) -> None:
    rng = np.random.default_rng(3)
    slow = unsafe(name="slow", statistic="p95", yellow=Level(1.2, is_relative=True), red=Level(2, is_relative=True))
    held = court(slow)
    assert [] == held.seconds(120, times(rng, 10.0))

    alerts = fired(held.seconds(300, times(rng, 10.0, factor)))

    assert fires == bool(alerts)
    for alert in alerts:
        assert "latency_s" == alert.key.field
        assert alert.pending_s - 120 < 90
        assert abs(alert.since_s - 120) < 20
        assert pytest.approx(factor * np.exp(-1 + 0.6 * 1.645), rel=0.4) == alert.value


def test_p95_below_its_limit_fires() -> None:
    rng = np.random.default_rng(4)
    fast = unsafe(name="fast", statistic="p95", is_above=False, yellow=Level(0.5, is_relative=True), red=None)
    held = court(fast)
    assert [] == held.seconds(120, times(rng, 10.0))

    assert fired(held.seconds(120, times(rng, 10.0, 0.3)))


KINDS_OF_CHANGE = {
    "null_rate": ("n", NULL, "missing values"),
    "unseen_rate": ("c", UNSEEN, "new category"),
    "out_of_range_rate": ("n", ABOVE, "out of range"),
}


@pytest.mark.parametrize("statistic", CHANGES)
def test_alert_tells_the_kind_of_change_that_its_statistic_is(statistic: str) -> None:
    rng = np.random.default_rng(5)
    field, bin_, change = KINDS_OF_CHANGE[statistic]
    held = court(unsafe(name=statistic, statistic=statistic))

    def usual() -> IntArray:
        return category_bins(rng, 10) if field == "c" else np.clip(numeric_bins(rng.normal(size=10)), 1, 57)

    held.seconds(60, lambda: {field: usual()})
    held.seconds(60, lambda: {field: np.array([*usual(), bin_, bin_])})

    (alert,) = fired(held.transitions)
    assert (change, field) == (alert.change, alert.key.field)
    assert f": {change} (" in alert.summary


# ---- that they last, and end


@pytest.mark.parametrize(("rate", "share", "soon_s"), [(1.0, 0.06, 2_500), (20.0, 0.03, 400), (50.0, 0.2, 200)])
def test_alert_begins_once_stays_ends_soon_and_comes_again(rate: float, share: float, soon_s: int) -> None:
    rng = np.random.default_rng(6)
    held = court(pane_s=COARSE_S)
    healthy, broken = (flags(rng, COARSE_S * rate, own) for own in (0.005, share))
    held.seconds(in_panes(300), healthy)
    changed = held.seconds(in_panes(2_700), broken)
    assert 1 == len(fired(changed))
    assert AlertState.RESOLVED not in {t.alert.state for t in changed}

    (end,) = held.seconds(in_panes(soon_s), healthy)

    assert Reason.CLEARED is end.reason
    (again,) = fired(held.seconds(in_panes(1_200), broken))
    assert again.since_s > 3_000


def test_quiet_stream_is_judged_on_what_a_day_brings() -> None:
    """Twenty events an hour never fill the windows: the past is asked instead, for the onset and for the end."""
    rng = np.random.default_rng(7)
    held = court(pane_s=300.0)
    per_pane = 20 / 12
    assert [] == held.seconds(24 * 12, flags(rng, per_pane, 0.005))

    changed = held.seconds(48 * 12, flags(rng, per_pane, 0.2))
    end = held.seconds(72 * 12, flags(rng, per_pane, 0.0))

    assert 1 == len(fired(changed))
    assert AlertState.RESOLVED not in {t.alert.state for t in changed}
    assert fired(changed)[0].samples >= 100
    assert [Reason.CLEARED] == [t.reason for t in end]


def test_silence_makes_an_alert_stale() -> None:
    rng = np.random.default_rng(8)
    held = court(unsafe(windows_s=(60.0, 600.0)), pane_s=COARSE_S)
    held.seconds(in_panes(60), flags(rng, COARSE_S * 10.0, 0.3))
    assert held.alerts

    transitions = held.seconds(in_panes(4_000), dict)

    assert [Reason.STALE] == [t.reason for t in transitions]


def test_pending_alert_fires_on_faint_evidence_too_when_it_has_lasted() -> None:
    """Windows alone would never be sure of so faint a breach."""
    rng = np.random.default_rng(9)
    held = court(unsafe(for_s=120.0))

    pending, firing, *_ = held.seconds(2_400, flags(rng, 10.0, 0.03))

    assert (AlertState.PENDING, AlertState.FIRING) == (pending.alert.state, firing.alert.state)
    assert 120 <= firing.time_s - pending.time_s <= 121


def test_old_verdicts_of_long_windows_are_forgotten_between_alerts() -> None:
    rng = np.random.default_rng(10)
    held = court(pane_s=COARSE_S)
    held.seconds(in_panes(300), flags(rng, COARSE_S * 10.0, 0.3))
    held.seconds(in_panes(600), flags(rng, COARSE_S * 10.0, 0.005))
    assert not held.alerts
    held.seconds(in_panes(4_500), flags(rng, COARSE_S * 10.0, 0.005))

    transitions = held.seconds(in_panes(900), flags(rng, COARSE_S * 10.0, 0.035))

    assert {"yellow"} == {band for *_, band in told(transitions)}


# ---- what they rest on


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1_000), st.floats(0.2, 30.0), st.floats(0.0, 0.4), st.sampled_from([20, 100, 400]))
def test_no_verdict_below_samples_and_evidence(seed: int, rate: float, share: float, samples_min: int) -> None:
    rng = np.random.default_rng(seed)
    held = court(unsafe(samples_min=samples_min))

    for alert in fired(held.seconds(200, flags(rng, rate, share))):
        assert alert.samples >= samples_min
        assert alert.evidence >= alert.evidence_needed >= Budget().line_nats(1) - 1e-9
        assert alert.value > alert.threshold


@pytest.mark.parametrize(("share", "pane_s"), [(0.0, COARSE_S), (0.015, COARSE_S), (0.02, 1.0)])
def test_rate_at_or_below_its_limit_never_fires(share: float, pane_s: float) -> None:
    rng = np.random.default_rng(11)

    assert [] == court(pane_s=pane_s).seconds(int(3_600 / pane_s), flags(rng, pane_s * 20.0, share))


def hits_of(bins: Sequence[IntArray], at: int) -> dict[Arena, list[IntArray]]:
    return {Arena.VALUES: [], Arena.LOGS: [], Arena.FLAGS: [at + own for own in bins]}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_order_and_cut_of_counts_within_a_pane_change_no_verdict(seed: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    ones, others = court(), court()
    row = ones.at["unsafe"][1] * 4
    for at in range(60):
        bins = np.where(rng.random(rng.poisson(20)) < (0.01 if at < 30 else 0.2), YES, NO)
        ones.close(hits_of([bins], row))
        others.close(hits_of(np.array_split(rng.permutation(bins), parts), row))

    assert ones.transitions
    assert ones.transitions == others.transitions


def tracks(lines: int = 1, limit: float = 0.1) -> Tracks:
    """Give tracks of yes rates above a limit, a line for each of so many streams."""
    detector = DETECTORS["yes_rate"]
    assert isinstance(detector, Countable)
    rows, is_above = np.arange(lines), np.ones(lines, dtype=bool)
    view = court().views.some(Arena.FLAGS, 0, np.zeros(lines, dtype=np.int64))
    limits = Limits.of(detector, view, np.full(lines, limit), is_above, [UNKNOWN] * lines)
    return Tracks(detector.ranks(Arena.FLAGS), limits, (np.zeros(lines, dtype=np.int64), rows, is_above), 0.0)


def pane(row: int, no: int, yes: int) -> tuple[IntArray, np.ndarray[tuple[int], np.dtype[np.uint32]]]:
    counts = np.array([no, yes], dtype=np.uint32)
    return (row * 4 + np.array([NO, YES]))[counts > 0], counts[counts > 0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=40).filter(lambda p: p[-1][1]))
def test_panes_without_hits_need_not_be_told_one_by_one(panes: list[tuple[int, int]]) -> None:
    """A line is told of quiet panes at its next hit: about as good as telling it of each, and never worth more."""
    lazy, eager = tracks(), tracks()
    for at, (no, yes) in enumerate(panes, start=1):
        for own in (lazy, eager):
            own.observe(*pane(0, no, yes), float(at))
        eager._tell(np.array([0]), np.zeros(1), np.zeros(1), float(at))
    lazy._tell(np.array([0]), np.zeros(1), np.zeros(1), float(len(panes)))

    assert -4.0 < lazy.evidence[0] - eager.evidence[0] < 1.0


def test_tracks_made_anew_go_on_and_new_lines_begin() -> None:
    before = tracks(2)
    for at in range(1, 30):
        before.observe(*pane(0, 5, 5), float(at))
    after = tracks(3)

    after.adopt(before)

    assert before.evidence.tolist() == after.evidence[:2].tolist()
    assert after.evidence[0] > NATS_TYPICAL
    assert -np.inf == after.evidence[2]
    assert [0] == after.reached(30.0).tolist()


def test_restarted_line_has_nothing_to_tell_and_others_go_on() -> None:
    held = tracks(2)
    for at in range(1, 30):
        for row in range(2):
            held.observe(*pane(row, 5, 5), float(at))

    held.restart([(0, 1)], 30.0)

    assert [0] == held.reached(30.0).tolist()
    assert (-np.inf, 30.0) == (held.evidence[1], held.since_s[1])


def test_surest_line_comes_first() -> None:
    held = tracks(3)
    for at in range(1, 40):
        for row, yes in enumerate((3, 9, 6)):
            held.observe(*pane(row, 10 - yes, yes), float(at))

    assert [1, 2, 0] == held.reached(40.0).tolist()


def test_lines_without_limits_have_none() -> None:
    assert 0 == NO_LIMITS.rate.size


def test_many_lines_at_once_are_told_some_at_a_look() -> None:
    """An outage upstream: everything is null. The surest come first, all others soon."""
    rng = np.random.default_rng(12)
    base = np.clip(numeric_bins(rng.normal(size=2_000)), 1, 57)
    held = Court(
        reference_of({f"f{i}": (Kind.NUMERIC, base) for i in range(3 * PASTS_MAX)}),
        (unsafe(name="nulls", statistic="null_rate", samples_min=20),),
    )
    at = np.arange(3 * PASTS_MAX) * 64
    begun = []
    for _ in range(12):
        hits = {Arena.VALUES: [np.repeat(at + NULL, 10)], Arena.LOGS: [], Arena.FLAGS: []}
        begun.append(len(fired(held.close(hits))))

    assert PASTS_MAX >= max(begun)
    assert 3 * PASTS_MAX == sum(begun)
