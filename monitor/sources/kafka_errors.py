"""What librdkafka's errors mean to a person, and what can be done about them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError

SILENT: Final = logging.getLogger("driftd.librdkafka")
"""For the client: what is fatal it prints at any log level, in a form of its own, and tells `error_cb` as well."""
SILENT.disabled = True

CURES: Final[Mapping[int, str]] = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: (
        "the topic does not exist or may not be described: create it, or check kafka.topics and the ACLs"
    ),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the user may not read the topic: grant READ and DESCRIBE on it",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the user may not use the group: grant READ on the group kafka.group_id",
    KafkaError._AUTHENTICATION: "the broker refused the credentials: check kafka.sasl_* and kafka.security_protocol",  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN: "no broker can be reached: check kafka.bootstrap_servers and the network",  # noqa: SLF001
    KafkaError._TRANSPORT: "a broker can't be reached: check kafka.bootstrap_servers; it is tried again",  # noqa: SLF001
    KafkaError._RESOLVE: "the name is unknown: check the host names in kafka.bootstrap_servers",  # noqa: SLF001
    KafkaError._SSL: "the TLS handshake failed: check kafka.ssl_* and kafka.security_protocol",  # noqa: SLF001
    KafkaError._MAX_POLL_EXCEEDED: (  # noqa: SLF001
        "the process stood still for longer than max.poll.interval.ms, and its partitions went to others: give it more"
        " time on the processor; it joins again"
    ),
}
"""What a person can do about the errors that are most often met."""


def text_of(error: Exception) -> str:
    """Give what a client's exception says, without codes."""
    cause = error.args[0] if error.args else error
    return str(cause.str()) if isinstance(cause, KafkaError) else str(cause)
