"""What a place of others' making gives: tables of rows to build a reference from, or a profile of each column.

Nothing is asked of a server, and no package of theirs is needed: only files are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from monitor.errors import BaselineError
from monitor.lineage import Lineage
from monitor.shapes import Column

TEXT_BYTES_MAX: Final = 256 << 20
"""Larger files of one piece are not read."""
HEAD_BYTES: Final = 400
TABLE: Final = re.compile(rb'\s*\{\s*"columns"\s*:')
TABLE_SUFFIXES: Final = (".csv", ".parquet", ".pq")
FILES_MAX: Final = 10_000
"""So many files of a folder are looked at."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Rows to build from. model, version: as they are registered, "" where they are not. paths: in order of name."""

    described: str
    lineage: Lineage
    paths: Sequence[Path]
    model: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What was kept of each column. rows: of the data set. from_s, to_s: when it was logged, 0 if that is not told."""

    described: str
    lineage: Lineage
    columns: Mapping[str, Column]
    rows: int
    from_s: float = 0.0
    to_s: float = 0.0
    notes: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller says where a place says several things, or nothing.

    table: part of the name of the table that is meant. is_current: the data that a report judges, in place of what it
    compares with. rows: of the data set, where a profile has shares alone.
    """

    table: str = ""
    is_current: bool = False
    rows: int | None = None


def is_table(path: Path) -> bool:
    """Tell whether a file holds rows rather than events: by its name, or as JSON that begins with its columns."""
    return TABLE.match(head_of(path)) is not None if path.suffix == ".json" else path.suffix in TABLE_SUFFIXES


def head_of(path: Path) -> bytes:
    """Give how a file begins, nothing where it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


class Format(Protocol):
    """One kind of place."""

    name: str

    def recognises(self, path: Path) -> bool:
        """Tell whether a path looks like one; reads little."""
        ...

    def read(self, path: Path, wishes: Wishes) -> Tables | Profile:
        """Read it. Raises BaselineError with the file, what was found there, and what to do."""
        ...


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON, which the caller takes apart
    """Give what a JSON file holds. Raises BaselineError."""
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"{path}: not JSON ({error}); was it cut short? Copy it again") from None


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Give the mapping that a YAML file holds. Raises BaselineError."""
    try:
        found = yaml.safe_load(read_bytes(path))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BaselineError(f"{path}: not YAML ({error}); was it cut short? Copy it again") from None
    if not isinstance(found, dict):
        raise BaselineError(f"{path}: found {type(found).__name__}, expected names with values; is it the right file?")
    return found


def read_bytes(path: Path) -> bytes:
    """Give a file's bytes. Raises BaselineError."""
    try:
        size = path.stat().st_size
        if size > TEXT_BYTES_MAX:
            raise BaselineError(
                f"{path}: {size >> 20} MiB, and at most {TEXT_BYTES_MAX >> 20} are read at once; log it as Parquet, or"
                " build from a part of it"
            )
        return path.read_bytes()
    except OSError as error:
        raise BaselineError(f"{path}: can't be read: {error.strerror}") from None


def files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Give the files below a folder that end in one of these, by name. Raises BaselineError if there are very many."""
    found: list[Path] = []
    for number, path in enumerate(_walk(folder)):
        if number >= FILES_MAX:
            raise BaselineError(f"{folder}: more than {FILES_MAX} files; name a folder further down")
        if path.name.endswith(tuple(suffixes)):
            found.append(path)
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def chosen(tables: Sequence[Path], folder: Path, wishes: Wishes) -> list[Path]:
    """Give the tables that are meant: those named, else the only one. Raises BaselineError that lists them."""
    names = [str(path.relative_to(folder)) for path in tables]
    if wishes.table:
        named = [path for path, name in zip(tables, names, strict=True) if wishes.table in name]
        if not named:
            raise BaselineError(f"{folder}: no table named {wishes.table!r}; there are: {_listed(names)}")
        return named
    if len(tables) > 1:
        raise BaselineError(f"{folder}: several tables; choose with --table: {_listed(names)}")
    return list(tables)


def _listed(names: Sequence[str]) -> str:
    return (", ".join(names[:20]) or "none") + (f", and {len(names) - 20} more" if len(names) > 20 else "")
