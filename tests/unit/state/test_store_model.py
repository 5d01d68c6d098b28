"""Store and outbox on a simulated disk: kills, power cuts, torn writes, no space, I/O errors, at any operation.

The real SQL of the store runs on a real SQLite (apsw's, which lets a test be its disk; see tests/support/disk). What
must hold: after a kill, the state is that of the last save, or of the one under way, whole; after a power cut, that of
a save not older than the last sync; after a failed save, the one before; never a mixture, never an error. And of what
is to be told: all of it is, the newest of each alert last, and twice only where a crash came between.

DRIFTD_MODEL_EXAMPLES multiplies the examples: 1 takes some 20 s, 1000 a night.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from structlog.testing import capture_logs

from monitor.alert_state import transition_of, transition_state
from monitor.domain import AlertState, TopicPartition
from monitor.errors import SinkError, StateError
from monitor.kept import Section, State
from monitor.sinks.base import Notice, Terms
from monitor.sinks.worker import Clocks, Worker
from monitor.store import Stored, database
from monitor.store.database import Database, create, set_up
from tests.support.disk import Disk
from tests.unit.sinks.examples import START_S, ListSink, notice

EXAMPLES: Final = int(os.environ.get("DRIFTD_MODEL_EXAMPLES", "1"))
PARTITION: Final = TopicPartition("events", 0)
_SETTINGS: Final = settings(
    max_examples=500 * EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CUT: Final = st.tuples(st.integers(0, 45), st.booleans(), st.integers(0, 2**32))
"""After how many operations, whether the power is cut (else a kill), and what decides which sectors are lost."""
FAULTS: Final = st.lists(st.sampled_from([apsw.FullError, apsw.IOError]), min_size=1, max_size=4)


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    """Small pages and a short log, so that a save is many operations and the log is written back every other time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "PAGE_BYTES", 1024)
        patch.setattr(database, "WAL_PAGES", 16)
        patch.setattr(database, "CACHE_KIB", 8)
        with capture_logs():
            yield


def opened(disk: Disk) -> Database:
    def connect() -> Any:  # noqa: ANN401 - stands in for sqlite3's
        connection = disk.connect()
        set_up(connection)
        return connection

    return Database(connect, "state")


def new_disk() -> Disk:
    disk = Disk()
    connection = disk.connect()
    create(connection, START_S)
    connection.close()
    return disk


def sections(number: int, changed: Sequence[int]) -> list[Section]:
    """Sections of which some change with each save; those that do not keep the mark of the save that changed them."""
    parts = [
        Section(f"part/{index}", f"{index}-{save}", partial(dict, save=save, x=b"x" * (90 * index**2)))
        for index, save in enumerate(changed)
        if save >= 0
    ]
    return [*parts, Section("always", None, partial(dict, save=number))]


@dataclass
class Saves:
    """Saves of a process, and what a state must look like after each."""

    disk: Disk
    database: Database
    marks: list[int]
    done: int = 0
    synced: int = 0

    @classmethod
    def on(cls, disk: Disk) -> Saves:
        saves = cls(disk, opened(disk), [0] * 5)
        disk.on_sync = lambda: setattr(saves, "synced", saves.done)
        return saves

    def save(self, changes: Mapping[int, bool]) -> None:
        """Save, with some parts changed (True) or left out (False)."""
        number = self.done + 1
        for index, is_there in changes.items():
            self.marks[index] = number if is_there else -1
        self.database.save(sections(number, self.marks), {PARTITION: number}, START_S + number)
        self.done = number


def number_of(found: Stored | None, history: Sequence[Sequence[int]]) -> int:
    """See that a state is one save, whole; give its number."""
    if found is None:
        return 0
    number = int(found.sections["always"]["save"])
    assert {PARTITION: number} == found.positions
    assert START_S + number == found.saved_wall_s
    expected = {f"part/{index}": save for index, save in enumerate(history[number]) if save >= 0}
    assert expected == {name: each["save"] for name, each in found.sections.items() if name != "always"}
    return number


CHANGES: Final = st.lists(
    st.dictionaries(st.integers(0, 4), st.sampled_from([True, True, True, False]), max_size=5), min_size=1, max_size=8
)


