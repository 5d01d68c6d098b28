"""Deltas and layouts as messages: read by this version and the one before, whichever of both has sent them."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from monitor import build
from monitor.bins import Arena
from monitor.claims import Stretch
from monitor.codec import decode, encode
from monitor.decode import ADAPTERS, Limits
from monitor.delta_court import LAYOUTS_MAX, DeltaCourt
from monitor.delta_fold import DeltaFold
from monitor.deltas import FORMAT, Cohort, Counted, Counters, Delta, Paired, Post
from monitor.domain import Batch
from monitor.errors import StateError
from monitor.layouts import Layout
from tests.golden.deltas.make import LAYOUT, PANES, PLAIN, layout, post
from tests.unit.scaleout.test_halves import SETTINGS, SOURCES, START_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monitor.kept import State

OF_POST: Final = {"format", "sender", "wall_s", "partitions", "deltas"}
OF_DELTA: Final = {
    *("source", "epoch", "stretch", "latest_s", "quiet_s", "subjects", "panes", "arenas", "sizes", "flat", "counts"),
    *("offsets", "times_s", "values"),
}
"""What the version before knows; it passes over the rest."""


def plain(found: Post) -> Any:  # noqa: ANN401 - values that can be compared
    return [found.sender, found.wall_s, found.partitions, [_plain(delta) for delta in found.deltas]]


def _plain(delta: Delta) -> Mapping[str, object]:
    own = {name: getattr(delta, name) for name in ("source", "epoch", "stretch", "latest_s", "is_idle", "quiet_s")}
    own |= {"subjects": list(delta.subjects), "forwarded": list(delta.forwarded), "panes": list(delta.panes)}
    return {**own, "counted": [(c.pane, c.arena, c.flat.tolist(), c.counts.tolist()) for c in delta.counted]}


class TestForm:
    def test_what_the_version_before_sent_is_read(self) -> None:
        assert plain(post()) == plain(Post.decode(PLAIN.read_bytes(), "a post"))

    def test_what_this_version_sends_is_what_it_was_when_it_was_fixed(self) -> None:
        sent = post((1_795_200_000, 1_795_200_001))

        assert PANES.read_bytes() == sent.encode()
        assert plain(sent) == plain(Post.decode(PANES.read_bytes(), "a post"))
        assert LAYOUT.read_bytes() == encode(layout().state())
        assert layout() == Layout.of_state(decode(LAYOUT.read_bytes(), "a layout"))

    def test_version_before_finds_all_that_it_knows_in_what_this_one_sends(self) -> None:
        state = decode(PANES.read_bytes(), "a post")
        for delta in state["deltas"]:
            for name in set(delta) - OF_DELTA:
                del delta[name]

        assert set(state) == OF_POST
        assert plain(Post.decode(encode(state), "a post")) == plain(post())

    def test_what_a_later_version_adds_is_passed_over(self) -> None:
        state = decode(PANES.read_bytes(), "a post")
        state["later"] = {"x": [1]}
        for delta in state["deltas"]:
            delta["later"] = np.arange(3)
            delta["subjects"] = [[*each, "later"] for each in delta.get("subjects", ())]
            if not delta["subjects"]:
                del delta["subjects"]

        assert plain(post((1_795_200_000, 1_795_200_001))) == plain(Post.decode(encode(state), "a post"))

    def test_what_was_joined_is_read_as_it_was_sent(self) -> None:
        counted = Counted(5, Arena.FLAGS, np.array([1, 9]), np.array([2, 1], dtype=np.uint32))
        sent = Delta(
            SOURCES[0],
            3,
            Stretch(4, 9, is_fine=False),
            subjects=[Counters("m", "1", "f" * 16, 3, 0, math.inf, -math.inf)],
            ripe=[counted],
            pairs=[Paired(7, b"x")],
            cohorts=[Cohort(0, "country=a", "labelled", 1.5, 2)],
            results=[("label", "joined", 2)],
        )

        (found,) = Post.decode(Post("f", 1.0, {"t": 1}, [sent]).encode(), "a post").deltas

        assert ((sent.pairs, sent.cohorts, sent.results), sent.subjects) == (
            (found.pairs, found.cohorts, found.results),
            found.subjects,
        )
        ((pane, arena, flat, counts),) = found.ripe
        assert (5, Arena.FLAGS, [1, 9], [2, 1]) == (pane, arena, flat.tolist(), counts.tolist())
        assert [] == found.counted

    def test_format_that_can_not_be_read_says_what_to_do(self) -> None:
        state = decode(PANES.read_bytes(), "a post")
        state["format"] = FORMAT + 1

        with pytest.raises(StateError, match="bring the judges up to date before the folds"):
            Post.decode(encode(state), "topic 'd', partition 1, offset 9")

    @pytest.mark.parametrize("name", ["sender", "wall_s", "partitions", "deltas"])
    def test_what_is_no_post_says_where_it_stands(self, name: str) -> None:
        state = decode(PANES.read_bytes(), "a post")
        del state[name]

        with pytest.raises(StateError, match="topic 'd', partition 1, offset 9: can't be read"):
            Post.decode(encode(state), "topic 'd', partition 1, offset 9")

    @pytest.mark.parametrize("seed", range(20))
    def test_damage_is_told(self, seed: int) -> None:
        data = bytearray(PANES.read_bytes())
        data[random.Random(seed).randrange(len(data))] ^= 1 << seed % 8

        with pytest.raises(StateError):
            Post.decode(bytes(data), "a post")


def event(number: int, categories: int) -> bytes:
    """Give an event whose feature takes one of so many categories."""
    at_s = START_S + number / 50.0
    return f'{{"model": "m", "event_time": {at_s}, "features": {{"kind": "c{number % categories}"}}}}'.encode()


class TestOldLayouts:
    """Categories come one by one, each with a layout of its own."""

    COUNT: Final = LAYOUTS_MAX + 6

    def grown(self) -> tuple[DeltaCourt, list[Layout], DeltaFold]:
        """Give a court that has made many layouts, these, and a fold that knows the second one alone."""
        terms, adapter = build.pipeline_terms(SETTINGS), ADAPTERS["canonical"](Limits())
        court, layouts = DeltaCourt(terms, adapter), list[Layout]()
        teller = DeltaFold(terms, adapter, 1)
        teller.begin(SOURCES[0], 0, 0)
        for number in range(self.COUNT):
            self.send(court, teller, [event(number, self.COUNT)])
            layouts += court.layouts()
        fold = DeltaFold(terms, adapter, 1)
        fold.apply(layouts[1])
        fold.begin(SOURCES[1], 0, 0)
        return court, layouts, fold

    def send(self, court: DeltaCourt, fold: DeltaFold, values: Sequence[bytes]) -> Post:
        """Have a fold count, and a court take, what comes next in the fold's partition; give what was sent."""
        (source,) = fold.next
        first = fold.next[source]
        after = first + len(values)
        fold.take(Batch(list(values), [0] * len(values), [source], offsets=list(range(first, after))), np.inf)
        sent = Post("fold", 1.0, {"t": 2}, fold.cut(source, Stretch(first, after, is_fine=False), 1))
        court.take(Post.decode(sent.encode(), "a post"))
        return sent

    def test_counts_by_one_that_is_long_past_count(self) -> None:
        court, layouts, fold = self.grown()
        assert len(layouts) > LAYOUTS_MAX + 2

        sent = self.send(court, fold, [event(0, self.COUNT)] * 5)
        assert layouts[1].identity == sent.deltas[0].subjects[0].layout
        assert not sent.deltas[0].forwarded
        assert self.COUNT + 5 == court.picture().counted["t", "inference"]
        assert not court.picture().overflow.get("layouts_unknown")

    def test_also_in_the_next_process(self) -> None:
        court, _, fold = self.grown()
        states: dict[str, State] = {each.name: decode(encode(each.make()), each.name) for each in court.sections()}
        after = DeltaCourt(build.pipeline_terms(SETTINGS), ADAPTERS["canonical"](Limits()))
        after.restore(states)
        self.send(after, fold, [event(0, self.COUNT)] * 5)

        assert self.COUNT + 5 == after.picture().counted["t", "inference"]
        assert not after.picture().overflow.get("layouts_unknown")

    def test_one_that_nobody_ever_knew_is_told_as_missing(self) -> None:
        court, _, fold = self.grown()
        stranger = DeltaCourt(build.pipeline_terms(SETTINGS), ADAPTERS["canonical"](Limits()))
        del court
        self.send(stranger, fold, [event(0, self.COUNT)] * 5)

        assert 5 == stranger.picture().overflow["layouts_unknown"]
        assert stranger.missing.is_any(START_S + 10.0)
