from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from structlog.testing import capture_logs

from monitor.delivery import Delivery
from monitor.domain import AlertState, Receipt, Severity
from monitor.errors import SinkError
from monitor.sinks.base import Notice, SinkBusyError, Terms
from monitor.sinks.outbox import Outbox
from monitor.sinks.worker import (
    BACKOFF_MAX_S,
    BREAKER_FAILURES,
    CLOSED,
    FULL,
    OPEN,
    RECEIPTS_MAX,
    Clocks,
    Worker,
    backoff_s,
)
from tests.unit.sinks.examples import START_S, ListSink, alert, notice, transition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FIRING, RESOLVED, PENDING = AlertState.FIRING, AlertState.RESOLVED, AlertState.PENDING
EVERY: Final = Terms(is_every_change_told=True, notices_max=8)
DOWN: Final = SinkError("host: connection refused", is_retryable=True, reason="unreachable")
BROKEN: Final = SinkError("host: answered 500", is_retryable=True, reason="server_error")
REFUSED: Final = SinkError("host: answered 400", is_retryable=False, reason="client_error")
KEPT_OUT: Final = SinkError("host: answered 401", is_retryable=False, reason="auth_error")


class Time:
    """A clock that stands still until it is moved; wall and steady time are START_S apart."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.clocks: Final = Clocks(wall=lambda: START_S + self.now_s, steady=lambda: self.now_s)


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def _run(worker: Worker, clock: Time, seconds: int = 0) -> None:
    """Let the worker do all that is due in the next so many seconds."""
    for _ in range(seconds + 1):
        while worker.step():
            pass
        clock.now_s += 1.0
    clock.now_s -= 1.0


def test_pagers_are_told_of_firing_and_resolved_and_logs_of_everything(clock: Time) -> None:
    pager, log = ListSink("pager"), ListSink("log", EVERY)
    for sink in (pager, log):
        worker = Worker(sink, clock.clocks)
        for state in (PENDING, FIRING, RESOLVED):
            worker.offer([notice(state=state)])
            _run(worker, clock)

    assert pager.told == [("key-a", "firing"), ("key-a", "resolved")]
    assert log.told == [("key-a", "pending"), ("key-a", "firing"), ("key-a", "resolved")]


def test_what_never_fired_is_not_told_to_pagers(clock: Time) -> None:
    """A breach that ended before it lasted goes from pending to resolved."""
    pager, log = ListSink("pager"), ListSink("log", EVERY)
    passed = alert(state=RESOLVED, firing_s=None)
    for sink in (pager, log):
        worker = Worker(sink, clock.clocks)
        worker.offer([Notice(transition(passed, before=PENDING), START_S)])
        _run(worker, clock)

    assert (pager.told, log.told) == ([], [("key-a", "resolved")])


def test_calls_carry_no_more_than_the_sink_wants(clock: Time) -> None:
    sink = ListSink(terms=Terms(notices_max=3))
    worker = Worker(sink, clock.clocks)
    worker.offer([notice(str(index)) for index in range(7)])
    _run(worker, clock)

    assert [len(call) for call in sink.calls] == [3, 3, 1]


def test_trouble_is_retried_with_growing_pauses_until_it_is_over(clock: Time, logs: list[Any]) -> None:
    sink = ListSink()
    sink.troubles = [DOWN] * 5
    worker = Worker(sink, clock.clocks)
    worker.offer([notice()])
    _run(worker, clock, seconds=60)

    assert sink.told == [("key-a", "firing")]
    assert 15.0 <= sink.times_s[0] - START_S <= 31.0 + 5.0  # 1 + 2 + 4 + 8 + 16, less up to half, rounded up to seconds
    status = worker.status()
    assert (status.delivered, status.failed, status.queued, status.is_healthy) == (1, {"unreachable": 5}, 0, True)
    assert [line["event"] for line in logs] == [
        "sink failed, will be retried",
        "sink recovered",
        "notification delivered",
    ]


def test_receipt_tells_when_an_alert_was_decided_and_accepted(clock: Time) -> None:
    worker = Worker(ListSink(), clock.clocks)
    clock.now_s = 2.0
    worker.offer([notice("a"), notice("b", RESOLVED)])
    _run(worker, clock)

    (receipt,) = worker.status().receipts
    assert Receipt("key-a", START_S, START_S, START_S + 2.0) == receipt
    assert 2.0 == worker.status().delays.sum_s


def test_delay_counts_from_the_decision_to_fire_through_an_outage_in_which_it_became_worse(clock: Time) -> None:
    sink = ListSink()
    sink.troubles = [DOWN] * 3
    worker = Worker(sink, clock.clocks)
    worker.offer([notice()])
    _run(worker, clock)
    worker.offer([Notice(transition(alert(severity=Severity.SEV1), before=FIRING, at_s=START_S + 9), START_S + 9)])
    _run(worker, clock, seconds=60)

    (receipt,) = worker.status().receipts
    assert START_S == receipt.decided_wall_s
    assert sink.times_s[0] - START_S == worker.status().delays.sum_s


def test_drills_have_receipts_and_are_not_timed(clock: Time) -> None:
    worker = Worker(ListSink(), clock.clocks)
    worker.offer([Notice(transition(alert(is_drill=True)), START_S)])
    _run(worker, clock)

    assert ["key-a"] == [each.dedup_key for each in worker.status().receipts]
    assert 0 == sum(worker.status().delays.counts)


def test_receipts_are_bounded(clock: Time) -> None:
    worker = Worker(ListSink(terms=Terms(notices_max=64)), clock.clocks)
    worker.offer([notice(str(number)) for number in range(RECEIPTS_MAX + 4)])
    _run(worker, clock)

    receipts = worker.status().receipts
    assert (RECEIPTS_MAX, "key-4") == (len(receipts), receipts[0].dedup_key)


def test_status_tells_of_an_outage(clock: Time) -> None:
    sink = ListSink("pager")
    sink.troubles = [DOWN] * 100
    worker = Worker(sink, clock.clocks)
    worker.offer([notice("a"), notice("b")])
    _run(worker, clock, seconds=30)
    status = worker.status()

    assert (status.name, status.delivered, status.queued, status.oldest_s) == ("pager", 0, 2, 30.0)
    assert not status.is_healthy


def test_a_pause_holds_for_the_whole_sink(clock: Time) -> None:
    """A receiver that is down is not asked once per alert."""
    sink = ListSink()
    sink.troubles = [DOWN] * 100
    worker = Worker(sink, clock.clocks)
    worker.offer([notice(str(index)) for index in range(50)])
    _run(worker, clock, seconds=120)

    assert worker.status().failed["unreachable"] < 15


def test_one_bad_alert_does_not_block_the_others(clock: Time) -> None:
    class Picky(ListSink):
        def deliver(self, notices: Sequence[Notice], now_wall_s: float) -> None:
            if any(each.key == "key-bad" for each in notices):
                raise BROKEN
            super().deliver(notices, now_wall_s)

    sink = Picky()
    worker = Worker(sink, clock.clocks)
    worker.offer([notice("bad"), notice("good"), notice("better")])
    _run(worker, clock, seconds=5)

    assert sink.told == [("key-good", "firing"), ("key-better", "firing")]


def test_receiver_that_asks_for_a_pause_gets_it(clock: Time) -> None:
    sink = ListSink()
    sink.troubles = [SinkBusyError("host: answered 429", reason="rate_limited", retry_after_s=120.0)]
    worker = Worker(sink, clock.clocks)
    worker.offer([notice()])
    _run(worker, clock, seconds=200)

    assert sink.times_s == [START_S + 120.0]


def test_refused_notice_is_counted_logged_once_and_dropped(clock: Time, logs: list[Any]) -> None:
    sink = ListSink()
    sink.troubles = [REFUSED] * 9
    worker = Worker(sink, clock.clocks)
    worker.offer([notice()])
    _run(worker, clock, seconds=300)

    status = worker.status()
    assert (sink.told, status.failed, status.queued, status.is_healthy) == ([], {"client_error": 1}, 0, False)
    assert [(line["event"], line["log_level"], line["dedup_key"]) for line in logs] == [
        ("notification dropped", "error", "key-a")
    ]


def test_refused_firing_alert_is_repeated_where_alerts_are(clock: Time, logs: list[Any]) -> None:
    """So that a mended receiver gets the alerts of before; the log does not repeat itself."""
    sink = ListSink(terms=Terms(resend_s=60.0))
    sink.troubles = [REFUSED] * 3
    worker = Worker(sink, clock.clocks)
    worker.offer([notice()])
    _run(worker, clock, seconds=200)

    assert sink.times_s == [START_S + 180.0]
    assert worker.status().failed == {"client_error": 3}
    assert [line["event"] for line in logs].count("notification dropped") == 1


def test_wrong_password_loses_nothing(clock: Time, logs: list[Any]) -> None:
    """Refused credentials say nothing of the notice: it waits until they are mended."""
    sink = ListSink()
    sink.troubles = [KEPT_OUT] * 20
    worker = Worker(sink, clock.clocks)
    worker.offer([notice()])
    _run(worker, clock, seconds=1500)

    assert ([("key-a", "firing")], {"auth_error": 20}) == (sink.told, worker.status().failed)
    assert "notification dropped" not in [line["event"] for line in logs]


def test_refused_call_is_taken_apart_to_find_the_one_at_fault(clock: Time) -> None:
    class Picky(ListSink):
        def deliver(self, notices: Sequence[Notice], now_wall_s: float) -> None:
            if any(each.key == "key-bad" for each in notices):
                raise REFUSED
            super().deliver(notices, now_wall_s)

    sink = Picky(terms=Terms(notices_max=8))
    worker = Worker(sink, clock.clocks)
    worker.offer([notice("a"), notice("bad"), notice("b")])
    _run(worker, clock)

    assert sink.told == [("key-a", "firing"), ("key-b", "firing")]
    assert worker.status().failed == {"client_error": 2}
    assert worker.status().queued == 0


def test_newest_state_is_told_after_an_outage(clock: Time) -> None:
    sink = ListSink()
    sink.troubles = [DOWN] * 4
    worker = Worker(sink, clock.clocks)
    worker.offer([notice()])
    _run(worker, clock)
    worse = Notice(transition(alert(severity=Severity.SEV1), before=FIRING, at_s=START_S + 9), START_S + 9)
    worker.offer([worse])
    _run(worker, clock, seconds=60)

    assert sink.calls == [[worse]]


def test_alert_that_came_and_went_during_an_outage_is_told_as_resolved(clock: Time) -> None:
    """Nobody is woken for what is over, and nothing vanishes."""
    sink = ListSink()
    sink.troubles = [DOWN] * 4
    worker = Worker(sink, clock.clocks)
    worker.offer([notice()])
    _run(worker, clock)
    worker.offer([notice(state=RESOLVED)])
    _run(worker, clock, seconds=60)

    assert ([("key-a", "resolved")], 0) == (sink.told, worker.status().queued)


def test_outage_of_a_week_loses_nothing(clock: Time) -> None:
    sink = ListSink()
    sink.troubles = [DOWN] * 20_000
    worker = Worker(sink, clock.clocks)
    worker.offer([notice("a"), notice("b")])
    while clock.now_s < 7 * 86_400:
        worker.step()
        clock.now_s += 60.0
    assert 2 == worker.status().queued
    sink.troubles.clear()
    _run(worker, clock, seconds=120)

    assert [("key-a", "firing"), ("key-b", "firing")] == sorted(sink.told)


def test_breaker_opens_and_asks_with_one_notice_at_a_time(clock: Time) -> None:
    class Counting(ListSink):
        def deliver(self, notices: Sequence[Notice], now_wall_s: float) -> None:
            sizes.append(len(notices))
            super().deliver(notices, now_wall_s)

    sizes: list[int] = []
    sink = Counting(terms=Terms(notices_max=8))
    sink.troubles = [DOWN] * 5
    worker = Worker(sink, clock.clocks)
    worker.offer([notice(str(number)) for number in range(8)])
    assert CLOSED == worker.status().breaker
    _run(worker, clock, seconds=8)
    assert OPEN == worker.status().breaker
    _run(worker, clock, seconds=120)

    assert [8] * BREAKER_FAILURES == sizes[:BREAKER_FAILURES]
    assert [1, 1, 1] == sizes[BREAKER_FAILURES:6]  # two that failed, and the one that closed it
    assert (CLOSED, 8, 0) == (worker.status().breaker, worker.status().delivered, worker.status().queued)


def test_firing_is_repeated_with_the_time_of_each_repeat(clock: Time) -> None:
    sink = ListSink(terms=Terms(resend_s=60.0, notices_max=8))
    worker = Worker(sink, clock.clocks)
    worker.offer([notice()])
    _run(worker, clock, seconds=130)

    assert sink.times_s == [START_S, START_S + 60, START_S + 120]
    assert worker.status().delivered == 1


def test_bug_in_a_sink_does_not_end_its_worker(clock: Time, logs: list[Any]) -> None:
    sink = ListSink()
    sink.troubles = [ZeroDivisionError("bug")]
    worker = Worker(sink, clock.clocks)
    worker.offer([notice("a"), notice("b")])
    _run(worker, clock)

    assert sink.told == [("key-b", "firing")]
    assert worker.status().failed == {"other": 1}
    assert logs[0]["event"] == "sink failed unexpectedly"


def test_overflow_is_counted_and_logged_once(clock: Time, logs: list[Any]) -> None:
    sink = ListSink()
    worker = Worker(sink, clock.clocks, Outbox(sink.terms, notices_max=2))
    worker.offer([notice(str(index)) for index in range(5)])
    worker.offer([notice("more")])

    status = worker.status()
    assert (status.queued, status.failed, status.is_healthy) == (2, {FULL: 4}, False)
    assert [line["event"] for line in logs] == ["outbox full, notifications dropped"]
    _run(worker, clock)
    assert worker.status().is_healthy


@pytest.mark.parametrize("failures", [1, 2, 5, 10, 10_000])
def test_back_off_is_bounded(failures: int) -> None:
    longest_s = min(BACKOFF_MAX_S, 2.0 ** min(failures - 1, 10))
    waits_s = [backoff_s(failures) for _ in range(200)]

    assert all(0.5 * longest_s <= wait_s <= longest_s for wait_s in waits_s)
    assert len(set(waits_s)) > 100  # several daemons do not come back at once


class TestThreads:
    """With real threads and real time."""

    def test_a_sink_that_hangs_slows_nobody(self) -> None:
        release = threading.Event()

        class Hanging(ListSink):
            def deliver(self, notices: Sequence[Notice], now_wall_s: float) -> None:
                release.wait(30.0)

        hanging, quick = Hanging("hanging"), ListSink("quick", Terms(notices_max=64))
        delivery = Delivery([hanging, quick])
        delivery.start()
        started_s = time.monotonic()
        for index in range(200):
            delivery.offer([transition(alert(str(index)))], START_S)
        offered_s = time.monotonic() - started_s
        _wait_until(lambda: len(quick.told) == 200)

        assert offered_s < 1.0
        assert [each.queued for each in delivery.status()] == [200, 0]
        delivery.close()
        assert quick.is_closed
        release.set()

    def test_drain_tells_what_waits_and_cuts_back_offs_short(self) -> None:
        sink = ListSink()
        sink.troubles = [DOWN] * 1
        delivery = Delivery([sink])
        delivery.start()
        delivery.offer([transition(alert())], START_S)
        _wait_until(lambda: not sink.troubles)
        started_s = time.monotonic()
        left = delivery.drain(5.0)
        delivery.close()

        assert (left, sink.told) == (0, [("key-a", "firing")])
        assert time.monotonic() - started_s < 0.4
        assert sink.is_closed

    def test_drain_keeps_to_its_budget(self, logs: list[Any]) -> None:
        sink = ListSink()
        sink.troubles = [DOWN] * 100
        delivery = Delivery([sink])
        delivery.start()
        delivery.offer([transition(alert())], START_S)
        started_s = time.monotonic()
        left = delivery.drain(0.3)
        delivery.close()

        assert left == 1
        assert 0.25 < time.monotonic() - started_s < 1.0
        assert "notifications left untold" in [line["event"] for line in logs]

    def test_close_wakes_a_worker_that_waits(self) -> None:
        sink = ListSink(terms=Terms(resend_s=3600.0))
        delivery = Delivery([sink])
        delivery.start()
        delivery.offer([transition(alert())], START_S)
        _wait_until(lambda: bool(sink.told))
        started_s = time.monotonic()
        delivery.close()
        delivery.close()

        assert time.monotonic() - started_s < 0.5
        assert sink.is_closed

    def test_never_started_is_closed_all_the_same(self) -> None:
        sink = ListSink()
        delivery = Delivery([sink])
        delivery.offer([transition(alert())], START_S)

        assert delivery.drain(5.0) == 1
        delivery.close()
        assert sink.is_closed

    def test_stored_alerts_are_taken_over_by_sinks_that_repeat(self) -> None:
        repeating, once = ListSink("am", Terms(resend_s=60.0)), ListSink("hook")
        delivery = Delivery([repeating, once])
        delivery.start()
        delivery.resume([alert("on"), alert("off", RESOLVED), alert("soon", PENDING)], START_S)
        delivery.drain(5.0)
        delivery.close()

        assert (repeating.told, once.told) == ([("key-on", "firing")], [])


def _wait_until(is_met: Any, timeout_s: float = 5.0) -> None:  # noqa: ANN401 - any callable
    deadline_s = time.monotonic() + timeout_s
    while not is_met():
        assert time.monotonic() < deadline_s, "did not happen in time"
        time.sleep(0.005)
