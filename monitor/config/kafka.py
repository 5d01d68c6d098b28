"""Where events come from: brokers, topics, the consumer group, and how to be let in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, PlainValidator, SecretStr, WithJsonSchema, model_validator

from monitor.config.base import SECTION
from monitor.config.refusals import Refusals, kind_of, mask, refusal, show_key
from monitor.config.units import Duration, Names, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

KIB: Final = 1024
MIB: Final = 1024**2
# Kafka's own limits on a topic's name.
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_SERVER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")

# librdkafka properties that driftd sets itself, and where a person sets them instead.
OWNED: Final[Mapping[str, str]] = {
    "bootstrap.servers": "set kafka.bootstrap_servers",
    "metadata.broker.list": "set kafka.bootstrap_servers",
    "group.id": "set kafka.group_id",
    "group.protocol": "set kafka.group_protocol",
    "auto.offset.reset": "set kafka.start",
    "enable.auto.commit": "remove it: offsets are stored with the state they produced; see kafka.commit_s",
    "auto.commit.interval.ms": "set kafka.commit_s",
    "enable.auto.offset.store": "remove it: offsets are stored with the state they produced",
    "enable.partition.eof": "remove it: driftd needs it to know when it has caught up",
    "partition.assignment.strategy": "remove it: partitions change hands one by one (cooperative-sticky)",
    "queued.max.messages.kbytes": "set kafka.prefetch_bytes",
    "message.max.bytes": "set kafka.message_bytes_max",
    "fetch.message.max.bytes": "set kafka.message_bytes_max",
    "max.partition.fetch.bytes": "set kafka.message_bytes_max",
    "security.protocol": "set kafka.security_protocol",
    "sasl.mechanism": "set kafka.sasl_mechanism",
    "sasl.mechanisms": "set kafka.sasl_mechanism",
    "sasl.username": "set kafka.sasl_username",
    "sasl.password": "set kafka.sasl_password_file",
    "ssl.ca.location": "set kafka.ssl_ca_location",
    "ssl.certificate.location": "set kafka.ssl_certificate_location",
    "ssl.key.location": "set kafka.ssl_key_location",
    "ssl.key.password": "set kafka.ssl_key_password_file",
}
# Properties that the broker decides under the consumer protocol (KIP-848), so that a client can't have them.
BROKER_SIDE: Final = (
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "group.protocol.type",
)
_FALSE: Final = ("false", "no", "off", "0", "f", "n")


def is_topic(name: str) -> bool:
    """Tells whether Kafka takes it for a topic's name."""
    return bool(_TOPIC.fullmatch(name)) and name not in {".", ".."}


def parse_properties(value: object) -> dict[str, Any]:
    """Gives the librdkafka properties with secret ones wrapped; they must be scalars."""
    if not isinstance(value, dict):
        raise refusal(f"found {kind_of(value)}", "write librdkafka properties as 'name: value' lines under it")
    found = Refusals()
    for name, inner in value.items():
        if not isinstance(inner, str | int | float | bool | SecretStr):
            found.add((str(name),), f"found {kind_of(inner)}", "write text, a number, true or false")
    found.raise_in_validator("librdkafka")
    return {str(name): mask(inner, (str(name),)) for name, inner in value.items()}


Properties = Annotated[
    dict[str, Any],
    PlainValidator(parse_properties),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}),
]


class KafkaSettings(BaseModel):
    """Where events come from."""

    model_config = SECTION

    bootstrap_servers: Names = Field(
        default=("localhost:9092",), description="Brokers to ask first, host:port, as a list or separated by commas."
    )
    topics: Names = Field(default=(), description="Topics with inference and outcome events; at least one is required.")
    group_id: str = Field(
        default="driftd", min_length=1, max_length=249, description="Consumer group; replicas of one monitor share it."
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        default="classic", description="classic works with every broker; consumer (KIP-848) needs Kafka 4.0 or newer."
    )
    start: Literal["latest", "earliest"] = Field(
        default="latest", description="Where a group without stored offsets starts: latest or earliest."
    )
    batch_records_max: int = Field(default=2000, ge=1, le=100_000, description="Most records taken in one step.")
    poll_timeout_s: Duration = Field(
        default=0.2, ge=0.01, le=5, description="How long one poll waits for records, in seconds."
    )
    prefetch_bytes: Size = Field(
        default=32 * MIB, ge=MIB, le=2048 * MIB - KIB, description="Most bytes fetched ahead, over all partitions."
    )
    commit_s: Duration = Field(
        default=5.0, ge=0.1, le=300, description="How often offsets and state are stored together, in seconds."
    )
    outage_s_max: Duration = Field(
        default=600.0,
        ge=0,
        le=86_400,
        description="Without any broker for so long the process ends, to be started anew, in seconds; 0: never.",
    )
    message_bytes_max: Size = Field(
        default=MIB, ge=KIB, le=64 * MIB, description="Longer messages are rejected and counted, in bytes."
    )
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        default="plaintext", description="How to talk to brokers: plaintext, ssl, sasl_plaintext or sasl_ssl."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        default=None, description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; only with a sasl protocol."
    )
    sasl_username: str | None = Field(default=None, max_length=1000, description="User name for SASL.")
    sasl_password: SecretStr | None = Field(
        default=None, description="Password for SASL; better ${VARIABLE} or sasl_password_file than text here."
    )
    sasl_password_file: str | None = Field(default=None, description="File with the SASL password, read at start.")
    ssl_ca_location: str | None = Field(
        default=None, description="File with the certificates to trust; by default the system's."
    )
    ssl_certificate_location: str | None = Field(default=None, description="File with our client certificate (mTLS).")
    ssl_key_location: str | None = Field(default=None, description="File with our private key (mTLS).")
    ssl_key_password: SecretStr | None = Field(default=None, description="Password of our private key.")
    ssl_key_password_file: str | None = Field(
        default=None, description="File with the password of our private key, read at start."
    )
    insecure_tls: bool = Field(
        default=False, description="True allows librdkafka properties that turn off the check of certificates."
    )
    librdkafka: Properties = Field(
        default_factory=dict, description="Further librdkafka properties, passed on as they are."
    )

    @model_validator(mode="after")
    def _check(self) -> KafkaSettings:
        found = Refusals()
        _check_names(self, found)
        _check_security(self, found)
        _check_properties(self, found)
        found.raise_in_validator("kafka")
        return self


