"""What a judge shows is what its courts show, of all of them together: nothing is left out."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final

import numpy as np
import pytest

from monitor.court_house import NOBODY, together
from monitor.domain import Picture
from monitor.segment_hits import SegmentHits
from tests.unit.snapshots import picture

OF_THE_HOUSE: Final = frozenset({"half"})
"""What a house tells by itself."""


def hits() -> SegmentHits:
    one, yes = np.array([3, 4]), np.array([True, False])
    return SegmentHits("1h", (("ranker", "7", "latency_s", "a=b"),) * 2, one, one + 9, one + 5, one + 50, yes)


def full() -> Picture:
    return replace(
        picture(),
        segments=hits(),
        series_dropped=2,
        releases=("totals",),  # type: ignore[arg-type]  # it is handed on as it is
    )


@pytest.mark.parametrize("name", sorted({each.name for each in fields(Picture)} - OF_THE_HOUSE))
def test_one_court_is_shown_as_it_is_and_two_as_both(name: str) -> None:
    court = full()
    of_one, of_two = (getattr(together([court] * n), name) for n in (1, 2))
    own = getattr(court, name)

    assert own != getattr(NOBODY, name), "or the test would not see it left out"
    if isinstance(own, SegmentHits):
        assert (own.window, own.keys) == (of_one.window, of_one.keys)
        assert [*own.keys, *own.keys] == list(of_two.keys)
        for column in ("hits", "samples", "whole_hits", "whole_samples", "is_above"):
            np.testing.assert_array_equal(getattr(own, column), getattr(of_one, column))
            assert 2 * getattr(own, column).tolist() == getattr(of_two, column).tolist()
    elif name == "tables":
        assert [(each.name, each.window, each.rows.tolist()) for each in own] == [
            (each.name, each.window, each.rows.tolist()) for each in of_one
        ]
        assert [2 * len(each.rows) for each in own] == [len(each.rows) for each in of_two]
    else:
        assert own == of_one
        assert (own == of_two) is (name == "watermark_s")
