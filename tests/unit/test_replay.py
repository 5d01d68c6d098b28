"""`driftd replay`: recorded events through the whole, deterministic, with what would have fired and when."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import structlog
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner, Result

from monitor.cli import cli
from monitor.demo.traffic import ASSISTANT, UNSAFE, event, history

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NOON_S: Final = 1_780_000_000.0
HEALTHY_S: Final = 30
INCIDENT_S: Final = 20
FIELDS: Final = [
    *("time", "status", "rule", "severity", "model", "model_version", "stream", "since", "statistic", "threshold"),
    *("value", "interval", "samples", "reason", "incident", "dedup_key"),
]
"""The fields of a line of alerts.jsonl that the design promises, in its order."""
MORE: Final = {
    *(
        "evidence",
        "evidence_needed",
        "window_s",
        "reference",
        "source_kind",
        "run_id",
        "registry_version",
        "config_version",
        "owner",
        "runbook",
        "band",
        "summary",
    ),
    *("change", "rank", "together", "histogram", "response"),
}


@dataclass(frozen=True)
class Case:
    """Files of one recording: half a minute of health, then unsafe answers, then health again."""

    config: Path
    references: Path
    events: Path

    def replay(self, *options: object, inputs: Iterable[Path] = ()) -> Result:
        files = [word for path in (inputs or (self.events,)) for word in ("--input", str(path))]
        given = ["--config", str(self.config), "--references", str(self.references)]
        return CliRunner().invoke(cli, ["replay", *given, *files, *map(str, options)])


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("replay")
    past, events, config = folder / "past.jsonl", folder / "events.jsonl", folder / "driftd.yaml"
    write(past, history(40.0, NOON_S - 3600))
    write(events, recording())
    settings = {"windows": ["10s", "1m"], "keep_firing_for_s": 2, "owner": "me", "runbook": "book"}
    config.write_text(yaml.safe_dump({"alerts": settings, "limits": {"segment_values_max": 5}}))
    built = CliRunner().invoke(cli, ["baseline", "build", "-i", str(past), "-o", str(folder / "references")])
    assert 0 == built.exit_code, built.output
    return Case(config, folder / "references", events)


@dataclass(frozen=True)
class Replayed:
    """One replay of the recording, which most tests only look at."""

    exit_code: int
    told: dict[str, Any]
    alerts: Path
    metrics: Path


@pytest.fixture(scope="module")
def replayed(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    folder = tmp_path_factory.mktemp("replayed")
    alerts, metrics = folder / "alerts.jsonl", folder / "metrics.prom"
    result = case.replay("--alerts-out", alerts, "--metrics-out", metrics, "--json")
    return Replayed(result.exit_code, json.loads(result.stdout), alerts, metrics)


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Leave logging as it was: commands set it up for their own standard error."""
    yield
    structlog.reset_defaults()


def recording() -> Iterator[dict[str, Any]]:
    rng = random.Random(3)
    for number in range(100 * (HEALTHY_S + 2 * INCIDENT_S)):
        offset_s = number / 100
        is_wrong = HEALTHY_S <= offset_s < HEALTHY_S + INCIDENT_S
        yield event(rng, ASSISTANT, NOON_S + offset_s, UNSAFE.name if is_wrong else None)


def write(path: Path, events: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(each) + "\n" for each in events))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def samples_of(page: Path, family: str) -> list[tuple[str, float]]:
    """Give type and value of each sample of a family of counted events."""
    families = {f.name: f for f in text_string_to_metric_families(page.read_text())}
    return [(each.labels["type"], each.value) for each in families[family].samples]


