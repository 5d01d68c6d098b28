"""Breakers: when a partition is held, when it is tried, and what decides then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.breakers import LAST, SHARE_MIN, TRIED_MIN, Breakers, BreakerTerms
from monitor.codec import decode, encode
from monitor.domain import Batch, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Sequence

GOOD = TopicPartition("events", 0)
BAD = TopicPartition("events", 1)
TERMS = BreakerTerms(share_max=0.5, run_max=100, retry_s=300.0)
NOW_S = 1_000_000.0


def feed(
    breakers: Breakers, flags: Sequence[bool], now_s: float = NOW_S, place: TopicPartition = BAD, batches: int = 1
) -> None:
    """Give messages of one partition, each valid or not, in some batches."""
    for part in np.array_split(np.array(flags, dtype=bool), batches):
        batch = Batch([b""] * len(part), [0] * len(part), [place])
        breakers.take(batch, np.flatnonzero(~part).tolist(), now_s)


class TestOpening:
    @pytest.mark.parametrize(("bad", "is_held"), [(99, False), (100, True)])
    def test_run_of_invalid_messages_opens(self, bad: int, *, is_held: bool) -> None:
        breakers = Breakers(TERMS)
        feed(breakers, [True] * 5_000 + [False] * bad, batches=7)

        assert is_held == (BAD in breakers.held())

    def test_one_valid_message_ends_a_run(self) -> None:
        breakers = Breakers(TERMS)
        feed(breakers, [True] * 5_000)
        feed(breakers, [*[False] * 99, True, *[False] * 99])

        assert {} == breakers.open_partitions()

    def test_share_of_the_last_messages_opens_without_a_run(self) -> None:
        breakers = Breakers(TERMS)
        feed(breakers, [True] * 5_000)
        feed(breakers, [True, False, False] * 240)
        before = breakers.held()
        feed(breakers, [True, False, False] * 20)

        assert frozenset() == before
        assert {BAD: "520 of the last 1000 messages can't be used"} == breakers.open_partitions()

    def test_few_messages_are_no_share(self) -> None:
        breakers = Breakers(TERMS)
        feed(breakers, [False, False, True] * (SHARE_MIN // 3))
        before = breakers.held()
        feed(breakers, [False, False, True])

        assert (frozenset(), frozenset({BAD})) == (before, breakers.held())

    def test_fault_that_is_over_within_the_batch_holds_nothing(self) -> None:
        breakers = Breakers(TERMS)
        feed(breakers, [True] * 1_000 + [False] * 400 + [True] * 10)

        assert frozenset() == breakers.held()

    @pytest.mark.parametrize("terms", [BreakerTerms(1.0, 0), BreakerTerms(1.0, 10_000)])
    def test_turned_off_it_stays_closed(self, terms: BreakerTerms) -> None:
        breakers = Breakers(terms)
        feed(breakers, [False] * 5_000, batches=3)

        assert frozenset() == breakers.held()

    def test_partitions_of_one_batch_are_told_apart(self) -> None:
        breakers = Breakers(TERMS)
        partitions = np.tile([0, 1], 150)
        breakers.take(Batch([b""] * 300, partitions, [GOOD, BAD]), range(1, 300, 2), NOW_S)

        assert {BAD: "150 messages in a row can't be used"} == breakers.open_partitions()

    @given(st.lists(st.booleans(), max_size=600), st.integers(1, 9))
    @settings(deadline=None)
    def test_state_is_that_of_a_plain_count_wherever_batches_are_cut(self, flags: list[bool], batches: int) -> None:
        breakers = Breakers(BreakerTerms(1.0, 0))
        feed(breakers, flags, batches=batches)
        found = breakers.state()["partitions"] or [{"seen": 0, "run": 0, "invalid": np.empty(0)}]

        run = next((i for i, is_valid in enumerate(reversed(flags)) if is_valid), len(flags))
        assert (len(flags), run) == (found[0]["seen"], found[0]["run"])
        assert [i for i, valid in enumerate(flags) if not valid and i >= len(flags) - LAST] == list(found[0]["invalid"])


class TestTrial:
    def opened(self) -> Breakers:
        breakers = Breakers(TERMS)
        feed(breakers, [False] * 200)
        return breakers

    def test_held_partition_is_tried_after_a_while(self) -> None:
        breakers = self.opened()
        breakers.tick(NOW_S + 299.0)
        before = breakers.held()
        breakers.tick(NOW_S + 300.0)

        assert (frozenset({BAD}), frozenset()) == (before, breakers.held())
        assert [BAD] == list(breakers.open_partitions())  # it has yet to prove itself

    def test_valid_messages_close_it(self) -> None:
        breakers = self.opened()
        breakers.tick(NOW_S + 300.0)
        feed(breakers, [True] * (TRIED_MIN - 1))
        before = list(breakers.open_partitions())
        feed(breakers, [True])

        assert ([BAD], []) == (before, list(breakers.open_partitions()))

    def test_invalid_messages_hold_it_again(self) -> None:
        breakers = self.opened()
        breakers.tick(NOW_S + 300.0)
        feed(breakers, [False] * TRIED_MIN, NOW_S + 301.0)

        assert {BAD: "20 of 20 messages that were tried can't be used"} == breakers.open_partitions()
        breakers.tick(NOW_S + 600.0)
        assert frozenset({BAD}) == breakers.held()
        breakers.tick(NOW_S + 601.0)
        assert frozenset() == breakers.held()

    def test_reload_tries_at_once(self) -> None:
        breakers = self.opened()
        breakers.retry()

        assert frozenset() == breakers.held()


class TestRestart:
    def test_counts_live_across_a_restart(self) -> None:
        before, whole = Breakers(TERMS), Breakers(TERMS)
        for each in (before, whole):
            feed(each, [True] * 700 + [False] * 60)
        after = Breakers(TERMS)
        after.restore(decode(encode(before.state()), "breakers"), ["events"])
        for each in (after, whole):
            feed(each, [False] * 40)

        assert {BAD: "100 messages in a row can't be used"} == after.open_partitions() == whole.open_partitions()

    def test_restart_tries_what_was_held_and_still_tells_it(self) -> None:
        before, after = Breakers(TERMS), Breakers(TERMS)
        feed(before, [False] * 200)
        after.restore(decode(encode(before.state()), "breakers"), ["events"])

        assert frozenset() == after.held()
        assert before.open_partitions() == after.open_partitions()

    def test_topic_that_is_no_longer_read_is_forgotten(self) -> None:
        before, after = Breakers(TERMS), Breakers(TERMS)
        feed(before, [False] * 200)
        after.restore(before.state(), ["other"])

        assert {} == after.open_partitions()
