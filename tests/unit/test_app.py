"""The loop with fakes at its edges: a list as source, a list as delivery, a clock that is a list."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest
from structlog.testing import capture_logs

from monitor.app import AppTerms
from monitor.domain import DRILL_MODEL, AlertState, Batch
from monitor.errors import BaselineError, DriftdError, SourceError, StateError
from monitor.ledger import Ledger
from monitor.reports import ERROR_LOG_S, ErrorLog
from monitor.rules import Budget
from tests.unit.staging import CERTAIN, NOON_S, OTHER, PLACE, Clock, Stage, Ticking, batch

if TYPE_CHECKING:
    from monitor.domain import Snapshot
    from monitor.keeper import Opened
    from monitor.references import Reference


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Leave the garbage collector as it was: the loop sets it for itself."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class TestOrder:
    def test_everything_starts_in_order_and_stops_in_reverse(self) -> None:
        stage = Stage([batch(0, 1)]).run()

        assert [
            *("server.start", "source.open", "delivery.start"),
            *("source.poll", "source.saved", "source.poll"),
            *("source.saved", "delivery.drain", "source.close", "server.stop", "delivery.close"),
        ] == stage.calls

    def test_stop_from_a_signal_ends_after_the_batch_in_hand(self) -> None:
        stage = Stage([batch(0, 1), batch(1, 1), batch(2, 1)])
        stage.source.on_poll = lambda number: stage.app.stop() if number == 2 else None
        stage.run()

        assert 2 == stage.source.polls
        snapshot = stage.board.latest()
        assert snapshot is not None
        assert 200 == sum(snapshot.picture.counted.values())

    @pytest.mark.parametrize("name", ["open", "poll"])
    def test_source_that_fails_for_good_ends_it_and_all_else_is_stopped(self, name: str) -> None:
        stage = Stage()
        stage.source.fails = {name: SourceError("no such thing")}

        with pytest.raises(DriftdError, match="no such thing"):
            stage.run()

        assert ["server.stop", "delivery.close"] == stage.calls[-2:]
        assert ("source.close" in stage.calls) == (name == "poll")
        assert ("delivery.drain" in stage.calls) == (name == "poll")

    def test_server_that_can_not_listen_keeps_the_source_shut(self) -> None:
        stage = Stage()
        stage.server.error = DriftdError("port in use")

        with pytest.raises(DriftdError, match="port in use"):
            stage.run()

        assert ["server.start", "delivery.close"] == stage.calls

    def test_state_that_can_not_be_opened_keeps_all_else_shut(self) -> None:
        """Another process may have it, which must not meet a second reader of its topic, nor a second server."""

        def open_store() -> Opened:
            raise StateError("another process has it")

        stage = Stage(terms=AppTerms(open_store=open_store))
        with pytest.raises(StateError, match="another process has it"):
            stage.run()

        assert not {"server.start", "delivery.start", "source.open"} & set(stage.calls)

    def test_source_that_will_not_close_is_told_and_no_more(self) -> None:
        stage = Stage()
        stage.source.fails = {"close": SourceError("the broker is gone")}

        with capture_logs() as lines:
            stage.run()

        assert "source_close" in [line.get("error_code") for line in lines]
        assert ["server.stop", "delivery.close"] == stage.calls[-2:]

    def test_undelivered_notices_are_told(self) -> None:
        stage = Stage()
        stage.delivery.left = 4

        with capture_logs() as lines:
            stage.run()

        (line,) = [each for each in lines if each.get("error_code") == "left_untold"]
        assert (4, "lost") == (line["notifications"], line["they_are"])


class TestCadence:
    @pytest.mark.parametrize(("save_s", "saves"), [(5.0, 2), (2.0, 5), (1.0, 10)])
    def test_offsets_are_told_as_often_as_asked(self, save_s: float, saves: int) -> None:
        """Ten turns a second apart, and once more at the end."""
        clock = Ticking()
        stage = Stage([Batch()] * 10, AppTerms(save_s=save_s), clock)

        def advance(number: int) -> None:
            clock.now_s = NOON_S + number
            if number == 10:
                stage.app.stop()

        stage.source.on_poll = advance
        stage.run()

        assert saves + 1 == stage.calls.count("source.saved")

    def test_snapshot_is_new_every_second_and_not_at_every_turn(self) -> None:
        clock, seen = Ticking(), []
        stage = Stage([Batch()] * 40, clock=clock)

        def look(number: int) -> None:
            seen.append(stage.board.latest())
            clock.now_s = NOON_S + number / 10

        stage.source.on_poll = look
        stage.run()

        assert 4 <= len({id(snapshot) for snapshot in seen}) <= 6

    def test_there_is_none_before_it_runs(self) -> None:
        assert Stage().board.latest() is None


class TestPages:
    """What the snapshot tells of alerts that fired."""

    def pages_of(self, model: str, budget: Budget | None = None) -> tuple[Stage, Snapshot]:
        batches = [batch(0, 60, model=model), batch(60, 10, unsafe=True, model=model), Batch(), Batch()]
        stage = Stage(batches, AppTerms(ledger=Ledger(budget or Budget())), Clock([NOON_S + 80.0]), CERTAIN).run()
        snapshot = stage.board.latest()
        assert snapshot is not None
        return stage, snapshot

    def test_pages_are_counted_against_the_budget_and_timed(self) -> None:
        stage, snapshot = self.pages_of("m", Budget(pages=4.0))

        assert {("m", ""): 0.25} == snapshot.pages.spent
        assert 1 == sum(snapshot.pages.decided.counts) == sum(snapshot.pages.behind.counts)
        assert [False] == [t.alert.is_drill for t, _ in stage.delivery.told]

    def test_drills_are_told_as_such_and_counted_nowhere(self) -> None:
        stage, snapshot = self.pages_of(DRILL_MODEL)

        assert [True] == [t.alert.is_drill for t, _ in stage.delivery.told]
        assert [True] == [alert.is_drill for alert in snapshot.picture.alerts]
        assert ({}, 0) == (snapshot.pages.spent, sum(snapshot.pages.decided.counts))


class TestReadiness:
    @pytest.fixture(autouse=True)
    def _pictures_cost_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a busy machine they are taken less often; here every turn's is to be seen."""
        monkeypatch.setattr("monitor.app.PUBLISH_SHARE_MAX", 1e9)

    def reasons(self, stage: Stage) -> list[str]:
        """Run; give the distinct reasons in the order in which they were to be seen."""
        seen: list[str] = []
        stage.source.on_poll = lambda _: seen.append(stage.reason)
        stage.run()
        return list(dict.fromkeys([*seen, stage.reason]))

    def test_it_is_ready_once_it_has_judged_and_not_when_it_stops(self) -> None:
        stage = Stage([batch(0, 1), Batch(), batch(1, 9), Batch()], clock=Ticking(step_s=0.5))

        assert ["starting", "no pane has been judged yet", "", "stopping"] == self.reasons(stage)

    def test_it_is_not_ready_while_there_is_something_to_read_and_nothing_was_read(self) -> None:
        stage = Stage([Batch(), Batch(), batch(0, 1), batch(1, 9), Batch()], clock=Ticking(step_s=0.5))

        reasons = self.reasons(stage)

        assert ["starting", "nothing has been read yet", "no pane has been judged yet", "", "stopping"] == reasons

    def test_it_is_not_ready_without_partitions(self) -> None:
        stage = Stage([Batch()] * 5, clock=Ticking(step_s=0.5))
        stage.source.places = None

        assert ["starting", "no partitions assigned yet", "stopping"] == self.reasons(stage)

    def test_spare_member_of_a_group_is_ready_with_nothing_to_read(self) -> None:
        stage = Stage([Batch()] * 5, clock=Ticking(step_s=0.5))
        stage.source.places = ()

        assert ["starting", "", "stopping"] == self.reasons(stage)


