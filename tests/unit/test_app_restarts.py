"""The loop over a real store: stopped or killed anywhere, the next process goes on as if nothing had happened."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from structlog.testing import capture_logs

from monitor import build
from monitor.app import App, AppTerms
from monitor.board import Board
from monitor.config import Settings, load_settings
from monitor.delivery import Delivery
from monitor.domain import Batch, Snapshot, TopicPartition, Transition
from monitor.errors import SinkError, StateError
from monitor.keeper import UNTOLD
from monitor.reference_files import write_reference
from monitor.sinks.base import Terms
from monitor.store import Store
from tests.unit.sinks.examples import ListSink
from tests.unit.staging import NOON_S, OTHER, PLACE, RULES, Batches, body

if TYPE_CHECKING:
    from monitor.keeper import Opened
    from monitor.kept import Section
    from monitor.pipeline import Pipeline
    from monitor.store.contents import Saved

BATCH: Final = 60
RATE_PER_S: Final = 30
UNSAFE_S: Final = (40.0, 55.0)
END_S: Final = 170.0
EVERY_CHANGE: Final = Terms(is_every_change_told=True)
DOWN: Final = SinkError("host: connection refused", is_retryable=True, reason="unreachable")
LEARN: Final = {"DRIFTD_REFERENCE__LEARN_EVENTS": "500", "DRIFTD_REFERENCE__LEARN_EVENTS_MIN": "100"}


class Killed(BaseException):
    """The process is no more."""


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Leave the garbage collector as it was: the loop sets it for itself."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def traffic() -> list[tuple[TopicPartition, int, bytes]]:
    """Give messages in the order of their arrival, with offsets: healthy, unsafe for a while, healthy.

    Some are sent twice, and some can't be read.
    """
    numbers: Counter[TopicPartition] = Counter()
    out = []
    for n in range(int(END_S * RATE_PER_S)):
        time_s = n / RATE_PER_S
        place = OTHER if n % 3 == 0 else PLACE
        unsafe, name = UNSAFE_S[0] <= time_s < UNSAFE_S[1], n - 70 if n % 11 == 10 and n > 80 else n
        value = body(NOON_S + time_s, unsafe=unsafe, event_id=str(name))
        out.append((place, numbers[place], b"{" if n % 50 == 7 else value))
        numbers[place] += 1
    return out


MESSAGES: Final = traffic()


@dataclass
class Topic(Batches):
    """The traffic as a source that goes on from offsets. Its clock follows what was given out."""

    batches: list[Batch] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    places: tuple[TopicPartition, ...] = (PLACE, OTHER)
    now_s: float = NOON_S + 1.0

    def poll(self, timeout_s: float) -> Batch:
        self.polls += 1
        self.on_poll(self.polls)
        waiting = (each for each in MESSAGES[sum(self.given.values()) :] if each[1] >= self.given[each[0]])
        taken = [message for _, message in zip(range(BATCH), waiting, strict=False)]
        self.now_s += BATCH / RATE_PER_S
        if not taken:
            return Batch(is_last=True)
        for place, offset, _ in taken:
            assert offset == self.given[place], "passed over, or given twice"
            self.given[place] += 1
        sources = [PLACE, OTHER]
        return Batch(
            [value for _, _, value in taken],
            [sources.index(place) for place, _, _ in taken],
            sources,
            offsets=[offset for _, offset, _ in taken],
        )


class Books:
    """A store that notes what is done with it; it fails while it is told to."""

    def __init__(self, store: Store, life: Life) -> None:
        self._store, self._life = store, life
        self.saved: list[Mapping[TopicPartition, int]] = []

    def save(self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float) -> Saved:
        if self._life.fails():
            self._life.calls.append("store.failed")
            raise StateError("the disk is full")
        given = list(sections)
        saved = self._store.save(given, positions, now_wall_s)
        self._life.calls.append("store.saved")
        self.saved.append(dict(positions))
        if self._life.is_killed_before_telling and given[-1].make()["decided"]:
            assert given[-1].name == UNTOLD
            self._life.is_killed_before_telling = False
            raise Killed
        return saved

    def close(self) -> None:
        self._store.close()


class Mortal(App):
    """A daemon that is killed: nothing is done on the way out."""

    def _end(self) -> None:
        raise Killed


class Life:
    """One process after another on the same folder, and all that they told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[str] = []
        self.told: list[tuple[str, str, float]] = []
        self.now_s = NOON_S + 1.0
        self.fails: Callable[[], bool] = lambda: False
        self.is_killed_before_telling = False
        self.books: list[Books] = []
        self.sources: list[Topic] = []
        self.snapshot: Snapshot | None = None

    def process(
        self,
        on_poll: Callable[[App, int], object] = lambda _, __: None,
        kind: type[App] = App,
        wreck: Callable[[Pipeline], object] = lambda _: None,
        *,
        is_deaf: bool = False,
    ) -> None:
        """Run one process until its source ends, or on_poll stops or kills it.

        wreck: what goes wrong within. is_deaf: the receiver can't be reached all the while.
        """
        settings = self.settings()
        source, board, sink = Topic(now_s=self.now_s), Board(), ListSink(terms=EVERY_CHANGE)
        sink.troubles = [DOWN] * 1_000 if is_deaf else []
        pipeline = build.pipeline(settings, build.references(settings))
        wreck(pipeline)
        terms = AppTerms(open_store=self._open, save=self._reference, shutdown_s=1.0 if is_deaf else 20.0)
        app = kind(pipeline, source, Delivery([sink]), board, terms, lambda: source.now_s)
        source.on_poll = lambda number: on_poll(app, number)
        self.sources.append(source)
        try:
            app.run()
        finally:
            self.told += [
                (f"{each.alert.rule} of {each.alert.key}", str(each.alert.state), each.transition.time_s)
                for call in sink.calls
                for each in call
            ]
            self.now_s, self.snapshot = source.now_s, board.latest()

    def settings(self) -> Settings:
        """Give what every process is configured with: only the references that earlier ones left differ."""
        folder = {"DRIFTD_REFERENCE__DIRECTORY": str(self.references)}
        return load_settings(None, {**RULES, **LEARN, **folder}, topics_required=False)

    @property
    def references(self) -> Path:
        """Where learned references are kept."""
        made = self.folder / "references"
        made.mkdir(exist_ok=True)
        return made

    def _open(self) -> Opened:
        store = Store.open(self.folder / "state")
        books = Books(store, self)
        self.books.append(books)
        return books, store.load()

    def _reference(self, reference: object) -> object:
        self.calls.append("reference")
        return partial(write_reference, self.references)(reference)  # type: ignore[arg-type]

    def totals(self) -> tuple[object, ...]:
        """Give what was counted and judged in the end, and by what."""
        assert self.snapshot is not None
        found = self.snapshot.picture
        counts = (found.received, found.counted, found.rejected, found.late, found.duplicate, found.transitions)
        references = [status.reference for status in found.models]
        firing = [(alert.rule, alert.key, alert.value, alert.since_s) for alert in found.alerts]
        pages = self.snapshot.pages
        return (
            *(dict(each) for each in counts),
            found.looks,
            references,
            firing,
            dict(pages.spent),
            pages.decided.counts,
        )


