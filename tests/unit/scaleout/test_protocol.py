"""Folds and judges, killed, stopped and rebalanced at any step: every event counts once. And broken rules are found.

`python -m benchmarks.scaleout.histories` runs a hundred thousand of these histories.
"""

from __future__ import annotations

from typing import Final

import pytest

from monitor.claims import Claim, Committed
from monitor.domain import TopicPartition
from monitor.join.reach import Reach
from monitor.receipts import Receipts, Verdict
from tests.unit.scaleout.histories import GOOD, History, Told, failures
from tests.unit.scaleout.small_fold import Rules
from tests.unit.scaleout.small_kafka import Terms

HISTORIES: Final = 1_500
SEARCHED: Final = 2_000
"""Histories within which a broken rule must be found; most are within ten."""
PLACE: Final = TopicPartition("t", 0)


def test_every_event_counts_once_whatever_happens() -> None:
    told = Told()

    assert [] == list(failures(range(HISTORIES), told=told))
    assert min(told.kills, told.stops, told.expelled, told.restarts) > HISTORIES / 2
    assert min(told.verdicts["stale"], told.verdicts["old"]) > HISTORIES
    assert told.overlaps > HISTORIES / 50, "fine stretches were taken in part"
    assert told.late > HISTORIES / 20, "requests arrived when all else was over"
    assert told.joined > HISTORIES


def test_history_is_decided_by_its_seed() -> None:
    one, same = Told(), Told()
    History(7, told=one).run()
    History(7, told=same).run()

    assert one == same


def test_outcomes_that_came_first_are_read_back_with_what_they_were_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reach, "inherit", lambda *_: None)

    assert next(iter(failures(range(SEARCHED))), None) is not None


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(has_limit=False), id="no_limit"),
        pytest.param(Rules(commits_first=False), id="commit_after_send"),
        pytest.param(Rules(heeds_refusals=False), id="refusals_not_heeded"),
        pytest.param(Rules(has_epoch=False), id="no_epoch"),
        pytest.param(Rules(tells_fine=False), id="fine_stretches_as_counts"),
        pytest.param(Rules(is_alike=False), id="sent_again_in_another_cut"),
        pytest.param(Rules(waits_for_all=False), id="acknowledged_by_one_court"),
        pytest.param(Rules(reads_back=False), id="what_waits_is_not_read_back"),
        pytest.param(Rules(heeds_acked=False), id="read_back_from_what_was_read"),
    ],
)
def test_broken_rule_is_found(rules: Rules) -> None:
    assert next(iter(failures(range(SEARCHED), rules)), None) is not None


def test_commits_that_take_effect_after_later_ones_are_found_where_the_group_is_not_left() -> None:
    """Where a commit that was given up may come after a later one, nothing holds but for those who leave."""
    terms = Terms(is_strict=False, has_overtaking=True)

    assert next(iter(failures(range(SEARCHED), Rules(leaves_in_doubt=False), terms)), None) is not None
    assert [] == list(failures(range(HISTORIES), GOOD, terms))


def test_commit_of_an_expelled_owner_that_is_taken_would_tear() -> None:
    """The other thing that it rests on; brokers do take commits without a generation while a group has no members."""
    receipts, found = Receipts(), Committed(0, 0, 0)

    first = _claimed(found)
    late = first.intent(first.stretch(4).next)
    second = _claimed(first_claim := Committed(0, first.epoch, 0))
    second.intent(10)
    assert Verdict.TAKEN is receipts.take(PLACE, second.epoch, second.sent(10)).verdict
    third = _claimed(late)  # put in place of the second one's
    third.intent(4)
    assert Verdict.OLD is receipts.take(PLACE, second.epoch + 1, third.sent(4)).verdict
    third.acknowledged()
    third.intent(20)

    assert first_claim.limit < late.limit < second.limit
    assert Verdict.TORN is receipts.take(PLACE, second.epoch + 1, third.sent(20)).verdict


def _claimed(found: Committed) -> Claim:
    """Give a claim whose owner has gathered twenty messages."""
    claim = Claim.begin(found, 0, 0)
    claim.claimed()
    claim.gathered(20)
    return claim