@_SETTINGS
@given(changes=CHANGES, at=st.integers(0, 7), cut=CUT)
def test_cut_off_at_any_operation_leaves_one_save_whole(
    changes: list[dict[int, bool]], at: int, cut: tuple[int, bool, int]
) -> None:
    after, is_power_cut, seed = cut
    disk = new_disk()
    saves = Saves.on(disk)
    history = [list(saves.marks)]
    least, most = 0, 0
    for index, each in enumerate(changes):
        if index == min(at, len(changes) - 1):
            disk.cut(after, is_power_cut=is_power_cut, seed=seed)
        is_cut_before = disk.image is not None
        done, synced = saves.done, saves.synced
        saves.save(each)
        history.append(list(saves.marks))
        if disk.image is not None and not is_cut_before:
            least, most = (synced if is_power_cut else done), done + 1
    if disk.image is None:
        least, most = (saves.synced if is_power_cut else saves.done), saves.done

    next_disk = Disk(disk.left())
    found = opened(next_disk)
    assert least <= number_of(found.load(), history) <= most

    saved = found.save(sections(99, [7] * 5), {PARTITION: 99}, START_S)
    assert saved.state_bytes > 0
    found.close()
    again = opened(next_disk).load()
    assert again is not None
    assert {99, 7} == {each["save"] for each in again.sections.values()}


@_SETTINGS
@given(changes=CHANGES, failing=st.dictionaries(st.integers(0, 7), st.tuples(st.integers(0, 40), FAULTS), min_size=1))
def test_failed_save_leaves_the_one_before_and_the_next_works(
    changes: list[dict[int, bool]], failing: dict[int, tuple[int, list[type[apsw.Error]]]]
) -> None:
    disk = new_disk()
    saves = Saves.on(disk)
    history: dict[int, list[int]] = {0: list(saves.marks)}
    stored = 0
    for index, each in enumerate(changes):
        if index in failing:
            disk.fail(*failing[index])
        before = list(saves.marks)
        try:
            saves.save(each)
        except StateError as error:
            assert "what was saved before is still there" in str(error)  # noqa: PT017 - it may also work
            saves.marks = before
        else:
            stored = saves.done
            history[stored] = list(saves.marks)
        disk.mend()
        table = [history.get(number, []) for number in range(stored + 1)]
        assert stored == number_of(saves.database.load(), table)
    saves.save({0: True})
    saves.database.close()
    found = opened(disk).load()

    assert found is not None
    assert saves.done == found.sections["always"]["save"] == found.positions[PARTITION]


@_SETTINGS
@given(changes=CHANGES, fault=st.tuples(st.integers(0, 40), FAULTS), cut=CUT)
def test_failing_disk_that_is_cut_off_leaves_one_save_whole(
    changes: list[dict[int, bool]], fault: tuple[int, list[type[apsw.Error]]], cut: tuple[int, bool, int]
) -> None:
    after, is_power_cut, seed = cut
    disk = new_disk()
    saves = Saves.on(disk)
    history = [list(saves.marks)]
    disk.fail(*fault)
    for each in changes:
        before = list(saves.marks)
        try:
            saves.save(each)
        except StateError:
            saves.marks = before
        else:
            history.append(list(saves.marks))
    disk.mend()
    disk.cut(after, is_power_cut=is_power_cut, seed=seed)
    done, synced = saves.done, saves.synced
    saves.save({0: True})
    history.append(list(saves.marks))

    number = number_of(opened(Disk(disk.left())).load(), history)
    assert (0 if is_power_cut else done) <= number <= done + 1
    assert is_power_cut or number >= synced


KEYS: Final = "abc"


