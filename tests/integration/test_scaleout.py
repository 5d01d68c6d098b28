"""Folds and judges on a real broker, killed and stopped: they count and tell what one process would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.scaleout.cluster import Load
from benchmarks.scaleout.run import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration


def test_killed_and_stopped_they_count_and_tell_as_one_process_would(kafka_real: Kafka, tmp_path: Path) -> None:
    found = run(kafka_real, tmp_path, hurts=3, seed=2)

    assert 3 == sum(found.done.values())
    assert [] == list(found.finish.counts.where)
    assert (0, 0) == (found.finish.counts.lost, found.finish.counts.doubled)
    assert found.finish.counts.counted > 1_000
    assert found.finish.alerts.true > 0
    assert ([], []) == (list(found.finish.alerts.missing), list(found.finish.alerts.extra))
    assert 0 == found.finish.verdicts.get("torn", 0)


ONE, TWO = Load(300.0, has_outcomes=True), Load(300.0, has_outcomes=True, are_apart=True)
"""Topics for inferences and outcomes."""


@pytest.mark.parametrize(("load", "protocol"), [(ONE, "classic"), (TWO, "classic"), (TWO, "consumer")])
def test_killed_and_stopped_they_join_as_one_process_would(
    kafka_real: Kafka, tmp_path: Path, load: Load, protocol: str
) -> None:
    found = run(kafka_real, tmp_path, hurts=4, seed=5, load=load, protocol=protocol)

    assert 4 == sum(found.done.values())
    assert found.done["fold killed"] > 0
    assert [] == list(found.finish.counts.where)
    assert (0, 0) == (found.finish.counts.lost, found.finish.counts.doubled)
    assert found.finish.right.outcomes["label", "joined"] > 1_000
    assert found.finish.right.outcomes == found.finish.outcomes
    assert ([], []) == (list(found.finish.alerts.missing), list(found.finish.alerts.extra))
