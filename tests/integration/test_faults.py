"""Nothing lost, nothing counted twice, nothing left untold: a short form of `python -m benchmarks.faults`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from benchmarks.faults import kills, members, outage

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.faults.ground import Finish
    from tests.support.kafka import Kafka

pytestmark = pytest.mark.integration

KILLS: Final = 4
RATE_PER_S: Final = 600.0
NEIGHBOUR_S: Final = 12.0


def assert_exact(finish: Finish) -> None:
    """What the daemon stored is what one offline pass over the same topic counts, to the last value."""
    assert [] == list(finish.counts.where)
    assert "" == finish.counts.sums
    assert (0, 0) == (finish.counts.lost, finish.counts.doubled)
    assert finish.counts.counted > 1_000
    assert min(finish.sums["counted"], finish.sums["rejected"], finish.sums["duplicate"]) > 0
    assert 0 == finish.sums["late"]


def test_killed_again_and_again_it_counts_and_tells_as_if_it_never_was(kafka_real: Kafka, tmp_path: Path) -> None:
    found = kills.run(kafka_real, tmp_path, kills.Plan(KILLS, seed=3, stops=0, rate_per_s=RATE_PER_S, is_short=True))

    assert KILLS == sum(found.when.values())
    assert_exact(found.finish)
    assert [] == list(found.finish.alerts.missing)
    assert [] == list(found.finish.alerts.extra)
    assert found.finish.alerts.true > 0


def test_neighbour_that_takes_partitions_and_gives_them_back_costs_no_count(kafka_real: Kafka, tmp_path: Path) -> None:
    found = members.run(kafka_real, tmp_path, "classic", NEIGHBOUR_S, rate_per_s=RATE_PER_S)

    assert found.joins > 0
    assert found.rebalances > 2
    assert found.unowned_max_s < 30.0
    assert found.revoke_p99_s < 2.0
    assert_exact(found.finish)


def test_receiver_that_is_away_for_an_hour_hears_of_every_alert_and_pages_at_most_once_more() -> None:
    found = outage.run()

    assert (0, found.worst) == (found.lost, [text for text in found.worst if text.endswith(" 2 times")])
    assert found.duplicate_pages <= 1
    assert found.told > found.incidents
