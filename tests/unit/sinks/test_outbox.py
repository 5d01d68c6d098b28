from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitor.domain import AlertState
from monitor.sinks.base import Notice, Terms
from monitor.sinks.outbox import Outbox, Put
from tests.unit.sinks.examples import START_S, notice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGER: Final = Terms()
REPEATED: Final = Terms(resend_s=60.0, notices_max=64)
EVERY: Final = Terms(is_every_change_told=True, notices_max=64)
FIRING, RESOLVED, PENDING = AlertState.FIRING, AlertState.RESOLVED, AlertState.PENDING


def test_what_is_put_is_due_at_once_and_until_it_is_done() -> None:
    outbox = Outbox(PAGER)
    told = notice()

    assert outbox.put(told, 5.0) is Put.QUEUED
    assert outbox.next_due_s() == 5.0
    assert outbox.take(4.9, 8) == []
    assert outbox.take(5.0, 8) == [told]
    assert outbox.take(5.0, 8) == []  # under way
    assert (outbox.queued, outbox.oldest_s(7.0)) == (1, 2.0)
    assert outbox.done(told, 8.0)
    assert (outbox.queued, outbox.oldest_s(8.0)) == (0, 0.0)
    assert outbox.next_due_s() is None


def test_newer_state_takes_the_place_of_a_waiting_one() -> None:
    outbox = Outbox(PAGER)
    outbox.put(notice(before=FIRING), 0.0)
    worse = notice(before=FIRING, at_s=START_S + 1)

    assert outbox.put(worse, 1.0) is Put.SUPERSEDED
    assert outbox.queued == 1
    assert outbox.oldest_s(3.0) == 3.0  # the alert has been waiting to be told of since then
    assert outbox.take(1.0, 8) == [worse]


def test_newer_state_follows_one_under_way() -> None:
    outbox = Outbox(PAGER)
    first, second = notice(), notice(state=RESOLVED)
    outbox.put(first, 0.0)
    outbox.take(0.0, 8)
    outbox.put(second, 1.0)

    assert outbox.take(1.0, 8) == []
    assert outbox.done(first, 2.0)
    assert outbox.take(2.0, 8) == [second]
    assert outbox.done(second, 3.0)


def test_retry_waits_until_due_and_a_newer_state_does_not() -> None:
    outbox = Outbox(PAGER)
    first, second = notice(), notice(at_s=START_S + 1, before=FIRING)
    outbox.put(first, 0.0)
    outbox.take(0.0, 8)

    assert outbox.retry(first, 1.0, due_s=31.0)
    assert outbox.attempts(first) == 1
    assert outbox.take(30.0, 8) == []
    outbox.put(second, 30.0)
    assert outbox.take(30.0, 8) == [second]


def test_what_is_under_way_is_not_given_twice() -> None:
    outbox = Outbox(PAGER)
    outbox.put(notice(), 0.0)
    outbox.hurry(0.0)  # due at the same instant for a second reason

    assert len(outbox.take(0.0, 1)) == 1
    assert outbox.take(0.0, 1) == []


def test_success_starts_the_count_of_attempts_anew() -> None:
    outbox = Outbox(REPEATED)
    told = notice()
    outbox.put(told, 0.0)
    outbox.take(0.0, 1)
    outbox.retry(told, 0.0, due_s=1.0)
    outbox.take(1.0, 1)
    outbox.done(told, 1.0)

    assert outbox.attempts(told) == 0


