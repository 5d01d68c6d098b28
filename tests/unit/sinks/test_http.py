from __future__ import annotations

import logging
import socket
import threading
from contextlib import nullcontext
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from monitor.errors import ConfigError, SinkError
from monitor.sinks.base import REASONS, SinkBusyError
from monitor.sinks.http import RETRY_AFTER_MAX_S, HttpParams, Poster, check_target, check_timeout, retry_after_s
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.receiver import Receiver

NOW_S = 1_800_000_000.0
HERE = HttpParams(allow_internal=True)
"""Receivers of tests are on this machine."""


@pytest.fixture
def poster(receiver: Receiver) -> Iterator[Poster]:
    poster = Poster(f"{receiver.url}/hook", 2.0, HERE)
    yield poster
    poster.close()


def _failure(poster: Poster) -> SinkError:
    with pytest.raises(SinkError) as raised:
        poster.post(b"{}", {}, NOW_S)
    assert raised.value.reason in REASONS
    return raised.value


@pytest.mark.parametrize("status", [200, 202, 204])
def test_2xx_is_success(receiver: Receiver, poster: Poster, status: int) -> None:
    receiver.answer_next(status)
    poster.post(b'{"a": 1}', {"x-extra": "yes"}, NOW_S)

    (request,) = receiver.requests
    assert (request.method, request.path, request.body) == ("POST", "/hook", b'{"a": 1}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-extra"] == "yes"


@pytest.mark.parametrize(
    ("status", "reason", "is_retryable"),
    [
        (400, "client_error", False),
        (401, "auth_error", False),
        (403, "auth_error", False),
        (404, "client_error", False),
        (408, "timeout", True),
        (413, "client_error", False),
        (429, "rate_limited", True),
        (500, "server_error", True),
        (503, "server_error", True),
    ],
)
def test_status_decides(receiver: Receiver, poster: Poster, status: int, reason: str, *, is_retryable: bool) -> None:
    receiver.answer_next(Answer(status, b"because"))
    error = _failure(poster)

    assert (error.reason, error.is_retryable) == (reason, is_retryable)
    assert str(error) == f"{poster.host}: answered {status}: because"


def test_redirects_are_not_followed(receiver: Receiver, poster: Poster) -> None:
    receiver.answer_next(Answer(307, headers={"Location": f"{receiver.url}/elsewhere"}))
    error = _failure(poster)

    assert "redirects are not followed" in str(error)
    assert [request.path for request in receiver.requests] == ["/hook"]


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        poster = Poster(f"http://127.0.0.1:{unused.getsockname()[1]}/", 1.0, HERE)
        error = _failure(poster)
    poster.close()

    assert (error.reason, error.is_retryable) == ("unreachable", True)


def test_no_answer_in_time_is_a_timeout(receiver: Receiver) -> None:
    receiver.answer_always(Answer(delay_s=5.0))
    poster = Poster(receiver.url, 0.1, HERE)
    error = _failure(poster)
    poster.close()

    assert (error.reason, error.is_retryable) == ("timeout", True)


@pytest.mark.parametrize(
    ("answer", "reason", "is_retryable"),
    [
        (b"", "other", True),  # the request has arrived, so this must not pass for unreachable
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\n", "client_error", False),  # the status is enough
    ],
)
def test_answers_broken_off(answer: bytes, reason: str, *, is_retryable: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        poster = Poster(f"http://127.0.0.1:{server.getsockname()[1]}/", 1.0, HERE)
        server.settimeout(5.0)

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = _failure(poster)
        thread.join()
    poster.close()

    assert (error.reason, error.is_retryable) == (reason, is_retryable)


def test_retry_after_is_passed_on_for_what_is_retried(receiver: Receiver, poster: Poster) -> None:
    receiver.answer_next(
        Answer(429, headers={"Retry-After": "7"}),
        Answer(503, headers={"Retry-After": "86400"}),
        Answer(400, headers={"Retry-After": "7"}),
    )
    first, second, third = _failure(poster), _failure(poster), _failure(poster)

    assert isinstance(first, SinkBusyError)
    assert (first.retry_after_s, first.reason) == (7.0, "rate_limited")
    assert isinstance(second, SinkBusyError)
    assert second.retry_after_s == RETRY_AFTER_MAX_S
    assert not third.is_retryable


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("120", 120.0),
        ("0", 0.0),
        ("9" * 400, None),
        ("99999", RETRY_AFTER_MAX_S),
        ("-5", None),
        ("soon", None),
        ("nan", None),
        (formatdate(NOW_S + 30, usegmt=True), 30.0),
        (formatdate(NOW_S - 30, usegmt=True), 0.0),
    ],
)
def test_retry_after(value: str | None, expected: float | None) -> None:
    assert retry_after_s(value, NOW_S) == expected


