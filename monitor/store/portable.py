"""A state as one file to carry elsewhere: gzip of a head (what is in it), and the sections as they are stored.

Head and sections are states as the codec writes them, each with its length and checksum, so the file can be read from
beginning to end with one section in memory at a time, and says which part of it is damaged.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from monitor import codec
from monitor.domain import TopicPartition
from monitor.errors import StateError
from monitor.store.contents import FORMAT, Account, Contents, Row, seal
from monitor.store.database import SECTION_BYTES_MAX
from monitor.store.files import FILE_MODE, sync, told

KIND: Final = "driftd state"
HEAD_BYTES_MAX: Final = 2**28
"""Far more than the names of all sections of a state take."""
_LEVEL: Final = 1  # of gzip: the counts shrink by as much as at higher ones, in a third of the time
_CHUNK: Final = 2**20


def write_portable(path: Path, contents: Contents, data: Iterable[bytes]) -> int:
    """Write a state, whole or not at all; give the file's length. data: of each section as encoded, in their order.

    Raises StateError, also when the file is there already.
    """
    if path.exists():
        raise StateError(f"{path}: is there already, and is not written over: name another file, or remove it")
    draft = path.with_name(f"{path.name}.part")
    with told(f"{path}: can't be written"):
        try:
            handle = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, FILE_MODE)
            with os.fdopen(handle, "wb") as file, gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
                packed.write(codec.encode(_head(contents)))
                for each in data:
                    packed.write(each)
            sync(draft)
            draft.rename(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return path.stat().st_size


@contextmanager
def read_portable(path: Path) -> Iterator[tuple[Contents, Iterator[bytes]]]:
    """Read a state: what is in it, and its sections as encoded, in order, each compared with its checksum.

    Raises StateError, then or while the sections are read: no such file, damaged, cut short, or of a newer version.
    """
    with told(f"{path}: can't be read"), path.open("rb") as file, gzip.GzipFile(fileobj=file) as packed:
        stream = cast("BinaryIO", packed)
        with _damage(path):
            contents = _contents(codec.decode(_block(stream, HEAD_BYTES_MAX, str(path)), str(path)), str(path))
            yield contents, _sections(stream, contents.rows, path)


def _sections(stream: BinaryIO, rows: Iterable[Row], path: Path) -> Iterator[bytes]:
    for row in rows:
        what = f"{path}: section {row.name}"
        data = _block(stream, SECTION_BYTES_MAX, what)
        codec.check(data, what)
        if (len(data), codec.checksum(data)) != (row.bytes, row.checksum):
            raise StateError(f"{what}: is damaged: it is not the one that was written")
        yield data
    if stream.read(1):
        raise StateError(f"{path}: is damaged: more follows than it says is in it")


def _block(stream: BinaryIO, bytes_max: int, what: str) -> bytes:
    """Read a state as encoded: a header that says how long it is, and that much."""
    header = _read(stream, codec.HEADER_BYTES)
    length = codec.body_bytes(header, what)
    if length > bytes_max:
        raise StateError(f"{what}: is damaged: it would be {length} bytes long")
    return header + _read(stream, length)


def _read(stream: BinaryIO, length: int) -> bytes:
    """Read so many bytes, or fewer at the end; memory grows with what is there, not with what is promised."""
    parts = []
    while length > 0 and (part := stream.read(min(length, _CHUNK))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _head(contents: Contents) -> dict[str, Any]:
    return {
        "kind": KIND,
        **contents.account._asdict(),
        "sections": [list(row) for row in contents.rows],
        "positions": [[*key, value] for key, value in contents.positions.items()],
    }


def _contents(head: dict[str, Any], what: str) -> Contents:
    if head.get("kind") != KIND:
        raise StateError(f"{what}: is no exported state of driftd")
    if head["format"] > FORMAT:
        raise StateError(
            f"{what}: was exported by a newer version of driftd ({head.get('driftd')}, format {head['format']};"
            f" this one reads up to {FORMAT}): run that version, or one newer still"
        )
    account = Account(*(head[name] for name in Account._fields))
    rows = [Row(*row) for row in head["sections"]]
    positions = {TopicPartition(topic, partition): offset for topic, partition, offset in head["positions"]}
    contents = Contents(account, rows, positions)
    if account.saves and seal(contents) != account.seal:
        raise StateError(f"{what}: is damaged: its sections and positions are not those that were saved together")
    return contents


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what gzip and a head of another shape raise into ours."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise StateError(f"{path}: is no exported state of driftd, or is damaged or cut short: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"{path}: can't be read: {type(error).__name__}: {error}") from error
