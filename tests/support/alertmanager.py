"""A real Alertmanager that sends everything to one webhook."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import httpx2
import yaml

from tests.support.process import Process, free_ports
from tests.support.prometheus import find_program, is_ready, program_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

_READY_TIMEOUT_S: Final = 30.0  # under 1 s on an idle machine
_POLL_S: Final = 0.1


class Alertmanager:
    """Runs Alertmanager on a free port of 127.0.0.1 until closed; a context manager.

    webhook_url: where it sends each group of alerts, resolved ones too, without waiting for more of the group.
    group_by: the labels that make a group. resolve_timeout_s: after how long it takes an alert without an end time, and
    without a repeat, for resolved.
    Raises Unavailable where the program is not installed, RuntimeError with its log where it does not start.
    """

    def __init__(
        self, webhook_url: str, *, group_by: Sequence[str] = ("alertname",), resolve_timeout_s: int = 300
    ) -> None:
        program = find_alertmanager()
        self.version = program_version(program)
        (self.port,) = free_ports(1)
        self._folder = Path(tempfile.mkdtemp(prefix="driftd-alertmanager-"))
        settings = self._folder / "alertmanager.yml"
        settings.write_text(yaml.safe_dump(_settings(webhook_url, group_by, resolve_timeout_s)))
        self._client = httpx2.Client(base_url=self.url, trust_env=False)
        self._process = Process(
            "Alertmanager",
            [
                program,
                f"--config.file={settings}",
                f"--storage.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",  # alone: nobody to gossip with, and no second port
            ],
            self._folder / "alertmanager.log",
        )
        try:
            self._process.wait_ready(lambda: is_ready(self._client), _READY_TIMEOUT_S)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """Send alerts as Prometheus would (API v2). Raises httpx2.HTTPStatusError where it refuses them."""
        self._client.post("/api/v2/alerts", json=list(alerts)).raise_for_status()

    def alerts(self, *matchers: str) -> list[dict[str, Any]]:
        """Give the alerts it holds, in the shape of API v2, those that match all matchers, such as 'model="m"'."""
        answer = self._client.get("/api/v2/alerts", params={"filter": list(matchers)}).raise_for_status()
        alerts: list[dict[str, Any]] = answer.json()
        return alerts

    def wait_for_alerts(self, count: int, *matchers: str, timeout_s: float = 15.0) -> list[dict[str, Any]]:
        """Give the matching alerts as soon as there are exactly count. Raises TimeoutError after timeout_s seconds."""
        deadline = time.monotonic() + timeout_s
        while len(alerts := self.alerts(*matchers)) != count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(alerts)} alerts instead of {count} after {timeout_s:g} s: {alerts}")
            time.sleep(_POLL_S)
        return alerts

    def close(self) -> None:
        self._process.stop()
        self._client.close()
        shutil.rmtree(self._folder, ignore_errors=True)


AlertmanagerFactory: TypeAlias = (
    "Callable[..., Alertmanager]"  # takes what Alertmanager takes; what the fixture alertmanager_factory gives
)


def find_alertmanager() -> str:
    """Give the path of the program. Raises Unavailable where it is not installed."""
    return find_program("prometheus-alertmanager", "alertmanager")


def _settings(webhook_url: str, group_by: Sequence[str], resolve_timeout_s: int) -> dict[str, object]:
    return {
        "global": {"resolve_timeout": f"{resolve_timeout_s}s"},
        "route": {
            "receiver": "test",
            "group_by": list(group_by),
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        },
        "receivers": [{"name": "test", "webhook_configs": [{"url": webhook_url, "send_resolved": True}]}],
    }
