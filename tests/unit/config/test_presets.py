"""Presets: rules for a kind of deployment, beneath what the user writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from typer.testing import CliRunner

from monitor import presets
from monitor.cli import cli
from monitor.commands import USAGE
from monitor.config import Settings, load_settings
from monitor.config.alerts import ModelSettings
from monitor.domain import Severity
from monitor.errors import ConfigError
from monitor.plans import Plans
from tests.unit.config.broken import PEOPLE, TOPICS

if TYPE_CHECKING:
    from monitor.rules import Rule

ANYONE: Final = "owner: me, runbook: book"

KNOWN = ("compliance-copilot", "customer-support-bot", "developer-copilot", "fraud-classifier", "knowledge-assistant")
NAMED = pytest.mark.parametrize("name", presets.names())


def load(entry: str, tmp_path: Path, people: str = PEOPLE) -> Settings:
    file = tmp_path / "config.yaml"
    file.write_text(f"{TOPICS}{people}models:\n  - {entry}\n", encoding="utf-8")
    return load_settings(file, {})


def rules(settings: Settings) -> dict[str, Rule]:
    return {rule.name: rule for rule in Plans(settings)("m", "").rules}


def test_kinds_of_deployment_that_are_asked_for_are_there() -> None:
    assert {*KNOWN, "workflow-agent"} <= set(presets.names())


@NAMED
def test_preset_loads_and_every_rule_says_what_to_do(name: str, tmp_path: Path) -> None:
    found = rules(load(f"preset: {name}", tmp_path))
    own = presets.entry(name)["thresholds"]

    assert set(own) <= set(found)
    assert all(found[each].response for each in own)
    assert set(presets.entry(name)) <= set(ModelSettings.model_fields) - {"match", "preset", "owner", "runbook"}
    assert presets.summary(name).endswith(".")


@NAMED
def test_preset_has_a_kill_switch_that_is_as_bad_as_can_be(name: str, tmp_path: Path) -> None:
    found = rules(load(f"preset: {name}", tmp_path))
    kills = [rule for rule in found.values() if rule.name.startswith("kill_")]

    assert kills
    assert {Severity.SEV1} == {rule.severity for rule in kills}
    assert all(rule.response.startswith("Kill switch: ") for rule in kills)
    assert all(rule.red is not None and not rule.is_relative for rule in kills), "they must speak from the first day"


@NAMED
def test_latency_of_a_preset_is_told_as_the_book_says(name: str, tmp_path: Path) -> None:
    found = rules(load(f"preset: {name}", tmp_path))["latency_p95"]

    if "latency_p95" in presets.entry(name)["thresholds"]:
        assert str(found.yellow).endswith(" + 15%")
        assert 2 == found.for_windows


def test_user_wins_key_by_key(tmp_path: Path) -> None:
    own = "{preset: customer-support-bot, segments: [market], thresholds: {escalation: {red: 0.5, owner: desk}}}"
    settings = load(own, tmp_path)
    found = rules(settings)["escalation"]

    assert (0.15, 0.5, "desk") == (found.yellow and found.yellow.value, found.red and found.red.value, found.owner)
    assert found.response.startswith("Tell whoever")
    assert ("market",) == settings.models[0].segments


def test_users_limit_of_another_unit_replaces_both_of_the_preset(tmp_path: Path) -> None:
    own = "{preset: customer-support-bot, thresholds: {latency_p95: {yellow: 1.4x}}}"
    found = rules(load(own, tmp_path))["latency_p95"]

    assert ["1.4x", "1.5x"] == [str(found.yellow), str(found.red)], "red is the built-in one, in the same unit"
    assert 2 == found.for_windows


def test_rule_of_a_preset_can_be_turned_off_and_rules_of_ones_own_added(tmp_path: Path) -> None:
    own = "{escalation: {enabled: false}, resolution: , mine: {statistic: null_rate, red: 0.1}}"
    found = rules(load(f"{{preset: customer-support-bot, thresholds: {own}}}", tmp_path))

    assert "escalation" not in found
    assert {"resolution", "mine"} <= set(found)


def test_unknown_preset_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\[0\].preset: found 'fraud-clasifier', .*mean 'fraud-classifier'\?"):
        load("preset: fraud-clasifier", tmp_path)


@pytest.mark.parametrize("given", ["[a]", "7", "''", "../presets", "{}"])
def test_what_is_no_preset_is_refused(given: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\[0\].preset: .*not a preset; .*"):
        load(f"preset: {given}", tmp_path)


def test_rule_of_a_preset_that_judges_something_else_wants_another_name(tmp_path: Path) -> None:
    own = "{preset: fraud-classifier, thresholds: {accuracy: {statistic: p95, fields: [latency_s]}}}"

    with pytest.raises(ConfigError, match="the rule 'accuracy' of preset 'fraud-classifier' judges 'yes_rate'"):
        load(own, tmp_path)


def test_somebody_must_answer_and_it_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load("preset: fraud-classifier", tmp_path, "")

    assert ["has no owner", "has no runbook"] == [
        line.partition("models[0].preset: ")[2].partition(";")[0] for line in str(caught.value).splitlines()
    ]


def test_presets_are_listed_and_printed() -> None:
    listed, printed = (CliRunner().invoke(cli, ["presets", *args]) for args in ([], ["workflow-agent"]))

    assert [*presets.names()] == [line.split()[0] for line in listed.stdout.splitlines()]
    assert presets.text("workflow-agent") == printed.stdout


def test_printing_an_unknown_preset_is_wrong_usage() -> None:
    result: Any = CliRunner().invoke(cli, ["presets", "workflow"])

    assert USAGE == result.exit_code
    assert "workflow-agent" in result.stderr


def test_printed_preset_is_an_entry_of_models(tmp_path: Path) -> None:
    text = "\n    ".join(presets.text("knowledge-assistant").splitlines())
    written, named = load(f"match: m\n    {text}", tmp_path), load("preset: knowledge-assistant", tmp_path)

    assert rules(written) == rules(named)


# ---- the page

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "presets.md").read_text(encoding="utf-8")


def row(preset: str, name: str) -> str:
    """Give a rule as a row of the page."""
    settings = load_settings(None, {"DRIFTD_KAFKA__TOPICS": "t", "DRIFTD_MODELS": f"[{{preset: {preset}, {ANYONE}}}]"})
    rule = next(each for each in Plans(settings)("m", "").rules if each.name == name)
    side = ">" if rule.is_above else "<"
    limits = ["" if level is None else f"{side} {level}" for level in (rule.yellow, rule.red)]
    fields = ", ".join(f"`{field}`" for field in rule.fields)
    return f"| `{name}` | `{rule.statistic}` of {fields} | {' | '.join(limits)} | {rule.severity.label} |"


@NAMED
def test_page_has_every_rule_as_it_is(name: str) -> None:
    _, _, rest = PAGE.partition(f"\n## {name}\n")
    section, _, _ = rest.partition("\n## ")

    assert [row(name, rule) for rule in presets.entry(name)["thresholds"]] == [
        line for line in section.splitlines() if line.startswith("| `")
    ]
    assert presets.summary(name) in section


@NAMED
def test_page_says_what_every_field_that_is_read_means(name: str) -> None:
    _, _, reads = PAGE.partition("\n## What they read\n")
    given = [rule.get("fields", ()) for rule in presets.entry(name)["thresholds"].values()]

    assert [] == [field for fields in given for field in fields if f"`{field}`" not in reads]
