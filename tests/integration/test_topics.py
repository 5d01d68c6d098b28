"""`driftd topics create` and `driftd check --topics`, on a real broker and on one that grants little."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not typed so
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner, Result

from monitor.acls import acls_of
from monitor.cli import cli
from monitor.config import Settings, load_settings
from monitor.relay.request_keys import scattered
from monitor.relay.topics import of_events
from tests.support.daemon import write_config
from tests.support.kafka_jars import JarKafka
from tests.support.missing import missing
from tests.support.process import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration

TIMEOUT_S: Final = 20.0
GUEST: Final = "driftd"
OPERATIONS: Final = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "Create": AclOperation.CREATE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


@dataclass
class Place:
    """A configuration with topics of its own on a broker."""

    folder: Path
    servers: str
    kafka: dict[str, Any] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:8]}")
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = {"bootstrap_servers": [self.servers], "topics": [self.name], "group_id": self.name, **self.kafka}
        scaleout = {f"{each}_topic": f"{self.name}-{each}" for each in ("deltas", "layouts", "state")}
        self.folder.mkdir(exist_ok=True)
        self.config = write_config(
            self.folder,
            {"kafka": own, "scaleout": {**scaleout, "courts": 4, "replicas": 1}, "receivers": {}, **self.more},
        )

    @property
    def settings(self) -> Settings:
        return load_settings(self.config, {})

    @property
    def topics(self) -> list[str]:
        return [f"{self.name}-{each}" for each in ("deltas", "layouts", "state")]

    def driftd(self, *words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--config", str(self.config)])


@pytest.fixture
def place(kafka_real: Kafka, tmp_path: Path) -> Place:
    return Place(tmp_path, kafka_real.bootstrap_servers)


def admin_of(servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": servers, "log_level": 0})


class TestCreate:
    def test_dry_run_says_what_would_be_made_and_makes_nothing(self, place: Place) -> None:
        done = place.driftd("topics", "create", "--dry-run")

        assert (0, "") == (done.exit_code, done.stderr)
        for name in place.topics:
            assert f"would be made: {name}, " in done.stdout
        assert "    cleanup.policy=compact\n" in done.stdout
        assert set() == set(place.topics) & set(admin_of(place.servers).list_topics(timeout=TIMEOUT_S).topics)

    def test_topics_are_made_once_with_all_they_need(self, place: Place) -> None:
        first, second = place.driftd("topics", "create", "--json"), place.driftd("topics", "create")

        told = json.loads(first.stdout)
        assert (0, []) == (first.exit_code, told["problems"])
        assert [(name, True) for name in place.topics] == [(each["name"], each["made"]) for each in told["topics"]]
        assert (0, [f"is there, as it must be: {name}" for name in place.topics]) == (
            second.exit_code,
            second.stdout.splitlines(),
        )
        found = admin_of(place.servers).list_topics(timeout=TIMEOUT_S).topics
        assert [4, 1, 4] == [len(found[name].partitions) for name in place.topics]
        for each in told["topics"]:
            assert each["config"].items() <= settings_of(place.servers, each["name"]).items()

    def test_what_exists_otherwise_is_told_and_left_alone(self, place: Place) -> None:
        make(place.servers, NewTopic(place.topics[0], 3, 1, config={"retention.ms": "60000"}))

        done = place.driftd("topics", "create")

        assert 1 == done.exit_code
        assert f"is there, and is not as it must be; nothing was changed: {place.topics[0]}" in done.stdout
        assert "has 3 partitions, wanted are 4" in done.stdout
        assert "retention.ms is 60000, wanted is at least 86400000" in done.stdout
        assert f"made: {place.topics[2]}, 4 partition(s), 1 replica(s)" in done.stdout
        assert "60000" == settings_of(place.servers, place.topics[0])["retention.ms"]

    def test_more_replicas_than_brokers_are_refused_with_the_cure(self, place: Place) -> None:
        done = place.driftd("topics", "create", "--replicas", "3")

        assert 1 == done.exit_code
        assert "configure no more replicas than there are brokers" in done.stderr


class TestCheck:
    def test_all_that_is_missing_is_told_at_once(self, place: Place) -> None:
        done = place.driftd("check", "--topics")

        assert 1 == done.exit_code
        problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
        assert f"problem: topic '{place.name}' (events) is missing: mend kafka.topics" in problems[0]
        assert 3 == sum("is missing: make it with `driftd topics create`" in line for line in problems)

    def test_good_topics_are_told_to_be_good(self, place: Place) -> None:
        make(place.servers, NewTopic(place.name, 3, 1))
        place.driftd("topics", "create")

        done = place.driftd("check", "--topics")
        told = json.loads(place.driftd("check", "--topics", "--json").stdout)

        assert (0, "") == (done.exit_code, done.stderr)
        assert f"brokers    have all that fold and judge need; events: {place.name} (3 partitions)" in done.stdout
        assert {"ok": True, "partitions": {place.name: 3}, "problems": []} == told["brokers"]

    def test_topic_of_events_that_loses_them_is_told(self, place: Place) -> None:
        make(place.servers, NewTopic(place.name, 1, 1, config={"cleanup.policy": "compact", "retention.ms": "1000"}))
        place.driftd("topics", "create")

        done = place.driftd("check", "--topics")

        assert 1 == done.exit_code
        assert f"topic '{place.name}': cleanup.policy is compact, wanted is delete: events that share" in done.stdout
        assert "retention.ms is 1000, wanted is at least 3600000" in done.stdout

    def test_requests_that_are_apart_are_told_where_outcomes_are_joined(self, place: Place) -> None:
        make(place.servers, NewTopic(place.name, 3, 1))
        producer = Producer({"bootstrap.servers": place.servers})
        for number in range(60):
            said = json.dumps({"request_id": f"r{number}", "model": "m"}).encode()
            producer.produce(place.name, said, key=f"r{number}")
            producer.produce(place.name, said, key=f"r{number}")
        producer.flush(20.0)
        options = {"bootstrap.servers": place.servers, "group.id": place.name}
        together = scattered(options, [place.name])
        for partition in (0, 1):
            producer.produce(place.name, b'{"request_id": "x"}', partition=partition)
        producer.produce(place.name, b"not json", partition=0)
        producer.flush(20.0)

        assert [] == together
        keyless, apart = scattered(options, [place.name])
        assert f"topic '{place.name}': 2 of the newest 122 messages have no key: outcomes are joined within" in keyless
        assert "1 request(s) are in several partitions" in apart
        assert "sent with request_id as key" in apart

    def test_topics_that_are_read_as_one_are_to_be_alike(self, place: Place) -> None:
        told = f"{place.name}-told"
        make(place.servers, NewTopic(place.name, 3, 1))
        make(place.servers, NewTopic(told, 2, 1))
        producer = Producer({"bootstrap.servers": place.servers})
        producer.produce(place.name, b'{"request_id": "r1"}', partition=0, key="r1")
        producer.produce(told, b'{"request_id": "r1"}', partition=1, key="r1")
        producer.flush(20.0)
        two = Place(place.folder, place.servers, {"topics": [place.name, told]}, more={"outcomes": {"join": "always"}})

        done = two.driftd("check", "--topics")

        assert 1 == done.exit_code
        assert (
            f"of all topics together: '{place.name}' has 3, '{told}' has 2 partitions: have all as many" in done.stdout
        )
        assert f"topic '{place.name}', topic '{told}': 1 request(s) are in several partitions" in done.stdout

    def test_topic_that_forgets_what_waits_for_outcomes_is_told(self, place: Place) -> None:
        make(place.servers, NewTopic(place.name, 1, 1, config={"retention.ms": "7200000"}))
        options = {"bootstrap.servers": place.servers}

        assert [] == of_events(options, [place.name])[1]
        (told,) = of_events(options, [place.name], 86_400.0)[1]
        assert "retention.ms is 7200000, wanted is at least 86400000: outcomes would lose what they are about" in told

    def test_broker_that_does_not_answer_ends_it(self, tmp_path: Path) -> None:
        away = Place(tmp_path, "127.0.0.1:1", kafka={"librdkafka": {"socket.timeout.ms": 1000}})

        done = away.driftd("check", "--topics")

        assert 1 == done.exit_code
        assert done.stderr.startswith("driftd: kafka: ")


@pytest.fixture(scope="module")
def guarded() -> Iterator[JarKafka]:
    """A broker that lets nobody do what was not granted to him."""
    try:
        kafka = JarKafka(guest=GUEST)
    except Unavailable as reason:
        missing(f"no broker with rights: {reason}")
    yield kafka
    kafka.close()


class TestRights:
    """What `driftd check --acls` prints is what `driftd check --topics` asks for, and suffices."""

    @pytest.fixture
    def guest(self, guarded: JarKafka, tmp_path: Path) -> Place:
        """The configuration of one who may do nothing yet, on a broker that has all topics."""
        sasl = {
            "security_protocol": "sasl_plaintext",
            "sasl_mechanism": "PLAIN",
            "sasl_username": GUEST,
            "sasl_password": f"{GUEST}-secret",
        }
        guest = Place(tmp_path / "guest", guarded.guarded_servers, kafka=sasl)
        host = Place(tmp_path / "host", guarded.bootstrap_servers, name=guest.name)
        make(guarded.bootstrap_servers, NewTopic(guest.name, 2, 1))
        assert 0 == host.driftd("topics", "create").exit_code
        return guest

    def test_each_right_that_lacks_is_told_with_the_line_that_grants_it(self, guarded: JarKafka, guest: Place) -> None:
        done = guest.driftd("check", "--topics")

        problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
        acls = acls_of(guest.settings)
        assert 1 == done.exit_code
        assert [
            f"problem: {acl.resource} '{acl.name}': we may not {', '.join(acl.operations)} ({acl.why}):"
            f" {acl.command(acls.servers, acls.principal)}"
            for acl in sorted([*acls.fold, *acls.judge], key=lambda acl: acl.resource, reverse=True)
        ] == problems

    def test_with_what_acls_prints_all_is_well(self, guarded: JarKafka, guest: Place) -> None:
        acls = acls_of(guest.settings)
        looking = [acl for acl in acls.optional if acl.why == "driftd check --topics"]
        for acl in (*acls.fold, *acls.judge, *looking):
            grant(guarded.bootstrap_servers, acl.resource, acl.name, acl.operations)

        done = guest.driftd("check", "--topics")

        assert (0, "") == (done.exit_code, done.stderr)
        assert "brokers    have all that fold and judge need" in done.stdout

    def test_one_that_lacks_is_told_alone(self, guarded: JarKafka, guest: Place) -> None:
        acls = acls_of(guest.settings)
        looking = [acl for acl in acls.optional if acl.why == "driftd check --topics"]
        for acl in (*acls.fold, *acls.judge, *looking):
            kept = [each for each in acl.operations if (acl.name, each) != (guest.topics[2], "Write")]
            grant(guarded.bootstrap_servers, acl.resource, acl.name, kept)

        done = guest.driftd("check", "--topics")

        problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
        assert 1 == done.exit_code
        assert 1 == len(problems)
        assert f"problem: topic '{guest.topics[2]}': we may not Write (states are kept" in problems[0]


def make(servers: str, topic: NewTopic) -> None:
    admin = admin_of(servers)
    for future in admin.create_topics([topic]).values():
        future.result(TIMEOUT_S)


def settings_of(servers: str, topic: str) -> dict[str, str | None]:
    admin = admin_of(servers)
    (future,) = admin.describe_configs([ConfigResource("topic", topic)]).values()
    return {name: entry.value for name, entry in future.result(TIMEOUT_S).items()}


def grant(servers: str, resource: str, name: str, operations: Sequence[str]) -> None:
    kind = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}[resource]
    bindings = [
        AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            f"User:{GUEST}",
            "*",
            OPERATIONS[each],
            AclPermissionType.ALLOW,
        )
        for each in operations
    ]
    admin = admin_of(servers)
    for future in admin.create_acls(bindings).values():
        future.result(TIMEOUT_S)
