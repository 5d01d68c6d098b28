"""What the server is told: where to listen, its bounds, and who may come in. Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from pydantic import SecretStr

from monitor.exporter import SERIES_MAX

NOTES: Final = ("/api/annotations", "/api/v1/annotations")
NOTE_BYTES_MAX: Final = 8_192
"""The pages that take a body, and how much of it."""
TlsVersion = Literal["TLS12", "TLS13"]


class Notes(Protocol):
    """Where annotations are kept."""

    @property
    def is_open(self) -> bool:
        """Whether any may be added over HTTP."""
        ...

    def add(self, document: object) -> dict[str, Any]:
        """Take one in; raises ValueError with what is wrong."""
        ...

    def latest(self, model: str | None) -> list[dict[str, Any]]:
        """Give them."""
        ...


@dataclass(frozen=True, slots=True)
class WebTerms:
    """Where to listen (port 0: any free one), and bounds.

    stall_s, progress_s: see Liveness. are_probes_open: /livez and /readyz ask for neither password nor certificate.
    The rest: see exporter.
    """

    host: str = "127.0.0.1"
    port: int = 0
    stall_s: float = 60.0
    progress_s: float = 300.0
    render_s_min: float = 1.0
    label_series_max: int = SERIES_MAX
    are_probes_open: bool = True


@dataclass(frozen=True, slots=True)
class TlsTerms:
    """How TLS is spoken.

    cert, key, client_ca: the path of a PEM file, or PEM text. client_certificate: whether clients may or must show one
    that client_ca has signed. client_names: where there are any, one of the names in it (DNS, address, e-mail or URI)
    must be among them. ciphers: OpenSSL's names, for TLS 1.2; empty: OpenSSL's own choice. curve: OpenSSL's name.
    """

    cert: Path | str
    key: Path | SecretStr
    client_ca: Path | str | None = None
    client_certificate: Literal["none", "optional", "required"] = "none"
    client_names: Sequence[str] = ()
    version_min: TlsVersion = "TLS12"
    version_max: TlsVersion = "TLS13"
    ciphers: Sequence[str] = ()
    is_server_preferred: bool = True
    curve: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it is read from."""
        return tuple(each for each in (self.cert, self.key, self.client_ca) if isinstance(each, Path))


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in, and how.

    users: name -> bcrypt hash; empty: no password is asked for. headers: put on every answer. requests_interval_s: one
    request is let in so often, and requests_burst at once; 0: no bound.
    """

    tls: TlsTerms | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    requests_interval_s: float = 0.0
    requests_burst: int = 0


@dataclass(frozen=True, slots=True)
class AccessFile:
    """A file that says who may come in, and how it is read. read: raises ConfigError with places and cures."""

    path: Path
    read: Callable[[Path], Access]
