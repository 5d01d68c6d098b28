"""The demonstration as a newcomer runs it: nothing but this machine, and a result that a program can read."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import command, driftd, wait_for
from tests.support.process import Process

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def done() -> subprocess.CompletedProcess[str]:
    return driftd("demo", "--seconds", "45", "--json", timeout_s=120)


def test_every_planted_incident_is_detected_and_nothing_else_fires(done: subprocess.CompletedProcess[str]) -> None:
    result = json.loads(done.stdout.splitlines()[-1])

    assert 0 == done.returncode
    assert (3, 3, 0) == (result["planted"], result["detected"], result["false_alarms"])
    assert 3.0 < result["mttd_s"] < 15.0
    assert {"feature_shift", "unsafe_rise", "latency_rise"} == {each["name"] for each in result["incidents"]}
    assert all(each["detected"] and each["delay_s"] > 0 for each in result["incidents"])
    assert result["events"] > 5_000


def test_story_is_told_to_people_and_the_result_alone_to_programs(done: subprocess.CompletedProcess[str]) -> None:
    assert 1 == len(done.stdout.splitlines())
    for word in ("healthy traffic", "planted", "alert", "3 of 3 incidents detected and delivered", "/metrics"):
        assert word in done.stderr


def test_scaled_form_detects_all_while_one_of_each_is_killed_and_others_take_over() -> None:
    done = driftd("demo", "--scaled", "--seconds", "60", "--json", timeout_s=300)

    assert 0 == done.returncode, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (3, 3, 0) == (result["planted"], result["detected"], result["false_alarms"])
    assert ["fold", "judge"] == [each["who"].split()[0] for each in result["killed"]]
    assert all(each["took_over_s"] > 0 for each in result["killed"])
    for word in ("judge 2 is up", "fold 2 is up", "kill -9", "took over"):
        assert word in done.stderr


def test_interrupt_ends_it_with_all_that_it_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Process("driftd demo", command("demo", "--forever"), log) as demo:
        demo.wait_ready(lambda: "healthy traffic" in log.read_text(), 40.0)
        (daemon,) = children(demo.pid)
        began_s = time.monotonic()
        demo._child.send_signal(signal.SIGTERM)
        demo._child.wait(30)

        assert time.monotonic() - began_s < 15.0
        wait_for(lambda: not is_alive(daemon), "the daemon to be gone")
    assert "stopping" in log.read_text()
    assert "Traceback" not in log.read_text()


def children(pid: int) -> list[int]:
    """Give the processes that a process has started."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [line.split() for line in listed.stdout.splitlines()]
    return [int(own) for own, parent in pairs if int(parent) == pid]


def is_alive(pid: int) -> bool:
    return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0
