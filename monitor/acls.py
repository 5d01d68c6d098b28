"""What driftd's user must be allowed to do on the brokers, and no more: `driftd check --acls`. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.config import Settings
from monitor.redelivery import GROUP_SUFFIX

PRINCIPAL: Final = "User:driftd"
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
    """All grants. needed: for `driftd run`. optional: for commands that a person runs, perhaps as another user."""

    servers: str
    principal: str
    needed: Sequence[Acl]
    optional: Sequence[Acl]

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        return {
            "principal": self.principal,
            "needed": [_as_dict(each) for each in self.needed],
            "optional": [_as_dict(each) for each in self.optional],
        }

    def to_text(self) -> str:
        """Give it for people: comments and commands that a shell takes as they are."""
        lines = [f"# What {self.principal} must be allowed for `driftd run`; nothing is created, altered or deleted."]
        lines += self._lines(self.needed)
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
    read = ("Read", "Describe")
    needed = [Acl("topic", topic, read, "events are read from it") for topic in kafka.topics]
    needed.append(Acl("group", kafka.group_id, ("Read",), "partitions are assigned to, and offsets committed by it"))
    optional = [Acl("topic", topic, ("Write",), "driftd drill, driftd dlq replay") for topic in kafka.topics]
    if dead is not None:
        needed.append(Acl("topic", dead, ("Write", "Describe"), "messages that can't be used are told to it"))
        optional += [
            Acl("topic", dead, read, "driftd dlq replay"),
            Acl("group", kafka.group_id + GROUP_SUFFIX, ("Read",), "driftd dlq replay"),
        ]
    return Acls(",".join(kafka.bootstrap_servers), principal, needed, optional)


def _as_dict(acl: Acl) -> dict[str, Any]:
    return {"resource": acl.resource, "name": acl.name, "operations": list(acl.operations), "why": acl.why}
