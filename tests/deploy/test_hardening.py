"""The manifests for Kubernetes and the unit for systemd: they fit the code, and give no right that is not needed."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import monitor
from monitor import build
from monitor.config import Settings, load_settings
from tests.deploy.files import COMPOSE, DEPLOY, ROOT, last_stage, read

MANIFESTS: Final = DEPLOY / "kubernetes" / "driftd.yaml"
UNIT: Final = DEPLOY / "systemd" / "driftd.service"
DATA: Final = "/var/lib/driftd"


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(MANIFESTS.read_text())}


@pytest.fixture(scope="module")
def pod(manifests: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifests["StatefulSet"]["spec"]["template"]["spec"]
    return found


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def settings(manifests: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    path = tmp_path_factory.mktemp("kubernetes") / "driftd.yaml"
    path.write_text(manifests["ConfigMap"]["data"]["driftd.yaml"])
    return load_settings(path, {})


class TestKubernetes:
    def test_everything_is_there(self, manifests: dict[str, Any]) -> None:
        assert {"ServiceAccount", "ConfigMap", "Service", "StatefulSet", "NetworkPolicy"} == manifests.keys()

    def test_pod_has_no_rights(self, pod: dict[str, Any], container: dict[str, Any]) -> None:
        whole, own = pod["securityContext"], container["securityContext"]

        assert whole["runAsNonRoot"] is True
        assert f"{whole['runAsUser']}:{whole['runAsGroup']}" == last_stage()["USER"].rest
        assert whole["fsGroup"] == whole["runAsGroup"]
        assert {"type": "RuntimeDefault"} == whole["seccompProfile"]
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert {"drop": ["ALL"]} == own["capabilities"]
        assert "privileged" not in own
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not [each for each in pod["volumes"] if "hostPath" in each]

    def test_it_holds_no_key_to_kubernetes(self, manifests: dict[str, Any], pod: dict[str, Any]) -> None:
        assert manifests["ServiceAccount"]["automountServiceAccountToken"] is False
        assert pod["automountServiceAccountToken"] is False
        assert manifests["ServiceAccount"]["metadata"]["name"] == pod["serviceAccountName"]

    def test_configuration_is_complete_and_is_the_one_that_is_mounted(
        self, settings: Settings, container: dict[str, Any]
    ) -> None:
        build.sinks(settings)
        mounts = {each["name"]: each for each in container["volumeMounts"]}

        assert mounts["config"]["readOnly"] is True
        assert f"{mounts['config']['mountPath']}/driftd.yaml" == container["args"][-1]
        assert container["args"] == last_stage()["CMD"].command()

    def test_all_that_is_written_is_on_the_volume(
        self, manifests: dict[str, Any], settings: Settings, container: dict[str, Any]
    ) -> None:
        (claim,) = manifests["StatefulSet"]["spec"]["volumeClaimTemplates"]
        (mount,) = (each for each in container["volumeMounts"] if each["name"] == claim["metadata"]["name"])

        assert DATA == mount["mountPath"] == last_stage()["WORKDIR"].rest
        assert [DATA] * 2 == [
            str(Path(folder).parent) for folder in (settings.state.directory, settings.reference.directory)
        ]
        assert ["ReadWriteOncePod"] == claim["spec"]["accessModes"]

    def test_one_process_owns_the_topic(self, manifests: dict[str, Any]) -> None:
        assert 1 == manifests["StatefulSet"]["spec"]["replicas"]

    def test_probes_and_ports_are_those_of_the_code(
        self, manifests: dict[str, Any], settings: Settings, container: dict[str, Any]
    ) -> None:
        (port,) = container["ports"]
        paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}

        assert settings.http.port == port["containerPort"]
        assert "0.0.0.0" == settings.http.host
        assert {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"} == paths
        assert {port["name"]} == {container[f"{name}Probe"]["httpGet"]["port"] for name in paths}
        assert port["name"] == manifests["Service"]["spec"]["ports"][0]["targetPort"]

    def test_there_is_time_to_stop_in_good_order(self, pod: dict[str, Any], settings: Settings) -> None:
        assert pod["terminationGracePeriodSeconds"] > settings.run.shutdown_s + 5

    def test_network_is_closed_but_for_what_is_named(self, manifests: dict[str, Any], settings: Settings) -> None:
        policy = manifests["NetworkPolicy"]["spec"]
        brokers = {int(each.rpartition(":")[2]) for each in settings.kafka.bootstrap_servers}

        assert {"Ingress", "Egress"} == set(policy["policyTypes"])
        assert all(rule.get("from") for rule in policy["ingress"])
        assert all(rule.get("to") for rule in policy["egress"])
        assert brokers <= {port["port"] for rule in policy["egress"] for port in rule["ports"]}

    def test_selectors_fit_the_pod(self, manifests: dict[str, Any]) -> None:
        labels = manifests["StatefulSet"]["spec"]["template"]["metadata"]["labels"]

        assert labels == manifests["Service"]["spec"]["selector"]
        assert labels == manifests["StatefulSet"]["spec"]["selector"]["matchLabels"]
        assert labels == manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]

    def test_image_is_the_packages(self, container: dict[str, Any]) -> None:
        assert f"driftd:{monitor.__version__}" == container["image"]
        assert container["image"] == read(COMPOSE)["services"]["driftd"]["image"]


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # as the library's documentation has it
    parser.read(UNIT)
    assert {"Unit", "Service", "Install"} == set(parser.sections())
    return dict(parser["Service"])


class TestSystemd:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("DynamicUser", "yes"),
            ("NoNewPrivileges", "yes"),
            ("CapabilityBoundingSet", ""),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("PrivateTmp", "yes"),
            ("PrivateDevices", "yes"),
            ("MemoryDenyWriteExecute", "yes"),
            ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
            ("StateDirectory", "driftd"),
            ("UMask", "0077"),
        ],
    )
    def test_what_is_taken_away(self, service: dict[str, str], name: str, value: str) -> None:
        assert value == service[name]

    def test_it_runs_what_there_is(self, service: dict[str, str]) -> None:
        assert re.fullmatch(r"/opt/driftd/bin/driftd run --config /etc/driftd/driftd\.yaml", service["ExecStart"])
        assert "driftd check " in service["ExecStartPre"]
        assert DATA == service["WorkingDirectory"]
        assert "PYTHONSAFEPATH=1" in service["Environment"].split()

    def test_a_wrong_configuration_is_not_tried_again_and_again(self, service: dict[str, str]) -> None:
        assert "78" == service["RestartPreventExitStatus"]
        assert "| 78 |" in (ROOT / "README.md").read_text()

    def test_there_is_time_to_stop_in_good_order(self, service: dict[str, str]) -> None:
        assert float(service["TimeoutStopSec"].removesuffix("s")) > Settings().run.shutdown_s + 5

    def test_systemd_itself_finds_little_left_open(self, tmp_path: Path) -> None:
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            pytest.skip("no systemd-analyze on this machine")
        shutil.copy(UNIT, tmp_path)
        done = subprocess.run(
            [analyze, "security", "--offline=true", tmp_path / UNIT.name],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        found = re.search(r"exposure level .*: ([\d.]+) ", done.stdout)

        assert found is not None, done.stderr
        assert float(found[1]) < 2.0
