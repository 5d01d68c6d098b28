"""With a secret in every place that takes one, nothing that driftd prints, tells or shows holds any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import bcrypt
import pytest

from tests.support.daemon import Daemon, driftd, write_config
from tests.support.process import free_ports

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

MARK: Final = "hunter2"
PASSWORD: Final = f"{MARK}-of-the-web-server"
AUTH: Final = ("prometheus", PASSWORD)


def planted(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Give settings with secrets everywhere, and all the secrets."""
    (unused,) = free_ports(1)
    secrets: list[str] = []

    def secret(name: str) -> str:
        secrets.append(f"{MARK}-{name}-{len(secrets)}-long-enough")
        return secrets[-1]

    def file(name: str) -> str:
        path = folder / name
        path.write_text(f"{secret(name)}\n", encoding="utf-8")
        return str(path)

    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    secrets += [PASSWORD, hashed]
    web = folder / "web.yml"
    web.write_text(f"basic_auth_users: {{prometheus: '{hashed}'}}\n", encoding="utf-8")
    here = f"http://127.0.0.1:{unused}"
    settings = {
        "kafka": {
            "bootstrap_servers": [f"127.0.0.1:{unused}"],
            "topics": ["t"],
            "security_protocol": "sasl_ssl",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "driftd",
            "sasl_password": secret("sasl"),
            "librdkafka": {"sasl.oauthbearer.client.secret": secret("oauth"), "ssl.keystore.password": secret("key")},
        },
        "receivers": {
            "hook": {
                "type": "webhook",
                "url": f"{here}/{secret('path')}",
                "secret": [secret("sign"), secret("sign")],
                "http": {"allow_internal": True, "headers": {"X-Key": secret("header")}},
            },
            "filed": {
                "type": "webhook",
                "url": f"{here}/x",
                "secret_file": file("sign-file"),
                "http": {"allow_internal": True, "username": "u", "password_file": file("password-file")},
            },
            "pager": {"type": "alertmanager", "urls": [here], "http": {"bearer_token": secret("bearer")}},
            "second": {"type": "alertmanager", "urls": [here], "http": {"bearer_token_file": file("bearer-file")}},
        },
        "reference": {"directory": str(folder / "references")},
        "state": {"directory": str(folder / "state")},
        "log": {"level": "debug", "format": "json"},
        "run": {"shutdown_s": 1},
    }
    return settings, secrets


def assert_holds_none(text: str, secrets: list[str]) -> None:
    assert [] == [secret for secret in secrets if secret in text]
    assert MARK not in text


def test_the_daemon_shows_and_logs_no_secret(tmp_path: Path) -> None:
    settings, secrets = planted(tmp_path)
    (port,) = free_ports(1)
    settings["http"] = {"port": port, "web_config_file": str(tmp_path / "web.yml"), "admin": True}
    with Daemon(tmp_path, settings, lambda daemon: daemon.logged("started") is not None) as daemon:
        daemon._client.base_url = f"http://127.0.0.1:{port}"
        shown = []
        for path in ("/", "/metrics", "/api/v1/status", "/api/v1/alerts", "/livez", "/readyz", "/nothing"):
            for auth in (None, AUTH, ("prometheus", f"{MARK}-wrong"), (f"{MARK}-name", "x")):
                answer = daemon._client.get(path, auth=auth)
                shown.append(f"{answer.headers} {answer.text}")
                if path == "/metrics":
                    assert (200 if auth == AUTH else 401) == answer.status_code
        answer = daemon._client.post("/-/reload", auth=AUTH)
        shown.append(answer.text)
        assert 200 == answer.status_code
        daemon.stop()
        log = daemon.log_text()

    assert "started" in log
    assert_holds_none(log + "".join(shown), secrets)


@pytest.mark.parametrize("broken", [{}, {"time": {"pane_s": "soon"}}, {"kafka": {"group_protocol": "old"}}])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_check_prints_no_secret(tmp_path: Path, broken: dict[str, dict[str, object]], options: tuple[str, ...]) -> None:
    settings, secrets = planted(tmp_path)
    for section, values in broken.items():
        settings[section] = {**settings.get(section, {}), **values}
    done = driftd("check", "--config", str(write_config(tmp_path, settings)), *options)

    assert (78 if broken else 0) == done.returncode, done.stdout + done.stderr
    assert_holds_none(done.stdout + done.stderr, secrets)
