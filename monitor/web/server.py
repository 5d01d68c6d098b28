"""The server itself: one thread with an event loop, connections that are bounded in number and time."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor.errors import ConfigError
from monitor.exporter import Exporter, ExporterTerms
from monitor.metrics import AccessStatus
from monitor.web.doorkeeper import PEER, Doorkeeper
from monitor.web.live import Live
from monitor.web.pages import application
from monitor.web.probes import Liveness
from monitor.web.tls import LiveContext, names_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from monitor.domain import Snapshot
    from monitor.web.terms import AccessFile, Notes, WebTerms

CONNECTIONS_MAX: Final = 128  # a few Prometheus servers, probes and people; beyond that the oldest makes room
BACKLOG: Final = 128
HEADER_BYTES_MAX: Final = 16_384
QUIET_S: Final = 30.0  # a connection on which nothing was answered for so long is closed, whatever it waits for
HANDSHAKE_S: Final = 10.0
GOODBYE_S: Final = 0.5  # for the other side's goodbye at the end of a TLS connection
START_WAIT_S: Final = 5.0
STOP_ANSWERS_S: Final = 1  # for answers under way; uvicorn takes whole seconds
STOP_WAIT_S: Final = 2.0


class WebServer:
    """Serves from `start` until `stop`.

    latest: gives the last snapshot, None before the first. is_busy: whether the loop is at work; see Exporter. access:
    the file that says who may come in; None: everyone who can connect. reload: reads the configuration anew and gives
    what is wrong with it, None if nothing; called at POST /-/reload, on a thread of its own, one call at a time; None:
    that is refused. notes: where annotations are kept, None: nowhere. standing: how long the loop has stood still; see
    Liveness.

    Raises ConfigError where the file of access can't be used.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that may be seen or asked for, most of them optional
        self,
        latest: Callable[[], Snapshot | None],
        terms: WebTerms,
        is_busy: Callable[[], bool] = lambda: False,
        *,
        access: AccessFile | None = None,
        reload: Callable[[], str | None] | None = None,
        notes: Notes | None = None,
        standing: Callable[[], float] | None = None,
    ) -> None:
        self._terms = terms
        self._door: Door | None = None
        self._thread: threading.Thread | None = None
        self._live = Live(access, are_probes_open=terms.are_probes_open)
        exporter = Exporter(
            latest, ExporterTerms(terms.label_series_max, terms.render_s_min), is_busy=is_busy, access=self._status
        )
        liveness = Liveness(terms.stall_s, terms.progress_s, standing=standing)
        pages = application(latest, exporter, liveness, reload, notes)
        self._doorkeeper = Doorkeeper(pages, self._live, are_probes_open=terms.are_probes_open)
        self._server = _Server(self._config())

    @property
    def port(self) -> int:
        """The port it listens on; the configured one before `start`."""
        return self._terms.port if self._door is None else int(self._door.getsockname()[1])

    @property
    def scheme(self) -> str:
        """How it is spoken to: http or https."""
        return "https" if self._live.is_tls else "http"

    def start(self) -> None:
        """Listen and serve; returns once requests are answered. Called once. Raises ConfigError if it can't listen."""
        self._live.warn_of_plain_passwords(self._terms.host)
        self._door = self._server.door = Door(_listen(self._terms.host, self._terms.port))
        self._thread = threading.Thread(target=self._server.run, args=([self._door],), name="driftd-web", daemon=True)
        self._thread.start()
        deadline_s = time.monotonic() + START_WAIT_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline_s:
            time.sleep(0.001)
        if not self._server.started:
            where = f"{self._terms.host}, port {self._terms.port}"
            raise ConfigError(f"http: the server did not start on {where}; see the log")

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

    def _status(self) -> AccessStatus:
        return AccessStatus(self._live.is_good, self._doorkeeper.denied)

    def _config(self) -> uvicorn.Config:
        live = self._live
        return _Config(
            self._doorkeeper,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=int(QUIET_S),
            timeout_graceful_shutdown=STOP_ANSWERS_S,
            h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            ssl_context_factory=(lambda _, __: LiveContext.of(live.context)) if live.is_tls else None,
        )


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


class Door(socket.socket):
    """A listening socket that lets in so many at once: for one more, the oldest must go.

    So whoever opens connections and says nothing, in a TLS handshake too, neither uses up the process's files nor
    keeps the probes out.
    """

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.family, listening.type, listening.proto, listening.detach())
        self._inside: deque[socket.socket] = deque()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        near, address = super().accept()
        self._inside = deque(each for each in self._inside if each.fileno() >= 0)
        if len(self._inside) >= CONNECTIONS_MAX:
            _hang_up(self._inside.popleft())
        self._inside.append(near)
        return near, address

    def empty(self) -> None:
        """Hang up on all."""
        for each in self._inside:
            _hang_up(each)


def _hang_up(connection: socket.socket) -> None:
    """End it for both sides; the event loop, whose it is, sees that and closes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's own, with bounds on the beginning and the end of TLS that uvicorn has no options for."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:  # noqa: ANN401 - passed on as it came
        if options.get("ssl") is not None:
            options |= {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": GOODBYE_S}
        return await super().create_server(*args, **options)


class _Config(uvicorn.Config):
    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        return _Loop


class _Server(uvicorn.Server):
    door: Door | None = None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop in good order, then hang up on those in a handshake, of whom uvicorn does not know."""
        await super().shutdown(sockets)
        if self.door is not None:
            self.door.empty()
        for _ in range(3):  # turns of the loop, to close what was hung up
            await asyncio.sleep(0)


class BoundedProtocol(H11Protocol):
    """HTTP/1.1, where no connection stays for nothing.

    uvicorn bounds the time between requests only. A client that connects and says nothing, dribbles its headers or
    never reads its answer would hold a place for good.
    """

    _sweep: asyncio.TimerHandle | None = None
    _answered = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start to watch the connection, and note whose it is."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, PEER: names_in(transport.get_extra_info("peercert"))}
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
