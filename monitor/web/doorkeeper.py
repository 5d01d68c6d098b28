"""What stands before every page: safe headers, bodies where one is taken, and whoever may not come in is told so."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response

from monitor.metrics import DENIALS
from monitor.web.passwords import Passwords, Verdict
from monitor.web.terms import NOTE_BYTES_MAX, NOTES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from monitor.web.live import Live
    from monitor.web.terms import Access

HEADERS: Final = (
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
)
"""On every answer that has none of its own: it shows numbers of this moment, to whoever asked, and loads nothing."""

PROBES: Final = frozenset({"/livez", "/readyz"})
ADMIN: Final = "/-/"
PEER: Final = "peer_names"
"""Where in a request's state the names in the client's certificate stand; None: it showed none."""
LOG_S: Final = 30.0

log = structlog.get_logger()


class Doorkeeper:
    """Lets in, or answers in the page's place. For one event loop."""

    def __init__(self, app: ASGIApp, live: Live, *, are_probes_open: bool) -> None:
        self._app = app
        self._live = live
        self._are_probes_open = are_probes_open
        self._passwords = Passwords()
        self._rate = Rate()
        self._logged_s = -LOG_S
        self._unlogged: Counter[str] = Counter()
        self.denied: Counter[str] = Counter(dict.fromkeys(DENIALS, 0))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        access = self._live.access()
        own = [(name, value) for name, value in access.headers.items() if value]

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in own:
                    headers[name] = value
                for name, value in HEADERS:
                    headers.setdefault(name, value)
            await send(message)

        refusal = await self._refusal(scope, access)
        await (self._app if refusal is None else refusal)(scope, receive, send_safely)

    async def _refusal(self, scope: Scope, access: Access) -> Response | None:
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers or not _is_body_allowed(scope, headers.get("content-length", "0")):
            return self._deny("body", 413, "no body, or none of that size, is taken here", {"connection": "close"})
        is_open = self._are_probes_open and scope["path"] in PROBES
        if is_open:
            return None
        if not self._rate.admits(access.requests_interval_s, access.requests_burst):
            return self._deny("rate", 429, "too many requests", {"retry-after": "1"})
        if not has_certificate(access, scope.get("state", {})):
            return self._deny("certificate", 403, "a client certificate that is allowed here is needed")
        if access.users:
            client = scope.get("client")
            verdict = await self._passwords.ask(
                access.users, headers.get("authorization", ""), client[0] if client else ""
            )
            if verdict is Verdict.BUSY:
                return self._deny("busy", 429, "too many passwords are being checked", {"retry-after": "1"})
            if verdict is Verdict.NO:
                self._log_wrong(headers, client[0] if client else "")
                challenge = {"www-authenticate": 'Basic realm="driftd", charset="UTF-8"'}
                return self._deny("password", 401, "name and password are needed", challenge)
        is_change = scope["path"].startswith(ADMIN) or (scope["path"] in NOTES and scope["method"] == "POST")
        if is_change and is_from_a_page(headers):
            return self._deny("origin", 403, "not from a web page")
        return None

    def _deny(self, reason: str, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
        self.denied[reason] += 1
        return PlainTextResponse(f"{text}\n", status, headers)

    def _log_wrong(self, headers: Headers, client: str) -> None:
        """Log wrong passwords, now and then; not the name that was tried, as people type passwords there."""
        if "authorization" not in headers:
            return
        self._unlogged[client] += 1
        now_s = time.monotonic()
        if now_s - self._logged_s >= LOG_S:
            self._logged_s = now_s
            log.warning("http: wrong name or password", times=self._unlogged.total(), clients=len(self._unlogged))
            self._unlogged.clear()
        elif len(self._unlogged) > 1_000:
            self._unlogged = Counter({"": self._unlogged.total()})


class Rate:
    """A bucket of tokens: one comes in each interval, a burst of them is held at most."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._tokens = float("inf")
        self._at_s = steady()

    def admits(self, interval_s: float, burst: int) -> bool:
        """Take a token, where there is one. interval_s 0: there is no bound."""
        if not interval_s:
            return True
        now_s = self._steady()
        self._tokens = min(float(max(1, burst)), self._tokens + (now_s - self._at_s) / interval_s)
        self._at_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def has_certificate(access: Access, state: Mapping[str, object]) -> bool:
    """Tell whether the client showed the certificate that is asked for."""
    tls = access.tls
    if tls is None or tls.client_certificate != "required":
        return True
    names = state.get(PEER)
    if not isinstance(names, frozenset):
        return False
    return not tls.client_names or bool(names & set(tls.client_names))


def _is_body_allowed(scope: Scope, length: str) -> bool:
    """Tell whether a request may have a body of the length that it tells of."""
    is_note = scope["path"] in NOTES and scope["method"] == "POST"
    return length == "0" or (is_note and length.isdecimal() and int(length[:9]) <= NOTE_BYTES_MAX)


def is_from_a_page(headers: Headers) -> bool:
    """Tell whether a browser sent this on behalf of a page. None of ours does, so any such page is foreign."""
    return "origin" in headers or headers.get("sec-fetch-site", "none") != "none"
