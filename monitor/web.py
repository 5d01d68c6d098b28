"""The built-in HTTP server: /metrics, /livez, /readyz, a small JSON status, and an index of these.

Everything is read from the last published snapshot, on a thread of its own; nothing can be changed through it. Pages
are made on one more thread, so a probe never waits for a scrape.
"""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor.errors import ConfigError
from monitor.exporter import SERIES_MAX, Exporter, ExporterTerms
from monitor.status import alerts_dict, one_alert_dict, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from monitor.domain import Snapshot
    from monitor.exporter import Encoding

TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
CONNECTIONS_MAX: Final = 128  # a few Prometheus servers, probes and people; more are told 503
BACKLOG: Final = 128
HEADER_BYTES_MAX: Final = 16_384
QUIET_S: Final = 30.0  # a connection on which nothing was answered for so long is closed, whatever it waits for
START_WAIT_S: Final = 5.0
STOP_ANSWERS_S: Final = 1  # for answers under way; uvicorn takes whole seconds
STOP_WAIT_S: Final = 2.0
OUTAGE_PATIENCE: Final = 4.0  # times progress_s: so long a stall is forgiven while the source reports errors

HEADERS: Final = (
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
)
"""On every answer that has none of its own: it shows numbers of this moment, to whoever asked, and loads nothing."""


@dataclass(frozen=True, slots=True)
class WebTerms:
    """Where to listen (port 0: any free one), and bounds. stall_s, progress_s: see Liveness. The rest: see exporter."""

    host: str = "127.0.0.1"
    port: int = 0
    stall_s: float = 60.0
    progress_s: float = 300.0
    render_s_min: float = 1.0
    label_series_max: int = SERIES_MAX


class WebServer:
    """Serves from `start` until `stop`. latest: gives the last snapshot, None before the first."""

    def __init__(
        self,
        latest: Callable[[], Snapshot | None],
        terms: WebTerms,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._terms = terms
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        exporter = Exporter(latest, ExporterTerms(terms.label_series_max, terms.render_s_min), is_busy=is_busy)
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(latest, exporter, Liveness(terms.stall_s, terms.progress_s)),
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS_MAX,
                backlog=BACKLOG,
                timeout_keep_alive=int(QUIET_S),
                timeout_graceful_shutdown=STOP_ANSWERS_S,
                h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            )
        )

    @property
    def port(self) -> int:
        """The port it listens on; the configured one before `start`."""
        return self._terms.port if self._socket is None else int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Listen and serve; returns once requests are answered. Called once. Raises ConfigError if it can't listen."""
        listening = _listen(self._terms.host, self._terms.port)
        self._socket = listening
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name="driftd-web", daemon=True)
        self._thread.start()
        deadline_s = time.monotonic() + START_WAIT_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline_s:
            time.sleep(0.001)
        if not self._server.started:
            raise ConfigError(f"http: the server did not start on {self._terms.host}, port {self.port}; see the log")

    def stop(self) -> None:
        """Stop listening and close every connection, within two seconds; more than once does nothing."""
        if self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(STOP_WAIT_S - 0.2)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(0.2)
        self._thread = None


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        is_any = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=is_any)
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError(
            f"http: can't listen on {host}, port {port}: {why}; set http.host and http.port to what is free here"
        ) from None


class BoundedProtocol(H11Protocol):
    """HTTP/1.1, where no connection stays for nothing.

    uvicorn bounds the time between requests only. A client that connects and says nothing, dribbles its headers or
    never reads its answer would hold a place for good, and enough of them would keep the probes out.
    """

    _sweep: asyncio.TimerHandle | None = None
    _answered = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start to watch the connection."""
        super().connection_made(transport)
        self._sweep = self.loop.call_later(QUIET_S, self._close_if_quiet, self._answered)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching it."""
        super().connection_lost(exc)
        if self._sweep is not None:
            self._sweep.cancel()

    def on_response_complete(self) -> None:
        """Note that it was of use."""
        self._answered += 1
        super().on_response_complete()

    def _close_if_quiet(self, answered_before: int) -> None:
        if self._answered == answered_before:
            self.transport.abort()
        else:
            self._sweep = self.loop.call_later(QUIET_S, self._close_if_quiet, self._answered)


# ---- probes


class Probe(NamedTuple):
    """What a probe is told, and why."""

    is_good: bool
    reason: str


