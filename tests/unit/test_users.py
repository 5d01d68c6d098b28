"""Distinct users: beside the truth, merged, kept, and however messages were cut."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import numpy as np
import pytest

from monitor.join.terms import JoinTerms
from monitor.users import MODELS_MAX, OVERFLOW, PARTS, Users
from tests.unit.join.traffic import START_S, encoded, fed, inference, joining

DAY_S = 86_400.0
ALPHA = 0.05


def told(users: Users, ids: Sequence[str | None], times_s: Sequence[float], subject: int = 0) -> None:
    users.add(ids, np.full(len(ids), subject), np.array(times_s, dtype=np.float64))


@pytest.mark.parametrize("count", [1, 20, 150])
def test_few_users_are_counted_exactly(count: int) -> None:
    users = Users([DAY_S])
    for at in range(5):
        told(users, [f"u{i}" for i in range(count)], [100.0 * at] * count)
    value, low, high, samples = users.estimate(0, 0, 1_000.0, ALPHA)

    assert (count, 5 * count) == (round(value), samples)
    assert low <= value <= high


def test_interval_holds_the_true_number_as_often_as_it_says() -> None:
    missed = 0
    for draw in range(200):
        users = Users([DAY_S])
        told(users, [f"{draw}-{i}" for i in range(5_000)], np.linspace(0.0, DAY_S, 5_000).tolist())
        _, low, high, _ = users.estimate(0, 0, DAY_S, ALPHA)
        missed += not low <= 5_000 <= high

    assert missed / 200 <= ALPHA + 0.04


def test_who_came_before_the_window_is_not_in_it_and_silence_is_nobody() -> None:
    users = Users([PARTS * 10.0])
    told(users, ["early"], [0.0])
    told(users, ["late", "late", None], [200.0, 205.0, 206.0])

    assert (1, 2) == (round(users.estimate(0, 0, 210.0, ALPHA).value), users.estimate(0, 0, 210.0, ALPHA).samples)
    assert (0.0, 0.0, 0.0, 0) == users.estimate(0, 0, 1_000.0, ALPHA)
    assert np.isnan(users.estimate(1, 0, 210.0, ALPHA).value)


def test_batches_and_restarts_change_nothing() -> None:
    random_ = random.Random(3)
    ids = [f"u{random_.randrange(2_000)}" for _ in range(6_000)]
    times_s = np.cumsum([random_.expovariate(0.02) for _ in ids]).tolist()
    whole, parts = Users([60.0, DAY_S]), Users([60.0, DAY_S])
    told(whole, ids, times_s)
    for start in range(0, len(ids), 77):
        told(parts, ids[start : start + 77], times_s[start : start + 77])
        states = {section.name: section.make() for section in parts.sections()}
        parts = Users([60.0, DAY_S])
        parts.restore(states)

    for window in (0, 1):
        assert whole.estimate(0, window, times_s[-1], ALPHA) == parts.estimate(0, window, times_s[-1], ALPHA)


def test_what_others_have_counted_comes_to_the_same_users() -> None:
    """Each of two counts every other event, and they hand it over now and then; of thousands, within the error."""
    for distinct, tolerance in ((60, 0.0), (8_000, 0.03)):
        ids, times_s = [f"u{i * 7_919 % distinct}" for i in range(12_000)], [i / 100.0 for i in range(12_000)]
        whole, merged, parts = Users([60.0]), Users([60.0]), [Users([60.0]), Users([60.0])]
        told(whole, ids, times_s)
        for start in range(0, len(ids), 600):
            for number, part in enumerate(parts):
                at = slice(start + number, start + 600, 2)
                told(part, ids[at], times_s[at])
                for slices in part.take().values():
                    for each in slices:
                        merged.merge(0, each)
        expected, found = (each.estimate(0, 0, times_s[-1], ALPHA) for each in (whole, merged))

        assert expected.samples == found.samples
        assert found.value == pytest.approx(expected.value, rel=tolerance + 1e-6)
        assert not any(part.take() for part in parts)


def test_users_of_a_window_that_is_none_here_are_left_out() -> None:
    part, merged = Users([30.0]), Users([60.0])
    told(part, ["u"], [0.0])
    for each in part.take()[0]:
        merged.merge(0, each)

    assert 0 not in merged


def test_model_versions_beyond_the_bound_are_counted_as_overflow() -> None:
    users = Users([60.0])
    for subject in range(MODELS_MAX + 3):
        told(users, ["u"], [0.0], subject)

    assert 3 == users.overflow[OVERFLOW]
    assert MODELS_MAX not in users


def test_users_of_events_are_a_kpi_of_their_model_version() -> None:
    random_ = random.Random(4)
    ids = [random_.randrange(120) for _ in range(900)]
    events = [inference(i, START_S + i / 10, user_id=user) for i, user in enumerate(ids)]
    made = fed(joining(JoinTerms(mode="off")), encoded([*events, inference(901, START_S + 90.0, user_id=["no id"])]))
    found = {(kpi.name, kpi.window): kpi for kpi in made.picture().kpis}

    whole = found["distinct_users", "365d"]
    assert (len(set(ids)), 900) == (round(whole.value), whole.samples)
    assert round(found["distinct_users", "1m"].value) == len(set(ids[(900 - 675) :]))
    assert "user_id" not in json.dumps([key.field for key in made.picture().keys])
