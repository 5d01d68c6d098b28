"""What a court leaves to whoever judges it next: all that is known of it, what is still to be told, and where to go on.

It is cut out of what a judge stores, which is of several courts, and of the process itself. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from monitor.court_house import NAME as COURT
from monitor.deltas import court_of
from monitor.domain import Alert, TopicPartition
from monitor.kept import Section, State
from monitor.ledger import LEDGER
from monitor.selfwatch.terms import RULE_PREFIX, SELF_MODEL

UNTOLD: Final = "untold"
OUTBOX: Final = "outbox/"
ENDED: Final = f"{LEDGER}/ended"
NOBODY: Final = -1
"""In place of a court: what the process says of itself."""
NO_PAGES: Final[Mapping[str, list[Any]]] = {"pages": [], "firing": [], "ended": []}


class Estate(NamedTuple):
    """One court's. sections: what it knows, by its own names. untold, outboxes: as the keeper and each sink keep them.

    ledger: pages and alerts of its models, as the ledger keeps them.
    position: the next offset of its partition, None where that is not known.
    """

    sections: Mapping[str, State]
    untold: State
    outboxes: Mapping[str, State]
    position: int | None = None
    saved_wall_s: float = 0.0
    ledger: State = {}  # noqa: RUF012 - a tuple's, and never changed


def owner_of(alert: Alert, courts: int) -> int:
    """Give the court that an alert is of; NOBODY for alerts about driftd itself."""
    return owner(alert.rule, alert.key.model, courts)


def owner(rule: str, model: str, courts: int) -> int:
    """Give the court of a rule's alerts on a model; NOBODY for those about driftd itself."""
    is_own = model == SELF_MODEL and rule.startswith(RULE_PREFIX)
    return NOBODY if is_own else court_of(model, courts)


class Parted:
    """A judge's state by court. Each section is made once, when it is first asked for."""

    def __init__(self, sections: Iterable[Section], courts: int) -> None:
        self._courts = courts
        self._own: dict[int, list[Section]] = {}
        self._untold: dict[int, State] = {}
        self._outboxes: dict[int, dict[str, State]] = {}
        self._ledgers: dict[int, State] = {}
        for section in sections:
            kind, _, rest = section.name.partition("/")
            if kind == COURT:
                number, _, own = rest.partition("/")
                self._own.setdefault(int(number), []).append(section._replace(name=own))
            elif section.name == UNTOLD:
                self._untold = _untold_by(section.make(), courts)
            elif section.name == LEDGER:
                self._ledgers = _ledger_by(section.make(), courts)
            elif section.name.startswith(OUTBOX):
                for court, state in _outbox_by(section.make(), courts).items():
                    self._outboxes.setdefault(court, {})[section.name] = state

    @property
    def courts(self) -> Iterable[int]:
        """The courts of which anything is known."""
        return self._own

    def untold(self, court: int) -> State:
        """Give what a court has decided and nobody was told of yet, {} if there is nothing."""
        return self._untold.get(court, {})

    def ledger(self, court: int) -> State:
        """Give the part of the ledger that is of a court's models, {} if there is nothing."""
        return self._ledgers.get(court, {})

    def sections(self, court: int) -> Iterator[Section]:
        """Give all that a court leaves, under the names that `estate_of` reads."""
        yield from self._own.get(court, ())
        yield Section(UNTOLD, None, partial(self.untold, court))
        ledger = dict(self.ledger(court))
        ended = ledger.pop("ended", [])
        mark = f"{len(ended)}-{ended[-1]['dedup_key']}-{ended[-1]['resolved_s']}" if ended else "0"
        yield Section(LEDGER, None, partial(_same, ledger))
        yield Section(ENDED, mark, partial(_same, {"ended": ended}))  # large, and seldom another one
        for name, state in self._outboxes.get(court, {}).items():
            yield Section(name, None, partial(_same, state))


def _same(state: State) -> State:
    return state


def estate_of(states: Mapping[str, State], position: int | None, saved_wall_s: float) -> Estate:
    """Give an estate of the sections that `Parted.sections` gave."""
    others = {UNTOLD, LEDGER, ENDED}
    own = {name: state for name, state in states.items() if name not in others and not name.startswith(OUTBOX)}
    outboxes = {name.removeprefix(OUTBOX): state for name, state in states.items() if name.startswith(OUTBOX)}
    ledger = {**states.get(LEDGER, {}), **states.get(ENDED, {})}
    return Estate(own, states.get(UNTOLD, {}), outboxes, position, saved_wall_s, ledger)


class Stored(NamedTuple):
    """What the process itself goes on with; see keeper.Loaded."""

    sections: Mapping[str, State]
    positions: Mapping[TopicPartition, int]
    saved_wall_s: float


def parted(
    states: Mapping[str, State], positions: Mapping[int, int], saved_wall_s: float, courts: int
) -> tuple[Stored, dict[int, Estate]]:
    """Part what a judge has stored: into what is of itself, and the estates of courts. positions: by court."""
    whole = Parted((Section(name, None, partial(_same, state)) for name, state in states.items()), courts)
    rest = {
        name: state for name, state in states.items() if not name.startswith((f"{COURT}/", OUTBOX)) and name != UNTOLD
    }
    rest[UNTOLD] = whole.untold(NOBODY)
    rest[LEDGER] = {**states.get(LEDGER, {}), **NO_PAGES, **whole.ledger(NOBODY)}
    for name, state in states.items():
        if name.startswith(OUTBOX):  # with what is known of what was told, which is of no court
            rest[name] = {**state, "outbox": _outbox_by(state, courts).get(NOBODY, {}).get("outbox", {})}
    estates = {
        court: estate_of(
            {section.name: section.make() for section in whole.sections(court)}, positions.get(court), saved_wall_s
        )
        for court in whole.courts
    }
    return Stored(rest, {}, saved_wall_s), estates


def _untold_by(state: State, courts: int) -> dict[int, State]:
    out: dict[int, State] = {}
    for decided in state.get("decided", ()):
        by: dict[int, list[State]] = {}
        for transition in decided["transitions"]:
            by.setdefault(_owner_of_state(transition, courts), []).append(transition)
        for court, transitions in by.items():
            held = out.setdefault(court, {"decided": []})
            held["decided"].append({"wall_s": decided["wall_s"], "transitions": transitions})
    return out


def _ledger_by(state: State, courts: int) -> dict[int, State]:
    out: dict[int, State] = {}
    for page in state.get("pages", ()):
        out.setdefault(owner("", page[0], courts), {}).setdefault("pages", []).append(page)
    for name in ("firing", "ended"):
        for alert in state.get(name, ()):
            out.setdefault(_owner_of_alert(alert, courts), {}).setdefault(name, []).append(alert)
    return out


def _outbox_by(state: State, courts: int) -> dict[int, State]:
    out: dict[int, State] = {}
    for entry in state.get("outbox", {}).get("entries", ()):
        notice = entry["waiting"][0] if entry["waiting"] else entry["standing"]
        court = _owner_of_state(notice["transition"], courts)
        out.setdefault(court, {"outbox": {"entries": []}})["outbox"]["entries"].append(entry)
    return out


def _owner_of_state(transition: Mapping[str, Any], courts: int) -> int:
    return _owner_of_alert(transition["alert"], courts)


def _owner_of_alert(alert: Mapping[str, Any], courts: int) -> int:
    return owner(alert["rule"], alert["key"][0], courts)