class TestSnapshot:
    def test_it_holds_what_the_parts_say_of_themselves(self) -> None:
        stage = Stage([batch(0, 1), batch(1, 9)]).run()

        snapshot = stage.board.latest()

        assert snapshot is not None
        assert [PLACE] == [each.source for each in snapshot.partitions]
        assert ["list"] == [each.name for each in snapshot.sinks]
        assert {"_transport": 3} == snapshot.source_errors
        assert (2, NOON_S) == (snapshot.batches, snapshot.started_wall_s)
        assert 1_000 == sum(snapshot.picture.received.values())
        assert snapshot.busy_s > 0

    def test_partition_that_left_is_gone_from_the_very_next_snapshot(self) -> None:
        """With a clock that stands still, nothing but the change itself makes a new snapshot."""
        stage = Stage([Batch()] * 4)
        stage.source.places = (PLACE, OTHER)
        seen: list[int] = []

        def look(number: int) -> None:
            snapshot = stage.board.latest()
            assert snapshot is not None
            seen.append(len(snapshot.partitions))
            if number == 3:
                stage.source.places = (PLACE,)

        stage.source.on_poll = look
        stage.run()

        assert [2, 2, 2, 1, 1] == seen


class TestTelling:
    def test_transitions_are_told_with_the_wall_clock(self) -> None:
        stage = Stage([batch(0, 15, unsafe=True), batch(15, 5, unsafe=True)], clock=Clock([NOON_S + 20.0])).run()

        assert {AlertState.FIRING} == {each.alert.state for each, _ in stage.delivery.told}
        assert {"unsafe_rate"} == {each.alert.rule for each, _ in stage.delivery.told}
        assert {NOON_S + 20.0} == {wall_s for _, wall_s in stage.delivery.told}

    def test_quiet_partitions_let_event_time_go_on(self) -> None:
        """The last seconds of a burst are judged although nothing comes after them."""
        stage = Stage([batch(0, 12, unsafe=True), Batch(), Batch()], clock=Ticking(NOON_S + 12.0, 1.0))
        before: list[int] = []
        stage.source.on_poll = lambda _: before.append(len(stage.delivery.told))
        stage.source.quiet = ((PLACE,), 5.0)
        stage.run()

        snapshot = stage.board.latest()
        assert snapshot is not None
        assert snapshot.picture.watermark_s is not None
        assert snapshot.picture.watermark_s >= NOON_S + 14.0
        assert stage.delivery.told


