"""compose.yaml and the files it mounts agree with each other and with the code."""

from __future__ import annotations

import base64
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

import monitor
from monitor import assembly, build
from monitor.board import Board
from monitor.config import load_settings
from monitor.config.units import Duration
from tests.deploy.files import ALERTMANAGER, COMPOSE, DEPLOY, DRIFTD, PROMETHEUS, last_stage, read
from tests.support.kafka_jars import kafka_version

if TYPE_CHECKING:
    from monitor.config import Settings

BUILT = "driftd"  # the one service that is built here


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = read(COMPOSE)
    return found


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(DRIFTD, {})


class TestCompose:
    def test_everything_is_there(self, services: dict[str, Any]) -> None:
        assert {"kafka", "topics", "driftd", "prometheus", "alertmanager", "grafana"} == services.keys()

    def test_images_are_pinned(self, services: dict[str, Any]) -> None:
        for name, service in services.items():
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name

    def test_driftds_image_has_its_version(self, services: dict[str, Any]) -> None:
        assert f"driftd:{monitor.__version__}" == services[BUILT]["image"]
        assert (COMPOSE.parent / services[BUILT]["build"]["context"] / "deploy" / "Dockerfile").is_file()

    def test_volumes_networks_and_services_that_are_named_exist(self, compose: dict[str, Any]) -> None:
        volumes = {mount.split(":")[0] for _, mount in mounts(compose) if not mount.startswith(".")}
        networks = {network for service in compose["services"].values() for network in service["networks"]}
        waited_for = {name for service in compose["services"].values() for name in service.get("depends_on", ())}

        assert volumes == compose["volumes"].keys()
        assert networks == compose["networks"].keys()
        assert waited_for <= compose["services"].keys()

    def test_mounted_files_exist_and_are_read_only(self, compose: dict[str, Any]) -> None:
        for service, mount in mounts(compose):
            if mount.startswith("."):
                source, _, mode = mount.split(":")

                assert (DEPLOY / source).exists(), service
                assert "ro" == mode, service

    def test_ports_are_open_to_this_machine_only(self, services: dict[str, Any]) -> None:
        ports = [port for service in services.values() for port in service.get("ports", ())]

        assert 5 == len(ports)
        assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in ports)

    def test_all_that_lasts_has_a_healthcheck_that_needs_no_shell(self, services: dict[str, Any]) -> None:
        for name, service in services.items():
            if service["restart"] == "no":
                continue
            test = service["healthcheck"]["test"]

            assert "CMD" == test[0], name
            assert all(isinstance(word, str) for word in test), name

    def test_driftd_has_no_rights_it_does_not_need(self, services: dict[str, Any]) -> None:
        driftd = services[BUILT]

        assert driftd["read_only"] is True
        assert ["ALL"] == driftd["cap_drop"]
        assert ["no-new-privileges:true"] == driftd["security_opt"]
        assert last_stage()["USER"].rest == driftd["user"]
        assert "privileged" not in driftd
        assert {"mem_limit", "pids_limit"} <= driftd.keys()

    def test_healthcheck_is_the_images(self, services: dict[str, Any]) -> None:
        assert last_stage()["HEALTHCHECK"].command() == services[BUILT]["healthcheck"]["test"][1:]


class TestKafka:
    def test_it_is_the_version_that_the_tests_run_on(self, services: dict[str, Any]) -> None:
        assert [f"apache/kafka:{kafka_version()}"] * 2 == [services[name]["image"] for name in ("kafka", "topics")]

    def test_topics_that_driftd_reads_are_made(self, services: dict[str, Any], settings: Settings) -> None:
        script = services["topics"]["command"][-1]
        (made,) = re.findall(r"for topic in ([^;]+);", script)

        assert list(settings.kafka.topics) == made.split()
        assert "--if-not-exists" in script

    def test_driftd_waits_for_them(self, services: dict[str, Any]) -> None:
        assert "service_completed_successfully" == services["driftd"]["depends_on"]["topics"]["condition"]
        assert "service_healthy" == services["topics"]["depends_on"]["kafka"]["condition"]

    def test_broker_is_where_driftd_looks(self, services: dict[str, Any], settings: Settings) -> None:
        advertised = dict(
            item.split("://") for item in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
        )

        assert [advertised["INSIDE"]] == list(settings.kafka.bootstrap_servers)
        assert "localhost:9092" == advertised["OUTSIDE"]

    def test_listeners_are_all_defined(self, services: dict[str, Any]) -> None:
        environment = services["kafka"]["environment"]
        listeners = dict(item.split("://") for item in environment["KAFKA_LISTENERS"].split(","))
        protocols = dict(item.split(":") for item in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))

        assert protocols.keys() == listeners.keys()
        assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].endswith(listeners["CONTROLLER"])
        assert environment["KAFKA_INTER_BROKER_LISTENER_NAME"] in listeners

    def test_cluster_id_is_sixteen_bytes(self, services: dict[str, Any]) -> None:
        assert 16 == len(base64.urlsafe_b64decode(services["kafka"]["environment"]["CLUSTER_ID"] + "=="))


