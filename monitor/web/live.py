"""The rules of access in force: read anew when their file, or a certificate it names, changes."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import structlog

from monitor.errors import ConfigError
from monitor.web.terms import Access, AccessFile
from monitor.web.tls import context_of

_Signature = tuple[tuple[int, int, int] | None, ...]
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

log = structlog.get_logger()


class Live:
    """What a file says, or that there is no bound. Raises ConfigError at first; later, what was good stays in force.

    A look at the files costs some 10 us, so it is taken at every connection and request.
    """

    def __init__(self, file: AccessFile | None, *, are_probes_open: bool) -> None:
        self._file = file
        self._are_probes_open = are_probes_open
        self._context: ssl.SSLContext | None = None
        self._access = Access()
        self._seen: _Signature = ()
        self.is_good = True
        if file is not None:
            self._seen = _signature(self._files())
            self._access, self._context = self._read(file)
            self._seen = _signature(self._files())

    @property
    def is_tls(self) -> bool:
        """Whether TLS is spoken; it stays so until the end."""
        return self._context is not None

    def access(self) -> Access:
        """Give the rules in force."""
        self._refresh()
        return self._access

    def context(self) -> ssl.SSLContext:
        """Give the context for a new connection."""
        self._refresh()
        if self._context is None:
            raise ConfigError("TLS is off")
        return self._context

    def warn_of_plain_passwords(self, host: str) -> None:
        """Say so where passwords will travel as they are."""
        if self._access.users and not self.is_tls and host not in _LOOPBACK:
            log.warning("http: passwords travel unencrypted", host=host, cure="add tls_server_config")

    def _files(self) -> tuple[Path, ...]:
        own = () if self._file is None else (self._file.path,)
        return own if self._access.tls is None else (*own, *self._access.tls.files)

    def _read(self, file: AccessFile) -> tuple[Access, ssl.SSLContext | None]:
        access = file.read(file.path)
        if access.tls is None:
            return access, None
        try:
            return access, context_of(access.tls, are_probes_open=self._are_probes_open)
        except ConfigError as error:
            raise ConfigError(f"{file.path}: tls_server_config: {error}") from None

    def _refresh(self) -> None:
        if self._file is None:
            return
        signature = _signature(self._files())
        if signature == self._seen:
            return
        self._seen = signature  # before reading: a change meanwhile is seen the next time
        try:
            access, context = self._read(self._file)
            self._keep_tls(self._file.path, context)
        except ConfigError as error:
            self.is_good = False
            log.error(  # noqa: TRY400 - the error says it all: a stack would be noise
                "http.web_config_file not taken over; the old one stays in force",
                error_code="web_config",
                error=str(error),
            )
            return
        files = self._files()
        self._access, self._context, self.is_good = access, context, True
        if self._files() != files:
            self._seen = _signature(self._files())
        log.info("http.web_config_file read anew", users=len(access.users), tls=self.is_tls)

    def _keep_tls(self, path: Path, context: ssl.SSLContext | None) -> None:
        if (context is None) != (self._context is None):
            raise ConfigError(f"{path}: TLS can't be turned on or off while driftd runs; restart it")


def _signature(files: tuple[Path, ...]) -> _Signature:
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)
