"""Maintenance: while it lasts nobody is told that alerts fire; all is counted, judged and shown as ever. Pure.

Times are of events, so that a replay of a maintenance, or its events that come late, wake nobody either. What still
fires when it is over is told then. The end of an alert that people know of is always told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from monitor.alert_state import transition_of, transition_state
from monitor.domain import Alert, AlertState, Transition
from monitor.kept import State
from monitor.upkeep import SilenceStatus

SECTION: Final = "silences"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A time, from start_s to end_s (exclusive), in which nobody is told of alerts of some models (globs)."""

    start_s: float
    end_s: float
    models: tuple[str, ...] = ("*",)
    reason: str = ""

    def covers(self, model: str, time_s: float) -> bool:
        """Tell whether it is for this model at this time."""
        return self.start_s <= time_s < self.end_s and any(fnmatchcase(model, glob) for glob in self.models)


class Held(NamedTuple):
    """The newest change of an alert that was not told, and whether people know of the alert from before."""

    transition: Transition
    is_known: bool


class Silences:
    """Holds back what is not to be told now. Called by the loop's thread. Bound: one held change per alert."""

    def __init__(self, windows: Sequence[Maintenance] = ()) -> None:
        self._windows = tuple(windows)
        self._held: dict[str, Held] = {}
        self._silenced = 0

    def apply(self, windows: Sequence[Maintenance]) -> None:
        """Go by other windows from now on; what is held and no longer covered is released at the next `release`."""
        self._windows = tuple(windows)

    def passed(self, transitions: Iterable[Transition]) -> list[Transition]:
        """Give what is to be told of these changes, now that the rest is held back."""
        return [each for each in transitions if self._is_told(each)]

    def _is_told(self, transition: Transition) -> bool:
        alert, key = transition.alert, transition.alert.dedup_key
        before = self._held.get(key)
        is_known = transition.before is AlertState.FIRING if before is None else before.is_known
        if alert.state is AlertState.RESOLVED:
            self._held.pop(key, None)
            is_told = is_known or (before is None and self._reason_of(alert, transition.time_s) is None)
        elif self._reason_of(alert, transition.time_s) is None:
            self._held.pop(key, None)
            is_told = True
        else:
            is_told = False
            if alert.state is AlertState.FIRING:
                self._held[key] = Held(transition, is_known)
        self._silenced += not is_told
        return is_told

    def release(self, now_s: float | None) -> list[Transition]:
        """Give what was held back and still fires, of models whose maintenance is over at an event time."""
        if now_s is None or not self._held:
            return []
        over = [key for key, held in self._held.items() if self._reason_of(held.transition.alert, now_s) is None]
        return [self._held.pop(key).transition for key in over]

    def audible(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Give the alerts that people may be told of again: those of which nothing is held back."""
        return [alert for alert in alerts if alert.dedup_key not in self._held]

    def _reason_of(self, alert: Alert, time_s: float) -> str | None:
        """Give why nobody is to be told of an alert at a time; None: they are."""
        model = alert.key.model
        return next((window.reason for window in self._windows if window.covers(model, time_s)), None)

    def status(self, now_s: float | None) -> SilenceStatus:
        """Give what is in force at an event time, and what is held back."""
        in_force = [w for w in self._windows if now_s is not None and w.start_s <= now_s < w.end_s]
        reasons = {
            key: self._reason_of(held.transition.alert, held.transition.time_s) for key, held in self._held.items()
        }
        return SilenceStatus(
            windows=tuple((w.start_s, w.end_s, w.models, w.reason) for w in in_force),
            held={key: reason or "" for key, reason in reasons.items()},
            silenced=self._silenced,
        )

    # ---- from one process to the next

    def state(self) -> State:
        """Give what is held back."""
        held = [[transition_state(each.transition), each.is_known] for each in self._held.values()]
        return {"held": held, "silenced": self._silenced}

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from a state. Raises StateError for what is none."""
        held = state.get("held", [])
        assert isinstance(held, list)
        for told, is_known in held:
            transition = transition_of(told)
            self._held[transition.alert.dedup_key] = Held(transition, bool(is_known))
        self._silenced = int(str(state.get("silenced", 0)))
