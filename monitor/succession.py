"""Courts come with their partitions, and go on where whoever had them before left them.

A court's state is in two places: in this process's own folder, for when it comes back to it, and on the topic of
states, for whoever judges the court next. What a court knows follows from the log of its posts alone, so of two states
the one that has read further is the newer one, whoever wrote it; and what was decided and not stored is decided again,
under the same names. A state holds what is still to be told beside it: so nothing is left out, and what was told before
is not told anew, but for what came since the last save.

A judge that another has followed unnoticed (it was stopped beyond its session) learns it here before it tells anything
more: another has begun to write its court's state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import structlog

from monitor.court_house import CourtHouse
from monitor.domain import Alert, TopicPartition, Transition
from monitor.errors import SourceError, StateError
from monitor.estates import NOBODY, Estate, Parted, estate_of, owner, owner_of, parted
from monitor.keeper import SAVE_SHARE_MAX, Loaded, Opened, Saved, Storing, decided_of
from monitor.kept import Section, State
from monitor.snapshot_writer import Superseded

AGAIN_S: Final = 1.0
AGAIN_S_MAX: Final = 60.0
"""How long after a failure the topic is tried again, doubled each time: while brokers are away, each attempt waits."""
UNREADABLE_S: Final = 30.0
"""How long after a court's state could not be read, or written, it is tried again."""
CONTESTED_S: Final = 5.0
"""How long one waits to load a court anew that another has begun to write, while its partition is still here."""
LOADS_S: Final = 2.0
"""So long is spent at most on opening courts before messages are read again; one is always opened."""
EARLY: Final = 0.8
"""A save this share of its period after the last one counts as due: the loop is never quite on time."""

log = structlog.get_logger()


class States(Protocol):
    """The topic of states; see relay.state_topic.StateTopic."""

    def load(self, q: int) -> Loaded | None:
        """Become the writer of a court's state, and give the last. Raises StateError, SourceError."""
        ...

    def save(
        self, q: int, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float
    ) -> Saved:
        """Store a court's state. Raises StateError; Superseded where another has begun to write it."""
        ...

    def look(self, q: int) -> None:
        """See whether another has begun to write it. Raises as `save`."""
        ...

    def release(self, q: int) -> None:
        """Forget a court."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Telling(Protocol):
    """What is asked of delivery; see delivery.Delivery."""

    def offer(self, transitions: Sequence[Transition], now_wall_s: float) -> None:
        """Take in what is to be told."""
        ...

    def restore(self, states: Mapping[str, State], now_wall_s: float) -> None:
        """Go on with what another process was still to tell."""
        ...

    def resume(self, alerts: Sequence[Alert], now_wall_s: float) -> None:
        """Take over alerts that fire already."""
        ...

    def drop(self, is_gone: Callable[[Alert], bool]) -> None:
        """Forget alerts that another process tells of from now on."""
        ...


class Counting(Protocol):
    """What is asked of the ledger of pages; see ledger.Ledger."""

    def take_over(self, state: State) -> None:
        """Take in pages and alerts of models that are judged here from now on."""
        ...

    def take(self, transitions: Iterable[Transition], now_wall_s: float | None = None) -> None:
        """Note what changed."""
        ...

    def drop(self, is_gone: Callable[[str, str], bool]) -> None:
        """Forget those of others, by rule and model."""
        ...


@dataclass(frozen=True, slots=True)
class Hands:
    """What succession works with.

    tenures: gives the partitions that are ours, with another number each time that one becomes ours. seek: has one
    read from an offset on, None: from its beginning.
    """

    states: States
    delivery: Telling
    ledger: Counting
    tenures: Callable[[], Mapping[TopicPartition, int]]
    seek: Callable[[TopicPartition, int | None], None]
    clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class SuccessionTerms:
    """topic: of deltas. courts: how many there are. save_s: how often a court's state is stored on the topic."""

    topic: str
    courts: int
    save_s: float = 10.0