def stopping_at(number: int) -> Callable[[App, int], object]:
    return lambda app, polls: app.stop() if polls == number else None


def killing_at(number: int) -> Callable[[App, int], object]:
    def kill(_: App, polls: int) -> None:
        if polls == number:
            raise Killed

    return kill


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Give one run without interruption."""
    life = Life(tmp_path_factory.mktemp("whole"))
    life.process()
    return life


def test_traffic_fires_and_ends_and_is_learned_from(whole: Life) -> None:
    """Otherwise the tests below would compare nothing."""
    assert {"firing", "resolved"} <= {state for _, state, _ in whole.told}
    assert "reference" in whole.calls
    assert [len(MESSAGES)] == [sum(each.values()) for each in whole.books[0].saved[-1:]]
    assert whole.totals()[2]
    assert whole.totals()[4]


@pytest.mark.parametrize("every", [1, 4, 7, 23])
def test_stopped_in_good_order_and_gone_on_it_comes_to_the_same_and_tells_nothing_twice(
    every: int, whole: Life, tmp_path: Path
) -> None:
    life = Life(tmp_path)
    for _ in range(len(MESSAGES) // BATCH // every):
        life.process(stopping_at(every))
    life.process()

    assert len(life.sources) > 2
    assert whole.totals() == life.totals()
    assert whole.told == life.told


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_turn_it_comes_to_the_same_and_every_alert_is_told(
    seed: int, whole: Life, tmp_path: Path
) -> None:
    life, chance = Life(tmp_path), random.Random(seed)
    for _ in range(12):
        with pytest.raises(Killed):
            life.process(killing_at(chance.randint(1, 9)), Mortal)
    life.process()

    assert whole.totals() == life.totals()
    assert set(whole.told) == set(life.told)


@pytest.mark.parametrize("seed", range(3))
def test_next_process_reads_on_from_the_last_good_save(seed: int, tmp_path: Path) -> None:
    life, chance = Life(tmp_path), random.Random(seed)
    for number in range(8):
        life.fails = (lambda: chance.random() < 0.5) if number % 2 else lambda: False
        with pytest.raises(Killed):
            life.process(killing_at(chance.randint(2, 12)), Mortal)
    good: Mapping[TopicPartition, int] = {}

    for books, source in zip(life.books, life.sources, strict=True):
        assert [good] == source.opened
        good = books.saved[-1] if books.saved else good
    assert "store.failed" in life.calls
    assert good


def test_what_is_told_to_others_as_read_is_what_was_saved(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.fails = lambda: life.sources[-1].polls % 2 == 0
    life.process()

    assert "store.failed" in life.calls
    assert life.books[0].saved == life.sources[0].told_saved


def test_killed_between_the_save_and_the_telling_the_next_process_tells(whole: Life, tmp_path: Path) -> None:
    """At every save that holds something to be told: nobody has heard of it before, and the state lies behind it."""
    life, kills = Life(tmp_path), -1
    while not life.is_killed_before_telling:  # it is still to come where a process had nothing to tell
        life.is_killed_before_telling = True
        kills += 1
        with pytest.raises(Killed):
            life.process(kind=Mortal)
    life.is_killed_before_telling = False
    life.process()

    assert kills >= 2
    assert whole.totals() == life.totals()
    assert set(whole.told) == set(life.told)


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_a_receiver_could_not_be_told_is_told_by_the_next_process(
    is_killed: bool,  # noqa: FBT001
    whole: Life,
    tmp_path: Path,
) -> None:
    life, half = Life(tmp_path), len(MESSAGES) // BATCH // 2
    if is_killed:
        with pytest.raises(Killed):
            life.process(killing_at(half), Mortal, is_deaf=True)
    else:
        life.process(stopping_at(half), is_deaf=True)
    life.process(is_deaf=True)
    before = list(life.told)
    life.process()

    assert [] == before
    assert whole.told == life.told


class TestWreck:
    """A fault of ours in the middle of a batch: what is half counted must not be stored."""

    @pytest.mark.parametrize("at", [3, 44, 60])
    def test_half_a_batch_is_never_stored(self, at: int, whole: Life, tmp_path: Path) -> None:
        life = Life(tmp_path)

        def wreck(pipeline: Pipeline) -> None:
            look, times = pipeline._judge.look, iter(range(1, 10_000))

            def looking(pane: int, end_s: float) -> list[Transition]:
                if next(times) == at:
                    raise ZeroDivisionError
                return look(pane, end_s)

            pipeline._judge.look = looking  # type: ignore[method-assign]

        with capture_logs() as lines, pytest.raises(ZeroDivisionError):
            life.process(wreck=wreck)
        life.process()

        assert "turn_not_finished" in [line.get("error_code") for line in lines]
        assert whole.totals() == life.totals()
        assert set(whole.told) == set(life.told)


class TestFailingStore:
    def test_a_store_that_fails_does_not_silence_the_daemon(self, whole: Life, tmp_path: Path) -> None:
        life = Life(tmp_path)
        life.fails = lambda: True
        with capture_logs() as lines:
            life.process()

        assert whole.told == [each for each in life.told if not each[0].startswith("driftd-")]
        assert life.snapshot is not None
        status = life.snapshot.state
        assert (True, 0, None) == (status.is_kept, status.saves, status.saved_wall_s)
        assert status.failures == status.failures_total > 2
        assert {"the disk is full"} == {e["error"] for e in lines if e.get("error_code") == "state_not_saved"}

    def test_learned_references_become_files_only_after_a_save(self, tmp_path: Path) -> None:
        life = Life(tmp_path)
        life.fails = lambda: life.sources[-1].polls < 30
        life.process()

        assert "store.failed" in life.calls[: life.calls.index("reference")]
        assert ["store.saved", "reference"] == [each for each in life.calls if each != "store.failed"][:2]

    def test_reference_whose_state_was_never_stored_leaves_no_file(self, tmp_path: Path) -> None:
        life = Life(tmp_path)
        life.fails = lambda: True
        life.process()

        assert "reference" not in life.calls
        assert not list(life.references.iterdir())


def test_ids_of_topics_are_stored_beside_the_positions_and_given_to_the_next_process(tmp_path: Path) -> None:
    life = Life(tmp_path)

    def named(app: App, polls: int) -> None:
        life.sources[-1].ids = {PLACE.topic: "its-id"}
        stopping_at(4)(app, polls)

    life.process(named)
    life.process(stopping_at(1))

    assert [[{}], [{PLACE.topic: "its-id"}]] == [source.opened_ids for source in life.sources]