class TestWhatIsOver:
    """What fired and resolved while the receiver was away is told as resolved: it wakes nobody, and does not vanish."""

    def test_is_told_as_resolved_alone(self) -> None:
        outbox = Outbox(PAGER)
        outbox.put(notice(), 0.0)
        over = notice(state=RESOLVED)

        assert outbox.put(over, 1.0) is Put.SUPERSEDED
        assert outbox.take(9.0, 8) == [over]

    def test_also_after_an_attempt_that_failed(self) -> None:
        outbox = Outbox(PAGER)
        first, over = notice(), notice(state=RESOLVED)
        outbox.put(first, 0.0)
        outbox.take(0.0, 8)
        outbox.retry(first, 0.0, due_s=5.0)
        outbox.put(over, 1.0)

        assert outbox.take(5.0, 8) == [over]

    def test_also_when_it_resolved_while_the_attempt_was_under_way(self) -> None:
        outbox = Outbox(PAGER)
        first, over = notice(), notice(state=RESOLVED)
        outbox.put(first, 0.0)
        outbox.take(0.0, 8)
        outbox.put(over, 1.0)
        outbox.retry(first, 2.0, due_s=5.0)

        assert outbox.take(2.0, 8) == [over]

    def test_and_in_line_to_those_who_are_told_every_change(self) -> None:
        outbox = Outbox(EVERY)
        line = [notice(state=PENDING), notice(), notice(state=RESOLVED)]
        for each in line:
            assert outbox.put(each, 0.0) is Put.QUEUED

        told: list[Notice] = []
        while due := outbox.take(0.0, 8):
            told.extend(due)
            outbox.done(due[0], 0.0)
        assert told == line


class TestRepeats:
    def test_firing_is_repeated_until_resolved_and_resolved_for_five_minutes(self) -> None:
        outbox = Outbox(REPEATED)
        outbox.put(notice(), 0.0)
        told_at: dict[str, list[float]] = defaultdict(list)
        for second in range(1000):
            if second == 130:
                outbox.put(notice(state=RESOLVED), 130.0)
            for each in outbox.take(float(second), 8):
                told_at[each.alert.state.value].append(second)
                outbox.done(each, float(second))

        assert told_at == {"firing": [0, 60, 120], "resolved": [130, 190, 250, 310, 370, 430]}
        assert outbox.next_due_s() is None

    def test_repeats_are_not_counted_as_waiting_or_as_told_first(self) -> None:
        outbox = Outbox(REPEATED)
        told = notice()
        outbox.put(told, 0.0)

        assert outbox.done(outbox.take(0.0, 8)[0], 0.0)
        assert outbox.queued == 0
        assert not outbox.done(outbox.take(60.0, 8)[0], 60.0)

    def test_new_alerts_go_before_repeats(self) -> None:
        outbox = Outbox(REPEATED)
        old, new = notice("old"), notice("new")
        outbox.put(old, 0.0)
        outbox.done(outbox.take(0.0, 8)[0], 0.0)
        outbox.put(new, 70.0)

        assert outbox.take(70.0, 1) == [new]

    def test_failed_repeat_of_a_resolved_alert_ends_with_its_five_minutes(self) -> None:
        outbox = Outbox(REPEATED)
        told = notice(state=RESOLVED)
        outbox.put(told, 0.0)
        outbox.done(outbox.take(0.0, 8)[0], 0.0)
        outbox.take(60.0, 8)

        assert outbox.retry(told, 60.0, due_s=120.0)
        outbox.take(310.0, 8)
        assert not outbox.retry(told, 310.0, due_s=370.0)
        assert outbox.take(1e9, 8) == []


