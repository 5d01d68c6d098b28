from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import httpcore2
import pytest
import trustme
from pydantic import SecretStr

from monitor.errors import SinkError
from monitor.sinks import addresses
from monitor.sinks.addresses import GuardedBackend, why_internal
from monitor.sinks.alertmanager import AlertmanagerParams
from monitor.sinks.http import HttpParams, Poster, check_target
from monitor.sinks.webhook import WebhookParams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.receiver import Receiver

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("169.254.169.254", "link-local"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("localhost", "loopback"),
        ("LocalHost.", "loopback"),
        ("a.localhost", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "multicast"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        # others that carry one of these
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("2001:0:7f00:1::", "loopback"),
    ],
)
def test_internal_addresses_are_told(host: str, kind: str) -> None:
    assert kind in why_internal(host)


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "8.8.8.8", "2606:4700::1", "example.com", ""],
)
def test_private_and_public_ones_are_where_receivers_live(host: str) -> None:
    assert "" == why_internal(host)


def test_loopback_alone_may_be_allowed() -> None:
    assert [""] * 3 == [why_internal(host, is_loopback_allowed=True) for host in ("127.0.0.1", "::1", "localhost")]
    assert why_internal("169.254.169.254", is_loopback_allowed=True)
    assert why_internal("::ffff:169.254.169.254", is_loopback_allowed=True)


# ---- in the configuration


def test_an_address_in_the_configuration_is_refused_at_once_and_says_the_cure() -> None:
    for url in ("http://127.0.0.1/hook", "https://localhost:8443/", "http://169.254.169.254/", "http://[::1]:9/"):
        with pytest.raises(ValueError, match=r"url must not be .*http\.allowed_hosts.*http\.allow_internal"):
            WebhookParams(SecretStr(url))
        WebhookParams(SecretStr(url), http=HttpParams(allow_internal=True))


def test_hosts_may_be_allowed_one_by_one() -> None:
    params = HttpParams(allowed_hosts=["LocalHost", "127.0.0.1"])

    WebhookParams(SecretStr("http://localhost/"), http=params)
    WebhookParams(SecretStr("http://127.0.0.1/"), http=params)
    with pytest.raises(ValueError, match="loopback"):
        WebhookParams(SecretStr("http://127.0.0.2/"), http=params)


def test_an_alertmanager_may_be_on_this_machine_and_not_at_the_clouds_metadata() -> None:
    AlertmanagerParams(("http://localhost:9093", "http://127.0.0.1:9094"))
    with pytest.raises(ValueError, match=r"urls\[0\] must not be a link-local"):
        AlertmanagerParams(("http://169.254.169.254",))


# ---- when connecting


def _resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have names resolve to these addresses, one answer after the other; gives the names that were asked for."""
    asked: list[str] = []
    left = list(answers)

    def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(addresses, "addresses_of", resolve)
    return asked


def _failure(url: str, params: HttpParams | None = None) -> SinkError:
    poster = Poster(url, 2.0, params or HttpParams())
    with pytest.raises(SinkError) as raised:
        poster.post(b"{}", {}, NOW_S)
    poster.close()
    return raised.value


def test_a_name_that_leads_inside_is_not_connected_to(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    port = receiver.url.rpartition(":")[2]
    _resolving(monkeypatch, ["127.0.0.1"])
    check_target(f"http://receiver.example:{port}/", "url", HttpParams())  # the name alone tells nothing

    error = _failure(f"http://receiver.example:{port}/")

    assert ("unreachable", True) == (error.reason, error.is_retryable)
    assert "its address is 127.0.0.1, a loopback address; http.allowed_hosts" in str(error)
    assert [] == receiver.requests


def test_allowed_hosts_go_by_the_name(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    port = receiver.url.rpartition(":")[2]
    _resolving(monkeypatch, ["127.0.0.1"])
    params = HttpParams(allowed_hosts=["receiver.example"])
    poster = Poster(f"http://receiver.example:{port}/hook", 2.0, params)
    poster.post(b"{}", {}, NOW_S)
    poster.close()

    assert f"receiver.example:{port}" == receiver.requests[0].headers["host"]
    assert "loopback" in str(_failure(f"http://other.example:{port}/", params))


def test_the_name_server_is_asked_once_and_what_passed_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second answer could be another: that is how a look at the first is got around."""
    asked = _resolving(monkeypatch, ["192.0.2.1"], ["127.0.0.1"])
    connected: list[object] = []

    def connect(self: object, host: str, *_: object) -> httpcore2.NetworkStream:
        connected.append(host)
        raise httpcore2.ConnectError("nobody there")

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", connect)
    _failure("http://receiver.example/")

    assert (["receiver.example"], ["192.0.2.1"]) == (asked, connected)


