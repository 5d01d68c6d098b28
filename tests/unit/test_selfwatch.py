"""Each condition on virtual time: it fires, it does not, it ends, it does not flap, and a restart loses nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from monitor.codec import decode, encode
from monitor.config.selfwatch import SelfWatchSettings
from monitor.domain import (
    AlertState,
    Band,
    PartitionStatus,
    Picture,
    Reason,
    Severity,
    SinkStatus,
    Snapshot,
    TopicPartition,
    Transition,
)
from monitor.intake import DeadLetterStatus, Intake
from monitor.selfwatch import HANDLING, Handling, SelfTerms, SelfWatch, Usage, Watched, rule_name
from monitor.selfwatch.past import LAG_SAMPLES, LAG_STEP_S, LagPast, Shares, Standing, Totals
from monitor.selfwatch.watch import CONDITIONS, STEP_S_MAX
from monitor.upkeep import HalfStatus, ReloadStatus, StateStatus
from tests.unit.snapshots import picture, snapshot

START_S: Final = 1_800_000_000.0
PICTURE: Final = replace(picture(), alerts=(), duplicate={})
SNAPSHOT: Final = snapshot()
P0, P1 = TopicPartition("t", 0), TopicPartition("t", 1)


@dataclass
class World:
    """What the watch is shown, changed by tests as time goes by. Nothing is wrong with it at first."""

    now_s: float = START_S
    received: int = 1_000
    rejected: int = 0
    late: int = 0
    clamped: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    inferences: int = 1_000
    partitions: dict[TopicPartition, PartitionStatus] = field(default_factory=lambda: {P0: part(P0), P1: part(P1)})
    sinks: dict[str, SinkStatus] = field(default_factory=lambda: {"pager": sink("pager"), "log": sink("log")})
    overflow: dict[str, int] = field(default_factory=dict)
    series_dropped: int = 0
    state: StateStatus = field(default_factory=lambda: StateStatus(is_kept=True, saved_wall_s=START_S))
    reload: ReloadStatus = field(default_factory=ReloadStatus)
    intake: Intake = field(default_factory=Intake)
    letters: DeadLetterStatus = field(default_factory=DeadLetterStatus)
    watched: Watched = field(default_factory=Watched)
    role: str = ""

    def traffic(self, events: int = 100) -> None:
        """Let messages come, all good."""
        self.received += events
        self.inferences += events

    def snapshot(self) -> Snapshot:
        """Give what is shown now."""
        shown: Picture = replace(
            PICTURE,
            received={"t": self.received},
            counted={("t", "inference"): self.inferences} | {("t", kind): n for kind, n in self.outcomes.items()},
            rejected={("t", "not_json"): self.rejected},
            late={"t": self.late},
            clamped={"t": self.clamped},
            overflow=dict(self.overflow),
            series_dropped=self.series_dropped,
            half=HalfStatus(self.role),
        )
        return replace(
            SNAPSHOT,
            wall_s=self.now_s,
            tick_wall_s=self.now_s,
            picture=shown,
            partitions=tuple(self.partitions.values()),
            sinks=tuple(self.sinks.values()),
            state=self.state,
            reload=self.reload,
            intake=self.intake,
            dead_letters=self.letters,
        )


def part(source: TopicPartition, **changes: Any) -> PartitionStatus:  # noqa: ANN401 - fields of the status
    return replace(PartitionStatus(source, 100, 100, 0, 0.0, 0.0), **changes)


def sink(name: str, *, is_healthy: bool = True, failed: Mapping[str, int] | None = None) -> SinkStatus:
    return SinkStatus(name, 1, failed or {}, 0 if is_healthy else 3, 0.0, is_healthy=is_healthy)


class Run:
    """A watch that looks once in so many seconds, and what it said."""

    def __init__(self, terms: SelfTerms | None = None, every_s: float = 10.0) -> None:
        self.terms = terms or SelfTerms()
        self.world = World()
        self.watch = SelfWatch(self.terms)
        self.every_s = every_s
        self.said: list[Transition] = []

    def go(self, seconds: float, change: Callable[[World], object] = World.traffic) -> list[Transition]:
        """Let time pass, with something that happens before each look; give what was said meanwhile."""
        before = len(self.said)
        for _ in range(round(seconds / self.every_s)):
            self.world.now_s += self.every_s
            change(self.world)
            self.said += self.watch.advance(self.world.snapshot(), self.world.watched)
        return self.said[before:]

    def restart(self) -> None:
        """Go on as another process would, from what was stored."""
        stored = decode(encode(self.watch.state()), "test")
        self.watch = SelfWatch(self.terms)
        self.watch.restore(stored)

    def firing(self) -> set[str]:
        """Give the rules whose alerts fire."""
        return {alert.statistic for alert in self.watch.alerts if alert.state is AlertState.FIRING}


def changed(name: str, **changes: Any) -> Callable[[World], None]:  # noqa: ANN401 - fields of the world's parts
    """Give a change of one part of the world, with traffic going on."""

    def change(world: World) -> None:
        world.traffic()
        setattr(world, name, replace(getattr(world, name), **changes))

    return change


def all_parts(**changes: Any) -> Callable[[World], None]:  # noqa: ANN401 - fields of a partition's status
    def change(world: World) -> None:
        world.traffic()
        world.partitions = {source: replace(status, **changes) for source, status in world.partitions.items()}

    return change


def bad_share(name: str, share: float) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.traffic(1_000)
        setattr(world, name, getattr(world, name) + round(1_000 * share))

    return change


def pager(**changes: Any) -> Callable[[World], None]:  # noqa: ANN401 - fields of a sink's status
    def change(world: World) -> None:
        world.traffic()
        world.sinks["pager"] = sink("pager", **changes)

    return change


def growing(world: World) -> None:
    world.traffic()
    world.overflow["streams"] = world.overflow.get("streams", 0) + 5


def full(world: World) -> None:
    world.traffic()
    dropped = world.sinks["pager"].failed.get("outbox_full", 0) + 1
    world.sinks["pager"] = sink("pager", failed={"outbox_full": dropped})


def labelled(world: World) -> None:
    world.traffic()
    world.outcomes["label"] = world.outcomes.get("label", 0) + 10


def gapped(world: World) -> None:
    world.traffic()
    world.intake = Intake(gaps={"t": 1}, missing={"t": 40})


def dropping(series: int) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.traffic()
        world.series_dropped = series

    return change


def lagging(world: World) -> None:
    """Be read, at the pace at which messages come, seven minutes late."""
    world.traffic()
    for source, status in world.partitions.items():
        moved = status.position + 100
        world.partitions[source] = replace(status, position=moved, lag_records=4_000, lag_s=420.0)


@dataclass(frozen=True)
class Case:
    """How a condition comes about, how it nearly does, and how it ends. within_s: until it fires, and until it ends."""

    bad: Callable[[World], object]
    nearly: Callable[[World], object]
    good: Callable[[World], object]
    within_s: float
    ends_s: float
    before: Callable[[World], object] = World.traffic


TROUBLE: Final = Watched(trouble="no broker has answered for a while")
FULL_MEMORY: Final = Watched(memory=Usage(85, 100), disk=Usage(10, 100))
CASES: Final[Mapping[str, Case]] = {
    "no_data": Case(lambda _: None, lambda w: w.traffic() if w.now_s % 600 < 10 else None, World.traffic, 900, 120),
    "lag": Case(lagging, all_parts(lag_s=250.0, lag_records=9), all_parts(lag_s=1.0, lag_records=2), 400, 300),
    "stalled": Case(
        all_parts(lag_records=5, stalled_s=50.0),
        all_parts(lag_records=5, stalled_s=34.0),
        all_parts(lag_records=0, stalled_s=0.0),
        20,
        200,
    ),
    "brokers": Case(
        changed("watched", trouble=TROUBLE.trouble),
        lambda w: changed("watched", trouble=TROUBLE.trouble if w.now_s % 60 < 30 else "")(w),
        changed("watched", trouble=""),
        100,
        100,
    ),
    "away": Case(
        changed("watched", away=(P1,)),
        lambda w: changed("watched", away=(P1,) if w.now_s % 60 < 30 else ())(w),
        changed("watched", away=()),
        100,
        100,
    ),
    "gap": Case(gapped, changed("intake", repeated=4), World.traffic, 20, 3_700),
    "poison": Case(
        changed("letters", broken={("t", 1): "9 of 10 not_json"}),
        changed("letters", sent={"not_json": 4}),
        changed("letters", broken={}),
        20,
        100,
    ),
    "rejected": Case(bad_share("rejected", 0.06), bad_share("rejected", 0.045), bad_share("rejected", 0.0), 400, 700),
    "late": Case(bad_share("late", 0.06), bad_share("late", 0.045), bad_share("late", 0.0), 700, 700),
    "clock": Case(bad_share("clamped", 0.02), bad_share("clamped", 0.005), bad_share("clamped", 0.0), 700, 700),
    "labels": Case(
        World.traffic, lambda w: labelled(w) if w.now_s % 18_000 < 10 else w.traffic(), labelled, 21_700, 100, labelled
    ),
    "state": Case(changed("state", failures=4), changed("state", saves=3), changed("state", failures=0), 100, 100),
    "disk": Case(
        changed("watched", disk=Usage(95, 100)),
        changed("watched", disk=Usage(85, 100)),
        changed("watched", disk=Usage(50, 100)),
        100,
        400,
    ),
    "memory": Case(
        changed("watched", memory=Usage(85, 100)),
        changed("watched", memory=Usage(75, 100)),
        changed("watched", memory=Usage(50, 100)),
        100,
        400,
    ),
    "receiver": Case(
        pager(is_healthy=False),
        lambda w: pager(is_healthy=w.now_s % 240 < 10)(w),
        pager(is_healthy=True),
        400,
        500,
    ),
    "outbox": Case(full, pager(failed={"timeout": 3}), World.traffic, 30, 700),
    "overflow": Case(growing, World.traffic, World.traffic, 20, 700),
    "series": Case(dropping(9), World.traffic, dropping(0), 400, 400),
    "reload": Case(
        changed("reload", is_good=False),
        changed("reload", needs_restart=("x",)),
        changed("reload", is_good=True),
        20,
        90,
    ),
}
KNOWN_AGAIN: Final = {"lag", "rejected", "late", "clock"}
"""Conditions that are judged over minutes, which a new process has yet to see."""
COUNTED_ANEW: Final = {"gap", "outbox"}
"""Conditions of counters that start at 0 with each process."""
EVERY: Final = pytest.mark.parametrize("name", CONDITIONS)


def test_every_condition_is_handled_and_tested() -> None:
    assert CONDITIONS.keys() == HANDLING.keys() == CASES.keys()


@EVERY
def test_it_fires_and_ends_and_is_told_once_each(name: str) -> None:
    case, run = CASES[name], Run()
    assert [] == run.go(700, case.before)

    fired = run.go(case.within_s, case.bad)
    assert {name} == run.firing()
    lasting = run.go(700, case.bad)
    ended = run.go(case.ends_s + 60, case.good)

    assert [] == [t for t in lasting if t.alert.rule == rule_name(name)]
    assert [AlertState.FIRING, AlertState.RESOLVED] == [
        t.alert.state for t in (*fired, *ended) if t.alert.state is not AlertState.PENDING
    ]
    assert set() == run.firing()
    assert ended[-1].reason is Reason.CLEARED


@EVERY
def test_it_does_not_fire_short_of_its_limit(name: str) -> None:
    case, run = CASES[name], Run()
    run.go(700, case.before)

    run.go(2 * max(case.within_s, 1_000), case.nearly)

    assert set() == run.firing()


@EVERY
def test_it_is_told_in_words_for_people(name: str) -> None:
    case, run = CASES[name], Run(SelfTerms(owner="platform", runbook="https://wiki.example.com/driftd"))
    run.go(700, case.before)
    (told,) = [t for t in run.go(case.within_s, case.bad) if t.alert.state is AlertState.FIRING]
    alert = told.alert

    assert ("driftd", "", name) == alert.key[:3]
    assert alert.severity is HANDLING[name].severity
    assert alert.band is Band.RED
    assert alert.owner == "platform"
    assert f"https://wiki.example.com/driftd#driftd-{name.replace('_', '-')}" == alert.runbook
    assert alert.summary.startswith("driftd: ")
    assert "nan" not in alert.summary
    assert "inf" not in alert.summary
    assert math.isfinite(alert.since_s)
    assert alert.since_s <= alert.pending_s <= (alert.firing_s or 0.0) <= run.world.now_s
    assert math.isfinite(alert.value)
    over = run.go(case.ends_s + 60, case.good)[-1].alert
    assert over.summary.startswith("driftd: ")
    assert over.summary != alert.summary
    assert over.resolved_s == pytest.approx(run.world.now_s, abs=case.ends_s + 60)


@EVERY
def test_it_can_be_turned_off_and_tuned(name: str) -> None:
    case = CASES[name]
    off = Run(SelfTerms(conditions={name: HANDLING[name]._replace(is_on=False)}))
    worse = Run(SelfTerms(conditions={name: Handling(Severity.SEV1, for_s=200.0)}))
    for run in (off, worse):
        run.go(700, case.before)
        run.go(case.within_s + 200, case.bad)

    assert set() == off.firing()
    assert [Severity.SEV1] == [alert.severity for alert in worse.watch.alerts]


@pytest.mark.parametrize("name", sorted(CONDITIONS.keys() - KNOWN_AGAIN - COUNTED_ANEW))
def test_it_goes_on_after_a_restart_as_if_there_had_been_none(name: str) -> None:
    """At any point: the same is told, at the same time, with the same words."""
    case = CASES[name]

    def whole(*, restarts: bool) -> Iterator[tuple[object, ...]]:
        run = Run(every_s=30.0)
        for change, seconds in ((case.before, 600.0), (case.bad, case.within_s + 300), (case.good, case.ends_s + 300)):
            for _ in range(round(seconds / 300)):
                for told in run.go(300, change):
                    yield told.time_s, told.alert.rule, told.alert.state, told.reason, told.alert.firing_s
                if restarts:
                    run.restart()

    assert list(whole(restarts=False)) == list(whole(restarts=True))


@pytest.mark.parametrize("name", sorted(KNOWN_AGAIN))
def test_what_is_judged_over_minutes_needs_them_again_and_says_nothing_twice(name: str) -> None:
    case, run = CASES[name], Run()
    run.go(700, case.before)
    run.go(case.within_s, case.bad)
    assert {name} == run.firing()

    run.restart()

    assert {name} == run.firing()
    assert [] == run.go(900, case.bad)
    assert {name} == run.firing()
    run.restart()
    assert [AlertState.RESOLVED] == [t.alert.state for t in run.go(case.ends_s + 400, case.good)]


# ---- what is special


def test_a_process_that_was_stopped_missed_no_data() -> None:
    run = Run()
    run.go(100)
    run.world.now_s += 3_600.0

    assert [] == run.go(600, lambda _: None)


@pytest.mark.parametrize(("role", "expected"), [("", {"brokers", "no_data"}), ("fold", set()), ("judge", set())])
def test_one_of_many_that_has_no_partition_stands_by(role: str, expected: set[str]) -> None:
    run = Run()
    run.world.role = role
    run.go(100)
    run.world.partitions = {}

    run.go(1_200, lambda _: None)

    assert expected == run.firing()


def test_one_that_stood_by_misses_data_only_from_when_it_has_a_partition_again() -> None:
    run = Run()
    run.world.role = "fold"
    run.go(100)
    run.world.partitions = {}
    run.go(1_200, lambda _: None)
    run.world.partitions = {P0: part(P0)}

    run.go(600, lambda _: None)
    assert set() == run.firing()
    run.go(600, lambda _: None)
    assert {"no_data"} == run.firing()


def test_a_clock_that_is_set_back_moves_nothing() -> None:
    run = Run()
    run.go(100, lagging)
    run.go(400, lagging)
    assert {"lag"} == run.firing()
    run.world.now_s -= 7_200.0

    (ended,) = run.go(400, all_parts(lag_s=0.0, lag_records=0))

    assert AlertState.RESOLVED is ended.alert.state
    assert STEP_S_MAX < 900


def test_nothing_is_said_of_data_that_never_came() -> None:
    run = Run()
    run.world.received = run.world.inferences = 0

    assert [] == run.go(10_000, lambda _: None)


def test_who_catches_up_is_left_in_peace() -> None:
    run = Run()
    lag_s = 7_200.0

    def gain(world: World) -> None:
        nonlocal lag_s
        lag_s -= 5.0
        all_parts(lag_s=lag_s, lag_records=int(100 * lag_s), position=world.partitions[P0].position + 60)(world)

    assert [] == run.go(7_000, gain)


def test_one_partition_that_lags_is_told_among_many_that_do_not() -> None:
    run = Run()
    run.world.partitions |= {p: part(p) for p in (TopicPartition("t", n) for n in range(2, 40))}

    def one(world: World) -> None:
        world.traffic()
        status = world.partitions[P1]
        world.partitions[P1] = replace(status, position=status.position + 9, lag_records=70, lag_s=500.0)

    run.go(500, one)

    (alert,) = run.watch.alerts
    assert "topic=t" == alert.key.segment
    assert "in 1 of 40 partitions (worst: 1)" in alert.summary
    assert {"partitions": "1", "standing": "warn"} == alert.details


def test_a_partition_that_is_held_back_is_not_stalled() -> None:
    run = Run()

    assert [] == run.go(900, all_parts(lag_records=50, stalled_s=600.0, is_held=True))


def test_a_receiver_that_is_gone_takes_its_alert_along() -> None:
    run = Run()
    run.go(400, pager(is_healthy=False))
    assert {"receiver"} == run.firing()
    del run.world.sinks["pager"]

    (gone,) = run.go(310)

    assert (AlertState.RESOLVED, Reason.REMOVED) == (gone.alert.state, gone.reason)


def test_alerts_of_conditions_that_are_turned_off_end() -> None:
    run = Run()
    run.go(400, pager(is_healthy=False))
    run.watch.apply(SelfTerms(conditions={"receiver": HANDLING["receiver"]._replace(is_on=False)}))

    (gone,) = run.go(10, pager(is_healthy=False))

    assert Reason.REMOVED is gone.reason
    assert run.watch.transitions[rule_name("receiver"), "resolved"] == 1


def test_kinds_of_outcomes_are_missed_apart_and_rare_ones_later() -> None:
    run = Run(SelfTerms(labels_s=3_600.0), every_s=50.0)

    def both(world: World) -> None:
        labelled(world)
        if world.now_s % 2_000 < 50:
            world.outcomes["escalation"] = world.outcomes.get("escalation", 0) + 1

    run.go(20_000, both)
    run.go(5_000)
    assert {"kind=label"} == {alert.key.segment for alert in run.watch.alerts}

    run.go(20_000)

    assert {"kind=label", "kind=escalation"} == {alert.key.segment for alert in run.watch.alerts}


def test_outcomes_are_not_missed_while_no_inferences_come() -> None:
    run = Run(SelfTerms(conditions={"no_data": HANDLING["no_data"]._replace(is_on=False)}), every_s=50.0)
    run.go(1_000, labelled)

    assert [] == run.go(100_000, lambda _: None)


def a_moment(run: Run) -> None:
    """Let a new process know nothing yet: it has no partitions, and no receiver has been tried."""
    run.restart()
    held, run.world.partitions = run.world.partitions, {}
    run.world.sinks, run.world.watched = {"pager": sink("pager"), "log": sink("log")}, Watched()
    run.go(30)
    run.world.partitions = {source: replace(status, stalled_s=0.0) for source, status in held.items()}


@pytest.mark.parametrize("name", ["stalled", "brokers", "away", "receiver"])
def test_a_new_process_that_knows_nothing_yet_ends_no_alert(name: str) -> None:
    run = Run()
    run.go(600, CASES[name].bad)
    assert {name} == run.firing()
    a_moment(run)
    began_s = run.world.now_s

    def bad_again(world: World) -> None:
        CASES[name].bad(world)
        if name == "stalled":
            all_parts(stalled_s=world.now_s - began_s)(world)

    assert [] == run.go(900, bad_again)
    assert {name} == run.firing()


@pytest.mark.parametrize("name", sorted(CONDITIONS.keys() - {"no_data", "gap", "labels", "outbox", "overflow"}))
def test_what_comes_and_goes_is_told_once(name: str) -> None:
    case, run = CASES[name], Run()
    run.go(700, case.before)

    for _ in range(20):
        run.go(case.within_s, case.bad)
        run.go(30, case.good)

    assert {name} == run.firing()
    assert [AlertState.FIRING] == [t.alert.state for t in run.said if t.alert.firing_s is not None]


def test_dead_letters_that_nobody_takes_are_told() -> None:
    run = Run()

    (told,) = run.go(10, changed("letters", is_full=True, waiting=700))

    assert "what=dead_letters" == told.alert.key.segment
    assert "700 dead letters wait" in told.alert.summary


def test_state_that_is_not_kept_is_not_missed() -> None:
    run = Run()
    run.world.state = StateStatus(is_kept=False)

    assert [] == run.go(1_000, changed("state", failures=9))


def test_a_gap_met_at_the_start_is_told() -> None:
    run = Run()
    run.world.intake = Intake(gaps={"t": 1})

    (told,) = run.go(10)

    assert told.alert.summary.startswith("driftd: messages of t were deleted")


def test_a_gap_in_the_next_process_is_told_though_its_count_is_the_same() -> None:
    run = Run()
    run.go(10, gapped)
    run.world.intake = Intake()
    run.go(4_000)
    run.restart()
    assert set() == run.firing()

    run.go(10, gapped)

    assert {"gap"} == run.firing()


def test_memory_is_bounded_by_what_there_is() -> None:
    """Partitions and topics that are gone are forgotten."""
    run = Run(every_s=60.0)
    for n in range(200):
        source = TopicPartition(f"t{n}", n)
        run.world.partitions = {source: part(source)}
        run.world.watched = Watched(away=(TopicPartition(f"away{n}", n),))
        run.go(60)

    assert len(run.watch.standings) == 1
    assert len(encode(run.watch.state())) < 20_000


# ---- parts


def points(*found: tuple[int, int | None]) -> Standing:
    past = LagPast()
    for n, (position, lag) in enumerate(found):
        past.note(part(P0, position=position, lag_records=lag), n * LAG_STEP_S)
    return past.standing


@pytest.mark.parametrize(
    ("found", "standing"),
    [
        ([(n, 100 + n) for n in range(LAG_SAMPLES)], Standing.WARN),
        ([(n, 100) for n in range(LAG_SAMPLES)], Standing.WARN),
        ([(n, 100 - n) for n in range(LAG_SAMPLES)], Standing.OK),
        ([(5, 100 + n) for n in range(LAG_SAMPLES)], Standing.STALL),
        ([(5, None) for _ in range(LAG_SAMPLES)], Standing.STOP),
        ([(n, None) for n in range(LAG_SAMPLES)], Standing.OK),
        ([(n, 100 + n if n else 0) for n in range(LAG_SAMPLES)], Standing.OK),
        ([(5, 100)] * (LAG_SAMPLES - 1), Standing.OK),
    ],
)
def test_standing_is_told_by_burrows_rules(found: list[tuple[int, int | None]], standing: Standing) -> None:
    assert standing is points(*found)


def test_totals_that_begin_anew_grow_from_zero() -> None:
    totals = Totals()
    totals.note("x", 10, 1.0)

    assert 1.0 == totals.note("x", 0, 5.0).grew_s
    assert 6.0 == totals.note("x", 3, 6.0).grew_s


def test_shares_are_of_the_last_minutes_and_begin_anew_with_their_totals() -> None:
    shares = Shares(300.0)
    for n in range(100):
        found = shares.note("x", 10.0 * n, n if n > 60 else 0, 100 * n)
    assert (30 / 3_000, 3_000) == pytest.approx(found)

    assert math.isnan(shares.note("x", 1_000.0, 0, 0).share)
    assert 0.5 == shares.note("x", 1_010.0, 5, 10).share


def test_settings_are_the_terms_and_names_are_the_conditions() -> None:
    settings = SelfWatchSettings()

    assert SelfTerms(conditions=HANDLING) == settings.terms("", 3_600.0)
    off = SelfWatchSettings(enabled=False).terms("me", 60.0)
    assert {False} == {off.handling(name).is_on for name in CONDITIONS}
    assert ("me", 60.0) == (off.owner, off.gap_s)
    named = SelfWatchSettings.model_fields["conditions"].description or ""
    assert set(CONDITIONS) == set(named.partition("Names: ")[2].rstrip(".").split(", "))
    every = SelfWatchSettings.model_validate({"conditions": {name: {"enabled": False} for name in CONDITIONS}})
    assert {False} == {every.terms("", 1.0).handling(name).is_on for name in CONDITIONS}


# ---- the page for people


def test_every_rule_has_an_entry_in_the_runbook_and_every_entry_a_rule() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")

    entries = re.findall(r"^### (driftd-[a-z-]+)\n\n(sev[1-4])\. ", page, re.MULTILINE)

    assert {rule_name(name): handling.severity.label for name, handling in HANDLING.items()} == dict(entries)
    assert "\n### sampling\n" in page
