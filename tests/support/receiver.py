"""An HTTP server that keeps what it is sent: the far end of webhooks, PagerDuty and Slack in tests."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_SHUTDOWN_POLL_S: Final = 0.01  # how soon `close` is noticed


@dataclass(frozen=True, slots=True)
class Request:
    """One request as received. headers: names in lower case; time: epoch seconds when its body was complete."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    time: float

    def json(self) -> Any:  # noqa: ANN401 - what a test makes of it is the test's business
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request is answered: after delay_s seconds, with this status, these headers and this body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


class Receiver:
    """Listens on a free port of 127.0.0.1 until closed, keeps every request, and answers 200 unless told otherwise.

    Each request is served on a thread of its own, so a slow answer holds back nobody else.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._answers: deque[Answer] = deque()
        self._default = Answer()
        self._closing = threading.Event()
        self._server = _server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_SHUTDOWN_POLL_S,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address, without a path and without a slash at its end; every path is taken."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[Request]:
        """What was received so far, oldest first."""
        with self._changed:
            return list(self._requests)

    def answer_next(self, *answers: Answer | int) -> None:
        """Answer the next requests with these, one each, in order, and later ones as before; a number is a status."""
        with self._changed:
            self._answers.extend(_answer(each) for each in answers)

    def answer_always(self, answer: Answer | int) -> None:
        """Answer every request with this, unless `answer_next` has something for it."""
        with self._changed:
            self._default = _answer(answer)

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[Request]:
        """Give the requests as soon as there are count of them. Raises TimeoutError after timeout_s seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= count, timeout_s):
                raise TimeoutError(f"{len(self._requests)} of {count} requests came within {timeout_s:g} s")
            return list(self._requests)

    def clear(self) -> None:
        """Forget what was received and what was to be answered."""
        with self._changed:
            self._requests.clear()
            self._answers.clear()
            self._default = Answer()

    def close(self) -> None:
        """Stop listening; slow answers under way are cut short."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, request: Request) -> Answer:
        with self._changed:
            self._requests.append(request)
            answer = self._answers.popleft() if self._answers else self._default
            self._changed.notify_all()
        return answer

    def _delay(self, delay_s: float) -> None:
        self._closing.wait(delay_s)


def _answer(answer: Answer | int) -> Answer:
    return Answer(status=answer) if isinstance(answer, int) else answer


def _server(receiver: Receiver) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections open, as real receivers do

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver._take(Request(self.command, self.path, headers, body, time.time()))
            receiver._delay(answer.delay_s)
            try:
                self._send(answer)
            except ConnectionError:  # the client gave up on a slow answer, as some tests want it to
                self.close_connection = True

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - the names that the standard library calls

        def log_message(self, *_: object) -> None:
            """Say nothing: the requests are kept, and standard error belongs to the test run."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server
