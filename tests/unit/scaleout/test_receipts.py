"""What a judge takes of deltas that overlap, come again, or come late."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.claims import Stretch
from monitor.codec import decode, encode
from monitor.domain import TopicPartition
from monitor.receipts import Position, Receipt, Receipts, Verdict

PLACE: Final = TopicPartition("events", 0)
OTHER: Final = TopicPartition("events", 1)

STRETCHES: Final = st.tuples(st.integers(0, 40), st.integers(0, 20), st.booleans()).map(
    lambda drawn: Stretch(drawn[0], drawn[0] + drawn[1], drawn[2])
)
LOGS: Final = st.lists(st.tuples(st.sampled_from([PLACE, OTHER]), st.integers(1, 4), STRETCHES))


def at_ten() -> Receipts:
    """Give one that has taken all before offset 10 by the owner of epoch 5."""
    receipts = Receipts()
    receipts.take(PLACE, 5, Stretch(0, 10, is_fine=False))
    return receipts


@pytest.mark.parametrize(
    ("epoch", "stretch", "receipt", "position"),
    [
        pytest.param(5, (10, 20, False), (Verdict.TAKEN, 10, 0), (5, 20), id="next_in_order"),
        pytest.param(9, (10, 20, False), (Verdict.TAKEN, 10, 0), (9, 20), id="next_by_a_new_owner"),
        pytest.param(9, (4, 20, True), (Verdict.TAKEN, 10, 0), (9, 20), id="fine_is_taken_from_where_it_is_new"),
        pytest.param(9, (4, 20, False), (Verdict.TORN, 20, 10), (9, 20), id="counts_can_not_be_taken_apart"),
        pytest.param(5, (0, 10, False), (Verdict.OLD, 10, 0), (5, 10), id="the_same_again"),
        pytest.param(9, (2, 8, True), (Verdict.OLD, 8, 0), (9, 10), id="old_but_the_owner_is_new"),
        pytest.param(4, (10, 20, False), (Verdict.STALE, 20, 0), (5, 10), id="by_an_owner_of_before"),
        pytest.param(5, (10, 10, False), (Verdict.EMPTY, 10, 0), (5, 10), id="nothing_has_come"),
        pytest.param(4, (10, 10, False), (Verdict.STALE, 10, 0), (5, 10), id="nothing_has_come_to_one_of_before"),
        pytest.param(5, (13, 20, False), (Verdict.TAKEN, 13, 3), (5, 20), id="three_are_missing"),
        pytest.param(5, (13, 20, True), (Verdict.TAKEN, 13, 3), (5, 20), id="three_are_missing_before_fine_ones"),
        pytest.param(5, (13, 13, False), (Verdict.TAKEN, 13, 3), (5, 13), id="three_are_missing_and_nothing_came"),
    ],
)
def test_delta_is_decided_on(
    epoch: int, stretch: tuple[int, int, bool], receipt: tuple[Verdict, int, int], position: tuple[int, int]
) -> None:
    receipts = at_ten()

    assert Receipt(*receipt) == receipts.take(PLACE, epoch, Stretch(*stretch))
    assert {PLACE: Position(*position)} == receipts.positions


@pytest.mark.parametrize("is_fine", [True, False])
def test_of_a_partition_that_is_new_all_is_taken(is_fine: bool) -> None:  # noqa: FBT001 - a parameter
    receipts = at_ten()

    assert Receipt(Verdict.TAKEN, 70) == receipts.take(OTHER, 1, Stretch(70, 80, is_fine))
    assert Position(1, 80) == receipts.positions[OTHER]


def test_empty_stretch_is_enough_to_know_a_partition() -> None:
    receipts = Receipts()

    assert Receipt(Verdict.EMPTY, 70) == receipts.take(PLACE, 1, Stretch(70, 70, is_fine=False))
    assert Receipt(Verdict.TAKEN, 75, 5) == receipts.take(PLACE, 1, Stretch(75, 80, is_fine=False))


def test_after_what_was_torn_it_goes_on() -> None:
    receipts = at_ten()
    receipts.take(PLACE, 5, Stretch(4, 20, is_fine=False))

    assert Receipt(Verdict.TAKEN, 20) == receipts.take(PLACE, 5, Stretch(20, 30, is_fine=False))


def test_stretch_that_ends_before_it_begins_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="a stretch from 3 to 2"):
        Receipts().take(PLACE, 1, Stretch(3, 2, is_fine=False))


def test_positions_are_a_view() -> None:
    receipts = Receipts()
    positions = receipts.positions
    receipts.take(PLACE, 1, Stretch(0, 4, is_fine=False))

    assert {PLACE: Position(1, 4)} == positions


def test_state_that_knows_nothing_leaves_it_as_it_was_made() -> None:
    receipts = Receipts()
    receipts.restore({})

    assert {} == receipts.positions


@given(LOGS, st.integers(0, 100))
def test_kept_at_any_point_it_goes_on_alike(log: list[tuple[TopicPartition, int, Stretch]], at: int) -> None:
    through, kept = Receipts(), Receipts()
    wanted = [through.take(*delta) for delta in log]

    for delta in log[:at]:
        kept.take(*delta)
    successor = Receipts()
    successor.restore(decode(encode(kept.state()), "receipts"))

    assert wanted[at:] == [successor.take(*delta) for delta in log[at:]]
    assert through.positions == successor.positions


@given(LOGS)
def test_no_offset_is_taken_twice_and_none_is_passed_over_in_silence(
    log: list[tuple[TopicPartition, int, Stretch]],
) -> None:
    """Also by folds that keep to no rules."""
    receipts = Receipts()
    taken: dict[TopicPartition, list[int]] = {PLACE: [], OTHER: []}
    missing = {PLACE: 0, OTHER: 0}
    begins: dict[TopicPartition, int] = {}
    for source, epoch, stretch in log:
        begins.setdefault(source, stretch.first)
        receipt = receipts.take(source, epoch, stretch)
        missing[source] += receipt.missing
        if receipt.verdict is Verdict.TAKEN:
            taken[source] += range(receipt.from_offset, stretch.next)

    for source, first in begins.items():
        assert sorted(set(taken[source])) == taken[source]
        assert receipts.positions[source].next - first == len(taken[source]) + missing[source]
