"""driftd's own alerts through real delivery, and its heartbeat to a real switch, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from monitor.delivery import Delivery
from monitor.heartbeat import Heartbeat, HeartbeatTerms, Refused, ask, send
from monitor.selfwatch import SelfTerms, SelfWatch
from monitor.sinks.http import HttpParams
from monitor.sinks.webhook import WebhookParams, WebhookSink
from tests.support.receiver import Answer, Receiver
from tests.unit.test_heartbeat import GOOD
from tests.unit.test_selfwatch import World

pytestmark = pytest.mark.integration

HERE = HttpParams(allow_internal=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


def terms(url: str, timeout_s: float = 2.0) -> HeartbeatTerms:
    return HeartbeatTerms(SecretStr(f"{url}/secret-token"), interval_s=60.0, timeout_s=timeout_s)


class Dribbler:
    """Answers each request a byte at a time, for ever: each wait is short, the whole is not."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._closing.set()
        self._listener.close()

    def _serve(self) -> None:
        try:
            while True:
                self._answer(self._listener.accept()[0])
        except OSError:
            pass

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(4096)
            for byte in b"HTTP/1.1 200 OK\r\n" + b"x-slow: " + b"a" * 10_000:
                if self._closing.wait(0.1):
                    return
                connection.sendall(bytes([byte]))


def test_a_beat_is_one_plain_request(receiver: Receiver) -> None:
    send(terms(receiver.url))

    (request,) = receiver.requests
    assert ("GET", "/secret-token", b"") == (request.method, request.path, request.body)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(302, headers={"Location": "/elsewhere"}), "status_3xx"),
        (Answer(404), "status_4xx"),
        (Answer(503), "status_5xx"),
        (Answer(delay_s=30.0), "timeout"),
    ],
)
def test_what_is_no_yes_is_refused_and_no_redirect_is_followed(receiver: Receiver, answer: Answer, reason: str) -> None:
    receiver.answer_always(answer)
    began_s = time.monotonic()

    with pytest.raises(Refused, match=f"^{reason}$") as found:
        send(terms(receiver.url, timeout_s=1.0))

    assert time.monotonic() - began_s < 5.0
    assert 1 == len(receiver.requests)
    assert "secret" not in str(found.value)


def test_an_attempt_is_bounded_as_a_whole() -> None:
    """A switch that sends a byte now and then must not hold a beat for ever."""
    dribbler = Dribbler()
    began_s = time.monotonic()
    try:
        with pytest.raises(Refused, match=r"^timeout$"):
            asyncio.run(ask(terms(dribbler.url, timeout_s=1.0)))
    finally:
        dribbler.close()

    assert time.monotonic() - began_s < 4.0


def test_nobody_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(Refused, match=r"^unreachable$"):
        send(terms(f"http://127.0.0.1:{port}"))


def test_certificates_are_checked(receiver: Receiver) -> None:
    """A switch that does not speak TLS at all is refused too, rather than asked without."""
    with pytest.raises(Refused, match=r"^unreachable$"):
        send(terms(receiver.url.replace("http://", "https://")))

    assert [] == receiver.requests


def test_the_thread_beats_while_work_is_done_and_stops_when_it_is_not(receiver: Receiver) -> None:
    shown = GOOD
    heart = Heartbeat(lambda: shown, replace(terms(receiver.url), interval_s=0.05))
    heart.start()
    try:
        deadline_s = time.monotonic() + 10.0
        while len(receiver.requests) < 3 and time.monotonic() < deadline_s:
            shown = replace(shown, tick_wall_s=shown.tick_wall_s + 1.0)
            time.sleep(0.02)
        assert len(receiver.requests) >= 3
        while heart.status().withheld_because != "the main loop stands still" and time.monotonic() < deadline_s:
            time.sleep(0.02)
        beaten = len(receiver.requests)
        time.sleep(0.5)
        assert beaten == len(receiver.requests)
    finally:
        began_s = time.monotonic()
        heart.stop()
        heart.stop()
    assert time.monotonic() - began_s < 3.0


def test_a_receiver_that_is_down_is_told_of_to_the_others_and_to_itself_once_it_is_back() -> None:
    with Receiver() as well, Receiver() as ill:
        sinks = [
            WebhookSink(name, WebhookParams(url=SecretStr(r.url), http=HERE))
            for name, r in (("well", well), ("ill", ill))
        ]
        delivery, watch, world = Delivery(sinks), SelfWatch(SelfTerms(receiver_down_s=30.0)), World()
        delivery.start()
        try:

            def turn(seconds: float) -> None:
                world.now_s += seconds
                world.traffic()
                world.sinks = {status.name: status for status in delivery.status()}
                delivery.offer(watch.advance(world.snapshot(), world.watched), time.time())

            def wait(requests: Receiver, rules: set[tuple[str, str]]) -> None:
                deadline_s = time.monotonic() + 20.0
                while told(requests) != rules and time.monotonic() < deadline_s:
                    time.sleep(0.05)
                assert rules == told(requests)

            turn(1.0)
            ill.answer_always(503)
            world.reload = replace(world.reload, is_good=False)
            turn(1.0)
            wait(well, {("driftd-reload", "firing")})
            for _ in range(4):
                time.sleep(0.1)
                turn(10.0)
            wait(well, {("driftd-reload", "firing"), ("driftd-receiver", "firing")})
            ill.clear()
            wait(ill, {("driftd-reload", "firing"), ("driftd-receiver", "firing")})
            for _ in range(30):
                turn(10.0)
            wait(well, {("driftd-reload", "firing"), ("driftd-receiver", "firing"), ("driftd-receiver", "resolved")})
            wait(ill, {("driftd-reload", "firing"), ("driftd-receiver", "firing"), ("driftd-receiver", "resolved")})
        finally:
            delivery.close()


def told(receiver: Receiver) -> set[tuple[str, str]]:
    """Give rules and the states in which they were told."""
    found = [each.json() for each in receiver.requests]
    return {(one["commonLabels"]["alertname"], one["status"]) for one in found}
