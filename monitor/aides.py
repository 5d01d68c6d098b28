"""Those who help the loop: messages that can't be used, alerts about driftd itself, the heartbeat, and stalls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from monitor.annotations import Annotations
from monitor.breakers import Breakers, BreakerTerms
from monitor.rejects import Rejects
from monitor.selfwatch import SelfWatch
from monitor.selfwatch.terms import Usage
from monitor.silences import Silences
from monitor.upkeep import HeartbeatStatus
from monitor.versions import GateStatus

Usages = tuple[Usage | None, Usage | None]


class Running(Protocol):
    """Something with a thread of its own."""

    def start(self) -> None:
        """Begin; called once."""
        ...

    def stop(self) -> None:
        """End, within about a second."""
        ...


class Beating(Running, Protocol):
    """What the loop asks of the heartbeat; see heartbeat.Heartbeat."""

    def status(self) -> HeartbeatStatus:
        """Give how it fares."""
        ...


class Gating(Running, Protocol):
    """What the loop asks of who judges releases; see gate_watch.GateWatch."""

    def status(self) -> Sequence[GateStatus]:
        """Give what the gates say."""
        ...


class Standing(Running, Protocol):
    """What the loop asks of who sees it stand still; see stalls.StallWatch."""

    @property
    def stalls(self) -> int:
        """How often it stood still."""
        ...

    @property
    def standing_s(self) -> float:
        """For how long it has."""
        ...


def _no_usage() -> Usages:
    return None, None


@dataclass(frozen=True, slots=True)
class Aides:
    """All of them. usage: gives how much memory and disk is in use. silences: what nobody is told of."""

    rejects: Rejects = field(default_factory=lambda: Rejects(Breakers(BreakerTerms())))
    watch: SelfWatch = field(default_factory=SelfWatch)
    heartbeat: Beating | None = None
    stalls: Standing | None = None
    gates: Gating | None = None
    annotations: Annotations = field(default_factory=Annotations)
    usage: Callable[[], Usages] = _no_usage
    silences: Silences = field(default_factory=Silences)

    def threads(self) -> Iterator[Running]:
        """Give those with threads."""
        yield from (each for each in (self.stalls, self.heartbeat, self.gates) if each is not None)

    def heartbeat_status(self) -> HeartbeatStatus:
        """Give how the heartbeat fares, if there is one."""
        return HeartbeatStatus() if self.heartbeat is None else self.heartbeat.status()

    def gates_status(self) -> Sequence[GateStatus]:
        """Give what the gates of releases say, if any is asked."""
        return () if self.gates is None else self.gates.status()

    def stalls_seen(self) -> int:
        """Give how often the loop stood still."""
        return 0 if self.stalls is None else self.stalls.stalls
