"""Both bars of series on the data kept beside the repository: NAB whole (D9), KPIs in the benchmark (D10)."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection import series
from tests.support.missing import missing


def test_nab_is_well_above_its_bar() -> None:
    if absent := series.why_absent():
        missing(absent)
    data = series.load_nab()

    _, alarms = series.our_scores(data)

    assert series.nab_standard(data, alarms).score >= 60.0


def _labelled(points: int, *windows: tuple[int, int]) -> dict[str, series.Labelled]:
    return {"a": series.Labelled(300.0 * np.arange(points, dtype=np.float64), np.zeros(points), windows, 15)}


@pytest.mark.parametrize(
    ("alarms", "score"),
    [
        ([], 0.0),
        ([50], 100.0),
        ([50, 55], 100.0),
        ([59], 62.4),
        ([50, 80], 94.5),
        ([10, 50], 100.0),
        ([20, 50], 94.5),
    ],
)
def test_the_standard_score(alarms: list[int], score: float) -> None:
    """A window of ten points: early is worth 1, the last point 0.248, an alarm outside costs 0.11."""
    data = _labelled(100, (50, 59))

    found = series.nab_standard(data, {"a": np.array(alarms, dtype=np.int64)})

    assert found.score == pytest.approx(score, abs=0.1)


@pytest.mark.parametrize(
    ("alarms", "recall", "false"),
    [([], 0.0, 0), ([50], 1.0, 0), ([57], 1.0, 0), ([58], 0.0, 0), ([49], 0.0, 1), ([5], 0.0, 0)],
)
def test_events_are_found_within_seven_points(alarms: list[int], recall: float, false: int) -> None:
    data = _labelled(100, (50, 70))

    found = series.kpi_found(data, {"a": np.array(alarms, dtype=np.int64)})

    assert found.recall == recall
    assert found.false_per_day == pytest.approx(false / data["a"].days)