class TestAlerts:
    def test_lines_hold_the_promised_fields_in_the_promised_order(self, replayed: Replayed) -> None:
        found = lines(replayed.alerts)

        assert 0 == replayed.exit_code
        assert found
        for line in found:
            assert FIELDS == list(line)[: len(FIELDS)]
            assert MORE == set(line) - set(FIELDS)

    def test_unsafe_answers_are_found_and_dated(self, replayed: Replayed) -> None:
        first = next(line for line in lines(replayed.alerts) if line["rule"] == "unsafe_rate")

        assert ("firing", ASSISTANT, "v1", "unsafe") == tuple(
            first[name] for name in ("status", "model", "model_version", "stream")
        )
        assert NOON_S + HEALTHY_S < first["time"] < NOON_S + HEALTHY_S + 12
        assert abs(first["since"] - (NOON_S + HEALTHY_S)) <= 3
        assert first["interval"][0] <= first["value"] <= first["interval"][1]
        assert first["value"] > first["threshold"] > 0
        assert first["samples"] >= 100
        assert "yes_rate" == first["statistic"]
        assert first["severity"] in {"sev1", "sev2"}

    def test_nothing_fires_before_the_incident(self, replayed: Replayed) -> None:
        assert [] == [line for line in lines(replayed.alerts) if line["time"] <= NOON_S + HEALTHY_S]

    def test_json_counts_what_the_lines_tell(self, replayed: Replayed) -> None:
        told, found = replayed.told, lines(replayed.alerts)

        assert (100 * (HEALTHY_S + 2 * INCIDENT_S), 0) == (told["events"], told["rejected"])
        assert len(found) == told["transitions"]
        assert told["fired"] == sum(told["fired_by_rule"].values()) <= told["transitions"]
        assert (NOON_S, []) == (told["from_s"], told["learned"])

    def test_text_tells_what_would_have_fired(self, case: Case) -> None:
        text = case.replay().stdout

        assert "7,000 events counted, 0 rejected, from 2026-05-28 20:26:40Z to 2026-05-28 20:27:49Z" in text
        assert "assistant: unsafe_rate of unsafe is " in text