def _check_names(kafka: KafkaSettings, found: Refusals) -> None:
    if not kafka.bootstrap_servers:
        found.add(("bootstrap_servers",), "found an empty list", "name at least one broker, such as localhost:9092")
    for index, server in enumerate(kafka.bootstrap_servers):
        match = _SERVER.fullmatch(server)
        if not match or int(match[1] or 9092) not in range(1, 65_536):
            found.add(("bootstrap_servers", index), "not a broker's address", "write host:port, port 1 to 65535")
    for index, topic in enumerate(kafka.topics):
        if not is_topic(topic):
            message = f"found {show_key(topic)}, not a topic's name"
            found.add(
                ("topics", index), message, "use letters, digits, '.', '_' and '-', at most 249; patterns can't be used"
            )
        elif topic in kafka.topics[:index]:
            found.add(("topics", index), f"{show_key(topic)} is named twice", "remove one of them")


def _check_security(kafka: KafkaSettings, found: Refusals) -> None:
    is_sasl = kafka.security_protocol.startswith("sasl")
    is_tls = kafka.security_protocol.endswith("ssl")
    if is_sasl and kafka.sasl_mechanism is None:
        found.add(
            ("sasl_mechanism",), f"is missing with {kafka.security_protocol}", "set it, for instance SCRAM-SHA-512"
        )
    if not is_sasl and kafka.sasl_mechanism is not None:
        message = f"has no effect with security_protocol {kafka.security_protocol}"
        found.add(("sasl_mechanism",), message, "set security_protocol to sasl_ssl, or remove it")
    if is_sasl and kafka.sasl_mechanism not in {None, "OAUTHBEARER"}:
        if not kafka.sasl_username:
            found.add(("sasl_username",), f"is missing with {kafka.sasl_mechanism}", "set it")
        if kafka.sasl_password is None and kafka.sasl_password_file is None:
            found.add(("sasl_password",), f"is missing with {kafka.sasl_mechanism}", "set it or sasl_password_file")
    for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"):
        if getattr(kafka, name) is not None and not is_tls:
            message = f"has no effect with security_protocol {kafka.security_protocol}"
            found.add((name,), message, "set security_protocol to ssl or sasl_ssl, or remove it")
    if (kafka.ssl_certificate_location is None) != (kafka.ssl_key_location is None):
        missing = "ssl_key_location" if kafka.ssl_key_location is None else "ssl_certificate_location"
        found.add((missing,), "is missing: certificate and key go together", "set both or neither")


def _check_properties(kafka: KafkaSettings, found: Refusals) -> None:
    for name, value in kafka.librdkafka.items():
        path = ("librdkafka", name)
        if name in OWNED:
            found.add(path, "is set by driftd itself", OWNED[name])
        elif name.endswith("_cb"):
            found.add(path, "is a callback, which a file can't hold", "remove it")
        elif name in BROKER_SIDE and kafka.group_protocol == "consumer":
            cure = "remove it, or set kafka.group_protocol to classic"
            found.add(path, "is decided by the broker under group_protocol consumer", cure)
        elif _weakens_tls(name, value) and not kafka.insecure_tls:
            cure = "remove it and set kafka.ssl_ca_location, or accept the risk with kafka.insecure_tls: true"
            found.add(path, "lets anyone pretend to be the broker", cure)


def _weakens_tls(name: str, value: object) -> bool:
    text = str(value).strip().lower()
    return (name == "enable.ssl.certificate.verification" and text in _FALSE) or (
        name == "ssl.endpoint.identification.algorithm" and text in {"none", ""}
    )
