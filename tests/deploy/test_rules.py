"""The rules say what they should, of metrics that exist, and the routes lead where they should."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from monitor.config import load_settings
from monitor.tables import span_text
from tests.deploy.files import (
    ALERTMANAGER,
    DEPLOY,
    DRIFTD,
    PROMETHEUS,
    RULE_TESTS,
    RULES,
    alerts,
    read,
    recorded,
    rules,
)
from tests.deploy.programs import program
from tests.deploy.promql import unknown

ALERTS = alerts()


@pytest.fixture(scope="session")
def promtool() -> str:
    return program("promtool")


@pytest.fixture(scope="session")
def amtool() -> str:
    return program("amtool")


def run(*command: str, folder: Path = DEPLOY) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


class TestPrograms:
    def test_promtool_takes_the_rules(self, promtool: str) -> None:
        assert "SUCCESS" in run(promtool, "check", "rules", str(RULES))

    def test_rules_fire_when_they_should_and_not_when_not(self, promtool: str) -> None:
        run(promtool, "test", "rules", RULE_TESTS.name, folder=RULE_TESTS.parent)

    def test_promtool_takes_the_configuration(self, promtool: str) -> None:
        assert "1 rule files found" in run(promtool, "check", "config", str(PROMETHEUS))

    def test_amtool_takes_the_configuration(self, amtool: str) -> None:
        assert "SUCCESS" in run(amtool, "check-config", str(ALERTMANAGER))

    @pytest.mark.parametrize(
        ("receiver", "labels"),
        [
            ("pager", ["service=driftd", "severity=sev1", "model=m"]),
            ("pager", ["service=driftd", "severity=sev2", "model=m"]),
            ("tickets", ["service=driftd", "severity=sev3", "model=m"]),
            ("notes", ["service=driftd", "severity=sev4", "model=m"]),
            ("pager", ["alertname=DriftdDown", "severity=critical"]),
            ("tickets", ["alertname=DriftdBusy", "severity=warning"]),
            ("notes", ["alertname=DriftdSchemaChanged", "severity=info"]),
            ("nobody", ["alertname=DriftdModelPsiHigh", "severity=critical", "path=pull"]),
            ("tickets", ["alertname=SomethingElse"]),
        ],
        ids=lambda value: value if isinstance(value, str) else ",".join(value),
    )
    def test_alert_reaches_the_right_receiver(self, amtool: str, receiver: str, labels: list[str]) -> None:
        routed = run(amtool, "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels)

        assert receiver == routed.strip()


class TestRules:
    @pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
    def test_metrics_and_labels_exist(self, rule: dict[str, str]) -> None:
        assert [] == unknown(rule["expr"], recorded())

    @pytest.mark.parametrize("name", ALERTS)
    def test_alert_tells_how_bad_what_and_what_to_do(self, name: str) -> None:
        alert = ALERTS[name]
        said = {"summary", "description", "runbook_url"}

        assert re.fullmatch(r"Driftd([A-Z][a-z]+)+", name)
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert said == alert["annotations"].keys()
        assert all(alert["annotations"].values())

    @pytest.mark.parametrize("name", ALERTS)
    def test_runbook_has_an_entry(self, name: str) -> None:
        runbook = (DEPLOY / "runbook.md").read_text()

        assert f"/runbooks/driftd#{name.lower()}" in ALERTS[name]["annotations"]["runbook_url"]
        assert f"\n### {name}\n" in runbook

    @pytest.mark.parametrize("name", ALERTS)
    def test_alert_is_tested_to_fire_and_not_to_fire(self, name: str) -> None:
        looks = [each for test in read(RULE_TESTS)["tests"] for each in test.get("alert_rule_test", ())]
        fires = {bool(look["exp_alerts"]) for look in looks if look["alertname"] == name}

        assert {True, False} == fires

    def test_only_what_driftd_tells_itself_is_marked_as_pulled(self) -> None:
        pulled = {name for name, alert in ALERTS.items() if alert["labels"].get("path") == "pull"}

        assert {name for name in ALERTS if re.match(r"DriftdVerdict|DriftdModel(?!Silent|NotJudged)", name)} == pulled

    def test_recorded_names_are_level_metric_operations(self) -> None:
        assert all(re.fullmatch(r"[a-z_]+:driftd_[a-z_]+:[a-z0-9_]+", name) for name in recorded())

    def test_windows_are_ones_that_driftd_is_given(self) -> None:
        given = {span_text(window_s) for window_s in load_settings(DRIFTD, {}).alerts.windows}
        used = set(re.findall(r'window="([^"]+)"', RULES.read_text()))

        assert {"10m"} == used
        assert used <= given

    def test_inhibitions_name_alerts_that_exist(self) -> None:
        texts = [text for rule in read(ALERTMANAGER)["inhibit_rules"] for key in rule for text in rule[key]]
        plain = [text.partition("=")[2].strip('"') for text in texts if text.startswith('alertname="Driftd')]
        (grouped,) = (match[1].split("|") for text in texts if (match := re.search(r"Driftd\(([^)]+)\)", text)))

        assert plain
        assert {*plain, *(f"Driftd{name}" for name in grouped)} <= ALERTS.keys()
