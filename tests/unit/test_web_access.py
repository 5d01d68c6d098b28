"""Who may come in: TLS, client certificates, passwords, and the file that says so."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import bcrypt
import httpx2
import pytest
import trustme
from structlog.testing import capture_logs

from monitor.config.http import HttpSettings
from monitor.config.web_file import access_file
from monitor.errors import ConfigError
from monitor.web import WebServer, WebTerms
from monitor.web import passwords as passwords_module
from monitor.web import server as server_module
from monitor.web.doorkeeper import Rate
from monitor.web.passwords import Passwords, Verdict, credentials
from tests.unit.snapshots import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PASSWORD: Final = "correct horse"
HASH: Final = bcrypt.hashpw(
    PASSWORD.encode(), b"$2b$04$" + b"abcdefghijklmnopqrstuu"
).decode()  # the same in every process
USERS: Final = f"basic_auth_users: {{prometheus: '{HASH}'}}\n"
AUTHORITY: Final = trustme.CA()
STRANGER: Final = trustme.CA()


@dataclass
class Files:
    """A folder with a web configuration and certificates."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "web.yml"

    def write(self, text: str) -> None:
        self._replace("web.yml", text.encode())

    def certify(self, *names: str) -> bytes:
        """Write a new certificate of the server's, and give its serial form."""
        made = AUTHORITY.issue_cert(*(names or ("127.0.0.1",)))
        self._replace("key.pem", made.private_key_pem.bytes())
        self._replace("cert.pem", b"".join(blob.bytes() for blob in made.cert_chain_pems))
        self._replace("ca.pem", AUTHORITY.cert_pem.bytes())
        return ssl.PEM_cert_to_DER_cert(made.cert_chain_pems[0].bytes().decode())

    def _replace(self, name: str, content: bytes) -> None:
        """Put it there at once, as those who care do; a file's number tells it from the old one."""
        fresh = self.folder / f"{name}.new"
        fresh.write_bytes(content)
        fresh.replace(self.folder / name)


TLS: Final = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
MUTUAL: Final = (
    "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem,"
    " client_auth_type: RequireAndVerifyClientCert%s}\n"
)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path)
    made.certify()
    return made


