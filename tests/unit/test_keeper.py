"""When state is stored, and what is told when: by a store that notes what it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
from structlog.testing import capture_logs

from monitor.codec import decode, encode
from monitor.domain import AlertState, TopicPartition
from monitor.errors import StateError
from monitor.keeper import ERROR_LOG_S, SAVE_SHARE_MAX, UNTOLD, Decided, Keeper
from monitor.kept import Section, State
from tests.unit.sinks.examples import START_S, alert, transition

if TYPE_CHECKING:
    from monitor.domain import Transition

PLACES: Final = {TopicPartition("events", 0): 7}
SECTIONS: Final = [Section("counts", "a", lambda: {"n": 1})]
FIRED: Final = transition(alert("a"))
ENDED: Final = transition(alert("a", AlertState.RESOLVED), at_s=START_S + 60)


@dataclass
class Account:
    bytes: int = 10
    state_bytes: int = 30


@dataclass
class Notes:
    """A store in memory. cost_s: what a save takes; fails: whether it does."""

    now_s: float = 0.0
    cost_s: float = 0.0
    fails: bool = False
    saves: list[tuple[dict[str, State], Mapping[TopicPartition, int], float]] = field(default_factory=list)

    def save(self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float) -> Account:
        made = {each.name: decode(encode(each.make()), each.name) for each in sections}
        self.now_s += self.cost_s
        if self.fails:
            raise StateError("the disk is full")
        self.saves.append((made, positions, now_wall_s))
        return Account()

    def close(self) -> None:
        raise AssertionError("the keeper does not own it")

    def clock(self) -> float:
        return self.now_s


def keeper_of(store: Notes | None, save_s: float = 5.0) -> Keeper:
    return Keeper(store, save_s) if store is None else Keeper(store, save_s, store.clock)


def told(decided: Iterable[Decided]) -> list[tuple[list[Transition], float]]:
    return [(list(each.transitions), each.wall_s) for each in decided]


class TestTelling:
    def test_state_that_knows_of_what_was_told_follows_soon_where_that_is_asked_for(self) -> None:
        store = Notes()
        keeper = Keeper(store, 10.0, store.clock, settle_s=1.0)
        keeper.save(SECTIONS, PLACES, 100.0)

        assert not keeper.is_due(109.0)
        keeper.hold([FIRED], 109.0)
        keeper.save(SECTIONS, PLACES, 109.0)
        assert keeper.is_due(110.0)
        keeper.save(SECTIONS, PLACES, 110.0)
        assert not keeper.is_due(119.0)

    def test_what_was_decided_is_told_after_the_save_that_holds_it_and_once(self) -> None:
        store = Notes()
        keeper = keeper_of(store)
        keeper.hold([FIRED], 100.0)
        keeper.hold([ENDED], 101.0)
        first, is_saved = keeper.save(SECTIONS, PLACES, 102.0)
        second, _ = keeper.save(SECTIONS, PLACES, 103.0)

        assert is_saved
        assert [([FIRED], 100.0), ([ENDED], 101.0)] == told(first)
        assert [] == told(second)
        assert [2, 0] == [len(made[UNTOLD]["decided"]) for made, _, _ in store.saves]
        assert ({"n": 1}, PLACES, 102.0) == (store.saves[0][0]["counts"], *store.saves[0][1:])

    def test_process_that_dies_before_telling_leaves_it_to_the_next(self) -> None:
        """The save is done, and nobody has been told: all is in the state, as it was, with when it was decided."""
        store = Notes()
        keeper = keeper_of(store)
        keeper.hold([FIRED, ENDED], 100.0)
        keeper.save(SECTIONS, PLACES, 102.0)

        left = keeper_of(Notes()).restore(store.saves[-1][0][UNTOLD], 200.0)

        assert [([FIRED, ENDED], 100.0)] == told(left)

    def test_what_was_restored_is_not_stored_again_at_once(self) -> None:
        keeper = keeper_of(Notes(), save_s=5.0)
        keeper.restore({}, 200.0)

        assert [False, True] == [keeper.is_due(204.9), keeper.is_due(205.0)]

    def test_state_of_an_earlier_version_leaves_nothing(self) -> None:
        assert [] == keeper_of(Notes()).restore({}, 200.0)

    def test_all_is_told_when_it_can_not_be_stored_and_that_is_counted(self) -> None:
        store = Notes(fails=True)
        keeper = keeper_of(store)
        keeper.hold([FIRED], 100.0)
        with capture_logs() as lines:
            first, is_saved = keeper.save(SECTIONS, PLACES, 101.0)
            keeper.save(SECTIONS, PLACES, 102.0)

        assert ([([FIRED], 100.0)], False) == (told(first), is_saved)
        assert (2, 2, 0, None) == tuple(
            getattr(keeper.status, name) for name in ("failures", "failures_total", "saves", "saved_wall_s")
        )
        assert [("state_not_saved", "the disk is full")] == [(line["error_code"], line["error"]) for line in lines]

    def test_failures_in_a_row_end_with_the_next_good_save(self) -> None:
        store = Notes(fails=True, cost_s=0.5)
        keeper = keeper_of(store)
        with capture_logs():
            keeper.save(SECTIONS, PLACES, 101.0)
        store.fails = False
        keeper.save(SECTIONS, PLACES, 102.0)

        status = keeper.status
        assert (0, 1, 1) == (status.failures, status.failures_total, status.saves)
        assert (102.0, 0.5, 10, 30) == (status.saved_wall_s, status.cost_s, status.written_bytes, status.state_bytes)

    def test_long_trouble_is_logged_now_and_then(self) -> None:
        keeper = keeper_of(Notes(fails=True))
        with capture_logs() as lines:
            for after_s in (0.0, 1.0, ERROR_LOG_S - 0.1, ERROR_LOG_S):
                keeper.save(SECTIONS, PLACES, START_S + after_s)

        assert [1, 4] == [line["failures"] for line in lines]

    def test_without_a_store_all_is_told_and_nothing_is_kept(self) -> None:
        keeper = keeper_of(None)
        keeper.hold([FIRED], 100.0)
        first, is_saved = keeper.save(SECTIONS, PLACES, 101.0)

        assert ([([FIRED], 100.0)], False) == (told(first), is_saved)
        assert (False, 0, 0) == (keeper.status.is_kept, keeper.status.saves, keeper.status.failures)


class TestCadence:
    def test_it_is_due_at_once_and_then_as_often_as_asked(self) -> None:
        keeper = keeper_of(Notes())

        assert keeper.is_due(START_S)
        keeper.save(SECTIONS, PLACES, START_S)
        assert [False, False, True] == [keeper.is_due(START_S + after_s) for after_s in (0.0, 4.9, 5.0)]

    def test_what_is_to_be_told_does_not_wait_for_it(self) -> None:
        keeper = keeper_of(Notes())
        keeper.save(SECTIONS, PLACES, START_S)
        keeper.hold([], START_S)
        assert not keeper.is_due(START_S + 0.1)
        keeper.hold([FIRED], START_S)

        assert keeper.is_due(START_S + 0.1)

    @pytest.mark.parametrize("fails", [False, True])
    def test_costly_saves_are_made_less_often_even_for_what_is_to_be_told(self, fails: bool) -> None:  # noqa: FBT001
        """A save of 0.2 s may take a tenth of the time: the next one is two seconds later."""
        keeper = keeper_of(Notes(cost_s=0.2, fails=fails))
        with capture_logs():
            keeper.save(SECTIONS, PLACES, START_S)
        keeper.hold([FIRED], START_S)

        wait_s = 0.2 / SAVE_SHARE_MAX
        assert [False, True] == [keeper.is_due(START_S + after_s) for after_s in (wait_s - 0.1, wait_s + 0.01)]

    def test_saves_that_take_very_long_are_made_as_often_as_asked_all_the_same(self) -> None:
        keeper = keeper_of(Notes(cost_s=60.0))
        keeper.save(SECTIONS, PLACES, START_S)

        assert keeper.is_due(START_S + 5.0)
