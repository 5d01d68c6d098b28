"""Who asks for a reload, and what comes of it: with a configuration that is made up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import pytest
from structlog.testing import capture_logs

from monitor import build
from monitor.config import load_settings
from monitor.errors import ConfigError, SinkError
from monitor.reloads import Reloads
from monitor.selfwatch.terms import SelfTerms
from monitor.silences import Maintenance

if TYPE_CHECKING:
    from monitor.pipeline_terms import PipelineTerms
    from monitor.reloads import Swapped
    from monitor.silences import Maintenance
from monitor.sinks.base import Sink

NOW_S: Final = 1_780_000_000.0
TERMS: Final = build.pipeline_terms(load_settings(None, {}, topics_required=False))


@dataclass(frozen=True)
class Found:
    """A configuration that was read."""

    terms: PipelineTerms = TERMS
    sinks: tuple[Sink, ...] = ()
    same: frozenset[str] = frozenset()
    watch: SelfTerms = field(default_factory=SelfTerms)
    maintenance: tuple[Maintenance, ...] = ()
    changed: tuple[str, ...] = ("models",)
    needs_restart: tuple[str, ...] = ()


def nothing() -> Found:
    return Found()


def bad() -> Found:
    raise ConfigError("driftd.yaml:3: models: is wrong; mend it")


def asking(reloads: Reloads) -> tuple[threading.Thread, list[str | None]]:
    """Ask from another thread; give it, and where the answer goes."""
    answers: list[str | None] = []
    thread = threading.Thread(target=lambda: answers.append(reloads()))
    thread.start()
    deadline_s = time.monotonic() + 10.0
    while not reloads.is_due and time.monotonic() < deadline_s:
        time.sleep(0.001)
    return thread, answers


def run(load: Callable[[], Swapped] | None) -> tuple[Reloads, list[Swapped]]:
    reloads, swapped = Reloads(load, NOW_S), []  # type: ignore[var-annotated]
    reloads.signal()
    reloads.run(swapped.append, NOW_S + 60.0)
    return reloads, swapped


class TestAsking:
    def test_nobody_has_asked_at_first(self) -> None:
        assert not Reloads(nothing, NOW_S).is_due

    def test_signal_asks_once(self) -> None:
        reloads = Reloads(nothing, NOW_S)
        reloads.signal()
        reloads.signal()
        assert reloads.is_due
        reloads.run(lambda _: None, NOW_S)

        assert not reloads.is_due

    def test_signal_that_comes_while_the_file_is_read_is_not_lost(self) -> None:
        """The file may have changed again since it was read."""
        reloads: Reloads

        def load() -> Found:
            reloads.signal()
            return Found()

        reloads = Reloads(load, NOW_S)
        reloads.signal()
        reloads.run(lambda _: None, NOW_S)

        assert reloads.is_due

    def test_another_thread_waits_until_it_is_done(self) -> None:
        reloads, swapped = Reloads(nothing, NOW_S), []  # type: ignore[var-annotated]
        thread, answers = asking(reloads)
        waiting = thread.is_alive()
        reloads.run(swapped.append, NOW_S)
        thread.join(10.0)

        assert (True, [None], 1) == (waiting, answers, len(swapped))
        assert not reloads.is_due

    def test_another_thread_is_told_what_is_wrong(self) -> None:
        reloads = Reloads(bad, NOW_S)
        thread, answers = asking(reloads)
        with capture_logs():
            reloads.run(lambda _: None, NOW_S)
        thread.join(10.0)

        assert ["driftd.yaml:3: models: is wrong; mend it"] == answers

    def test_all_who_ask_at_once_are_answered_by_one_reload(self) -> None:
        reloads, swapped = Reloads(nothing, NOW_S), []  # type: ignore[var-annotated]
        asked = [asking(reloads) for _ in range(3)]
        deadline_s = time.monotonic() + 10.0
        while len(reloads._asked) < 3 and time.monotonic() < deadline_s:
            time.sleep(0.001)
        reloads.run(swapped.append, NOW_S)
        for thread, _ in asked:
            thread.join(10.0)

        assert ([[None]] * 3, 1) == ([answers for _, answers in asked], len(swapped))

    def test_loop_that_does_not_come_to_it_is_not_waited_for_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("monitor.reloads.WAIT_S", 0.01)
        reloads = Reloads(nothing, NOW_S)

        assert "the loop did not come to it" in (reloads() or "")
        assert reloads.is_due, "it is done later all the same"
        reloads.run(lambda _: None, NOW_S)


class TestOutcome:
    def test_good_file_is_swapped_in(self) -> None:
        found = Found(changed=("log.level",), needs_restart=("kafka.topics",))
        with capture_logs() as lines:
            reloads, swapped = run(lambda: found)

        assert [found] == swapped
        assert (True, NOW_S + 60.0, ("kafka.topics",)) == (
            reloads.status.is_good,
            reloads.status.at_wall_s,
            reloads.status.needs_restart,
        )
        assert [(("log.level",), ("kafka.topics",))] == [(line["changed"], line["needs_restart"]) for line in lines]

    @pytest.mark.parametrize("error", [ConfigError("no such file"), SinkError("x", is_retryable=False, reason="other")])
    def test_bad_file_changes_nothing_and_shows(self, error: Exception) -> None:
        def load() -> Found:
            raise error

        with capture_logs() as lines:
            reloads, swapped = run(load)

        assert ([], False, NOW_S) == (swapped, reloads.status.is_good, reloads.status.at_wall_s)
        assert [("reload_failed", str(error))] == [(line["error_code"], line["error"]) for line in lines]

    def test_it_shows_until_a_good_one_is_read_and_what_needs_a_restart_stays(self) -> None:
        files: list[Callable[[], Found]] = [lambda: Found(needs_restart=("kafka.topics",)), bad, nothing]
        reloads = Reloads(lambda: files.pop(0)(), NOW_S)  # noqa: PLW0108 - another one each time
        seen = []
        with capture_logs():
            for after_s in (1.0, 2.0, 3.0):
                reloads.run(lambda _: None, NOW_S + after_s)
                seen.append(replace(reloads.status))

        assert [True, False, True] == [each.is_good for each in seen]
        assert [NOW_S + 1, NOW_S + 1, NOW_S + 3] == [each.at_wall_s for each in seen]
        assert [("kafka.topics",), ("kafka.topics",), ()] == [each.needs_restart for each in seen]

    def test_process_without_a_file_says_so(self) -> None:
        reloads = Reloads(None, NOW_S)
        thread, answers = asking(reloads)
        reloads.run(lambda _: None, NOW_S)
        thread.join(10.0)

        assert ["this process can't reload its configuration"] == answers
