"""Snapshots on a simulated compacted log: writers that die, stand still or fail at any record, compaction at any time.

Each writer runs the real code on a thread of its own, and goes one operation on the log further when it is told to;
so every order of their operations can come about, and each run comes about again. What must hold is what snapshots.py
promises: a reader gets the last whole snapshot of the highest writer, never a torn one, never none where one was.

DRIFTD_MODEL_EXAMPLES multiplies the examples.
"""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from threading import Semaphore, Thread
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitor import codec, snapshots
from monitor.domain import TopicPartition
from monitor.errors import StateError
from monitor.kept import Section
from monitor.snapshot_writer import Log, Superseded, Writer, WriterTerms
from monitor.snapshots import CLAIM, SEAL, SECTION, Image, Place, Record, Snapshot, Who, place_of

EXAMPLES: Final = int(os.environ.get("DRIFTD_MODEL_EXAMPLES", "1"))
_SETTINGS: Final = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
)
PARTITION: Final = TopicPartition("deltas", 3)
RECORD_BYTES: Final = 150
"""So small that most sections and all manifests go in parts."""
SEED: Final = st.integers(0, 2**32)

Contents = Mapping[str, Mapping[str, Any]]


class Sealed(NamedTuple):
    """A snapshot as it was meant, by the order in which they count."""

    who: Who
    save: int
    contents: Contents
    wall_s: float


@dataclass
class Disk:
    """A partition. sealed: what snapshots there ever were. meant: what a seal's key will stand for."""

    records: list[tuple[int, bytes | None, bytes | None]] = field(default_factory=list)
    end: int = 0
    limbo: list[deque[Record]] = field(default_factory=list)
    meant: dict[bytes, Sealed] = field(default_factory=dict)
    sealed: list[Sealed] = field(default_factory=list)
    highest: Who | None = None

    def append(self, record: Record) -> int:
        place = place_of(record.key)
        assert place is not None
        if record.value is not None:
            assert record.key not in {key for _, key, value in self.records if value is not None}, "written twice"
        self.records.append((self.end, *record))
        self.end += 1
        if place.kind == SEAL and record.value is not None and record.key in self.meant:
            self.sealed.append(self.meant[record.key])
        if place.kind == CLAIM and record.value is not None:
            self.highest = max(self.highest or place.who, place.who)
        return self.end - 1

    def compact(self, rng: random.Random, share: float) -> None:
        """Remove some of what Kafka may: records with a later one of their key, and tombstones that hide nothing."""
        last = {key: offset for offset, key, _ in self.records}
        first = {key: offset for offset, key, _ in reversed(self.records)}

        def may_go(offset: int, key: bytes | None, value: bytes | None) -> bool:
            return last[key] != offset or (value is None and first[key] == offset)

        self.records = [each for each in self.records if not may_go(*each) or rng.random() >= share]

    def best(self) -> Sealed | None:
        return max(self.sealed, key=lambda each: (each.who, each.save), default=None)

    def image(self) -> Image:
        image = Image("log")
        for _, key, value in self.records:
            image.fold(key, value)
        return image


class Killed(BaseException):
    """Ends a writer's thread."""


class Failing(NamedTuple):
    """How a write fails. in_flight: so many records more. is_late: they may land later, else at once."""

    in_flight: int
    is_late: bool


