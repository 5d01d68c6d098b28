"""What topics folds and judges need, how they must be set up, and what is wrong with those that are there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined] # public, but not typed so
from confluent_kafka.cimpl import NewTopic

from monitor.errors import SourceError

ASK_S: Final = 15.0
KNOWN_S: Final = 0.1
PARTITIONS: Final = 16
"""Of deltas and states unless told otherwise: so many judges can share the work at most."""
MESSAGE_BYTES_MAX: Final = 8 << 20
RETENTION_MS: Final = 24 * 3_600_000
"""For so long judges may stand still before deltas are lost to them."""
SEGMENT_BYTES: Final = 64 << 20
SEGMENT_MS: Final = 600_000
"""Compaction leaves the newest segment alone, so its size and age bound what a successor reads in vain."""
TOMBSTONE_MS: Final = 3_600_000
REPLICAS_FOR_TWO: Final = 3
"""From so many replicas on, a write is acknowledged by two or refused, and one can be away."""

_Answer = TypeVar("_Answer")


class Names(NamedTuple):
    """The topics' names."""

    deltas: str = "driftd.deltas"
    layouts: str = "driftd.layouts"
    state: str = "driftd.state"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it is made. why: what it is for. losing: settings by which records would be lost, were they others."""

    name: str
    partitions: int
    replication: int
    why: str
    config: Mapping[str, str]
    losing: Sequence[Rule] = field(default=(), repr=False)


class Rule(NamedTuple):
    """A setting that matters. is_least: the value is a least one, and -1 is without bound; else it must be the same."""

    setting: str
    value: str
    why: str
    is_least: bool = False

    def allows(self, found: str) -> bool:
        """Tell whether a value will do."""
        if not self.is_least:
            return found == self.value
        try:
            number, least = int(found), int(self.value)
        except ValueError:
            return False
        return number == -1 or (number >= least and least != -1)


EVENTS: Final = (
    Rule("cleanup.policy", "delete", "events that share a key would be taken away before they are read"),
    Rule("retention.ms", "3600000", "a fold that stood still longer would lose events", is_least=True),
)
"""Of topics of events, which are others' and never made here."""


class Created(NamedTuple):
    """made: topics that were not there. problems: with those that were; each begins with `topic 'NAME'`."""

    made: Sequence[str]
    problems: Sequence[str]


def wanted(names: Names, partitions: int = PARTITIONS, replication: int = 3) -> list[Wanted]:
    """Give the topics of the scaled form. partitions: of deltas and of states. replication: copies of each."""
    in_sync = "2" if replication >= REPLICAS_FOR_TWO else "1"
    common = {
        "min.insync.replicas": in_sync,
        "max.message.bytes": str(MESSAGE_BYTES_MAX),
        "unclean.leader.election.enable": "false",
        "compression.type": "producer",
    }
    compacted = {
        **common,
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.bytes": str(SEGMENT_BYTES),
        "segment.ms": str(SEGMENT_MS),
        "delete.retention.ms": str(TOMBSTONE_MS),
    }
    deltas = {
        **common,
        "cleanup.policy": "delete",
        "retention.ms": str(RETENTION_MS),
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime",
    }
    kept = Rule("cleanup.policy", "compact", "records that are still needed would be deleted by age")
    deltas_rules = [
        Rule("cleanup.policy", "delete", "deltas have no keys: compaction would refuse them, or take them away"),
        Rule(
            "retention.ms",
            str(RETENTION_MS),
            "a judge that stood still longer would lose deltas",
            is_least=True,
        ),
        Rule("retention.bytes", "-1", "deltas would be lost before their time", is_least=True),
        Rule("message.timestamp.type", "LogAppendTime", "retention would go by writers' clocks"),
    ]
    return [
        Wanted(
            names.deltas, partitions, replication, "counts, from folds to judges", deltas, _with(common, deltas_rules)
        ),
        Wanted(
            names.layouts,
            1,
            replication,
            "what is counted and how, from judges to folds",
            compacted,
            _with(common, [kept]),
        ),
        Wanted(
            names.state, partitions, replication, "states, from judges to successors", compacted, _with(common, [kept])
        ),
    ]


def _with(common: Mapping[str, str], rules: Sequence[Rule]) -> Sequence[Rule]:
    in_sync, size, unclean = "min.insync.replicas", "max.message.bytes", "unclean.leader.election.enable"
    return [
        *rules,
        Rule(size, common[size], "large records would be refused", is_least=True),
        Rule(in_sync, common[in_sync], "what one broker alone has acknowledged is lost with it", is_least=True),
        Rule(unclean, common[unclean], "records that were acknowledged could be lost"),
    ]


def create(options: Mapping[str, Any], topics: Sequence[Wanted], *, is_dry: bool = False) -> Created:
    """Make the topics that are not there; those that are, also by another's hand just now, are left, and checked.

    options: librdkafka's, to connect. is_dry: tell what would be made, and make nothing. Raises SourceError where
    brokers can't be reached or refuse.
    """
    cluster = _Cluster(options)
    found = cluster.partitions()
    made = [each.name for each in topics if each.name not in found and (is_dry or cluster.is_made(each))]
    if not is_dry:
        cluster.wait_for([each.name for each in topics])
    return Created(made, [*_problems(cluster, [each for each in topics if each.name not in made])])


def problems(options: Mapping[str, Any], topics: Sequence[Wanted]) -> list[str]:
    """Give what is wrong with the topics, each with its cure in one line; nothing when all is well.

    Raises SourceError where brokers can't be reached or refuse.
    """
    return [*_problems(_Cluster(options), topics)]