@dataclass(slots=True)
class _Held:
    """An open court. saved_s, not_before_s: when its state was stored last, and may be again.

    is_settled: what is stored holds nothing that was told since. is_refused: another has begun to write its state.
    """

    tenure: int
    saved_s: float
    not_before_s: float = 0.0
    is_settled: bool = True
    is_refused: bool = False


class _Bytes(NamedTuple):
    """Account of a save; see keeper.Saved."""

    bytes: int
    state_bytes: int


class Succession:
    """Opens courts as their partitions come, stores their states, and closes them. Only one thread may call it.

    It is the store of a judge: see keeper.Storing.
    """

    def __init__(self, hands: Hands, terms: SuccessionTerms) -> None:
        self._states = hands.states
        self._delivery = hands.delivery
        self._ledger = hands.ledger
        self._tenures = hands.tenures
        self._seek = hands.seek
        self._clock = hands.clock
        self._terms = terms
        self._local: Storing | None = None
        self._left: dict[int, Estate] = {}
        """Of courts that this process's own folder holds, until it is known who judges them now."""
        self._held: dict[int, _Held] = {}
        self._apart_until_s: dict[int, float] = {}
        self._again_s, self._not_before_s = AGAIN_S, 0.0

    def open(self, open_local: Callable[[], Opened] | None) -> Opened:
        """Open this process's own store as well (None: there is none); give what is of itself in it, not of courts."""
        if open_local is None:
            return self, None
        self._local, stored = open_local()
        if stored is None:
            return self, None
        positions = {source.partition: offset for source, offset in stored.positions.items()}
        rest, self._left = parted(stored.sections, positions, stored.saved_wall_s, self._terms.courts)
        return self, rest

    def close(self) -> None:
        """Let go of both."""
        self._states.close()
        if self._local is not None:
            self._local.close()

    def may_tell(self, alert: Alert) -> bool:
        """Tell whether an alert is of a court that is still ours, or about driftd itself."""
        court = owner_of(alert, self._terms.courts)
        held = self._held.get(court)
        return court == NOBODY or (held is not None and not held.is_refused)

    # ---- which courts

    def expected(self) -> Sequence[TopicPartition]:
        """Give the partitions that are ours and whose courts are not open yet."""
        return [source for source in self._tenures() if source.partition not in self._held]

    def close_gone(self, house: CourtHouse) -> None:
        """Close the courts that are no longer ours, or were not meanwhile."""
        tenures = {source.partition: tenure for source, tenure in self._tenures().items()}
        for court, held in list(self._held.items()):
            if held.is_refused or tenures.get(court) != held.tenure:
                self._give_up(house, court)

    def open_due(self, house: CourtHouse) -> None:
        """Open courts that are ours: read on from where their states say. Raises SourceError where that never works."""
        tenures = {source.partition: tenure for source, tenure in self._tenures().items()}
        began_s = now_s = self._clock()
        for court in sorted(tenures.keys() - self._held.keys()):
            if now_s < self._not_before_s or now_s - began_s >= LOADS_S:
                return
            if now_s >= self._apart_until_s.get(court, 0.0):
                self._try(house, court, tenures[court], now_s)
            now_s = self._clock()

    def _give_up(self, house: CourtHouse, court: int) -> None:
        house.close(court)
        del self._held[court]
        self._states.release(court)
        self._delivery.drop(lambda alert: owner_of(alert, self._terms.courts) == court)
        self._ledger.drop(lambda rule, model: owner(rule, model, self._terms.courts) == court)
        self._seek(TopicPartition(self._terms.topic, court), None)
        log.info("court given up", court=court)

    def _try(self, house: CourtHouse, court: int, tenure: int, now_s: float) -> None:
        """Open a court; one that can't be is tried again. What is wrong with its state alone keeps no other waiting."""
        try:
            self._take_up(house, court, tenure, now_s)
        except SourceError as error:
            if error.is_fatal:
                raise
            self._rest("court not taken up", "court_not_taken_up", court, error)
        except StateError as error:
            self._apart_until_s[court] = now_s + UNREADABLE_S
            log.error(  # noqa: TRY400 - the error says it all, and it is tried again
                "court not taken up", error_code="court_not_taken_up", court=court, error=str(error)
            )

    def _take_up(self, house: CourtHouse, court: int, tenure: int, now_s: float) -> None:
        estate, origin = self._newer(court, self._states.load(court))
        self._ledger.take_over(estate.ledger)
        ended = house.open(court, estate.sections)
        self._ledger.take(ended, now_s)
        self._seek(TopicPartition(self._terms.topic, court), estate.position)
        self._held[court] = _Held(tenure, saved_s=now_s)
        self._again_s = AGAIN_S
        self._apart_until_s.pop(court, None)
        self._left.pop(court, None)
        self._delivery.restore(estate.outboxes, now_s)
        for decided in decided_of(estate.untold):
            self._delivery.offer(decided.transitions, decided.wall_s)
        self._delivery.offer(ended, now_s)
        self._delivery.resume(house.courts[court].alerts, now_s)
        about = {"from": origin, "offset": estate.position, "seconds": round(self._clock() - now_s, 3)}
        if estate.sections:
            about["age_s"] = round(now_s - estate.saved_wall_s, 3)
        log.info("court taken up", court=court, **about)

    def _rest(self, event: str, code: str, court: int, error: Exception) -> None:
        """Leave the topic alone for a while: it can't be reached, or does not take what it is given."""
        self._not_before_s = self._clock() + self._again_s
        self._again_s = min(AGAIN_S_MAX, 2.0 * self._again_s)
        log.error(event, error_code=code, court=court, error=str(error))

    def _newer(self, court: int, loaded: Loaded | None) -> tuple[Estate, str]:
        """Give the state that has read further, and whose it is."""
        own = self._left.get(court)
        read = -1 if own is None or own.position is None else own.position
        position = -1 if loaded is None else loaded.positions.get(TopicPartition(self._terms.topic, court), -1)
        if loaded is not None and position > read:
            return estate_of(loaded.sections, position, loaded.saved_wall_s), "topic"
        return (own, "folder") if own is not None and read >= 0 else (Estate({}, {}, {}), "nothing")

    # ---- saving

    def save(self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float) -> Saved:
        """Store all in this process's own folder, and on the topic the courts that are due or have something to tell.

        Raises StateError where the folder can't be written. What the topic does not take is logged, and tried again.
        """
        every = list(sections)
        whole = Parted(every, self._terms.courts)
        on_topic = [self._save_court(court, whole, positions, now_wall_s) for court in list(self._held)]
        written, state = (sum(numbers) for numbers in zip(*on_topic, strict=True)) if on_topic else (0, 0)
        if self._local is None:
            return _Bytes(written, state)
        saved = self._local.save(every, positions, now_wall_s)
        return _Bytes(saved.bytes + written, saved.state_bytes)

    def _save_court(
        self, court: int, whole: Parted, positions: Mapping[TopicPartition, int], now_s: float
    ) -> tuple[int, int]:
        """Store a court's state if that is due; else see whether it is ours still, if it has anything to tell."""
        held, source = self._held[court], TopicPartition(self._terms.topic, court)
        is_telling = bool(whole.untold(court))
        is_due = not held.is_settled or now_s - held.saved_s >= EARLY * self._terms.save_s
        if held.is_refused or source not in positions or not (is_telling or is_due):
            return 0, 0
        if now_s < self._not_before_s:
            return 0, 0
        began_s = self._clock()
        try:
            if now_s < held.not_before_s:
                self._states.look(court)
                return 0, 0
            saved = self._states.save(court, whole.sections(court), {source: positions[source]}, now_s)
        except Superseded as error:
            held.is_refused = True
            self._apart_until_s[court] = now_s + CONTESTED_S
            log.warning("court is another's", court=court, error=str(error))
            return 0, 0
        except StateError as error:
            self._rest("state of a court not stored", "court_not_stored", court, error)
            return 0, 0
        self._again_s, cost_s = AGAIN_S, self._clock() - began_s
        held.saved_s, held.not_before_s = now_s, now_s + min(self._terms.save_s, cost_s / SAVE_SHARE_MAX)
        held.is_settled = not is_telling
        return saved.bytes, saved.state_bytes