class Process:
    """A writer on a thread of its own, which goes on when it is stepped. seed: of what it saves, and its clock."""

    def __init__(self, disk: Disk, name: str, seed: int) -> None:
        self.disk = disk
        self.name = name
        self.is_over = False
        self.failing: Failing | None = None
        self.has_begun = False
        self.saves = 0
        self.error: BaseException | None = None
        self._rng = random.Random(seed)
        self._is_killed = False
        self._turn, self._done = Semaphore(0), Semaphore(0)
        self._versions: dict[str, int] = {}
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    # ---- for the controller

    def step(self, count: int = 1) -> None:
        """Go so many operations further."""
        for _ in range(count):
            if not self.is_over:
                self._turn.release()
                self._done.acquire()
        if self.error is not None:
            raise self.error

    def kill(self) -> None:
        self._is_killed = True
        self.step()
        self._thread.join()

    # ---- the process

    def pause(self) -> None:
        self._done.release()
        self._turn.acquire()
        if self._is_killed:
            raise Killed

    def _run(self) -> None:
        self._turn.acquire()
        try:
            if not self._is_killed:
                self._live()
        except (Killed, Superseded):
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where the test sees it
            self.error = error
        self.is_over = True
        self._done.release()

    def _live(self) -> None:
        log = Simulated(self)
        try:
            writer, found = Writer.begin(log, WriterTerms("log", "1", self.name, RECORD_BYTES), self._wall_s())
        except StateError:
            assert log.has_failed
            return
        check(found, self.disk, log.claimed)
        self.has_begun = True
        while True:
            self._save(log, writer)

    def _save(self, log: Simulated, writer: Writer) -> None:
        contents, wall_s = self._contents(), self._wall_s()
        log.meant = partial(Sealed, contents=contents, wall_s=wall_s)
        sections = [
            Section(name, None if name == "always" else str(self._versions[name]), partial(dict, each))
            for name, each in contents.items()
        ]
        log.has_failed, before = False, self.disk.highest
        is_superseded = before is not None and before > writer.who
        try:
            writer.save(sections, {PARTITION: self.saves}, wall_s)
        except Superseded:
            assert self.disk.highest is not None
            assert self.disk.highest > writer.who
            raise
        except StateError:
            assert log.has_failed
        else:
            self.saves += 1
            assert not is_superseded

    def _contents(self) -> Contents:
        """Change, add or leave out some sections."""
        for number in range(4):
            name = f"part/{number}"
            if self._rng.random() < 0.4:
                self._versions[name] = self._versions.get(name, 0) + 1
        names = [name for name in self._versions if self._rng.random() < 0.9]
        told = {name: {"of": self.name, "version": self._versions[name], "x": self._bytes(name)} for name in names}
        return told | {"always": {"of": self.name, "save": self.saves}}

    def _bytes(self, name: str) -> bytes:
        return name.encode() * (25 * int(name[-1]))

    def _wall_s(self) -> float:
        """Clocks are not to be relied upon."""
        return self._rng.randrange(5) / 1000.0


class Simulated(Log):
    """The log as a process sees it: every operation waits for its turn."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._disk = process.disk
        self.claimed: Sealed | None = None
        """The best there was at the process's claim."""
        self.meant: Callable[..., Sealed] | None = None
        self.has_failed = False

    def end(self) -> int:
        self._process.pause()
        return self._disk.end

    def read(self, first: int, upto: int) -> Iterator[tuple[bytes | None, bytes | None]]:
        while True:
            self._process.pause()
            found = next((each for each in self._disk.records if each[0] >= first), None)
            if found is None or found[0] >= upto:
                return
            first = found[0] + 1
            yield found[1:]

    def write(self, records: Iterable[Record]) -> list[int]:
        offsets, left = [], iter(records)
        for record in left:
            self._mean(record)
            try:
                self._process.pause()
            except Killed:
                self._disk.limbo.append(deque([record]))
                raise
            self._fail(record, left)
            offsets.append(self._disk.append(record))
        self._process.pause()
        self._fail(None, left)
        return offsets

    def _mean(self, record: Record) -> None:
        place = place_of(record.key)
        assert place is not None
        if place.kind == SEAL and record.value is not None:
            assert self.meant is not None
            self._disk.meant[record.key] = self.meant(place.who, place.save)
        if place.kind == CLAIM and record.value is not None:
            self.claimed = self._disk.best()

    def _fail(self, record: Record | None, left: Iterator[Record]) -> None:
        failing, self._process.failing = self._process.failing, None
        if failing is None:
            return
        self.has_failed = True
        in_flight = [] if record is None else [record, *islice(left, failing.in_flight)]
        for each in in_flight:
            self._mean(each)
        if failing.is_late:
            self._disk.limbo.append(deque(in_flight))
        else:
            for each in in_flight:
                self._disk.append(each)
        raise StateError("not known to be written")


def check(found: Snapshot | None, disk: Disk, least: Sealed | None) -> None:
    """See that a snapshot is one that was sealed, as it was meant, and not before another one."""
    if found is None:
        assert least is None
        return
    (meant,) = [each for each in disk.sealed if (each.who, each.save) == (found.who, found.save)]
    assert meant.contents == found.sections
    assert meant.wall_s == found.saved_wall_s
    assert {PARTITION: meant.contents["always"]["save"]} == found.positions
    assert least is None or (least.who, least.save) <= (found.who, found.save)


