"""What an owner commits, and may then send."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.claims import Claim, Committed, Stage, Stretch, committed_of, starts_at

OFFSETS = st.integers(0, 10**18 - 1)


def claimed(found: Committed | None = None, start: int = 0, gathered: int = 100) -> Claim:
    """Give a claim that is committed, with messages gathered."""
    claim = Claim.begin(found, start, 0)
    claim.claimed()
    claim.gathered(gathered)
    return claim


def flush(claim: Claim, upto: int) -> Stretch:
    """Send all up to an offset, as far as one stretch goes, and let it be acknowledged."""
    after = claim.stretch(upto).next
    claim.intent(after)
    stretch = claim.sent(after)
    claim.acknowledged()
    return stretch


class TestCommitted:
    @given(OFFSETS, OFFSETS, OFFSETS)
    def test_text_is_read_back(self, offset: int, epoch: int, beyond: int) -> None:
        committed = Committed(offset, epoch, min(offset + beyond, 10**18 - 1))

        assert committed == committed_of(offset, committed.to_text())

    @given(OFFSETS, OFFSETS)
    def test_where_to_read_back_from_is_never_beyond_the_offset(self, offset: int, back: int) -> None:
        committed = Committed(offset, 3, offset, back)

        assert committed._replace(back=min(offset, back)) == committed_of(offset, committed.to_text())
        assert (offset, min(offset - 7, back)) == starts_at(offset, committed.to_text(), 0, 7)
        assert (offset, offset - 7) == starts_at(offset, Committed(offset, 3, offset).to_text(), 0, 7)

    @given(OFFSETS, st.text() | st.none())
    def test_other_text_says_that_nobody_owned_it(self, offset: int, text: str | None) -> None:
        assert Committed(offset, 0, offset) == committed_of(offset, text)

    @pytest.mark.parametrize(
        "text",
        [
            "driftd2:1:2",
            "driftd2:1:2:3:4",
            "driftd1:1",
            "driftd1:1:2:3",
            "driftd1:-1:2",
            "driftd1:1:2\n",
            "driftd1:١:٢",  # noqa: RUF001 - digits, but not ours
            "driftd1:1:" + "9" * 19,
        ],
    )
    def test_text_that_is_nearly_ours_is_not(self, text: str) -> None:
        assert Committed(5, 0, 5) == committed_of(5, text)

    def test_limit_is_never_before_the_offset(self) -> None:
        assert Committed(5, 3, 5) == committed_of(5, "driftd1:3:2")


class TestBegin:
    def test_where_nothing_was_committed_it_begins_at_the_start(self) -> None:
        assert Committed(7, 1, 7) == Claim.begin(None, 7, 0).to_claim()

    def test_epoch_follows_the_last_and_the_clock_where_that_is_ahead(self) -> None:
        assert 6 == Claim.begin(Committed(1, 5, 2), 0, 3).epoch
        assert 1_795_200_000_000 == Claim.begin(Committed(1, 5, 2), 0, 1_795_200_000_000).epoch

    def test_where_to_read_back_from_is_kept_until_a_later_one_is_known(self) -> None:
        claim = claimed(Committed(9, 1, 9, 4))

        assert (4, 4) == (claim.intent(20).back, claim.farewell().back)

    def test_limit_is_kept(self) -> None:
        assert Committed(1, 6, 9) == Claim.begin(Committed(1, 5, 9), 0, 0).to_claim()


class TestFlush:
    def test_before_the_limit_found_it_is_fine_and_never_crosses_it(self) -> None:
        claim = claimed(Committed(10, 1, 30))

        assert [Stretch(10, 20, True), Stretch(20, 30, True), Stretch(30, 100, False)] == [  # noqa: FBT003
            flush(claim, 20),
            flush(claim, 100),
            flush(claim, 100),
        ]

    def test_limit_rises_before_anything_is_sent_and_acked_after(self) -> None:
        claim = claimed()

        assert Committed(0, 1, 40) == claim.intent(40)
        assert Committed(0, 1, 40) == claim.intent(40)
        claim.sent(40)
        claim.acknowledged()
        assert Committed(40, 1, 60) == claim.intent(60)

    def test_intent_whose_outcome_is_unknown_may_go_further_the_next_time(self) -> None:
        claim = claimed()
        claim.intent(40)

        assert Committed(0, 1, 50) == claim.intent(50)
        assert Stretch(0, 50, is_fine=False) == claim.sent(50)

    def test_what_was_sent_is_sent_again_in_the_same_cut(self) -> None:
        claim = claimed()
        claim.intent(40)

        assert claim.sent(40) == claim.sent(40)
        with pytest.raises(AssertionError, match="50 was not intended, but 40"):
            claim.sent(50)

    def test_nothing_new_is_an_empty_stretch(self) -> None:
        claim = claimed(Committed(100, 1, 100))

        assert Committed(100, 2, 100) == claim.intent(100)
        assert Stretch(100, 100, is_fine=False) == claim.sent(100)

    def test_reading_goes_on_while_a_flush_is_under_way(self) -> None:
        claim = claimed()
        claim.intent(100)
        claim.sent(100)
        claim.gathered(150)
        claim.acknowledged()

        assert Stretch(100, 150, is_fine=False) == flush(claim, 150)

    def test_farewell_says_what_is_acknowledged_and_what_may_have_been_sent(self) -> None:
        claim = claimed()
        flush(claim, 20)
        claim.intent(70)
        claim.sent(70)

        assert Committed(20, 1, 70) == claim.farewell()
        assert Stage.OVER == claim.stage


class TestGaps:
    def test_no_stretch_covers_messages_that_are_gone(self) -> None:
        claim = claimed(gathered=10)
        claim.skip(15)
        claim.gathered(20)
        claim.skip(25)
        claim.skip(30)

        assert [Stretch(0, 10, False), Stretch(15, 20, False), Stretch(30, 30, False)] == [  # noqa: FBT003
            flush(claim, 30),
            flush(claim, 30),
            flush(claim, 30),
        ]

    def test_gap_at_the_start_is_passed_at_once(self) -> None:
        claim = Claim.begin(Committed(5, 1, 40), 0, 0)
        claim.claimed()
        claim.skip(20)
        claim.gathered(60)

        assert Stretch(20, 40, is_fine=True) == claim.stretch(60)

    def test_gap_over_the_limit_ends_what_is_fine(self) -> None:
        claim = Claim.begin(Committed(5, 1, 40), 0, 0)
        claim.claimed()
        claim.skip(50)
        claim.gathered(60)

        assert Stretch(50, 60, is_fine=False) == claim.stretch(60)

    def test_gap_found_while_a_flush_is_under_way_comes_after_it(self) -> None:
        claim = claimed(gathered=10)
        claim.intent(10)
        claim.sent(10)
        claim.skip(30)
        claim.acknowledged()

        assert Stretch(30, 30, is_fine=False) == claim.stretch(30)
        assert 10 == claim.acked


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Claim.begin(None, 0, 0).gathered(1), "not now: the claim is not committed yet"),
        (lambda: Claim.begin(None, 0, 0).intent(0), "not now: the claim is not committed yet"),
        (lambda: Claim.begin(None, 0, 0).farewell(), "not now: the claim is not committed yet"),
        (lambda: claimed().to_claim(), "not now: the claim has nothing under way"),
        (lambda: claimed().sent(10), "not now: the claim has nothing under way"),
        (lambda: claimed().acknowledged(), "not now: the claim has nothing under way"),
        (lambda: claimed().gathered(99), "gathered up to 99, which is before 100"),
        (lambda: claimed().stretch(101), "101 is not gathered: 0 to 100 are"),
        (lambda: claimed(Committed(10, 1, 30)).intent(40), "a stretch from 10 to 40 has to be cut at 30"),
        (lambda: Claim(Committed(10, 5, 9), 6), "a limit of 9 is before the offset 10"),
        (lambda: Claim(Committed(10, 5, 10), 5), "epoch 5 does not follow 5"),
    ],
)
def test_illegal_order_is_told(call: Callable[[], object], text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        call()


def test_nothing_is_asked_of_a_claim_given_up() -> None:
    claim = claimed()
    claim.intent(10)
    claim.farewell()

    with pytest.raises(AssertionError, match="not now: the claim was given up"):
        claim.sent(10)


@given(st.integers(0, 50), st.integers(0, 50), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 100))))
def test_stretches_of_an_owner_join_and_stay_below_what_was_committed(
    offset: int, beyond: int, turns: list[tuple[int, int]]
) -> None:
    found = Committed(offset, 1, offset + beyond)
    claim = claimed(found, gathered=offset)
    at = offset
    for more, part in turns:
        claim.gathered(claim.position + more)
        upto = claim.first + (claim.position - claim.first) * part // 100
        stretch = claim.stretch(upto)
        committed = claim.intent(stretch.next)
        assert stretch == claim.sent(stretch.next)

        assert at == stretch.first == committed.offset
        assert stretch.next <= committed.limit
        assert stretch.is_fine == (stretch.first < found.limit)
        assert not stretch.is_fine or stretch.next <= found.limit

        claim.acknowledged()
        at = stretch.next
