"""What keeps driftd itself going, as plain numbers. Words, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

ACKNOWLEDGED_S: Final = 15.0
"""So long may counts be on their way before a fold is not ready; as long as brokers may be away."""


@dataclass(frozen=True, slots=True)
class HeartbeatStatus:
    """How the heartbeat to a dead man's switch fares. is_on: whether there is one.

    withheld: beats that were due and not sent, since something was wrong: withheld_because, "" if nothing is. failed:
    attempts by bounded reason. sent_wall_s: of the last one that was accepted, None before the first.
    """

    is_on: bool = False
    sent: int = 0
    withheld: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    withheld_because: str = ""
    sent_wall_s: float | None = None


@dataclass(frozen=True, slots=True)
class StateStatus:
    """How state is kept. is_kept: whether it is at all. saved_wall_s: when it was last stored, None before the first.

    failures: in a row. cost_s, written_bytes: of the last save; state_bytes: all that is stored.
    """

    is_kept: bool = False
    saved_wall_s: float | None = None
    saves: int = 0
    failures: int = 0
    failures_total: int = 0
    cost_s: float = 0.0
    written_bytes: int = 0
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ReloadStatus:
    """What came of the last reload of the configuration; before the first, of the start.

    at_wall_s: of the last success. needs_restart: options that differ in the file and are in force from a restart on.
    version: of what is in force.
    """

    is_good: bool = True
    at_wall_s: float = 0.0
    needs_restart: tuple[str, ...] = ()
    version: str = ""


class CourtStatus(NamedTuple):
    """How a court fares. sent_wall_s: when its newest post was sent, by the fold's clock; None before the first.

    partitions, absent: source partitions that it knows of, and those that nobody has told of for long.
    """

    sent_wall_s: float | None
    partitions: int
    absent: int


@dataclass(frozen=True, slots=True)
class HalfStatus:
    """How one half of the scaled form fares. role: fold, judge, or "" for `driftd run`, which is neither.

    unclaimed: partitions that it has and can't work on yet: not claimed by a fold; courts whose state a judge lacks.
    Of a fold: claims, source partitions whose counts are its own; waiting_s, since when not all was claimed and
    acknowledged; posts and sent_bytes since the start.
    Of a judge: courts, by number; verdicts, deltas by what became of them.
    """

    role: str = ""
    claims: int = 0
    unclaimed: int = 0
    waiting_s: float = 0.0
    posts: int = 0
    sent_bytes: int = 0
    courts: Mapping[int, CourtStatus] = field(default_factory=dict)
    verdicts: Mapping[str, int] = field(default_factory=dict)

    def waits_for(self) -> str:
        """Say what it waits for before all that it has is worked on; "" for nothing."""
        if self.unclaimed and self.role == "judge":
            return f"{self.unclaimed} court(s) not open yet: their states are being loaded, or can't be"
        if self.unclaimed:
            return (
                f"{self.unclaimed} partition(s) not claimed yet: what was committed of them is not known, or not taken"
            )
        if self.waiting_s > ACKNOWLEDGED_S:
            return f"counts: not acknowledged by the topic of deltas for {self.waiting_s:.0f} s"
        return ""


@dataclass(frozen=True, slots=True)
class SilenceStatus:
    """Maintenance. windows: those in force: start and end (event time), globs of models, and why.

    held: by dedup_key of alerts that fire and nobody is told of, why. silenced: changes that nobody was told of.
    """

    windows: tuple[tuple[float, float, tuple[str, ...], str], ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    silenced: int = 0


@dataclass(frozen=True, slots=True)
class Delays:
    """How long something took, each time it happened.

    bounds_s: ascending. counts: how often it took up to each bound and longer than the one before; one more than
    bounds_s, the last being those that took longer than all.
    """

    bounds_s: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)
    sum_s: float = 0.0
