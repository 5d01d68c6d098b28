from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog import configure

from monitor import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    yield
    logs.set_level("info")
    structlog.reset_defaults()


def line_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Give the one line that was logged, and check that standard output was left alone."""
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert "" == out
    found: dict[str, Any] = json.loads(line)
    return found


def test_json_line_holds_event_level_time_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json")
    structlog.get_logger().info("something", count=3)

    line = line_of(capsys)

    assert ("something", "info", 3) == (line["event"], line["level"], line["count"])
    assert line["timestamp"].endswith("Z")


def test_auto_is_json_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "auto")
    structlog.get_logger().info("something")

    assert "something" == line_of(capsys)["event"]


def test_console_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "console")
    structlog.get_logger().info("something", count=3)

    text = capsys.readouterr().err
    assert "something" in text
    assert "count=3" in text
    assert not text.startswith("{")


@pytest.mark.parametrize(("level", "said"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_less_severe_lines_are_left_out(level: str, said: int, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(level, "json")
    log = structlog.get_logger()
    for each in (log.debug, log.info, log.warning, log.error):
        each("something")

    assert said == len(capsys.readouterr().err.splitlines())


def test_level_can_change_while_it_runs_also_for_loggers_that_were_used_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("info", "json")
    configure(cache_logger_on_first_use=True)  # as it is outside of tests
    log = structlog.get_logger()
    said = []
    for level in ("info", "error", "debug"):
        logs.set_level(level)
        for each in (log.debug, log.info, log.warning, log.error):
            each("something")
        said.append(len(capsys.readouterr().err.splitlines()))

    assert [3, 1, 4] == said


def test_bug_is_told_at_every_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("error", "json")
    structlog.get_logger().exception("failed")

    assert "error" == line_of(capsys)["level"]


def test_unknown_level_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("error", "json")
    with pytest.raises(KeyError):
        logs.set_level("loud")
    structlog.get_logger().warning("something")

    assert "" == capsys.readouterr().err


def test_name_from_outside_can_not_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "console")
    structlog.get_logger().info("alert", model='m\r\n2026-01-01 [error] "forged"')

    assert 1 == len(capsys.readouterr().err.splitlines())


def test_long_value_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json")
    structlog.get_logger().info("something", text="x" * 10_000)

    assert logs.TEXT_CHARS_MAX + 1 == len(line_of(capsys)["text"])


def test_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json")
    try:
        int("a bug")
    except ValueError:
        structlog.get_logger().exception("failed")

    assert "ValueError: invalid literal" in line_of(capsys)["exception"]
