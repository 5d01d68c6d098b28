"""A real Kafka broker (KRaft, one node) out of its jars, for machines with Maven and Java but no Docker."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from xml.etree import ElementTree as ET

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.support.process import Process, Unavailable, accepts_connections, free_ports

_POM = Path(__file__).parent / "kafka-jars" / "pom.xml"
# Named in full, so that what an installed Maven has for a default does not matter.
_COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_JAVA_VERSION_MIN = 17
_DOWNLOAD_TIMEOUT_S = 600.0  # about 100 MB of jars over a slow line
_FORMAT_TIMEOUT_S = 60.0
_START_TIMEOUT_S = 60.0  # 2 to 3 s on an idle machine
_REQUEST_TIMEOUT_S = 10.0

# The session time-out is what a start after a crash waits for, until the controller has given the dead broker up.
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
group.min.session.timeout.ms=4000
group.consumer.session.timeout.ms=4000
group.consumer.min.session.timeout.ms=4000
group.consumer.heartbeat.interval.ms=500
group.consumer.min.heartbeat.interval.ms=500
"""

# Who comes by the second listener has a name, and only the rights that were granted to it; at the first all is allowed.
_GUARDED = """
listeners=PLAINTEXT://127.0.0.1:{port},GUARDED://127.0.0.1:{guarded_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},GUARDED://127.0.0.1:{guarded_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,GUARDED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{user}-secret";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class JarKafka:
    """A broker of one node on 127.0.0.1, its data in a temporary folder; survives `restart`, forgotten by `close`.

    guest: a user who may do what was granted to him, at `guarded_servers` by SASL's PLAIN, password `GUEST-secret`.

    Raises Unavailable where Java 17, Maven or the jars can't be had, RuntimeError with the broker's log where it has
    them all and does not start.
    """

    kind = "maven"
    can_restart = True

    def __init__(self, guest: str = "") -> None:
        self._java = _find_java()
        self._jars = _fetch_jars()
        self.version = kafka_version()
        self._folder = Path(tempfile.mkdtemp(prefix="driftd-kafka-"))
        self._port, controller_port, self._guarded_port = free_ports(3)
        self._settings = self._folder / "server.properties"
        ports = {"port": self._port, "controller_port": controller_port, "guarded_port": self._guarded_port}
        guarded = _GUARDED.format(**ports, user=guest) if guest else ""
        self._settings.write_text(_PROPERTIES.format(**ports, data=self._folder / "data") + guarded)
        self._broker: Process | None = None
        try:
            self._format()
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def guarded_servers(self) -> str:
        """Where a guest connects."""
        return f"127.0.0.1:{self._guarded_port}"

    def create_topic(self, name: str, partitions: int = 1) -> None:
        create_topic(self.bootstrap_servers, name, partitions)

    def console_producer_command(self, topic: str) -> list[str]:
        """Give the command of Kafka's own console producer: one message per line of standard input."""
        tool = "org.apache.kafka.tools.ConsoleProducer"
        return [*self._command(tool), "--bootstrap-server", self.bootstrap_servers, "--topic", topic]

    def restart(self, *, crash: bool = False) -> None:
        """Stop the broker (in order, or by SIGKILL where crash) and start it on the same data and port."""
        assert self._broker is not None
        if crash:
            self._broker.kill()
        self._broker.stop()
        self._start()

    def stop(self) -> None:
        """Stop the broker in order and keep its data, for tests of an outage; `start` brings it back."""
        if self._broker is not None:
            self._broker.stop()

    def start(self) -> None:
        """Start the broker again after `stop`, on the same data and port."""
        self._start()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _command(self, main: str, *options: str) -> list[str]:
        return [self._java, *options, "-cp", f"{self._jars}/*", main]

    def _format(self) -> None:
        """Write the empty storage that a KRaft node wants to find."""
        command = self._command("kafka.tools.StorageTool", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN")
        done = subprocess.run(
            [*command, "format", "-t", _new_cluster_id(), "-c", str(self._settings)],
            capture_output=True,
            text=True,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"Kafka's storage was not formatted:\n{done.stdout}{done.stderr}")

    def _start(self) -> None:
        # Without log4j2.level the binding's default is to log errors only, and a failed start would say little.
        command = self._command("kafka.Kafka", "-Xms128m", "-Xmx512m", "-Dlog4j2.level=INFO")
        self._broker = Process("Kafka", [*command, str(self._settings)], self._folder / "server.log")
        # The port first: an admin client that finds nobody there logs each attempt.
        self._broker.wait_ready(lambda: accepts_connections(self._port), _START_TIMEOUT_S)
        self._broker.wait_ready(lambda: answers(self.bootstrap_servers), _START_TIMEOUT_S)


def kafka_version() -> str:
    """Give the version of Kafka that the pom names."""
    found = ET.parse(_POM).findtext(".//{*}kafka.version")
    assert found is not None
    return found


def answers(bootstrap_servers: str) -> bool:
    """Say whether a broker there answers an admin client within a second, with a controller elected."""
    # The client is kept in a name: a request ends unanswered when its client is collected.
    admin = _admin(bootstrap_servers)
    try:
        cluster = admin.describe_cluster(request_timeout=1.0).result()
    except KafkaException:
        return False
    return bool(cluster.nodes) and cluster.controller is not None


def create_topic(bootstrap_servers: str, name: str, partitions: int) -> None:
    """Create a topic on a real broker and return when it exists. Raises KafkaException where it exists already."""
    admin = _admin(bootstrap_servers)
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1)
    created = admin.create_topics([topic], operation_timeout=_REQUEST_TIMEOUT_S)
    created[name].result(timeout=_REQUEST_TIMEOUT_S)


