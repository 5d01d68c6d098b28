"""Spans of which messages are missing, and the ledger of pages: small parts that are kept whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.codec import decode, encode
from monitor.incomplete import SPANS_MAX, Incomplete
from monitor.ledger import Ledger
from monitor.rules import Budget
from tests.unit.state.benches import PANES, PLANTED, Bench, Traffic

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda at: (at[0], at[0] + at[1])), max_size=12)


def noted(spans: Sequence[tuple[int, int]]) -> Incomplete:
    incomplete = Incomplete(1_000.0)
    for start, end in spans:
        incomplete.add(float(start), float(end))
    return incomplete


@given(SPANS, st.integers(0, 80), st.integers(1, 10))
def test_a_time_is_touched_by_any_second_that_is_missing(spans: list[tuple[int, int]], start: int, length: int) -> None:
    missing = {second for first, last in spans for second in range(first, last)}
    incomplete, end = noted(spans), start + length

    assert bool(missing & set(range(start, end))) == incomplete.touch(float(start), float(end))
    assert [bool(missing & set(range(at, 80))) for at in range(80)] == incomplete.touched(
        np.arange(80.0), 80.0
    ).tolist()
    assert (max(missing) + 1 if missing else -np.inf) == incomplete.last_s


@given(SPANS)
def test_spans_are_merged_and_come_back(spans: list[tuple[int, int]]) -> None:
    incomplete = noted(spans)
    held = incomplete.state()["spans"]

    assert all(before[1] < after[0] for before, after in pairwise(held))
    other = Incomplete(1_000.0)
    other.restore(decode(encode(incomplete.state()), "spans"))
    assert other.state() == incomplete.state()


def test_old_spans_are_forgotten_and_many_become_one() -> None:
    incomplete = Incomplete(100.0)
    for at in range(SPANS_MAX + 5):
        incomplete.add(2.0 * at, 2.0 * at + 1.0)
    assert len(incomplete.state()["spans"]) == SPANS_MAX
    assert incomplete.touch(0.0, 12.0)

    incomplete.forget(2_000.0)

    assert not incomplete.touch(0.0, 1_900.0)
    assert incomplete.touch(1_902.0, 1_903.0)


# ---- the ledger


def test_a_ledger_goes_on() -> None:
    transitions = Bench.of().run(Traffic(1, PLANTED), PANES)
    one, other = Ledger(Budget(pages=3.0)), Ledger(Budget(pages=3.0))
    half = len(transitions) // 2
    one.take(transitions[:half], 200.0)

    other.restore(decode(encode(one.state()), "ledger"))
    one.take(transitions[half:], 400.0)
    other.take(transitions[half:], 400.0)

    assert one.pages(200.0) == other.pages(200.0)
    assert one.pages(200.0).spent
    assert one.pages(200.0).ended
    assert encode(one.state()) == encode(other.state())


def test_delays_counted_between_other_bounds_are_left_out_and_the_rest_is_kept() -> None:
    one, other = Ledger(Budget()), Ledger(Budget())
    one.take(Bench.of().run(Traffic(1, PLANTED), 110), 200.0)
    state = one.state()
    state["decided"]["bounds_s"] = [1.0, 2.0]

    other.restore(state)

    assert sum(other.pages(None).decided.counts) == 0
    assert other.pages(None).behind == one.pages(None).behind
    assert other.pages(110.0).spent == one.pages(110.0).spent


def test_a_state_of_an_older_version_keeps_what_it_knew() -> None:
    other = Ledger(Budget())

    other.restore({})

    assert other.pages(None) == Ledger(Budget()).pages(None)
