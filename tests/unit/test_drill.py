"""`driftd drill`: what goes wrong, in a twin with real receivers, and what is said of it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
import structlog
import yaml
from typer.testing import CliRunner, Result

from monitor.cli import cli
from monitor.demo.traffic import ASSISTANT, FRAUD, event
from monitor.domain import DRILL_MODEL
from monitor.drill.incidents import INCIDENTS, NEW_CATEGORY, UNSAFE_MIN, Traits, plant
from monitor.drill.live import VERSION, healthy_event
from monitor.drill.report import Result as Found
from monitor.errors import DriftdError
from tests.support.daemon import driftd as process
from tests.unit.sinks.examples import START_S, alert

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.receiver import Receiver

NOON_S: Final = 1_780_000_000.0
EVENTS: Final = 9_000
PER_S: Final = 100.0


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DRIFTD_CONFIG", raising=False)
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute and a half of both models of the demo, and lines that are no events."""
    rng, path = random.Random(3), tmp_path_factory.mktemp("drill") / "events.jsonl"
    models = (FRAUD, ASSISTANT, FRAUD)
    lines = [json.dumps(event(rng, models[n % 3], NOON_S + n / PER_S)) for n in range(EVENTS)]
    lines[7:7] = ["{", '{"request_id": "1", "event_time": 1, "kind": "label"}']
    path.write_text("\n".join(lines) + "\n")
    return path


HERE: Final = {"allow_internal": True}
"""The receivers of these tests are on this machine."""


def configure(receiver: Receiver | None = None) -> None:
    """Write the configuration of this folder: short windows, and a webhook where there is a receiver."""
    hook = {"on-call": {"type": "webhook", "url": receiver.url, "timeout_s": 1, "http": HERE}} if receiver else {}
    settings = {
        "alerts": {"windows": ["10s", "1m"], "owner": "me", "runbook": "https://example.com/book"},
        "receivers": {"log": {"type": "log"}, **hook},
    }
    with open("driftd.yaml", "w", encoding="utf-8") as file:  # noqa: PTH123 - the folder of this test
        yaml.safe_dump(settings, file)


def driftd(*words: object) -> Result:
    return CliRunner().invoke(cli, ["drill", *map(str, words)])


def healthy(count: int = 2_000) -> list[dict[str, Any]]:
    rng = random.Random(1)
    return [healthy_event(rng, NOON_S) for _ in range(count)]


