"""From what each look finds to alerts that last: one table of states, and a reason for every change.

Two rules for this file: every change of state is a row of TABLE, and nothing here knows what a statistic is.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, TypeVar

from monitor import kept
from monitor.alert_state import alert_of, alert_state
from monitor.bins import Arena
from monitor.domain import (
    DRILL_MODEL,
    Alert,
    AlertState,
    Band,
    Histogram,
    Reason,
    Seen,
    Severity,
    StreamKey,
    Transition,
)
from monitor.drift_sorts import CONCEPT, OTHERS, sort_of
from monitor.lineage import UNKNOWN, Lineage
from monitor.rules import Rule

T = TypeVar("T", bound=Hashable)


class Event(Enum):
    """What a look means to an alert, after its times are taken into account."""

    BREACH = auto()
    LASTING_BREACH = auto()
    WORSE = auto()
    MILDER = auto()
    QUIET = auto()
    LASTING_QUIET = auto()
    NOTHING = auto()
    LASTING_NOTHING = auto()
    GONE = auto()


State = AlertState
TABLE: Final = {
    (None, Event.BREACH): (State.PENDING, Reason.BREACHED),
    (None, Event.LASTING_BREACH): (State.FIRING, Reason.BREACHED),
    (State.PENDING, Event.LASTING_BREACH): (State.FIRING, Reason.LASTED),
    (State.PENDING, Event.QUIET): (State.RESOLVED, Reason.PASSED),
    (State.PENDING, Event.LASTING_QUIET): (State.RESOLVED, Reason.PASSED),
    (State.PENDING, Event.LASTING_NOTHING): (State.RESOLVED, Reason.STALE),
    (State.PENDING, Event.GONE): (State.RESOLVED, Reason.REMOVED),
    (State.FIRING, Event.WORSE): (State.FIRING, Reason.ESCALATED),
    (State.FIRING, Event.MILDER): (State.FIRING, Reason.EASED),
    (State.FIRING, Event.LASTING_QUIET): (State.RESOLVED, Reason.CLEARED),
    (State.FIRING, Event.LASTING_NOTHING): (State.RESOLVED, Reason.STALE),
    (State.FIRING, Event.GONE): (State.RESOLVED, Reason.REMOVED),
}
"""(state, event) to (next state, reason). A pair that is not here changes nothing. None: there is no alert."""

_TIMES: Final = ("breach_s", "quiet_s", "nothing_s", "milder_s")
"""The times of an entry."""
EASE_AFTER_S: Final = 60.0
"""A firing alert steps down from red to yellow only after it was no longer red for this long."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at one stream under one rule, with its evidence.

    threshold: of the band seen (of the lowest, if none). where, row: statistic, arena and row, for dating the onset.
    since_s: the onset, None while it is to be dated. windows: that are beyond the threshold in a row, up to now; at
    most as many as the rule asks for. change, rank, together, histogram,
    lineage: as in Alert.
    """

    rule: Rule
    key: StreamKey
    seen: Seen
    value: float
    threshold: float
    interval: tuple[float, float]
    samples: int
    evidence: float
    evidence_needed: float
    window_s: float
    reference: str
    where: tuple[str, Arena]
    row: int
    since_s: float | None = None
    windows: int = 1
    change: str = ""
    rank: int = 1
    together: int = 1
    histogram: Histogram | None = None
    lineage: Lineage = UNKNOWN


@dataclass(slots=True)
class Entry:
    """An alert in the book, with the times that its rules need. Times are of events; None: not now."""

    alert: Alert
    rule: Rule
    breach_s: float | None = None
    quiet_s: float | None = None
    nothing_s: float | None = None
    milder_s: float | None = None


class AlertBook:
    """All alerts that are pending or firing. Pure: time comes in with each look. Bound: one alert per rule and stream.

    Hysteresis lives in `Seen`: HOLD, between proven breach and proven quiet, changes nothing, so a value that stays at
    a threshold can't make an alert flap.
    """

    def __init__(self, config_version: str = "") -> None:
        self.config_version = config_version
        """Of the configuration that its alerts are judged by from here on."""
        self._entries: dict[tuple[str, StreamKey], Entry] = {}
        self._incidents: dict[str, str] = {}
        self._of_models: Counter[str] = Counter()
        self._alerted: Counter[tuple[str, str, str]] = Counter()
        self._drifting: Counter[tuple[str, str, str]] = Counter()
        self.transitions: Counter[tuple[str, str]] = Counter()

    def __contains__(self, identity: tuple[str, StreamKey]) -> bool:
        return identity in self._entries

    def get(self, identity: tuple[str, StreamKey]) -> Alert | None:
        """Give the alert of a rule's name and a stream, if there is one."""
        entry = self._entries.get(identity)
        return None if entry is None else entry.alert

    @property
    def alerts(self) -> Sequence[Alert]:
        """The alerts that are pending or firing."""
        return [entry.alert for entry in self._entries.values()]

    @property
    def alerted(self) -> Collection[tuple[str, str, str]]:
        """The statistics, models and versions that have alerts which are pending or firing."""
        return self._alerted.keys()

    def advance(
        self, observations: Iterable[Observation], now_s: float, date: Callable[[Observation], float]
    ) -> list[Transition]:
        """Take in one look and give what changed.

        date: estimates the onset of a new breach (costly, called for new ones only).
        """
        return [t for seen in observations if (t := self._advance_one(seen, now_s, date)) is not None]

    def remove(self, is_gone: Callable[[Alert], bool], now_s: float) -> list[Transition]:
        """Resolve the alerts whose rule or stream is no longer watched."""
        gone = [entry for entry in self._entries.values() if is_gone(entry.alert)]
        return list(self._apply_all(((entry, Event.GONE) for entry in gone), now_s))

    def _advance_one(self, seen: Observation, now_s: float, date: Callable[[Observation], float]) -> Transition | None:
        identity = (seen.rule.name, seen.key)
        entry = self._entries.get(identity)
        if entry is None:
            if seen.seen < Seen.YELLOW:
                return None
            entry = Entry(self._begin(seen, now_s, date(seen)), seen.rule, breach_s=now_s)
            self._enter(entry)
            before = None
        else:
            before = entry.alert.state
            _note(entry, seen, now_s)
        event = _event(entry, seen, now_s)
        if seen.seen >= Seen.YELLOW:
            is_settled = before is State.FIRING and event not in (Event.WORSE, Event.MILDER)
            updated = _updated(entry.alert, seen, self._summary(seen), keep_band=is_settled)
            entry.alert = replace(updated, config_version=self.config_version)
        return self._apply(entry, before, event, now_s)

    def _apply_all(self, events: Iterable[tuple[Entry, Event]], now_s: float) -> Iterator[Transition]:
        for entry, event in events:
            transition = self._apply(entry, entry.alert.state, event, now_s)
            if transition is not None:
                yield transition

    def _apply(self, entry: Entry, before: AlertState | None, event: Event, now_s: float) -> Transition | None:
        change = TABLE.get((before, event))
        if change is None:
            return None
        state, reason = change
        alert = replace(entry.alert, state=state)
        if state is State.FIRING and alert.firing_s is None:
            alert = replace(alert, firing_s=now_s)
        if state is State.RESOLVED:
            alert = replace(alert, resolved_s=now_s)
        entry.alert = alert
        if state is State.RESOLVED:
            self._end(alert)
        self.transitions[alert.rule, str(state)] += 1
        return Transition(now_s, before, alert, reason)

    def _enter(self, entry: Entry) -> None:
        alert = entry.alert
        self._entries[alert.rule, alert.key] = entry
        self._of_models[alert.key.model] += 1
        self._alerted[alert.statistic, *alert.key[:2]] += 1
        self._drifting[sort_of(alert.statistic, alert.key.field), *alert.key[:2]] += 1

    def _end(self, alert: Alert) -> None:
        del self._entries[alert.rule, alert.key]
        _take(self._alerted, (alert.statistic, *alert.key[:2]))
        _take(self._drifting, (sort_of(alert.statistic, alert.key.field), *alert.key[:2]))
        if not _take(self._of_models, alert.key.model):
            self._incidents.pop(alert.key.model, None)

    def _begin(self, seen: Observation, now_s: float, since_s: float) -> Alert:
        """Write a new alert; alerts of one model that overlap in time share an incident."""
        model = seen.key.model
        incident = self._incidents.setdefault(model, _digest([model, now_s], 12))
        band = Band.RED if seen.seen is Seen.RED else Band.YELLOW
        return Alert(
            rule=seen.rule.name,
            key=seen.key,
            statistic=seen.rule.statistic,
            state=State.PENDING,
            severity=_severity(seen.rule, band),
            band=band,
            value=seen.value,
            threshold=seen.threshold,
            interval=seen.interval,
            samples=seen.samples,
            evidence=seen.evidence,
            evidence_needed=seen.evidence_needed,
            window_s=seen.window_s,
            since_s=since_s,
            pending_s=now_s,
            firing_s=None,
            resolved_s=None,
            incident=incident,
            dedup_key=_digest([seen.rule.name, *seen.key], 20),
            owner=seen.rule.owner,
            runbook=seen.rule.runbook,
            reference=seen.reference,
            summary=self._summary(seen),
            change=seen.change,
            rank=seen.rank,
            together=seen.together,
            histogram=seen.histogram,
            is_drill=model == DRILL_MODEL,
            response=seen.rule.response,
            lineage=seen.lineage,
        )

    def _summary(self, seen: Observation) -> str:
        """Give the alert in a sentence: what, where, how much against what, which drift it is, on what evidence."""
        where = f" of {seen.key.field}" + (f" ({seen.key.segment})" if seen.key.segment else "")
        side = "above" if seen.rule.is_above else "below"
        if seen.seen is Seen.CLEAR:
            side = "back within"
        told = f"{seen.key.model}: {seen.rule.name}{where} is {seen.value:.4g}, {side} {seen.threshold:.4g}"
        sort = sort_of(seen.rule.statistic, seen.key.field)
        kinds = ", ".join(each for each in (sort, seen.change) if each)
        return told + (f": {kinds}" if kinds else "") + self._beside(seen.key, sort) + _basis(seen)

    def _beside(self, key: StreamKey, sort: str) -> str:
        """Give which other drift of the model is told of now: it may be why the model is right less often."""
        if sort != CONCEPT:
            return ""
        others = [each for each in OTHERS if self._drifting[each, key.model, key.model_version]]
        return f", beside {' and '.join(others)}" if others else ""

    # ---- from one process to the next

    def state(self) -> kept.State:
        """Give all alerts in their order, with the times that their rules need, and the counts of transitions."""
        return {
            "entries": [
                {"alert": alert_state(entry.alert), **kept.state_of(entry, _TIMES)} for entry in self._entries.values()
            ],
            "incidents": dict(self._incidents),
            "transitions": [[rule, state, count] for (rule, state), count in self.transitions.items()],
        }

    def restore(self, state: kept.State, rule_of: Callable[[Alert], Rule | None]) -> set[tuple[str, StreamKey]]:
        """Go on from a state; of a book that is empty. Give the alerts that nothing watches any more.

        rule_of: the rule that watches an alert's stream by the alert's name for it, None where there is none; such an
        alert stays until it is removed.
        """
        gone: set[tuple[str, StreamKey]] = set()
        for found in state.get("entries", []):
            alert = alert_of(found["alert"])
            rule = rule_of(alert)
            if rule is None:
                gone.add((alert.rule, alert.key))
            self._enter(Entry(alert, rule or _departed(alert), **{name: found.get(name) for name in _TIMES}))
        self._incidents.update(state.get("incidents", {}))
        for name, became, count in state.get("transitions", []):
            self.transitions[name, became] += count
        return gone


def _departed(alert: Alert) -> Rule:
    """Give a rule that stands for the one that an alert was of, and watches nothing."""
    return Rule(alert.rule, alert.statistic, (), None, None, windows_s=(alert.window_s,))


def _take(held: Counter[T], one: T) -> int:
    """Take one off a count, and forget it when none is left; give how many are."""
    held[one] -= 1
    return held[one] or held.pop(one)


def _note(entry: Entry, seen: Observation, now_s: float) -> None:
    """Keep since when the looks have been what they are."""
    is_breach, is_quiet = seen.seen >= Seen.YELLOW, seen.seen is Seen.CLEAR
    entry.breach_s = (entry.breach_s if entry.breach_s is not None else now_s) if is_breach else entry.breach_s
    if is_quiet and entry.alert.state is State.PENDING:
        entry.breach_s = None
    entry.quiet_s = (entry.quiet_s if entry.quiet_s is not None else now_s) if is_quiet else None
    is_nothing = seen.seen is Seen.UNKNOWN
    entry.nothing_s = (entry.nothing_s if entry.nothing_s is not None else now_s) if is_nothing else None
    is_milder = is_breach and _band(seen.seen) < entry.alert.band
    entry.milder_s = (entry.milder_s if entry.milder_s is not None else now_s) if is_milder else None


