"""Judges come and go, are killed and go on when they should not: what they tell is what one that stays would."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from monitor import build
from monitor.codec import decode, encode
from monitor.court_house import CourtHouse
from monitor.decode import ADAPTERS, Limits
from monitor.delta_court import DeltaCourt
from monitor.domain import Alert, Batch, TopicPartition, Transition
from monitor.errors import SourceError, StateError
from monitor.estates import ENDED, NOBODY, Parted, estate_of, owner_of, parted
from monitor.keeper import Keeper
from monitor.kept import Section, State
from monitor.ledger import LEDGER, Ledger
from monitor.selfwatch.terms import RULE_PREFIX, SELF_MODEL
from monitor.snapshot_writer import Writer, WriterTerms, Written
from monitor.snapshots import Record, Snapshot
from monitor.succession import UNREADABLE_S, Hands, Succession, SuccessionTerms
from tests.unit.scaleout.test_halves import SETTINGS, Cluster, references, sent

if TYPE_CHECKING:
    from monitor.references import Reference

__all__ = ["references"]

TOPIC: Final = "deltas"
COURTS: Final = 2
SAVE_S: Final = 10.0


@dataclass
class MemoryLog:
    """A partition of the topic of states, never compacted. is_away: no broker answers."""

    records: list[Record] = field(default_factory=list)
    is_away: bool = False

    def end(self) -> int:
        if self.is_away:
            raise SourceError("no broker answers", is_fatal=False)
        return len(self.records)

    def read(self, first: int, upto: int) -> Iterable[tuple[bytes | None, bytes | None]]:
        return self.records[first:upto]

    def write(self, records: Iterable[Record]) -> Sequence[int]:
        if self.is_away:
            raise StateError("not saved: no broker answers")
        first = len(self.records)
        self.records += records
        return range(first, len(self.records))


class MemoryStates:
    """The topic of states, as one process sees it."""

    def __init__(self, logs: Sequence[MemoryLog], token: str, clock: Callable[[], float]) -> None:
        self._logs = logs
        self._token = token
        self._clock = clock
        self._writers: dict[int, Writer] = {}
        self.loads = 0

    def load(self, q: int) -> Snapshot | None:
        self._writers.pop(q, None)
        self.loads += 1
        terms = WriterTerms(f"court {q}", "test", self._token)
        self._writers[q], found = Writer.begin(self._logs[q], terms, self._clock())
        return found

    def save(
        self, q: int, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float
    ) -> Written:
        try:
            return self._writers[q].save(sections, positions, now_wall_s)
        except SourceError as error:
            raise StateError(str(error)) from error

    def look(self, q: int) -> None:
        try:
            self._writers[q].look()
        except SourceError as error:
            raise StateError(str(error)) from error

    def release(self, q: int) -> None:
        self._writers.pop(q, None)

    def close(self) -> None:
        self._writers.clear()


class Mouth:
    """Delivery to one receiver, which hears at once; what is taken over and was heard before is heard once more."""

    def __init__(self, heard: list[Transition]) -> None:
        self.heard = heard
        self.resumed: list[Alert] = []
        self.dropped: list[Callable[[Alert], bool]] = []

    def offer(self, transitions: Sequence[Transition], now_wall_s: float) -> None:
        self.heard += transitions

    def restore(self, states: Mapping[str, State], now_wall_s: float) -> None:
        assert not states, "nothing waits: all is heard at once"

    def resume(self, alerts: Sequence[Alert], now_wall_s: float) -> None:
        self.resumed += alerts

    def drop(self, is_gone: Callable[[Alert], bool]) -> None:
        self.dropped.append(is_gone)


@dataclass
class Folder:
    """A process's own store, which outlives it."""

    sections: dict[str, State] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    saved_wall_s: float = 0.0
    bytes: int = 0
    state_bytes: int = 0

    def open(self) -> tuple[Folder, Folder | None]:
        return self, self if self.sections else None

    def save(self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float) -> Folder:
        self.sections = {each.name: decode(encode(each.make()), each.name) for each in sections}
        self.positions, self.saved_wall_s = dict(positions), now_wall_s
        return self

    def close(self) -> None:
        pass


