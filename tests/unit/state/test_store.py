"""The state store on a real disk: what it keeps, whom it lets in, and what it does when the disk or the file fails."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from monitor import __version__, codec
from monitor.domain import TopicPartition
from monitor.errors import StateError
from monitor.kept import Section, State, under
from monitor.state_cli import state as command
from monitor.store import Store, damages, read_portable, reading
from monitor.store.contents import Sections, seal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WALL_S: Final = 1_800_000_000.0
POSITIONS: Final = {TopicPartition("events", 0): 17, TopicPartition("events", 1): 2**40}


def section(name: str, content: State, mark: str | None = None) -> Section:
    return Section(name, mark, lambda: content)


def sections(number: int, count: int = 5, size: int = 4_000) -> list[Section]:
    """Sections that all say of which save they are."""
    filled = np.full(size, number, dtype=np.int64)
    return [section(f"part/{index}", {"save": number, "numbers": filled}) for index in range(count)]


def file_of(directory: Path) -> Path:
    return directory / "driftd.sqlite"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state", WALL_S)
    yield opened
    opened.close()


class TestSections:
    def test_one_is_read_when_it_is_first_looked_at_and_once(self) -> None:
        read: list[str] = []

        def decode(name: str, data: bytes) -> State:
            read.append(name)
            return codec.decode(data, name)

        found = Sections({name: codec.encode({"name": name}) for name in ("a/1", "a/2", "b")}, decode)

        assert (["a/1", "a/2", "b"], 3, True, False) == (list(found), len(found), "b" in found, "c" in found)
        assert [("1", {"name": "a/1"}), ("2", {"name": "a/2"})] == list(under("a/", found))
        assert {"name": "a/2"} == found["a/2"]
        assert {} == found.get("c", {})
        assert ["a/1", "a/2"] == read

    def test_one_of_a_newer_version_is_refused_with_the_whole(self, store: Store) -> None:
        store.save(sections(1), POSITIONS, WALL_S)
        newer = codec.VERSION + 1
        body = codec.encode({})[codec.HEADER_BYTES :]
        checksum = zlib.crc32(body, zlib.crc32(struct.pack("<HQ", newer, len(body))))
        data = codec.MAGIC + struct.pack("<IHQ", checksum, newer, len(body)) + body
        with reading(store.path.parent) as database:
            held = database.contents()
        rows = [row if row.name != "part/1" else row._replace(bytes=len(data), checksum=checksum) for row in held.rows]
        contents = held._replace(rows=rows)
        contents = contents._replace(account=contents.account._replace(seal=seal(contents)))
        connection = sqlite3.connect(store.path)
        connection.execute(
            "UPDATE section SET bytes = ?, checksum = ?, data = ? WHERE name = 'part/1'", (len(data), checksum, data)
        )
        connection.execute("UPDATE meta SET value = ? WHERE name = 'seal'", (contents.account.seal,))
        connection.commit()
        connection.close()

        with pytest.raises(StateError, match="section part/1: was written by a newer version"):
            store.load()


class TestSaves:
    def test_new_state_is_empty_and_says_so(self, store: Store) -> None:
        assert store.load() is None

    def test_what_was_saved_is_loaded_in_the_next_process(self, tmp_path: Path) -> None:
        content: State = {"a": np.arange(6).reshape(2, 3), "b": [1.5, "x", None, {"c": b"\x00"}]}
        store = Store.open(tmp_path)
        saved = store.save([section("one", content, "m1"), section("two", {})], POSITIONS, WALL_S)
        store.close()
        store = Store.open(tmp_path)
        found = store.load()
        store.close()

        assert found is not None
        assert (POSITIONS, WALL_S, {"one": "m1", "two": None}) == (found.positions, found.saved_wall_s, found.marks)
        assert (__version__, 1) == (found.driftd, found.saves)
        assert content["a"].tolist() == found.sections["one"]["a"].tolist()
        assert (content["b"], {}) == (found.sections["one"]["b"], found.sections["two"])
        assert (2, saved.state_bytes) == (saved.sections, saved.bytes)

    def test_sections_of_the_same_mark_are_left_as_they_are(self, store: Store) -> None:
        made: list[str] = []

        def make(name: str) -> State:
            made.append(name)
            return {"name": name}

        def offered(marks: Mapping[str, str | None]) -> list[Section]:
            return [Section(name, mark, lambda name=name: make(name)) for name, mark in marks.items()]  # type: ignore[misc]  # a default that binds

        store.save(offered({"a": "1", "b": "1", "c": None}), {}, WALL_S)
        made.clear()
        saved = store.save(offered({"a": "1", "b": "2", "c": None}), {}, WALL_S)

        assert ["b", "c"] == made
        assert 2 == saved.sections
        assert saved.state_bytes > saved.bytes

    def test_marks_hold_across_processes(self, tmp_path: Path) -> None:
        for written in (1, 0):
            store = Store.open(tmp_path)
            assert written == store.save([section("a", {"x": 1}, "same")], {}, WALL_S).sections
            store.close()

    def test_sections_and_positions_not_given_are_no_more(self, store: Store) -> None:
        store.save([section("a", {}), section("b", {})], POSITIONS, WALL_S)
        store.save([section("b", {})], {TopicPartition("other", 3): 1}, WALL_S)
        found = store.load()

        assert found is not None
        assert (["b"], {TopicPartition("other", 3): 1}) == (list(found.sections), found.positions)

    def test_one_name_twice_is_a_mistake_and_changes_nothing(self, store: Store) -> None:
        store.save(sections(1), POSITIONS, WALL_S)
        with pytest.raises(ValueError, match="two sections are named a"):
            store.save([section("a", {}), section("a", {})], {}, WALL_S)
        found = store.load()

        assert found is not None
        assert POSITIONS == found.positions

    def test_section_that_fails_to_be_made_leaves_what_was(self, store: Store) -> None:
        store.save(sections(1), POSITIONS, WALL_S)
        with pytest.raises(ZeroDivisionError):
            store.save([*sections(2), Section("z", None, lambda: {"x": 1 // 0})], {}, WALL_S)
        found = store.load()
        assert found is not None
        assert {1} == {each["save"] for each in found.sections.values()}
        store.save(sections(3), {}, WALL_S)
        found = store.load()

        assert found is not None
        assert {3} == {each["save"] for each in found.sections.values()}

    def test_file_does_not_grow_and_shrinks_with_the_state(self, tmp_path: Path) -> None:
        """The bound of the docstring: 4/3 of the state and the log, which is gone after closing."""
        store = Store.open(tmp_path)
        for number in range(30):
            store.save(sections(number, count=20, size=12_500), POSITIONS, WALL_S)
        assert file_of(tmp_path).stat().st_size < 4 / 3 * 2_000_000 + 200_000
        for number in range(4):
            store.save(sections(number, count=2, size=12_500), POSITIONS, WALL_S)
        store.close()

        assert file_of(tmp_path).stat().st_size < 4 / 3 * 200_000 + 200_000
        assert {"driftd.sqlite", "driftd.lock"} == {each.name for each in tmp_path.iterdir()}

    def test_folder_and_file_are_for_their_owner_alone(self, store: Store) -> None:
        store.save(sections(1), {}, WALL_S)

        assert 0o700 == stat.S_IMODE(store.path.parent.stat().st_mode)
        assert {0o600} == {stat.S_IMODE(each.stat().st_mode) for each in store.path.parent.iterdir()}


class TestRefusals:
    """What can't be read stops with instructions, and is left as it is."""

    def _refused(self, directory: Path, words: str) -> None:
        before = {each.name: each.read_bytes() for each in directory.iterdir() if each.name != "driftd.lock"}
        with pytest.raises(StateError, match=words):
            Store.open(directory).load()
        after = {each.name: each.read_bytes() for each in directory.iterdir() if each.name in before}
        assert before == after

    def test_second_process_is_kept_out_until_the_first_is_done(self, tmp_path: Path) -> None:
        first = Store.open(tmp_path)
        with pytest.raises(StateError, match=rf"in use by another driftd \(process {os.getpid()}\): stop that one"):
            Store.open(tmp_path)
        first.close()
        first.close()

        Store.open(tmp_path).close()

    @pytest.mark.parametrize("content", [b"", b"hello", b"x" * 5_000], ids=["empty", "short", "long"])
    def test_file_that_is_not_ours(self, tmp_path: Path, content: bytes) -> None:
        file_of(tmp_path).write_bytes(content)

        self._refused(tmp_path, "is no state of driftd")

    def test_database_of_someone_else(self, tmp_path: Path) -> None:
        connection = sqlite3.connect(file_of(tmp_path))
        connection.execute("CREATE TABLE meta (name, value)")
        connection.close()

        self._refused(tmp_path, "is no state of driftd: move it aside")

    def test_newer_format(self, tmp_path: Path) -> None:
        Store.open(tmp_path).close()
        self._write(tmp_path, "UPDATE meta SET value = 2 WHERE name = 'format'")

        self._refused(tmp_path, r"written by a newer version of driftd .*format 2; this one reads up to 1\): run that")

    @pytest.mark.parametrize(
        ("sql", "words"),
        [
            ("UPDATE position SET next_offset = next_offset + 1", "not those that were saved together"),
            ("DELETE FROM position", "not those that were saved together"),
            ("DELETE FROM section WHERE name = 'part/3'", "not those that were saved together"),
            ("UPDATE section SET mark = 'x' WHERE name = 'part/3'", "not those that were saved together"),
            ("UPDATE meta SET value = value + 1 WHERE name = 'saves'", "not those that were saved together"),
            ("UPDATE meta SET value = 5 WHERE name = 'driftd'", "not those that were saved together"),
            ("DELETE FROM meta WHERE name = 'seal'", "does not say its seal"),
            ("DELETE FROM meta", "of which format"),
            ("DROP TABLE section", "no such table: section"),
            (
                "UPDATE section SET data = (SELECT data FROM section WHERE name = 'other') WHERE name = 'part/1'",
                "section part/1 is not the one",
            ),
            ("UPDATE section SET data = 'text' WHERE name = 'part/1'", "section part/1 is missing"),
        ],
    )
    def test_rows_that_do_not_belong_together(self, tmp_path: Path, sql: str, words: str) -> None:
        store = Store.open(tmp_path)
        store.save([*sections(1), section("other", {"x": 1})], POSITIONS, WALL_S)
        store.close()
        self._write(tmp_path, sql)

        self._refused(tmp_path, words)

    def test_file_that_is_gone_while_its_log_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "driftd.sqlite-wal").write_bytes(b"what was saved last")

        self._refused(tmp_path, r"is gone, but its log driftd.sqlite-wal is there: put the file back")

    def test_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("x")

        with pytest.raises(StateError, match="folder of the state can't be made: File exists"):
            Store.open(tmp_path / "state")

    def test_file_cut_short_anywhere(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path / "whole")
        store.save(sections(1), POSITIONS, WALL_S)
        store.close()
        whole = file_of(tmp_path / "whole").read_bytes()
        cut = tmp_path / "cut"
        cut.mkdir()
        for length in [*range(0, len(whole), 1_111), len(whole) - 1]:
            file_of(cut).write_bytes(whole[:length])
            with pytest.raises(StateError, match=r"damaged|no state of driftd"):
                _loaded(cut)

    @staticmethod
    def _write(directory: Path, sql: str) -> None:
        connection = sqlite3.connect(file_of(directory))
        with connection:
            connection.execute(sql)
        connection.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state file with one save."""
    directory = tmp_path_factory.mktemp("whole")
    store = Store.open(directory, WALL_S)
    store.save([*sections(1, size=40), section("last", {"x": "y"}, "mark")], POSITIONS, WALL_S)
    store.close()
    return file_of(directory)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anywhere=st.integers(0, 2**32 - 1))
def test_flipped_bit_in_the_file_is_found_or_hits_nothing(tmp_path: Path, whole: Path, anywhere: int) -> None:
    """Where nothing is stored (free space within pages) a flip changes nothing; elsewhere it is found."""
    flipped = bytearray(whole.read_bytes())
    place = anywhere % (8 * len(flipped))
    flipped[place // 8] ^= 1 << place % 8
    file_of(tmp_path).write_bytes(flipped)
    try:
        found = _loaded(tmp_path)
    except StateError:
        return
    finally:
        for each in tmp_path.iterdir():
            each.unlink()

    assert found is not None
    assert (POSITIONS, WALL_S, 1) == (found.positions, found.saved_wall_s, found.saves)
    assert {f"part/{index}": None for index in range(5)} | {"last": "mark"} == found.marks
    assert [{"save", "numbers"}] * 5 == [set(found.sections[f"part/{index}"]) for index in range(5)]
    assert all([1] * 40 == found.sections[f"part/{index}"]["numbers"].tolist() for index in range(5))


def _loaded(directory: Path) -> Any:  # noqa: ANN401 - what `load` gives
    store = Store.open(directory)
    try:
        return store.load()
    finally:
        store.close()


class TestDisk:
    def test_full_disk_leaves_what_was_and_the_next_save_works(self, tmp_path: Path) -> None:
        """A limit on the length of files stands in for a full disk; it is of a process, so one is started for it."""
        script = """
            import resource, signal, sys
            from monitor.errors import StateError
            from monitor.store import Store
            from tests.unit.state.test_store import POSITIONS, WALL_S, sections
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            store = Store.open(sys.argv[1])
            store.save(sections(1), POSITIONS, WALL_S)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
            for number in (2, 3):
                try:
                    store.save(sections(number, count=100, size=12_500), POSITIONS, WALL_S)
                except StateError as error:
                    print(str(error).split(": ", 1)[1])
                found = store.load()
                assert {1} == {each["save"] for each in found.sections.values()}
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            store.save(sections(4, count=100, size=12_500), POSITIONS, WALL_S)
            found = store.load()
            assert {4} == {each["save"] for each in found.sections.values()}
            store.close()
        """
        result = _python(script, str(tmp_path))

        assert 0 == result.returncode, result.stderr
        told = result.stdout.splitlines()
        assert 2 == len(told)
        assert all("not saved: the disk" in each and "what was saved before is still there" in each for each in told)

    def test_killed_at_any_instant_has_one_save_whole(self, tmp_path: Path) -> None:
        """SIGKILL while it saves as fast as it can; the lock goes with the process."""
        script = """
            import sys
            import numpy as np
            from monitor.domain import TopicPartition
            from monitor.kept import Section
            from monitor.store import Store
            def sections(number, count):
                filled = np.full(4000, number, dtype=np.int64)
                return [Section(f"part/{i}", None, lambda: {"save": number, "numbers": filled}) for i in range(count)]
            store = Store.open(sys.argv[1])
            found = store.load()
            number = found.saves if found else 0
            while True:
                number += 1
                store.save(sections(number, count=40), {TopicPartition("t", 0): number}, float(number))
                print(number, flush=True)
        """
        rng = np.random.default_rng(4)
        last = 0
        for _ in range(6):
            process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": "."},
                text=True,
            )
            assert process.stdout is not None
            process.stdout.readline()  # at work
            _sleep(float(rng.uniform(0, 0.1)))
            process.send_signal(signal.SIGKILL)
            told = [int(line) for line in process.communicate()[0].split()]
            found = _loaded(tmp_path)

            assert found is not None
            (number,) = {each["save"] for each in found.sections.values()}
            assert [{number}] * 40 == [set(each["numbers"].tolist()) for each in found.sections.values()]
            assert number == found.positions["t", 0] == found.saves == found.saved_wall_s
            assert number >= max([*told, last + 1])  # what was told to be saved is
            last = number


def _sleep(seconds: float) -> None:
    import time  # noqa: PLC0415 - beside its one use

    time.sleep(seconds)


def _python(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *words],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def driftd_state(*words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words], env={"COLUMNS": "200"})


class TestCommands:
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        store = Store.open(tmp_path / "state", WALL_S)
        store.save([*sections(7), section("odd\x1b[2J", {"x": [1.0, float("nan")]}, "m")], POSITIONS, WALL_S)
        store.close()
        return tmp_path / "state"

    def test_ls_tells_sections_positions_and_when(self, directory: Path) -> None:
        text = driftd_state("ls", "-d", directory).stdout

        assert "part/3" in text
        assert f"saved 2027-01-15T08:00:00+00:00 by driftd {__version__}, 1 saves since" in text
        assert ["events", "1", str(2**40)] in [line.split() for line in text.splitlines()]
        assert "\x1b" not in text

    def test_ls_works_beside_a_daemon_and_before_the_first_save(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path)
        assert "nothing saved yet" in driftd_state("ls", "-d", tmp_path).stdout
        store.save(sections(1), POSITIONS, WALL_S)
        told = json.loads(driftd_state("ls", "-d", tmp_path, "--json").stdout)
        store.save(sections(2), POSITIONS, WALL_S)
        store.close()

        assert (1, 1, 5) == (told["format"], told["saves"], len(told["sections"]))
        assert {"topic": "events", "partition": 0, "next_offset": 17} == told["positions"][0]

    def test_inspect_sums_up(self, directory: Path) -> None:
        text = driftd_state("inspect", "part/0", "-d", directory).stdout
        told = json.loads(driftd_state("inspect", "odd\x1b[2J", "-d", directory, "--json").stdout)

        assert ["save: 7", "numbers: int64, 4000: sum 28000.0, min 7, max 7"] == text.splitlines()
        assert {"x": [1.0, "nan"]} == told

    def test_inspect_of_what_is_not_there(self, directory: Path) -> None:
        result = driftd_state("inspect", "nothing", "-d", directory)

        assert (1, "") == (result.exit_code, result.stdout)
        assert "has no section nothing: `driftd state ls` names" in result.stderr

    def test_verify_finds_all_well(self, directory: Path) -> None:
        result = driftd_state("verify", "-d", directory)

        assert (0, "whole: 6 sections") == (result.exit_code, result.stdout.partition(",")[0])

    def test_verify_names_what_is_damaged(self, directory: Path) -> None:
        data = bytearray(file_of(directory).read_bytes())
        place = data.index(np.full(3_000, 7, dtype="<i8").tobytes()[:2_000]) + 900
        data[place] ^= 4
        file_of(directory).write_bytes(data)
        result = driftd_state("verify", "-d", directory, "--json")
        told = json.loads(result.stdout)

        assert (1, False, 1) == (result.exit_code, told["is_whole"], len(told["damages"]))
        assert "section part/" in told["damages"][0]
        assert "is damaged" in told["damages"][0]

    def test_verify_finds_broken_pages(self, directory: Path) -> None:
        data = bytearray(file_of(directory).read_bytes())
        data[16_384 * 3 : 16_384 * 3 + 64] = b"\xff" * 64
        file_of(directory).write_bytes(data)

        assert 1 == driftd_state("verify", "-d", directory).exit_code

    def test_no_state_at_all(self, tmp_path: Path) -> None:
        for words in (["ls"], ["verify"], ["inspect", "x"], ["export", tmp_path / "out"]):
            result = driftd_state(*words, "-d", tmp_path / "none")

            assert 1 == result.exit_code
            assert "holds no state: see that state.directory names the folder" in result.stderr
        assert not (tmp_path / "none").exists()

    def test_folder_comes_from_the_configuration(self, directory: Path, tmp_path: Path) -> None:
        config = tmp_path / "driftd.yaml"
        config.write_text(f"state:\n  directory: {directory}\n")
        good, wrong = driftd_state("ls", "-c", config), driftd_state("ls", "-c", tmp_path / "no.yaml")

        assert (0, 78) == (good.exit_code, wrong.exit_code)

    def test_export_and_import_carry_all_of_it(self, directory: Path, tmp_path: Path) -> None:
        file, other = tmp_path / "state.bin", tmp_path / "other"
        live = Store.open(directory)
        assert 0 == driftd_state("export", file, "-d", directory).exit_code
        live.close()
        assert 0o600 == stat.S_IMODE(file.stat().st_mode)
        assert 0 == driftd_state("import", file, "-d", other).exit_code
        before, after = _loaded(directory), _loaded(other)

        assert (before.positions, before.marks, before.saves) == (after.positions, after.marks, after.saves)
        for name, content in before.sections.items():
            assert codec.encode(content) == codec.encode(after.sections[name])
        assert "whole" in driftd_state("verify", "-d", other).stdout

    def test_export_does_not_write_over_a_file(self, directory: Path, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("dear")
        result = driftd_state("export", tmp_path / "out", "-d", directory)

        assert (1, "dear") == (result.exit_code, (tmp_path / "out").read_text())
        assert "is there already" in result.stderr

    def test_import_replaces_only_when_asked_and_keeps_what_was(self, directory: Path, tmp_path: Path) -> None:
        file = tmp_path / "state.bin"
        driftd_state("export", file, "-d", directory)
        store = Store.open(directory)
        store.save(sections(8), {}, WALL_S + 5)
        store.close()
        refused = driftd_state("import", file, "-d", directory)
        done = json.loads(driftd_state("import", file, "-d", directory, "--replace", "--json").stdout)

        assert 1 == refused.exit_code
        assert "add --replace" in refused.stderr
        assert WALL_S == _loaded(directory).saved_wall_s
        kept = Path(done["set_aside"])
        (tmp_path / "old").mkdir()
        kept.rename(file_of(tmp_path / "old"))
        assert WALL_S + 5 == _loaded(tmp_path / "old").saved_wall_s

    def test_import_sets_aside_what_a_killed_daemon_left_in_its_log(self, directory: Path, tmp_path: Path) -> None:
        file, killed = tmp_path / "state.bin", tmp_path / "killed"
        driftd_state("export", file, "-d", directory)
        live = Store.open(directory)
        live.save(sections(9), {}, WALL_S + 9)
        shutil.copytree(directory, killed)
        live.close()
        assert 0 < Path(f"{file_of(killed)}-wal").stat().st_size
        done = json.loads(driftd_state("import", file, "-d", killed, "--replace", "--json").stdout)
        (tmp_path / "old").mkdir()
        Path(done["set_aside"]).rename(file_of(tmp_path / "old"))

        assert (WALL_S, WALL_S + 9) == (_loaded(killed).saved_wall_s, _loaded(tmp_path / "old").saved_wall_s)

    def test_import_brings_back_a_damaged_state(self, directory: Path, tmp_path: Path) -> None:
        file = tmp_path / "state.bin"
        driftd_state("export", file, "-d", directory)
        file_of(directory).write_bytes(b"broken")
        Path(f"{file_of(directory)}-wal").write_bytes(b"of the broken one")

        assert 1 == driftd_state("import", file, "-d", directory).exit_code
        assert 0 == driftd_state("import", file, "-d", directory, "--replace").exit_code
        assert WALL_S == _loaded(directory).saved_wall_s

    def test_import_is_refused_while_a_daemon_runs(self, directory: Path, tmp_path: Path) -> None:
        file = tmp_path / "state.bin"
        driftd_state("export", file, "-d", directory)
        live = Store.open(directory)
        result = driftd_state("import", file, "-d", directory, "--replace")
        live.close()

        assert 1 == result.exit_code
        assert "in use by another driftd" in result.stderr

    @pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
    def test_import_of_a_file_cut_short_changes_nothing(self, directory: Path, tmp_path: Path, share: float) -> None:
        file = tmp_path / "state.bin"
        driftd_state("export", file, "-d", directory)
        whole = file.read_bytes()
        file.write_bytes(whole[: int(share * len(whole))])
        before = file_of(directory).read_bytes()
        result = driftd_state("import", file, "-d", directory, "--replace")

        assert 1 == result.exit_code
        assert "state.bin" in result.stderr
        assert before == file_of(directory).read_bytes()
        assert not [each for each in directory.iterdir() if ".new" in each.name or "T" in each.name]

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_flipped_bit_in_an_export_is_found_or_hits_nothing(
        self, directory: Path, tmp_path: Path, data: st.DataObject
    ) -> None:
        file = tmp_path / "state.bin"
        if not file.exists():
            assert 0 == driftd_state("export", file, "-d", directory).exit_code
        whole = file.read_bytes()
        place = data.draw(st.integers(8 * 10, 8 * len(whole) - 1))  # gzip's own header holds nothing of ours
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        bad = tmp_path / "bad.bin"
        bad.write_bytes(flipped)
        try:
            with read_portable(bad) as found:
                assert self._read(file) == (found[0], list(found[1]))  # a bit that fills up a byte
        except StateError as error:
            assert "bad.bin" in str(error)  # noqa: PT017 - which of both it is, is the disk's choice

    @staticmethod
    def _read(file: Path) -> tuple[object, list[bytes]]:
        with read_portable(file) as (contents, parts):
            return contents, list(parts)


def test_lock_is_of_the_process_and_not_of_a_file_left_behind(tmp_path: Path) -> None:
    """A file of the lock that somebody killed has left behind holds nobody up."""
    (tmp_path / "driftd.lock").write_text("123456\n")
    Store.open(tmp_path).close()
    with (tmp_path / "driftd.lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="in use"):
            Store.open(tmp_path)


def test_unfinished_new_file_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "driftd.sqlite.new").write_bytes(b"killed while it was made")
    store = Store.open(tmp_path)

    assert store.load() is None
    store.close()
    assert not (tmp_path / "driftd.sqlite.new").exists()


def test_reading_sees_one_save_whatever_is_saved_meanwhile(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.save(sections(1), POSITIONS, WALL_S)
    with reading(tmp_path) as database:
        rows = database.contents().rows
        store.save(sections(2), {}, WALL_S)
        assert {1} == {database.section(row)["save"] for row in rows}
        assert [] == damages(database)
    store.close()
