"""What every adapter promises; a new line in ADAPTERS is under test when it is written."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decode import ADAPTERS, Columns, Limits
from monitor.domain import Rejection
from monitor.fields import FIELDS, PREDICTION

NAMED = pytest.mark.parametrize("name", ADAPTERS)
VALUES = st.lists(st.none() | st.binary(max_size=40), max_size=20)


def assert_whole(columns: Columns, messages: int) -> None:
    """Every message has ended as events, an outcome, an annotation or a rejection; all columns are of one length."""
    ended = {*columns.messages, *columns.outcomes.messages, *(at for at, _ in columns.annotations)}
    ended |= {at for at, _ in columns.rejected}
    assert set(range(messages)) == ended
    assert not {at for at, _ in columns.rejected} & set(columns.messages)
    assert {len(columns)} == {
        len(columns.models),
        len(columns.versions),
        len(columns.times_s),
        len(columns.event_ids),
        len(columns.features),
        len(columns.segments),
        *map(len, columns.fields.values()),
    }
    assert all(isinstance(reason, Rejection) for _, reason in columns.rejected)
    assert set(columns.fields) <= {*FIELDS, PREDICTION}
    assert np.isfinite(columns.times_s).all()
    assert list(columns.messages) == sorted(columns.messages)


@NAMED
@settings(deadline=None)
@given(values=VALUES)
def test_any_bytes_are_accounted_for(name: str, values: list[bytes | None]) -> None:
    assert_whole(ADAPTERS[name](Limits()).decode(values), len(values))


@NAMED
def test_nothing_gives_nothing(name: str) -> None:
    assert_whole(ADAPTERS[name](Limits()).decode([]), 0)


@NAMED
def test_tombstones_are_empty(name: str) -> None:
    assert [(0, Rejection.EMPTY), (1, Rejection.EMPTY)] == ADAPTERS[name](Limits()).decode([None, b""]).rejected


@NAMED
def test_message_beyond_the_limit_is_rejected_unread(name: str) -> None:
    columns = ADAPTERS[name](Limits(message_bytes_max=100)).decode([b"{" * 101])

    assert [(0, Rejection.TOO_LARGE)] == columns.rejected


@NAMED
def test_what_became_of_a_message_does_not_depend_on_the_others(name: str) -> None:
    rng = random.Random(1)
    values: list[bytes | None] = [
        None,
        b"",
        b"{}",
        b"[]",
        b"\xff",
        *(rng.randbytes(rng.randrange(20)) for _ in range(200)),
    ]
    adapter = ADAPTERS[name](Limits())

    alone = [(i, reason) for i, value in enumerate(values) for _, reason in adapter.decode([value]).rejected]

    assert alone == sorted(adapter.decode(values).rejected)