@pytest.fixture
def serve(files: Files) -> Iterator[Callable[..., WebServer]]:
    """Starts servers of a web configuration; stops them at the end."""
    started: list[WebServer] = []

    def start(text: str, *, probes_open: bool = True, reload: Callable[[], str | None] | None = None) -> WebServer:
        files.write(text)
        file = access_file(HttpSettings(web_config_file=str(files.config)))
        server = WebServer(snapshot, WebTerms(are_probes_open=probes_open), access=file, reload=reload)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def _trusting(client: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if client is not None:
        client.configure_cert(context)
    return context


def _get(
    server: WebServer,
    path: str = "/metrics",
    *,
    client: trustme.LeafCert | None = None,
    auth: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx2.Response:
    verify = _trusting(client) if server.scheme == "https" else True
    with httpx2.Client(verify=verify, trust_env=False, timeout=30.0) as own:
        return own.get(f"{server.scheme}://127.0.0.1:{server.port}{path}", auth=auth, headers=headers)


def _shown(server: WebServer) -> bytes | None:
    """Give the certificate that a new connection is shown."""
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as plain,
        _trusting().wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True)


# ---- TLS


def test_tls_is_spoken_and_plain_http_is_not(serve: Callable[..., WebServer]) -> None:
    server = serve(TLS)

    assert 200 == _get(server).status_code
    with pytest.raises(httpx2.HTTPError):
        httpx2.get(f"http://127.0.0.1:{server.port}/livez", trust_env=False)


def test_a_new_certificate_is_taken_without_a_restart(serve: Callable[..., WebServer], files: Files) -> None:
    server = serve(TLS)
    with httpx2.Client(verify=_trusting(), trust_env=False) as old:
        assert 200 == old.get(f"https://127.0.0.1:{server.port}/livez").status_code
        fresh = files.certify()

        assert fresh == _shown(server)
        assert 200 == old.get(f"https://127.0.0.1:{server.port}/livez").status_code  # the old connection goes on


def test_half_a_change_keeps_the_old_certificate_until_it_is_whole(
    serve: Callable[..., WebServer], files: Files
) -> None:
    server = serve(TLS)
    before = _shown(server)
    key = (files.folder / "key.pem").read_bytes()
    fresh = files.certify()
    good_key = (files.folder / "key.pem").read_bytes()
    files._replace("key.pem", key)  # the certificate is new, the key is not yet

    with capture_logs() as logs:
        assert before == _shown(server) == _shown(server)
        assert "driftd_http_config_last_reload_successful 0.0" in _get(server).text
    assert 1 == len([each for each in logs if each.get("error_code") == "web_config"])

    files._replace("key.pem", good_key)
    assert fresh == _shown(server)


@pytest.mark.parametrize("broken", ["tls_server_config: {cert_fil: x}\n", "{", "", "basic_auth_users: {a: plain}\n"])
def test_a_broken_file_keeps_the_old_one_in_force_and_is_told_once(
    serve: Callable[..., WebServer], files: Files, broken: str
) -> None:
    server = serve(TLS + USERS)
    files.write(broken)

    with capture_logs() as logs:
        assert [401, 401] == [_get(server).status_code for _ in range(2)]
        told = _get(server, auth=("prometheus", PASSWORD))
    assert 200 == told.status_code
    assert "driftd_http_config_last_reload_successful 0.0" in told.text
    assert 1 == len([each for each in logs if each.get("error_code") == "web_config"])
    assert HASH not in str(logs)

    files.write(TLS)
    time.sleep(1.1)  # a page is served for a second
    assert "driftd_http_config_last_reload_successful 1.0" in _get(server).text


def test_a_file_that_vanishes_keeps_what_it_said(serve: Callable[..., WebServer], files: Files) -> None:
    server = serve(USERS)
    files.config.unlink()

    assert 401 == _get(server).status_code


def test_old_versions_of_tls_are_refused(serve: Callable[..., WebServer]) -> None:
    server = serve("tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: TLS13}\n")
    old = _trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(plain, server_hostname="127.0.0.1")


def test_ciphers_are_those_that_are_named(serve: Callable[..., WebServer]) -> None:
    suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    suites = f"[{suite}, {suite.replace('ECDSA', 'RSA')}]"
    server = serve(
        f"tls_server_config: {{cert_file: cert.pem, key_file: key.pem, max_version: TLS12, cipher_suites: {suites}}}\n"
    )

    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as plain,
        _trusting().wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        cipher = wrapped.cipher()
    assert cipher is not None
    assert cipher[0].endswith("CHACHA20-POLY1305")


def test_certificates_may_stand_in_the_file_itself(serve: Callable[..., WebServer], files: Files) -> None:
    def indented(name: str) -> str:
        return "".join(f"    {line}\n" for line in (files.folder / name).read_text().splitlines())

    server = serve(f"tls_server_config:\n  cert: |\n{indented('cert.pem')}  key: |\n{indented('key.pem')}")

    assert 200 == _get(server).status_code


def test_a_client_that_stops_in_a_handshake_is_hung_up_on(
    serve: Callable[..., WebServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "HANDSHAKE_S", 0.2)
    server = serve(TLS)
    hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _trusting().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1").do_handshake()
    for first in (b"", hello.read()[:40]):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as stopped:
            stopped.sendall(first)
            with contextlib.suppress(ConnectionResetError):
                assert b"" == stopped.recv(1)
    assert 200 == _get(server).status_code


def test_handshakes_that_stand_still_keep_nobody_out_and_the_end_is_quick(serve: Callable[..., WebServer]) -> None:
    server = serve(TLS)
    held = [socket.create_connection(("127.0.0.1", server.port), timeout=5.0) for _ in range(200)]

    assert 200 == _get(server, "/livez").status_code
    began_s = time.monotonic()
    server.stop()
    assert time.monotonic() - began_s < server_module.STOP_WAIT_S
    for each in held:
        each.close()


# ---- client certificates


@pytest.mark.parametrize("probes_open", [True, False])
def test_a_client_needs_a_certificate_where_one_is_required(
    serve: Callable[..., WebServer],
    probes_open: bool,  # noqa: FBT001 - a parameter
) -> None:
    server = serve(MUTUAL % "", probes_open=probes_open)

    assert 200 == _get(server, client=AUTHORITY.issue_cert("prometheus.example")).status_code
    with pytest.raises(httpx2.HTTPError):  # one that a stranger signed ends the handshake
        _get(server, "/livez", client=STRANGER.issue_cert("prometheus.example"))
    if probes_open:
        assert {"/metrics": 403, "/": 403, "/api/v1/status": 403, "/livez": 200, "/readyz": 200} == {
            path: _get(server, path).status_code for path in ("/metrics", "/", "/api/v1/status", "/livez", "/readyz")
        }
    else:
        with pytest.raises(httpx2.HTTPError):
            _get(server, "/livez")


def test_the_name_in_a_certificate_must_be_allowed(serve: Callable[..., WebServer]) -> None:
    server = serve(MUTUAL % ", client_allowed_sans: [prometheus.example, 10.1.2.3]")

    for name, expected in (("prometheus.example", 200), ("10.1.2.3", 200), ("other.example", 403)):
        assert expected == _get(server, client=AUTHORITY.issue_cert(name)).status_code
    time.sleep(1.1)  # a page is served for a second
    page = _get(server, client=AUTHORITY.issue_cert("10.1.2.3")).text
    assert 'driftd_http_denied_total{reason="certificate"} 1.0' in page


def test_a_certificate_may_be_left_out_where_it_is_checked_if_given(serve: Callable[..., WebServer]) -> None:
    server = serve((MUTUAL % "").replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"))

    assert 200 == _get(server).status_code
    with pytest.raises(httpx2.HTTPError):
        _get(server, client=STRANGER.issue_cert("prometheus.example"))


# ---- passwords


def test_a_password_is_asked_for_everywhere_but_at_the_probes(serve: Callable[..., WebServer]) -> None:
    server = serve(USERS)
    paths = ("/", "/metrics", "/api/v1/status", "/api/v1/alerts", "/nothing", "/livez/", "/readyz?x=1", "//livez")

    assert {path: 200 if path == "/readyz?x=1" else 401 for path in paths} == {
        path: _get(server, path).status_code for path in paths
    }
    refused = _get(server)
    assert 'Basic realm="driftd", charset="UTF-8"' == refused.headers["www-authenticate"]
    assert "nosniff" == refused.headers["x-content-type-options"]
    assert [200, 200] == [_get(server, path).status_code for path in ("/livez", "/readyz")]


def test_probes_ask_for_it_too_where_they_are_not_open(serve: Callable[..., WebServer]) -> None:
    server = serve(USERS, probes_open=False)

    assert [401, 401] == [_get(server, path).status_code for path in ("/livez", "/readyz")]
    assert 200 == _get(server, "/livez", auth=("prometheus", PASSWORD)).status_code


@pytest.mark.parametrize(
    ("auth", "status"),
    [
        (("prometheus", PASSWORD), 200),
        (("prometheus", "wrong"), 401),
        (("prometheus", ""), 401),
        (("prometheus", PASSWORD + "\x00"), 401),
        (("prometheus", "x" * 5_000), 401),
        (("nobody", PASSWORD), 401),
        (("", PASSWORD), 401),
    ],
)
def test_name_and_password_decide(serve: Callable[..., WebServer], auth: tuple[str, str], status: int) -> None:
    assert status == _get(serve(USERS), auth=auth).status_code


def test_a_password_beyond_what_bcrypt_looks_at_is_wrong(serve: Callable[..., WebServer]) -> None:
    long = "p" * 72
    hashed = bcrypt.hashpw(long.encode(), bcrypt.gensalt(4)).decode()
    server = serve(f"basic_auth_users: {{a: '{hashed}'}}\n")

    assert [200, 401] == [_get(server, auth=("a", text)).status_code for text in (long, long + "q")]


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !", "Bearer abc", "Basic " + base64.b64encode(b"no colon").decode(), "Basic //8=", "basic Og"],
)
def test_odd_headers_are_no_credentials(header: str) -> None:
    assert credentials(header) in (None, ("", b""))


def test_changed_passwords_count_at_once(serve: Callable[..., WebServer], files: Files) -> None:
    server = serve(USERS)
    assert 200 == _get(server, auth=("prometheus", PASSWORD)).status_code
    hashed = bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode()
    files.write(f"basic_auth_users: {{prometheus: '{hashed}'}}\n")

    assert [401, 200] == [_get(server, auth=("prometheus", each)).status_code for each in (PASSWORD, "another")]


class _Slow:
    """Stands for bcrypt: takes its time, and counts."""

    def __init__(self, takes_s: float = 0.02) -> None:
        self.hashes: list[bytes] = []
        self.at_once_max = 0
        self._takes_s = takes_s
        self._at_once = 0

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        self._at_once += 1
        self.at_once_max = max(self.at_once_max, self._at_once)
        self.hashes.append(hashed)
        time.sleep(self._takes_s)
        self._at_once -= 1
        return password == b"right" and hashed == HASH.encode()


def _header(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_what_was_found_is_remembered_and_bounded() -> None:
    slow = _Slow(0.0)

    async def main() -> None:
        asked = Passwords(slow)
        for _ in range(3):
            assert Verdict.YES is await asked.ask({"a": HASH}, _header("a", "right"), "c")
            assert Verdict.NO is await asked.ask({"a": HASH}, _header("a", "wrong"), "c")
        assert 2 == len(slow.hashes)
        for index in range(3 * passwords_module.REMEMBERED_MAX):
            await asked.ask({"a": HASH}, _header("a", str(index)), "c")
        assert passwords_module.REMEMBERED_MAX == len(asked._wrong)
        count = len(slow.hashes)
        assert Verdict.YES is await asked.ask({"a": HASH}, _header("a", "right"), "c")  # guesses do not push it out
        assert count == len(slow.hashes)

    asyncio.run(main())


def test_an_unknown_name_costs_as_much_as_the_costliest_known_one() -> None:
    slow = _Slow(0.0)
    costly = "$2b$12$" + HASH[7:]

    async def main() -> None:
        assert Verdict.NO is await Passwords(slow).ask({"a": HASH, "b": costly}, _header("x", "right"), "c")

    asyncio.run(main())

    assert [b"$2b$12$"] == [each[:7] for each in slow.hashes]
    assert not bcrypt.checkpw(b"", slow.hashes[0].replace(b"$12$", b"$04$"))  # it is one that bcrypt can compute


def test_an_unknown_name_stays_out_whatever_its_password_matches() -> None:
    async def main() -> None:
        asked = Passwords(lambda _, __: True)
        assert Verdict.YES is await asked.ask({"a": HASH}, _header("a", "x"), "c")
        assert Verdict.NO is await asked.ask({"a": HASH}, _header("b", "x"), "c")

    asyncio.run(main())


def test_a_flood_of_guesses_takes_one_processor_in_part_and_others_get_in() -> None:
    slow = _Slow()

    async def main() -> None:
        asked = Passwords(slow)
        began_s = time.monotonic()
        flood = [
            asyncio.create_task(asked.ask({"a": HASH}, _header("a", f"{client}-{i}"), f"client {client}"))
            for client in range(3)
            for i in range(50)
        ]
        await asyncio.sleep(0)
        good = await asked.ask({"a": HASH}, _header("a", "right"), "another")
        verdicts = await asyncio.gather(*flood)
        took_s = time.monotonic() - began_s

        assert Verdict.YES is good
        assert {Verdict.NO: 12, Verdict.BUSY: 138} == {each: verdicts.count(each) for each in set(verdicts)}
        assert 1 == slow.at_once_max
        assert 0.02 * len(slow.hashes) / took_s < 0.35
        assert not asked._waiting

    asyncio.run(main())


def test_guessing_holds_up_no_probe(serve: Callable[..., WebServer]) -> None:
    hashed = bcrypt.hashpw(b"x", bcrypt.gensalt(13)).decode()
    server = serve(f"basic_auth_users: {{a: '{hashed}'}}\n")
    with ThreadPoolExecutor(12) as pool:
        guesses = [pool.submit(_get, server, "/metrics", auth=("a", f"guess {i}")) for i in range(12)]
        time.sleep(0.1)
        assert 200 == _get(server, "/livez").status_code
        assert not all(each.done() for each in guesses), "the probe was answered while guesses were still tried"
        statuses = [each.result().status_code for each in guesses]

    assert {401, 429} == set(statuses)


def test_wrong_passwords_are_logged_now_and_then_without_what_was_typed(serve: Callable[..., WebServer]) -> None:
    server = serve(USERS)
    with capture_logs() as logs:
        for index in range(5):
            _get(server, auth=("hunter2", f"hunter{index}"))
        _get(server)

    assert ["http: wrong name or password"] == [each["event"] for each in logs]
    assert "hunter" not in str(logs)


# ---- rates and headers


def test_requests_beyond_the_rate_are_told_to_wait_and_probes_are_not(serve: Callable[..., WebServer]) -> None:
    server = serve("rate_limit: {interval: 1h, burst: 2}\n")

    assert [200, 200, 429, 429] == [_get(server, "/").status_code for _ in range(4)]
    assert 200 == _get(server, "/livez").status_code


def test_a_token_comes_in_each_interval() -> None:
    now_s = [0.0]
    rate = Rate(lambda: now_s[0])

    assert [True, True, False] == [rate.admits(10.0, 2) for _ in range(3)]
    now_s[0] = 10.0
    assert [True, False] == [rate.admits(10.0, 2) for _ in range(2)]
    now_s[0] = 1_000.0
    assert [True, True, False] == [rate.admits(10.0, 2) for _ in range(3)]


def test_headers_of_the_file_take_the_place_of_ours(serve: Callable[..., WebServer]) -> None:
    text = "http_server_config: {headers: {X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=60}}\n"
    headers = _get(serve(text)).headers

    assert ("sameorigin", "max-age=60") == (headers["x-frame-options"], headers["strict-transport-security"])
    assert "no-store" == headers["cache-control"]


# ---- the admin verb


def _post(server: WebServer, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    answer = httpx2.post(f"http://127.0.0.1:{server.port}/-/reload", headers=headers, trust_env=False)
    return answer.status_code, answer.text


def test_reload_is_off_by_default(serve: Callable[..., WebServer]) -> None:
    server = serve("")

    assert 403 == _post(server)[0]
    assert 405 == _get(server, "/-/reload").status_code
    assert 404 == httpx2.post(f"http://127.0.0.1:{server.port}/-/quit", trust_env=False).status_code


def test_reload_tells_what_came_of_it(serve: Callable[..., WebServer]) -> None:
    answers: list[str | Exception | None] = [None, "driftd.yaml:3:1: unknown key", RuntimeError("hunter2")]

    def reload() -> str | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    server = serve("", reload=reload)
    assert 405 == _get(server, "/-/reload").status_code
    assert 3 == len(answers)
    with capture_logs() as logs:
        assert (200, "reloaded\n") == _post(server)
        assert (500, "driftd.yaml:3:1: unknown key\n") == _post(server)
        assert (500, "failed unexpectedly; see the log\n") == _post(server)
    assert ["reload failed unexpectedly"] == [each["event"] for each in logs]


def test_reload_is_not_for_web_pages(serve: Callable[..., WebServer]) -> None:
    calls: list[int] = []
    server = serve("", reload=lambda: calls.append(1))
    own = f"http://127.0.0.1:{server.port}"
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": own},
        {"sec-fetch-site": "cross-site"},
    ):
        assert 403 == _post(server, headers)[0]

    assert [] == calls
    assert 200 == _post(server, {"sec-fetch-site": "none"})[0]


def test_reload_needs_the_password_too(serve: Callable[..., WebServer]) -> None:
    calls: list[int] = []
    server = serve(USERS, reload=lambda: calls.append(1))

    assert 401 == _post(server)[0]
    assert 200 == _post(server, {"authorization": _header("prometheus", PASSWORD)})[0]
    assert [1] == calls


def test_one_reload_at_a_time(serve: Callable[..., WebServer]) -> None:
    under_way, most = [0], [0]
    lock = threading.Lock()

    def reload() -> None:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.02)
        with lock:
            under_way[0] -= 1

    server = serve("", reload=reload)
    with ThreadPoolExecutor(4) as pool:
        assert [200] * 4 == [each[0] for each in pool.map(lambda _: _post(server), range(4))]

    assert [1] == most


# ---- the file's format


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tls_server_confg: {}\n", "web.yml:1:1: tls_server_confg: unknown key; did you mean 'tls_server_config'?"),
        (TLS.replace("key_file", "keyfile"), "keyfile: unknown key; did you mean 'key_file'?"),
        ("tls_server_config: {cert_file: cert.pem}\n", "has neither key nor key_file; add key_file"),
        ("tls_server_config: {key_file: key.pem}\n", "has neither cert nor cert_file"),
        (TLS.replace("}", ", key: x}"), "key_file: stands beside key; keep one of the two"),
        (TLS.replace("}", ", min_version: TLS10}"), "min_version: TLS10 is broken; write TLS12 or TLS13"),
        (TLS.replace("}", ", max_version: SSL3}"), "max_version: not a version of TLS"),
        (TLS.replace("}", ", min_version: TLS13, max_version: TLS12}"), "min_version: is above max_version (TLS12)"),
        (TLS.replace("}", ", client_auth_type: RequireAnyClientCert}"), "certificates that nobody checks"),
        (TLS.replace("}", ", client_auth_type: Yes}"), "client_auth_type: not a policy; write one of NoClientCert"),
        (TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert}"), "add client_ca_file"),
        (TLS.replace("}", ", client_ca_file: ca.pem}"), "has a client_ca and no client_auth_type"),
        (TLS.replace("}", ", client_allowed_sans: [a]}"), "client_allowed_sans: needs certificates"),
        (TLS.replace("}", ", cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}"), "is no cipher suite that is safe"),
        (TLS.replace("}", ", cipher_suites: [TLS_AES_128_GCM_SHA256]}"), "names none for TLS 1.2"),
        (TLS.replace("}", ", curve_preferences: [CurveP256, X25519]}"), "Python can be told one curve"),
        (TLS.replace("}", ", prefer_server_cipher_suites: perhaps}"), "true or false is allowed"),
        (TLS.replace("cert.pem", "none.pem"), "none.pem and "),
        (TLS.replace("key.pem", "ca.pem"), "can't be used"),
        (MUTUAL.replace("ca.pem", "none.pem") % "", "none.pem: can't be read"),
        ("http_server_config: {headers: {X-Powered-By: x}}\n", "X-Powered-By: can't be set; allowed here: Content"),
        ("http_server_config: {headers: {X-Frame-Options: maybe}}\n", "write deny or sameorigin"),
        ('http_server_config: {headers: {X-XSS-Protection: "a\\nb"}}\n', "characters that HTTP does not allow"),
        ("rate_limit: {interval: soon}\n", "web.yml:1:24: rate_limit.interval: found 'soon', not a duration"),
        ("rate_limit: {burst: -1}\n", "at least 0 is allowed"),
        ("basic_auth_users: {a: hunter2}\n", "web.yml:1:23: basic_auth_users.a: not a bcrypt hash; make one: htpasswd"),
        ("basic_auth_users: {a: 7}\n", "basic_auth_users.a: "),
        (f"basic_auth_users: {{'': '{HASH}'}}\n", "not a name"),
        (f"basic_auth_users: {{a: '$2b$31${HASH[7:]}'}}\n", "costs 31; at most 16 is allowed"),
        ("- a\n", "found a list at the top"),
        ("a: [\n", "web.yml"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_place_and_cure(files: Files, text: str, expected: str) -> None:
    files.write(text)
    with pytest.raises(ConfigError) as raised:
        WebServer(snapshot, WebTerms(), access=access_file(HttpSettings(web_config_file=str(files.config))))

    assert expected in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "tls_server_config:\nbasic_auth_users: {}\n", "http_server_config: {http2: true}\n"]
)
def test_a_file_may_say_nothing(serve: Callable[..., WebServer], text: str) -> None:
    assert 200 == _get(serve(text)).status_code


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yml", tmp_path):
        with pytest.raises(ConfigError, match=r"is not a file; check http.web_config_file"):
            WebServer(snapshot, WebTerms(), access=access_file(HttpSettings(web_config_file=str(path))))


def test_no_file_no_bounds() -> None:
    assert access_file(HttpSettings()) is None


def test_a_key_with_a_password_does_not_stop_at_a_prompt(files: Files) -> None:
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - trustme's own, for this alone

    key = form.load_pem_private_key((files.folder / "key.pem").read_bytes(), None)
    locked = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"x"))
    (files.folder / "key.pem").write_bytes(locked)
    files.write(TLS)

    with pytest.raises(ConfigError, match="can't be used"):
        WebServer(snapshot, WebTerms(), access=access_file(HttpSettings(web_config_file=str(files.config))))


def test_plain_passwords_on_a_network_are_warned_of(files: Files) -> None:
    files.write(USERS)
    file = access_file(HttpSettings(web_config_file=str(files.config)))
    for host, expected in (("0.0.0.0", 1), ("127.0.0.1", 0)):
        with capture_logs() as logs:
            server = WebServer(snapshot, WebTerms(host=host), access=file)
            server.start()
            server.stop()
        assert expected == len([each for each in logs if "unencrypted" in each["event"]])


def _open_files() -> int:
    here = Path("/proc/self/fd")
    return len(list(here.iterdir())) if here.is_dir() else 0


def test_no_file_descriptor_stays_open(serve: Callable[..., WebServer]) -> None:
    server = serve(TLS)
    _get(server)
    before = _open_files()
    for _ in range(20):
        _get(server)
        with socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as cut_short:
            cut_short.sendall(b"\x16\x03\x01")
    deadline_s = time.monotonic() + 5.0
    while _open_files() > before + 2:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
