"""What driftd's user must be allowed to do on the brokers, and no more: `driftd check --acls`. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor import build
from monitor.config import Settings
from monitor.redelivery import GROUP_SUFFIX

PRINCIPAL: Final = "User:driftd"
READ: Final = ("Read", "Describe")
WRITE: Final = ("Write", "Describe")
MAKE: Final = ("Create", "Describe", "DescribeConfigs")
LOOK: Final = ("Describe", "DescribeConfigs")
RESOURCES: Final = {"topic": "--topic", "group": "--group"}


@dataclass(frozen=True, slots=True)
class Acl:
    """One grant. resource: topic or group, by its exact name. operations: as Kafka spells them. why: for people."""

    resource: str
    name: str
    operations: tuple[str, ...]
    why: str

    def command(self, servers: str, principal: str) -> str:
        """Give the line that grants it, for a shell."""
        words = ["kafka-acls", "--bootstrap-server", servers, "--add", "--allow-principal", principal]
        for operation in self.operations:
            words += ["--operation", operation]
        return shlex.join([*words, RESOURCES[self.resource], self.name])


@dataclass(frozen=True, slots=True)
class Acls:
    """All grants. needed: for `driftd run`. fold, judge: for these, in place of it.

    optional: for commands that a person runs, perhaps as another user.
    """

    servers: str
    principal: str
    needed: Sequence[Acl]
    fold: Sequence[Acl]
    judge: Sequence[Acl]
    optional: Sequence[Acl]

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        told = {"needed": self.needed, "fold": self.fold, "judge": self.judge, "optional": self.optional}
        return {"principal": self.principal, **{name: [_as_dict(each) for each in acls] for name, acls in told.items()}}

    def to_text(self) -> str:
        """Give it for people: comments and commands that a shell takes as they are."""
        lines = [f"# What {self.principal} must be allowed for `driftd run`; nothing is created, altered or deleted."]
        lines += self._lines(self.needed)
        for role, acls in (("fold", self.fold), ("judge", self.judge)):
            lines += ["", f"# What it must be allowed for `driftd {role}`."]
            lines += self._lines(acls)
        lines += ["", "# Only for commands that a person runs, perhaps as another user."]
        lines += self._lines(self.optional)
        return "\n".join(lines)

    def _lines(self, acls: Sequence[Acl]) -> Iterator[str]:
        for acl in acls:
            yield f"# {acl.why}"
            yield acl.command(self.servers, self.principal)


def acls_of(settings: Settings, principal: str = PRINCIPAL) -> Acls:
    """Give the least that a configuration needs. principal: the user, as the brokers know it."""
    kafka, dead = settings.kafka, settings.dead_letters.topic
    reading = [Acl("topic", topic, READ, "events are read from it") for topic in kafka.topics]
    reading.append(Acl("group", kafka.group_id, ("Read",), "partitions are assigned to, and offsets committed by it"))
    optional = [Acl("topic", topic, ("Write",), "driftd drill, driftd dlq replay") for topic in kafka.topics]
    if dead is not None:
        reading.append(Acl("topic", dead, WRITE, "messages that can't be used are told to it"))
        optional += [
            Acl("topic", dead, READ, "driftd dlq replay"),
            Acl("group", kafka.group_id + GROUP_SUFFIX, ("Read",), "driftd dlq replay"),
        ]
    own, judges = settings.scaleout, build.judge_group(settings)
    fold = [
        *reading,
        Acl("topic", own.deltas_topic, WRITE, "counts are told to the judges by it"),
        Acl("topic", own.layouts_topic, READ, "how streams are counted is read from it"),
    ]
    judge = [
        Acl("topic", own.deltas_topic, READ, "counts are read from it"),
        Acl("group", judges, ("Read",), "courts are assigned, and offsets committed by it"),
        Acl("topic", own.layouts_topic, WRITE, "how streams are counted is told by it"),
        Acl("topic", own.state_topic, ("Read", "Write", "Describe"), "states are kept in it for successors"),
    ]
    made = (own.deltas_topic, own.layouts_topic, own.state_topic)
    optional += [Acl("topic", topic, MAKE, "driftd topics create") for topic in made]
    optional += [Acl("topic", topic, LOOK, "driftd check --topics") for topic in (*kafka.topics, *made)]
    optional += [Acl("group", group, ("Describe",), "driftd check --topics") for group in (kafka.group_id, judges)]
    return Acls(",".join(kafka.bootstrap_servers), principal, reading, fold, judge, optional)


def _as_dict(acl: Acl) -> dict[str, Any]:
    return {"resource": acl.resource, "name": acl.name, "operations": list(acl.operations), "why": acl.why}