class World:
    """Logs of deltas that are there, judges that read them, and a clock."""

    def __init__(self, logs: Sequence[Sequence[bytes]], known: Sequence[Reference]) -> None:
        self.logs = logs
        self.known = known
        self.states = [MemoryLog() for _ in logs]
        self.heard: list[Transition] = []
        self.now_s = 1_000.0
        self.count = 0

    def clock(self) -> float:
        return self.now_s


class Judge:
    """The loop of a judge, as far as it concerns courts. folder: it comes back to one that it had before."""

    def __init__(self, world: World, folder: Folder | None = None) -> None:
        self.world = world
        world.count += 1
        self.folder = folder or Folder()
        self.tenures: dict[TopicPartition, int] = {}
        self.at: dict[TopicPartition, int] = {}
        self.told_before = 0
        self.states = MemoryStates(world.states, str(world.count), world.clock)
        self.mouth = Mouth(world.heard)
        terms = build.pipeline_terms(SETTINGS)
        self.ledger = Ledger(terms.budget)
        hands = Hands(self.states, self.mouth, self.ledger, lambda: self.tenures, self._seek, world.clock)
        self.succession = Succession(hands, SuccessionTerms(TOPIC, COURTS, SAVE_S))
        self.house = CourtHouse(
            lambda: DeltaCourt(terms, ADAPTERS["canonical"](Limits()), world.known), lambda _: None, self.succession
        )
        store, own = self.succession.open(self.folder.open)
        self.ledger.restore({} if own is None else own.sections[LEDGER])
        self.keeper = Keeper(store, SAVE_S, world.clock, settle_s=1.0)

    def _seek(self, source: TopicPartition, offset: int | None) -> None:
        self.at[source] = offset or 0

    def own(self, *courts: int) -> None:
        """Have other partitions from now on; those that stay are still the same tenure."""
        self.world.count += 1
        before = self.tenures
        sources = [TopicPartition(TOPIC, court) for court in courts]
        self.tenures = {source: before.get(source, self.world.count) for source in sources}

    def turn(self, messages: int = 3) -> None:
        """Read a few posts of each partition, open courts, and save and tell what is due: in the loop's order."""
        self.world.now_s += 1.0
        values: list[bytes | None] = []
        numbers: list[int] = []
        offsets: list[int] = []
        sources = list(self.tenures)
        for number, source in enumerate(sources):
            at = self.at.get(source, 0)
            found = self.world.logs[source.partition][at : at + messages]
            values += found
            numbers += [number] * len(found)
            offsets += range(at, at + len(found))
            self.at[source] = at + len(found)
        self.house.assign(self.tenures)
        step = self.house.step(Batch(values, numbers, sources, offsets=offsets), self.world.now_s)
        self.house.idle((), 0.0, self.world.now_s)
        self.ledger.take(step.transitions, self.world.now_s)
        self.keeper.hold(step.transitions, self.world.now_s)
        if self.keeper.is_due(self.world.now_s):
            decided, _ = self.keeper.save(self._sections(), self.at, self.world.now_s)
            for each in decided:
                told = [one for one in each.transitions if self.succession.may_tell(one.alert)]
                self.mouth.offer(told, each.wall_s)

    def _sections(self) -> Iterator[Section]:
        yield from self.house.sections()
        yield Section(LEDGER, None, self.ledger.state)

    @property
    def is_done(self) -> bool:
        return all(self.at.get(source, 0) >= len(self.world.logs[source.partition]) for source in self.tenures)


@pytest.fixture(scope="module")
def logs(references: Sequence[Reference]) -> Sequence[Sequence[bytes]]:
    """Give what two folds have sent to each court, of an incident."""
    cluster = Cluster(build.pipeline_terms(SETTINGS), references, random.Random(5), folds=2, courts=COURTS)
    cluster.run(sent(20.0, 100.0))
    assert all(len(log) > 20 for log in cluster.logs)
    return cluster.logs


