"""A daemon as a process: put together, under signals, until it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from monitor import build
from monitor.app import App
from monitor.board import Board
from monitor.collector import stop_the_collector
from monitor.config import Settings

if TYPE_CHECKING:
    from monitor.web import WebServer


def run_daemon(make: Callable[..., tuple[App, WebServer]], settings: Settings, load: Callable[[], Settings]) -> None:
    """Run what `make` gives until it is told to stop. load: reads the configuration anew. Raises DriftdError."""
    build.check_kafka(settings)
    stop_the_collector()  # until the loop begins
    app, server = make(settings, Board(), load=load)
    _on_signals(app.stop, app.reloads.signal)
    app.run(server)


def _on_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Stop in good order at the first signal, at once at the second; read the configuration anew at a hang-up."""

    def first(number: int, _: object) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda n, _: os._exit(128 + n))
        sys.stderr.write(f"driftd: {signal.Signals(number).name}: stopping in good order; once more to stop at once\n")
        stop()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, first)
    signal.signal(signal.SIGHUP, lambda _, __: reload())