class Life(RuleBasedStateMachine):
    """Processes come, go on in any order, stand still, fail and die; the log is compacted whenever it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()
        self.alive: list[Process] = []
        self.begun = 0

    def begin(self, seed: int) -> Process:
        self.begun += 1
        # Tokens in any order, so that none but claims tell who is later.
        process = Process(self.disk, f"{random.Random(seed).randrange(1000):03}-{self.begun}", seed)
        self.alive.append(process)
        return process

    @rule(seed=SEED)
    def process_begins(self, seed: int) -> None:
        if len(self.alive) < 4:
            self.begin(seed)

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 3), count=st.sampled_from([1, 2, 3, 5, 8, 13, 21, 34, 80]))
    def process_goes_on(self, which: int, count: int) -> None:
        process = self.alive[which % len(self.alive)]
        process.step(count)
        if process.is_over:
            self.alive.remove(process)

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 3), in_flight=st.integers(0, 4), is_late=st.booleans())
    def write_fails(self, which: int, in_flight: int, is_late: bool) -> None:  # noqa: FBT001 - hypothesis calls by name
        self.alive[which % len(self.alive)].failing = Failing(in_flight, is_late)

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 3))
    def process_dies(self, which: int) -> None:
        self.alive.pop(which % len(self.alive)).kill()

    @precondition(lambda self: self.disk.limbo)
    @rule(which=st.integers(0, 50), count=st.integers(1, 3))
    def record_lands_late(self, which: int, count: int) -> None:
        late = self.disk.limbo[which % len(self.disk.limbo)]
        for _ in range(min(count, len(late))):
            self.disk.append(late.popleft())
        if not late:
            self.disk.limbo.remove(late)

    @rule(seed=SEED, share=st.sampled_from([0.1, 0.5, 1.0]))
    def log_is_compacted(self, seed: int, share: float) -> None:
        self.disk.compact(random.Random(seed), share)

    @invariant()
    def last_sealed_snapshot_is_there_whole(self) -> None:
        best, found = self.disk.best(), self.disk.image().last_whole()

        assert (best is None) == (found is None)
        check(found, self.disk, best)

    def teardown(self) -> None:
        """Whatever came before, the next process finds the state, and soon nothing else is left in the log."""
        try:
            self.disk.limbo.clear()
            for process in self.alive:
                process.failing = None
            last = self.begin(7)
            while last.saves < 3:
                last.step()
            self.disk.compact(random.Random(0), 1.0)
            self.disk.compact(random.Random(0), 1.0)
            places = {place_of(key) for _, key, value in self.disk.records if value is not None}
            who = max(place.who for place in places if place is not None)
            theirs = {place for place in places if place is not None and place.who == who}
            assert len({place.save for place in theirs if place.kind == SEAL}) <= 3
            assert (
                not {place for place in places - theirs if place is not None and place.kind != CLAIM} or self.alive[1:]
            )
        finally:
            for process in self.alive:
                process.kill()


TestLife = Life.TestCase
TestLife.settings = settings(_SETTINGS, max_examples=150 * EXAMPLES, stateful_step_count=60)


# ---- one writer, and what is done to its log


class Plain(Log):
    """A log whose operations are done at once."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.meant: Callable[..., Sealed] | None = None

    def end(self) -> int:
        return self.disk.end

    def read(self, first: int, upto: int) -> Iterator[tuple[bytes | None, bytes | None]]:
        return ((key, value) for offset, key, value in list(self.disk.records) if first <= offset < upto)

    def write(self, records: Iterable[Record]) -> list[int]:
        offsets = []
        for record in records:
            place = place_of(record.key)
            if place is not None and place.kind == SEAL and record.value is not None and self.meant is not None:
                self.disk.meant[record.key] = self.meant(place.who, place.save)
            offsets.append(self.disk.append(record))
        return offsets


@dataclass
class Court:
    """A writer on a log of its own. versions: of its sections; one that is not there has none."""

    log: Plain
    writer: Writer
    saves: int = 0

    @classmethod
    def begin(cls, disk: Disk | None = None, token: str = "t", record_bytes_max: int = RECORD_BYTES) -> Court:
        log = Plain(disk or Disk())
        writer, _ = Writer.begin(log, WriterTerms("log", "1", token, record_bytes_max), 5.0)
        return cls(log, writer)

    def save(self, **versions: int) -> Any:  # noqa: ANN401 - what the writer says
        contents = {name: {"version": version, "x": b"x" * 300} for name, version in versions.items()}
        contents["always"] = {"save": self.saves}
        self.log.meant = partial(Sealed, contents=contents, wall_s=float(self.saves))
        sections = [Section(name, str(at), partial(dict, contents[name])) for name, at in versions.items()]
        sections.append(Section("always", None, partial(dict, contents["always"])))
        written = self.writer.save(sections, {PARTITION: self.saves}, float(self.saves))
        self.saves += 1
        return written

    def found(self) -> Snapshot | None:
        return self.log.disk.image().last_whole()