def _admin(bootstrap_servers: str) -> AdminClient:
    # Its log would go to standard error; what failed comes back as an exception.
    return AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})


def _new_cluster_id() -> str:
    """Give a random identity in Kafka's spelling: 22 characters of base64, never starting as an option does."""
    random_bytes = b"\x00" + uuid.uuid4().bytes[1:]
    return base64.urlsafe_b64encode(random_bytes).decode().rstrip("=")


def _find_java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    java = java or shutil.which("java")
    if java is None:
        raise Unavailable("no Java")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < _JAVA_VERSION_MIN:
        raise Unavailable(f"Java {_JAVA_VERSION_MIN} or newer is needed, {java} is {found[1] if found else 'unknown'}")
    return java


def _fetch_jars() -> Path:
    """Give the folder with the broker's jars, fetched by Maven the first time.

    The folder's name carries the pom's digest, so a changed pom is a new folder. It appears by a rename, whole: test
    runs that start at once each fetch their own, and the first to finish wins.
    """
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()[:8]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "driftd"
    jars = cache / f"kafka-libs-{kafka_version()}-{digest}"
    if not jars.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as folder:
            _run_maven(Path(folder))
            _publish(Path(folder) / "libs", jars)
    return jars


def _run_maven(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("no Maven, and Kafka's jars are not in the cache")
    # In a folder of its own, because Maven writes a target/ beside the pom.
    pom = shutil.copy(_POM, folder)
    command = [maven, "-B", "-q", "-f", str(pom), _COPY_GOAL, "-DincludeScope=runtime"]
    try:
        subprocess.run(
            [*command, f"-DoutputDirectory={folder / 'libs'}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"Maven did not fetch Kafka's jars within {_DOWNLOAD_TIMEOUT_S:g} s") from error
    except subprocess.CalledProcessError as error:
        first = next((line for line in error.stdout.splitlines() if "ERROR" in line), "no reason given")
        raise Unavailable(f"Maven did not fetch Kafka's jars: {first}") from error


def _publish(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:  # another run was first; its jars are the same
        if not target.is_dir():
            raise
