"""What becomes of messages that can't be used: real breakers, and a list in place of the topic of dead letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from structlog.testing import capture_logs

from monitor.breakers import TRIED_MIN, Breakers, BreakerTerms
from monitor.codec import decode, encode
from monitor.dead_letters import DeadLetters, DeadLetterTerms
from monitor.domain import Batch, Rejection, TopicPartition
from monitor.intake import DeadLetterStatus
from monitor.rejects import BREAKERS, LETTERS, Rejects

if TYPE_CHECKING:
    from monitor.kept import State

GOOD: Final = TopicPartition("events", 0)
BAD: Final = TopicPartition("events", 1)
RUN: Final = 50
RETRY_S: Final = 300.0
NOW_S: Final = 1_000_000.0


@dataclass
class Letters:
    """Dead letters in a list. left: what no broker has accepted at the end."""

    told: list[tuple[bytes | None, Rejection]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    is_full: bool = False
    left: int = 0
    restored: list[State] = field(default_factory=list)

    def open(self) -> None:
        self.calls.append("open")

    def offer(self, batch: Batch, rejected: Sequence[tuple[int, Rejection]]) -> None:
        self.told += [(batch.values[at], reason) for at, reason in rejected]

    def pump(self) -> None:
        self.calls.append("pump")

    def flush(self, timeout_s: float) -> bool:
        return not self.left

    def oldest(self) -> Mapping[TopicPartition, int]:
        return {GOOD: 7} if self.told else {}

    def status(self, broken: Mapping[TopicPartition, str]) -> DeadLetterStatus:
        return DeadLetterStatus(waiting=3, broken={(topic, number): why for (topic, number), why in broken.items()})

    def state(self) -> State:
        return {"letters": len(self.told)}

    def restore(self, state: State) -> None:
        self.restored.append(state)

    def close(self, timeout_s: float = 0.0) -> int:
        self.calls.append(f"close {timeout_s}")
        return self.left


def rejects_of(letters: Letters | None = None) -> Rejects:
    return Rejects(Breakers(BreakerTerms(0.5, RUN, RETRY_S)), letters)


def take(rejects: Rejects, place: TopicPartition, count: int, *, are_bad: bool, now_s: float = NOW_S) -> None:
    batch = Batch([b"%d" % n for n in range(count)], [0] * count, [place])
    rejected = [(n, Rejection.NOT_JSON) for n in range(count)] if are_bad else []
    rejects.take(batch, rejected, now_s)


def states_of(rejects: Rejects) -> dict[str, Any]:
    return {each.name: decode(encode(each.make()), each.name) for each in rejects.sections()}


class TestLetters:
    def test_each_message_that_can_not_be_used_is_told_with_its_reason(self) -> None:
        letters = Letters()
        rejects = rejects_of(letters)
        rejects.take(Batch([b"a", b"b", None], [0] * 3, [BAD]), [(0, Rejection.NOT_JSON), (2, Rejection.EMPTY)], NOW_S)
        take(rejects, GOOD, 5, are_bad=False)

        assert [(b"a", Rejection.NOT_JSON), (None, Rejection.EMPTY)] == letters.told

    def test_they_are_opened_pumped_and_closed_with_the_loop(self) -> None:
        letters = Letters(left=4)
        rejects = rejects_of(letters)
        rejects.open()
        rejects.tick(NOW_S)

        assert 4 == rejects.close(2.0)
        assert ["open", "pump", "close 2.0"] == letters.calls

    def test_all_is_held_while_no_more_fit(self) -> None:
        letters = Letters(is_full=True)
        rejects = rejects_of(letters)
        assert {GOOD, BAD} == rejects.held([GOOD, BAD])
        letters.is_full = False

        assert frozenset() == rejects.held([GOOD, BAD])

    def test_oldest_that_is_not_accepted_is_known_by_partition(self) -> None:
        letters = DeadLetters(DeadLetterTerms("dead", {}, "1.0"), lambda *_: None)
        rejects = Rejects(Breakers(BreakerTerms()), letters)
        offsets = [7, 3, 8, 4]
        read = Batch([b"x"] * 4, [0, 1, 0, 1], [GOOD, BAD], offsets=offsets)
        rejects.take(read, [(0, Rejection.NOT_JSON), (2, Rejection.NOT_JSON), (3, Rejection.NOT_JSON)], NOW_S)

        assert {GOOD: 7, BAD: 4} == rejects.oldest()
        assert {} == Rejects(Breakers(BreakerTerms())).oldest()

    def test_status_is_theirs_with_what_is_broken(self) -> None:
        rejects = rejects_of(Letters())
        with capture_logs():
            take(rejects, BAD, RUN, are_bad=True)

        assert (3, {BAD}) == (rejects.status().waiting, set(rejects.status().broken))

    def test_without_a_topic_nothing_is_told_and_breakers_work_all_the_same(self) -> None:
        rejects = rejects_of()
        rejects.open()
        rejects.tick(NOW_S)
        with capture_logs():
            take(rejects, BAD, RUN, are_bad=True)

        assert {BAD: f"{RUN} messages in a row can't be used"} == rejects.status().broken
        assert {BAD} == rejects.held([GOOD, BAD])
        assert 0 == rejects.close(1.0)
        assert [BREAKERS] == list(states_of(rejects))


class TestBreakers:
    def test_partition_of_nothing_but_poison_is_held_and_said_so_once(self) -> None:
        rejects = rejects_of()
        with capture_logs() as lines:
            take(rejects, GOOD, 500, are_bad=False)
            take(rejects, BAD, RUN - 1, are_bad=True)
            before = rejects.held([GOOD, BAD])
            take(rejects, BAD, 1, are_bad=True)
            take(rejects, GOOD, 10, are_bad=False)

        assert (frozenset(), frozenset({BAD})) == (before, rejects.held([GOOD, BAD]))
        assert [("poison", "events/1")] == [(line["error_code"], line["partition"]) for line in lines]

    def test_it_is_tried_after_a_while_and_read_again_once_it_is_well(self) -> None:
        rejects = rejects_of()
        with capture_logs() as lines:
            take(rejects, BAD, RUN, are_bad=True)
            rejects.tick(NOW_S + RETRY_S - 1)
            assert {BAD} == rejects.held([BAD])
            rejects.tick(NOW_S + RETRY_S)
            assert (frozenset(), {BAD}) == (rejects.held([BAD]), set(rejects.status().broken))
            take(rejects, BAD, TRIED_MIN, are_bad=False, now_s=NOW_S + RETRY_S)
            well = dict(rejects.status().broken)
            take(rejects, BAD, 2 * RUN, are_bad=True, now_s=NOW_S + RETRY_S + 1)

        assert {} == well
        assert 2 == len(lines), "the second time is news again"

    def test_held_for_poison_is_told_from_held_for_want_of_room(self) -> None:
        letters = Letters(is_full=True)
        rejects = rejects_of(letters)
        with capture_logs():
            take(rejects, BAD, RUN, are_bad=True)

        assert ({BAD}, {GOOD, BAD}) == (set(rejects.broken), set(rejects.held([GOOD, BAD])))
        rejects.retry()
        assert not rejects.broken

    def test_somebody_who_mended_it_need_not_wait(self) -> None:
        rejects = rejects_of()
        with capture_logs():
            take(rejects, BAD, RUN, are_bad=True)
        rejects.retry()

        assert frozenset() == rejects.held([BAD])


class TestState:
    def test_both_go_on_in_the_next_process_and_what_was_held_is_tried(self) -> None:
        before = rejects_of(Letters())
        with capture_logs():
            take(before, BAD, RUN, are_bad=True)
        letters = Letters()
        after = rejects_of(letters)
        after.restore(states_of(before), ["events"])

        assert {BREAKERS, LETTERS} == set(states_of(before))
        assert [{"letters": RUN}] == letters.restored
        assert (frozenset(), {BAD}) == (after.held([BAD]), set(after.status().broken))

    def test_topics_that_are_no_longer_read_are_forgotten(self) -> None:
        before, after = rejects_of(), rejects_of()
        with capture_logs():
            take(before, BAD, RUN, are_bad=True)
        after.restore(states_of(before), ["others"])

        assert {} == after.status().broken

    def test_state_of_an_earlier_version_is_none(self) -> None:
        letters = Letters()
        rejects = rejects_of(letters)
        rejects.restore({}, ["events"])

        assert ([{}], {}) == (letters.restored, rejects.status().broken)
