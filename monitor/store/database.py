"""What is in the state file, and how SQLite is asked for it: each save is one transaction, each reading sees one save.

Tables: meta (name, value), section (name, mark, bytes, checksum, data), position (topic, partition, next_offset). Each
section has a checksum of its own (see codec). The seal, in meta, is one over what no section's covers: the names, marks
and checksums of all sections, the positions, when and how often was saved. So a state is whole, or it is refused.

The write-ahead log is synced when it is written back into the file (synchronous = NORMAL), every 16 MiB of it. A killed
process loses no save. A power cut may lose the last ones, never part of one: the messages since are read again.

Numbers, measured with 500 sections of 100 kB, all changed: pages of 16 KiB save in 170 ms, of 4 KiB in 220 ms, of
64 KiB in 200 ms.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import structlog

from monitor import __version__, codec
from monitor.domain import TopicPartition
from monitor.errors import StateError
from monitor.kept import Section, State
from monitor.store.contents import FORMAT, Account, Contents, Row, Saved, Sections, Stored, seal

APPLICATION: Final = 0x64726674
"""What SQLite's header says the file is: "drft"."""
PAGE_BYTES: Final = 16_384
CACHE_KIB: Final = 8_192
WAL_PAGES: Final = 1_024
"""The log is written back into the file after a save that brings it beyond this many pages: 16 MiB."""
WAL_BYTES_KEPT: Final = 64 * 2**20
"""A log that has been written back is cut to this length, and used again."""
FREE_SHARE_MAX: Final = 0.25
"""The file gives back to the disk what is free beyond this share of it, FREED_PAGES_MAX a save."""
FREED_PAGES_MAX: Final = 2_048
BUSY_S: Final = 5.0
SECTION_BYTES_MAX: Final = 1_000_000_000
"""SQLite's own limit."""

_SCHEMA: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    """CREATE TABLE section (
        name TEXT PRIMARY KEY, mark TEXT, bytes INTEGER NOT NULL, checksum INTEGER NOT NULL, data BLOB NOT NULL
    )""",
    """CREATE TABLE position (
        topic TEXT, partition INTEGER, next_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID""",
)
_PUT: Final = (
    "INSERT INTO section VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
    " mark = excluded.mark, bytes = excluded.bytes, checksum = excluded.checksum, data = excluded.data"
)
log = structlog.get_logger()