def planted(name: str, events: Sequence[dict[str, Any]], **how: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as plant takes them
    found = plant(name, Traits.of(events), **how)
    assert found is not None
    rng = random.Random(2)
    for each in events:
        found.change(each, rng)
    return list(events)


class TestIncidents:
    @pytest.mark.parametrize("name", INCIDENTS)
    def test_every_incident_fits_the_drills_own_model(self, name: str) -> None:
        found = plant(name, Traits.of(healthy()))

        assert found is not None
        assert (name, True) == (found.name, bool(found.words))

    def test_feature_moves_by_its_standard_deviations_and_nulls_stay(self) -> None:
        before = [each["features"]["age"] for each in healthy()]
        after = [
            each["features"]["age"] for each in planted("feature_shift", healthy(), feature="features.age", size=2.0)
        ]

        assert [each is None for each in before] == [each is None for each in after]
        moves = {round(b - a, 6) for a, b in zip(before, after, strict=True) if a is not None and b is not None}
        assert 1 == len(moves)
        assert 23.0 < moves.pop() < 25.0

    def test_latency_takes_so_many_times_as_long(self) -> None:
        pairs = zip(healthy(), planted("latency_rise", healthy()), strict=True)

        assert all(abs(b["latency_s"] / a["latency_s"] - 1.6) < 1e-6 for a, b in pairs)

    def test_unsafe_outputs_become_so_many_times_as_frequent(self) -> None:
        before, after = (
            sum(each["unsafe"] for each in some) for some in (healthy(), planted("unsafe_rise", healthy()))
        )

        assert 4.0 < after / before < 6.0

    def test_unsafe_rate_of_nothing_is_raised_to_something(self) -> None:
        clean = [{**each, "unsafe": False} for each in healthy()]

        assert (
            0.5 * UNSAFE_MIN
            < sum(each["unsafe"] for each in planted("unsafe_rise", clean)) / len(clean)
            < 2 * UNSAFE_MIN
        )

    def test_share_of_a_feature_becomes_null_or_new(self) -> None:
        nulls = [each["features"]["amount"] for each in planted("null_spike", healthy())].count(None)
        new = [each["features"]["country"] for each in planted("new_category", healthy())].count(NEW_CATEGORY)

        assert 0.25 < nulls / 2_000 < 0.35
        assert 0.15 < new / 2_000 < 0.25

    @pytest.mark.parametrize("name", INCIDENTS)
    def test_model_without_the_field_is_not_fit(self, name: str) -> None:
        assert plant(name, Traits.of([{"model": "m", "score": 0.5}] * 9)) is None

    def test_feature_that_is_not_fit_is_refused_with_those_that_are(self) -> None:
        with pytest.raises(DriftdError, match="--field country: not fit for this incident; these are: amount, age"):
            plant("feature_shift", Traits.of(healthy()), "country")

    def test_healthy_events_are_of_the_model_that_is_known_for_it(self) -> None:
        assert {(DRILL_MODEL, VERSION)} == {(each["model"], each["model_version"]) for each in healthy(9)}


class TestTwin:
    @pytest.mark.parametrize(
        ("incident", "model", "stream"),
        [
            ("feature_shift", FRAUD, "features.amount"),
            ("latency_rise", FRAUD, "latency_s"),
            ("unsafe_rise", ASSISTANT, "unsafe"),
            ("null_spike", FRAUD, "features.amount"),
            ("new_category", FRAUD, "features.channel"),
        ],
    )
    def test_incident_is_found_in_a_recording(self, recorded: Path, incident: str, model: str, stream: str) -> None:
        configure()
        size = ["--size", 12] if incident == "unsafe_rise" else []
        result = driftd("--input", recorded, "--incident", incident, "--json", *size)

        told = json.loads(result.stdout)
        assert 0 == result.exit_code, result.output
        assert (True, "twin", model, stream, []) == tuple(
            told[name] for name in ("ok", "form", "model", "stream", "false_alarms")
        )
        assert 0.0 < told["decision_delay_s"] <= told["mttd_s"] < 30.0
        assert abs(told["onset_error_s"]) < 10.0

    def test_receiver_is_told_of_a_drill_and_then_of_its_end(self, recorded: Path, receiver: Receiver) -> None:
        configure(receiver)
        result = driftd("--input", recorded)

        first, last = (request.json()["alerts"][0] for request in receiver.wait_for(2))
        assert 0 == result.exit_code, result.output
        assert ("firing", "resolved") == (first["status"], last["status"])
        assert "true" == first["labels"]["drill"]
        assert first["annotations"]["summary"].startswith("[DRILL] fraud-classifier: ")
        assert first["annotations"]["dedup_key"].startswith("drill-")
        assert first["fingerprint"] == last["fingerprint"]
        assert "delivered  on-call, " in result.stdout
        assert "OK         detected and delivered to 2 of 2 receivers, mean time to detect " in result.stdout

    def test_receiver_that_refuses_makes_it_fail(self, recorded: Path, receiver: Receiver) -> None:
        receiver.answer_always(500)
        configure(receiver)
        # A process of its own: the log line about the refusal goes to its standard error.
        result = process("drill", "--input", str(recorded), "--timeout", "1")

        assert 1 == result.returncode
        assert "NOT TOLD   on-call: not accepted in time" in result.stdout
        assert "FAILED     detected, but not delivered: on-call" in result.stdout

    def test_incident_too_small_to_be_found_makes_it_fail(self, recorded: Path) -> None:
        configure()
        result = driftd("--input", recorded, "--size", 0.0)

        assert 1 == result.exit_code
        assert "FAILED     no alert on features.amount fired" in result.stdout

    def test_model_and_field_can_be_chosen(self, recorded: Path) -> None:
        configure()
        told = json.loads(driftd("--input", recorded, "--field", "merchant_risk", "--model", FRAUD, "--json").stdout)

        assert (True, "features.merchant_risk") == (told["ok"], told["stream"])

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--model", "nobody"], "--model nobody: no events of it; there are: fraud-classifier, assistant"),
            (["--incident", "unsafe_rise", "--model", FRAUD], "unsafe_rise: no model has a field for it"),
            (["--field", "country"], "--field country: not fit for this incident"),
        ],
    )
    def test_what_can_not_be_drilled_is_refused_with_what_can(
        self, recorded: Path, words: list[str], said: str
    ) -> None:
        configure()
        result = driftd("--input", recorded, *words)

        assert 1 == result.exit_code
        assert said in result.stderr

    def test_recording_without_events_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "empty.jsonl").write_text("{}\n")

        assert "no inference events in it" in driftd("--input", "empty.jsonl").stderr


class TestCommand:
    def test_unknown_incident_is_wrong_usage(self) -> None:
        result = driftd("--twin", "--incident", "flood")

        assert 2 == result.exit_code
        assert "feature_shift" in result.stderr

    def test_live_needs_topics(self) -> None:
        assert 78 == driftd().exit_code

    def test_live_without_a_daemon_is_exit_1(self, tmp_path: Path) -> None:
        (tmp_path / "driftd.yaml").write_text("kafka: {bootstrap_servers: ['127.0.0.1:9'], topics: [t]}\n")
        result = driftd("--url", "http://127.0.0.1:9")

        assert 1 == result.exit_code
        assert "no daemon answers at http://127.0.0.1:9" in result.stderr


class TestReport:
    FOUND: Final = Found(
        "live",
        "latency_rise",
        "slow",
        DRILL_MODEL,
        "latency_s",
        START_S - 20.0,
        alert(),
        3.0,
        {"pager": 1.5, "log": 0.0},
        is_over=True,
    )

    def test_time_to_detect_ends_when_the_last_receiver_has_heard(self) -> None:
        assert (20.0, 24.5) == (self.FOUND.decision_s, self.FOUND.mttd_s)

    @pytest.mark.parametrize("heard", [{}, {"pager": None}, {"pager": None, "log": 0.1}])
    def test_it_is_good_only_if_every_receiver_has_heard(self, heard: dict[str, float | None]) -> None:
        found = replace(self.FOUND, heard=heard)

        assert (True, False, None) == (self.FOUND.is_good, found.is_good, found.mttd_s)
        assert "FAILED" in found.to_text()

    def test_what_fired_before_is_told(self) -> None:
        assert (
            "before     odd (fired before anything was planted)" in replace(self.FOUND, false_alarms=["odd"]).to_text()
        )
