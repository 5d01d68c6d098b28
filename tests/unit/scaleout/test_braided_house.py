"""What the loop sees of a fold that reads topics as one: topics, partitions and offsets as they were read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from monitor import braid
from monitor.domain import Batch, Gap, TopicPartition
from monitor.errors import SourceError
from monitor.fold_house import FLUSH_S
from monitor.intake import Origin
from monitor.topic_check import TopicReport
from tests.unit.scaleout.braided import BraidedMember, Logs
from tests.unit.scaleout.joined import NOW_S, Broker, traffic
from tests.unit.scaleout.test_joined import terms_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monitor.court import Step

ASKED, TOLD = TopicPartition("t", 0), TopicPartition("told", 0)


def member(broker: Broker, *, ends: int = 0) -> BraidedMember:
    made = BraidedMember(broker, terms_of(), NOW_S)
    made.logs = Logs({ASKED: [b"x"] * ends, TOLD: [b"x"] * ends})
    made.begin(ASKED, 1)
    return made


def give(owner: BraidedMember, source: TopicPartition, values: Sequence[bytes], time_s: float = 1.0) -> Step:
    offsets = range(owner.at[source], owner.at[source] + len(values))
    owner.at[source] = offsets.stop
    origins = [Origin(int(time_s * 1e3), 0)] * len(values)
    return owner.house.step(Batch(values, [0] * len(values), [source], offsets=list(offsets), origins=origins), NOW_S)


def rejected(step: Step) -> list[tuple[TopicPartition, int, int]]:
    """Give source, offset and time of each message that can't be used."""
    batch = step.batch
    assert batch is not None
    places = [at for at, _ in step.rejected]
    return [
        (batch.sources[batch.partitions[at]], int(batch.offsets[at]), batch.origins[at].timestamp_ms) for at in places
    ]


def test_what_can_not_be_used_is_told_with_its_own_topic_and_offset() -> None:
    owner = member(Broker(1), ends=9)
    good = [value for place, value in traffic(20.0, 8.0, 1) if place == 0]
    asked = [each for each in good if b'"outcome"' not in each]
    steps = [give(owner, ASKED, [asked[0], b"junk"], 1.0), give(owner, TOLD, [b"bad", good[-1], b"worse"], 2.0)]
    steps += [give(owner, ASKED, [b"junk"], 3.0), owner.house.idle((), 0.0, NOW_S)]

    found = [each for step in steps for each in rejected(step)]
    assert [(ASKED, 1, 1_000), (TOLD, 0, 2_000), (TOLD, 2, 2_000)] == found  # what comes after waits for its turn
    owner.logs.values[TOLD] = [b"x"] * 3  # nothing more is there
    assert [(ASKED, 2, 3_000)] == rejected(owner.house.idle((), 0.0, NOW_S))


def test_topic_of_which_much_waits_for_the_other_is_not_read_on_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(braid, "WAITING_BYTES_MAX", 10)
    owner = member(Broker(1), ends=9)
    owner.flush(NOW_S)
    seen = []
    for count in (2, 1):
        give(owner, ASKED, [b"junk"] * count)
        seen.append(list(owner.house.ahead()))
    owner.logs.values[TOLD] = []
    owner.flush(NOW_S)

    assert [[], [ASKED], []] == [*seen, list(owner.house.ahead())]


def test_letter_that_nobody_has_is_read_again_and_what_it_lies_among_is_not_counted_again() -> None:
    broker = Broker(1)
    owner = member(broker)
    give(owner, ASKED, [b"junk"] * 5)
    give(owner, TOLD, [b"junk"] * 4)
    owner.logs.rng = _Always()  # type: ignore[assignment]
    for number in range(1, 4):
        owner.flush(NOW_S + 2 * number * FLUSH_S)

    offset, text = broker.committed[ASKED]

    assert (4, "4,5,5,0;0,4,4,0") == (offset, text.split(":")[-1])  # the first topic's were read first


class _Always:
    """Chance that lets the letter of each topic's last message wait."""

    def random(self) -> float:
        return 0.9 if self._is_asked() else 0.1

    _asked = 0

    def _is_asked(self) -> bool:
        self._asked += 1
        return self._asked % 3 == 1

    def randrange(self, *_: int) -> int:
        return 1


def test_topics_with_unlike_partitions_are_not_taken_up_and_it_is_said_once() -> None:
    class Unlike(BraidedMember):
        def partitions(self) -> Mapping[str, int]:
            return {"t": 3, "told": 2}

    owner = Unlike(Broker(1), terms_of(), NOW_S)
    owner.logs = Logs({ASKED: [], TOLD: []})
    owner.begin(ASKED, 1)
    with capture_logs() as log:
        for number in range(3):
            owner.flush(NOW_S + number)

    assert [("partitions_differ", {"t": 3, "told": 2})] == [(e["error_code"], e["partitions"]) for e in log]
    assert 1 == owner.house.picture().half.unclaimed


def test_both_topics_have_to_be_quiet() -> None:
    owner = member(Broker(1))
    owner.flush(NOW_S)
    posts = []
    for number, idle in enumerate(([], [ASKED], [ASKED, TOLD])):
        owner.house.idle(idle, 5.0, NOW_S + 2 * (number + 1) * FLUSH_S)
        owner.house.idle(idle, 5.0, NOW_S + 2 * (number + 1) * FLUSH_S)
        posts.append(owner.house._idle)

    assert [set(), set(), {TopicPartition("t+told", 0)}] == list(map(set, posts))


def test_topic_that_was_made_anew_ends_it_by_its_own_name() -> None:
    owner = member(Broker(1))
    owner.flush(NOW_S)

    with pytest.raises(SourceError, match=r"topic 'told', partition 0: was made anew"):
        owner.house.lose([Gap(TOLD, 9, 0)])


def test_what_was_lost_of_a_topic_is_no_part_of_any_stretch() -> None:
    broker = Broker(1)
    owner = member(broker)
    give(owner, ASKED, [b"junk"] * 2)
    owner.house.lose([Gap(TOLD, 0, 100)])
    owner.at[TOLD] = 100
    give(owner, TOLD, [b"junk"] * 3)
    for number in range(1, 6):
        owner.flush(NOW_S + 2 * number * FLUSH_S)

    assert (2, "2,2,2,0;103,103,103,0") == (broker.committed[ASKED][0], broker.committed[ASKED][1].split(":")[-1])


@pytest.mark.parametrize(("is_braided", "shares"), [(False, 6), (True, 3)])
def test_topics_that_are_read_as_one_can_be_shared_as_one(*, is_braided: bool, shares: int) -> None:
    assert shares == TopicReport({"t": 3, "told": 3}, [], is_braided).shares