def name(transition: Transition) -> tuple[object, ...]:
    """Give what a receiver knows a notice by."""
    alert = transition.alert
    return alert.rule, alert.key, alert.state, alert.severity, transition.time_s, alert.firing_s, alert.value


@pytest.fixture(scope="module")
def steady(logs: Sequence[Sequence[bytes]], references: Sequence[Reference]) -> Judge:
    """Give a judge that nothing has happened to, at its end."""
    judge = Judge(World(logs, references))
    judge.own(0, 1)
    finish(judge)
    return judge


@pytest.fixture(scope="module")
def alone(steady: Judge) -> Counter[tuple[object, ...]]:
    """Give what it has told."""
    assert len(steady.world.heard) > 5
    return Counter(map(name, steady.world.heard))


def accounts(*judges: Judge) -> Mapping[str, list[object]]:
    """Give what the ledgers of judges know of models: their pages, and alerts that fire or have ended."""
    states = [judge.ledger.state() for judge in judges]
    found = {
        "pages": [(model, version, times_s.tolist()) for each in states for model, version, times_s in each["pages"]],
        "firing": [alert["dedup_key"] for each in states for alert in each["firing"]],
        "ended": [(alert["dedup_key"], alert["resolved_s"]) for each in states for alert in each["ended"]],
    }
    return {what: sorted(some) for what, some in found.items()}


def finish(*judges: Judge) -> None:
    for judge in judges:
        while not (judge.is_done and judge.house.courts.keys() == {source.partition for source in judge.tenures}):
            judge.turn()
        judge.world.now_s += 2 * SAVE_S
        judge.turn()


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_left_out_and_only_the_last_is_told_again(
    logs: Sequence[Sequence[bytes]],
    references: Sequence[Reference],
    steady: Judge,
    alone: Counter[tuple[object, ...]],
    seed: int,
) -> None:
    """Each court has two owners at times: one was stopped, and has yet to learn of it."""
    rng, world = random.Random(seed), World(logs, references)
    judges = [Judge(world), Judge(world)]
    judges[0].own(0)
    judges[1].own(1)
    stopped: list[Judge] = []
    takeovers = 0
    for _ in range(40):
        luck = rng.random()
        at = rng.randrange(2)
        if luck < 0.06:  # killed; it comes back to its folder, or another one begins
            judges[at] = Judge(world, judges[at].folder if rng.random() < 0.5 else None)
            judges[at].own(at)
            takeovers += 1
        elif luck < 0.12:  # stopped, missed, and to go on later
            stopped.append(judges[at])
            judges[at] = Judge(world)
            judges[at].own(at)
            takeovers += 1
        elif luck < 0.18:  # both courts to one, and back
            judges[at].own(0, 1)
            judges[1 - at].own()
            judges[1 - at].turn()
            for _ in range(rng.randrange(5)):
                judges[at].turn(rng.randrange(4))
            judges[at].own(at)
            judges[at].turn(0)
            judges[1 - at].own(1 - at)
            takeovers += 2
        elif stopped and luck < 0.5:  # it goes on, and does not know that it is no longer the owner
            zombie = stopped.pop()
            zombie.turn(rng.randrange(4))
            zombie.turn(rng.randrange(4))
        judges[at].turn(rng.randrange(4))
    finish(*judges)

    told = Counter(map(name, world.heard))
    assert alone.keys() == told.keys()
    assert told.total() <= alone.total() + 4 * (takeovers + 1)
    assert accounts(steady)["pages"] and accounts(steady)["firing"]  # noqa: PT018 - both are to be there
    assert accounts(steady) == accounts(*judges)


def test_zombie_tells_nothing_once_another_has_taken_over(
    logs: Sequence[Sequence[bytes]], references: Sequence[Reference]
) -> None:
    world = World(logs, references)
    zombie = Judge(world)
    zombie.own(0, 1)
    while not world.heard:
        zombie.turn(1)
    successor = Judge(world)
    successor.own(0, 1)
    successor.turn(1)
    before = len(world.heard)

    for _ in range(30):
        if len(zombie.mouth.dropped) < COURTS:
            zombie.turn()

    assert before == len(world.heard)
    assert len(zombie.mouth.dropped) == COURTS
    assert not any(zombie.succession.may_tell(each.alert) for each in world.heard)


