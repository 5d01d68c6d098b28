"""When a beat is earned, and that it is sent only then; on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from monitor.config import load_settings
from monitor.domain import PartitionStatus, SinkStatus, Snapshot, TopicPartition
from monitor.errors import ConfigError
from monitor.heartbeat import Beats, Heartbeat, HeartbeatTerms, Refused
from monitor.upkeep import StateStatus
from tests.unit.snapshots import picture, snapshot

URL: Final = "https://hc-ping.example.com/4f2c-secret"
P0: Final = TopicPartition("t", 0)
STEP_S: Final = 60.0


def part(**changes: object) -> PartitionStatus:
    plain = PartitionStatus(P0, 100, 100, 0, 0.0, 0.0)
    return replace(plain, **changes)  # type: ignore[arg-type] # fields of the status


def sink(name: str, *, is_healthy: bool) -> SinkStatus:
    return SinkStatus(name, 1, {}, 0, 0.0, is_healthy=is_healthy)


GOOD: Final = replace(
    snapshot(),
    picture=replace(picture(), counted={("t", "inference"): 100}, looks=10),
    partitions=(part(),),
    sinks=(sink("log", is_healthy=True), sink("pager", is_healthy=True)),
    state=StateStatus(is_kept=True, saved_wall_s=1.0),
)
Change = Callable[[Snapshot, int], Snapshot]


def seen(change: Change, times: int = 10, start: int = 1) -> list[str]:
    """Give what was lacking at each of some beats, of a daemon that works but for one change."""
    beats = Beats(STEP_S, judge_s=90.0, silent=("log",))
    out = []
    for n in range(times):
        working = replace(GOOD, tick_wall_s=GOOD.wall_s + n)
        out.append(beats.lacks(change(working, n) if n >= start else working, STEP_S * n))
    return out[1:]


def busy(snapshot: Snapshot, n: int) -> Snapshot:
    """Let events come, be read and be judged."""
    counted = {("t", "inference"): 100 + n}
    return replace(
        snapshot,
        picture=replace(snapshot.picture, counted=counted, looks=10 + n),
        partitions=(part(position=100 + n, lag_records=5, stalled_s=0.0),),
    )


EARNED: Final[dict[str, Change]] = {
    "quiet and caught up": lambda s, _: s,
    "busy": busy,
    "far behind, and reading": lambda s, n: replace(
        busy(s, n), partitions=(part(position=n, lag_records=10**6, lag_s=9e3, stalled_s=0.0),)
    ),
    "a partition that waits for a moment": lambda s, _: replace(s, partitions=(part(lag_records=9, stalled_s=20.0),)),
    "a partition that has just come": lambda s, n: replace(
        s, partitions=(part(), part(source=TopicPartition("t", n), lag_records=3, stalled_s=0.0))
    ),
    "a lag that is not known": lambda s, _: replace(s, partitions=(part(lag_records=None, end=None),)),
    "outcomes and rejected messages alone, which nobody judges": lambda s, n: replace(
        s, picture=replace(s.picture, counted={("t", "inference"): 100, ("t", "label"): n}, received={"t": n})
    ),
    "no state is kept": lambda s, _: replace(s, state=StateStatus(is_kept=False)),
    "one receiver of two is down": lambda s, _: replace(
        s, sinks=(sink("pager", is_healthy=False), sink("hook", is_healthy=True))
    ),
    "only a log": lambda s, _: replace(s, sinks=(sink("log", is_healthy=True),)),
    "no receiver": lambda s, _: replace(s, sinks=()),
}
WITHHELD: Final[dict[str, tuple[Change, str]]] = {
    "the loop stands still": (lambda s, _: replace(s, tick_wall_s=5.0), "the main loop stands still"),
    "brokers do not answer": (
        lambda s, _: replace(s, is_ready=False, not_ready_because="no broker has answered for a while"),
        "no broker has answered for a while",
    ),
    "nothing is assigned": (lambda s, _: replace(s, partitions=()), "no partition is read here"),
    "a partition stands still, others do not": (
        lambda s, n: replace(
            s,
            partitions=(
                part(position=n, lag_records=5, stalled_s=0.0),
                part(source=TopicPartition("t", 7), lag_records=1, stalled_s=61.0),
            ),
        ),
        "partition t/7 is not read",
    ),
    "a partition is held back for good": (
        lambda s, _: replace(s, partitions=(part(lag_records=1, is_held=True),)),
        "partition t/0 is not read",
    ),
    "state can't be stored": (
        lambda s, _: replace(s, state=replace(s.state, failures=1)),
        "state can't be stored",
    ),
    "state was never stored": (
        lambda s, _: replace(s, state=StateStatus(is_kept=True)),
        "state was not stored yet",
    ),
    "nobody can be told": (
        lambda s, _: replace(s, sinks=(sink("log", is_healthy=True), sink("pager", is_healthy=False))),
        "no receiver takes notices",
    ),
}


@pytest.mark.parametrize("change", EARNED.values(), ids=EARNED)
def test_a_beat_is_earned(change: Change) -> None:
    assert {""} == set(seen(change))


@pytest.mark.parametrize(("change", "because"), WITHHELD.values(), ids=WITHHELD)
def test_a_beat_is_withheld_from_then_on(change: Change, because: str) -> None:
    found = seen(change, start=4)

    assert ["", "", ""] == found[:3]
    assert {because} == set(found[4:])


def test_events_that_are_not_judged_withhold_after_a_while_and_until_they_are() -> None:
    def unjudged(s: Snapshot, n: int) -> Snapshot:
        looks = 10 if n < 8 else n
        return replace(s, picture=replace(s.picture, counted={("t", "inference"): 100 + n}, looks=looks))

    found = seen(unjudged, times=12)

    assert ["", "", *["events come and are not judged"] * 5, *[""] * 4] == found


def test_the_first_beat_needs_two_snapshots() -> None:
    beats = Beats(STEP_S, judge_s=90.0)

    assert "driftd has only just started" == beats.lacks(None, 0.0)
    assert "driftd has only just started" == beats.lacks(GOOD, 60.0)
    assert "" == beats.lacks(replace(GOOD, tick_wall_s=GOOD.wall_s + 60), 120.0)


# ---- sending


@dataclass
class Switch:
    """A heartbeat whose beats end here."""

    answers: list[Exception | None] = field(default_factory=list)
    beaten: int = 0
    now_s: float = 0.0
    shown: Snapshot = GOOD
    heart: Heartbeat = field(init=False)

    def __post_init__(self) -> None:
        terms = HeartbeatTerms(SecretStr(URL))
        self.heart = Heartbeat(lambda: self.shown, terms, self.take, lambda: 1_700_000_000.0, lambda: self.now_s)

    def take(self, terms: HeartbeatTerms) -> None:
        assert terms.url.get_secret_value() == URL
        self.beaten += 1
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer

    def step(self, **changes: object) -> list[str]:
        """Beat once, a minute later; give what was logged."""
        self.now_s += STEP_S
        self.shown = replace(self.shown, tick_wall_s=self.shown.tick_wall_s + 1, **changes)  # type: ignore[arg-type]
        with capture_logs() as logs:
            self.heart.step()
        assert URL not in str(logs)
        assert "4f2c" not in str(logs)
        return [str(line["event"]) for line in logs]


def test_beats_are_sent_and_counted() -> None:
    switch = Switch()
    switch.step()

    assert [] == [line for _ in range(3) for line in switch.step()][1:]
    status = switch.heart.status()
    assert (True, 3, 1, {}, "", 1_700_000_000.0) == (
        status.is_on,
        status.sent,
        status.withheld,
        status.failed,
        status.withheld_because,
        status.sent_wall_s,
    )
    assert 3 == switch.beaten


def test_what_is_withheld_is_not_sent_and_told_once() -> None:
    switch = Switch()
    switch.step()
    switch.step()

    told = [switch.step(is_ready=False, not_ready_because="no broker") for _ in range(3)]

    assert [["heartbeat withheld"], [], []] == told
    assert "no broker" == switch.heart.status().withheld_because
    assert 1 == switch.beaten
    assert ["heartbeat goes on"] == switch.step(is_ready=True)
    assert 2 == switch.beaten


def test_what_is_not_taken_is_counted_by_reason_and_tried_again() -> None:
    switch = Switch(answers=[Refused("timeout"), Refused("timeout"), Refused("status_5xx"), OSError(URL), None])
    switch.step()

    told = [switch.step() for _ in range(5)]

    assert {"timeout": 2, "status_5xx": 1, "other_OSError": 1} == switch.heart.status().failed
    assert 1 == switch.heart.status().sent
    assert ["heartbeat goes on", "heartbeat not taken"] == told[0]
    assert [[], ["heartbeat not taken"], ["heartbeat not taken"], ["heartbeat taken again"]] == told[1:]


def test_the_address_is_shown_nowhere() -> None:
    switch = Switch(answers=[ValueError(URL)])
    switch.step()
    switch.step()

    assert URL not in repr(switch.heart.status())
    assert URL not in repr(HeartbeatTerms(SecretStr(URL)))


# ---- settings


def test_settings_take_the_address_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text(f"{URL}\n", encoding="utf-8")

    found = load_settings(None, {"DRIFTD_KAFKA__TOPICS": "t", "DRIFTD_HEARTBEAT__URL_FILE": str(path)}).heartbeat

    assert found.url is not None
    assert URL == found.url.get_secret_value()
    assert URL not in repr(found)


@pytest.mark.parametrize(
    "url", ["hc-ping.example.com/secret-7", "ftp://h/secret-7", "https://u:secret-7@h/", "https://169.254.1.1/secret-7"]
)
def test_settings_refuse_what_is_no_address_and_do_not_repeat_it(url: str) -> None:
    with pytest.raises(ConfigError, match=r"heartbeat\.url: ") as found:
        load_settings(None, {"DRIFTD_KAFKA__TOPICS": "t", "DRIFTD_HEARTBEAT__URL": url})

    assert "secret-7" not in str(found.value)