class TestRefusals:
    def test_without_repeats_a_refused_state_is_forgotten(self) -> None:
        outbox = Outbox(PAGER)
        told = notice()
        outbox.put(told, 0.0)
        outbox.take(0.0, 8)

        assert outbox.reject(told, 0.0)
        assert (outbox.queued, outbox.next_due_s(), outbox.take(1e9, 8)) == (0, None, [])

    def test_with_repeats_a_refused_firing_alert_comes_again_at_its_turn(self) -> None:
        outbox = Outbox(REPEATED)
        told = notice()
        outbox.put(told, 0.0)
        outbox.take(0.0, 8)

        assert outbox.reject(told, 0.0)  # news, to be logged
        assert outbox.take(60.0, 8) == [told]
        assert not outbox.reject(told, 60.0)  # no news
        assert outbox.take(120.0, 8) == [told]
        assert outbox.done(told, 120.0)  # told for the first time after all

    def test_refused_resolved_is_not_repeated(self) -> None:
        outbox = Outbox(REPEATED)
        told = notice(state=RESOLVED)
        outbox.put(told, 0.0)
        outbox.take(0.0, 8)
        outbox.reject(told, 0.0)

        assert outbox.take(1e9, 8) == []

    @pytest.mark.parametrize("terms", [PAGER, REPEATED, EVERY], ids=["pager", "repeated", "every"])
    @pytest.mark.parametrize("state", [FIRING, RESOLVED])
    def test_however_long_it_fails_it_is_kept(self, terms: Terms, state: AlertState) -> None:
        outbox = Outbox(terms)
        told = notice(state=state)
        outbox.put(told, 0.0)
        for day in range(1000):
            (due,) = outbox.take(day * 86_400.0, 8)
            assert outbox.retry(due, day * 86_400.0, due_s=(day + 1) * 86_400.0)

        assert (outbox.queued, outbox.take(1e9, 8)) == (1, [told])


def test_full_refuses_new_alerts_and_takes_in_news_of_held_ones() -> None:
    outbox = Outbox(PAGER, notices_max=2)
    outbox.put(notice("a", before=FIRING), 0.0)
    outbox.put(notice("b"), 0.0)

    assert outbox.put(notice("c"), 0.0) is Put.FULL
    assert outbox.put(notice("a", RESOLVED), 0.0) is Put.SUPERSEDED
    assert outbox.queued == 2


class TestHandedOver:
    def test_what_another_tells_of_from_now_on_is_forgotten(self) -> None:
        outbox = Outbox(REPEATED)
        repeated, waiting, ours = notice("a"), notice("b"), notice("c")
        for each in (repeated, waiting, ours):
            outbox.put(each, 0.0)
        outbox.done(outbox.take(0.0, 1)[0], 0.0)
        outbox.drop(lambda alert: alert.key != ours.alert.key)

        assert outbox.queued == 1
        assert outbox.take(100.0, 8) == [ours]
        assert [outbox.holds(each.key) for each in (repeated, waiting, ours)] == [False, False, True]

    def test_attempt_that_is_under_way_ends_as_it_may(self) -> None:
        ends: list[Callable[[Outbox, Notice], bool]] = [
            lambda outbox, told: outbox.done(told, 1.0),
            lambda outbox, told: outbox.retry(told, 1.0, due_s=2.0),
            lambda outbox, told: not outbox.reject(told, 1.0),
        ]
        for end in ends:
            outbox, told = Outbox(REPEATED), notice()
            outbox.put(told, 0.0)
            outbox.take(0.0, 8)
            outbox.drop(lambda _: True)

            assert outbox.attempts(told) == 0
            assert end(outbox, told)
            assert (outbox.queued, outbox.take(99.0, 8)) == (0, [])

    def test_what_is_held_is_newer_than_what_is_taken_over(self) -> None:
        before, outbox = Outbox(PAGER), Outbox(PAGER)
        before.put(notice(), 0.0)
        newer = notice(state=RESOLVED)
        outbox.put(newer, 0.0)
        outbox.restore(before.state(0.0, 0.0), 0.0, 0.0)

        assert outbox.queued == 1
        assert outbox.take(0.0, 8) == [newer]


def test_hurry_ends_back_offs() -> None:
    outbox = Outbox(PAGER)
    told = notice()
    outbox.put(told, 0.0)
    outbox.take(0.0, 8)
    outbox.retry(told, 0.0, due_s=60.0)
    outbox.hurry(1.0)

    assert outbox.take(1.0, 8) == [told]
    assert outbox.attempts(told) == 0


def test_long_outage_and_a_flapping_alert_do_not_grow_it() -> None:
    outbox = Outbox(PAGER)
    for second in range(5000):
        state = RESOLVED if second % 2 else FIRING
        outbox.put(notice(state=state, at_s=START_S + second, before=FIRING), float(second))

    assert outbox.queued == 1
    assert len(outbox._fresh) <= 2


