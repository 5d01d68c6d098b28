"""What counts goes on where it was: stored at any point and brought back, it is bit for bit as if it had gone on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import table_state
from monitor.bins import VALUE_BINS, WIDTHS, Arena
from monitor.codec import decode, encode
from monitor.counts import Counts, Ladder
from monitor.domain import CountArray, IntArray, Kind, TopicPartition
from monitor.duplicates import CHUNK, Duplicates
from monitor.errors import StateError
from monitor.fields import Watch
from monitor.kept import State
from monitor.panes import OpenPanes
from monitor.pipeline import Pipeline
from monitor.probes import Probes
from monitor.reference_state import reference_of, reference_state
from monitor.references import Reference, from_text, to_text
from monitor.rules import Plan
from monitor.sequential.learning import Learner
from monitor.sequential.rehearsal import BLOCKS_MIN
from monitor.store.contents import Sections
from monitor.streams import StreamTable
from monitor.watermark import Watermark
from tests.golden.traffic import RULES, batch, event, feed, finished, outcome, pipeline, steady
from tests.unit.state.keeping import Kept, counting_of, plain

NEVER = float("inf")
PAIR = (TopicPartition("events", 0), TopicPartition("events", 1))


class Restorable(Protocol):
    @property
    def restore(self) -> Callable[..., None]: ...


Part = TypeVar("Part", bound=Restorable)


def restarted(kept: Kept, part: Part, *more: IntArray) -> Part:
    """Give a new part that goes on with what is kept of another under the name `part`."""
    part.restore("part", kept.states(), *more)
    return part


# ---- duplicates

IDS = st.lists(st.none() | st.integers(0, 25).map(str), max_size=60)


@given(IDS, st.integers(1, 8), st.lists(st.integers(0, 60)), st.integers(0, 2**64 - 1))
def test_ids_are_known_in_the_next_process(ids: list[str | None], ids_max: int, cuts: list[int], seed: int) -> None:
    whole, pieces, kept = Duplicates(ids_max, seed), Duplicates(ids_max, seed), Kept()
    bounds = sorted({0, len(ids), *(cut for cut in cuts if cut < len(ids))})

    for start, stop in pairwise(bounds):
        one, other = whole.seen(ids[start:stop]), pieces.seen(ids[start:stop])
        kept.save(pieces.sections("part"))
        pieces = restarted(kept, Duplicates(ids_max))

        assert (one is None) == (other is None)
        assert one is None or (other is not None and one.tolist() == other.tolist())
        assert plain(whole.sections("part")) == plain(pieces.sections("part"))


def test_of_many_ids_only_the_new_ones_are_written() -> None:
    duplicates, kept = Duplicates(5 * CHUNK), Kept()
    for start in range(0, 8 * CHUNK, CHUNK // 2):
        duplicates.seen([f"e{i}" for i in range(start, start + CHUNK // 2)])
        kept.save(duplicates.sections("part"))
        assert len(kept.written) == 2

    again = restarted(kept, Duplicates(5 * CHUNK))
    known = again.seen([f"e{i}" for i in range(3 * CHUNK, 8 * CHUNK)])
    assert known is not None
    assert known.all()


@pytest.mark.parametrize("ids_max", [10, 40, 200])
def test_another_limit_keeps_the_latest_ids_that_it_allows(ids_max: int) -> None:
    duplicates, kept = Duplicates(50), Kept()
    duplicates.seen([f"e{i}" for i in range(80)])
    kept.save(duplicates.sections("part"))

    again = restarted(kept, Duplicates(ids_max))
    again.seen(["new"])
    kept.save(again.sections("part"))
    again = restarted(kept, Duplicates(ids_max))

    known = again.seen([f"e{i}" for i in range(81 - min(ids_max, 80), 80)])
    assert known is not None
    assert known.all()


def test_half_characters_have_a_hash() -> None:
    duplicates = Duplicates(9)
    assert duplicates.seen(["\ud800", "a", "\udfff"]) is None

    known = duplicates.seen(["\ud800", "b"])

    assert known is not None
    assert [True, False] == known.tolist()


# ---- counts, ladder, panes

HITS = st.lists(st.integers(0, 39), max_size=30)


def counts_of(hits: Sequence[int], size: int = 40) -> Counts:
    return Counts.of_hits([np.array(hits, dtype=np.int64)], size)


@given(HITS, HITS, st.integers(40, 4_000))
def test_counts_come_back_and_add_up(ones: list[int], others: list[int], size: int) -> None:
    back = Counts.of_state(decode(encode(counts_of(ones, size).state()), "counts"))

    total = back.plus(counts_of(others, size))

    assert np.bincount(ones + others, minlength=size).tolist() == total.span(0, size).tolist()
    assert (
        total.span(0, size).tolist()
        == Counts.of_hits([back, np.array(others, dtype=np.int64)], size).span(0, size).tolist()
    )


@given(HITS, st.permutations(range(10)), st.sets(st.integers(0, 9)))
def test_counts_move_with_their_rows(hits: list[int], order: Sequence[int], gone: set[int]) -> None:
    rows = np.array([-1 if row in gone else order[row] for row in range(10)])

    moved = counts_of(hits).moved(rows, 4)

    expected = np.zeros(40, dtype=np.int64)
    for hit in hits:
        if rows[hit // 4] >= 0:
            expected[rows[hit // 4] * 4 + hit % 4] += 1
    assert expected.tolist() == moved.span(0, 40).tolist()


PANES = st.lists(
    st.tuples(st.sampled_from([0, 0, 0, 0, 1, 7, 90]), HITS, st.integers(0, 40), st.booleans()), min_size=1, max_size=60
)


@settings(deadline=None)
@given(PANES)
def test_ladder_goes_on_with_the_same_sums(given_panes: list[tuple[int, list[int], int, bool]]) -> None:
    whole, pieces, kept = Ladder([10.0, 60.0], 100.0), Ladder([10.0, 60.0], 100.0), Kept()
    now = 0
    for gap, hits, back, is_saved in given_panes:
        now += gap
        for ladder in (whole, pieces):
            ladder.append(now, now + 1, counts_of(hits))
            ladder.add_late(now + 0.5 - back, counts_of([3, 3, 39]))
        now += 1
        if is_saved:
            kept.save(pieces.sections("part"))
            pieces = restarted(kept, Ladder([10.0, 60.0], 100.0))
        assert plain(whole.sections("part")) == plain(pieces.sections("part"))
        for one, other in zip(whole.windows, pieces.windows, strict=True):
            assert one.first_s == other.first_s
            assert one.total(40).tolist() == other.total(40).tolist()


def test_old_buckets_are_written_once() -> None:
    ladder, kept, written, stored = Ladder([60.0], 10_000.0), Kept(), 0, 0
    for now in range(2_000):
        ladder.append(now, now + 1, counts_of([now % 40]))
        if now % 5 == 4:
            kept.save(ladder.sections("part"))
            written, stored = written + len(kept.written), stored + len(kept.pieces)
    assert written < 0.4 * stored
    assert len(kept.pieces) > 30


@pytest.mark.parametrize("spans_s", [(30.0,), (10.0, 60.0, 500.0)])
def test_windows_that_are_new_are_filled_from_what_was_kept(spans_s: tuple[float, ...]) -> None:
    ladder, kept = Ladder([10.0, 60.0], 1_000.0), Kept()
    for now in range(400):
        ladder.append(now, now + 1, counts_of([now % 40]))
    kept.save(ladder.sections("part"))

    again = restarted(kept, Ladder(spans_s, 1_000.0))

    for window in again.windows:
        assert window.first_s is not None
        assert min(400.0, window.span_s) <= 400.0 - window.first_s <= max(window.span_s * 5 / 3, 400.0)
        held = [now % 40 for now in range(int(window.first_s), 400)]
        assert np.bincount(held, minlength=40).tolist() == window.total(40).tolist()


ADDED = st.lists(
    st.tuples(st.sampled_from(Arena), st.lists(st.tuples(st.integers(0, 99), st.integers(-3, 5))), st.booleans()),
    max_size=8,
)


@settings(deadline=None)
@given(ADDED, st.sampled_from([0, 3, 1_000]))
def test_open_panes_hold_the_same_however_often_they_count(
    added: list[tuple[Arena, list[tuple[int, int]], bool]], hits_max: int
) -> None:
    whole, pieces, kept = OpenPanes(), OpenPanes(hits_max), Kept()
    for arena, hits, is_saved in added:
        flat, at = np.array([f for f, _ in hits], dtype=np.int64), np.array([p for _, p in hits], dtype=np.int64)
        for part in (whole, pieces):
            part.add(arena, flat, at)
            part.add_late(arena, flat[::2])
        assert pieces._loose <= hits_max
        if is_saved:
            kept.save(pieces.sections("part"))
            pieces = restarted(kept, OpenPanes(hits_max))

    assert (whole.first, whole.last, len(whole)) == (pieces.first, pieces.last, len(pieces))
    size = 100
    for pane in range(-4, 7):
        for ones, others in zip(whole.take(pane), pieces.take(pane), strict=True):
            assert (
                Counts.of_hits(ones, size).span(0, size).tolist() == Counts.of_hits(others, size).span(0, size).tolist()
            )
    for arena in Arena:
        ones, others = whole.take_late(arena), pieces.take_late(arena)
        assert Counts.of_hits(ones, size).span(0, size).tolist() == Counts.of_hits(others, size).span(0, size).tolist()
    assert (0, 0) == (whole._loose, pieces._loose)
    assert 0 == pieces.nbytes


def test_panes_that_nothing_came_to_are_not_written_again() -> None:
    waiting, kept = OpenPanes(), Kept()
    for pane in range(50):
        waiting.add(Arena.FLAGS, np.array([1]), np.array([pane]))
    kept.save(waiting.sections("part"))

    waiting.add(Arena.FLAGS, np.array([2]), np.array([7]))
    kept.save(waiting.sections("part"))

    assert ["part", "part/7"] == kept.written


# ---- what waits, and event time


def test_waiting_values_come_back_in_their_order_and_where_their_rows_are() -> None:
    probes, kept = Probes(), Kept()
    for rows in ([0, 2, 2], [1, 0, 2]):
        probes.add(np.array(rows), np.array(rows) + 0.5, np.arange(3))
    kept.save(probes.sections("part"))

    again = restarted(kept, Probes(), np.array([4, -1, 0]))

    assert [0] == again.with_at_least(3).tolist()
    row, value, pane = again.take(np.array([0, 4]))
    assert ([0, 0, 0, 4, 4], [2.5, 2.5, 2.5, 0.5, 0.5], [1, 2, 2, 0, 1]) == (
        row.tolist(),
        value.tolist(),
        pane.tolist(),
    )


def test_partitions_that_were_idle_hold_event_time_back_until_they_are_said_to_be_idle_again() -> None:
    """Nobody knows what has come to them meanwhile, and if it were late, it would be lost."""
    watermark = Watermark(2.0)
    watermark.assign(PAIR)
    watermark.follow(PAIR, np.array([0, 1]), np.array([100.0, 50.0]))
    watermark.set_idle(PAIR[1:])
    watermark.follow(PAIR, np.array([0]), np.array([110.0]))

    again = Watermark(2.0)
    again.restore(decode(encode(watermark.state()), "watermark"))
    again.assign(PAIR)
    before = again.follow(PAIR, np.array([0, 1]), np.array([120.0, 109.0]))

    assert (watermark.value_s, watermark.value_s) == (108.0, before[0])
    assert 108.0 == again.value_s
    again.set_idle(PAIR[1:])
    assert 118.0 == again.value_s


# ---- all of it


def restless(seed: int, events: int) -> list[bytes | None]:
    """Traffic with everything in it that makes streams, fills categories, comes late or twice, or can't be read."""
    rng = random.Random(seed)
    out: list[bytes | None] = []
    for i in range(events):
        content: dict[str, Any] = {"event_id": f"e{rng.randrange(events * 9)}", "model": rng.choice(("a", "b", "c"))}
        content["features"] = {
            "x": rng.gauss(4.0 if i > events * 0.7 else 0.0, 1.0),
            "c": rng.choice("hgfedcba"[: 3 + i * 5 // events]),
        }
        if rng.random() < 0.3:
            content["features"]["rare"] = rng.choice((None, None, 2.5, "odd", float("nan"), [1]))
        if rng.random() < 0.1 and i > events // 10:
            content["features"][f"new{i * 4 // events}"] = rng.choice((rng.random(), [1], None))
        for name, value in (
            ("latency_s", rng.expovariate(3)),
            ("unsafe", rng.random() < 0.02),
            ("score", rng.random()),
            ("prediction", rng.choice(("yes", "no"))),
        ):
            if rng.random() < 0.4:
                content[name] = rng.choice((None, value))
        content["segment"] = {"country": rng.choice(("DE", "US", "FR"))}
        at_s = i / 20 - rng.choice((0, 0, 0, 0, 0, 1, 5, 30, 300))
        out.append(rng.choice((None, b"{", outcome(at_s))) if rng.random() < 0.02 else event(at_s, **content))
    return out


def made(references: Sequence[Reference] = (), **more: object) -> Pipeline:
    told: dict[str, Any] = {"learn_events": 250, "segments": ["country"], "references": references, **more}
    return pipeline(**told)


def taken_over(kept: Kept, by: Pipeline) -> Pipeline:
    """Give a pipeline that goes on with what another has counted."""
    counting_of(by).restore(kept.states())
    return by


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_counting_goes_on_as_if_it_had_never_stopped(seed: int) -> None:
    """And what has the same name and mark is the same: nothing else may be left unwritten."""
    messages, rng = restless(seed, 2_000), random.Random(seed)
    whole, pieces, kept = made(), made(), Kept()
    bounds = sorted({0, *rng.sample(range(len(messages)), 25), len(messages)})
    known: dict[tuple[str, str], bytes] = {}
    identities: list[list[str]] = [[], []]
    for start, stop in pairwise(bounds):
        part = batch(*messages[start:stop])
        for own, to in zip(identities, (whole, pieces), strict=True):
            own += [reference.identity for reference in to.step(part, NEVER).references]
        sections = list(counting_of(pieces).sections())
        kept.save(sections)
        for section in sections:
            if section.mark is not None:
                name, data = (section.name, section.mark), encode(section.make())
                assert known.setdefault(name, data) == data, name
        if rng.random() < 0.4:
            pieces = taken_over(kept, made())
        assert plain(counting_of(whole).sections()) == plain(counting_of(pieces).sections())
    assert identities[0] == identities[1]
    assert len(identities[0]) >= 3
    assert rows_of(whole) == rows_of(pieces)
    assert whole.picture().received == pieces.picture().received


def rows_of(one: Pipeline) -> dict[str, object]:
    """Give all that is known of each row, also what is not kept as such."""
    table = one._table
    out: dict[str, object] = {"normals": {at: str(normal.to_dict()) for at, normal in sorted(table.normals.items())}}
    for rows in table.arenas:
        n = len(rows)
        names = [name for name, value in vars(rows).items() if isinstance(value, np.ndarray)]
        out[rows.arena.name] = {name: getattr(rows, name)[:n].tobytes() for name in names}
        out[f"{rows.arena.name} keys"] = rows.keys
    out["categories"] = {
        row: (dict(held), held.names, held.is_open, held.is_complete, held.numbers_are_names)
        for row, held in table.values.categories.items()
    }
    out["features"] = [(scope.segment, scope.features) for scope in table.scopes]
    out["fixed"] = {name: rows[: len(table.scopes)].tolist() for name, rows in table._fixed.items()}
    out["subjects"] = [(s.model, s.rows, s.reference and s.reference.identity) for s in table.subjects]
    return out


def test_rows_are_the_same_also_of_those_frozen_live_and_of_references_from_files() -> None:
    (reference,) = finished(pipeline(learn_events=1_000, segments=["country"]), steady(8, 1_500)).references
    references = [from_text(to_text(reference))]
    whole, kept = made(references), Kept()
    feed(whole, [*restless(5, 1_500), *steady(9, 500)])
    kept.save(counting_of(whole).sections())

    again = taken_over(kept, made(references))

    assert rows_of(whole) == rows_of(again)
    assert 0 == again._table.epoch


def test_what_files_say_of_references_is_not_read_from_the_state_as_well() -> None:
    """Of 25,000 streams it would be half of what restoring takes."""
    (reference,) = finished(pipeline(learn_events=1_000), steady(8, 1_500)).references
    whole, kept, read = pipeline(references=[reference]), Kept(), list[str]()
    feed(whole, steady(9, 500))
    kept.save(counting_of(whole).sections())

    def noted(name: str, data: bytes) -> State:
        read.append(name)
        return decode(data, name)

    counting_of(pipeline(references=[reference])).restore(
        Sections({name: data for name, (_, data) in kept.pieces.items()}, noted)
    )

    assert {f"{table_state.REFERENCE}/0"} == kept.pieces.keys() - set(read)


def test_reference_comes_back_as_it_was() -> None:
    (reference,) = finished(pipeline(learn_events=3_000, segments=["country"]), steady(8, 4_000)).references

    back = reference_of(decode(encode(reference_state(reference)), "reference"))

    assert to_text(reference) == to_text(back)
    assert reference.identity == back._digest()


def test_reference_whose_file_is_gone_is_still_used() -> None:
    (reference,) = finished(pipeline(learn_events=1_000), steady(8, 1_500)).references
    whole, kept = pipeline(references=[reference]), Kept()
    feed(whole, steady(9, 500))
    kept.save(counting_of(whole).sections())

    again = taken_over(kept, pipeline())

    assert rows_of(whole) == rows_of(again)
    feed(whole, steady(10, 500))
    feed(again, steady(10, 500))
    assert plain(counting_of(whole).sections()) == plain(counting_of(again).sections())


@pytest.mark.parametrize("had", ["none", "another"])
def test_model_with_another_reference_begins_anew_and_others_go_on(had: str) -> None:
    (first,) = finished(pipeline(learn_events=1_000, segments=["country"]), steady(8, 1_500)).references
    (second,) = finished(pipeline(learn_events=1_000, segments=["country"]), steady(18, 1_500)).references
    assert first.identity != second.identity
    whole, kept = made([first] if had == "another" else [], learn_events=10**6), Kept()
    feed(whole, [*steady(9, 300), *restless(5, 800), *steady(10, 300)])
    kept.save(counting_of(whole).sections())
    again = made([second], learn_events=10**6)

    moves = counting_of(again).restore(kept.states())

    assert 1 == again._table.epoch
    assert second is again._table.subjects[0].reference
    for arena, ones, others in zip(Arena, whole._table.arenas, again._table.arenas, strict=True):
        now = moves[arena]
        is_own = ones.subjects[: len(ones)] == 0
        assert (now[is_own] == -1).all()
        assert [key for key, own in zip(ones.keys, is_own, strict=True) if not own] == [
            others.keys[row] for row in now.tolist() if row >= 0
        ]
        for one, other in zip(whole._ladders[arena].windows, again._ladders[arena].windows, strict=True):
            before = one.total(ones.size).reshape(len(ones), -1)
            after = other.total(others.size).reshape(len(others), -1)
            assert before[~is_own].tolist() == after[now[~is_own]].tolist()
            assert before.sum() - before[is_own].sum() == after.sum()
    kept.save(counting_of(again).sections())
    third = taken_over(kept, made([second], learn_events=10**6))
    more = [*steady(20, 300), *restless(21, 500)]
    feed(again, more)
    feed(third, more)
    assert rows_of(again) == rows_of(third)
    assert plain(counting_of(again).sections()) == plain(counting_of(third).sections())


def with_watch(watch: Watch, **more: object) -> Pipeline:
    plan = Plan(watch, RULES)
    return made((), plan_of=lambda _model, _version: plan, **more)


def test_what_is_no_longer_watched_is_left_out_and_what_is_again_is_told_anew() -> None:
    whole, kept = with_watch(Watch(("country",), (("x", "ignore"),)), learn_events=10**6), Kept()
    feed(whole, restless(5, 800))
    kept.save(counting_of(whole).sections())

    again = taken_over(kept, with_watch(Watch((), (("c", "ignore"),)), learn_events=10**6))

    fields = {(key.field, key.segment) for rows in again._table.arenas for key in rows.keys}
    assert {("score", ""), ("features.rare", "")} <= fields
    assert not {segment for _, segment in fields} - {""}
    assert not {"features.c", "features.x"} & {field for field, _ in fields}
    assert 1 == again._table.epoch
    feed(again, [event(60.0 + i / 10, model="a", features={"x": 1.0 + i, "c": "a"}) for i in range(20)])
    fields = {(key.field, key.segment) for rows in again._table.arenas for key in rows.keys}
    assert ("features.x", "") in fields
    assert ("features.c", "") not in fields


def test_new_models_get_the_same_rows_also_of_a_decoder_that_has_not_learned_yet_what_to_expect() -> None:
    """Decoders made for features give them in another order than the event, and absent ones as null."""

    def some(model: str, events: int, at_s: float, **more: object) -> list[bytes]:
        plain = [{"zc": "u", "x": 1.0 + i, "aa": 2.0 * i, **more} for i in range(events)]
        return [event(at_s + i / 10, model=model, features=features) for i, features in enumerate(plain)]

    watch = Watch((), (("zz*", "categorical"),))
    whole, kept = with_watch(watch), Kept()
    feed(whole, some("a", 300, 0.0, zz="w"))
    kept.save(counting_of(whole).sections())
    again = taken_over(kept, with_watch(watch))
    for one in (whole, again):
        feed(one, [*some("b", 5, 31.0), *some("a", 20, 32.0, zz="w"), *some("b", 5, 35.0, zz="w")])

    assert rows_of(whole) == rows_of(again)
    assert len(whole._table.subjects) == 2


NEEDED = {"models", "versions", "identities", "scopes", "segments", "order", "values", "logs", "flags"}
NEEDED |= {"rows", "panes", "generation", "start", "ids", "seed"}


def test_state_of_an_older_version_lacks_names_and_that_of_a_newer_one_has_more() -> None:
    whole, kept = made(), Kept()
    feed(whole, restless(5, 1_500))
    kept.save(counting_of(whole).sections())
    states = kept.states()

    newer = {name: {**state, "some day": 1} for name, state in states.items()} | {"some/day": {"a": 1}}
    again = made()
    counting_of(again).restore(newer)
    assert plain(counting_of(whole).sections()) == plain(counting_of(again).sections())

    for section in ("table/categories", "table/counters", "table/left-out", "counting/views", "counting/totals"):
        older = {name: state for name, state in states.items() if name != section}
        counting_of(made()).restore(older)
    for section, state in states.items():
        for name in set(state) - NEEDED if section.startswith(("table/subjects", "counting", "table/rows")) else ():
            older = {**states, section: {n: v for n, v in state.items() if n != name}}
            further = made()
            counting_of(further).restore(older)
            feed(further, restless(6, 300))


def test_state_without_a_reference_that_it_names_is_no_state() -> None:
    whole, kept = made(), Kept()
    feed(whole, restless(5, 1_500))
    kept.save(counting_of(whole).sections())
    states = {name: state for name, state in kept.states().items() if not name.startswith("table/reference/")}

    with pytest.raises(StateError, match="is missing"):
        counting_of(made()).restore(states)
    with pytest.raises(StateError, match="can't be read"):
        table_state.restore(StreamTable(whole._terms.limits, lambda _m, _v: Watch()), {"table/subjects": {}})


def test_nothing_that_has_not_changed_is_written_again() -> None:
    whole, kept = made(), Kept()
    feed(whole, restless(5, 1_500))
    kept.save(counting_of(whole).sections())
    assert {"table/streams", "table/reference/0", "table/rows/values"} <= set(kept.written)

    kept.save(counting_of(whole).sections())

    marked = [section for section in counting_of(whole).sections() if section.mark is not None]
    assert len(marked) > 20
    assert not {section.name for section in marked} & set(kept.written)


def test_preset_grids_are_kept() -> None:
    first, kept = made(), Kept()
    feed(first, restless(5, 800))
    second = made()
    second.preset_grids(first.grids())
    kept.save(counting_of(second).sections())

    again = taken_over(kept, made())
    feed(second, restless(6, 300))
    feed(again, restless(6, 300))

    assert second._table.grids()
    assert rows_of(second) == rows_of(again)


# ---- learning


def taught(learner: Learner, seen: CountArray, bins: IntArray, panes_: range, pane_s: float) -> None:
    """Teach a learner a value of each row in each pane."""
    width, rows = seen.shape[1], np.arange(len(seen))
    kinds = [Kind.YES_NO if width == WIDTHS[Arena.FLAGS] else Kind.NUMERIC] * len(seen)
    for pane in panes_:
        flat = rows * width + bins[:, pane]
        learner.observe(pane, (pane + 1) * pane_s, flat, np.ones(len(rows), dtype=np.uint32))
        seen.reshape(-1)[flat] += 1
        if pane % 64 == 0:
            learner.begin(rows, seen, kinds)


def learned(learner: Learner, seen: CountArray, row: int, span: int, kind: Kind) -> list[Any]:
    normal = learner.finish(row, seen[row, :span], kind)
    assert normal is not None
    return [
        None if value is None else np.asarray(value).tolist()
        for value in (normal.classes, normal.events, normal.inflation, normal.profile, normal.scale)
    ]


@pytest.mark.parametrize("arena", [Arena.VALUES, Arena.FLAGS])
def test_learning_goes_on_bit_for_bit_through_rehearsals_and_hours(arena: Arena) -> None:
    """Twenty days in panes of two minutes, with hours that differ, so that all that is ever learned takes part."""
    pane_s, streams, looks, width = 120.0, 6, 20 * 720, WIDTHS[arena]
    rng = np.random.default_rng(5)
    day = 4.0 * np.sin(2.0 * np.pi * np.arange(looks) / 720.0)
    if arena is Arena.FLAGS:
        bins = (rng.random((streams, looks)) < 0.05 + 0.01 * day).astype(np.int64)
    else:
        bins = np.clip(rng.normal(30.0, 6.0, (streams, looks)) + day, 0, VALUE_BINS - 1).astype(np.int64)
    seen = [np.zeros((streams, width), dtype=np.uint32) for _ in range(2)]
    whole, pieces, kept = Learner(arena, pane_s), Learner(arena, pane_s), Kept()
    cuts = [0, *sorted(rng.choice(looks, 12, replace=False).tolist()), looks]
    for start, stop in pairwise(cuts):
        taught(whole, seen[0], bins, range(start, stop), pane_s)
        taught(pieces, seen[1], bins, range(start, stop), pane_s)
        kept.save(pieces.sections("part"))
        pieces = restarted(kept, Learner(arena, pane_s))
        assert plain(whole.sections("part")) == plain(pieces.sections("part"))
    assert (pieces._stage._peaks._blocks[:streams] >= BLOCKS_MIN).all()
    kind = Kind.YES_NO if arena is Arena.FLAGS else Kind.NUMERIC
    span = 2 if arena is Arena.FLAGS else VALUE_BINS
    found = [learned(whole, seen[0], row, span, kind) for row in range(streams)]
    assert found == [learned(pieces, seen[1], row, span, kind) for row in range(streams)]
    assert any(profile is not None for _, _, _, profile, _ in found) or arena is Arena.FLAGS


def test_rows_that_learn_go_on_wherever_they_move_and_leave_no_room_behind() -> None:
    rng = np.random.default_rng(6)
    bins = rng.integers(10, 50, (6, 9_000))
    seen = np.zeros((6, WIDTHS[Arena.VALUES]), dtype=np.uint32)
    learner, kept = Learner(Arena.VALUES), Kept()
    taught(learner, seen, bins, range(6_000), 1.0)
    kept.save(learner.sections("part"))

    again = restarted(kept, Learner(Arena.VALUES), np.array([3, -1, 0, -1, 1, 2]))
    order = [2, 4, 5, 0]
    moved_seen = seen[order].copy()
    taught(learner, seen, bins, range(6_000, 9_000), 1.0)
    taught(again, moved_seen, bins[order], range(6_000, 9_000), 1.0)

    for row in (1, 3, 4, 5):
        learned(learner, seen, row, VALUE_BINS, Kind.NUMERIC)
    learner.end()
    assert 2 == learner._slots
    for now, then in ((0, 2), (3, 0)):
        one = learned(again, moved_seen, now, VALUE_BINS, Kind.NUMERIC)
        assert one == learned(learner, seen, then, VALUE_BINS, Kind.NUMERIC)


def test_streams_that_ceased_to_learn_are_forgotten_without_a_change_to_the_others() -> None:
    rng = np.random.default_rng(7)
    bins = rng.integers(10, 50, (6, 6_000))
    seen = [np.zeros((6, WIDTHS[Arena.VALUES]), dtype=np.uint32) for _ in range(2)]
    learners = [Learner(Arena.VALUES) for _ in range(2)]
    for learner, own in zip(learners, seen, strict=True):
        taught(learner, own, bins, range(3_000), 1.0)
    for row in range(4):
        learned(learners[0], seen[0], row, VALUE_BINS, Kind.NUMERIC)
    learners[0].end()
    for learner, own in zip(learners, seen, strict=True):
        taught(learner, own, bins, range(3_000, 6_000), 1.0)
    assert learned(learners[0], seen[0], 5, VALUE_BINS, Kind.NUMERIC) == learned(
        learners[1], seen[1], 5, VALUE_BINS, Kind.NUMERIC
    )