class Liveness:
    """Whether restarting the process would help. It is asked at each probe, and remembers what the last ones saw.

    * The main loop must tick: a tick that is unchanged for stall_s by this class's own clock is a standstill. The wall
      clock in the snapshot is only compared with itself, so setting the clock neither kills nor saves anyone.
    * Every assigned partition with records waiting must move within progress_s; one may hang while others go on.
      A rebalance is no failure: partitions that come start at 0, those that went are not asked about.
      Nor is a broker that is down, which a restart won't mend: where the source reports errors, or knows no lag, that
      is waited out for OUTAGE_PATIENCE times as long. /readyz tells of it at once.
    * Before the first snapshot it is alive: restoring state takes as long as it takes.
    """

    def __init__(self, stall_s: float, progress_s: float, steady: Callable[[], float] = time.monotonic) -> None:
        self._stall_s = stall_s
        self._progress_s = progress_s
        self._steady = steady
        self._tick_wall_s = math.nan
        self._ticked_s = 0.0
        self._errors: int | None = None
        self._error_s = -math.inf

    def probe(self, snapshot: Snapshot | None) -> Probe:
        """Tell whether the process is alive. One thread at a time."""
        if snapshot is None:
            return Probe(is_good=True, reason="starting")
        now_s = self._steady()
        self._note(snapshot, now_s)
        quiet_s = now_s - self._ticked_s
        if quiet_s > self._stall_s:
            return Probe(is_good=False, reason=f"main loop: no tick for {quiet_s:.0f} s (limit {self._stall_s:g} s)")
        has_errors = now_s - self._error_s <= self._progress_s
        limit_s = self._progress_s * (OUTAGE_PATIENCE if has_errors else 1.0)
        for status in snapshot.partitions:
            if status.lag_records and status.stalled_s > limit_s:
                where = f"{status.source.topic}/{status.source.partition}"
                told = (
                    f"{status.lag_records} records wait, none read for {status.stalled_s:.0f} s (limit {limit_s:g} s)"
                )
                return Probe(is_good=False, reason=f"partition {where}: {told}")
        return Probe(is_good=True, reason="ok")

    def _note(self, snapshot: Snapshot, now_s: float) -> None:
        if snapshot.tick_wall_s != self._tick_wall_s:
            self._tick_wall_s, self._ticked_s = snapshot.tick_wall_s, now_s
        errors = sum(snapshot.source_errors.values())
        if self._errors is not None and errors > self._errors:  # when the first ones were can't be told
            self._error_s = now_s
        self._errors = errors


def readiness(snapshot: Snapshot | None, liveness: Probe) -> Probe:
    """Tell whether its numbers may be relied upon: the loop says so, and is alive to say so."""
    if snapshot is None:
        return Probe(is_good=False, reason="starting: no numbers yet")
    if not snapshot.is_ready:
        return Probe(is_good=False, reason=snapshot.not_ready_because or "not ready")
    return liveness


# ---- pages


def application(latest: Callable[[], Snapshot | None], exporter: Exporter, liveness: Liveness) -> Starlette:
    """Give the ASGI application. exporter: called on another thread, by one request at a time."""
    scraping = asyncio.Lock()

    async def metrics(request: Request) -> Response:
        encoding: Encoding = "gzip" if _accepts_gzip(request.headers.get("accept-encoding", "")) else "identity"
        async with scraping:
            page = await run_in_threadpool(exporter.page, encoding)
        headers = {"content-type": TEXT_FORMAT, "vary": "accept-encoding"}
        return Response(page, headers=headers | ({"content-encoding": encoding} if encoding != "identity" else {}))

    async def livez(_: Request) -> Response:
        return _answer(liveness.probe(latest()))

    async def readyz(_: Request) -> Response:
        snapshot = latest()
        return _answer(readiness(snapshot, liveness.probe(snapshot)))

    async def status(request: Request) -> Response:
        snapshot, model = latest(), request.query_params.get("model")
        told = {"ready": False, "not_ready_because": "starting"} if snapshot is None else status_of(snapshot, model)
        return _json(told)

    async def alerts(request: Request) -> Response:
        snapshot, model = latest(), request.query_params.get("model")
        return _json({"alerts_count": 0, "alerts": []} if snapshot is None else alerts_dict(snapshot, model))

    async def alert(request: Request) -> Response:
        snapshot, key = latest(), request.path_params["dedup_key"]
        told = None if snapshot is None else one_alert_dict(snapshot, key)
        return _json({"error": "no such alert is active or ended lately"}, 404) if told is None else _json(told)

    async def index(_: Request) -> Response:
        return HTMLResponse(_INDEX)

    pages = {"/": index, "/metrics": metrics, "/livez": livez, "/readyz": readyz, "/api/v1/status": status}
    pages |= {"/api/v1/alerts": alerts, "/api/v1/alerts/{dedup_key}": alert}
    app = Starlette(
        routes=[Route(path, page, methods=["GET"]) for path, page in pages.items()],  # GET brings HEAD along
        middleware=[Middleware(_SafeHeaders)],
    )
    app.router.redirect_slashes = False  # /metrics/ is a mistake to be told, not to be followed
    return app


def _json(told: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(told), status, media_type="application/json")


def _answer(probe: Probe) -> Response:
    return PlainTextResponse(f"{probe.reason}\n", 200 if probe.is_good else 503)


def _accepts_gzip(header: str) -> bool:
    for each in header.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        if name == "gzip":
            return not any(part.replace(" ", "").rstrip("0.") == "q=" for part in parameters)
    return False


class _SafeHeaders:
    """Adds HEADERS to every answer that does not say otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS:
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_safely)


_INDEX: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>driftd</title>
<h1>driftd</h1>
<ul>
<li><a href="/metrics">/metrics</a>: all numbers, for Prometheus
<li><a href="/api/v1/status">/api/v1/status</a>: models, alerts and partitions, as JSON
<li><a href="/api/v1/alerts">/api/v1/alerts</a>: alerts in full, those that ended lately too, as JSON
<li><a href="/livez">/livez</a>: whether it runs
<li><a href="/readyz">/readyz</a>: whether its numbers may be relied upon
</ul>
</html>
"""
