"""What the brokers let us do, as they tell it themselves: authorised operations of topics and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

import stamina
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined] # public, but not typed so

from monitor.errors import SourceError

ASK_S: Final = 15.0
DENIED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})
ABSENT: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND})
MOVING: Final = frozenset(
    {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS}
)
NAMES: Final[Mapping[AclOperation, str]] = {
    AclOperation.READ: "Read",
    AclOperation.WRITE: "Write",
    AclOperation.CREATE: "Create",
    AclOperation.DESCRIBE: "Describe",
    AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs",
}
"""Operations as kafka-acls spells them; the others are of no use to us."""

Rights = dict[str, frozenset[str] | None]
"""Operations by name; None: there is no such thing yet, so brokers can't tell."""


def of_topics(options: Mapping[str, Any], names: Sequence[str]) -> Rights:
    """Give what we may do with topics; nothing where we may not even ask. Raises SourceError."""
    admin = _admin(options)  # kept in a name: a request ends unanswered when its client is collected
    asked = admin.describe_topics(
        TopicCollection(list(names)), include_authorized_operations=True, request_timeout=ASK_S
    )
    return {name: _operations(future, f"topic {name!r}") for name, future in asked.items()}


def of_groups(options: Mapping[str, Any], names: Sequence[str]) -> Rights:
    """Give what we may do with groups; nothing where we may not even ask. Raises SourceError."""
    admin = _admin(options)
    found: Rights = {}
    for attempt in stamina.retry_context(on=_NotYet, attempts=None, timeout=ASK_S):
        with attempt:
            asked = admin.describe_consumer_groups(
                list(names), include_authorized_operations=True, request_timeout=ASK_S
            )
            found = {name: _operations(future, f"group {name!r}") for name, future in asked.items()}
    return found


class _NotYet(SourceError):  # noqa: N818 - it passes within a second
    """Nobody coordinates a group just now."""


def _admin(options: Mapping[str, Any]) -> AdminClient:
    try:
        return AdminClient({**options, "log_level": 2})
    except KafkaException as error:
        raise SourceError(f"kafka: {error.args[0].str()}") from None


def _operations(future: Future[Any], what: str) -> frozenset[str] | None:
    try:
        found = future.result(2.0 * ASK_S).authorized_operations
    except KafkaException as error:
        code, text = error.args[0].code(), f"kafka: {what}: {error.args[0].str()}"
        if code in ABSENT:
            return None
        if code in DENIED:
            return frozenset()
        if code in MOVING:
            raise _NotYet(text, is_fatal=False) from None
        raise SourceError(text) from None
    except TimeoutError:
        raise SourceError(f"kafka: {what}: brokers did not answer", is_fatal=False) from None
    return frozenset(NAMES[each] for each in found or () if each in NAMES)
