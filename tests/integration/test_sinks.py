"""Delivery and its sinks against a real Alertmanager and a receiver that misbehaves, over real sockets."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import pytest
from pydantic import SecretStr

from monitor.delivery import Delivery
from monitor.domain import AlertState, Band, Severity
from monitor.sinks.alertmanager import AlertmanagerParams, make_alertmanager
from monitor.sinks.http import HttpParams
from monitor.sinks.message import describe
from monitor.sinks.webhook import WebhookParams, WebhookSink
from tests.support.receiver import Answer, Receiver
from tests.unit.sinks.examples import alert, transition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from monitor.domain import Alert
    from monitor.sinks.base import Sink
    from tests.support.alertmanager import Alertmanager

pytestmark = pytest.mark.integration

FIRING, RESOLVED, PENDING = AlertState.FIRING, AlertState.RESOLVED, AlertState.PENDING
SECRET: Final = "a secret shared with the receiver"
HERE: Final = HttpParams(allow_internal=True)
"""Receivers of tests are on this machine."""


class AlertmanagerFactory(Protocol):
    def __call__(self, webhook_url: str, *, group_by: Sequence[str] = ...) -> Alertmanager: ...


class Gate:
    """A port of its own that leads to another one, and can be shut and opened again: an outage without a restart."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self._accept()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._accept()

    def shut(self) -> None:
        for each in (self._listener, *list(self._open)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open |= {near, far}
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open -= {source, target}


@contextlib.contextmanager
def _delivering(*sinks: Sink) -> Iterator[Delivery]:
    delivery = Delivery(sinks)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.close()


def _alertmanager(*urls: str, resend_s: float = 60.0) -> Sequence[Sink]:
    return make_alertmanager("pager", AlertmanagerParams(urls, resend_s=resend_s, timeout_s=5.0))


def _webhook(url: str, timeout_s: float = 5.0) -> Sink:
    return WebhookSink("hook", WebhookParams(SecretStr(f"{url}/hook"), SecretStr(SECRET), timeout_s, http=HERE))


def _now(state: AlertState, *, name: str = "a", severity: Severity = Severity.SEV3) -> Alert:
    """An alert whose times are near the present, as a real Alertmanager wants them."""
    now_s = time.time()
    return alert(
        name,
        state,
        severity=severity,
        band=Band.RED if severity is Severity.SEV1 else Band.YELLOW,
        since_s=now_s - 200,
        pending_s=now_s - 130,
        firing_s=None if state is PENDING else now_s - 100,
        resolved_s=now_s - 1 if state is RESOLVED else None,
    )


def _offer(delivery: Delivery, told: Alert, *, before: AlertState | None = None) -> None:
    now_s = time.time()
    delivery.offer([transition(told, at_s=now_s, before=before or "usual")], now_s)


def _wait_until(is_met: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_met():
        assert time.monotonic() < deadline_s, "did not happen in time"
        time.sleep(0.02)


def _pages(receiver: Receiver) -> list[tuple[str, str]]:
    """What Alertmanager sent on: status and severity of each alert, in order."""
    return [
        (each["status"], each["labels"]["severity"])
        for request in receiver.requests
        for each in request.json()["alerts"]
    ]


class TestAlertmanager:
    def test_fires_escalates_and_resolves(self, alertmanager_factory: AlertmanagerFactory, receiver: Receiver) -> None:
        manager = alertmanager_factory(receiver.url, group_by=["severity"])
        with _delivering(*_alertmanager(manager.url)) as delivery:
            _offer(delivery, _now(PENDING))
            fired = _now(FIRING)
            _offer(delivery, fired)
            (held,) = manager.wait_for_alerts(1)
            labels, annotations = describe(fired)
            assert (held["labels"], held["annotations"]) == (labels, annotations)
            _wait_until(lambda: _pages(receiver) == [("firing", "sev3")])

            _offer(delivery, _now(FIRING, severity=Severity.SEV1), before=FIRING)
            _wait_until(lambda: {("firing", "sev1"), ("resolved", "sev3")} <= set(_pages(receiver)))
            (held,) = manager.wait_for_alerts(1)
            assert held["labels"] == {**labels, "severity": "sev1"}

            _offer(delivery, _now(RESOLVED, severity=Severity.SEV1))
            _wait_until(lambda: ("resolved", "sev1") in _pages(receiver))
            manager.wait_for_alerts(0)
            assert delivery.status()[0].is_healthy
            assert delivery.status()[0].delivered == 3
        assert sorted(set(_pages(receiver))) == [
            ("firing", "sev1"),
            ("firing", "sev3"),
            ("resolved", "sev1"),
            ("resolved", "sev3"),
        ]

    def test_repeats_keep_an_alert_firing_and_silence_ends_it(
        self, alertmanager_factory: AlertmanagerFactory, receiver: Receiver
    ) -> None:
        """Repeated each second, the end is four seconds ahead; when driftd is gone, the alert ends by itself."""
        manager = alertmanager_factory(receiver.url)
        with _delivering(*_alertmanager(manager.url, resend_s=1.0)) as delivery:
            _offer(delivery, _now(FIRING))
            manager.wait_for_alerts(1)
            time.sleep(5.5)
            assert len(manager.alerts()) == 1
        manager.wait_for_alerts(0, timeout_s=8.0)
        _wait_until(lambda: _pages(receiver) == [("firing", "sev3"), ("resolved", "sev3")])

    def test_outage_of_one_replica_holds_back_neither_the_other_nor_the_news(
        self, alertmanager_factory: AlertmanagerFactory, receiver: Receiver
    ) -> None:
        managers = [alertmanager_factory(receiver.url) for _ in range(2)]
        with Gate(managers[0].port) as gate:
            gate.shut()
            with _delivering(*_alertmanager(gate.url, managers[1].url)) as delivery:
                _offer(delivery, _now(FIRING))
                managers[1].wait_for_alerts(1, timeout_s=5.0)
                _wait_until(lambda: delivery.status()[0].failed.get("unreachable", 0) >= 1)
                _wait_until(lambda: delivery.status()[1].delivered == 1)  # it has it before it is noted here
                down, up = delivery.status()
                assert (down.queued, down.is_healthy) == (1, False)
                assert (up.queued, up.is_healthy, up.delivered) == (0, True, 1)
                assert managers[0].alerts() == []

                gate.open()
                managers[0].wait_for_alerts(1)
                _wait_until(lambda: delivery.status()[0].is_healthy)
                assert [each.delivered for each in delivery.status()] == [1, 1]

    def test_takes_many_alerts_and_hostile_names(
        self, alertmanager_factory: AlertmanagerFactory, receiver: Receiver
    ) -> None:
        names = [f"n{index}" for index in range(150)]
        names += ['quote"brace}', "line\nbreak", "größe 漢字", "x" * 2000, "\ud800", "\u202etxt"]
        manager = alertmanager_factory(receiver.url)
        with _delivering(*_alertmanager(manager.url)) as delivery:
            for name in names:
                _offer(delivery, _now(FIRING, name=name))
            manager.wait_for_alerts(len(names))
            assert delivery.status()[0].failed == {}


class TestWebhook:
    def test_message_is_signed_and_id_stays_over_retries(self, receiver: Receiver) -> None:
        receiver.answer_next(500)
        with _delivering(_webhook(receiver.url)) as delivery:
            _offer(delivery, _now(FIRING))
            first, second = receiver.wait_for(2)
            _wait_until(lambda: delivery.status()[0].delivered == 1)

        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        for request in (first, second):
            content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
            digest = hmac.new(SECRET.encode(), content, hashlib.sha256).digest()
            assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
            assert abs(int(request.headers["webhook-timestamp"]) - request.time) < 5
        assert delivery.status()[0].failed == {"server_error": 1}

    def test_retry_after_is_honoured(self, receiver: Receiver) -> None:
        receiver.answer_next(Answer(429, headers={"Retry-After": "2"}))
        with _delivering(_webhook(receiver.url)) as delivery:
            _offer(delivery, _now(FIRING))
            first, second = receiver.wait_for(2)

        assert 1.9 < second.time - first.time < 4.0

    def test_refused_is_not_retried_and_the_next_state_is_told(self, receiver: Receiver) -> None:
        receiver.answer_next(400)
        with _delivering(_webhook(receiver.url)) as delivery:
            _offer(delivery, _now(FIRING))
            _wait_until(lambda: delivery.status()[0].failed == {"client_error": 1})
            time.sleep(1.5)  # longer than the first back-off
            assert len(receiver.requests) == 1
            _offer(delivery, _now(RESOLVED))
            told: Any = receiver.wait_for(2)[1].json()

        assert told["status"] == "resolved"

    def test_slow_receiver_slows_neither_offer_nor_other_sinks(self, receiver: Receiver) -> None:
        receiver.answer_always(Answer(delay_s=3.0))
        with Receiver() as quick, _delivering(_webhook(receiver.url), _webhook(quick.url)) as delivery:
            started_s = time.monotonic()
            for index in range(100):
                _offer(delivery, _now(FIRING, name=str(index)))
            assert time.monotonic() - started_s < 1.0
            quick.wait_for(100)
            slow = delivery.status()[0]

        assert slow.queued >= 98
        assert slow.oldest_s > 0

    def test_drain_tells_what_waits_before_the_end(self, receiver: Receiver) -> None:
        receiver.answer_next(503)
        with _delivering(_webhook(receiver.url)) as delivery:
            _offer(delivery, _now(FIRING))
            receiver.wait_for(1)
            _wait_until(lambda: not delivery.status()[0].is_healthy)
            started_s = time.monotonic()
            assert delivery.drain(5.0) == 0

        assert time.monotonic() - started_s < 0.5
        assert len(receiver.requests) == 2