def test_judge_that_still_has_the_partition_loads_anew(
    logs: Sequence[Sequence[bytes]], references: Sequence[Reference], alone: Counter[tuple[object, ...]]
) -> None:
    world = World(logs, references)
    judge, intruder = Judge(world), Judge(world)
    judge.own(0, 1)
    judge.turn()
    intruder.own(0, 1)
    for _ in range(4):
        intruder.turn()
    loads = judge.states.loads
    finish(judge)
    for _ in range(10):  # it learns of the other when it saves, waits, and loads what there is
        judge.turn()

    assert judge.states.loads > loads
    assert alone.keys() <= Counter(map(name, world.heard)).keys()


def test_of_folder_and_topic_that_is_taken_which_has_read_further(
    logs: Sequence[Sequence[bytes]], references: Sequence[Reference]
) -> None:
    world = World(logs, references)
    first = Judge(world)
    first.own(0)
    for _ in range(12):
        first.turn(1)
    at = first.folder.positions[TopicPartition(TOPIC, 0)]
    back = Judge(world, first.folder)
    back.own(0)
    back.turn(0)

    assert at == back.at[TopicPartition(TOPIC, 0)], "its own folder, or as far on the topic"

    other = Judge(world)
    other.own(0)
    for _ in range(30):
        other.turn(1)
    again = Judge(world, first.folder)
    again.own(0)
    again.turn(0)

    assert again.at[TopicPartition(TOPIC, 0)] > at, "another has judged it meanwhile"


def test_brokers_away_silence_nobody_and_the_court_waits(
    logs: Sequence[Sequence[bytes]], references: Sequence[Reference], alone: Counter[tuple[object, ...]]
) -> None:
    world = World(logs, references)
    judge = Judge(world)
    judge.own(0, 1)
    world.states[0].is_away = True
    judge.turn()

    assert [TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)] == list(judge.house.ahead())

    world.states[0].is_away = False
    world.now_s += 60.0
    judge.turn()
    for log in world.states:
        log.is_away = True
    finish(judge)

    assert alone.keys() == Counter(map(name, world.heard)).keys()


