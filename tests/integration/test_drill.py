"""A drill beside live traffic: through a real broker, the real daemon and a real Alertmanager, to everybody."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.conftest import FRAUD, RUNBOOK, Traffic, fraud
from tests.support.daemon import Daemon, driftd, kafka_settings, wait_for
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.support.alertmanager import Alertmanager, AlertmanagerFactory
    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration

MODEL: Final = "driftd-drill"


@dataclass(frozen=True, slots=True)
class Drilled:
    """What came of one drill. told: what `driftd drill --json` gave. hook: alerts that the webhook was told of."""

    exit_code: int
    told: Mapping[str, Any]
    daemon: Daemon
    alertmanager: Alertmanager
    hook: Sequence[Mapping[str, Any]]


@pytest.fixture(scope="module")
def drilled(
    kafka: Kafka, alertmanager_factory: AlertmanagerFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Drilled]:
    """One drill beside the traffic of another model, and the parts that took part in it, still running."""
    folder, topic = tmp_path_factory.mktemp("drill"), f"drill-{uuid.uuid4().hex[:12]}"
    kafka.create_topic(topic, 2)
    with ExitStack() as started:
        receiver = started.enter_context(Receiver())
        alertmanager = alertmanager_factory(receiver.url)
        hook = started.enter_context(Receiver())
        settings = {
            "kafka": kafka_settings(kafka.bootstrap_servers, [topic], group_id=topic),
            "reference": {"directory": str(folder / "references"), "learn_events": 3_000},
            "state": {"directory": str(folder / "state")},
            "alerts": {"windows": ["10s", "1m"], "keep_firing_for_s": 2, "owner": "on-call", "runbook": RUNBOOK},
            "receivers": {
                "log": {"type": "log"},
                "hook": {"type": "webhook", "url": hook.url, "http": {"allow_internal": True}},
                "alertmanager": {"type": "alertmanager", "urls": [alertmanager.url], "resend_s": 5},
            },
        }
        daemon = started.enter_context(Daemon(folder, settings, Daemon.has_partitions))
        started.enter_context(Traffic(kafka.bootstrap_servers, topic, {FRAUD: fraud}))
        wait_for(daemon.is_ready, "the daemon to be ready", 30.0)
        done = driftd("drill", "--config", str(daemon.config), "--incident", "latency_rise", "--json", timeout_s=280.0)
        assert done.stdout, done.stderr
        alerts = [alert for request in hook.requests for alert in request.json()["alerts"]]
        yield Drilled(done.returncode, json.loads(done.stdout), daemon, alertmanager, alerts)


def test_incident_is_detected_and_every_receiver_has_heard_of_it(drilled: Drilled) -> None:
    told = drilled.told

    assert (0, True, "live", MODEL, "latency_s") == (
        drilled.exit_code,
        *(told[name] for name in ("ok", "form", "model", "stream")),
    )
    assert {"log", "hook", "alertmanager"} == told["delivery_delay_s"].keys()
    assert all(0.0 <= delay_s < 5.0 for delay_s in told["delivery_delay_s"].values())
    assert 0.0 < told["decision_delay_s"] < told["mttd_s"] < 60.0
    assert abs(told["onset_error_s"]) < 10.0


def test_every_word_of_it_says_that_it_is_a_drill(drilled: Drilled) -> None:
    assert {"true"} == {alert["labels"].get("drill") for alert in drilled.hook}
    assert {MODEL} == {alert["labels"]["model"] for alert in drilled.hook}
    assert all(alert["annotations"]["summary"].startswith("[DRILL] ") for alert in drilled.hook)


def test_it_is_over_when_the_drill_ends(drilled: Drilled) -> None:
    assert drilled.told["resolved"]
    assert "resolved" == drilled.hook[-1]["status"]
    wait_for(lambda: not drilled.alertmanager.alerts(f'model="{MODEL}"'), "Alertmanager to drop the drill's alerts")


def test_it_is_in_no_statistic_of_pages(drilled: Drilled) -> None:
    daemon = drilled.daemon

    assert MODEL not in {labels["model"] for labels in daemon.series("driftd_budget_spent_ratio")}
    wait_for(lambda: daemon.total("driftd_budget_spent_ratio", model=FRAUD) == 0.0, "the model beside it to be known")
    assert 0 == daemon.total("driftd_detection_delay_seconds_count")


def test_its_alert_can_still_be_explained(drilled: Drilled) -> None:
    done = driftd("explain", drilled.told["dedup_key"], "--config", str(drilled.daemon.config))

    assert 0 == done.returncode, done.stderr
    assert f"[DRILL] {MODEL} 1: {drilled.told['rule']} of latency_s" in done.stdout
    for receiver in ("log", "hook", "alertmanager"):
        assert f"{receiver} 0." in done.stdout


def test_topic_that_is_not_there_is_named(drilled: Drilled) -> None:
    done = driftd("drill", "--config", str(drilled.daemon.config), "--topic", "no-such-topic", "--timeout", "5")

    assert 1 == done.returncode
    assert "no-such-topic" in done.stderr