def test_basic_bearer_and_extra_headers_are_sent(receiver: Receiver) -> None:
    for params, name, expected in (
        (HttpParams(username="ann", password=SecretStr("pass")), "authorization", "Basic YW5uOnBhc3M="),
        (HttpParams(bearer_token=SecretStr("t0ken")), "authorization", "Bearer t0ken"),
        (HttpParams(headers={"X-Scope-OrgID": SecretStr("team")}), "x-scope-orgid", "team"),
    ):
        poster = Poster(receiver.url, 2.0, replace(params, allow_internal=True))
        poster.post(b"{}", {}, NOW_S)
        poster.close()
        assert receiver.requests[-1].headers[name] == expected


def test_secrets_are_in_no_error_log_or_repr(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Even when the receiver sends them back."""
    caplog.set_level(logging.DEBUG)
    url = SecretStr(f"{receiver.url}/services/T0/B0/hunter2")
    params = HttpParams(username="ann", password=SecretStr("hunter3"), headers={"X-Key": SecretStr("hunter4")})
    echo = b"POST /services/T0/B0/hunter2 Authorization: Basic YW5uOmh1bnRlcjM= hunter3 X-Key: hunter4"
    receiver.answer_next(Answer(400, echo), 200)
    poster = Poster(url, 2.0, replace(params, allow_internal=True))
    error = _failure(poster)
    poster.post(b"{}", {}, NOW_S)
    poster.close()

    said = f"{error} {error!r} {params!r} {poster!r} {caplog.text}"
    assert "answered 400: POST *** Authorization: Basic *** *** X-Key: ***" in str(error)
    assert "hunter" not in said
    assert "YW5u" not in said


def test_long_or_hostile_answers_are_quoted_short_and_clean(receiver: Receiver, poster: Poster) -> None:
    receiver.answer_next(Answer(400, b"\x1b[31m\x00\xff\n" + b"x" * 10_000))
    message = str(_failure(poster))

    assert len(message) < 300
    assert message.isprintable()


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "must start with http"),
        ("ftp://host/x", "must start with http"),
        ("https:///path", "name a host"),
        ("host:9093", "must start with http"),
        ("http://host:port/", "is not an address"),
        ("https://ann:hunter2@host/", "must not hold credentials"),
        ("http://169.254.169.254/latest", "link-local"),
        ("http://[fe80::1]/", "link-local"),
        ("http://[::ffff:169.254.169.254]/", "link-local"),
    ],
)
def test_addresses_that_cannot_be_posted_to_are_refused(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as raised:
        check_target(url, "sinks.pager.url", HttpParams())

    assert str(raised.value).startswith("sinks.pager.url ")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), 301.0])
def test_timeouts_out_of_range_are_refused(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s must be above 0 and at most 300"):
        check_timeout(timeout_s)


def test_params_at_odds_are_refused(tmp_path: Path) -> None:
    secret = SecretStr("secret")
    with pytest.raises(ValueError, match="belong together"):
        HttpParams(username="ann")
    with pytest.raises(ValueError, match="belong together"):
        HttpParams(password=secret)
    with pytest.raises(ValueError, match="exclude each other"):
        HttpParams(username="ann", password=secret, bearer_token=secret)
    with pytest.raises(ValueError, match="key_file needs cert_file"):
        HttpParams(key_file=tmp_path / "key.pem")
    with pytest.raises(ValueError, match="headers: 'X-Key'"):
        HttpParams(headers={"X-Key": SecretStr("two\r\nlines")})


def test_unusable_certificate_files_are_a_matter_of_configuration(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for params in (HttpParams(ca_file=tmp_path / "none.pem"), HttpParams(ca_file=empty), HttpParams(cert_file=empty)):
        with pytest.raises(ConfigError, match="can't be used"):
            Poster("https://host/", 1.0, params)


# ---- secrets in files


def test_secrets_in_files_are_read_anew_when_they_change(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-token\n")
    poster = Poster(receiver.url, 2.0, replace(HERE, bearer_token_file=file))
    poster.post(b"{}", {}, NOW_S)
    (tmp_path / "new").write_text("second-token\n")
    (tmp_path / "new").replace(file)
    poster.post(b"{}", {}, NOW_S)
    file.unlink()  # away for a moment: the last one that could be read is used
    poster.post(b"{}", {}, NOW_S)
    poster.close()

    sent = [request.headers["authorization"] for request in receiver.requests]
    assert ["Bearer first-token", "Bearer second-token", "Bearer second-token"] == sent


def test_a_password_may_stand_in_a_file(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pass\r\n")
    poster = Poster(receiver.url, 2.0, replace(HERE, username="ann", password_file=tmp_path / "password"))
    poster.post(b"{}", {}, NOW_S)
    poster.close()

    assert "Basic YW5uOnBhc3M=" == receiver.requests[0].headers["authorization"]


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_refused_with_a_secret_of_a_file_is_tried_again(
    receiver: Receiver, tmp_path: Path, status: int
) -> None:
    """The receiver may know the new one before the file holds it: the alert must not be lost over that."""
    (tmp_path / "token").write_text("hunter2-hunter2")
    receiver.answer_next(Answer(status, b"hunter2-hunter2"))
    poster = Poster(receiver.url, 2.0, replace(HERE, bearer_token_file=tmp_path / "token"))
    error = _failure(poster)
    poster.close()

    assert ("auth_error", True) == (error.reason, error.is_retryable)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff", b"x" * 70_000])
def test_a_file_without_a_secret_is_a_matter_of_configuration(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"http.bearer_token_file: .*token (is|can't)"):
        Poster("https://host/", 1.0, HttpParams(bearer_token_file=file))


def test_secrets_and_their_files_exclude_each_other(tmp_path: Path) -> None:
    secret = SecretStr("secret")
    with pytest.raises(ValueError, match="bearer_token and bearer_token_file exclude"):
        HttpParams(bearer_token=secret, bearer_token_file=tmp_path / "x")
    with pytest.raises(ValueError, match="password and password_file exclude"):
        HttpParams(username="a", password=secret, password_file=tmp_path / "x")
    with pytest.raises(ValueError, match="username and bearer_token exclude"):
        HttpParams(username="a", password=secret, bearer_token_file=tmp_path / "x")


def test_proxies_of_the_environment_are_used_unless_left_out(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", receiver.url)
    monkeypatch.setenv("http_proxy", receiver.url)
    for name, count in (("", 1), ("receiver.invalid", 1)):
        monkeypatch.setenv("no_proxy", name)
        poster = Poster("http://receiver.invalid/hook", 1.0, HttpParams())
        with pytest.raises(SinkError) if name else nullcontext():
            poster.post(b"{}", {}, NOW_S)
        poster.close()
        assert count == len(receiver.requests)

    assert "http://receiver.invalid/hook" == receiver.requests[0].path
