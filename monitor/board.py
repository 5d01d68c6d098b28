"""What the loop asks of those who tell and serve, and where it hangs the last picture for everyone to see."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from monitor.domain import Alert, SinkStatus, Snapshot, Transition
from monitor.kept import Section, State
from monitor.sinks.base import Sink


class Telling(Protocol):
    """What the loop asks of delivery; see delivery.Delivery."""

    def start(self) -> None:
        """Begin to deliver. Called once, before the loop runs."""
        ...

    def offer(self, transitions: Sequence[Transition], now_wall_s: float) -> None:
        """Take in what is to be told. Never waits, never raises."""
        ...

    def resume(self, alerts: Sequence[Alert], now_wall_s: float) -> None:
        """Take over alerts that fire already, for sinks that repeat them. After `restore`, and with new sinks."""
        ...

    def status(self) -> Sequence[SinkStatus]:
        """Give how each sink fares; waits for none."""
        ...

    def sections(self) -> Iterable[Section]:
        """Give what is still to be told, sink by sink."""
        ...

    def restore(self, states: Mapping[str, State], now_wall_s: float) -> None:
        """Go on with what an earlier process had still to tell, by the names of sections. Called before `start`."""
        ...

    def replace(self, sinks: Sequence[Sink], same: Collection[str]) -> None:
        """Tell these sinks from now on. same: names of those that go on as they are; the new ones are not used."""
        ...

    def drain(self, budget_s: float) -> int:
        """Try to tell what waits, for at most budget_s; give how many notices are left."""
        ...

    def close(self) -> None:
        """Let go of the sinks. Called last; again does nothing."""
        ...


class Serving(Protocol):
    """What the loop asks of the web server; see web.WebServer."""

    def start(self) -> None:
        """Listen and serve; returns once requests are answered. Raises ConfigError if it can't listen."""
        ...

    def stop(self) -> None:
        """Stop listening and close every connection; more than once does nothing."""
        ...


class Board:
    """Where the last snapshot hangs; written by the loop, read by everyone. turns: of the loop, None before it runs."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._is_busy = False
        self.turns: int | None = None

    def set_busy(self, is_busy: bool) -> None:  # noqa: FBT001 - a setter's one argument
        """Say whether the loop is at work, or waits for messages; each time it begins to wait is a turn."""
        self._is_busy = is_busy
        if not is_busy:
            self.turns = (self.turns or 0) + 1

    def is_busy(self) -> bool:
        """Tell whether the loop is at work."""
        return self._is_busy

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot."""
        self._snapshot = snapshot

    def latest(self) -> Snapshot | None:
        """Give the last snapshot, None before the first."""
        return self._snapshot
