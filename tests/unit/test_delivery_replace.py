"""Other receivers while the daemon runs: who goes on, who takes over, and what is dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import pytest
from structlog.testing import capture_logs

from monitor.codec import decode, encode
from monitor.delivery import SECTION, Delivery
from monitor.domain import AlertState
from monitor.errors import SinkError
from monitor.sinks.base import Terms
from tests.support.daemon import wait_for
from tests.unit.sinks.examples import START_S, ListSink, alert, transition

if TYPE_CHECKING:
    from monitor.sinks.base import Sink

DOWN: Final = SinkError("host: connection refused", is_retryable=True, reason="unreachable")
REPEATED: Final = Terms(resend_s=3_600.0, notices_max=64)
NEVER: Final = [DOWN] * 1_000


class Unused(ListSink):
    """What is made of a receiver that has not changed: to be let go, and never told anything."""

    def deliver(self, notices: Sequence[Any], now_wall_s: float) -> None:
        raise AssertionError("told something")


class Desk:
    """A delivery that runs."""

    def __init__(self) -> None:
        self.made: list[Delivery] = []

    def of(self, *sinks: Sink) -> Delivery:
        delivery = Delivery(sinks)
        delivery.start()
        self.made.append(delivery)
        return delivery


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    for each in made.made:
        each.close()


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def down(name: str = "hook", terms: Terms | None = None) -> ListSink:
    sink = ListSink(name, terms)
    sink.troubles = list(NEVER)
    return sink


def fire(delivery: Delivery, *names: str) -> None:
    delivery.offer([transition(alert(name)) for name in names], START_S)


def tried(delivery: Delivery) -> None:
    """Wait until each receiver was asked once, in vain."""
    wait_for(lambda: all(status.failed for status in delivery.status()), "an attempt")


def queued(delivery: Delivery) -> dict[str, int]:
    return {status.name: status.queued for status in delivery.status()}


def test_receiver_that_has_not_changed_goes_on_with_what_waits(desk: Desk) -> None:
    old, unused = down(), Unused("hook")
    delivery = desk.of(old)
    fire(delivery, "a", "b")
    tried(delivery)
    before = delivery.status()
    delivery.replace([unused], {"hook"})

    assert ({"hook": 2}, True, False) == (queued(delivery), unused.is_closed, old.is_closed)
    assert before[0].failed.keys() == delivery.status()[0].failed.keys()
    old.troubles.clear()
    assert 0 == delivery.drain(10.0)
    assert {("key-a", "firing"), ("key-b", "firing")} == set(old.told)


def test_changed_receiver_takes_over_what_the_old_one_had_still_to_tell(desk: Desk, logs: list[Any]) -> None:
    old, new = down(), ListSink("hook")
    delivery = desk.of(old)
    fire(delivery, "a", "b")
    tried(delivery)
    delivery.replace([new], frozenset())
    fire(delivery, "c")

    assert 0 == delivery.drain(10.0)
    assert [("key-a", "firing"), ("key-b", "firing"), ("key-c", "firing")] == sorted(new.told)
    assert [] == old.told
    wait_for(lambda: old.is_closed, "the old sink to be let go")
    assert "sink is no longer configured" not in [line["event"] for line in logs]


def test_changed_receiver_is_not_told_again_what_the_old_one_told(desk: Desk) -> None:
    old, new = ListSink("hook"), ListSink("hook")
    delivery = desk.of(old)
    fire(delivery, "a")
    assert 0 == delivery.drain(10.0)
    delivery.replace([new], frozenset())
    delivery.offer([transition(alert("a", AlertState.RESOLVED), at_s=START_S + 60)], START_S + 60)

    assert 0 == delivery.drain(10.0)
    assert [("key-a", "resolved")] == new.told
    assert ["key-a"] == [receipt.dedup_key for receipt in delivery.status()[0].receipts]


def test_alerts_that_are_repeated_are_repeated_by_the_changed_receiver(desk: Desk) -> None:
    old, new = ListSink("am", REPEATED), ListSink("am", REPEATED)
    delivery = desk.of(old)
    fire(delivery, "a")
    assert 0 == delivery.drain(10.0)
    delivery.replace([new], frozenset())

    assert delivery._workers[0].holds("key-a")


def test_receiver_that_is_gone_is_dropped_with_what_it_had_and_that_is_said(desk: Desk, logs: list[Any]) -> None:
    gone, kept = down("gone"), ListSink("kept")
    delivery = desk.of(gone, kept)
    fire(delivery, "a", "b")
    wait_for(lambda: len(kept.told) == 2, "the other receiver")
    delivery.replace([Unused("kept")], {"kept"})
    fire(delivery, "c")

    assert 0 == delivery.drain(10.0)
    assert 3 == len(kept.told)
    assert (["kept"], [f"{SECTION}kept"]) == (
        [status.name for status in delivery.status()],
        [section.name for section in delivery.sections()],
    )
    (line,) = [each for each in logs if each["event"] == "sink is no longer configured"]
    assert ("gone", 2) == (line["sink"], line["notices_dropped"])
    wait_for(lambda: gone.is_closed, "the old sink to be let go")


def test_new_receiver_is_told_from_now_on(desk: Desk) -> None:
    old, new = ListSink("old"), ListSink("new")
    delivery = desk.of(old)
    fire(delivery, "a")
    assert 0 == delivery.drain(10.0)
    delivery.replace([Unused("old"), new], {"old"})
    fire(delivery, "b")

    assert 0 == delivery.drain(10.0)
    assert ([("key-a", "firing"), ("key-b", "firing")], [("key-b", "firing")]) == (old.told, new.told)


def test_name_of_what_has_changed_is_the_same_only_if_it_says_so(desk: Desk) -> None:
    """A new receiver under a name that is said to go on, but that there was none of, is made."""
    new = ListSink("new")
    delivery = desk.of()
    delivery.replace([new], {"new"})
    fire(delivery, "a")

    assert 0 == delivery.drain(10.0)
    assert [("key-a", "firing")] == new.told


def test_what_the_changed_receiver_took_over_is_stored_under_another_mark(desk: Desk) -> None:
    """Under the old mark the store would keep what the old one had."""
    delivery = desk.of(down())
    fire(delivery, "a")
    tried(delivery)
    (before,) = delivery.sections()
    delivery.replace([down()], frozenset())
    (after,) = delivery.sections()

    assert before.name == after.name
    assert before.mark != after.mark
    assert 1 == len(decode(encode(after.make()), "outbox")["outbox"]["entries"])


def test_closing_closes_those_that_are_in_use(desk: Desk) -> None:
    old, same, new = ListSink("old"), ListSink("same"), ListSink("new")
    delivery = desk.of(old, same)
    delivery.replace([Unused("same"), new], {"same"})
    delivery.close()

    wait_for(lambda: old.is_closed and same.is_closed and new.is_closed, "all to be let go")
