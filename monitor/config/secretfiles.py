"""Secrets kept in files: `sasl_password_file` beside `sasl_password`, and the like for receivers.

Receivers read some of theirs themselves, anew whenever the file changes: those are only looked at here, so that what is
wrong with them is told with its place.
"""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING, Final

from monitor.config.refusals import Path, Refusals, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

BYTES_MAX: Final = 64 * 1024
# Other names that end in _file (of certificates, say) stay paths: the part that uses them reads them.
_SECRET_FILE: Final = re.compile(r"(.*(?:password|passphrase|secret|token|credentials|routing_key|api_key|url))_file")

_READ_BY_RECEIVERS: Final = frozenset({"secret_file", "password_file", "bearer_token_file"})


def read_secret_files(tree: dict[str, object], refusals: Refusals) -> None:
    """Reads each secret's file once; puts the secret beside its path, or in its place (receivers)."""
    for section, path in _sections(tree):
        for name in list(section):
            match = _SECRET_FILE.fullmatch(name)
            if match and section[name] is not None:
                secret = _resolve(section, name, match[1], (*path, name), refusals)
                if path[0] == "receivers" and name in _READ_BY_RECEIVERS:
                    continue
                if secret is not None:
                    section[match[1]] = secret
                if path[0] == "receivers":
                    del section[name]


def _sections(tree: dict[str, object]) -> Iterator[tuple[dict[str, object], Path]]:
    for name in ("kafka", "heartbeat"):
        section = tree.get(name)
        if isinstance(section, dict):
            yield section, (name,)
    receivers = tree.get("receivers")
    if isinstance(receivers, dict):
        for name, receiver in receivers.items():
            yield from _mappings(receiver, ("receivers", name))


def _mappings(value: object, path: Path) -> Iterator[tuple[dict[str, object], Path]]:
    """Gives a receiver's options and the mappings in them, such as `http` with its password."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _mappings(inner, (*path, name))
        yield value, path


def _resolve(section: dict[str, object], name: str, secret: str, path: Path, refusals: Refusals) -> str | None:
    """Gives the secret in the file that an option names; None where there is none, which is told."""
    if refusals.covers(path):
        return None
    file = section[name]
    if not isinstance(file, str):
        refusals.add(path, "not a path", "write the path of a file as text")
    elif section.get(secret) is not None:
        refusals.add(path, f"stands beside {secret}", "keep one of the two")
    else:
        return _read(file, path, refusals)
    return None


def _read(file: str, path: Path, refusals: Refusals) -> str | None:
    """Gives the first BYTES_MAX of a regular file: a pipe could block the start for ever."""
    cure = "check the path and who may read it"
    try:
        place = pathlib.Path(file)
        if not place.is_file():
            refusals.add(path, f"{shorten(file)} {_what(place)}", cure)
            return None
        with place.open("rb") as opened:
            text = opened.read(BYTES_MAX + 1).decode("utf-8")
    except UnicodeDecodeError:
        refusals.add(path, f"{shorten(file)} is not text in UTF-8", "write the secret into it as plain text")
        return None
    except OSError as error:
        refusals.add(path, f"{shorten(file)} can't be read ({error.strerror or 'unknown reason'})", cure)
        return None
    except ValueError:
        refusals.add(path, "not a path", "write the path of a file as text")
        return None
    return _checked(text, file, path, refusals)


def _what(place: pathlib.Path) -> str:
    if place.is_dir():
        return "is a folder"
    return "is not a regular file" if place.exists() else "does not exist"


def _checked(text: str, file: str, path: Path, refusals: Refusals) -> str | None:
    secret = text.rstrip("\r\n")
    if not secret.strip():
        refusals.add(path, f"{shorten(file)} is empty", "write the secret into it")
    elif len(text) > BYTES_MAX:
        refusals.add(path, f"{shorten(file)} is longer than {BYTES_MAX} bytes", "keep only the secret in it")
    return secret
