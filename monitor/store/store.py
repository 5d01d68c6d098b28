"""The state of one daemon: opened, loaded, saved again and again, closed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from monitor.domain import TopicPartition
from monitor.errors import StateError
from monitor.kept import Section
from monitor.store.contents import Contents, Saved, Stored
from monitor.store.database import Database, connect, create, explained
from monitor.store.files import Folder

_Answer = TypeVar("_Answer")


class Store:
    """One state, and the only one who writes it. All calls from one thread at a time.

    On disk: the file, at most 4/3 of the largest state lately saved (what is free beyond a quarter is given back, 32
    MiB a save); its log, the largest save lately and 16 MiB; so at most 7/3 of the state and 16 MiB, beside what is
    saved while somebody reads (`driftd state export`), which the log holds until then.
    """

    def __init__(self, folder: Folder, held: ExitStack, database: Database) -> None:
        self.path: Final = folder.file
        self._held = held
        self._database = database

    @classmethod
    def open(cls, directory: str | Path, now_wall_s: float | None = None) -> Store:
        """Open the state in a folder, or make an empty one where there is none.

        Raises StateError, saying what to do: another process has it, or it can't be read, is not ours, is damaged, or
        is of a newer version. What is there is never removed or written over.
        """
        folder = Folder(Path(directory))
        folder.make()
        with ExitStack() as held:
            held.enter_context(folder.lock())
            if not folder.has_file():
                with folder.new_file() as path:
                    make_file(path, time.time() if now_wall_s is None else now_wall_s)
            database = Database(lambda: connect(uri(folder.file)), str(folder.file))
            held.callback(database.close)
            database.claim()
            return cls(folder, held.pop_all(), database)

    def load(self) -> Stored | None:
        """Give what was saved last, every checksum compared; None when nothing was saved yet. Raises StateError."""
        return self._database.load()

    def save(self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float) -> Saved:
        """Replace what is stored, whole or not at all: sections that are not listed are no more.

        A section is written when its mark is None or not the stored one. Raises StateError when that can't be done:
        what was stored is there as before, and the next call tries anew.
        """
        return self._database.save(sections, positions, now_wall_s)

    def close(self) -> None:
        """Let go of the file, and let others write. Again does nothing."""
        self._held.close()


@contextmanager
def reading(directory: str | Path) -> Iterator[Database]:
    """Look into a state, also while a daemon writes it: all that is read is of one save. Raises StateError."""
    folder = Folder(Path(directory))
    if not folder.has_file():
        raise StateError(f"{folder.path}: holds no state: see that state.directory names the folder that is meant")
    found = Database(lambda: connect(uri(folder.file), is_reader=True), str(folder.file))
    with closing(found) as database, database.snapshot():
        yield database


def damages(database: Database) -> list[str]:
    """Give all that is wrong with a state, each with its place; nothing when it is as it was saved."""
    found: list[str] = []
    wrong = _asked(database.integrity, found) or []
    found.extend(f"{database.what}: SQLite's own check: {text}" for text in wrong)
    _asked(database.contents, found)
    for row in _asked(database.rows, found) or []:
        _asked(partial(database.section, row), found)
    return list(dict.fromkeys(found))


def _asked(ask: Callable[[], _Answer], found: list[str]) -> _Answer | None:
    """Give an answer; None where it is trouble, which is noted."""
    try:
        return ask()
    except StateError as error:
        found.append(str(error))
        return None


def put_in_place(
    directory: str | Path, contents: Contents, data: Iterable[bytes], now_wall_s: float, *, is_replacing: bool
) -> Path | None:
    """Make a state of what is given. data: of each section as encoded, in their order.

    is_replacing: one that is there is set aside, and its new name given (None: there was none); else only one in which
    nothing was saved. Raises StateError, also when a daemon runs on that state; then all is as before.
    """
    folder = Folder(Path(directory))
    folder.make()
    with folder.lock():
        has_file = folder.has_file()
        if has_file and not is_replacing and not _is_empty(folder):
            raise StateError(f"{folder.file}: holds a state: add --replace to set it aside, or name another folder")
        with folder.new_file() as path:
            make_file(path, now_wall_s)
            with closing(Database(lambda: connect(uri(path)), str(folder.file))) as database:
                database.fill(contents, data)
                database.contents()
            if has_file:
                _write_back(folder)
            return folder.set_aside(now_wall_s)


def _is_empty(folder: Folder) -> bool:
    try:
        with reading(folder.path) as database:
            return not database.account().saves
    except StateError:
        return False


def _write_back(folder: Folder) -> None:
    """Have a state's log written back into its file, where it is whole; so that the file alone is the state."""
    with suppress(StateError):
        Database(lambda: connect(uri(folder.file)), str(folder.file)).close()


def make_file(path: Path, now_wall_s: float) -> None:
    """Make an empty file a state in which nothing is saved. Raises StateError."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            create(connection, now_wall_s)
    except sqlite3.Error as error:
        raise explained(error, str(path), is_writing=True) from error


def uri(path: Path) -> str:
    """Give a file's address as SQLite reads it."""
    return f"file:{quote(str(path.absolute()))}"
