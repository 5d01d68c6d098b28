"""Everything real at once: traffic of three models, Kafka, the daemon, Prometheus, Alertmanager, and incidents."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import pytest

from tests.integration.conftest import ASSISTANT, ELECTRICITY, FRAUD, RUNBOOK, VERSION, expected_alerts
from tests.support.daemon import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.conftest import Performance, Stack

pytestmark = pytest.mark.integration

DETECTED_S_MAX: Final = 25.0  # of which four are the time until a pane closes; 7 to 12 are usual
QUICK: Final = "10s"


def value_of(stack: Stack, expression: str, at_s: float) -> float:
    """Give the one value of an expression at a time."""
    (sample,) = stack.query(expression, at_s)
    return sample.value


class TestHealthyTraffic:
    def test_no_alert_fires_before_anything_goes_wrong(self, performance: Performance) -> None:
        assert [] == performance.before

    def test_psi_is_near_zero(self, stack: Stack, performance: Performance) -> None:
        samples = stack.query(f'driftd_stream_psi{{window="{QUICK}"}}', performance.planted_s)

        assert {FRAUD, *stack.traffic.models} - {ASSISTANT} <= {each.labels["model"] for each in samples}
        assert max(each.value for each in samples) < 0.1


class TestPrometheus:
    def test_psi_of_the_shifted_feature_stands_out(self, stack: Stack, performance: Performance) -> None:
        of_amount = f'driftd_stream_psi{{model="{FRAUD}",field="features.amount",segment="",window="{QUICK}"}}'
        of_age = f'driftd_stream_psi{{model="{FRAUD}",field="features.account_age_days",segment="",window="{QUICK}"}}'

        assert value_of(stack, of_amount, performance.peak_s) > 0.25
        assert value_of(stack, of_age, performance.peak_s) < 0.1

    @pytest.mark.usefixtures("shared_data")
    def test_psi_of_real_data_shows_the_season(self, stack: Stack, performance: Performance) -> None:
        assert ELECTRICITY in stack.traffic.models
        worst = f'max(driftd_stream_psi{{model="{ELECTRICITY}",segment="",window="{QUICK}"}})'

        assert value_of(stack, worst, performance.planted_s) < 0.1
        assert value_of(stack, worst, performance.peak_s) > 0.25

    def test_latency_p95_doubles(self, stack: Stack, performance: Performance) -> None:
        labels = f'model="{ASSISTANT}",segment="",window="{QUICK}",quantile="0.95"'
        p95 = f"driftd_latency_quantile_seconds{{{labels}}}"

        before, peak = (value_of(stack, p95, at_s) for at_s in (performance.planted_s, performance.peak_s))

        assert 1.4 < peak / before < 2.2

    def test_unsafe_ratio_rises_in_all_and_in_each_segment(self, stack: Stack, performance: Performance) -> None:
        unsafe = f'driftd_unsafe_ratio{{model="{ASSISTANT}",window="{QUICK}"}}'

        before, peak = (
            {each.labels.get("segment", ""): each.value for each in stack.query(unsafe, at_s)}
            for at_s in (performance.planted_s, performance.peak_s)
        )

        assert {"", "locale=de", "locale=en"} == before.keys() == peak.keys()
        assert max(before.values()) < 0.03 < min(peak.values())

    def test_every_event_received_is_accounted_for(self, stack: Stack, performance: Performance) -> None:
        names = ("received", "counted", "rejected", "late", "duplicate")
        received, *accounts = (
            sum(each.value for each in stack.query(f"driftd_events_{name}_total", performance.over_s)) for name in names
        )

        assert sum(accounts) == received > 1000
        assert accounts[0] == received

    def test_lag_is_known_and_small(self, stack: Stack, performance: Performance) -> None:
        lags = stack.query("driftd_consumer_lag_records", performance.over_s)

        assert {(stack.topic, "0"), (stack.topic, "1")} == {(e.labels["topic"], e.labels["partition"]) for e in lags}
        assert max(each.value for each in lags) < 2_000

    def test_nothing_is_lost_on_the_way(self, stack: Stack, performance: Performance) -> None:
        """The daemon has received what was sent, up to what is on its way."""
        sent = stack.traffic.sent

        assert wait_for(lambda: stack.daemon.total("driftd_events_received_total") >= sent, f"{sent} events")


class TestAlertmanager:
    def test_every_incident_brings_its_alert_soon(self, stack: Stack, performance: Performance) -> None:
        started = {key: _epoch_s(performance.fired[key]["startsAt"]) for key in expected_alerts(stack)}
        delays_s = {key: at_s - performance.planted_s for key, at_s in started.items()}

        assert {key: s for key, s in delays_s.items() if not 0 < s < DETECTED_S_MAX} == {}

    @pytest.mark.parametrize(
        ("key", "severities", "owner"),
        [
            ((FRAUD, "psi"), {"sev3", "sev4"}, "on-call"),
            ((ASSISTANT, "latency_p95"), {"sev2", "sev3"}, "team-assistant"),
            ((ASSISTANT, "unsafe_rate"), {"sev1", "sev2"}, "trust-and-safety"),
        ],
        ids=["psi", "latency", "unsafe"],
    )
    def test_labels_say_what_and_who(
        self, performance: Performance, key: tuple[str, str], severities: set[str], owner: str
    ) -> None:
        labels = performance.fired[key]["labels"]

        assert {"service": "driftd", "model_version": VERSION, "owner": owner}.items() <= labels.items()
        assert labels["severity"] in severities
        assert {FRAUD: "features.amount"}.get(key[0], labels["field"]) == labels["field"]

    def test_annotations_say_how_much_since_when_and_what_to_do(self, stack: Stack, performance: Performance) -> None:
        references = {e.labels["model"]: e.labels["reference"] for e in stack.query("driftd_reference_info")}
        for key in expected_alerts(stack):
            said: Mapping[str, str] = performance.fired[key]["annotations"]

            assert said["summary"].startswith(f"{key[0]}: {key[1]} of ")
            assert RUNBOOK == said["runbook_url"]
            assert float(said["value"]) > float(said["threshold"]) > 0
            assert "samples in" in said["description"]
            assert "Evidence" in said["description"]
            assert references[key[0]] == said["reference"]
            assert abs(_epoch_s(said["since"]) - performance.planted_s) < 8.0

    def test_alert_is_for_the_feature_that_moved_and_not_for_its_neighbours(self, performance: Performance) -> None:
        assert (FRAUD, "latency_p95") not in performance.fired
        assert (FRAUD, "null_rate") not in performance.fired
        assert (ASSISTANT, "refused_rate") not in performance.fired

    def test_alerts_are_resolved_when_all_is_well_again(self, stack: Stack, performance: Performance) -> None:
        def ended() -> bool:
            ends = {
                (alert["labels"]["model"], alert["labels"]["alertname"])
                for alert in stack.notified()
                if alert["status"] == "resolved"
            }
            return expected_alerts(stack) <= ends

        assert {} == stack.firing()
        assert wait_for(ended, "Alertmanager to tell of the end of every alert")
        assert performance.over_s - performance.healed_s < 60


class TestDaemon:
    def test_it_is_alive_and_ready_all_the_while(self, stack: Stack, performance: Performance) -> None:
        span = f"[{performance.over_s - performance.planted_s:.0f}s]"

        assert 1 == value_of(stack, f"min_over_time(driftd_ready{span})", performance.over_s)
        assert 1 == value_of(stack, f"min_over_time(up{span})", performance.over_s)

    def test_log_tells_of_every_alert_on_one_line(self, stack: Stack, performance: Performance) -> None:
        told = {(line.get("model"), line.get("alertname", line.get("rule"))) for line in stack.daemon.log_lines()}

        assert expected_alerts(stack) <= told

    def test_log_has_no_error(self, stack: Stack, performance: Performance) -> None:
        """Beyond the alerts themselves, which the receiver `log` writes at their own level."""
        bad = [line for line in stack.daemon.log_lines() if line["level"] in ("warning", "error")]

        assert [] == [line for line in bad if line["event"] != "alert firing"]


def _epoch_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