def _event(entry: Entry, seen: Observation, now_s: float) -> Event:
    """Give what the look means, now that the times are noted."""
    rule, alert = entry.rule, entry.alert
    if seen.seen >= Seen.YELLOW:
        if alert.state is not State.FIRING:
            lasted = seen.windows >= rule.for_windows and _lasted(entry.breach_s, rule.for_s, now_s)
            return Event.LASTING_BREACH if lasted else Event.BREACH
        if _band(seen.seen) > alert.band:
            return Event.WORSE
        return Event.MILDER if _lasted(entry.milder_s, EASE_AFTER_S, now_s) else Event.BREACH
    if seen.seen is Seen.CLEAR:
        return Event.LASTING_QUIET if _lasted(entry.quiet_s, rule.keep_firing_for_s, now_s) else Event.QUIET
    stale_s = 2 * max(rule.windows_s)
    return Event.LASTING_NOTHING if _lasted(entry.nothing_s, stale_s, now_s) else Event.NOTHING


def _lasted(since_s: float | None, least_s: float, now_s: float) -> bool:
    return since_s is not None and now_s - since_s >= least_s


def _updated(alert: Alert, seen: Observation, summary: str, *, keep_band: bool) -> Alert:
    """Give the alert with the newest evidence; onset, identity and, unless it changes, band stay."""
    band = alert.band if keep_band else _band(seen.seen)
    return replace(
        _measured(alert, seen),
        summary=summary,
        threshold=seen.threshold if band is _band(seen.seen) else alert.threshold,
        evidence_needed=seen.evidence_needed,
        band=band,
        severity=alert.severity if keep_band else _severity(seen.rule, band),
    )


def _measured(alert: Alert, seen: Observation) -> Alert:
    """Give the alert with what is measured now; what it was judged against stays."""
    return replace(
        alert,
        value=seen.value,
        interval=seen.interval,
        samples=seen.samples,
        evidence=seen.evidence,
        window_s=seen.window_s,
        histogram=seen.histogram or alert.histogram,
    )


def _band(seen: Seen) -> Band:
    return Band.RED if seen is Seen.RED else Band.YELLOW


def _severity(rule: Rule, band: Band) -> Severity:
    return rule.severity if band is Band.RED else rule.yellow_severity


def _digest(parts: Sequence[str | float], digits: int) -> str:
    """Give a hash of the parts that tells ("a", "b|c") from ("a|b", "c")."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:digits]


def _basis(seen: Observation) -> str:
    """Give what a value rests on; of silence, which has one sample, that says nothing."""
    return f" ({seen.samples} samples in {seen.window_s:.0f} s)" if seen.samples > 1 else ""
