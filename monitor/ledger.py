"""What the pages cost and how soon they came: the budget that is spent, delays, and alerts that have just ended. Pure.

A page is an alert that began to fire. Whether it was a true one only people know, so every page counts against the
budget; drills never do. It lives as long as its state is kept: without a state store, a restart makes the budget look
unspent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.alert_state import alert_of, alert_state
from monitor.domain import Alert, AlertState, Pages, Reason, Transition
from monitor.kept import State
from monitor.rules import Budget
from monitor.upkeep import Delays

LEDGER: Final = "ledger"
BOUNDS_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 21_600.0)
"""Where delays are told apart: from a notice on a local network to a drift that took hours to prove."""
RESOLVED_BOUNDS_S: Final = (60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0)
"""The same of how long alerts last: from minutes to days."""
PAGES_MAX: Final = 1_000
"""Of one model: a budget is in ones and tens, so how far beyond this it is overspent is no longer news."""
ENDED_MAX: Final = 500
"""Alerts that can still be explained after their end; about 2 kB each."""


class DelayCounts:
    """Delays as they come, counted by bounds. Memory: constant."""

    def __init__(self, bounds_s: tuple[float, ...] = BOUNDS_S) -> None:
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self._sum_s = 0.0

    def add(self, delay_s: float) -> None:
        """Count one; below 0, where clocks disagree, it is 0."""
        bounded_s = max(0.0, delay_s)
        self._counts[bisect_left(self._bounds_s, bounded_s)] += 1
        self._sum_s += bounded_s

    def frozen(self) -> Delays:
        """Give the counts as they stand."""
        return Delays(self._bounds_s, tuple(self._counts), self._sum_s)

    def state(self) -> State:
        """Give the counts, and where they are told apart."""
        return {"bounds_s": list(self._bounds_s), "counts": list(self._counts), "sum_s": self._sum_s}

    def restore(self, state: State) -> None:
        """Go on from a state; counts that were told apart elsewhere can't be taken over and are left out."""
        if tuple(state.get("bounds_s", ())) == self._bounds_s:
            self._counts, self._sum_s = [int(count) for count in state["counts"]], float(state["sum_s"])


class Ledger:
    """Takes every transition, in order of event time.

    Bound: PAGES_MAX pages per model version, ENDED_MAX alerts that ended, and those that fire, which the alert book
    bounds.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._pages: dict[tuple[str, str], deque[float]] = {}
        self._decided = DelayCounts()
        self._behind = DelayCounts()
        self._resolved = DelayCounts(RESOLVED_BOUNDS_S)
        self._firing: dict[str, Alert] = {}
        self._ended: dict[str, Alert] = {}

    def apply(self, budget: Budget) -> None:
        """Count against another budget from now on."""
        self._budget = budget

    def take(self, transitions: Iterable[Transition], now_wall_s: float | None = None) -> None:
        """Note what changed. now_wall_s: when that was decided, None in a replay, where no clock goes."""
        for transition in transitions:
            alert = transition.alert
            if is_page(transition) and not alert.is_drill:
                self._pages.setdefault(alert.key[:2], deque(maxlen=PAGES_MAX)).append(transition.time_s)
                self._decided.add(transition.time_s - alert.since_s)
                if now_wall_s is not None:
                    self._behind.add(now_wall_s - transition.time_s)
            if is_end(transition) and not alert.is_drill:
                self._resolved.add(transition.time_s - alert.since_s)
            self.keep(alert)

    def keep(self, alert: Alert) -> None:
        """Keep an alert that fires or has fired, so that it can be explained after its end; it is no page by that."""
        if alert.state is AlertState.FIRING:
            self._firing[alert.dedup_key] = alert
        elif alert.state is AlertState.RESOLVED and alert.firing_s is not None:
            self._end(alert)

    def _end(self, alert: Alert) -> None:
        """Keep an alert as it was while it fired: at its end the evidence is that of the good side."""
        fired = self._firing.pop(alert.dedup_key, alert)
        self._ended.pop(alert.dedup_key, None)
        self._ended[alert.dedup_key] = replace(fired, state=alert.state, resolved_s=alert.resolved_s)
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    def state(self) -> State:
        """Give all that is known, as plain values."""
        return {
            "pages": [[*model, np.array(times_s)] for model, times_s in self._pages.items()],
            "decided": self._decided.state(),
            "behind": self._behind.state(),
            "resolved": self._resolved.state(),
            "firing": [alert_state(alert) for alert in self._firing.values()],
            "ended": [alert_state(alert) for alert in self._ended.values()],
        }

    def restore(self, state: State) -> None:
        """Go on from a state; of a ledger that is empty. Raises StateError for what is none."""
        self._decided.restore(state.get("decided", {}))
        self._behind.restore(state.get("behind", {}))
        self._resolved.restore(state.get("resolved", {}))
        self.take_over(state)

    def take_over(self, state: State) -> None:
        """Take in the part of another ledger of models that are judged here from now on; {}: nothing.

        Delays stay with whoever counted them. Raises StateError for what is none.
        """
        for model, version, times_s in state.get("pages", []):
            self._pages[model, version] = deque(times_s.tolist(), maxlen=PAGES_MAX)
        for name, own in (("firing", self._firing), ("ended", self._ended)):
            alerts = [alert_of(found) for found in state.get(name, [])]
            own.update({alert.dedup_key: alert for alert in alerts})
        while len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    def drop(self, is_gone: Callable[[str, str], bool]) -> None:
        """Forget pages and alerts of others' models. is_gone: by rule ("": of all rules) and model."""
        self._pages = {name: times_s for name, times_s in self._pages.items() if not is_gone("", name[0])}
        for own in (self._firing, self._ended):
            for name, alert in list(own.items()):
                if is_gone(alert.rule, alert.key.model):
                    del own[name]

    def pages(self, now_s: float | None) -> Pages:
        """Give what is known at an event time (None: no event yet)."""
        return Pages(
            spent=self._spent(now_s),
            decided=self._decided.frozen(),
            behind=self._behind.frozen(),
            resolved=self._resolved.frozen(),
            ended=tuple(self._ended.values()),
        )

    def _spent(self, now_s: float | None) -> Mapping[tuple[str, str], float]:
        for model, times_s in list(self._pages.items()):
            while now_s is not None and times_s and times_s[0] <= now_s - self._budget.period_s:
                times_s.popleft()
            if not times_s:
                del self._pages[model]
        return {model: len(times_s) / self._budget.pages for model, times_s in self._pages.items()}


def is_page(transition: Transition) -> bool:
    """Tell whether an alert began to fire: what somebody is woken for."""
    return transition.alert.state is AlertState.FIRING and transition.before is not AlertState.FIRING


def is_end(transition: Transition) -> bool:
    """Tell whether an alert that had fired is over, and not only that nothing watches it any more."""
    is_over = transition.alert.state is AlertState.RESOLVED and transition.reason is not Reason.REMOVED
    return is_over and transition.alert.firing_s is not None
