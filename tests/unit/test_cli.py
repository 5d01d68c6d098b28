"""The command line: what it says of itself, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import structlog
from typer.testing import CliRunner, Result

from monitor import __version__
from monitor.cli import cli
from monitor.config import settings_schema
from monitor.running import _on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS = (
    "run",
    "check",
    "replay",
    "explain",
    "gate",
    "scorecard",
    "drill",
    "demo",
    "schema",
    "version",
    "baseline",
    "state",
    "dlq",
)
GROUPS = {
    "baseline": ("build", "show", "diff"),
    "state": ("ls", "inspect", "verify", "export", "import"),
    "dlq": ("replay",),
}
ALL = [(), *((name,) for name in COMMANDS), *((group, name) for group, names in GROUPS.items() for name in names)]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder with nothing in the environment, and leave logging as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DRIFTD_CONFIG", raising=False)
    yield
    structlog.reset_defaults()


def driftd(*words: str, **env: str) -> Result:
    return CliRunner().invoke(cli, words, env={"COLUMNS": "200", **env})


def process(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class TestHelp:
    def test_every_command_is_listed_with_what_it_does(self) -> None:
        text = driftd("--help").stdout

        for name in COMMANDS:
            (line,) = [each for each in text.splitlines() if each.startswith(f"│ {name} ")]
            assert len(line.strip("│ ").removeprefix(name).strip()) > 15
        assert "Exit codes: 0 good, 1 failed, 2 wrong usage, 78 wrong configuration." in text

    @pytest.mark.parametrize("words", ALL, ids=lambda words: " ".join(words) or "driftd")
    def test_help_of_every_command_ends_well(self, words: tuple[str, ...]) -> None:
        result = driftd(*words, "--help")

        assert 0 == result.exit_code
        assert f"driftd {' '.join(words)}".strip() in result.stdout.replace("cli", "driftd", 1)

    @pytest.mark.parametrize("words", ALL, ids=lambda words: " ".join(words) or "driftd")
    def test_every_option_is_explained(self, words: tuple[str, ...]) -> None:
        lines = [line.strip("│ ") for line in driftd(*words, "--help").stdout.splitlines() if "│" in line]
        options = [line for line in lines if line.lstrip("* ").startswith("--")]

        assert options
        assert [] == [line for line in options if not line.rstrip("] ").split(">")[-1].strip()]

    def test_nothing_at_all_is_answered_with_help(self) -> None:
        result = driftd()

        assert 2 == result.exit_code
        assert "Usage: " in result.output


class TestExitCodes:
    def test_good_is_0(self) -> None:
        assert 0 == driftd("version").exit_code

    def test_failed_is_1_and_one_line(self) -> None:
        result = driftd("replay", "--input", "no-such.jsonl")

        assert 1 == result.exit_code
        assert "driftd: no-such.jsonl: can't be read: No such file or directory\n" == result.stderr

    @pytest.mark.parametrize("words", [("no-such",), ("version", "--no-such"), ("demo", "--seconds", "5")])
    def test_wrong_usage_is_2_and_nothing_on_standard_output(self, words: tuple[str, ...]) -> None:
        result = driftd(*words)

        assert (2, "") == (result.exit_code, result.stdout)

    @pytest.mark.parametrize("command", ["run", "check"])
    def test_wrong_configuration_is_78_and_names_the_cure(self, command: str) -> None:
        result = driftd(command)

        assert (78, "") == (result.exit_code, result.stdout)
        assert "kafka.topics: is missing" in result.stderr

    def test_process_ends_with_the_same_codes(self) -> None:
        assert 78 == process("run", "--config", "no-such.yaml").returncode


class TestSignals:
    @pytest.fixture(autouse=True)
    def _handlers(self) -> Iterator[None]:
        before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        yield
        for number, handler in before.items():
            signal.signal(number, handler)

    @pytest.mark.parametrize(
        ("number", "called"), [(signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "reload")]
    )
    def test_each_does_what_it_is_for(self, number: signal.Signals, called: str) -> None:
        calls: list[str] = []
        _on_signals(lambda: calls.append("stop"), lambda: calls.append("reload"))
        signal.raise_signal(number)

        assert [called] == calls

    def test_hang_ups_may_come_as_often_as_they_like(self) -> None:
        calls: list[str] = []
        _on_signals(lambda: calls.append("stop"), lambda: calls.append("reload"))
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)

        assert ["reload"] * 3 == calls


class TestVersionAndSchema:
    def test_version_for_people_and_for_programs(self) -> None:
        assert f"driftd {__version__}\n" == driftd("version").stdout
        assert {"version": __version__} == json.loads(driftd("version", "--json").stdout)

    def test_schema_is_that_of_the_settings(self) -> None:
        assert settings_schema() == json.loads(driftd("schema").stdout)

    def test_reader_that_goes_away_early_is_no_crash(self) -> None:
        command = [sys.executable, "-m", "monitor", "schema"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            child.stdout.close()

            assert "Traceback" not in child.stderr.read()


class TestRun:
    def test_command_line_stands_in_for_a_file(self) -> None:
        """It gets as far as its port, which somebody else has: nothing else was missing."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])

            done = process("run", "--brokers", "127.0.0.1:1", "--topic", "a", "--topic", "b", "--port", port)

        assert 78 == done.returncode
        assert f"can't listen on 127.0.0.1, port {port}: Address already in use" in done.stderr
        assert "Traceback" not in done.stderr

    def test_what_is_wrong_on_the_command_line_is_named_by_its_option(self) -> None:
        result = driftd("run", "--topic", "^a", "--port", "99999")

        assert 78 == result.exit_code
        assert result.stderr.startswith("--topic: kafka.topics[0]: found ")
        assert "--port: http.port: found '99999'; at most 65535 is allowed; lower it\n" in result.stderr