VERSIONS: Final = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 3), max_size=3), min_size=1, max_size=5
)


@settings(_SETTINGS, max_examples=200 * EXAMPLES)
@given(
    saves=VERSIONS,
    hits=st.lists(st.tuples(SEED, st.sampled_from(["flip", "cut", "remove", "empty"])), min_size=1, max_size=4),
    compacted=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_damaged_snapshot_is_never_taken_and_the_next_older_whole_one_is(
    saves: list[dict[str, int]], hits: list[tuple[int, str]], compacted: float
) -> None:
    court = Court.begin()
    disk = court.log.disk
    for versions in saves:
        court.save(**versions)
    disk.compact(random.Random(1), compacted)
    names = _named_by_each(disk)
    hit = set()
    for seed, how in hits:
        at = seed % len(disk.records)
        offset, key, value = disk.records[at]
        if value and key is not None and key not in hit:
            hit.add(key)
            disk.records[at] = offset, key, _damaged(value, how, seed)
    image = Image("log")
    for _, key, value in disk.records:
        if not (value == b"" and key in hit):
            image.fold(key, value)
    whole = [seal for seal, keys in names.items() if not keys & hit]
    seals = [key for key in image.held() if key.split(b"/")[3] == SEAL.encode()]

    if whole or not seals:
        found = image.last_whole()
        best = max((disk.meant[seal] for seal in whole), key=lambda each: each.save, default=None)
        check(found, disk, best)
        assert (found is None, 0 if found is None else found.save) == (best is None, 0 if best is None else best.save)
    else:
        with pytest.raises(StateError, match=r"holds no whole state, but \d damaged: .*driftd topics create"):
            image.last_whole()


def _named_by_each(disk: Disk) -> dict[bytes, set[bytes]]:
    """Give the keys that each snapshot rests on, of those that are all there, by the key of its seal."""
    image = disk.image()
    held, found = set(image.held()), {}
    for place in [place for key in held if (place := place_of(key)) is not None and place.kind == SEAL]:
        manifest = image._manifest(place)
        told = {place._replace(kind="manifest", part=part).key for part in range(place.part)} | {place.key}
        keys = told | {key for row in manifest.rows for key in row.keys(place.who)}
        if keys <= held:
            found[place.key] = keys
    return found


def _damaged(value: bytes, how: str, seed: int) -> bytes:
    at = (seed // 7) % len(value)
    if how == "flip":
        return value[:at] + bytes([value[at] ^ (1 + seed % 255)]) + value[at + 1 :]
    return value[:at] if how == "cut" else b""


@settings(_SETTINGS, max_examples=100 * EXAMPLES)
@given(saves=VERSIONS, later=VERSIONS, cut=SEED, when=st.sampled_from(["before", "while writing"]))
def test_log_that_lost_its_end_holds_an_older_state_and_the_next_save_is_whole(
    saves: list[dict[str, int]], later: list[dict[str, int]], cut: int, when: str
) -> None:
    court = Court.begin()
    disk = court.log.disk
    for versions in saves:
        court.save(**versions)
    end = 1 + cut % (disk.end - 1)

    def lose() -> None:
        disk.records = [each for each in disk.records if each[0] < end]
        disk.sealed = [disk.meant[key] for _, key, v in disk.records if v is not None and key in disk.meant and key]
        disk.end = end

    if when == "while writing":
        court.log.end = lambda: (disk.end, lose())[0]  # type: ignore[method-assign,func-returns-value]
        with pytest.raises(StateError, match="the log has lost records that were acknowledged"):
            court.save(a=9)
        del court.log.end
    else:
        lose()
        check(court.found(), disk, disk.best())
    for versions in later:
        court.save(**versions)
        found = court.found()
        check(found, disk, disk.best())
        assert found is not None
        assert court.saves - 1 == found.sections["always"]["save"]
        disk.compact(random.Random(cut), 1.0)


def test_section_is_written_again_only_when_its_mark_has_changed() -> None:
    court = Court.begin()

    written = [court.save(**versions) for versions in ({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1})]

    assert [3, 2, 1, 1] == [each.sections for each in written]
    assert written[1].bytes < written[0].bytes
    assert written[1].state_bytes == written[0].state_bytes
    assert {"a", "always"} == (court.found() or pytest.fail("nothing there")).sections.keys()


def test_section_that_is_gone_and_comes_back_is_written_again() -> None:
    court = Court.begin()
    for versions in ({"a": 1}, {}, {"a": 1}):
        court.save(**versions)
        court.log.disk.compact(random.Random(1), 1.0)
        check(court.found(), court.log.disk, court.log.disk.best())


def test_log_of_one_writer_holds_two_snapshots_and_no_more_however_long_he_goes_on() -> None:
    court = Court.begin()
    sizes = []
    for number in range(50):
        court.save(a=1, b=number, c=number // 10)
        court.log.disk.compact(random.Random(number), 1.0)
        court.log.disk.compact(random.Random(number), 1.0)
        sizes.append(sum(value is not None for _, _, value in court.log.disk.records))

    assert max(sizes[:12]) == max(sizes)


def test_successor_has_the_zombie_refused_before_he_has_saved_anything() -> None:
    first = Court.begin(token="z")
    first.save(a=1)

    second = Court.begin(first.log.disk, token="a")

    assert second.writer.who > first.writer.who
    with pytest.raises(Superseded, match="another writer has begun since"):
        first.save(a=2)
    second.save(a=3)
    assert 3 == (second.found() or pytest.fail("nothing there")).sections["a"]["version"]


def test_successor_writes_all_with_keys_of_his_own_and_buries_the_rest() -> None:
    first = Court.begin(token="z")
    first.save(a=1, b=1)
    second = Court.begin(first.log.disk, token="a")

    assert 3 == second.save(a=1, b=1).sections

    second.log.disk.compact(random.Random(1), 1.0)
    held = [place_of(key) for key in second.log.disk.image().held()]
    assert {second.writer.who} == {place.who for place in held if place is not None}


def test_failing_tombstones_are_written_with_the_next_save() -> None:
    court = Court.begin()
    write = court.log.write

    def refuse_tombstones(records: Iterable[Record]) -> list[int]:
        given = list(records)
        if given and all(record.value is None for record in given):
            raise StateError("no")
        return write(given)

    court.log.write = refuse_tombstones  # type: ignore[method-assign]
    assert [0, 0, 0] == [court.save(a=number).buried for number in range(3)]
    court.log.write = write  # type: ignore[method-assign]
    court.save(a=4)
    court.save(a=5)
    court.log.disk.compact(random.Random(1), 1.0)

    assert 2 == len([key for key in court.log.disk.image().held() if b"/seal/" in key])


def test_section_beyond_a_record_is_cut_and_put_together() -> None:
    court = Court.begin(record_bytes_max=1_000)
    data = random.Random(3).randbytes(12_345)

    court.writer.save([Section("large", "1", lambda: {"x": data})], {}, 1.0)

    values = [value for _, _, value in court.log.disk.records if value is not None]
    assert 14 <= len(values)
    assert max(map(len, values)) == 1_000
    found = court.found()
    assert found is not None
    assert {"large": {"x": data}} == found.sections


def test_records_of_others_in_the_topic_are_passed_over() -> None:
    court = Court.begin()
    court.save(a=1)
    for key in (None, b"", b"x", b"1/t/1/section/0", b"01/t/1/section/0/a", b"1/t/1/other/0/a", b"\xff/t/1/seal/0/"):
        court.log.disk.records.append((court.log.disk.end, key, b"{}"))
        court.log.disk.end += 1

    court.save(a=2)

    assert 2 == (court.found() or pytest.fail("nothing there")).sections["a"]["version"]


def test_names_may_hold_anything() -> None:
    place = Place(Who(7, "t"), 3, SECTION, 2, "rows/ä b/\n/9")

    assert place == place_of(place.key)


def test_two_sections_of_one_name_are_a_bug() -> None:
    court = Court.begin()

    with pytest.raises(ValueError, match="two sections are named a"):
        court.writer.save([Section("a", None, dict), Section("a", None, dict)], {}, 1.0)

    court.save(a=1)
    assert court.found() is not None


def test_newer_format_is_refused_and_no_older_snapshot_taken_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    court = Court.begin()
    court.save(a=1)
    monkeypatch.setattr(snapshots, "FORMAT", 2)
    court.save(a=2)
    monkeypatch.setattr(snapshots, "FORMAT", 1)

    with pytest.raises(StateError, match=r"newer version of driftd \(1, format 2; this one reads up to 1\)"):
        court.found()


def test_newer_codec_of_a_section_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    court = Court.begin()
    monkeypatch.setattr(codec, "VERSION", 2)
    court.save(a=1)
    monkeypatch.setattr(codec, "VERSION", 1)

    with pytest.raises(StateError, match=r"newer version of driftd.*driftd topics create"):
        court.found()
