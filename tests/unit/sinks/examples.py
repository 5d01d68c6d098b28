"""Alerts and transitions to tell, for the tests of sinks and delivery."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from monitor.domain import Alert, AlertState, Band, Reason, Severity, StreamKey, Transition
from monitor.sinks.base import Notice, Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

START_S: Final = 1_800_000_000.0

_REASONS: Final = {
    AlertState.PENDING: Reason.BREACHED,
    AlertState.FIRING: Reason.LASTED,
    AlertState.RESOLVED: Reason.CLEARED,
}
_BEFORE: Final = {
    AlertState.PENDING: None,
    AlertState.FIRING: AlertState.PENDING,
    AlertState.RESOLVED: AlertState.FIRING,
}


def alert(name: str = "a", state: AlertState = AlertState.FIRING, **changes: Any) -> Alert:  # noqa: ANN401 - its fields
    """One alert; name tells it from others. It fires from START_S on, and resolves a minute later."""
    example = Alert(
        rule="feature_drift",
        key=StreamKey("credit", "7", f"feature.{name}", "region=eu"),
        statistic="psi",
        state=state,
        severity=Severity.SEV3,
        band=Band.YELLOW,
        value=0.314159,
        threshold=0.2,
        interval=(0.28, 0.35),
        samples=12_000,
        evidence=31.5,
        evidence_needed=9.2,
        window_s=600.0,
        since_s=START_S - 90,
        pending_s=START_S - 30,
        firing_s=None if state is AlertState.PENDING else START_S,
        resolved_s=START_S + 60 if state is AlertState.RESOLVED else None,
        incident="inc-1",
        dedup_key=f"key-{name}",
        owner="risk-team",
        runbook="https://runbooks.example/drift",
        reference="ref-abc",
        summary=f"{name} has drifted",
    )
    return replace(example, **changes)


def transition(told: Alert, *, at_s: float = START_S, before: AlertState | str | None = "usual") -> Transition:
    """What brought the alert where it is; before: by default the state that usually comes before."""
    earlier = _BEFORE[told.state] if before == "usual" else before
    assert earlier is None or isinstance(earlier, AlertState)
    return Transition(at_s, earlier, told, _REASONS[told.state])


def notice(
    name: str = "a",
    state: AlertState = AlertState.FIRING,
    *,
    at_s: float = START_S,
    before: AlertState | str | None = "usual",
) -> Notice:
    """The alert `name` coming into a state."""
    return Notice(transition(alert(name, state), at_s=at_s, before=before), at_s)


class ListSink:
    """Keeps what it is told. Each call raises the next of `troubles` instead, while there are any; None is none."""

    def __init__(self, name: str = "list", terms: Terms | None = None) -> None:
        self.name = name
        self.terms = terms or Terms()
        self.calls: list[Sequence[Notice]] = []
        self.troubles: list[BaseException | None] = []
        self.times_s: list[float] = []
        self.is_closed = False

    @property
    def told(self) -> list[tuple[str, str]]:
        """Alert and state, in the order told."""
        return [(each.key, each.alert.state.value) for call in self.calls for each in call]

    def deliver(self, notices: Sequence[Notice], now_wall_s: float) -> None:
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None:
            raise trouble
        self.calls.append(notices)
        self.times_s.append(now_wall_s)

    def close(self) -> None:
        self.is_closed = True