class Database:
    """A state file that is open. connect: gives a connection, also again after a failure. what: its name in errors."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], what: str) -> None:
        self._connect = connect
        self.what: Final = what
        self._open: sqlite3.Connection | None = None
        self._known: Contents | None = None
        """What is stored, as of the last save; None: to be read first."""
        with self._trouble():
            self.account()

    def close(self) -> None:
        """Let go of the file; the log is written back. Again does nothing."""
        found, self._open, self._known = self._open, None, None
        if found is not None:
            with suppress(sqlite3.Error):
                found.close()

    def account(self) -> Account:
        """Give what is known of the state. Raises StateError, also where it is not ours or of a newer format."""
        with self._trouble():
            (application,) = self._one("PRAGMA application_id")
            if application != APPLICATION:
                raise StateError(f"{self.what}: is no state of driftd: {_ASIDE}")
            return self._account(dict(self._all("SELECT name, value FROM meta")))

    def rows(self) -> list[Row]:
        """Give the sections by name, as the file tells them. Raises StateError."""
        with self._trouble():
            return [Row(*row) for row in self._all("SELECT name, mark, bytes, checksum FROM section ORDER BY name")]

    def contents(self) -> Contents:
        """Give what is stored, without reading the sections. Raises StateError when it is not as it was saved."""
        with self._trouble():
            found = self._all("SELECT topic, partition, next_offset FROM position ORDER BY topic, partition")
            positions = {TopicPartition(topic, partition): offset for topic, partition, offset in found}
            contents = Contents(self.account(), self.rows(), positions)
            if contents.account.saves and seal(contents) != contents.account.seal:
                raise self._damage("its sections, marks and positions are not those that were saved together")
            return contents

    def data(self, row: Row) -> bytes:
        """Give the content of a section as encoded. Raises StateError when it is not as it was saved."""
        with self._trouble():
            found = self._one("SELECT data FROM section WHERE name = ?", row.name)
            if found is None or not isinstance(found[0], bytes):
                raise self._damage(f"section {row.name} is missing")
            codec.check(found[0], self._place(row.name))
            if (len(found[0]), codec.checksum(found[0])) != (row.bytes, row.checksum):
                raise self._damage(f"section {row.name} is not the one that was saved")
            return found[0]

    def section(self, row: Row) -> State:
        """Give the content of a section. Raises StateError."""
        return codec.decode(self.data(row), self._place(row.name))

    def _admitted(self, row: Row) -> bytes:
        data = self.data(row)
        codec.admit(data, self._place(row.name))
        return data

    def _read(self, name: str, data: bytes) -> State:
        with _with_cure():
            return codec.decode(data, self._place(name))

    def load(self) -> Stored | None:
        """Give all that is stored, every checksum compared; None when nothing was saved yet. Raises StateError."""
        with self.snapshot(), _with_cure():
            contents = self.contents()
            if contents.account.saved_wall_s is None:
                return None
            return Stored(
                sections=Sections({row.name: self._admitted(row) for row in contents.rows}, self._read),
                positions=contents.positions,
                saved_wall_s=contents.account.saved_wall_s,
                marks={row.name: row.mark for row in contents.rows},
                driftd=contents.account.driftd,
                saves=contents.account.saves,
            )

    def integrity(self) -> list[str]:
        """Give what SQLite's own check of the file finds wrong; nothing when it is whole."""
        with self._trouble():
            return [text for (text,) in self._all("PRAGMA integrity_check") if text != "ok"]

    def save(self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float) -> Saved:
        """Replace what is stored in one transaction; sections whose mark is the stored one are left as they are.

        Raises StateError, which leaves what was stored before; the next call tries anew.
        """
        began_s = time.perf_counter()
        with self._trouble(is_writing=True):
            known = self._known or self.contents()
            connection = self._ready()
            connection.execute("BEGIN IMMEDIATE")
            try:
                rows, written = self._write(sections, {row.name: row for row in known.rows})
                stored = self._settle(rows, positions, known.account, now_wall_s)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            self._known = stored
        self._give_back()
        cost_s = time.perf_counter() - began_s
        return Saved(sum(row.bytes for row in written), len(written), cost_s, stored.bytes)

    def claim(self) -> None:
        """See that it can be written. Raises StateError."""
        with self._trouble(is_writing=True):
            self._ready().execute("BEGIN IMMEDIATE")
            self._ready().execute("ROLLBACK")

    def fill(self, contents: Contents, data: Iterable[bytes]) -> None:
        """Put a whole state, as encoded, into a new file. Raises StateError."""
        with self._trouble(is_writing=True):
            connection = self._ready()
            connection.execute("BEGIN IMMEDIATE")
            for row, each in zip(contents.rows, data, strict=True):
                connection.execute(_PUT, (*row, each))
            self._note(contents)
            connection.execute("COMMIT")
            self._known = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Have all that is read within come from one save, whatever is saved meanwhile."""
        with self._trouble():
            connection = self._ready()
            connection.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")

    def _write(self, sections: Iterable[Section], known: Mapping[str, Row]) -> tuple[dict[str, Row], list[Row]]:
        """Write the sections that have changed, drop those that are no more; give all rows, and those written."""
        connection = self._ready()
        rows: dict[str, Row] = {}
        written = []
        for name, mark, make in sections:
            if name in rows:
                raise ValueError(f"two sections are named {name}")
            row = known.get(name)
            if row is None or mark is None or mark != row.mark:
                data = codec.encode(make())
                row = Row(name, mark, len(data), codec.checksum(data))
                connection.execute(_PUT, (*row, data))
                written.append(row)
            rows[name] = row
        gone = [(name,) for name in known if name not in rows]
        connection.executemany("DELETE FROM section WHERE name = ?", gone)
        return rows, written

    def _settle(
        self, rows: Mapping[str, Row], positions: Mapping[TopicPartition, int], before: Account, now_wall_s: float
    ) -> Contents:
        """Write what stands beside the sections, and give what is stored then."""
        account = before._replace(driftd=__version__, saved_wall_s=float(now_wall_s), saves=before.saves + 1)
        plain = {TopicPartition(str(topic), int(part)): int(offset) for (topic, part), offset in positions.items()}
        sorted_ = dict(sorted(plain.items()))
        contents = Contents(account, [rows[name] for name in sorted(rows)], sorted_)
        contents = contents._replace(account=account._replace(seal=seal(contents)))
        self._note(contents)
        return contents

    def _note(self, contents: Contents) -> None:
        connection = self._ready()
        connection.execute("DELETE FROM position")
        connection.executemany(
            "INSERT INTO position VALUES (?, ?, ?)", [(*key, value) for key, value in contents.positions.items()]
        )
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", contents.account._asdict().items())

    def _give_back(self) -> None:
        """Give free pages back to the disk, a few at a time. Trouble here is none of the save that is done."""
        try:
            (pages,), (free,) = self._one("PRAGMA page_count"), self._one("PRAGMA freelist_count")
            if free > FREE_SHARE_MAX * pages:
                # As a script, because what `execute` runs ends after the first page.
                self._ready().executescript(f"PRAGMA incremental_vacuum({min(FREED_PAGES_MAX, free)})")
        except sqlite3.Error as error:
            log.warning("state file not made smaller", error=str(error))
            self.close()

    def _account(self, found: Mapping[str, Any]) -> Account:
        format_ = found.get("format")
        if not isinstance(format_, int) or format_ < 1:
            raise self._damage("it does not say of which format it is")
        if format_ > FORMAT:
            raise StateError(
                f"{self.what}: was written by a newer version of driftd ({found.get('driftd')}, format {format_}; this"
                f" one reads up to {FORMAT}): run that version, or one newer still; or {_ASIDE}"
            )
        try:
            return Account(*(found[name] for name in Account._fields))
        except KeyError as error:
            raise self._damage(f"it does not say its {error.args[0]}") from None

    def _one(self, sql: str, *values: object) -> Any:  # noqa: ANN401 - a row of whatever the file holds
        return self._ready().execute(sql, values).fetchone()

    def _all(self, sql: str) -> list[tuple[Any, ...]]:
        return self._ready().execute(sql).fetchall()

    def _ready(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = self._connect()
        return self._open

    def _place(self, name: str) -> str:
        return f"{self.what}: section {name}"

    def _damage(self, how: str) -> StateError:
        return StateError(f"{self.what}: is damaged: {how}: {_CURE}")

    @contextmanager
    def _trouble(self, *, is_writing: bool = False) -> Iterator[None]:
        """Turn SQLite's errors into ours; after one the file is opened anew."""
        try:
            yield
        except sqlite3.Error as error:
            self.close()
            raise explained(error, self.what, is_writing=is_writing) from error
        except UnicodeDecodeError as error:  # of a text in SQLite's own tables, or of its error's
            self.close()
            raise self._damage("a text in it can't be read") from error
        except BaseException:
            self._known = None
            raise