def test_of_several_addresses_those_inside_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[object] = []

    def connect(self: object, host: str, *_: object) -> httpcore2.NetworkStream:
        connected.append(host)
        raise httpcore2.ConnectError("nobody there")

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", connect)
    backend = GuardedBackend(lambda _: False, resolve=lambda _, __: ["127.0.0.1", "10.0.0.1", "::1", "10.0.0.2"])
    with pytest.raises(httpcore2.ConnectError, match="nobody there"):
        backend.connect_tcp("receiver.example", 80)

    assert ["10.0.0.1", "10.0.0.2"] == connected


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1"])
def test_odd_ways_to_write_an_address_lead_nowhere(receiver: Receiver, host: str) -> None:
    port = receiver.url.rpartition(":")[2]

    with contextlib.suppress(ValueError):  # refused in the configuration, or else when connecting
        check_target(f"http://{host}:{port}/", "url", HttpParams())
        assert _failure(f"http://{host}:{port}/").reason == "unreachable"
    assert [] == receiver.requests


def test_a_name_that_does_not_exist_is_unreachable() -> None:
    assert "unreachable" == _failure("http://no-such-host.invalid/").reason


# ---- TLS goes by the name


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve_tls(authority: trustme.CA) -> Iterator[Callable[..., int]]:
    """Serves 204 to each connection, with a certificate of these names; keeps what name the client asked for."""
    with contextlib.ExitStack() as stack:

        def start(*names: str, seen: list[str | None] | None = None, client_ca: trustme.CA | None = None) -> int:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert(*names).configure_cert(context)
            if client_ca is not None:
                client_ca.configure_trust(context)
                context.verify_mode = ssl.CERT_REQUIRED
            if seen is not None:
                context.sni_callback = lambda _, name, __: seen.append(name)
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            threading.Thread(target=_answer_all, args=(listening, context), daemon=True).start()
            return int(listening.getsockname()[1])

        yield start


def _answer_all(listening: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            plain, _ = listening.accept()
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as wrapped:
                received = b""
                while not received.endswith(b"{}"):
                    received += wrapped.recv(65_536) or b"{}"
                wrapped.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


def test_certificate_and_sni_go_by_the_name_though_an_address_is_connected_to(
    serve_tls: Callable[..., int], authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str | None] = []
    port = serve_tls("receiver.example", seen=seen)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    _resolving(monkeypatch, ["127.0.0.1"])
    params = HttpParams(ca_file=tmp_path / "ca.pem", allow_internal=True)
    poster = Poster(f"https://receiver.example:{port}/", 2.0, params)
    poster.post(b"{}", {}, NOW_S)
    poster.close()

    assert ["receiver.example"] == seen
    assert "certificate verify failed" in str(_failure(f"https://other.example:{port}/", params))
    assert "certificate verify failed" in str(
        _failure(f"https://receiver.example:{port}/", HttpParams(allow_internal=True))
    )


def test_our_own_certificate_is_read_anew_when_its_file_changes(
    serve_tls: Callable[..., int], authority: trustme.CA, tmp_path: Path
) -> None:
    clients = trustme.CA()
    port = serve_tls("127.0.0.1", client_ca=clients)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    def certify(by: trustme.CA) -> None:
        made = by.issue_cert("driftd.example")
        (tmp_path / "new.pem").write_bytes(made.private_key_and_cert_chain_pem.bytes())
        (tmp_path / "new.pem").replace(tmp_path / "own.pem")

    certify(trustme.CA())
    own = HttpParams(ca_file=tmp_path / "ca.pem", cert_file=tmp_path / "own.pem", allow_internal=True)
    poster = Poster(f"https://127.0.0.1:{port}/", 2.0, own)
    with pytest.raises(SinkError):
        poster.post(b"{}", {}, NOW_S)
    (tmp_path / "own.pem").write_text("half of it")
    with pytest.raises(SinkError):  # the old one is used until the new one is whole
        poster.post(b"{}", {}, NOW_S)
    certify(clients)
    poster.post(b"{}", {}, NOW_S)
    poster.close()