class OutboxMachine(RuleBasedStateMachine):
    """Any order of calls: per alert the newest wins, order holds, nothing is lost, and the bound is kept."""

    terms = PAGER
    notices_max = 4

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(self.terms, notices_max=self.notices_max)
        self.now_s = 0.0
        self.step = 0
        self.under_way: list[Notice] = []
        self.put: dict[str, list[Notice]] = defaultdict(list)
        self.told: dict[str, list[Notice]] = defaultdict(list)
        self.states: dict[str, AlertState] = {}

    @rule(name=st.sampled_from("abcdef"), is_resolved=st.booleans())
    def offer(self, name: str, *, is_resolved: bool) -> None:
        before = self.states.get(name)
        if is_resolved and before is not FIRING:
            return
        state = RESOLVED if is_resolved else FIRING
        self.step += 1
        offered = notice(name, state, at_s=START_S + self.step, before=before if before is FIRING else PENDING)
        result = self.outbox.put(offered, self.now_s)
        if result is Put.FULL:
            return
        self.states[name] = state
        self.put[offered.key].append(offered)

    @rule(at_most=st.integers(1, 3))
    def take(self, at_most: int) -> None:
        taken = self.outbox.take(self.now_s, at_most)
        assert len(taken) <= at_most
        keys = [each.key for each in (*self.under_way, *taken)]
        assert len(keys) == len(set(keys))
        self.under_way.extend(taken)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        told = self._end_one(data)
        self.outbox.done(told, self.now_s)
        self.told[told.key].append(told)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), wait_s=st.floats(0, 90))
    def fail(self, data: st.DataObject, wait_s: float) -> None:
        failed = self._end_one(data)
        self.outbox.retry(failed, self.now_s, due_s=self.now_s + wait_s)

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @invariant()
    def stays_bounded(self) -> None:
        assert self.outbox.queued <= self.notices_max
        assert len(self.outbox._entries) <= self.notices_max

    @invariant()
    def keeps_order(self) -> None:
        for key, told in self.told.items():
            changes = [each for each, last in zip(told, [None, *told], strict=False) if each is not last]
            positions = [self._position(key, each) for each in changes]
            assert positions == sorted(positions)

    def teardown(self) -> None:
        """Let everything through: what the receiver was told last is the newest state."""
        for each in self.under_way:
            self.outbox.done(each, self.now_s)
            self.told[each.key].append(each)
        while self.outbox.queued:
            self.now_s += 100
            for each in self.outbox.take(self.now_s, 8):
                self.outbox.done(each, self.now_s)
                self.told[each.key].append(each)
        for key, put in self.put.items():
            self._check_end(put, self.told[key])

    def _check_end(self, put: Sequence[Notice], told: Sequence[Notice]) -> None:
        assert told[-1] is put[-1]

    def _position(self, key: str, told: Notice) -> int:
        return next(index for index, each in enumerate(self.put[key]) if each is told)

    def _end_one(self, data: st.DataObject) -> Notice:
        return self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))


class RepeatingMachine(OutboxMachine):
    terms = REPEATED


class EveryChangeMachine(OutboxMachine):
    terms = EVERY

    def _check_end(self, put: Sequence[Notice], told: Sequence[Notice]) -> None:
        assert list(put) == list(told)


_SETTINGS: Final = settings(max_examples=60, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])
TestNewestWins = OutboxMachine.TestCase
TestNewestWins.settings = _SETTINGS
TestNewestWinsWithRepeats = RepeatingMachine.TestCase
TestNewestWinsWithRepeats.settings = _SETTINGS
TestEveryChangeIsTold = EveryChangeMachine.TestCase
TestEveryChangeIsTold.settings = _SETTINGS


@pytest.mark.parametrize(
    "broken", [{"resend_s": 0.0}, {"notices_max": 0}, {"resend_s": 1.0, "is_every_change_told": True}]
)
def test_terms_that_contradict_themselves_are_refused(broken: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(broken))):
        replace(Terms(), **broken)  # type: ignore[arg-type]  # a table of broken values
