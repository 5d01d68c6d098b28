"""The loop's standstills: told once each, with stacks, and told apart from a process that did not run."""

from __future__ import annotations

import faulthandler
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from monitor.stalls import LOOKS, StallWatch

STALL_S: Final = 30.0
STEP_S: Final = STALL_S / LOOKS


@dataclass
class Loop:
    """A loop as it is seen, on virtual time."""

    now_s: float = 1_000.0
    tick: int | None = 0
    is_busy: bool = True
    dumps: list[float] = field(default_factory=list)
    watch: StallWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = StallWatch(
            lambda: self.tick, STALL_S, lambda: self.is_busy, lambda: self.dumps.append(self.now_s), lambda: self.now_s
        )

    def run(self, looks: int, *, ticks: bool) -> list[dict[str, object]]:
        with capture_logs() as logs:
            for _ in range(looks):
                self.now_s += STEP_S
                self.tick = None if self.tick is None else self.tick + ticks
                self.watch.look()
        return [dict(line) for line in logs]


def test_a_loop_that_ticks_is_left_alone() -> None:
    loop = Loop()

    assert [] == loop.run(100, ticks=True)
    assert 0 == loop.watch.stalls


def test_a_standstill_is_told_once_with_stacks_and_its_end_too() -> None:
    loop = Loop()
    loop.run(5, ticks=True)
    began_s = loop.now_s

    (told,) = loop.run(100, ticks=False)
    (over,) = loop.run(10, ticks=True)

    assert [began_s + STALL_S] == loop.dumps
    assert 1 == loop.watch.stalls
    assert ("main loop stands still", "error", "loop_stalled") == (
        told["event"],
        told["log_level"],
        told["error_code"],
    )
    assert (STALL_S, "work") == (told["stalled_s"], told["doing"])
    assert ("main loop goes on", 303.0) == (over["event"], over["stalled_s"])


def test_how_long_it_stands_is_known_and_is_none_of_a_process_that_slept() -> None:
    loop = Loop()
    loop.run(5, ticks=True)
    assert 0.0 == loop.watch.standing_s

    loop.run(4, ticks=False)
    assert 4 * STEP_S == loop.watch.standing_s
    loop.now_s += 3_600.0
    loop.run(2, ticks=False)

    assert STEP_S == loop.watch.standing_s
    assert 0.0 == Loop(tick=None).watch.standing_s


def test_each_standstill_is_counted() -> None:
    loop = Loop(is_busy=False)
    for _ in range(3):
        loop.run(3, ticks=True)
        loop.run(20, ticks=False)

    assert 3 == loop.watch.stalls == len(loop.dumps)


def test_it_is_told_whether_the_loop_waited() -> None:
    loop = Loop(is_busy=False)
    loop.run(3, ticks=True)

    (told,) = loop.run(20, ticks=False)

    assert "waiting for messages" == told["doing"]


def test_before_the_first_turn_nothing_stands_still() -> None:
    loop = Loop(tick=None)

    assert [] == loop.run(1_000, ticks=False)


def test_a_process_that_did_not_run_is_no_standstill() -> None:
    loop = Loop()
    loop.run(5, ticks=True)
    loop.now_s += 3_600.0

    (told,) = loop.run(5, ticks=False)

    assert ("process did not run", 3_603.0) == (told["event"], told["seconds"])
    assert [] == loop.dumps
    assert 0 == loop.watch.stalls


def test_a_dump_that_fails_is_no_harm() -> None:
    def broken() -> None:
        raise ValueError("standard error is closed")

    now_s = [0.0]
    watch = StallWatch(lambda: 1, STALL_S, dump=broken, steady=lambda: now_s[0])
    with capture_logs() as logs:
        for _ in range(20):
            now_s[0] += STEP_S
            watch.look()

    assert ["main loop stands still", "stacks could not be written"] == [line["event"] for line in logs]


def test_the_thread_sees_a_real_standstill_and_writes_its_place(tmp_path: Path) -> None:
    release = threading.Event()
    with (tmp_path / "stacks").open("w+", encoding="utf-8") as stacks:
        watch = StallWatch(lambda: 1, 0.2, dump=lambda: faulthandler.dump_traceback(file=stacks, all_threads=True))

        def stuck_here() -> None:
            release.wait(10.0)

        stuck = threading.Thread(target=stuck_here)
        stuck.start()
        watch.start()
        deadline_s = time.monotonic() + 10.0
        while not watch.stalls and time.monotonic() < deadline_s:
            time.sleep(0.01)
        watch.stop()
        release.set()
        stuck.join()
        watch.stop()
        stacks.seek(0)
        written = stacks.read()

    assert 1 == watch.stalls
    assert "in stuck_here" in written


def test_stacks_go_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    now_s = [0.0]
    watch = StallWatch(lambda: 1, STALL_S, steady=lambda: now_s[0])
    for _ in range(20):
        now_s[0] += STEP_S
        watch.look()

    assert "in test_stacks_go_to_standard_error" in capfd.readouterr().err
