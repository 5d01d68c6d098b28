"""The one way by which sinks speak HTTP: POST, no redirects, certificates always checked, answers told as SinkError.

The address, credentials and extra headers may be secrets, so errors name only the host, and the receiver's own words
are quoted short, cleaned, and with our secrets blotted out. Where it may connect to: see addresses.
"""

import base64
import email.utils
import logging
import math
import ssl
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import httpcore2
import httpx2
import structlog
from pydantic import ConfigDict, SecretStr

from monitor.errors import ConfigError, SinkError
from monitor.sinks.addresses import GuardedBackend, why_internal
from monitor.sinks.base import SinkBusyError
from monitor.sinks.credentials import Secret, exclude, stamp
from monitor.sinks.message import clean

RETRY_AFTER_MAX_S: Final = 300.0  # ours: a receiver may ask for a pause, not for silence
TIMEOUT_MAX_S: Final = 300.0  # ours: an attempt longer than this holds back all others of that receiver
_ANSWER_BYTES_MAX: Final = 2048
_QUOTE_CHARACTERS_MAX: Final = 200
_SECRET_CHARACTERS_MIN: Final = 4  # shorter ones would blot out ordinary words, and protect nothing

_log = structlog.get_logger("monitor.sinks")

# Not retried unless listed or 5xx, as Alertmanager does: the same request would get the same answer.
_REASONS_BY_STATUS: Final[Mapping[int, tuple[str, bool]]] = {
    401: ("auth_error", False),
    403: ("auth_error", False),
    407: ("auth_error", False),
    408: ("timeout", True),
    429: ("rate_limited", True),
}


@dataclass(frozen=True, slots=True)
class HttpParams:
    """How to be let in, the same for all sinks that speak HTTP.

    username and password: basic authentication. bearer_token: instead of these. headers: sent besides, treated as
    secrets. ca_file: PEM file of the authorities to trust instead of the system's. cert_file, key_file: PEM files of
    our own certificate, where the receiver asks for one. Files are read anew when they change.

    allowed_hosts: hosts, as the address names them, that may be at an internal address (loopback, link-local, cloud
    metadata, multicast). allow_internal: all may.

    Proxies and authorities are also taken from the usual environment variables (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE).
    Where there is a proxy, it and not driftd decides which addresses may be connected to.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid", "hide_input_in_errors": True}

    username: str = ""
    password: SecretStr | None = None
    password_file: Path | None = None
    bearer_token: SecretStr | None = None
    bearer_token_file: Path | None = None
    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    allow_internal: bool = False
    allowed_hosts: Sequence[str] = ()

    def __post_init__(self) -> None:
        exclude([("password", self.password), ("password_file", self.password_file)])
        exclude([("bearer_token", self.bearer_token), ("bearer_token_file", self.bearer_token_file)])
        if bool(self.username) != (self.password is not None or self.password_file is not None):
            raise ValueError("username and password belong together, got only one of them")
        exclude([("username", self.username or None), ("bearer_token", self.bearer_token or self.bearer_token_file)])
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        for name, value in self.headers.items():
            text = value.get_secret_value()
            if not name.isascii() or not name.replace("-", "").isalnum() or not (text.isascii() and text.isprintable()):
                raise ValueError(f"headers: {name!r} or its value has characters that HTTP does not allow")


def check_url(url: str, where: str) -> None:
    """Refuse what is no web address. The address itself is not quoted: it may be a secret.

    Raises ValueError naming `where` and the fault.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise ValueError(f"{where} is not an address such as https://host:port/path") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{where} must start with http:// or https:// and name a host")
    if parsed.userinfo:
        raise ValueError(f"{where} must not hold credentials: use username and password, or bearer_token")


def check_target(url: str, where: str, params: HttpParams, *, is_loopback_allowed: bool = False) -> None:
    """Refuse what must not be posted to, as far as the address alone tells; names are looked up when connecting.

    Raises ValueError as check_url does.
    """
    check_url(url, where)
    host = httpx2.URL(url).host
    why = "" if _is_exempt(host, params) else why_internal(host, is_loopback_allowed=is_loopback_allowed)
    if why:
        raise ValueError(
            f"{where} must not be {why}: if the receiver is there, name its host in http.allowed_hosts,"
            " or set http.allow_internal to true"
        )


