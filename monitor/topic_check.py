"""What the brokers have for the scaled form, against what it needs: topics, their settings, and rights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor import build
from monitor.acls import Acl, acls_of
from monitor.config import Settings
from monitor.errors import SourceError
from monitor.relay import rights
from monitor.relay.request_keys import scattered
from monitor.relay.topics import Names, Wanted, of_events, problems, wanted


@dataclass(frozen=True, slots=True)
class TopicReport:
    """partitions: of the topics of events that are there. problems: each with its cure. is_braided: see build."""

    partitions: dict[str, int]
    problems: Sequence[str]
    is_braided: bool = False

    @property
    def shares(self) -> int:
        """Give in how many parts folds can share the events: of topics read as one, those of one."""
        counts = self.partitions.values()
        return min(counts, default=0) if self.is_braided else sum(counts)

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        return {"ok": not self.problems, "partitions": self.partitions, "problems": list(self.problems)}

    def to_lines(self) -> list[str]:
        """Give it for people."""
        read = ", ".join(f"{name} ({count} partitions)" for name, count in self.partitions.items()) or "nothing"
        if not self.problems:
            return [f"brokers    have all that fold and judge need; events: {read}"]
        return [f"brokers    events: {read}", *(f"problem: {text}" for text in self.problems)]


def wanted_topics(settings: Settings, replicas: int | None = None) -> list[Wanted]:
    """Give the topics of the scaled form as they are made. replicas: in place of the configured ones."""
    own = settings.scaleout
    names = Names(own.deltas_topic, own.layouts_topic, own.state_topic)
    return wanted(names, own.courts, replicas or own.replicas)


def check_topics(settings: Settings) -> TopicReport:
    """Ask the brokers. Raises SourceError where they can't be reached."""
    options = build.client_options(settings)
    acls = acls_of(settings)
    lacking = [*_lacking(options, [*acls.fold, *acls.judge])]
    hidden = {acl.name for acl, operations in lacking if "Describe" in operations}
    found = [
        f"{acl.resource} {acl.name!r}: we may not {', '.join(operations)} ({acl.why}):"
        f" {acl.command(acls.servers, acls.principal)}"
        for acl, operations in lacking
    ]
    topics = [each for each in wanted_topics(settings) if each.name not in hidden]
    events = [name for name in settings.kafka.topics if name not in hidden]
    partitions: dict[str, int] = {}
    try:
        joins = settings.outcomes.join == "always"
        partitions, wrong = of_events(options, events, settings.outcomes.ttl_s if joins else 0.0)
        found += [*wrong, *problems(options, topics)]
        if joins and partitions:
            found += _unlike(partitions)
            found += scattered({**options, "group.id": settings.kafka.group_id}, list(partitions))
    except SourceError as error:
        if not error.is_fatal:
            raise
        found.append(str(error))
    return TopicReport(partitions, found, build.is_braided(settings))


def _unlike(partitions: Mapping[str, int]) -> Iterator[str]:
    if len(set(partitions.values())) > 1:
        counts = ", ".join(f"{topic!r} has {count}" for topic, count in partitions.items())
        yield f"outcomes are joined within a partition, of all topics together: {counts} partitions: have all as many"


def _lacking(options: dict[str, Any], acls: Sequence[Acl]) -> Iterator[tuple[Acl, tuple[str, ...]]]:
    """Give the grants that are not there, with the operations that lack; nothing of what does not exist yet."""
    asked = {"topic": rights.of_topics, "group": rights.of_groups}
    for resource, ask in asked.items():
        own = [acl for acl in acls if acl.resource == resource]
        ours = ask(options, list(dict.fromkeys(acl.name for acl in own)))
        for acl in own:
            allowed = ours[acl.name]
            lack = () if allowed is None else tuple(each for each in acl.operations if each not in allowed)
            if lack:
                yield acl, lack
