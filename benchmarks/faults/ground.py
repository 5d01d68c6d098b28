"""What runs on a broker share: a topic, a configuration, a receiver, and the end, where all is compared."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.faults import truth
from benchmarks.faults.process import Daemon, Life
from benchmarks.faults.traffic import MODELS, write_references
from monitor.config import load_settings
from tests.support.kafka import Kafka
from tests.support.receiver import Receiver

PARTITIONS: Final = 6
SESSION_S: Final = 4.0
"""What our brokers allow (6 by default): who is killed in the midst of a rebalance is missed after two of them."""


@dataclass(slots=True)
class Ground:
    """One topic, one daemon, one receiver."""

    kafka: Kafka
    topic: str
    daemon: Daemon
    receiver: Receiver

    def finish(self, life: Life) -> Finish:
        """Let the daemon catch up, stop it in good order, and compare what it stored and told with an offline pass."""
        ends = truth.ends_of(self.kafka.bootstrap_servers, self.topic, PARTITIONS)
        began_s = time.monotonic()
        self.daemon.wait_read(ends, life)
        caught_up_s = time.monotonic() - began_s
        self.daemon.stop(life)
        found = truth.stored(self.daemon.stored().sections)
        right = truth.offline(load_settings(self.daemon.config, {}), self.kafka.bootstrap_servers, ends)
        told, repeated = self.told()
        alerts = truth.compare_alerts(told, repeated, found, right, MODELS)
        return Finish(truth.compare(found, right, sum(ends.values())), alerts, right.sums, caught_up_s, found.changed)

    def told(self) -> tuple[dict[str, str], int]:
        """Give the notices about models that the receiver got, by message id, and how many of them came again."""
        return told_to(self.receiver)


def told_to(receiver: Receiver, until_s: float = math.inf) -> tuple[dict[str, str], int]:
    """Give the notices about models that a receiver got, by message id, and how many of them came again.

    until_s: event time up to which. Once the traffic has ended silence is told, truly, of which no offline pass knows.
    """
    told: dict[str, str] = {}
    repeated = 0
    for request in receiver.requests:
        (alert,) = request.json()["alerts"]
        labels = alert["labels"]
        if labels.get("model") not in MODELS:
            continue  # what driftd tells of itself
        if max(_time_s(alert["startsAt"]), _time_s(alert["endsAt"])) > until_s:
            continue
        identity = request.headers["webhook-id"]
        repeated += identity in told
        told[identity] = (
            f"{labels['alertname']} {labels['model']}/{labels['field']} {alert['status']}"
            f" {alert['startsAt']} {alert['endsAt']}"
        )
    return told, repeated


def _time_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() if not text.startswith("0001-") else -math.inf


@dataclass(frozen=True, slots=True)
class Finish:
    """What came out at the end of a run."""

    counts: truth.Difference
    alerts: truth.Alerts
    sums: truth.Sums
    caught_up_s: float
    changed: int

    @property
    def problems(self) -> list[str]:
        """Give what is wrong, for people."""
        found = [*self.counts.where, *([self.counts.sums] if self.counts.sums else [])]
        found += [f"late: {self.sums['late']}"] if self.sums["late"] else []
        found += [f"added to panes that had closed, {self.changed} times"] if self.changed else []
        found += [f"alert never told: {each}" for each in self.alerts.missing[:10]]
        return found + [f"alert that is not true: {each}" for each in self.alerts.extra[:10]]


def prepare(
    folder: Path, kafka: Kafka, topic: str, receiver: Receiver, rate_per_s: float, more: Mapping[str, Any]
) -> Ground:
    """Make the topic, the references and the configuration. rate_per_s: of the traffic. more: of Kafka."""
    kafka.create_topic(topic, PARTITIONS)
    write_references(folder / "references", rate_per_s)
    settings = {
        "kafka": {
            "bootstrap_servers": [kafka.bootstrap_servers],
            "topics": [topic],
            "group_id": topic,
            "start": "earliest",
            "commit_s": 0.25,
            **more,
        },
        "reference": {"directory": str(folder / "references")},
        "state": {"directory": str(folder / "state")},
        "alerts": {"windows": ["10s", "1m"], "keep_firing_for_s": 2},
        "receivers": {
            "log": {"type": "log"},
            "hook": {"type": "webhook", "url": f"{receiver.url}/hook", "http": {"allow_internal": True}},
        },
    }
    return Ground(kafka, topic, Daemon(folder, settings), receiver)
