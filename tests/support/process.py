"""Programs that tests start: on ports of their own, ready before they are used, stopped by their own process id."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

_POLL_S = 0.05  # short beside every start we wait for, long beside one check
_LOG_TAIL_LINES = 40  # enough for a Java stack trace with its cause
# Below the range from which systems give out ports of clients (32768 and up on Linux, 49152 on macOS): a client that
# tries to reach a stopped server there could be given the server's own port and connect to itself.
_PORTS = range(20_000, 32_000)
_PORT_TRIES_MAX = 200


class Unavailable(Exception):  # noqa: N818 - not an error: this machine lacks the part, and the message says what
    """The part can't be had on this machine."""


class Process:
    """A program started by a test, with its output in a file.

    The program is ended by `stop` or at the end of a `with`; it is in a session of its own, so that a Ctrl-C at the
    terminal reaches the test run and not the program, which is then stopped in order.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.poll() is None

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Return when is_ready() says so. Raises RuntimeError with its log where it ends, or is stopped as too late."""
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if not self.is_running:
                raise RuntimeError(f"{self.name} ended with code {self._child.returncode} {self._log_tail()}")
            if time.monotonic() > deadline:
                said = self._log_tail()  # before what it says about being stopped
                self.stop()
                raise RuntimeError(f"{self.name} was not ready after {timeout_s:g} s {said}")
            time.sleep(_POLL_S)

    def stop(self, timeout_s: float = 10.0) -> None:
        """End it with SIGTERM, and with SIGKILL where it still runs after timeout_s; more than once does nothing."""
        if self.is_running:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """End it at once with SIGKILL, as a crash would."""
        if self.is_running:
            self._child.kill()
        self._child.wait()

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join([f"(end of {self.log}):", *lines])


def free_ports(count: int) -> list[int]:
    """Give distinct ports of 127.0.0.1 on which nothing listens now. Nothing holds them until the caller binds them."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for port in random.SystemRandom().sample(_PORTS, _PORT_TRIES_MAX):
            candidate = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                candidate.bind(("127.0.0.1", port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise RuntimeError(f"found only {len(ports)} of {count} free ports in {_PORTS.start} to {_PORTS.stop - 1}")


def accepts_connections(port: int) -> bool:
    """Say whether something listens on this port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
