"""The folder of the state: what lies there, who may write, and files that appear whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import gmtime, strftime
from typing import Final, NamedTuple

from monitor.errors import StateError

NAME: Final = "driftd.sqlite"
LOCK: Final = "driftd.lock"
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_LOG: Final = "-wal"
_BESIDE: Final = (_LOG, "-shm", "-journal")


class Folder(NamedTuple):
    """The folder of one daemon's state."""

    path: Path

    @property
    def file(self) -> Path:
        """The state file."""
        return self.path / NAME

    def make(self) -> None:
        """Make the folder, for its owner alone. Raises StateError."""
        with told(f"{self.path}: the folder of the state can't be made"):
            self.path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    def has_file(self) -> bool:
        """Tell whether a state is there. Raises StateError where only half of one is, or it can't be told."""
        with told(f"{self.path}: can't be read"):
            found = {each.name: each for each in self.path.iterdir()} if self.path.exists() else {}
            log = found.get(NAME + _LOG)
            is_log_left = log is not None and log.stat().st_size > 0
        if NAME in found:
            return True
        if is_log_left:
            raise StateError(
                f"{self.path}: {NAME} is gone, but its log {NAME}{_LOG} is there: put the file back beside it; or move"
                " the log aside to begin with nothing counted"
            )
        return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer, as long as the block or the process lasts. Raises StateError when there is one."""
        path = self.path / LOCK
        with told(f"{path}: can't be locked"):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            with told(f"{path}: can't be locked"):
                _lock(handle, self.path)
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(handle)

    @contextmanager
    def new_file(self) -> Iterator[Path]:
        """Give an empty file to fill; it becomes the state file at the end of the block, unless that raises.

        Whoever is killed within leaves the folder as it was, but for a file that the next one removes. Raises
        StateError.
        """
        path = self.path / f"{NAME}.new"
        with told(f"{path}: can't be written"):
            remove(path)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
        try:
            yield path
            with told(f"{path}: can't be written"):
                _check_whole(path)
                sync(path)
                path.rename(self.file)
                sync(self.path)
        except BaseException:
            remove(path)
            raise

    def set_aside(self, now_wall_s: float) -> Path | None:
        """Give the state file a second name and its log another one, so that a new file can take its place.

        Gives the second name; None where there is no state file. At no moment is there none, which would be taken for
        a first start. Raises StateError.
        """
        if not self.file.exists():
            return None
        stem = f"{NAME}.{strftime('%Y%m%dT%H%M%SZ', gmtime(now_wall_s))}"
        with told(f"{self.file}: can't be set aside"):
            taken = {each.name for each in self.path.iterdir()}
            aside = self.path / next(name for name in _numbered(stem) if name not in taken)
            _link(self.file, aside)
            log = Path(f"{self.file}{_LOG}")
            if log.exists():
                log.rename(f"{aside}{_LOG}")
            Path(f"{self.file}-shm").unlink(missing_ok=True)
            sync(self.path)
        return aside


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}.{number}" for number in count(1))


def _link(path: Path, name: Path) -> None:
    """Give a file a second name; where the file system knows no such thing, copy it."""
    try:
        name.hardlink_to(path)
    except OSError:
        shutil.copy2(path, name)
        sync(name)


def _check_whole(path: Path) -> None:
    """See that SQLite has written the log back on closing; it says nothing where it could not."""
    if Path(f"{path}{_LOG}").exists():
        raise StateError(f"{path}: can't be written: see that the disk is not full")


def remove(path: Path) -> None:
    """Remove a database that was not finished, and what SQLite puts beside it."""
    for each in (path, *(Path(f"{path}{end}") for end in _BESIDE)):
        each.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have what was written to a file, or the names in a folder, reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except OSError as error:
        raise StateError(f"{what}: {error.strerror or error}") from error


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode("ascii", "replace").strip()
        raise StateError(
            f"{path}: is in use by another driftd{f' (process {holder})' if holder else ''}: stop that one first, or"
            " give this one a folder of its own in state.directory"
        ) from None
