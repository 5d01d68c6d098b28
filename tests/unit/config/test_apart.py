"""Rules of statistics that are not judged in windows: river's detectors, and anomalies of metric series."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor import build
from monitor.config import Settings, cautions, load_settings
from monitor.errors import ConfigError
from monitor.plans import Plans
from monitor.river import RIVER
from monitor.rules import Rule
from tests.unit.config.broken import PEOPLE, TOPICS


def load(thresholds: str, tmp_path: Path) -> Settings:
    file = tmp_path / "config.yaml"
    file.write_text(f"{TOPICS}{PEOPLE}models:\n  - thresholds:\n      {thresholds}\n", encoding="utf-8")
    return load_settings(file, {})


def rule(settings: Settings, name: str) -> Rule:
    (found,) = (rule for rule in Plans(settings)("m", "").rules if rule.name == name)
    return found


@pytest.mark.parametrize("name", RIVER)
def test_name_alone_is_a_rule_that_begins_at_a_tenth_of_a_deviation_and_pages_nobody(name: str, tmp_path: Path) -> None:
    found = rule(load(f"{name}: {{}}", tmp_path), name)

    assert found.yellow is not None
    assert (0.1, None, "sev4") == (found.yellow.value, found.red, found.yellow_severity.label)
    assert found.fields


def test_limit_of_ones_own_takes_the_place_of_the_tenth(tmp_path: Path) -> None:
    found = rule(load("mine: {statistic: adwin, fields: [score], red: 0.5}", tmp_path), "mine")

    assert found.red is not None
    assert (None, 0.5, ("score",)) == (found.yellow, found.red.value, found.fields)


def test_check_says_that_no_budget_is_kept(tmp_path: Path) -> None:
    rules = ("adwin: {}", "off: {statistic: ddm, enabled: false}", "anomaly: {enabled: true}")

    found = cautions(load("\n      ".join(rules), tmp_path))

    assert ["models[*].thresholds.adwin", "models[*].thresholds.anomaly"] == [text.split(":")[0] for text in found]
    assert all("false-alarm budget" in text for text in found)


def test_anomaly_is_off_unless_turned_on(tmp_path: Path) -> None:
    default, asked = load("psi: {}", tmp_path), load("anomaly: {enabled: true}", tmp_path)

    assert "anomaly" not in {rule.name for rule in Plans(default)("m", "").rules}
    assert {"sev4"} == {rule(asked, "anomaly").severity.label, rule(asked, "anomaly").yellow_severity.label}


def test_budget_is_shared_with_river_only_where_a_rule_asks_for_it(tmp_path: Path) -> None:
    assert not build.pipeline_terms(load("psi: {}", tmp_path)).budget.has_river
    assert build.pipeline_terms(load("adwin: {}", tmp_path)).budget.has_river


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ("adwin: {windows: [60s]}", "adwin is not judged in windows"),
        ("adwin: {yellow: 2x}", "write a number, such as 0.1"),
        ("ddm: {direction: below}", "ddm is only ever too much"),
        ("anomaly: {enabled: true, red: 2}", "anomaly is at most 1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_cure(thresholds: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load(thresholds, tmp_path)


def test_field_that_cannot_be_fed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'ddm' can't judge the field 'latency_s'.* error, fallback"):
        Plans(load("ddm: {fields: [latency_s]}", tmp_path))