def decided(offset: int) -> Notice:
    """What the message at an offset leads to: alerts that fire and resolve in turn."""
    state = (AlertState.FIRING, AlertState.RESOLVED)[offset // len(KEYS) % 2]
    return notice(KEYS[offset % len(KEYS)], state, at_s=START_S + offset)


class Receiver(ListSink):
    """Lives beside the daemon, through all its crashes; answers, or not, or takes it and does not say so."""

    def __init__(self, terms: Terms) -> None:
        super().__init__("pager", terms)
        self.mood = "well"
        self.unanswered = 0

    def deliver(self, notices: Sequence[Notice], now_wall_s: float) -> None:
        if self.mood != "down":
            super().deliver(notices, now_wall_s)
        if self.mood != "well":
            self.unanswered += 1
            raise SinkError("the receiver is not well", is_retryable=True, reason="timeout")


class Daemon(RuleBasedStateMachine):
    """A process after the other: reads, decides, saves, tells, and is killed."""

    terms = Terms()

    @initialize()
    def begin(self) -> None:
        self.now_s = 0.0
        self.disk = new_disk()
        self.receiver = Receiver(self.terms)
        self.crashes = self.end = 0
        self.told_by = 0
        """Up to which offset all may have been told: that of the last save, also of one that failed."""
        self._start()

    def _start(self) -> None:
        self.database = opened(self.disk)
        # A steady clock that begins anew in each process, as that of a machine that starts does.
        began_s = self.now_s
        clocks = Clocks(wall=lambda: START_S + self.now_s, steady=lambda: self.now_s - began_s)
        self.worker = Worker(self.receiver, clocks)
        self.untold: list[Notice] = []
        self.next_offset = self.saved = 0
        found = self.database.load()
        if found is not None:
            self.next_offset = self.saved = found.positions[PARTITION]
            assert self.next_offset == found.sections["pipeline"]["next"]
            self.worker.restore(found.sections["outbox/pager"], START_S + self.now_s)
            told = found.sections["untold"]["transitions"]
            self.told_by = max(self.told_by, self.next_offset)
            self.worker.offer([Notice(transition_of(each), START_S) for each in told])

    @rule(messages=st.integers(1, 4))
    def read(self, messages: int) -> None:
        for _ in range(messages):
            self.untold.append(decided(self.next_offset))
            self.next_offset += 1
        self.end = max(self.end, self.next_offset)

    @rule()
    def save(self) -> None:
        self._save()
        self.saved = self.next_offset
        self._offer()

    @rule(after=st.integers(0, 40), faults=FAULTS)
    def save_on_a_failing_disk(self, after: int, faults: list[type[apsw.Error]]) -> None:
        """A state that can't be stored silences nobody: all is told, and perhaps once more after the next start."""
        self.disk.fail(after, faults)
        try:
            self._save()
        except StateError:
            pass
        else:
            self.saved = self.next_offset
        self.disk.mend()
        self._offer()

    @rule(seconds=st.sampled_from([0.0, 1.0, 61.0, 500.0]))
    def tell(self, seconds: float) -> None:
        self.now_s += seconds
        while self.worker.step():
            pass

    @rule(mood=st.sampled_from(["well", "down", "silent"]))
    def change_mood(self, mood: str) -> None:
        self.receiver.mood = mood

    @rule(after=st.integers(0, 60), seed=st.integers(0, 2**32), is_power_cut=st.booleans())
    def crash(self, after: int, seed: int, *, is_power_cut: bool) -> None:
        """While it saves, or just after it."""
        before, reading = self.saved, self.next_offset
        self.disk.cut(after, is_power_cut=is_power_cut, seed=seed)
        self._save()
        self.crashes += 1
        self.disk = Disk(self.disk.left())
        self.now_s += 3.0
        self._start()
        assert self.next_offset <= reading
        assert is_power_cut or self.next_offset in {before, reading}

    def _save(self) -> None:
        told = [transition_state(each.transition) for each in self.untold]
        content: dict[str, State] = {"pipeline": {"next": self.next_offset}, "untold": {"transitions": told}}
        kept = [Section(name, None, partial(dict, state)) for name, state in content.items()]
        outbox = Section("outbox/pager", self.worker.mark(), self.worker.state)
        self.database.save([*kept, outbox], {PARTITION: self.next_offset}, START_S + self.now_s)

    def _offer(self) -> None:
        self.told_by = max(self.told_by, self.next_offset)
        self.worker.offer(self.untold)
        self.untold = []

    @invariant()
    def nothing_is_told_before_a_save_was_tried(self) -> None:
        told = [each.transition.time_s for call in getattr(self, "receiver", ListSink()).calls for each in call]
        assert max(told, default=START_S) <= START_S + max(0, self.told_by - 1)

    def teardown(self) -> None:
        """All that was decided reaches the receiver once it is well: the newest of each alert, and it last."""
        if not hasattr(self, "receiver"):
            return
        self.read(self.end - self.next_offset)  # what a power cut has lost the save of is still in the topic
        self.save()
        self.receiver.mood = "well"
        for _ in range(20):
            self.tell(61.0)
        last = {each.key: each.transition for call in self.receiver.calls for each in call}
        newest = {decided(offset).key: decided(offset).transition for offset in range(self.next_offset)}
        assert 0 == self.worker.status().queued
        assert newest == last
        self._check_pages()

    def _check_pages(self) -> None:
        """What is told again was told before a crash, or its answer was lost."""
        calls = Counter((each.key, each.transition.time_s) for call in self.receiver.calls for each in call)
        assert max(calls.values(), default=0) <= 1 + self.crashes + self.receiver.unanswered


class EveryChange(Daemon):
    terms = Terms(is_every_change_told=True, notices_max=4)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "receiver"):
            told = {(each.key, each.transition.time_s) for call in self.receiver.calls for each in call}
            assert {(decided(n).key, START_S + n) for n in range(self.next_offset)} == told


class Repeating(Daemon):
    terms = Terms(resend_s=60.0, notices_max=8)

    def _check_pages(self) -> None:
        """They are repeated anyway."""


_MACHINE: Final = settings(
    max_examples=60 * EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestNewest = Daemon.TestCase
TestNewest.settings = _MACHINE
TestEveryChange = EveryChange.TestCase
TestEveryChange.settings = _MACHINE
TestRepeating = Repeating.TestCase
TestRepeating.settings = _MACHINE