def check_timeout(timeout_s: float) -> None:
    """Raise ValueError unless 0 < timeout_s <= TIMEOUT_MAX_S."""
    if not 0 < timeout_s <= TIMEOUT_MAX_S:
        raise ValueError(f"timeout_s must be above 0 and at most {TIMEOUT_MAX_S:g}, got {timeout_s}")


class Poster:
    """Sends bodies to one address. Opens a connection at the first post, and keeps it. For one thread.

    url: whole; as a secret, it is blotted out too where the receiver quotes it.
    timeout_s: for connecting, and for each wait for the other side after that.
    is_loopback_allowed: whether this machine is where such a receiver may well be.
    Raises ConfigError where a file of a certificate or a secret can't be used.
    """

    def __init__(
        self, url: str | SecretStr, timeout_s: float, params: HttpParams, *, is_loopback_allowed: bool = False
    ) -> None:
        # The library logs whole addresses at level info, and some receivers' addresses are their password.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        self._url = httpx2.URL(url.get_secret_value() if isinstance(url, SecretStr) else url)
        self._is_url_secret = isinstance(url, SecretStr)
        self._timeout_s = timeout_s
        self._params = params
        self._is_loopback_allowed = is_loopback_allowed
        self.host = self._url.netloc.decode("ascii")
        self._password = Secret(params.password, params.password_file, "http.password_file")
        self._token = Secret(params.bearer_token, params.bearer_token_file, "http.bearer_token_file")
        self._stamps = self._stamped()
        self._client = self._connect()

    def post(self, body: bytes, headers: Mapping[str, str], now_wall_s: float) -> None:
        """Send a JSON body, and return when the answer is 2xx. Raises SinkError otherwise."""
        self._renew()
        # Not compressed: what is quoted of an answer is as small as it came.
        sent = {"Content-Type": "application/json", "User-Agent": "driftd", "Accept-Encoding": "identity"}
        sent |= {**self._authorization(), **headers}
        with self._translated(), self._client.stream("POST", self._url, content=body, headers=sent) as answer:
            if not answer.is_success:
                raise self._refusal(answer, now_wall_s)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _authorization(self) -> Mapping[str, str]:
        if self._token.is_given:
            return {"Authorization": f"Bearer {self._token.text()}"}
        return {"Authorization": f"Basic {self._pair()}"} if self._password.is_given else {}

    def _pair(self) -> str:
        return base64.b64encode(f"{self._params.username}:{self._password.text()}".encode()).decode("ascii")

    def _connect(self) -> httpx2.Client:
        params, limits = self._params, httpx2.Limits(max_connections=1)
        context = _tls(params)
        proxy = _proxy(self._url)
        own = None if proxy else _GuardedTransport(context, limits, self._backend())
        return httpx2.Client(
            headers={name: value.get_secret_value() for name, value in params.headers.items()},
            verify=context,
            timeout=self._timeout_s,
            follow_redirects=False,
            limits=limits,
            trust_env=False,
            proxy=proxy,
            transport=own,
        )

    def _backend(self) -> GuardedBackend:
        return GuardedBackend(
            lambda host: _is_exempt(host, self._params), is_loopback_allowed=self._is_loopback_allowed
        )

    def _stamped(self) -> Sequence[object]:
        files = (self._params.ca_file, self._params.cert_file, self._params.key_file)
        return [stamp(file) for file in files if file is not None]

    def _renew(self) -> None:
        """Connect anew with what certificate files hold now; where that can't be used, go on as before."""
        stamps = self._stamped()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            client = self._connect()
        except ConfigError as error:
            _log.warning("certificates not read anew, the old ones are used", host=self.host, error=str(error))
            return
        self._client.close()
        self._client = client

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError) as error:
            raise self._trouble("unreachable", error) from error
        except httpx2.TimeoutException as error:
            raise self._trouble("timeout", error) from error
        except httpx2.HTTPError as error:
            raise self._trouble("other", error) from error

    def _trouble(self, reason: str, error: httpx2.HTTPError) -> SinkError:
        said = self._quotable(str(error)) or type(error).__name__
        return SinkError(f"{self.host}: {reason}: {said}", is_retryable=True, reason=reason)

    def _refusal(self, answer: httpx2.Response, now_wall_s: float) -> SinkError:
        status = answer.status_code
        reason, is_retryable = _REASONS_BY_STATUS.get(
            status, ("server_error", True) if status >= 500 else ("client_error", False)
        )
        if reason == "auth_error" and (self._password.is_in_file or self._token.is_in_file):
            is_retryable = True  # the file may be about to change, or the receiver may be ahead of it
        said = "redirects are not followed" if answer.is_redirect else self._quotable(_beginning(answer))
        message = f"{self.host}: answered {status}" + (f": {said}" if said else "")
        pause_s = retry_after_s(answer.headers.get("Retry-After"), now_wall_s)
        if is_retryable and pause_s is not None:
            return SinkBusyError(message, reason=reason, retry_after_s=pause_s)
        return SinkError(message, is_retryable=is_retryable, reason=reason)

    def _quotable(self, text: str) -> str:
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return clean(text, _QUOTE_CHARACTERS_MAX)

    def _secrets(self) -> tuple[str, ...]:
        """Give what must not be quoted, the longest first, so that no part of one is left over."""
        texts = {self._password.text(), self._token.text()}
        texts |= {each.get_secret_value() for each in self._params.headers.values()}
        if self._is_url_secret:
            texts |= {str(self._url), self._url.raw_path.decode("ascii")}
        if self._password.is_given:
            texts.add(self._pair())
        return tuple(sorted((text for text in texts if len(text) >= _SECRET_CHARACTERS_MIN), key=len, reverse=True))