def connect(path: str, *, is_reader: bool = False) -> sqlite3.Connection:
    """Open a state file that exists. Raises sqlite3.Error."""
    mode = "ro" if is_reader else "rw"
    connection = sqlite3.connect(
        f"{path}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S
    )
    try:
        set_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def set_up(connection: sqlite3.Connection) -> None:
    """Set what is of the connection rather than of the file."""
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = {-CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
    # The file may come from anywhere: nothing in it is trusted, and its pages are looked at before they are used.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def create(connection: sqlite3.Connection, now_wall_s: float) -> None:
    """Make an empty file a state in which nothing is saved. Raises sqlite3.Error; StateError without a log."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StateError("its file system bears no write-ahead log: put state.directory on a local disk")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    for statement in _SCHEMA:
        connection.execute(statement)
    account = Account(FORMAT, __version__, float(now_wall_s), None, 0, "")
    connection.executemany("INSERT INTO meta VALUES (?, ?)", account._asdict().items())
    connection.execute("COMMIT")


@contextmanager
def _with_cure() -> Iterator[None]:
    """Say what to do about a section that can't be read."""
    try:
        yield
    except StateError as error:
        text = str(error)
        raise (error if _CURE in text or "newer version" in text else StateError(f"{text}: {_CURE}")) from None


def explained(error: sqlite3.Error, what: str, *, is_writing: bool = False) -> StateError:
    """Give what SQLite's error means, and what to do."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StateError(f"{what}: not saved: the disk is full; what was saved before is still there")
    if is_writing and code == sqlite3.SQLITE_IOERR:
        return StateError(f"{what}: not saved: the disk failed ({error}); what was saved before is still there")
    if code == sqlite3.SQLITE_NOTADB:
        return StateError(f"{what}: is no state of driftd, or its beginning is damaged: {_CURE}")
    if code == sqlite3.SQLITE_CORRUPT:
        return StateError(f"{what}: is damaged ({error}): {_CURE}")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StateError(f"{what}: another program holds it locked: end that one, and try again")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return StateError(f"{what}: can't be opened ({error}): see that it is there and that this user owns it")
    return StateError(f"{what}: can't be {'written' if is_writing else 'read'}: {error}: {_CURE}")


_ASIDE: Final = "move it aside to begin with nothing counted"
_CURE: Final = (
    "`driftd state verify` says what is hit; `driftd state import --replace` brings back an export;"
    " or move the folder aside to begin with nothing counted"
)
