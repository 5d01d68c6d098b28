"""A small webhook receiver on localhost: what the on-call person's tool would get."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

BODY_BYTES_MAX: Final = 1 << 20


class AlertReceiver:
    """Listens on a free port for notifications.

    Calls `take` with each alert of each notification and when it came, in the server's threads.
    """

    def __init__(self, take: Callable[[dict[str, Any], float], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = min(int(self.headers.get("Content-Length", 0)), BODY_BYTES_MAX)
                for alert in json.loads(self.rfile.read(size)).get("alerts", ()):
                    take(alert, time.time())
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where to send notifications."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
