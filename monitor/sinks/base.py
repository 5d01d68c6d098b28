"""What a sink is: the last step of an alert, to one receiver outside.

Delivery stands between the loop and the sinks: it holds each sink's queue, its clock, its retries and its re-sends, so
a sink only knows how to say something once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from monitor.domain import Alert, AlertState, Transition
from monitor.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Sequence

RESOLVED_RESEND_S: Final = 300.0
"""How long a resolved alert is sent again to a sink with `resend_s`; what Alertmanager's documentation asks for."""

REASONS: Final = frozenset(
    {"client_error", "auth_error", "rate_limited", "server_error", "timeout", "unreachable", "other"}
)
"""Why a delivery failed. `unreachable` promises that the request can't have arrived; the others promise nothing."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell: a transition, and the wall clock when it was decided.

    Two notices of one alert that are to be told apart differ in the transition's event time, so what is derived from it
    (a message id) is the same after a restart or in a replay.
    """

    transition: Transition
    decided_wall_s: float

    @property
    def alert(self) -> Alert:
        """The alert as it is to be told."""
        return self.transition.alert

    @property
    def key(self) -> str:
        """The name under which newer states of the same alert supersede older ones."""
        return self.transition.alert.dedup_key

    @property
    def is_about_firing(self) -> bool:
        """False for what never got beyond pending, which wakes nobody and so is no news to a pager either."""
        return self.alert.firing_s is not None

    @property
    def is_resolved(self) -> bool:
        """Whether the alert is over."""
        return self.alert.state is AlertState.RESOLVED


@dataclass(frozen=True, slots=True)
class Terms:
    """What a sink asks of the one who calls it.

    resend_s: firing alerts are told again this often, and resolved ones for RESOLVED_RESEND_S; None: on change only.
    notices_max: how many notices one call may carry, at least 1.
    is_every_change_told: True: all transitions, pending too, in order. False: of each alert the newest of firing and
    resolved, where an older one that is still waiting is left out.
    """

    resend_s: float | None = None
    notices_max: int = 1
    is_every_change_told: bool = False

    def __post_init__(self) -> None:
        if self.resend_s is not None and not self.resend_s > 0:
            raise ValueError(f"resend_s must be > 0, got {self.resend_s}")
        if self.notices_max < 1:
            raise ValueError(f"notices_max must be at least 1, got {self.notices_max}")
        if self.is_every_change_told and self.resend_s is not None:
            raise ValueError(
                "resend_s is for sinks that hold the newest state, not for those that are told every change"
            )


class Sink(Protocol):
    """One receiver. All calls come from one thread of its own, so a sink needs no locks and may block."""

    @property
    def name(self) -> str:
        """The receiver as configured; the label of its metrics and logs. Never holds a secret."""
        ...

    @property
    def terms(self) -> Terms:
        """What it asks of the caller. The same for as long as the sink lives."""
        ...

    def deliver(self, notices: Sequence[Notice], now_wall_s: float) -> None:
        """Tell the receiver, all of it or none as far as that can be known.

        Called with 1 to terms.notices_max notices, at most one per alert unless every change is told, when something is
        due. May block for as long as its own timeout. Returning means that the receiver has taken responsibility.
        Raises SinkError, with `reason` out of REASONS. is_retryable: the same notices, or newer ones of the same
        alerts, will be given again later. Not retryable: they will not, until the alert changes or is due to be sent
        again; after a client_error, a call's notices are first given again one by one, to find the one at fault.
        Must bear being told the same twice: an answer can be lost.
        """
        ...

    def close(self) -> None:
        """Let go of connections. Called once, last, on the same thread; raises nothing."""
        ...


class SinkBusyError(SinkError):
    """The receiver asked for a pause (HTTP 429 or 503 with Retry-After). Always retryable."""

    def __init__(self, message: str, *, reason: str, retry_after_s: float) -> None:
        super().__init__(message, is_retryable=True, reason=reason)
        self.retry_after_s = retry_after_s
