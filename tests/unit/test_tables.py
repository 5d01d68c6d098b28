"""The tables that metrics and pages are made of."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors import DETECTORS
from monitor.domain import Picture
from monitor.tables import SHOWN, span_text
from tests.golden.traffic import WINDOWS_S, event, finished, pipeline, statistic, steady


@pytest.fixture(scope="module")
def picture() -> Picture:
    made = pipeline(learn_events=1_000, segments=["country"])
    finished(made, steady(1, 4_000))
    return made.picture()


SPANS = {
    1.0: "1s",
    0.5: "0.5s",
    60.0: "1m",
    90.0: "90s",
    600.0: "10m",
    3600.0: "1h",
    5400.0: "90m",
    86400.0: "1d",
    604800.0: "7d",
}


@pytest.mark.parametrize(("span_s", "text"), SPANS.items(), ids=SPANS.values())
def test_span_is_written_as_people_do(span_s: float, text: str) -> None:
    assert text == span_text(span_s)


def test_every_statistic_shown_is_a_detector_that_can_judge_its_arena() -> None:
    assert {name for names in SHOWN.values() for name in names} <= set(DETECTORS)


def test_tables_name_streams_and_have_one_finite_value_for_each(picture: Picture) -> None:
    for table in picture.tables:
        assert len(table.rows) == len(table.values) > 0
        assert 0 <= table.rows.min() <= table.rows.max() < len(picture.keys)
        assert np.isfinite(table.values).all()
        assert len(set(table.rows.tolist())) == len(table.rows)


def test_no_statistic_is_told_twice(picture: Picture) -> None:
    told = [(table.name, table.window, row) for table in picture.tables for row in table.rows.tolist()]

    assert len(told) == len(set(told))


def test_every_window_is_told(picture: Picture) -> None:
    assert {span_text(span_s) for span_s in WINDOWS_S} == {table.window for table in picture.tables}


TOLD = {
    "psi of a number": ("psi", "features.amount", 0.0, 0.05),
    "psi of a category": ("psi", "features.channel", 0.0, 0.05),
    "nulls": ("null_rate", "features.maybe", 0.03, 0.07),
    "nulls of what is always there": ("null_rate", "features.amount", 0.0, 0.0),
    "median latency": ("p50", "latency_s", 0.35, 0.39),
    "p95 latency": ("p95", "latency_s", 0.75, 0.90),
    "p99 latency": ("p99", "latency_s", 1.0, 1.35),
    "mean latency": ("mean", "latency_s", 0.39, 0.44),
    "unsafe": ("yes_rate", "unsafe", 0.005, 0.02),
    "traffic beside the reference": ("volume", "events", 0.95, 1.1),
}


@pytest.mark.parametrize(("name", "field", "low", "high"), TOLD.values(), ids=TOLD.keys())
def test_statistic_is_about_what_was_sent(picture: Picture, name: str, field: str, low: float, high: float) -> None:
    assert low <= statistic(picture, name, field) <= high


UNTOLD = {
    "psi of latency": ("psi", "latency_s"),
    "median of a feature": ("p50", "features.amount"),
    "unseen categories of a number": ("unseen_rate", "features.amount"),
    "range of a category": ("out_of_range_rate", "features.channel"),
    "yes rate of traffic": ("yes_rate", "events"),
    "volume of a flag": ("volume", "unsafe"),
}


@pytest.mark.parametrize(("name", "field"), UNTOLD.values(), ids=UNTOLD.keys())
def test_statistic_that_does_not_apply_is_not_told(picture: Picture, name: str, field: str) -> None:
    assert np.isnan(statistic(picture, name, field))


def test_nothing_is_compared_before_there_is_a_reference() -> None:
    made = pipeline(learn_events=100_000)
    finished(made, steady(1, 1_000))

    names = {table.name for table in made.picture().tables}

    assert not names & {"psi", "js", "ks", "wasserstein", "chi_square", "volume", "psi_raw", "psi_floor"}
    assert {"samples", "null_rate", "p95", "yes_rate"} <= names


def test_segments_are_told_apart(picture: Picture) -> None:
    parts = [statistic(picture, "samples", "events", "1h", f"country={name}") for name in ("DE", "US")]

    assert statistic(picture, "samples", "events", "1h") == sum(parts)


@pytest.mark.parametrize("series_max", [0, 10, 200, 1_000])
def test_series_are_within_their_budget_and_the_rest_is_counted(series_max: int) -> None:
    made = pipeline(series_max=series_max)
    finished(made, [event(i / 9, features={f"f{k}": "x" for k in range(30)}, unsafe=True) for i in range(20)])

    picture = made.picture()

    assert sum(len(table.rows) for table in picture.tables) <= series_max
    assert picture.series_dropped > 0


def test_picture_does_not_change_when_more_is_counted() -> None:
    made = pipeline()
    finished(made, steady(1, 500))
    picture = made.picture()
    before = [(table.name, table.values.tolist()) for table in picture.tables]

    finished(made, steady(2, 500))

    assert before == [(table.name, table.values.tolist()) for table in picture.tables]
