"""Secrets that sinks send or sign with: given as they are, or kept in a file that is read anew when it changes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
from pydantic import SecretStr

from monitor.errors import ConfigError

BYTES_MAX: Final = 64 * 1024

_log = structlog.get_logger("monitor.sinks")


class Secret:
    """One secret. where: the option that gives it, for messages.

    A look at the file costs some 5 us, so it is taken at each use. What can't be read later leaves the last one that
    could: a file may be away for a moment while it is replaced. Raises ConfigError where it can't be read at first.
    """

    def __init__(self, value: SecretStr | None, file: Path | None, where: str) -> None:
        self._file = file
        self._where = where
        self._text = "" if value is None else value.get_secret_value()
        self._seen: tuple[int, int, int] | None = None
        if file is not None:
            self._seen = stamp(file)
            self._text = read_secret(file, where)

    @property
    def is_given(self) -> bool:
        """Whether there is one at all."""
        return bool(self._text)

    @property
    def is_in_file(self) -> bool:
        """Whether it may change while driftd runs."""
        return self._file is not None

    def text(self) -> str:
        """Give it, as it is now; "" where there is none."""
        if self._file is not None and (seen := stamp(self._file)) != self._seen:
            self._seen = seen
            try:
                self._text = read_secret(self._file, self._where)
            except ConfigError as error:
                _log.warning("secret not read anew, the old one is used", error=str(error))
        return self._text


def read_secret(file: Path, where: str) -> str:
    """Give the text of a file without the line break at its end. Raises ConfigError, without quoting any of it."""
    try:
        if not file.is_file():  # a pipe could block for ever
            raise ConfigError(f"{where}: {file} is not a file; check the path")
        with file.open("rb") as opened:
            text = opened.read(BYTES_MAX + 1).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: {file} is not text in UTF-8; write the secret into it as plain text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(f"{where}: {file} can't be read ({reason}); check the path and who may read it") from None
    if len(text) > BYTES_MAX or not text.strip():
        raise ConfigError(f"{where}: {file} is empty or too long; keep only the secret in it")
    return text.rstrip("\r\n")


def stamp(file: Path) -> tuple[int, int, int] | None:
    """Give what changes when a file does; None where it can't be looked at."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def exclude(given: Sequence[tuple[str, object]]) -> None:
    """Raise ValueError where more than one of these options (name, value) is given."""
    names = [name for name, value in given if value is not None]
    if len(names) > 1:
        raise ValueError(f"{' and '.join(names)} exclude each other, got both")
