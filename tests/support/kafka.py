"""The Kafka broker of a test run: the realest one that this machine can give.

DRIFTD_TEST_KAFKA=host:port names a broker that runs already; docker, maven or embedded insists on one kind.
Unset: Docker, else Maven with Java 17, else the broker inside this process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final, Protocol

from monitor.embedded import EmbeddedBroker
from tests.support import kafka_jars
from tests.support.kafka_jars import JarKafka
from tests.support.process import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_VARIABLE: Final = "DRIFTD_TEST_KAFKA"
_DOCKER_PING_TIMEOUT_S: Final = 5
# KRaft in Confluent's image, which is the one that testcontainers knows how to start; 7.9 carries Kafka 3.9.
_DOCKER_IMAGE: Final = "confluentinc/cp-kafka:7.9.1"


class Kafka(Protocol):
    """A running broker. `kind` is external, docker, maven or embedded; `version` is for people to read."""

    kind: str
    version: str
    can_restart: bool

    @property
    def bootstrap_servers(self) -> str:
        """The addresses for `bootstrap.servers`."""

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Create a topic and return when it exists; raises where there is one of that name."""

    def console_producer_command(self, topic: str) -> list[str]:
        """Give a command that sends each line of its standard input as a message; raises Unavailable where none is."""

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start it on the same address with its records; crash: by SIGKILL. Raises Unavailable if it can't."""

    def close(self) -> None:
        """Stop it if we started it, and forget its records."""


class ExternalKafka:
    """A broker that somebody else runs: used, never stopped."""

    kind = "external"
    can_restart = False

    def __init__(self, bootstrap_servers: str) -> None:
        if not kafka_jars.answers(bootstrap_servers):
            raise RuntimeError(f"{_VARIABLE}: no Kafka broker answers at {bootstrap_servers}")
        self.bootstrap_servers = bootstrap_servers
        self.version = bootstrap_servers

    def create_topic(self, name: str, partitions: int = 1) -> None:
        kafka_jars.create_topic(self.bootstrap_servers, name, partitions)

    def console_producer_command(self, topic: str) -> list[str]:
        return _kcat_command(self.bootstrap_servers, topic)

    def restart(self, *, crash: bool = False) -> None:
        raise Unavailable("a broker that was not started here is not restarted from here")

    def close(self) -> None:
        pass


class DockerKafka:
    """A broker in a container, through testcontainers. Raises Unavailable where no Docker engine gives one."""

    kind = "docker"
    can_restart = False
    version = _DOCKER_IMAGE

    def __init__(self) -> None:
        if not _docker_answers():
            raise Unavailable("no Docker engine answers")
        # Imported here: the clients of Docker are slow to import, and only this broker needs them.
        from docker.errors import DockerException  # noqa: PLC0415
        from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415

        self._container = KafkaContainer(_DOCKER_IMAGE).with_kraft()
        try:
            self._container.start()
        except DockerException as error:
            raise Unavailable(f"Docker did not start {_DOCKER_IMAGE}: {error}") from error
        self.bootstrap_servers: str = self._container.get_bootstrap_server()

    def create_topic(self, name: str, partitions: int = 1) -> None:
        kafka_jars.create_topic(self.bootstrap_servers, name, partitions)

    def console_producer_command(self, topic: str) -> list[str]:
        return _kcat_command(self.bootstrap_servers, topic)

    def restart(self, *, crash: bool = False) -> None:
        raise Unavailable("a restarted container would listen on another port")

    def close(self) -> None:
        self._container.stop()


class EmbeddedKafka:
    """The broker inside this process: real TCP and groups, with the limits that monitor/embedded.py lists."""

    kind = "embedded"
    can_restart = True
    version = "librdkafka's mock cluster"

    def __init__(self) -> None:
        self.broker = EmbeddedBroker({})

    @property
    def bootstrap_servers(self) -> str:
        return self.broker.bootstrap_servers

    def create_topic(self, name: str, partitions: int = 1) -> None:
        self.broker.create_topic(name, partitions)

    def console_producer_command(self, topic: str) -> list[str]:
        return _kcat_command(self.bootstrap_servers, topic)

    def restart(self, *, crash: bool = False) -> None:
        """Cut every connection and take new ones. Its records are in memory and stay, crash or not."""
        self.broker.set_broker_down()
        self.broker.set_broker_up()

    def close(self) -> None:
        self.broker.close()


_STARTERS: Final[Mapping[str, Callable[[], Kafka]]] = {
    "docker": DockerKafka,
    "maven": JarKafka,
    "embedded": EmbeddedKafka,
}


def start_kafka() -> tuple[Kafka, list[str]]:
    """Start the broker of this test run, and say in one line each why better ones were passed over.

    Raises RuntimeError where a broker was named and does not answer, or a found one does not start; Unavailable where
    one kind was named and this machine does not have it.
    """
    named = os.environ.get(_VARIABLE)
    if named:
        if named in _STARTERS:
            return _STARTERS[named](), []
        return ExternalKafka(named), []
    passed_over: list[str] = []
    for kind, start in _STARTERS.items():
        try:
            return start(), passed_over
        except Unavailable as reason:
            passed_over.append(f"{kind}: {reason}")
    raise Unavailable("; ".join(passed_over))


def _docker_answers() -> bool:
    """Say whether a Docker engine answers.

    Asked in a process of its own: where none does, the client leaves a socket open, and here that warning is an error.
    """
    question = f"import docker; docker.from_env(timeout={_DOCKER_PING_TIMEOUT_S}).ping()"
    asked = subprocess.run([sys.executable, "-c", question], capture_output=True, check=False)
    return asked.returncode == 0


def _kcat_command(bootstrap_servers: str, topic: str) -> list[str]:
    kcat = shutil.which("kcat") or shutil.which("kafkacat")
    if kcat is None:
        raise Unavailable("kcat is not installed, and this broker has no console producer at hand")
    return [kcat, "-P", "-b", bootstrap_servers, "-t", topic]
