"""The real daemon as a person runs it: `python -m monitor run`, in a process of its own, with a log to read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import httpx2
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.process import Process, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

_READY_TIMEOUT_S: Final = 40.0  # 2 to 4 s on an idle machine
_POLL_S: Final = 0.05
_T = TypeVar("_T")


class Daemon:
    """Runs driftd on a configuration until closed; a context manager.

    folder: where its configuration, log and state go, one folder per daemon. settings: the configuration; unless it
    says so itself, the port of /metrics is a free one. is_up: what is waited for, by default that it listens.
    Raises RuntimeError with its log where it ends or is not there in time.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        is_up: Callable[[Daemon], bool] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        own = {"http": {"port": self.port}, "log": {"format": "json"}, "state": {"directory": str(folder / "state")}}
        self.config = write_config(folder, {**own, **settings})
        self._client = httpx2.Client(base_url=self.url, trust_env=False, timeout=5.0)
        self._log = folder / "driftd.log"
        self._process = Process("driftd", command("run", "--config", str(self.config)), self._log)
        try:
            self._process.wait_ready(lambda: (is_up or Daemon.listens)(self), _READY_TIMEOUT_S)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- what it says

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def listens(self) -> bool:
        """Say whether it answers requests."""
        return self.get("/livez") is not None

    def is_ready(self) -> bool:
        """Say whether /readyz says so."""
        answer = self.get("/readyz")
        return answer is not None and answer.status_code == 200

    def has_partitions(self) -> bool:
        """Say whether it has joined its group and was given partitions."""
        return self.logged("partitions assigned") is not None

    def get(self, path: str) -> httpx2.Response | None:
        """Give the answer to a request, None where nobody answers."""
        try:
            return self._client.get(path)
        except httpx2.TransportError:
            return None

    def metrics(self) -> list[tuple[str, Mapping[str, str], float]]:
        """Give the samples of /metrics: name, labels, value."""
        text = self._client.get("/metrics").raise_for_status().text
        families = text_string_to_metric_families(text)
        return [(each.name, each.labels, each.value) for family in families for each in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Give the sum of a metric over all its series with these labels; 0 where there is none."""
        return sum(v for n, found, v in self.metrics() if n == name and found.items() >= labels.items())

    def series(self, name: str) -> list[Mapping[str, str]]:
        """Give the labels of all series of a metric."""
        return [labels for found, labels, _ in self.metrics() if found == name]

    def log_text(self) -> str:
        """Give all that it wrote."""
        return self._log.read_text(errors="replace")

    def log_lines(self) -> list[dict[str, Any]]:
        """Give the lines of its log, oldest first, without what it tells people in plain text."""
        lines = [line for line in self.log_text().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    def logged(self, event: str, **values: object) -> dict[str, Any] | None:
        """Give the first line of its log with this event and these values, None where there is none."""
        for line in self.log_lines():
            if line["event"] == event and line.items() >= values.items():
                return line
        return None

    # ---- how it ends

    @property
    def is_running(self) -> bool:
        return self._process.is_running

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    def exit_code(self, timeout_s: float = 30.0) -> int:
        """Wait for its end. Raises TimeoutError with the log where it goes on for longer."""
        try:
            return self._process._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"driftd still ran after {timeout_s:g} s:\n{self.log_text()[-3000:]}") from None

    def stop(self) -> int:
        """Ask it to stop, as an orchestrator does, and give its exit code."""
        self.signal(signal.SIGTERM)
        return self.exit_code()

    def close(self) -> None:
        self._process.stop()
        self._client.close()


def command(*arguments: str) -> list[str]:
    """Give the command line of driftd with these arguments."""
    return [sys.executable, "-m", "monitor", *arguments]


def driftd(
    *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 100.0
) -> subprocess.CompletedProcess[str]:
    """Run driftd to its end; give what it said and its exit code."""
    return subprocess.run(
        command(*arguments),
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def write_config(folder: Path, settings: Mapping[str, Any]) -> Path:
    """Write a configuration file."""
    path = folder / "driftd.yaml"
    path.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
    return path


def kafka_settings(bootstrap_servers: str, topics: Sequence[str], **more: object) -> dict[str, Any]:
    """Give the section `kafka` for a test: everything in the topics is read, and a stop commits what was read."""
    return {"bootstrap_servers": [bootstrap_servers], "topics": list(topics), "start": "earliest", **more}


def wait_for(what: Callable[[], _T | None], why: str, timeout_s: float = 20.0) -> _T:
    """Give the first answer that is true. Raises TimeoutError that says why it was waited for."""
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {why}; last: {found!r}")
        time.sleep(_POLL_S)
    return found
