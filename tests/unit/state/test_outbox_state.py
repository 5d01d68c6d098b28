"""What is still to be told goes on in the next process: the outbox, its worker, and the alerts in their notices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitor import codec
from monitor.alert_state import alert_of, alert_state, transition_of, transition_state
from monitor.delivery import SECTION, Delivery
from monitor.domain import Alert, AlertState, Band, Histogram, Reason, Severity, StreamKey, Transition
from monitor.errors import SinkError, StateError
from monitor.kept import State
from monitor.lineage import Lineage
from monitor.sinks.base import RESOLVED_RESEND_S, Notice, Terms
from monitor.sinks.outbox import Outbox
from monitor.sinks.webhook import message_id
from monitor.sinks.worker import FULL, Clocks, Worker
from tests.unit.sinks.examples import START_S, ListSink, alert, notice, transition

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGER: Final = Terms()
REPEATED: Final = Terms(resend_s=60.0, notices_max=64)
EVERY: Final = Terms(is_every_change_told=True, notices_max=64)
FIRING, RESOLVED, PENDING = AlertState.FIRING, AlertState.RESOLVED, AlertState.PENDING
DOWN: Final = SinkError("host: connection refused", is_retryable=True, reason="unreachable")

_FLOATS: Final = st.floats(allow_nan=False)
_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
_OPTIONAL: Final = st.none() | _FLOATS
_HISTOGRAMS: Final = st.builds(
    Histogram,
    labels=st.tuples(_TEXT, _TEXT),
    reference=st.tuples(_FLOATS, _FLOATS),
    current=st.tuples(_FLOATS, _FLOATS),
    samples=st.integers(0, 2**62),
    reference_samples=st.integers(0, 2**62),
)
ALERTS: Final = st.builds(
    Alert,
    **dict.fromkeys(("rule", "statistic", "incident", "dedup_key", "owner", "runbook", "reference", "summary"), _TEXT),
    **dict.fromkeys(("value", "threshold", "evidence", "evidence_needed", "window_s", "since_s", "pending_s"), _FLOATS),
    key=st.builds(StreamKey, _TEXT, _TEXT, _TEXT, _TEXT),
    state=st.sampled_from(AlertState),
    severity=st.sampled_from(Severity),
    band=st.sampled_from(Band),
    interval=st.tuples(_FLOATS, _FLOATS),
    samples=st.integers(0, 2**62),
    firing_s=_OPTIONAL,
    resolved_s=_OPTIONAL,
    change=_TEXT,
    rank=st.integers(1, 99),
    together=st.integers(1, 99),
    histogram=st.none() | _HISTOGRAMS,
    is_drill=st.booleans(),
    details=st.dictionaries(_TEXT, _TEXT, max_size=3),
    lineage=st.builds(Lineage, _TEXT, _TEXT, _TEXT),
)


def carried(state: State) -> State:
    """A state as it comes back from the store."""
    return codec.decode(codec.encode(state), "here")


def moved(outbox: Outbox, terms: Terms, now_s: float, *, wall_s: float = 0.0, notices_max: int = 99) -> Outbox:
    """The outbox in a new process, whose steady clock shows 5 and whose wall clock shows wall_s more."""
    after = Outbox(terms, notices_max)
    after.restore(carried(outbox.state(now_s, START_S)), 5.0, START_S + wall_s)
    return after


class TestAlerts:
    @settings(max_examples=200, deadline=None)
    @given(ALERTS, st.none() | st.sampled_from(AlertState), st.sampled_from(Reason), _FLOATS)
    def test_any_alert_and_transition_come_back_equal(
        self, told: Alert, before: AlertState | None, reason: Reason, time_s: float
    ) -> None:
        changed = Transition(time_s, before, told, reason)

        assert told == alert_of(carried(alert_state(told)))
        assert changed == transition_of(carried(transition_state(changed)))

    def test_what_an_older_version_did_not_know_has_its_default(self) -> None:
        state = alert_state(alert(change="scale", details={"a": "b"}, rank=3))
        for name in ("change", "details", "rank", "histogram"):
            del state[name]

        assert alert() == alert_of(state)

    def test_what_a_newer_version_knew_is_passed_over(self) -> None:
        assert alert() == alert_of({**alert_state(alert()), "colour": "red"})

    @pytest.mark.parametrize(
        "broken", [{"state": "gone"}, {"severity": "sev9"}, {"key": ["one"]}, {"interval": 3}, {"severity": None}]
    )
    def test_what_is_none_is_refused(self, broken: State) -> None:
        with pytest.raises(StateError, match="what should be an alert is none"):
            alert_of({**alert_state(alert()), **broken})
        with pytest.raises(StateError, match="what should be a transition is none"):
            transition_of({**transition_state(transition(alert())), "alert": {**alert_state(alert()), **broken}})

    def test_every_field_is_kept(self) -> None:
        """So that one that is added is not forgotten."""
        names = set(Alert.__dataclass_fields__)

        assert names == set(alert_state(alert()))


class TestOutbox:
    def test_what_waits_is_due_at_once_and_has_waited_since(self) -> None:
        outbox = Outbox(PAGER)
        outbox.put(notice("a"), 100.0)
        outbox.put(notice("b"), 130.0)
        outbox.take(140.0, 1)
        outbox.retry(notice("a"), 140.0, due_s=200.0)
        after = moved(outbox, PAGER, 150.0, wall_s=20.0)

        assert (2, 70.0) == (after.queued, after.oldest_s(5.0))
        assert [notice("a"), notice("b")] == after.take(5.0, 9)
        assert (1, 0) == (after.attempts(notice("a")), after.attempts(notice("b")))

    def test_what_is_under_way_is_told_again(self) -> None:
        outbox = Outbox(PAGER)
        outbox.put(notice(), 0.0)
        outbox.take(0.0, 1)

        assert [notice()] == moved(outbox, PAGER, 1.0).take(5.0, 9)

    def test_every_change_keeps_its_line(self) -> None:
        outbox = Outbox(EVERY)
        line = [notice(state=PENDING), notice(), notice(state=RESOLVED)]
        for each in line:
            outbox.put(each, 0.0)
        after = moved(outbox, EVERY, 1.0)
        told: list[Notice] = []
        while due := after.take(5.0, 9):
            told.extend(due)
            after.done(due[0], 5.0)

        assert line == told

    def test_repeats_go_on_and_are_no_news(self) -> None:
        outbox = Outbox(REPEATED)
        outbox.put(notice(), 0.0)
        (told,) = outbox.take(0.0, 9)
        outbox.done(told, 0.0)
        after = moved(outbox, REPEATED, 10.0)

        assert 0 == after.queued
        (again,) = after.take(5.0, 9)
        assert not after.done(again, 5.0)
        assert [] == after.take(64.0, 9)
        assert [notice()] == after.take(65.0, 9)

    def test_refused_one_that_is_taken_after_all_is_news(self) -> None:
        outbox = Outbox(REPEATED)
        outbox.put(notice(), 0.0)
        outbox.reject(outbox.take(0.0, 9)[0], 0.0)
        after = moved(outbox, REPEATED, 10.0)

        assert after.done(after.take(5.0, 9)[0], 5.0)

    @pytest.mark.parametrize(("wall_s", "repeats"), [(0.0, 4), (150.0, 1), (10_000.0, 1), (-10_000.0, 6)])
    def test_resolved_is_repeated_for_what_is_left_of_its_time(self, wall_s: float, repeats: int) -> None:
        """Once more at least; and no longer than ever, where the wall clock was set back."""
        outbox = Outbox(REPEATED)
        outbox.put(notice(state=RESOLVED), 0.0)
        outbox.done(outbox.take(0.0, 9)[0], 0.0)
        after = moved(outbox, REPEATED, 100.0, wall_s=wall_s)
        told = 0
        for second in range(5, 5 + int(3 * RESOLVED_RESEND_S)):
            for each in after.take(float(second), 9):
                after.done(each, float(second))
                told += 1

        assert repeats == told
        assert after.next_due_s() is None

    def test_room_is_counted_and_what_finds_none_too(self) -> None:
        for terms in (PAGER, EVERY):
            outbox = Outbox(terms)
            for name in "abcde":
                outbox.put(notice(name), 0.0)
            after = Outbox(terms, notices_max=3)

            assert 2 == after.restore(carried(outbox.state(0.0, START_S)), 5.0, START_S)
            assert 3 == after.queued

    def test_sink_that_is_of_another_kind_today(self) -> None:
        every, repeated = Outbox(EVERY), Outbox(REPEATED)
        for each in (notice(state=PENDING), notice(), notice(state=RESOLVED)):
            every.put(each, 0.0)
        every.put(notice("soon", PENDING), 0.0)
        repeated.put(notice(), 0.0)
        repeated.done(repeated.take(0.0, 9)[0], 0.0)

        assert [notice(state=RESOLVED)] == moved(every, PAGER, 0.0).take(9.0, 9)
        assert [] == moved(repeated, PAGER, 0.0).take(9.0, 9)

    @pytest.mark.parametrize("broken", [{}, {"waiting": [{}]}, {"waiting": 3}, {"waiting_since_wall_s": None}])
    def test_what_is_no_outbox_is_refused(self, broken: State) -> None:
        outbox = Outbox(PAGER)
        outbox.put(notice(), 0.0)
        state = outbox.state(0.0, START_S)
        state["entries"][0] = {**state["entries"][0], **broken} if broken else broken
        with pytest.raises(StateError, match="stored state: what should be a"):
            Outbox(PAGER).restore(state, 0.0, START_S)

    def test_changes_count_what_the_state_tells(self) -> None:
        """What has not changed need not be stored again; the passing of time and repeats change nothing."""
        outbox = Outbox(REPEATED)
        seen = [outbox.changes]
        told = notice()
        for change in (
            lambda: outbox.put(told, 0.0),
            lambda: outbox.retry(outbox.take(0.0, 9)[0], 0.0, due_s=1.0),
            lambda: outbox.done(outbox.take(1.0, 9)[0], 1.0),
            lambda: outbox.put(notice(state=RESOLVED), 2.0),
            lambda: outbox.done(outbox.take(2.0, 9)[0], 2.0),
        ):
            change()
            seen.append(outbox.changes)
        assert sorted(set(seen)) == seen
        state = outbox.state(0.0, START_S)
        outbox.done(outbox.take(62.0, 9)[0], 62.0)

        assert (seen[-1], state) == (outbox.changes, outbox.state(0.0, START_S))


class Time:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.clocks: Final = Clocks(wall=lambda: START_S + self.now_s, steady=lambda: self.now_s)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def _told(worker: Worker) -> None:
    while worker.step():
        pass


class TestDelivery:
    def test_alert_decided_before_a_crash_is_told_after_it_with_its_delay(self) -> None:
        clock, sink = Time(), ListSink()
        sink.troubles = [DOWN]
        before = Worker(sink, clock.clocks)
        before.offer([notice()])
        _told(before)
        clock.now_s = 100.0
        after = Worker(sink, clock.clocks)
        after.restore(carried(before.state()), START_S + 100.0)
        _told(after)
        status = after.status()

        assert [("key-a", "firing")] == sink.told
        assert (100.0, 1) == (status.delays.sum_s, len(status.receipts))

    def test_receipts_and_delays_go_on(self) -> None:
        clock, sink = Time(), ListSink()
        before = Worker(sink, clock.clocks)
        before.offer([notice("a")])
        clock.now_s = 2.0
        _told(before)
        after = Worker(sink, clock.clocks)
        after.restore(carried(before.state()), START_S + 2.0)

        assert before.status().receipts == after.status().receipts
        assert before.status().delays == after.status().delays

    def test_sink_that_is_no_more_is_dropped_with_a_line(self, logs: list[Any]) -> None:
        delivery = Delivery([ListSink("old"), ListSink("kept")])
        delivery.offer([transition(alert("a")), transition(alert("b"))], START_S)
        states = {name: carried(state) for name, state in delivery.state().items()}
        delivery.close()
        after = Delivery([ListSink("kept"), ListSink("new")])
        after.restore(states, START_S)
        after.close()

        assert [2, 0] == [each.queued for each in after.status()]
        (line,) = [each for each in logs if each["log_level"] == "warning"]
        assert ("old", 2) == (line["sink"], line["notices"])

    def test_sections_are_marked_by_what_changed(self) -> None:
        delivery = Delivery([ListSink("a", REPEATED), ListSink("b", EVERY)])
        first = delivery.sections()
        delivery.offer([transition(alert(state=PENDING, firing_s=None))], START_S)  # wanted by one of them
        second = delivery.sections()

        assert [f"{SECTION}a", f"{SECTION}b"] == [each.name for each in first]
        assert [True, False] == [one.mark == two.mark for one, two in zip(first, second, strict=True)]
        assert [0, 1] == [len(each.make()["outbox"]["entries"]) for each in second]
        assert {each.mark for each in Delivery([ListSink("a", REPEATED)]).sections()}.isdisjoint(
            {each.mark for each in (*first, *second)}
        )

    def test_what_found_no_room_is_counted_and_shown(self) -> None:
        clock = Time()
        before = Worker(ListSink(), clock.clocks)
        before.offer([notice(name) for name in "abc"])
        after = Worker(ListSink(), clock.clocks, Outbox(PAGER, notices_max=2))
        after.restore(carried(before.state()), START_S)
        status = after.status()

        assert (2, {FULL: 1}, False) == (status.queued, status.failed, status.is_healthy)

    def test_resume_takes_over_only_what_no_outbox_holds(self) -> None:
        delivery = Delivery([ListSink("am", REPEATED)])
        delivery.offer([transition(alert("held", severity=Severity.SEV1))], START_S)
        after = Delivery([ListSink("am", REPEATED), ListSink("new", REPEATED)])
        after.restore({name: carried(state) for name, state in delivery.state().items()}, START_S)
        after.resume([alert("held"), alert("other"), alert("over", RESOLVED)], START_S)

        assert [2, 2] == [each.queued for each in after.status()]
        held = [each for each in after.state()["am"]["outbox"]["entries"] if "sev1" in str(each)]
        assert 1 == len(held)

    def test_state_without_anything_is_taken_in(self) -> None:
        after = Delivery([ListSink("a")])
        after.restore({"a": {}}, START_S)

        assert [0] == [each.queued for each in after.status()]


def test_notice_of_a_state_is_the_same_message() -> None:
    """Its identity, which a receiver knows it by, comes from the transition alone."""
    outbox = Outbox(PAGER)
    first = replace(notice(), decided_wall_s=START_S + 3)
    outbox.put(first, 0.0)
    (after,) = moved(outbox, PAGER, 0.0).take(9.0, 9)

    assert (first, message_id(first)) == (after, message_id(after))
