"""References on disk: one small readable file per model version, in one folder."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from monitor.errors import BaselineError
from monitor.references import Reference, from_text, from_texts, to_text

SUFFIX: Final = ".reference.json"
FILE_BYTES_MAX: Final = 256 << 20
AT_ONCE: Final = 50
"""Files that are read together."""


def file_name(model: str, version: str) -> str:
    """Give the name of a model version's file: readable, and another for every other model whatever its name holds."""
    name = f"{model}@{version}" if version else model
    plain = re.sub(r"[^A-Za-z0-9._@-]+", "-", name)[:80].strip("-.")
    if plain and plain == name and name.count("@") == bool(version):  # an @ of their own could be taken for ours
        return plain + SUFFIX
    return f"{plain or 'model'}-{hashlib.sha256(f'{model}|{version}'.encode()).hexdigest()[:8]}{SUFFIX}"


def read_reference(path: Path) -> Reference:
    """Read one file. Raises BaselineError, with the path and what is wrong."""
    text = _text_of(path)
    try:
        return from_text(text)
    except BaselineError as error:
        raise BaselineError(f"{path}: {error}") from None


def _text_of(path: Path) -> str:
    try:
        _check_size(path)
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BaselineError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BaselineError(f"{path}: not UTF-8 text, so not a reference") from None
    except BaselineError as error:
        raise BaselineError(f"{path}: {error}") from None


def _read_all(paths: Sequence[Path]) -> Iterator[Reference]:
    """Read files, some at once. Raises as `read_reference`."""
    for start in range(0, len(paths), AT_ONCE):
        own = paths[start : start + AT_ONCE]
        try:
            found = from_texts([_text_of(path) for path in own]) if len(own) > 1 else []
        except BaselineError:
            found = []  # one of them is bad: read one by one, it says which
        yield from found or map(read_reference, own)


def _check_size(path: Path) -> None:
    if path.stat().st_size > FILE_BYTES_MAX:
        raise BaselineError(f"larger than {FILE_BYTES_MAX >> 20} MiB, so not a reference")


def read_references(folder: Path) -> list[Reference]:
    """Read all references in a folder; none if it does not exist.

    Raises BaselineError if one is bad or two are of one model.
    """
    found: dict[tuple[str, str], Path] = {}
    references: list[Reference] = []
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    for path, reference in zip(paths, _read_all(paths), strict=True):
        key = (reference.model, reference.model_version)
        if key in found:
            raise BaselineError(
                f"{path}: a second reference of model {key[0]!r} version {key[1]!r}; the first is {found[key]}:"
                " remove one"
            )
        found[key] = path
        references.append(reference)
    return references


def write_reference(folder: Path, reference: Reference) -> Path:
    """Write a file so that it is there whole or not at all. Raises BaselineError."""
    path = folder / file_name(reference.model, reference.model_version)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, delete=False) as file:
            file.write(to_text(reference))
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
    except OSError as error:
        raise BaselineError(f"{path}: can't be written: {error.strerror}") from error
    return path
