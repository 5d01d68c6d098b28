"""A real Prometheus that scrapes what a test gives it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import httpx2
import yaml

from tests.support.process import Process, Unavailable, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

_READY_TIMEOUT_S: Final = 30.0  # under 1 s on an idle machine
_POLL_S: Final = 0.2  # a fifth of the scrape interval


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query: its labels (with `__name__` where it has a name) and its value now."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """Runs Prometheus on a free port of 127.0.0.1 until closed; a context manager.

    targets: host:port of each thing to scrape, every second, under the job name `driftd`.
    rules: rule files, evaluated every second. alertmanagers: host:port of each Alertmanager that firing alerts go to.
    metrics_path: where each target answers.
    Ready in under a second; Prometheus itself takes another five until it acts on targets and alertmanagers.
    Raises Unavailable where the program is not installed, RuntimeError with its log where it does not start.
    """

    def __init__(
        self,
        targets: Sequence[str],
        *,
        rules: Sequence[Path] = (),
        alertmanagers: Sequence[str] = (),
        metrics_path: str = "/metrics",
    ) -> None:
        program = find_prometheus()
        self.version = program_version(program)
        (self.port,) = free_ports(1)
        self._folder = Path(tempfile.mkdtemp(prefix="driftd-prometheus-"))
        settings = self._folder / "prometheus.yml"
        settings.write_text(yaml.safe_dump(_settings(targets, rules, alertmanagers, metrics_path)))
        self._client = httpx2.Client(base_url=self.url, trust_env=False)
        self._process = Process(
            "Prometheus",
            [
                program,
                f"--config.file={settings}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                # The first alerts may fire before it has looked up its Alertmanagers, which takes it five seconds.
                "--rules.alert.resend-delay=1s",
            ],
            self._folder / "prometheus.log",
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

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - each path answers its own shape
        """Give `data` of an API answer, such as that of /api/v1/rules. Raises RuntimeError where it is an error."""
        answer = self._client.get(path, params=parameters).json()
        if answer["status"] != "success":
            raise RuntimeError(f"Prometheus refused {path} {parameters}: {answer['error']}")
        return answer["data"]

    def query(self, expression: str) -> list[Sample]:
        """Give the value now of each series of an expression (a scalar is one sample without labels).

        Raises RuntimeError with Prometheus's words where it refuses the expression.
        """
        data = self.get("/api/v1/query", query=expression)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]

    def wait_for(self, expression: str, timeout_s: float = 15.0) -> list[Sample]:
        """Give the samples of an expression as soon as it has any. Raises TimeoutError after timeout_s seconds."""
        deadline = time.monotonic() + timeout_s
        while not (samples := self.query(expression)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing for {expression!r} within {timeout_s:g} s; targets: {self._targets()}")
            time.sleep(_POLL_S)
        return samples

    def close(self) -> None:
        self._process.stop()
        self._client.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _targets(self) -> list[str]:
        targets = self.get("/api/v1/targets")["activeTargets"]
        return [f"{each['scrapeUrl']} {each['health']} {each['lastError']}".strip() for each in targets]


PrometheusFactory: TypeAlias = (
    "Callable[..., Prometheus]"  # takes what Prometheus takes; what the fixture prometheus_factory gives
)


def find_prometheus() -> str:
    """Give the path of the program. Raises Unavailable where it is not installed."""
    return find_program("prometheus")


def find_program(*names: str) -> str:
    """Give the path of the first of these that is installed. Raises Unavailable where none is."""
    for name in names:
        if path := shutil.which(name):
            return path
    raise Unavailable(f"{names[0]} is not installed")


def program_version(program: str) -> str:
    """Give the version that a program of the Prometheus family says of itself."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True)
    found = re.search(r"version (\S+)", done.stdout + done.stderr)  # older ones say it on standard error
    return found[1].rstrip(",") if found else "of unknown version"


def is_ready(client: httpx2.Client) -> bool:
    """Say whether a program of the Prometheus family answers that it is ready."""
    try:
        return client.get("/-/ready").is_success
    except httpx2.TransportError:
        return False


def _settings(
    targets: Sequence[str], rules: Sequence[Path], alertmanagers: Sequence[str], metrics_path: str
) -> dict[str, object]:
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rule.resolve()) for rule in rules],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
        "scrape_configs": [
            {"job_name": "driftd", "metrics_path": metrics_path, "static_configs": [{"targets": list(targets)}]}
        ],
    }