class TestDriftd:
    def test_configuration_is_complete(self, settings: Settings) -> None:
        """What `driftd check` does: wires everything, opens nothing."""
        build.check_kafka(settings)
        assembly.app(settings, Board())

        assert settings.alerts.owner
        assert settings.alerts.runbook

    def test_configuration_lies_where_the_image_looks(self, services: dict[str, Any]) -> None:
        path = last_stage()["CMD"].command()[-1]

        assert f"./driftd/driftd.yaml:{path}:ro" in services["driftd"]["volumes"]

    def test_what_it_writes_lies_on_the_volume(self, services: dict[str, Any], settings: Settings) -> None:
        (volume,) = last_stage()["VOLUME"].command()

        assert f"state:{volume}" in services["driftd"]["volumes"]
        assert PurePosixPath(volume) in PurePosixPath(settings.reference.directory).parents

    def test_it_listens_beyond_its_container(self, services: dict[str, Any], settings: Settings) -> None:
        assert "0.0.0.0" == settings.http.host
        assert [f"127.0.0.1:{settings.http.port}:{settings.http.port}"] == services["driftd"]["ports"]

    def test_it_is_given_time_to_stop(self, services: dict[str, Any], settings: Settings) -> None:
        """The five seconds are what the loop waits beyond its budget before it ends the process itself."""
        grace_s = TypeAdapter(Duration).validate_python(services["driftd"]["stop_grace_period"])

        assert grace_s >= settings.run.shutdown_s + 5

    def test_alerts_go_to_alertmanager(self, settings: Settings) -> None:
        assert {"type": "alertmanager"} == settings.receivers["alertmanager"].model_dump(include={"type"})
        assert ["http://alertmanager:9093"] == settings.receivers["alertmanager"].options["urls"]


class TestPrometheus:
    def test_scrapes_driftd(self, settings: Settings) -> None:
        jobs = {job["job_name"]: job for job in read(PROMETHEUS)["scrape_configs"]}

        assert [{"targets": [f"driftd:{settings.http.port}"]}] == jobs["driftd"]["static_configs"]
        assert "/metrics" == jobs["driftd"].get("metrics_path", "/metrics")

    def test_sends_to_alertmanager(self, settings: Settings) -> None:
        (alertmanager,) = read(PROMETHEUS)["alerting"]["alertmanagers"]
        targets = [target for each in alertmanager["static_configs"] for target in each["targets"]]

        assert settings.receivers["alertmanager"].options["urls"] == [f"http://{target}" for target in targets]

    def test_files_are_mounted_side_by_side(self, services: dict[str, Any]) -> None:
        mounted = {mount.split(":")[1] for mount in services["prometheus"]["volumes"]}

        for name in ("prometheus.yml", *read(PROMETHEUS)["rule_files"]):
            assert f"/etc/prometheus/{name}" in mounted
        assert "--config.file=/etc/prometheus/prometheus.yml" in services["prometheus"]["command"]

    def test_alertmanager_reads_the_mounted_file(self, services: dict[str, Any]) -> None:
        target = "/etc/alertmanager/alertmanager.yml"

        assert f"--config.file={target}" in services["alertmanager"]["command"]
        assert f"./alertmanager/{ALERTMANAGER.name}:{target}:ro" in services["alertmanager"]["volumes"]


class TestGrafana:
    def test_datasource_is_prometheus(self) -> None:
        (source,) = read(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")["datasources"]

        assert ("prometheus", "http://prometheus:9090", True) == (source["type"], source["url"], source["isDefault"])

    def test_dashboard_lies_where_the_provider_looks(self, services: dict[str, Any]) -> None:
        (provider,) = read(DEPLOY / "grafana" / "provisioning" / "dashboards" / "driftd.yaml")["providers"]
        path = Path(provider["options"]["path"])
        home = Path(services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

        assert f"./grafana/dashboards:{path}:ro" in services["grafana"]["volumes"]
        assert path == home.parent
        assert (DEPLOY / "grafana" / "dashboards" / home.name).is_file()

    def test_people_may_look_and_not_touch(self, services: dict[str, Any]) -> None:
        environment = services["grafana"]["environment"]

        assert "Viewer" == environment["GF_AUTH_ANONYMOUS_ORG_ROLE"]
        assert "true" == environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"]


def mounts(compose: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, mount) for name, service in compose["services"].items() for mount in service.get("volumes", ())]
