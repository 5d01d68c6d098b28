"""A court waits for a source partition that nobody tells of, but not for ever, and not shorter for a hush of all."""

from __future__ import annotations

from typing import Final

from monitor import build
from monitor.claims import Stretch
from monitor.decode import ADAPTERS, Limits
from monitor.delta_court import AWAY_S, DeltaCourt
from monitor.delta_fold import DeltaFold
from monitor.deltas import Post
from monitor.domain import TopicPartition
from tests.unit.scaleout.test_halves import SETTINGS, START_S

SOURCES: Final = tuple(TopicPartition("t", number) for number in range(2))


class Posts:
    """A court, and folds that tell it of the source partitions that they are told to tell of."""

    def __init__(self) -> None:
        terms, adapter = build.pipeline_terms(SETTINGS), ADAPTERS["canonical"](Limits())
        self.court = DeltaCourt(terms, adapter)
        self._fold = DeltaFold(terms, adapter, courts=1)
        for source in SOURCES:
            self._fold.begin(source, 0, 0)

    def tell(self, wall_s: float, *sources: TopicPartition) -> int:
        """Send a post; give how many partitions are absent then."""
        deltas = [self._fold.cut(source, Stretch(0, 0, is_fine=False), 1)[0] for source in sources]
        self.court.take(Post("fold", wall_s, {"t": len(SOURCES)}, deltas))
        return self.court.status.absent


def test_one_that_nobody_tells_of_is_absent_after_a_while() -> None:
    posts = Posts()
    posts.tell(START_S, *SOURCES)

    absent = [posts.tell(START_S + second, SOURCES[0]) for second in range(1, int(AWAY_S) + 1)]

    assert [0] * (len(absent) - 1) + [1] == absent
    assert 0 == posts.tell(START_S + AWAY_S + 1.0, SOURCES[1]), "it is back"


def test_while_nobody_tells_of_anything_none_becomes_absent() -> None:
    posts = Posts()
    posts.tell(START_S, *SOURCES)
    back_s = START_S + 10.0 * AWAY_S

    assert 0 == posts.tell(back_s, SOURCES[0]), "the others come a moment later"
    assert 0 == posts.tell(back_s + 2.0, SOURCES[1])


def test_a_hush_is_no_pardon_for_one_that_stays_away_when_others_are_back() -> None:
    posts = Posts()
    posts.tell(START_S, *SOURCES)
    back_s = START_S + 10.0 * AWAY_S

    absent = [posts.tell(back_s + second, SOURCES[0]) for second in range(int(AWAY_S) + 1)]

    assert [0] * int(AWAY_S) + [1] == absent