def test_state_that_can_not_be_read_keeps_no_other_court_waiting(
    logs: Sequence[Sequence[bytes]], references: Sequence[Reference], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(logs, references)
    judge, load = Judge(world), MemoryStates.load

    def damaged(states: MemoryStates, q: int) -> Snapshot | None:
        if q == 0:
            raise StateError("it was written by a newer version of driftd")
        return load(states, q)

    monkeypatch.setattr(MemoryStates, "load", damaged)
    judge.own(0, 1)
    judge.turn()
    assert [1] == list(judge.house.courts)
    assert [TopicPartition(TOPIC, 0)] == list(judge.house.ahead())

    monkeypatch.undo()
    judge.turn()
    assert [1] == list(judge.house.courts), "it is not asked for all the time"
    world.now_s += UNREADABLE_S
    judge.turn()
    assert {0, 1} == judge.house.courts.keys()


def test_reload_reaches_courts_that_are_opened_later(
    logs: Sequence[Sequence[bytes]], references: Sequence[Reference]
) -> None:
    world = World(logs, references)
    first = Judge(world)
    first.own(0, 1)
    finish(first)
    firing = first.house.alerts
    assert firing
    second = Judge(world)
    quiet = SETTINGS.model_copy(update={"alerts": SETTINGS.alerts.model_copy(update={"default_rules": False})})
    second.house.replan(build.pipeline_terms(quiet))
    second.own(0, 1)
    second.turn(0)

    assert not second.house.alerts
    assert {alert.dedup_key for alert in firing} <= {each.alert.dedup_key for each in world.heard}


def alert_state(model: str, rule: str = "drift") -> State:
    alert = {"rule": rule, "key": [model, "1", "f", ""], "dedup_key": f"{rule}-{model}", "resolved_s": 1.0}
    return {"alert": alert, "time_s": 1.0}


def test_state_is_parted_by_court_and_what_is_of_the_process_stays(references: Sequence[Reference]) -> None:
    del references
    models = [f"m{number}" for number in range(8)]
    states: dict[str, State] = {
        "court/0/a": {"of": 0},
        "court/1/b/c": {"of": 1},
        "ledger": {
            "x": 1,
            "pages": [[each, "1", np.array([1.0])] for each in models],
            "firing": [alert_state(SELF_MODEL, f"{RULE_PREFIX}lag")["alert"]],
            "ended": [alert_state(each)["alert"] for each in models],
        },
        "untold": {
            "decided": [
                {
                    "wall_s": 5.0,
                    "transitions": [*map(alert_state, models), alert_state(SELF_MODEL, f"{RULE_PREFIX}lag")],
                }
            ]
        },
        "outbox/hook": {
            "outbox": {
                "entries": [{"waiting": [{"transition": alert_state(each)}], "standing": None} for each in models]
                + [{"waiting": [], "standing": {"transition": alert_state(SELF_MODEL, f"{RULE_PREFIX}lag")}}]
            },
            "receipts": [1],
        },
    }

    own, estates = parted(states, {0: 7}, 3.0, COURTS)

    assert {"a": {"of": 0}} == estates[0].sections
    assert {"b/c": {"of": 1}} == estates[1].sections
    assert (7, None) == (estates[0].position, estates[1].position)
    own_ledger = own.sections["ledger"]
    assert (1, [], 1, []) == (own_ledger["x"], own_ledger["pages"], len(own_ledger["firing"]), own_ledger["ended"])
    assert sorted(models) == sorted(model for each in estates.values() for model, *_ in each.ledger["pages"])
    assert sorted(models) == sorted(alert["key"][0] for each in estates.values() for alert in each.ledger["ended"])
    assert [SELF_MODEL] == list(_models(own.sections["untold"]))
    assert 1 == len(own.sections["outbox/hook"]["outbox"]["entries"])
    assert [1] == own.sections["outbox/hook"]["receipts"]
    assert sorted(models) == sorted(model for each in estates.values() for model in _models(each.untold))
    assert len(models) == sum(len(each.outboxes["hook"]["outbox"]["entries"]) for each in estates.values())


def test_what_a_court_leaves_is_read_as_it_was_left() -> None:
    sections = [Section("court/1/a", "m", lambda: {"x": 1}), Section("court/0/a", None, lambda: {"x": 0})]

    found = {section.name: section for section in Parted(sections, COURTS).sections(1)}

    assert "m" == found["a"].mark
    assert {"a": {"x": 1}} == estate_of({n: s.make() for n, s in found.items()}, 4, 2.0).sections


def test_alerts_that_have_ended_are_written_again_only_when_there_are_others() -> None:
    """They are many, and large."""

    def mark(*models: str) -> str | None:
        ledger = {"ended": [alert_state(each)["alert"] for each in models]}
        found = Parted([Section("court/0/a", None, dict), Section("ledger", None, lambda: ledger)], 1).sections(0)
        return next(section.mark for section in found if section.name == ENDED)

    assert mark("a", "b") == mark("a", "b")
    assert len({mark(), mark("a"), mark("b"), mark("a", "b"), mark("b", "a")}) == 5


def test_alerts_about_driftd_itself_are_of_no_court(
    logs: Sequence[Sequence[bytes]], references: Sequence[Reference]
) -> None:
    world = World(logs, references)
    judge = Judge(world)
    judge.own(0, 1)
    while not world.heard:
        judge.turn()
    alert = world.heard[0].alert

    assert NOBODY != owner_of(alert, COURTS)
    own = _renamed(alert)
    assert NOBODY == owner_of(own, COURTS)
    assert Judge(world).succession.may_tell(own)


def _renamed(alert: Alert) -> Alert:
    return replace(alert, rule=f"{RULE_PREFIX}lag", key=alert.key._replace(model=SELF_MODEL))


def _models(untold: State) -> Iterator[str]:
    return (one["alert"]["key"][0] for each in untold.get("decided", ()) for one in each["transitions"])
