"""The README's table of KPIs, held to what a pipeline shows that reads all there is, under every rule of the table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from monitor import build, presets
from monitor.config import load_settings
from monitor.config.settings import Settings
from monitor.domain import Snapshot
from monitor.gate_watch import GateOrder, GateWatch
from monitor.metrics import FAMILIES
from monitor.plans import Plans
from monitor.rules import KPI, Rule
from tests.unit.join.everything import CONFIG, everything
from tests.unit.join.traffic import encoded, fed
from tests.unit.snapshots import snapshot
from tests.unit.test_docs import ROOT, section

ROWS: Final = [
    [cell.strip() for cell in line.split(" | ")] for line in section("KPIs").splitlines() if line.startswith("| ")
][2:]
KPI_ROWS: Final = [row for row in ROWS if not row[0].startswith("| **")]
PEOPLE: Final = "kafka: {topics: [a]}\nalerts: {owner: me, runbook: book}\n"
QUOTED: Final = re.compile(r"`([^`]+)`")
METRIC: Final = re.compile(r"(driftd_\w+)(?:\{(.+)\})?")
SEEN_ELSEWHERE: Final = frozenset(
    {
        "driftd_schema_changes_total",
        "driftd_events_rejected_total",
        "driftd_events_received_total",
        "driftd_anomaly_score",
        "driftd_maintenance_windows",
        "driftd_silenced_alerts",
        "driftd_resolution_delay_seconds",
        "driftd_detection_delay_seconds",
        "driftd_error_budget_burn",
        "driftd_error_budget_left_ratio",
        "driftd_uptime_ratio",
        "driftd_alerts",
        "driftd_transitions_total",
        "driftd_reference_info",
        "driftd_budget_spent_ratio",
    }
)
"""Metrics that are there whatever comes, or need days, a receiver or a fault: their own tests show them."""


def rules() -> Iterator[str]:
    """Give what stands in the table as rules."""
    for row in KPI_ROWS:
        for found in QUOTED.findall(row[2]):
            name = found.partition(":")[0]
            if ": {" in found and name not in Settings.model_fields:
                yield found


def documents() -> Iterator[str]:
    """Give what stands in the table as parts of the configuration."""
    for row in KPI_ROWS:
        yield from (found for found in QUOTED.findall(row[2]) if found.partition(":")[0] in Settings.model_fields)


def loaded(text: str, folder: Path) -> Settings:
    """Load a document, with people to answer for its alerts where it names none."""
    path = folder / "driftd.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, {})


def test_there_is_a_row_for_every_kpi_and_each_names_a_metric_a_rule_and_a_test() -> None:
    assert len(KPI_ROWS) >= 55
    for row in KPI_ROWS:
        assert 4 == len(row)
        assert all(cell.strip("| ") for cell in row)
        assert re.search(r"`tests/[^`]+\.py`", row[3])


@pytest.mark.parametrize("path", sorted({found for row in KPI_ROWS for found in QUOTED.findall(row[3])}))
def test_tests_exist(path: str) -> None:
    assert "def test_" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", list(rules()))
def test_rules_can_be_used(rule: str, tmp_path: Path) -> None:
    settings = loaded(f"{PEOPLE}models:\n  - thresholds:\n      {rule}\n", tmp_path)

    assert rule.partition(":")[0] in {each.name for each in Plans(settings)("m", "").rules}


@pytest.mark.parametrize("document", sorted(set(documents())))
def test_parts_of_the_configuration_can_be_used(document: str, tmp_path: Path) -> None:
    given = yaml.safe_load(document)
    whole = yaml.safe_load(PEOPLE)
    settings = loaded(
        yaml.safe_dump({**whole, **given, "alerts": {**whole["alerts"], **given.get("alerts", {})}}), tmp_path
    )

    assert build.pipeline_terms(settings).windows_s
    assert settings.releases.policy().criteria


def test_presets_exist() -> None:
    named = set(re.findall(r"preset `([a-z-]+)`|preset: ([a-z-]+)", section("KPIs")))

    assert named
    assert {first or second for first, second in named} <= set(presets.names())


# ---- what is shown when all comes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Snapshot]:
    """Give a pipeline under every rule of the table that has read everything, and its snapshot."""
    document = yaml.safe_load(CONFIG)
    document["models"][0]["thresholds"] = {k: v for rule in rules() for k, v in yaml.safe_load(rule).items()}
    settings = loaded(yaml.safe_dump(document), tmp_path_factory.mktemp("config"))
    made = build.pipeline(settings)
    fed(made, encoded(everything(rows=500).messages))
    shot = replace(snapshot(), picture=made.picture())
    orders = [GateOrder(gate.model, gate.incumbent, gate.candidate) for gate in settings.releases.gates]
    watch = GateWatch(lambda: shot, orders, settings.releases.policy())
    watch.look()
    return made, replace(shot, gates=watch.status())


def shown(shot: Snapshot) -> Mapping[str, list[dict[str, str]]]:
    """Give the labels of every sample of every metric."""
    return {
        family.name: [dict(zip(family.labels, labels, strict=False)) for labels, _ in family.read(shot)]
        for family in FAMILIES
    }


@pytest.mark.parametrize(
    "metric", sorted({found for row in KPI_ROWS for found in QUOTED.findall(row[1]) if found.startswith("driftd_")})
)
def test_metrics_are_shown(metric: str, run: tuple[Any, Snapshot]) -> None:
    matched = METRIC.fullmatch(metric)
    assert matched is not None
    name, wanted = matched[1], dict(re.findall(r'(\w+)="([^"]*)"', matched[2] or ""))
    samples = shown(run[1])[name]

    if name not in SEEN_ELSEWHERE:
        assert [labels for labels in samples if labels.items() >= wanted.items()]


def test_every_rule_watches_something(run: tuple[Any, Snapshot]) -> None:
    made, shot = run
    streams = {key.field for rows in made._table.arenas for key in rows.keys}
    kpis = {kpi.name for kpi in shot.picture.kpis}
    named = {rule.partition(":")[0] for rule in rules()}

    def is_heard(rule: Rule) -> bool:
        return bool(kpis & set(rule.fields)) if rule.statistic == KPI else any(map(rule.watches, streams))

    plan = made._plan("fraud", "v1")
    assert set() == {rule.name for rule in plan.rules if rule.name in named and not is_heard(rule)}
