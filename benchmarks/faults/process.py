"""The daemon while it is killed: one life after the other on the same configuration, state and log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from monitor.domain import TopicPartition
from monitor.errors import StateError
from monitor.kept import State
from monitor.store import Store, Stored, reading
from tests.support.daemon import command, write_config
from tests.support.process import free_ports

POLL_S: Final = 0.02
START_S_MAX: Final = 60.0


@dataclass(slots=True)
class Life:
    """One process. log_from: where its lines begin in the log that all lives share."""

    child: subprocess.Popen[bytes]
    began_s: float
    began_wall_s: float
    log_from: int

    @property
    def is_running(self) -> bool:
        return self.child.poll() is None

    def send(self, number: signal.Signals) -> None:
        os.kill(self.child.pid, number)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.is_running:
            self.child.kill()
        self.child.wait()


class Daemon:
    """A configuration, and the processes that run on it one after the other."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], role: str = "run") -> None:
        self.role = role
        folder.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        self.state = Path(settings["state"]["directory"])
        self.log = folder / "driftd.log"
        whole = {"http": {"port": self.port}, "log": {"format": "json"}, **settings}
        self.config = write_config(folder, whole)
        self._client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=10.0)

    def close(self) -> None:
        self._client.close()

    def start(self) -> Life:
        """Start a process, and do not wait for it."""
        with self.log.open("ab") as output:
            log_from = output.tell()
            child = subprocess.Popen(
                command(self.role, "--config", str(self.config)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Life(child, time.monotonic(), time.time(), log_from)

    def lines(self, log_from: int = 0) -> list[dict[str, Any]]:
        """Give the lines of the log from a place on; one cut by a kill is left out."""
        with self.log.open("rb") as file:
            file.seek(log_from)
            text = file.read().decode(errors="replace")
        found = []
        for line in text.splitlines():
            if line.startswith("{") and line.endswith("}"):
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return found

    def wait(self, life: Life, event: str, timeout_s: float = START_S_MAX) -> dict[str, Any]:
        """Give the first line of a process with this event. Raises RuntimeError if it ends or says nothing in time."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            is_running = life.is_running
            for line in self.lines(life.log_from):
                if line["event"] == event:
                    return line
            if not is_running or time.monotonic() > deadline_s:
                raise RuntimeError(f"no {event!r} from driftd (code {life.child.poll()}):\n{self.tail(life)}")
            time.sleep(POLL_S)

    def has_said(self, life: Life, event: str) -> bool:
        """Tell whether a process has written a line with this event."""
        return any(line["event"] == event for line in self.lines(life.log_from))

    def tail(self, life: Life) -> str:
        """Give the end of what a process wrote."""
        with self.log.open("rb") as file:
            file.seek(life.log_from)
            return file.read().decode(errors="replace")[-4_000:]

    def get(self, path: str) -> httpx2.Response | None:
        """Give the answer to a request, None where nobody answers."""
        try:
            return self._client.get(path)
        except httpx2.TransportError:
            return None

    def metric(self, name: str, **labels: str) -> float:
        """Give the sum of a metric over its series with these labels."""
        answer = self.get("/metrics")
        assert answer is not None, "nobody answers at /metrics"
        families = text_string_to_metric_families(answer.raise_for_status().text)
        samples = [each for family in families for each in family.samples if each.name == name]
        return sum(each.value for each in samples if each.labels.items() >= labels.items())

    def positions(self) -> Mapping[TopicPartition, int]:
        """Give the offsets that are stored, also while it runs."""
        try:
            with reading(self.state) as database:
                return database.contents().positions
        except StateError:
            return {}  # nothing is stored yet

    def wait_read(self, ends: Mapping[TopicPartition, int], life: Life, timeout_s: float = 120.0) -> None:
        """Return when all up to these offsets is stored. Raises RuntimeError if it ends, or takes too long."""
        deadline_s = time.monotonic() + timeout_s
        while any(self.positions().get(each, 0) < end for each, end in ends.items()):
            if not life.is_running or time.monotonic() > deadline_s:
                behind = {str(each): (self.positions().get(each, 0), end) for each, end in ends.items()}
                raise RuntimeError(f"not all was read: {behind}\n{self.tail(life)}")
            time.sleep(0.1)

    def sections(self) -> dict[str, State]:
        """Give what is stored, also while it runs; nothing where nothing is stored yet."""
        try:
            with reading(self.state) as database:
                return {row.name: database.section(row) for row in database.rows()}
        except StateError:
            return {}

    def stop(self, life: Life) -> None:
        """Have it stop in good order. Raises RuntimeError if it does not."""
        life.send(signal.SIGTERM)
        code = life.child.wait(60.0)
        if code:
            raise RuntimeError(f"driftd ended with {code}:\n{self.tail(life)}")

    def stored(self) -> Stored:
        """Give what is stored, once nobody writes to it."""
        with closing(Store.open(self.state)) as store:
            found = store.load()
        assert found is not None, "nothing was stored"
        return found


def wall_s(line: Mapping[str, Any]) -> float:
    """Give when a line was logged."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()
