"""What the loop does beside reading: reloads, partitions that are away, held or have gaps, and alerts about itself."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
from structlog.testing import capture_logs

from monitor.aides import Aides
from monitor.alert_state import transition_of
from monitor.app import App, AppTerms
from monitor.board import Board
from monitor.breakers import Breakers, BreakerTerms
from monitor.config import Settings, load_settings
from monitor.domain import DRILL_MODEL, Batch, Gap, Reason, Snapshot, TopicPartition, Transition
from monitor.errors import ConfigError
from monitor.keeper import UNTOLD
from monitor.ledger import Ledger
from monitor.rejects import Rejects
from monitor.reloading import Reloader
from monitor.rules import Budget
from monitor.selfwatch import SelfWatch
from monitor.selfwatch.terms import SELF_MODEL, SelfTerms
from monitor.upkeep import HeartbeatStatus
from tests.unit.staging import CERTAIN, NOON_S, OTHER, PLACE, RULES, Batches, Stage, Ticking, Told, batch, pipeline_of

if TYPE_CHECKING:
    from monitor.kept import Section

NO_RULE: Final = {**CERTAIN, "DRIFTD_MODELS": "[]", "DRIFTD_ALERTS__FALSE_ALARM_BUDGET": "4"}
STEP_S: Final = 2.0


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Leave the garbage collector as it was: the loop sets it for itself."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def said(stage: Stage, model: str = "m") -> list[tuple[str, str, Reason]]:
    """Give what was told of a model."""
    return [
        (each.alert.rule, str(each.alert.state), each.reason)
        for each, _ in stage.delivery.told
        if each.alert.key.model == model
    ]


def snapshot_of(stage: Stage) -> Snapshot:
    snapshot = stage.board.latest()
    assert snapshot is not None
    return snapshot


def incident(more: int = 6) -> list[Batch]:
    """Give a minute of healthy events, ten seconds of unsafe ones, and some polls without any."""
    return [batch(0, 60), batch(60, 10, unsafe=True), *[Batch()] * more]


class File:
    """A configuration that changes. env: what it says now, None: nothing that can be read."""

    def __init__(self) -> None:
        self.env: Mapping[str, str] | None = CERTAIN

    def load(self) -> Settings:
        if self.env is None:
            raise ConfigError("driftd.yaml: is no YAML")
        return load_settings(None, {**RULES, **self.env}, topics_required=False)

    def stage(self, **terms: object) -> Stage:
        reload = Reloader(self.load, self.load())
        watch = Aides(watch=SelfWatch(SelfTerms()))
        told = AppTerms(reload=reload, save_s=1.0, aides=watch, **terms)  # type: ignore[arg-type]
        return Stage(incident(), told, Ticking(NOON_S + 80.0, STEP_S / 10), CERTAIN)


class TestReload:
    def test_rule_that_is_gone_ends_its_alert_and_nothing_that_was_counted_is_lost(self) -> None:
        file = File()
        stage = file.stage(ledger=Ledger(Budget(1.0)))

        def reload(number: int) -> None:
            if number == 4:
                file.env = NO_RULE
                stage.app.reloads.signal()

        stage.source.on_poll = reload
        stage.run()
        snapshot = snapshot_of(stage)

        assert [
            ("unsafe_rate", "firing", Reason.BREACHED),
            ("unsafe_rate", "resolved", Reason.REMOVED),
        ] == said(stage)
        assert 7_000 == sum(snapshot.picture.counted.values())
        assert {("m", ""): 0.25} == snapshot.pages.spent, "one page of a budget that is four now"
        assert snapshot.reload.is_good
        assert 1 == stage.calls.count("source.open")
        assert [(["log"], {"log"})] == stage.delivery.replaced

    def test_bad_file_changes_nothing_and_shows_until_it_is_mended(self) -> None:
        file = File()
        stage = file.stage()
        seen: list[bool] = []

        def reload(number: int) -> None:
            seen.append(snapshot_of(stage).reload.is_good)
            if number in {3, 40}:
                file.env = None if number == 3 else CERTAIN
                stage.app.reloads.signal()

        stage.source.on_poll = reload
        stage.source.batches += [Batch()] * 80
        with capture_logs() as lines:
            stage.run()

        assert [("unsafe_rate", "firing", Reason.BREACHED)] == said(stage)
        assert 1 == len(stage.delivery.replaced), "by the good one, at the end"
        assert False in seen
        assert (True, True) == (seen[0], snapshot_of(stage).reload.is_good)
        assert ["driftd.yaml: is no YAML"] == [e["error"] for e in lines if e.get("error_code") == "reload_failed"]
        assert ("driftd-reload", "firing", Reason.BREACHED) in said(stage, SELF_MODEL)

    def test_whoever_asks_on_another_thread_hears_what_came_of_it(self) -> None:
        file, answers = File(), list[str | None]()
        stage = file.stage()
        threads: list[threading.Thread] = []

        def ask(number: int) -> None:
            if number in {2, 5}:
                file.env = NO_RULE if number == 2 else None
                threads.append(threading.Thread(target=lambda: answers.append(stage.app.reloads())))
                threads[-1].start()
                while not stage.app.reloads.is_due:
                    pass
            elif threads:
                threads[-1].join(10.0)

        stage.source.on_poll = ask
        stage.run()

        assert [None, "driftd.yaml: is no YAML"] == answers

    def test_alerts_about_driftd_itself_go_by_the_new_terms(self) -> None:
        file = File()
        stage = file.stage()
        stage.source.woes = "no broker answers"
        stage.source.batches = [Batch()] * 200

        def reload(number: int) -> None:
            if number == 20:
                file.env = {**CERTAIN, "DRIFTD_SELFWATCH__BROKERS_S": "1"}
                stage.app.reloads.signal()

        stage.source.on_poll = reload
        stage.run()

        told = [each for each, _ in stage.delivery.told if each.alert.rule == "driftd-brokers"]
        assert ["firing"] == [str(each.alert.state) for each in told]
        assert told[0].alert.since_s < NOON_S + 140.0, "long before the minute it would have taken"
        assert told[0].time_s < NOON_S + 140.0


class TestPartitions:
    def stage(self, batches: list[Batch], **aides: object) -> Stage:
        told = AppTerms(save_s=1.0, away_s=10.0, aides=Aides(**aides))  # type: ignore[arg-type]
        stage = Stage(batches, told, Ticking(NOON_S + 80.0, 0.3), CERTAIN)
        stage.source.places = (PLACE, OTHER)
        return stage

    def both(self, from_s: float, seconds: float, *, unsafe: bool = False) -> Batch:
        """Give a batch of events that lie in both partitions, in turn."""
        one = batch(from_s, seconds, unsafe=unsafe)
        return Batch(one.values, [n % 2 for n in range(len(one))], [PLACE, OTHER])

    def test_one_that_is_away_holds_event_time_back_for_a_while_and_then_nothing_is_judged_without_it(self) -> None:
        stage = self.stage([self.both(0, 60), batch(60, 10, unsafe=True), *[Batch()] * 120])
        marks: list[float] = []

        def leave(number: int) -> None:
            marks.append(stage.pipeline.picture().watermark_s or 0.0)
            if number == 2:
                stage.source.places, stage.source.left = (PLACE,), (OTHER,)

        stage.source.on_poll = leave
        stage.run()

        assert NOON_S + 60.0 > marks[3], "it is waited for"
        assert NOON_S + 67.0 <= marks[-1], "and not for ever"
        assert [] == said(stage)
        assert ("driftd-away", "firing", Reason.BREACHED) not in said(stage), "the minute of that alert is not over"

    def test_one_that_is_back_in_time_has_missed_nothing(self) -> None:
        stage = self.stage([self.both(0, 60), Batch(), Batch(), Batch(), self.both(60, 10, unsafe=True), Batch()])

        def leave(number: int) -> None:
            if number == 2:
                stage.source.places, stage.source.left = (PLACE,), (OTHER,)
            if number == 4:
                stage.source.places, stage.source.left = (PLACE, OTHER), ()

        stage.source.on_poll = leave
        stage.run()

        assert [("unsafe_rate", "firing", Reason.BREACHED)] == said(stage)
        assert {} == snapshot_of(stage).picture.late

    @pytest.mark.parametrize("is_gap", [True, False])
    def test_windows_with_a_gap_are_not_judged(self, is_gap: bool) -> None:  # noqa: FBT001
        stage = self.stage([batch(0, 60), Batch(), Batch(), batch(60, 10, unsafe=True), Batch(), Batch()])
        stage.source.quiet = ((OTHER,), 0.0)

        def lose(number: int) -> None:
            if number == 2 and is_gap:
                stage.source.lost = [Gap(OTHER, 6_000, 9_000)]

        stage.source.on_poll = lose
        stage.run()

        assert (not is_gap) == bool(said(stage))
        assert 7_000 == sum(snapshot_of(stage).picture.counted.values())

    def test_partition_of_poison_is_held_and_the_others_are_not(self) -> None:
        poison = Batch([b"{"] * 200, [0] * 200, [OTHER])
        stage = self.stage([batch(0, 5), poison, Batch(), Batch()], rejects=Rejects(Breakers(BreakerTerms())))
        with capture_logs():
            stage.run()

        assert frozenset() == stage.source.held[0]
        assert {OTHER} == stage.source.held[-1]
        assert {tuple(OTHER)} == set(snapshot_of(stage).dead_letters.broken)

    def test_event_time_waits_for_a_held_partition_as_for_one_that_is_away(self) -> None:
        poison = Batch([b"{"] * 200, [0] * 200, [OTHER])
        rest = [batch(60, 10, unsafe=True), *[Batch()] * 120]
        stage = self.stage([self.both(0, 60), poison, *rest], rejects=Rejects(Breakers(BreakerTerms(retry_s=1e6))))
        marks: list[float] = []
        stage.source.on_poll = lambda _: marks.append(stage.pipeline.picture().watermark_s or 0.0)
        with capture_logs():
            stage.run()

        assert NOON_S + 60.0 > marks[4], "it may be mended soon"
        assert NOON_S + 67.0 <= marks[-1], "others must not stand still for ever"
        assert [] == said(stage), "what lacks messages is not judged"

    def test_partition_far_ahead_of_another_is_held_until_that_has_come_after(self) -> None:
        ahead = batch(2_000, 1)
        stage = self.stage([self.both(0, 5), ahead, Batch(), Batch(), self.both(1_990, 15), Batch(), Batch()])
        stage.app._clock = Ticking(NOON_S + 2_500.0, 0.3)
        stage.run()

        assert {PLACE} in stage.source.held
        assert frozenset() == stage.source.held[-1]

    def test_trouble_is_why_it_is_not_ready(self) -> None:
        stage = self.stage([batch(0, 30), *[Batch()] * 9])
        stage.source.places = (PLACE,)
        seen: list[str] = []

        def fail(number: int) -> None:
            seen.append(stage.reason)
            stage.source.woes = "no broker answers" if 3 <= number < 6 else ""

        stage.source.on_poll = fail
        stage.run()

        assert "no broker answers" in seen
        assert "" == seen[-1]

    def test_it_is_ready_as_soon_as_it_is_not_at_the_next_picture(self) -> None:
        stage = self.stage([Batch(), Batch(), batch(0, 30), Batch(), Batch()])
        stage.source.places = (PLACE,)
        stage.app._clock = Ticking(NOON_S + 30.0, 0.001)
        seen: list[str] = []
        stage.source.on_poll = lambda _: seen.append(stage.reason)
        stage.run()

        assert ["starting", *["nothing has been read yet"] * 2, *[""] * 3] == seen


@dataclass
class Account:
    bytes: int = 0
    state_bytes: int = 0


class Witness:
    """A store that remembers what it was given to hold until it is told."""

    def __init__(self) -> None:
        self.held: set[tuple[str, str]] = set()

    def save(self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float) -> Account:
        made = {each.name: each.make() for each in sections}
        for decided in made[UNTOLD]["decided"]:
            self.held.update(map(known, map(transition_of, decided["transitions"])))
        return Account()

    def close(self) -> None:
        pass


def known(transition: Transition) -> tuple[str, str]:
    return transition.alert.dedup_key, str(transition.alert.state)


class TestTelling:
    def test_nothing_is_told_that_is_not_stored(self) -> None:
        """Neither of models nor of driftd itself."""
        store = Witness()
        watch = SelfWatch(SelfTerms(brokers_s=1.0))
        told = AppTerms(save_s=5.0, aides=Aides(watch=watch), open_store=lambda: (store, None))
        stage = Stage(incident(60), told, Ticking(NOON_S + 80.0, 0.1), CERTAIN)
        offer, unheld = stage.delivery.offer, []

        def offering(transitions: Sequence[Transition], now_wall_s: float) -> None:
            unheld.extend([each for each in map(known, transitions) if each not in store.held])
            offer(transitions, now_wall_s)

        stage.delivery.offer = offering  # type: ignore[method-assign]
        stage.source.on_poll = lambda number: setattr(stage.source, "woes", "no broker answers" if number > 5 else "")
        stage.run()

        assert [("unsafe_rate", "firing", Reason.BREACHED)] == said(stage)
        assert [("driftd-brokers", "firing", Reason.BREACHED)] == said(stage, SELF_MODEL)
        assert [] == unheld


class TestOwnAlerts:
    def test_they_are_told_and_shown_and_are_nobodys_pages(self) -> None:
        watch = SelfWatch(SelfTerms(brokers_s=1.0))
        stage = Stage([Batch()] * 60, AppTerms(save_s=1.0, aides=Aides(watch=watch)), Ticking(NOON_S, 0.3))
        stage.source.woes = "no broker answers"
        stage.run()
        snapshot = snapshot_of(stage)

        assert [("driftd-brokers", "firing", Reason.BREACHED)] == said(stage, SELF_MODEL)
        assert ["driftd-brokers"] == [alert.rule for alert in snapshot.picture.alerts]
        assert 1 == snapshot.picture.transitions["driftd-brokers", "firing"]
        assert ({}, 0) == (snapshot.pages.spent, sum(snapshot.pages.decided.counts))


@dataclass
class Thread:
    """A helper that notes its start and stop."""

    calls: list[str]
    name: str
    stalls: int = 3
    standing_s: float = 0.0

    def start(self) -> None:
        self.calls.append(f"{self.name}.start")

    def stop(self) -> None:
        self.calls.append(f"{self.name}.stop")

    def status(self) -> HeartbeatStatus:
        return HeartbeatStatus(is_on=True, sent=7)


@dataclass
class Calls:
    """What is called of an app with helpers that have threads."""

    calls: list[str] = field(default_factory=list)
    board: Board = field(default_factory=Board)

    def run(self, on_poll: Callable[[int], object] = lambda _: None) -> Calls:
        aides = Aides(heartbeat=Thread(self.calls, "heartbeat"), stalls=Thread(self.calls, "stalls"))
        source = Batches([Batch()], self.calls, on_poll)
        App(pipeline_of({}), source, Told(self.calls), self.board, AppTerms(aides=aides), lambda: NOON_S).run()
        return self


class TestHelpers:
    def test_they_start_after_the_source_and_stop_before_it(self) -> None:
        calls = Calls().run().calls

        own = [each for each in calls if each.partition(".")[0] in {"heartbeat", "stalls"}]
        assert ["stalls.start", "heartbeat.start", "heartbeat.stop", "stalls.stop"] == own
        assert calls.index("source.open") < calls.index("stalls.start") < calls.index("source.poll")
        assert calls.index("delivery.drain") < calls.index("heartbeat.stop")
        assert calls.index("stalls.stop") < calls.index("source.close")

    def test_they_are_stopped_when_the_loop_fails(self) -> None:
        seen = Calls()

        def fail(_: int) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            seen.run(fail)

        assert ["heartbeat.stop", "stalls.stop", "source.close", "delivery.close"] == seen.calls[-4:]

    def test_how_they_fare_is_in_the_snapshot(self) -> None:
        snapshot = Calls().run().board.latest()

        assert snapshot is not None
        assert (7, 3) == (snapshot.heartbeat.sent, snapshot.stalls)

    def test_turns_of_the_loop_can_be_watched(self) -> None:
        seen = Calls()
        assert seen.board.turns is None
        seen.run()

        assert 2 == seen.board.turns


def test_traffic_of_a_drill_begins_and_ends_as_it_likes() -> None:
    """A model that falls silent is an alert; the drill's model only ever is there for a while."""
    silence = {
        "DRIFTD_MODELS": '[{"match": "*", "thresholds": {"silence": {"yellow": null, "red": 5}}}]',
        "DRIFTD_ALERTS__DEFAULT_RULES": "false",
    }
    told: dict[str, int] = {}
    for model in ("m", DRILL_MODEL):
        batches = [batch(0, 60, model=model), *[batch(60 + n, 1, model="other") for n in range(30)], Batch()]
        stage = Stage(batches, AppTerms(), Ticking(NOON_S + 100.0), silence).run()
        told[model] = len(said(stage, model))

    assert (1, 0) == (told["m"], told[DRILL_MODEL])
