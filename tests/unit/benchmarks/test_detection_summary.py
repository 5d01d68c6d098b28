"""Rows into figures, figures against the bar, and the picture."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from benchmarks.detection import musts, summary
from benchmarks.detection.plot import drawing, points
from benchmarks.detection.runs import Part, Row

GOOD: dict[str, float | int | None] = {
    "fa_per_stream_day": 0.001,
    "arl_ratio_min": 0.8,
    "arl_ratio_max": 2.0,
    "delay_ratio_mean_shift": 1.4,
    "delay_ratio_rates": 1.3,
    "delay_ratio_shape": 1.9,
    "missed": 0.0,
    "unsafe_seconds": 30.0,
    "latency_events": 150.0,
    "nab_dev_standard": 70.0,
    "kpi_event_recall": 0.6,
    "kpi_best_peer_recall": 0.5,
}


def quiet(part: Part, case: str, alarms: int, ratio: float | None, *, is_judged: bool = True) -> Row:
    return {
        "part": part,
        "candidate": "driftd",
        "case": case,
        "is_judged": is_judged,
        "arl0": 3e4,
        "alarms": alarms,
        "events": 10_000,
        "days": 10.0,
        "per_day": alarms / 10.0,
        "per_day_upper": (alarms + 3.0) / 10.0,
        "ratio": ratio,
        "ratio_low": 0.4,
        "ratio_high": None if ratio is None else 4.0,
    }


def delay(row: str, case: str, mean: float, missed: float = 0.0, *, is_judged: bool = True) -> Row:
    return {
        "part": Part.DELAY,
        "candidate": "driftd",
        "case": case,
        "row": row,
        "is_judged": is_judged,
        "arl0": 1e5,
        "kl": 0.125,
        "per_s": 10.0,
        "quiet": "N(0,1)",
        "complete_after": 0.0,
        "streams": 100,
        "limit": 100.0,
        "mean": mean,
        "mean_error": 3.0,
        "ratio": mean / 100.0,
        "missed": missed,
        "missed_upper": missed + 0.03,
    }


ROWS = [
    quiet(Part.BUDGET, "N(0,1)", 0, None),
    quiet(Part.BUDGET, "bursts", 1, 2.0),
    quiet(Part.INTERVAL, "N(0,1)", 10, 0.7),
    quiet(Part.INTERVAL, "bursts", 0, None),
    quiet(Part.INTERVAL, "rule", 900, 0.01, is_judged=False),
    delay("D3", "mean +0.5 sd", 120.0),
    delay("D3", "mean +0.25 sd", 140.0, missed=0.01),
    delay("D3", "mean +2 sd", 900.0, missed=1.0, is_judged=False),
    delay("D5", "variance", 180.0, missed=0.02),
    delay("D7", "unsafe", 400.0),
]


def test_figures_are_the_worst_of_what_is_judged() -> None:
    figures = summary.figures(ROWS)
    assert figures["fa_per_stream_day"] == pytest.approx(0.1)
    assert figures["fa_per_stream_day_upper"] == pytest.approx(0.4)
    assert figures["arl_ratio_min"] == pytest.approx(0.4)
    assert figures["arl_ratio_max"] == pytest.approx(0.7)
    assert figures["delay_ratio_mean_shift"] == pytest.approx(1.4)
    assert figures["delay_ratio_rates"] is None
    assert figures["missed"] == pytest.approx(0.02)
    assert figures["unsafe_seconds"] == pytest.approx(40.0)


def test_nothing_is_broken_where_all_holds() -> None:
    assert musts.broken(GOOD) == []


@pytest.mark.parametrize(
    ("figure", "value", "expected"),
    [
        ("fa_per_stream_day", 0.02, "D1: fa_per_stream_day is 0.02, must be <= 0.01"),
        ("arl_ratio_min", 0.3, "D2: arl_ratio_min is 0.3, must be >= 0.5"),
        ("latency_events", None, "D8: latency_events was not measured, must be <= 300.0"),
        ("kpi_event_recall", 0.4, "D10: kpi_event_recall is 0.4, must be >= 0.5"),
    ],
)
def test_what_is_broken_is_named(figure: str, value: float | None, expected: str) -> None:
    assert musts.broken(GOOD | {figure: value}) == [expected]


def test_each_run_has_a_line_and_each_candidate_a_place_in_the_tables() -> None:
    assert len(summary.lines(ROWS)) == len(ROWS)
    assert "driftd" in summary.tables(ROWS)


def test_a_point_has_the_false_alarms_of_the_interval_that_the_delay_was_measured_at() -> None:
    (point,) = points(ROWS, "N(0,1)", "mean +0.5 sd")
    assert point.per_day == pytest.approx(1.0 * 3e4 / 1e5)
    assert point.ratio == pytest.approx(1.2)


def test_the_picture_is_xml_and_says_in_words_what_it_shows() -> None:
    root = ET.fromstring(drawing(ROWS))
    description = root.find("{http://www.w3.org/2000/svg}desc")
    assert description is not None
    assert "driftd 1.20 times the least delay" in str(description.text)
