"""The one way by which sinks speak HTTP: POST, no redirects, certificates always checked, answers told as SinkError.

The address, credentials and extra headers may be secrets, so errors name only the host, and the receiver's own words
are quoted short, cleaned, and with our secrets blotted out.
"""

import base64
import email.utils
import logging
import math
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar, Final

import httpx2
from pydantic import ConfigDict, SecretStr

from monitor.errors import ConfigError, SinkError
from monitor.sinks.base import SinkBusyError
from monitor.sinks.message import clean

RETRY_AFTER_MAX_S: Final = 300.0  # ours: a receiver may ask for a pause, not for silence
TIMEOUT_MAX_S: Final = 300.0  # ours: an attempt longer than this holds back all others of that receiver
_ANSWER_BYTES_MAX: Final = 2048
_QUOTE_CHARACTERS_MAX: Final = 200
_SECRET_CHARACTERS_MIN: Final = 4  # shorter ones would blot out ordinary words, and protect nothing

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
    our own certificate, where the receiver asks for one. Proxies and authorities are also taken from the usual
    environment variables (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE).
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid", "hide_input_in_errors": True}

    username: str = ""
    password: SecretStr | None = None
    bearer_token: SecretStr | None = None
    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if bool(self.username) != (self.password is not None):
            raise ValueError("username and password belong together, got only one of them")
        if self.username and self.bearer_token is not None:
            raise ValueError("username and bearer_token exclude each other, got both")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        for name, value in self.headers.items():
            text = value.get_secret_value()
            if not name.isascii() or not name.replace("-", "").isalnum() or not (text.isascii() and text.isprintable()):
                raise ValueError(f"headers: {name!r} or its value has characters that HTTP does not allow")


def check_url(url: str, where: str) -> None:
    """Refuse what can't be posted to. The address itself is not quoted: it may be a secret.

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
    if _is_link_local(parsed.host):
        raise ValueError(f"{where} must not be a link-local address: cloud metadata lives there, receivers do not")


def check_timeout(timeout_s: float) -> None:
    """Raise ValueError unless 0 < timeout_s <= TIMEOUT_MAX_S."""
    if not 0 < timeout_s <= TIMEOUT_MAX_S:
        raise ValueError(f"timeout_s must be above 0 and at most {TIMEOUT_MAX_S:g}, got {timeout_s}")


class Poster:
    """Sends bodies to one address. Opens a connection at the first post, and keeps it. For one thread.

    url: whole; as a secret, it is blotted out too where the receiver quotes it.
    timeout_s: for connecting, and for each wait for the other side after that.
    Raises ConfigError where a certificate file can't be used.
    """

    def __init__(self, url: str | SecretStr, timeout_s: float, params: HttpParams) -> None:
        # The library logs whole addresses at level info, and some receivers' addresses are their password.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        self._url = httpx2.URL(url.get_secret_value() if isinstance(url, SecretStr) else url)
        self.host = self._url.netloc.decode("ascii")
        self._secrets = _secrets(url, params)
        self._client = httpx2.Client(
            auth=_auth(params),
            headers={name: value.get_secret_value() for name, value in params.headers.items()},
            verify=_tls(params),
            timeout=timeout_s,
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=1),
        )
        if params.bearer_token is not None:
            self._client.headers["Authorization"] = f"Bearer {params.bearer_token.get_secret_value()}"

    def post(self, body: bytes, headers: Mapping[str, str], now_wall_s: float) -> None:
        """Send a JSON body, and return when the answer is 2xx. Raises SinkError otherwise."""
        # Not compressed: what is quoted of an answer is as small as it came.
        sent = {"Content-Type": "application/json", "User-Agent": "driftd", "Accept-Encoding": "identity", **headers}
        with self._translated(), self._client.stream("POST", self._url, content=body, headers=sent) as answer:
            if not answer.is_success:
                raise self._refusal(answer, now_wall_s)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

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
        said = "redirects are not followed" if answer.is_redirect else self._quotable(_beginning(answer))
        message = f"{self.host}: answered {status}" + (f": {said}" if said else "")
        pause_s = retry_after_s(answer.headers.get("Retry-After"), now_wall_s)
        if is_retryable and pause_s is not None:
            return SinkBusyError(message, reason=reason, retry_after_s=pause_s)
        return SinkError(message, is_retryable=is_retryable, reason=reason)

    def _quotable(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return clean(text, _QUOTE_CHARACTERS_MAX)


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


def _auth(params: HttpParams) -> httpx2.BasicAuth | None:
    if params.password is None:
        return None
    return httpx2.BasicAuth(params.username, params.password.get_secret_value())


def _tls(params: HttpParams) -> ssl.SSLContext | bool:
    """Give what decides whom we trust. There is no way to trust everybody."""
    if params.ca_file is None and params.cert_file is None:
        return True
    try:
        context = ssl.create_default_context(cafile=params.ca_file)
        if params.cert_file is not None:
            context.load_cert_chain(params.cert_file, params.key_file)
    except (OSError, ValueError) as error:  # a file is missing; ssl.SSLError (an OSError): it is no certificate
        raise ConfigError(f"ca_file, cert_file or key_file can't be used: {error}") from error
    return context


def _secrets(url: str | SecretStr, params: HttpParams) -> tuple[str, ...]:
    """Give what must not be quoted, the longest first, so that no part of one is left over."""
    held = [params.password, params.bearer_token, *params.headers.values()]
    texts = {each.get_secret_value() for each in held if each is not None}
    if isinstance(url, SecretStr):
        texts |= {url.get_secret_value(), httpx2.URL(url.get_secret_value()).raw_path.decode("ascii")}
    if params.password is not None:
        pair = f"{params.username}:{params.password.get_secret_value()}"
        texts.add(base64.b64encode(pair.encode()).decode("ascii"))
    return tuple(sorted((text for text in texts if len(text) >= _SECRET_CHARACTERS_MIN), key=len, reverse=True))


def _is_link_local(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False  # a name
    return (getattr(address, "ipv4_mapped", None) or address).is_link_local