class _GuardedTransport(httpx2.HTTPTransport):
    """The library's own, which connects by way of our backend; it has no option for that."""

    def __init__(self, context: ssl.SSLContext, limits: httpx2.Limits, backend: GuardedBackend) -> None:
        super().__init__(verify=context, limits=limits)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context, max_connections=limits.max_connections, network_backend=backend
        )


def _is_exempt(host: str, params: HttpParams) -> bool:
    return params.allow_internal or host.lower() in {each.lower() for each in params.allowed_hosts}


def _proxy(url: httpx2.URL) -> str | None:
    """Give the proxy that the environment names for an address; None where there is none."""
    if urllib.request.proxy_bypass(url.host):
        return None
    found = urllib.request.getproxies()
    return found.get(url.scheme) or found.get("all")


def retry_after_s(value: str | None, now_wall_s: float) -> float | None:
    """Give the pause that a Retry-After header asks for, 0 to RETRY_AFTER_MAX_S; None where it asks for none."""
    if value is None:
        return None
    try:
        pause_s = float(value) if value.strip().isdigit() else _date_s(value) - now_wall_s
    except ValueError:
        return None
    return min(max(pause_s, 0.0), RETRY_AFTER_MAX_S) if math.isfinite(pause_s) else None


def _date_s(value: str) -> float:
    return email.utils.parsedate_to_datetime(value).timestamp()


def _beginning(answer: httpx2.Response) -> str:
    """Give the first words of an answer; nothing where they do not come, since the status says enough."""
    with suppress(httpx2.HTTPError):
        for part in answer.iter_raw(_ANSWER_BYTES_MAX):
            return part.decode("utf-8", "replace")
    return ""


def _tls(params: HttpParams) -> ssl.SSLContext:
    """Give what decides whom we trust. There is no way to trust everybody."""
    if params.ca_file is None and params.cert_file is None:
        return httpx2.create_ssl_context()
    try:
        context = ssl.create_default_context(cafile=params.ca_file)
        if params.cert_file is not None:
            context.load_cert_chain(params.cert_file, params.key_file)
    except (OSError, ValueError) as error:  # a file is missing; ssl.SSLError (an OSError): it is no certificate
        raise ConfigError(f"ca_file, cert_file or key_file can't be used: {error}") from error
    return context
