"""A disk in memory under SQLite, which can be cut off at any operation, lose and tear what was not synced, and fail.

What it keeps to, as real ones do: a file's content is safe once it was synced; before that, any of its sectors may hold
the old or the new bytes; a sector that is written in part keeps the rest of it (power-safe overwrite). Files that are
made and removed are so at once. A killed process loses nothing it has written, but the operation under way may be done
in part.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final, cast

import apsw

SECTOR: Final = 512
_POWER_SAFE: Final = 0x1000
_CODES: Final[dict[type[Exception], int]] = {
    apsw.FullError: sqlite3.SQLITE_FULL,
    apsw.IOError: sqlite3.SQLITE_IOERR,
    apsw.BusyError: 5,
}
_NAMES: Final = count()


class File:
    """One file. content: as the process sees it. synced: as it is sure to be. loose: written since, by place."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.synced = bytes(content)
        self.touched: set[int] = set()

    def write(self, data: bytes, offset: int) -> None:
        if offset > len(self.content):
            self.content.extend(bytes(offset - len(self.content)))
        self.content[offset : offset + len(data)] = data
        self.touched.update(range(offset // SECTOR, (offset + len(data) - 1) // SECTOR + 1))

    def truncate(self, length: int) -> None:
        self.touched.update(range(length // SECTOR, len(self.content) // SECTOR + 1))
        del self.content[length:]

    def sync(self) -> None:
        self.synced = bytes(self.content)
        self.touched.clear()

    def after_power_cut(self, rng: random.Random) -> bytes:
        """Give the content with each sector that was not synced old or new, at the old length or the new one."""
        shorter, longer = sorted((len(self.synced), len(self.content)))
        length = rng.choice((shorter, longer, rng.randint(shorter, longer)))
        found = bytearray(self.synced.ljust(length, b"\x00")[:length])
        share = rng.random()
        for sector in self.touched:
            if rng.random() < share:
                place = slice(sector * SECTOR, min((sector + 1) * SECTOR, len(self.content), length))
                new = self.content[place]
                found[place.start : place.start + len(new)] = new
        return bytes(found)


class Disk:
    """Files by name, and what is to go wrong. operations: done so far, those that read left out."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = {name: File(content) for name, content in (files or {}).items()}
        self.operations = 0
        self.on_sync: Any = None
        self._cut_at: int | None = None
        self._rng = random.Random(0)
        self._is_power_cut = False
        self.image: dict[str, bytes] | None = None
        self._faults: list[type[apsw.Error]] = []
        self._fault_at = 0

    def cut(self, after: int, *, is_power_cut: bool, seed: int) -> None:
        """Take the image of the disk that a kill or a power cut leaves after so many more operations."""
        self._cut_at, self._is_power_cut, self._rng = self.operations + after, is_power_cut, random.Random(seed)
        self.image = None

    def left(self) -> dict[str, bytes]:
        """Give what the cut leaves; where the operations ended before it, as if it came now."""
        if self.image is None:
            self._take()
        assert self.image is not None
        return self.image

    def fail(self, after: int, faults: Iterable[type[apsw.Error]]) -> None:
        """Have operations fail after so many more, one for each fault."""
        self._fault_at, self._faults = self.operations + after, list(faults)

    def mend(self) -> None:
        """Have nothing fail any more."""
        self._faults = []

    def begin(self, file: File | None = None, data: bytes = b"", offset: int = 0) -> None:
        """Count an operation that changes something, before it is done; data: what it is to write."""
        if self._cut_at == self.operations and self.image is None:
            if file is not None and data:
                part = data[: self._rng.randint(0, len(data))]
                before = File(bytes(file.content))
                before.synced, before.touched = file.synced, set(file.touched)
                if part:
                    before.write(part, offset)
                self._take({id(file): before})
            else:
                self._take()
        self.operations += 1
        if self._faults and self.operations > self._fault_at:
            raise self._faults.pop(0)("the disk fails, as it was told to")

    def _take(self, instead: dict[int, File] | None = None) -> None:
        found = {name: (instead or {}).get(id(file), file) for name, file in self.files.items()}
        if self._is_power_cut:
            self.image = {name: file.after_power_cut(self._rng) for name, file in found.items()}
        else:
            self.image = {name: bytes(file.content) for name, file in found.items()}

    def connect(self) -> sqlite3.Connection:
        """Open the database on this disk, as `sqlite3.connect` would."""
        name = f"disk{next(_NAMES)}"
        return cast("sqlite3.Connection", Connection(name, Vfs(name, self)))


class Vfs(apsw.VFS):
    """SQLite's way to the disk."""

    def __init__(self, name: str, disk: Disk) -> None:
        self.disk = disk
        self.is_gone = False
        super().__init__(name, "")

    def begin(self, file: File | None = None, data: bytes = b"", offset: int = 0) -> None:
        """See that this is not one that was closed, and count the operation."""
        if self.is_gone:
            raise apsw.IOError("closed")
        self.disk.begin(file, data, offset)

    def xOpen(self, name: Any, flags: Any) -> Any:  # noqa: ANN401, N802 - SQLite's
        flags[1] = flags[0]
        if name is None:
            return Handle(self, File())
        path = str(name.filename() if isinstance(name, apsw.URIFilename) else name)
        if path not in self.disk.files:
            self.begin()
            self.disk.files[path] = File()
        return Handle(self, self.disk.files[path])

    def xDelete(self, name: str, is_synced: bool) -> None:  # noqa: FBT001, N802 - SQLite's
        self.begin()
        if self.disk.files.pop(str(name), None) is None:
            raise apsw.IOError("no such file")

    def xAccess(self, name: str, flags: int) -> bool:  # noqa: N802 - SQLite's
        return str(name) in self.disk.files

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - SQLite's
        return name


class Handle:
    """An open file, as SQLite asks of it. It is locked for as long as it is open, so locks need not be kept."""

    def __init__(self, vfs: Vfs, file: File) -> None:
        self.vfs = vfs
        self.disk = vfs.disk
        self.file = file

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's
        return bytes(self.file.content[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        self.vfs.begin(self.file, bytes(data), offset)
        self.file.write(bytes(data), offset)

    def xTruncate(self, length: int) -> None:  # noqa: N802 - SQLite's
        self.vfs.begin()
        self.file.truncate(length)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        self.vfs.begin()
        self.file.sync()
        if self.disk.on_sync is not None:
            self.disk.on_sync()

    def xFileSize(self) -> int:  # noqa: N802 - SQLite's
        return len(self.file.content)

    def xSectorSize(self) -> int:  # noqa: N802 - SQLite's
        return SECTOR

    def xDeviceCharacteristics(self) -> int:  # noqa: N802 - SQLite's
        return _POWER_SAFE

    def xCheckReservedLock(self) -> bool:  # noqa: N802 - SQLite's
        return False

    def xLock(self, level: int) -> None:  # noqa: N802 - SQLite's
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802 - SQLite's
        pass

    def xFileControl(self, operation: int, pointer: int) -> bool:  # noqa: N802 - SQLite's
        return False

    def xClose(self) -> None:  # noqa: N802 - SQLite's
        pass


class Connection:
    """A connection of apsw's with the calls of sqlite3's that the store makes, and with its errors.

    SQLite writes its log back after a commit, and says nothing where that fails. An error that a disk in Python raises
    would be told all the same; so this is done here, in the same place.
    """

    def __init__(self, name: str, vfs: Vfs) -> None:
        self._vfs = vfs
        self._log_pages = self._log_pages_max = 0
        self._inner = self._told(lambda: apsw.Connection("db", vfs=name))
        self._inner.set_wal_hook(self._note_log)
        self.execute("PRAGMA locking_mode = EXCLUSIVE")  # the log's index is in memory, as there is no shared one

    def _note_log(self, _connection: object, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        if sql.startswith("PRAGMA wal_autocheckpoint = "):
            self._log_pages_max = int(sql.rpartition(" ")[2])
            return Rows([])
        rows = Rows(self._told(lambda: self._inner.execute(sql, tuple(values)).fetchall()))
        if self._log_pages >= self._log_pages_max > 0:
            self._log_pages = 0
            with suppress(apsw.Error):
                self._inner.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return rows

    def executemany(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        self._told(lambda: self._inner.executemany(sql, [tuple(each) for each in values]).fetchall())

    def executescript(self, sql: str) -> None:
        self.execute(sql)

    def close(self) -> None:
        try:
            self._told(lambda: self._inner.close(force=True))
        finally:
            self._vfs.is_gone = True  # what could not be closed does nothing any more

    def _told(self, ask: Any) -> Any:  # noqa: ANN401 - whatever is asked
        try:
            return ask()
        except apsw.Error as error:
            told = sqlite3.OperationalError(str(error))
            told.sqlite_errorcode = next((code for kind, code in _CODES.items() if isinstance(error, kind)), 1)
            raise told from None


class Rows:
    """What a statement gave."""

    def __init__(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._rows = list(rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows
