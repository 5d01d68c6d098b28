"""What keeps driftd itself going, as plain numbers. Words, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    """

    is_good: bool = True
    at_wall_s: float = 0.0
    needs_restart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SilenceStatus:
    """Maintenance. windows: those in force: start and end (event time), globs of models, and why.

    held: by dedup_key of alerts that fire and nobody is told of, why. silenced: changes that nobody was told of.
    """

    windows: tuple[tuple[float, float, tuple[str, ...], str], ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    silenced: int = 0
