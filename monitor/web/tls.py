"""TLS: a context of what a file says, and one that stands for whichever is in force."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from monitor.errors import ConfigError
from monitor.web.terms import TlsTerms

_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def context_of(terms: TlsTerms, *, are_probes_open: bool) -> ssl.SSLContext:
    """Give a context for new connections. Raises ConfigError where a file can't be used, without quoting any.

    are_probes_open: a client without certificate may connect even where one is required; whoever handles the request
    must then refuse it all but the probes.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[terms.version_min], _VERSIONS[terms.version_max]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0  # a resumed session would outlive the certificate that opened it
    if not terms.is_server_preferred:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    try:
        if terms.ciphers:
            context.set_ciphers(":".join(terms.ciphers))
        if terms.curve:
            context.set_ecdh_curve(terms.curve)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"cipher_suites or curve_preferences: this machine's OpenSSL refuses them: {error}") from None
    _load(context, terms)
    verify = _VERIFY[terms.client_certificate]
    context.verify_mode = ssl.CERT_OPTIONAL if verify is ssl.CERT_REQUIRED and are_probes_open else verify
    return context


def _load(context: ssl.SSLContext, terms: TlsTerms) -> None:
    try:
        with _as_file(terms.cert) as cert, _as_file(terms.key) as key:
            # A key that asks for its password would stop the daemon at a prompt.
            context.load_cert_chain(cert, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{_named(terms.cert, 'cert')} and {_named(terms.key, 'key')}: {_why(error)}") from None
    try:
        if isinstance(terms.client_ca, Path):
            context.load_verify_locations(cafile=terms.client_ca)
        elif terms.client_ca:
            context.load_verify_locations(cadata=terms.client_ca)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{_named(terms.client_ca, 'client_ca')}: {_why(error)}") from None


@contextmanager
def _as_file(pem: Path | str | SecretStr) -> Iterator[Path]:
    """Give a file with the PEM text, since OpenSSL takes certificates and keys from files alone."""
    if isinstance(pem, Path):
        yield pem
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".pem") as file:  # for our eyes only, by default
        file.write(pem.get_secret_value() if isinstance(pem, SecretStr) else pem)
        file.flush()
        yield Path(file.name)


def _named(pem: Path | str | SecretStr | None, name: str) -> str:
    return str(pem) if isinstance(pem, Path) else name


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "not a certificate in PEM").replace("_", " ").lower()
        return f"can't be used ({reason}); give a certificate in PEM and the key that belongs to it, without password"
    return f"can't be read ({getattr(error, 'strerror', None) or 'not PEM'}); check the path and who may read it"


class LiveContext(ssl.SSLContext):
    """Stands for the context in force: each connection is wrapped by the one of that moment."""

    current: Callable[[], ssl.SSLContext]

    @staticmethod
    def of(current: Callable[[], ssl.SSLContext]) -> LiveContext:
        """Give one that asks `current` at each connection."""
        live = LiveContext(ssl.PROTOCOL_TLS_SERVER)
        live.current = current
        return live

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the library's
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Wrap a connection by the context in force."""
        return self.current().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def names_in(certificate: Mapping[str, object] | None) -> frozenset[str] | None:
    """Give the names in a client's checked certificate (DNS, address, e-mail, URI); None: it showed none."""
    if not certificate:
        return None
    found = certificate.get("subjectAltName", ())
    pairs = found if isinstance(found, tuple) else ()
    return frozenset(str(value) for kind, value in pairs if kind in {"DNS", "IP Address", "email", "URI"})