class TestReferences:
    LEARN: Final = {"DRIFTD_REFERENCE__LEARN_EVENTS": "500", "DRIFTD_REFERENCE__LEARN_EVENTS_MIN": "100"}

    def test_learned_reference_is_saved(self) -> None:
        saved: list[Reference] = []
        Stage([batch(0, 10)], AppTerms(save=saved.append), settings=self.LEARN).run()

        assert [("m", "learned from live traffic")] == [(each.model, each.source) for each in saved]

    def test_reference_that_can_not_be_saved_is_told_and_watching_goes_on(self) -> None:
        def save(reference: Reference) -> object:
            raise BaselineError("the disk is full")

        stage = Stage([batch(0, 10), batch(10, 1)], AppTerms(save=save), settings=self.LEARN)
        with capture_logs() as lines:
            stage.run()

        (line,) = [each for each in lines if each.get("error_code") == "reference_not_saved"]
        assert ("the disk is full", "m", "error") == (line["error"], line["model"], line["log_level"])
        snapshot = stage.board.latest()
        assert snapshot is not None
        assert ["ready"] == [each.state for each in snapshot.picture.models]

    def test_nothing_is_saved_where_that_is_not_wanted(self) -> None:
        with capture_logs() as lines:
            Stage([batch(0, 10)], AppTerms(save=None), settings=self.LEARN).run()

        assert ["reference learned"] == [each["event"] for each in lines if "reference" in each["event"]]


class TestErrorLog:
    def test_same_error_is_logged_now_and_then_with_how_often_it_came(self) -> None:
        clock = Clock([0.0, 1.0, 2.0, ERROR_LOG_S + 0.5])
        report = ErrorLog(clock)

        with capture_logs() as lines:
            for _ in range(4):
                report("_transport", "connection refused", "check the network")

        assert [1, 3] == [line["times"] for line in lines]
        assert {"_transport"} == {line["error_code"] for line in lines}
        assert {"check the network"} == {line["cure"] for line in lines}

    def test_another_error_does_not_wait(self) -> None:
        report = ErrorLog(Clock([0.0]))

        with capture_logs() as lines:
            report("a", "one", "")
            report("b", "two", "")

        assert ["one", "two"] == [line["error"] for line in lines]
        assert [None, None] == [line["cure"] for line in lines]