class TestDeterminism:
    def test_two_runs_give_the_same_alerts_to_the_byte_and_metrics_but_for_their_own_cost(
        self, case: Case, replayed: Replayed, tmp_path: Path
    ) -> None:
        """What is judged is the same; what says when and how the page of metrics was made is not."""
        case.replay("--alerts-out", tmp_path / "alerts", "--metrics-out", tmp_path / "metrics")

        ones, others = (
            [line for line in page.read_text().splitlines() if line.startswith("driftd_stream")]
            for page in (replayed.metrics, tmp_path / "metrics")
        )
        assert replayed.alerts.read_bytes() == (tmp_path / "alerts").read_bytes() != b""
        assert ones == others != []

    def test_how_many_lines_are_taken_at_once_makes_no_difference(
        self, case: Case, replayed: Replayed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DRIFTD_KAFKA__BATCH_RECORDS_MAX", "7")
        case.replay("--alerts-out", tmp_path / "7.jsonl")

        assert (tmp_path / "7.jsonl").read_bytes() == replayed.alerts.read_bytes()

    def test_gzip_and_plain_are_the_same(self, case: Case, replayed: Replayed, tmp_path: Path) -> None:
        packed = tmp_path / "events.jsonl.gz"
        packed.write_bytes(gzip.compress(case.events.read_bytes()))

        case.replay("--alerts-out", tmp_path / "packed.jsonl", inputs=[packed])

        assert replayed.alerts.read_bytes() == (tmp_path / "packed.jsonl").read_bytes()


class TestMetrics:
    def test_metrics_at_the_end_are_a_page_that_parses(self, replayed: Replayed) -> None:
        families = {f.name: f for f in text_string_to_metric_families(replayed.metrics.read_text())}

        assert 7_000 == sum(each.value for each in families["driftd_events_counted"].samples)
        assert "driftd_latency_quantile_seconds" in families
        assert "driftd_unsafe_ratio" in families


class TestInputs:
    def test_outcomes_recorded_apart_are_counted_beside_the_inferences(self, case: Case, tmp_path: Path) -> None:
        outcomes = tmp_path / "outcomes.jsonl"
        write(
            outcomes,
            ({"request_id": f"r{n}", "event_time": NOON_S + n, "kind": "label", "label": "ok"} for n in range(60)),
        )

        result = case.replay("--metrics-out", tmp_path / "metrics", "--json", inputs=[case.events, outcomes])

        told = json.loads(result.stdout)
        assert (7_060, 0) == (told["events"], told["rejected"])
        counted = samples_of(tmp_path / "metrics", "driftd_events_counted")
        assert (7_000, 60) == tuple(sum(v for k, v in counted if (k == "inference") == own) for own in (True, False))

    def test_recording_cut_in_two_is_read_in_order_of_time(
        self, case: Case, replayed: Replayed, tmp_path: Path
    ) -> None:
        all_lines = case.events.read_text().splitlines(keepends=True)
        (tmp_path / "a").write_text("".join(all_lines[:3_000]))
        (tmp_path / "b").write_text("".join(all_lines[3_000:]))

        parts = json.loads(case.replay("--json", inputs=[tmp_path / "a", tmp_path / "b"]).stdout)

        assert replayed.told["fired_by_rule"] == parts["fired_by_rule"]
        assert replayed.told["events"] == parts["events"]

    def test_lines_that_can_not_be_used_are_counted(self, case: Case, tmp_path: Path) -> None:
        broken = tmp_path / "broken.jsonl"
        broken.write_text("{\n\nnull\n{}\n" + case.events.read_text().splitlines()[0] + "\n")

        told = json.loads(case.replay("--json", inputs=[broken]).stdout)

        assert (1, 3) == (told["events"], told["rejected"])

    def test_empty_file_is_no_events(self, case: Case, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()

        told = json.loads(case.replay("--json", inputs=[tmp_path / "empty"]).stdout)

        assert (0, None, None) == (told["events"], told["from_s"], told["to_s"])

    def test_model_without_a_reference_learns_one_on_the_way(self, case: Case, tmp_path: Path) -> None:
        config = tmp_path / "driftd.yaml"
        config.write_text("reference: {learn_events: 2000, learn_events_min: 100}\n")
        options = ["--config", str(config), "--references", str(tmp_path), "--input", str(case.events), "--json"]

        told = json.loads(CliRunner().invoke(cli, ["replay", *options]).stdout)

        assert 1 == len(told["learned"])


class TestRefusals:
    def test_missing_file_is_named(self, case: Case, tmp_path: Path) -> None:
        result = case.replay(inputs=[case.events, tmp_path / "no-such.jsonl"])

        assert 1 == result.exit_code
        assert f"driftd: {tmp_path / 'no-such.jsonl'}: can't be read: No such file or directory\n" == result.stderr

    def test_damaged_gzip_is_told_with_the_line_it_was_good_to(self, case: Case, tmp_path: Path) -> None:
        packed = tmp_path / "events.jsonl.gz"
        packed.write_bytes(gzip.compress(case.events.read_bytes())[:-20_000])

        result = case.replay(inputs=[packed])

        assert 1 == result.exit_code
        assert result.stderr.startswith(f"driftd: {packed}: damaged after line ")

    def test_output_that_can_not_be_written_is_named_before_anything_is_read(self, case: Case, tmp_path: Path) -> None:
        result = case.replay("--alerts-out", tmp_path / "no" / "alerts.jsonl")

        assert 1 == result.exit_code
        assert "alerts.jsonl: can't be written: No such file or directory" in result.stderr

    def test_metrics_output_that_can_not_be_written_is_named(self, case: Case, tmp_path: Path) -> None:
        result = case.replay("--metrics-out", tmp_path / "no" / "metrics")

        assert 1 == result.exit_code
        assert "metrics: can't be written: No such file or directory" in result.stderr

    def test_damaged_reference_is_a_wrong_configuration(self, case: Case, tmp_path: Path) -> None:
        (tmp_path / "m.reference.json").write_text("[]")

        result = CliRunner().invoke(cli, ["replay", "-i", str(case.events), "--references", str(tmp_path)])

        assert 78 == result.exit_code
        assert "m.reference.json" in result.stderr

    def test_input_is_needed(self) -> None:
        assert 2 == CliRunner().invoke(cli, ["replay"]).exit_code
