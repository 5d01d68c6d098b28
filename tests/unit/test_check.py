"""`driftd check`: every mistake is told with its place and its cure, and a good configuration in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import structlog
from typer.testing import CliRunner, Result

from monitor.cli import cli
from tests.unit.config.broken import BROKEN, PEOPLE, SECRET, TOPICS, Case

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLES: Final = sorted((ROOT / "config" / "examples").glob("*.yaml"))
HOOK: Final = "https://example.com/hook"
GIVEN: Final = {"KAFKA_PASSWORD": SECRET, "ON_CALL_WEBHOOK_URL": HOOK, "ON_CALL_WEBHOOK_SECRET": SECRET}
"""What the examples take from the environment."""
CONFIG: Final = 78


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Leave logging as it was: commands set it up for their own standard error."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(path: Path, *options: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["check", "--config", str(path), *options], env=env)


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


class TestBroken:
    @pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name.replace(" ", "_"))
    def test_place_and_cure_are_on_one_line_and_no_secret_is_told(self, case: Case, folder: Path) -> None:
        path = written(folder, case.yaml)

        result = check(path, env=dict(case.env))

        assert CONFIG == result.exit_code
        assert any(case.place in line and case.cure in line for line in result.stderr.splitlines()), result.stderr
        assert "" == result.stdout
        assert SECRET not in result.output

    def test_every_mistake_is_told_at_once(self, folder: Path) -> None:
        path = written(folder, "kafka: {topics: [a], start: erliest}\nhttp: {port: 99999}\nlog: {level: loud}\n")

        lines = check(path).stderr.splitlines()

        assert ["kafka.start", "http.port", "log.level"] == [line.split(": ")[1] for line in lines]

    def test_json_does_not_turn_a_mistake_into_a_success(self, folder: Path) -> None:
        result = check(written(folder, "kafka: {}\n"), "--json")

        assert (CONFIG, "") == (result.exit_code, result.stdout)

    def test_missing_file_is_named(self, folder: Path) -> None:
        result = check(folder / "no-such.yaml")

        assert CONFIG == result.exit_code
        assert "no-such.yaml" in result.stderr

    def test_command_exits_as_in_process(self, folder: Path) -> None:
        command = [sys.executable, "-m", "monitor", "check", "--config", str(written(folder, "kafka: {topicz: [a]}\n"))]

        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert (CONFIG, "") == (done.returncode, done.stdout)
        assert "did you mean 'topics'?" in done.stderr


class TestBeyondTheFile:
    """What only the wiring can tell."""

    def test_option_that_librdkafka_does_not_know_is_named(self, folder: Path) -> None:
        result = check(written(folder, "kafka: {topics: [a], librdkafka: {no.such.option: 1}}\n"))

        assert CONFIG == result.exit_code
        assert 'kafka: No such configuration property: "no.such.option"' in result.stderr

    def test_value_that_librdkafka_does_not_take_is_told_without_the_password(self, folder: Path) -> None:
        sasl = "security_protocol: sasl_ssl, sasl_mechanism: NO-SUCH, sasl_username: u"
        result = check(written(folder, f"kafka: {{topics: [a], {sasl}, sasl_password: {SECRET}}}\n"))

        assert CONFIG == result.exit_code
        assert "kafka" in result.stderr
        assert SECRET not in result.output

    def test_field_that_a_statistic_can_not_judge_is_named_with_those_it_can(self, folder: Path) -> None:
        rule = "models: [{match: m, thresholds: {mine: {statistic: p95, fields: [unsafe], red: 1}}}]\n"
        result = check(written(folder, TOPICS + PEOPLE + rule))

        assert CONFIG == result.exit_code
        assert "models[m].thresholds.mine: the statistic 'p95' can't judge the field 'unsafe' (yes_no)" in result.stderr
        assert "fields it can judge: cost_usd, latency_s, tokens_in, tokens_out, ttft_s" in result.stderr

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ("{type: webhook}", "receivers.hook.url: is missing; add it"),
            ("{type: webhook, url: ftp://example.com}", "receivers.hook: url must start with http:// or https://"),
            ("{type: alertmanager, urls: []}", "receivers.hook: urls must name 1 to 16 replicas, got 0"),
            (
                f"{{type: webhook, url: 'https://example.com', secrets: {SECRET}}}",
                "receivers.hook.secrets: unknown option; did you mean 'secret'?",
            ),
            (f"{{type: log, token: {SECRET}}}", "receivers.hook.token: unknown option; allowed: nothing"),
        ],
        ids=["no address", "wrong scheme", "no replica", "misspelt secret", "unknown option"],
    )
    def test_option_of_a_receiver_is_named_and_its_value_is_not(self, folder: Path, options: str, said: str) -> None:
        result = check(written(folder, TOPICS + f"receivers: {{hook: {options}}}\n"))

        assert CONFIG == result.exit_code
        assert said in result.stderr
        assert SECRET not in result.output

    def test_damaged_reference_is_named(self, folder: Path) -> None:
        (folder / "references").mkdir()
        (folder / "references" / "m@1.reference.json").write_text("{", encoding="utf-8")

        result = check(written(folder, TOPICS))

        assert CONFIG == result.exit_code
        assert "reference.directory: references/m@1.reference.json: " in result.stderr


class TestGood:
    @pytest.mark.parametrize("path", [*EXAMPLES, ROOT / "config" / "driftd.yaml"], ids=lambda path: path.stem)
    def test_shipped_configurations_are_good_and_tell_no_secret(self, path: Path, folder: Path) -> None:
        result = check(path, env=GIVEN)

        assert 0 == result.exit_code, result.stderr
        assert result.stdout.startswith("The configuration is good.\n")
        assert SECRET not in result.output

    def test_what_would_be_watched_is_told_rule_by_rule(self, folder: Path) -> None:
        text = check(ROOT / "config" / "examples" / "llm-assistant.yaml", env=GIVEN).stdout

        assert (
            "reads      assistant.inferences, assistant.feedback from localhost:9092 as group driftd-assistant" in text
        )
        assert "serves     http://127.0.0.1:3738/metrics" in text
        assert "tells      log (log), on-call (webhook)" in text
        assert "models assistant, segments persona, locale\n" in text
        assert (
            "  unsafe_rate        yes_rate of unsafe: yellow > 0.002 (sev2), red > 0.005 (sev1); windows 1m/10m/1h"
            in text
        )
        assert "learned from the first 10,000 events of each model" in text

    def test_first_entry_that_matches_stands_first_and_the_rest_gets_the_built_in_rules(self, folder: Path) -> None:
        text = check(ROOT / "config" / "examples" / "llm-assistant.yaml", env=GIVEN).stdout

        names = [line for line in text.splitlines() if line.startswith("models ")]

        assert ["models assistant *-canary", "models assistant, segments persona, locale", "models *"] == names

    def test_json_holds_the_same_for_programs(self, folder: Path) -> None:
        told = json.loads(check(ROOT / "config" / "examples" / "fraud-classifier.yaml", "--json", env=GIVEN).stdout)

        assert told["ok"] is True
        assert ["payments.scored", "payments.labels"] == told["topics"]
        assert {"log": "log", "alertmanager": "alertmanager"} == told["receivers"]
        (rule,) = [each for each in told["models"][0]["rules"] if each["rule"] == "psi_critical"]
        assert ("psi", ["features.amount", "features.merchant_risk"]) == (rule["statistic"], rule["fields"])
        assert ("sev2", "above", "team-fraud") == (rule["severity"], rule["direction"], rule["owner"])

    def test_nobody_told_and_nobody_named_is_worth_a_caution(self, folder: Path) -> None:
        result = check(written(folder, TOPICS + "receivers: {}\n"))

        assert 0 == result.exit_code
        assert "tells      nobody" in result.stdout
        assert "caution: " in result.stdout

    def test_rules_can_all_be_off(self, folder: Path) -> None:
        result = check(written(folder, TOPICS + "alerts: {default_rules: false}\n"))

        assert 0 == result.exit_code
        assert "no rules: counted and exported only" in result.stdout

    def test_environment_names_the_file_when_the_command_line_does_not(self, folder: Path) -> None:
        path = written(folder, TOPICS)

        result = CliRunner().invoke(cli, ["check"], env={"DRIFTD_CONFIG": str(path)})

        assert 0 == result.exit_code

    def test_file_in_the_working_directory_is_found(self, folder: Path) -> None:
        written(folder, TOPICS).rename(folder / "driftd.yaml")

        assert 0 == CliRunner().invoke(cli, ["check"]).exit_code

    def test_no_file_at_all_is_told_what_is_needed(self, folder: Path) -> None:
        result = CliRunner().invoke(cli, ["check"])

        assert CONFIG == result.exit_code
        assert "kafka.topics: is missing" in result.stderr


class TestPower:
    """What the rules can detect; the figures themselves are in test_power."""

    def test_without_a_reference_it_says_what_is_needed(self, folder: Path) -> None:
        text = check(written(folder, TOPICS)).stdout

        assert "power of models *: unknown; they have no reference: build a baseline" in text
        assert "or give --events-per-s" in text

    def test_given_traffic_tells_what_each_rule_can_detect(self, folder: Path) -> None:
        text = check(written(folder, TOPICS), "--events-per-s", "20", "--within", "10m").stdout

        assert "power of models * at 20 events/s\n" in text
        assert "assumed: " in text
        assert "smallest in 10m" in text
        assert any(line.startswith("  unsafe_rate ") and "yes 5 %" in line for line in text.splitlines())

    def test_built_reference_gives_the_traffic(self, folder: Path) -> None:
        events = (
            {
                "model": "m",
                "model_version": "1",
                "event_time": 1e9 + at / 4,
                "latency_s": 1.0 + at % 7,
                "unsafe": at % 90 < 1,
            }
            for at in range(3000)
        )
        (folder / "events.jsonl").write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
        built = CliRunner().invoke(cli, ["baseline", "build", "--input", "events.jsonl", "--output", "references"])
        assert 0 == built.exit_code, built.output

        told = json.loads(check(written(folder, TOPICS), "--json").stdout)["power"]

        (model,) = told["models"]
        assert ("m", "1", False) == (model["model"], model["model_version"], model["assumed"])
        assert 4.0 == pytest.approx(model["events_per_s"], rel=0.01)
        assert {"drift", "unsafe_rate", "latency_p95", "silence"} <= {power["rule"] for power in model["powers"]}
        assert any("the reference covers 12m" in text for text in model["cautions"])

    def test_rule_that_can_not_work_is_a_warning_that_says_what_would(self, folder: Path) -> None:
        text = check(written(folder, TOPICS), "--events-per-s", "0.001").stdout

        assert "  warning: psi: " in text
        assert "more traffic" in text

    @pytest.mark.parametrize("options", [("--within", "soon"), ("--events-per-s", "0")])
    def test_option_that_makes_no_sense_is_named(self, folder: Path, options: tuple[str, str]) -> None:
        result = check(written(folder, TOPICS), *options)

        assert CONFIG == result.exit_code
        assert options[0] in result.stderr
