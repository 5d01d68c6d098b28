"""Snapshots in, transitions of alerts about driftd itself out. Pure: the wall clock comes in the snapshots.

The watch has a clock of its own, which counts only time it has seen pass: at most STEP_S_MAX from one snapshot to the
next. So a process that was stopped for an hour, or a wall clock that was set, is no hour without data; and after a
restart all goes on where it was. Alerts are told with times of the wall clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from monitor.alerts import AlertBook, Observation
from monitor.bins import Arena
from monitor.domain import Alert, AlertState, Seen, Snapshot, StreamKey, TopicPartition, Transition
from monitor.kept import State, bring_back, state_of
from monitor.rules import Level, Rule
from monitor.selfwatch import reading, running
from monitor.selfwatch.findings import Finding, Look, Past
from monitor.selfwatch.past import Standing
from monitor.selfwatch.terms import HANDLING, SELF_MODEL, SHARE_S, SelfTerms, Watched, rule_name

STEP_S_MAX: Final = 60.0
"""Pictures of very many streams are 15 s apart; longer steps are those of a process that did not run."""
CONDITIONS: Final[Mapping[str, Callable[[Look], Iterable[Finding]]]] = {
    "no_data": reading.no_data,
    "lag": reading.lag,
    "stalled": reading.stalled,
    "brokers": reading.brokers,
    "away": reading.away,
    "gap": reading.gap,
    "poison": reading.poison,
    "rejected": reading.rejected,
    "late": reading.late,
    "clock": reading.clock,
    "labels": reading.labels,
    "state": running.state,
    "disk": running.disk,
    "receiver": running.receiver,
    "outbox": running.outbox,
    "overflow": running.overflow,
    "series": running.series,
    "memory": running.memory,
    "reload": running.reload,
}
"""A new condition is a function and a line here, one in HANDLING, and an entry in docs/operations.md."""

GONE_S: Final = 300.0
"""Topics and receivers that are not there for so long are gone: after a start or a rebalance they come late."""
LIMITS: Final[Mapping[str, str]] = {
    "stalled": "stalled_s",
    "brokers": "brokers_s",
    "away": "away_s",
    "state": "unsaved_s",
    "receiver": "receiver_down_s",
}
"""Conditions that must be over for longer than it took to be told of them, so that none is told twice because of a
restart, after which all looks well for a moment; and the terms that say how long that is."""
PATIENCE: Final = 1.5

_Identity = tuple[str, StreamKey]
_WORDS: Final = ("since_s", "pending_s", "firing_s", "summary", "change")


@dataclass(slots=True)
class Told:
    """What an alert is told with: wall clock times, and words."""

    since_s: float
    pending_s: float
    firing_s: float | None
    summary: str
    change: str
    details: Mapping[str, str]


class SelfWatch:
    """Alerts of driftd's own. Called by the loop's thread with each snapshot, before it is published or after."""

    def __init__(self, terms: SelfTerms | None = None) -> None:
        self._book = AlertBook()
        self._past = Past()
        self._told: dict[_Identity, Told] = {}
        self._missed_s: dict[_Identity, float] = {}
        self._now_s: float | None = None
        self._wall_s: float | None = None
        self.apply(terms or SelfTerms())

    def apply(self, terms: SelfTerms) -> None:
        """Go by these terms from the next snapshot on; alerts of conditions that are off now end with it."""
        self._terms = terms
        self._book.config_version = terms.config_version
        self._rules = {name: _rule(name, terms) for name in CONDITIONS if terms.handling(name).is_on}

    @property
    def alerts(self) -> Sequence[Alert]:
        """The alerts that are pending or firing, as they were told."""
        return [self._worded(alert) for alert in self._book.alerts]

    @property
    def transitions(self) -> Mapping[tuple[str, str], int]:
        """How often alerts changed their state, by rule and the state they went to."""
        return self._book.transitions

    @property
    def standings(self) -> Mapping[TopicPartition, Standing]:
        """How reading each partition goes, by Burrow's rules."""
        return dict(reading.standings(self._past.lags))

    def advance(self, snapshot: Snapshot, watched: Watched | None = None) -> list[Transition]:
        """Take in a snapshot, and what there is to know beside it; give what changed, to be told like anything else."""
        before_s = snapshot.wall_s if self._wall_s is None else self._wall_s
        step_s = min(max(0.0, snapshot.wall_s - before_s), STEP_S_MAX)
        self._now_s = snapshot.wall_s if self._now_s is None else self._now_s + step_s
        self._wall_s = snapshot.wall_s
        look = Look(snapshot, watched or Watched(), self._terms, self._past, self._now_s, step_s)
        seen = {_identity(rule, found): (rule, found) for rule, found in self._look(look)}
        out = self._book.remove(self._is_gone(seen, self._now_s), self._now_s)
        for identity, (rule, found) in seen.items():
            out += self._book.advance([_observation(rule, identity[1], found)], self._now_s, _onset)
            if identity in self._book:
                self._word(identity, found, snapshot.wall_s)
        return [self._out(transition, seen, snapshot.wall_s) for transition in out]

    def state(self) -> State:
        """Give what must live across a restart."""
        told = [
            {"rule": rule, "key": list(key), **state_of(words, _WORDS), "details": dict(words.details)}
            for (rule, key), words in self._told.items()
        ]
        return {
            "book": self._book.state(),
            "past": self._past.state(),
            "told": told,
            "now_s": self._now_s,
            "wall_s": self._wall_s,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` gave; alerts whose condition no longer exists are resolved with the next snapshot.

        Called on a new watch.
        """
        self._now_s, self._wall_s = state.get("now_s"), state.get("wall_s")
        self._past.restore(state.get("past", {}))
        self._book.restore(state.get("book", {}), self._rule_of)
        for each in state.get("told", ()):
            words = Told(0.0, 0.0, None, "", "", {})
            bring_back(words, (*_WORDS, "details"), each)
            self._told[each["rule"], StreamKey(*each["key"])] = words

    def _rule_of(self, alert: Alert) -> Rule | None:
        return self._rules.get(alert.statistic)

    def _is_gone(self, seen: Collection[_Identity], now_s: float) -> Callable[[Alert], bool]:
        """Give what tells whether an alert's condition is off, or its topic or receiver was not there for GONE_S."""
        missed = {(alert.rule, alert.key) for alert in self._book.alerts} - set(seen)
        self._missed_s = {identity: self._missed_s.get(identity, now_s) for identity in missed}
        gone = {identity for identity, since_s in self._missed_s.items() if now_s - since_s >= GONE_S}
        return lambda alert: alert.statistic not in self._rules or (alert.rule, alert.key) in gone

    def _look(self, look: Look) -> Iterator[tuple[Rule, Finding]]:
        for name, rule in self._rules.items():
            for found in CONDITIONS[name](look):
                yield rule, found

    def _word(self, identity: _Identity, found: Finding, wall_s: float) -> None:
        """Keep what the alert is to be told with: words of its last breach, and when by the wall clock."""
        alert = self._book.get(identity)
        assert alert is not None
        told = self._told.get(identity)
        if told is None:
            told = Told(wall_s - found.lasted_s, wall_s, None, "", "", {})
            self._told[identity] = told
        if alert.state is AlertState.FIRING and told.firing_s is None:
            told.firing_s = wall_s
        if found.seen >= Seen.YELLOW:
            told.summary, told.change, told.details = f"{SELF_MODEL}: {found.text}", found.change, found.details

    def _out(self, transition: Transition, seen: Mapping[_Identity, tuple[Rule, Finding]], wall_s: float) -> Transition:
        alert = self._worded(transition.alert)
        if alert.state is AlertState.RESOLVED:
            identity = (alert.rule, alert.key)
            self._told.pop(identity, None)
            summary = f"{SELF_MODEL}: {seen[identity][1].fine}" if identity in seen else f"over: {alert.summary}"
            alert = replace(alert, resolved_s=wall_s, summary=summary)
        return Transition(wall_s, transition.before, alert, transition.reason)

    def _worded(self, alert: Alert) -> Alert:
        told = self._told.get((alert.rule, alert.key))
        if told is None:
            return alert
        return replace(
            alert,
            since_s=told.since_s,
            pending_s=told.pending_s,
            firing_s=told.firing_s,
            summary=told.summary,
            change=told.change,
            details=told.details,
        )


def _rule(condition: str, terms: SelfTerms) -> Rule:
    handling, name = terms.handling(condition), rule_name(condition)
    least_s = PATIENCE * float(getattr(terms, LIMITS[condition])) if condition in LIMITS else 0.0
    return Rule(
        name=name,
        statistic=condition,
        fields=(condition,),
        yellow=None,
        red=Level(1.0),
        windows_s=(SHARE_S,),
        samples_min=1,
        severity=handling.severity,
        yellow_severity=handling.severity,
        for_s=handling.for_s,
        keep_firing_for_s=max(handling.keep_firing_for_s, least_s),
        owner=terms.owner,
        runbook=f"{terms.runbook}#{name}" if terms.runbook else "",
    )


def _identity(rule: Rule, found: Finding) -> _Identity:
    return rule.name, StreamKey(SELF_MODEL, "", rule.statistic, found.segment)


def _observation(rule: Rule, key: StreamKey, found: Finding) -> Observation:
    return Observation(
        rule=rule,
        key=key,
        seen=found.seen,
        value=found.value,
        threshold=found.limit,
        interval=(found.value, found.value),
        samples=1,
        evidence=0.0,
        evidence_needed=0.0,
        window_s=SHARE_S,
        reference="",
        where=("", Arena.FLAGS),
        row=0,
        since_s=0.0,
    )


def _onset(seen: Observation) -> float:
    """Give the onset as the book needs it; what is told is known here, by the wall clock."""
    return seen.since_s or 0.0


assert CONDITIONS.keys() == HANDLING.keys()
