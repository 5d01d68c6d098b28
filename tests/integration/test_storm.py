"""A short storm over folds and judges on a real broker: kills, joins and leaves, a stop, and the broker's restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.scaleout import storm
from benchmarks.scaleout.rolling import roll

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.kafka import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]  # a minute or two each on a quiet machine


def test_replicas_that_come_and_go_tell_what_one_process_and_an_offline_pass_tell(
    kafka_real: Kafka, tmp_path: Path
) -> None:
    plan = storm.Plan(kills=3, seed=7, protocol="consumer", restarts=int(kafka_real.can_restart), moves=0.4)

    found = storm.run(kafka_real, tmp_path, plan)

    assert [] == found.problems
    assert found.same_alerts
    assert (0, 0) == (found.finish.counts.lost, found.finish.counts.doubled)
    assert found.finish.counts.counted > 1_000
    assert 3 == sum(count for what, count in found.done.items() if what.endswith("killed"))
    assert found.delta_bytes_per_s > 0
    assert 0.0 < max(found.unowned_max_s.values())


def test_rolling_restart_and_scaling_under_load_fire_nothing(kafka_real: Kafka, tmp_path: Path) -> None:
    found = roll(kafka_real, tmp_path)

    assert [] == list(found.told)
    assert [] == list(found.counts.where)
    assert (0, 0) == (found.counts.lost, found.counts.doubled)
    assert found.counts.counted > 1_000
