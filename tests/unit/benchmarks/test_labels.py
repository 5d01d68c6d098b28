"""The picture of the story of late labels, from a small story."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

from benchmarks.labels import Span, Story
from benchmarks.labels_picture import drawing
from monitor.drift_sorts import CONCEPT
from monitor.quality import KpiValue

DAY_S = 86_400.0
SVG = "{http://www.w3.org/2000/svg}"


def look(**values: float) -> dict[str, KpiValue]:
    return {name: KpiValue("m", "", "", "28d", name, v, v - 0.1, v + 0.1, 9) for name, v in values.items()}


def told() -> Story:
    """Give four weeks in which accuracy falls and the scores know nothing of it."""
    looks = [
        (7 * DAY_S * week, look(accuracy=0.9 - week / 10, estimated_accuracy=0.9, estimation_gap=-week / 10, ece=0.1))
        for week in range(1, 5)
    ]
    spans = [
        Span("feature drift", "features.a", "psi", 1 * DAY_S, 3 * DAY_S, 0.0, "one"),
        Span("feature drift", "features.b", "drift", 2 * DAY_S, 5 * DAY_S, 0.0, "two"),
        Span(CONCEPT, "correct", "correct_rate", 9 * DAY_S, math.inf, 8 * DAY_S, "three"),
    ]
    return Story(looks, spans, 0.0, 28 * DAY_S, {"outcomes joined": 9})


def test_picture_has_curves_and_a_bar_for_each_stretch_of_alerts() -> None:
    root = ET.fromstring(drawing(told()))
    bars = [each.get("class") for each in root.iter(f"{SVG}rect")]
    texts = {"".join(each.itertext()) for each in root.iter(f"{SVG}text")}

    assert ["ground", "concept", "other"] == bars
    assert {"correct_rate", "label drift", "prediction drift", "feature drift"} <= texts
    assert 4 == sum("band" in str(each.get("class")) for each in root.iter(f"{SVG}path"))
    assert "lay 0.40 below" in "".join(root.itertext())


def test_text_has_each_alert_once_and_the_last_week_of_four() -> None:
    text = told().to_text()

    assert "0.500 (0.400, 0.600)" in text
    assert ["one", "two", "three"] == [line.split()[-1] for line in text.splitlines()[-3:]]