def of_events(
    options: Mapping[str, Any], names: Sequence[str], read_back_s: float = 0.0
) -> tuple[dict[str, int], list[str]]:
    """Give how many partitions the topics of events have, those that there are, and what is wrong with them.

    read_back_s: how far back whoever takes a partition over has to read. Raises SourceError where brokers can't be
    reached or refuse.
    """
    cluster = _Cluster(options)
    found = cluster.partitions()
    there = [name for name in names if name in found]
    wrong = [
        f"topic {name!r} (events) is missing: mend kafka.topics, or have it made by whoever sends events"
        for name in names
        if name not in found
    ]
    for name, settings in cluster.settings(there).items():
        wrong += _breaches(name, settings, [*EVENTS, *_read_back(read_back_s)])
    return {name: len(found[name]) for name in there}, wrong


def _read_back(seconds: float) -> Iterator[Rule]:
    if seconds:
        least = str(int(seconds * 1_000))
        yield Rule("retention.ms", least, "outcomes would lose what they are about, or lower ttl_s", is_least=True)


def _problems(cluster: _Cluster, topics: Sequence[Wanted]) -> Iterator[str]:
    found = cluster.partitions()
    there = [each for each in topics if each.name in found]
    for each in topics:
        if each.name not in found:
            yield f"topic {each.name!r} ({each.why}) is missing: make it with `driftd topics create`"
    settings = cluster.settings([each.name for each in there])
    for each in there:
        yield from _shape(each, found[each.name])
        yield from _breaches(each.name, settings[each.name], each.losing)


def _breaches(name: str, settings: Mapping[str, str | None], rules: Sequence[Rule]) -> Iterator[str]:
    for rule in rules:
        value = settings.get(rule.setting)
        if value is not None and not rule.allows(value):
            least = " at least" if rule.is_least and rule.value != "-1" else ""
            yield (
                f"topic {name!r}: {rule.setting} is {value}, wanted is{least} {rule.value}: {rule.why}:"
                f" kafka-configs --alter --topic {name} --add-config {rule.setting}={rule.value}"
            )


def _shape(topic: Wanted, replicas: Sequence[int]) -> Iterator[str]:
    """Say what is wrong with partitions. replicas: of each."""
    if len(replicas) != topic.partitions:
        yield (
            f"topic {topic.name!r}: has {len(replicas)} partitions, wanted are {topic.partitions}: set the configured"
            " number to what the topics have; or stop folds and judges, delete driftd's topics, and make them anew"
        )
    if replicas and min(replicas) < topic.replication:
        yield (
            f"topic {topic.name!r}: has {min(replicas)} replica(s), wanted are {topic.replication}: what it holds is"
            " lost with them: add replicas with kafka-reassign-partitions, or configure fewer"
        )


class _Cluster:
    """An admin client that raises our errors."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        try:
            self._admin = AdminClient({**options, "log_level": 2})
        except KafkaException as error:
            raise SourceError(f"kafka: {error.args[0].str()}") from None

    def partitions(self) -> dict[str, list[int]]:
        """Give how many replicas each partition has, by topic."""
        try:
            topics = self._admin.list_topics(timeout=ASK_S).topics
        except KafkaException as error:
            raise SourceError(f"kafka: {error.args[0].str()}", is_fatal=False) from None
        return {
            name: [len(each.replicas) for each in topic.partitions.values()]
            for name, topic in topics.items()
            if topic.error is None
        }

    def wait_for(self, names: Sequence[str]) -> None:
        """Return when topics that were made are known: brokers hear of them a moment later."""
        deadline_s = time.monotonic() + ASK_S
        while not self.partitions().keys() >= set(names) and time.monotonic() < deadline_s:
            time.sleep(KNOWN_S)

    def settings(self, names: Sequence[str]) -> dict[str, dict[str, str | None]]:
        """Give the settings in force, by topic."""
        if not names:
            return {}
        asked = self._admin.describe_configs([ConfigResource("topic", name) for name in names])
        found = {resource.name: _answer(future, f"topic {resource.name!r}") for resource, future in asked.items()}
        return {name: {entry.name: entry.value for entry in told.values()} for name, told in found.items()}

    def is_made(self, topic: Wanted) -> bool:
        """Make a topic; tell whether it was not there. Raises SourceError."""
        new = NewTopic(topic.name, topic.partitions, topic.replication, config=dict(topic.config))
        future = self._admin.create_topics([new], operation_timeout=ASK_S)[topic.name]
        try:
            future.result(2.0 * ASK_S)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise _refused(error.args[0], f"topic {topic.name!r} was not made") from None
        except TimeoutError:
            raise SourceError(f"kafka: topic {topic.name!r}: brokers did not answer", is_fatal=False) from None
        return True


def _answer(future: Future[_Answer], what: str) -> _Answer:
    try:
        return future.result(ASK_S)
    except KafkaException as error:
        raise _refused(error.args[0], what) from None
    except TimeoutError:
        raise SourceError(f"kafka: {what}: brokers did not answer", is_fatal=False) from None


def _refused(error: KafkaError, what: str) -> SourceError:
    cure = ""
    if error.code() == KafkaError.INVALID_REPLICATION_FACTOR:
        cure = ": configure no more replicas than there are brokers"
    if error.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}:
        cure = ": grant CREATE, DESCRIBE and DESCRIBE_CONFIGS on driftd's topics to whoever makes them"
    return SourceError(f"kafka: {what}: {error.str()}{cure}")
