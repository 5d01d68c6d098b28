"""What outcomes, versions and segments do that nobody meant: each has a defined end, which is counted.

Outcomes of unknown ids, told twice, before their inference, of another type or years late are in test_joining, a
candidate with 40 events is in tests/unit/gate/test_release.
"""

from __future__ import annotations

import math
import random
from typing import Any

from monitor.bins import CATEGORIES_MAX, OTHER, UNSEEN
from monitor.join.terms import JoinTerms
from monitor.kpi_cells import CELLS_MAX
from monitor.pipeline import Pipeline
from tests.unit.join.test_kpi_rules import watching
from tests.unit.join.traffic import START_S, counts, encoded, fed, inference, joining, outcome, step

TERMS = JoinTerms(mode="on", absence_s=60.0, learn_rows=300)


def labelled(count: int, labels: list[str], from_s: float = START_S, version: str = "1") -> list[dict[str, Any]]:
    """Give ten inferences a second, each predicted and labelled as chance has it."""
    chance, out = random.Random(count), []
    for number in range(count):
        time_s, key = from_s + number / 10, int(from_s) * 10 + number
        more = {"prediction": chance.choice(labels), "score": chance.random(), "model_version": version}
        out += [inference(key, time_s, **more), outcome(key, time_s + 0.05, label=chance.choice(labels))]
    return out


def fed_whole(made: Pipeline, events: list[dict[str, Any]]) -> Pipeline:
    return fed(made, encoded(events), lambda: 400)


def test_version_that_changes_its_label_space_is_counted_and_its_new_labels_are_unseen() -> None:
    made = watching()
    before = labelled(1_500, ["yes", "no"])
    after = labelled(500, ["yes", "no", "maybe"], START_S + 160)
    fed_whole(made, [*before, *after])
    found = counts(made)
    told = [message["label"] for message in after if "label" in message]

    assert told.count("maybe") == found["label", ""][UNSEEN]
    assert 2_000 == sum(found["label", ""]) == sum(found["correct", ""][:2])
    assert 2_000 == made.picture().join.outcomes["label", "joined"]


def test_other_version_with_other_labels_is_a_model_of_its_own() -> None:
    made = watching()
    fed_whole(made, [*labelled(700, ["yes", "no"]), *labelled(300, ["a", "b", "c"], START_S + 80, "2")])
    cells = {(kpi.model_version, kpi.name): kpi for kpi in made.picture().kpis if kpi.window == "365d"}

    assert (700, 300) == (cells["1", "accuracy"].samples, cells["2", "accuracy"].samples)
    assert 0.33 < cells["2", "macro_f1"].high
    assert ("2", "recall") not in cells  # none of its classes is positive


def test_labels_without_end_are_told_apart_as_far_as_there_is_room() -> None:
    made = joining(JoinTerms(mode="on", absence_s=300.0))
    names = [f"class {number}" for number in range(200)]
    fed_whole(made, labelled(1_000, names))
    found = counts(made)

    assert 1_000 == sum(found["label", ""]) == sum(found["confusion", ""])
    assert found["label", ""][OTHER] > 0
    assert CATEGORIES_MAX >= sum(1 for count in found["label", ""][:CATEGORIES_MAX] if count)


def test_number_as_label_of_a_model_of_classes_is_a_class_and_text_of_one_of_numbers_useless() -> None:
    made = joining(TERMS)
    events = [
        inference(1, START_S, prediction="a"),
        outcome(1, START_S + 1, label="a"),
        inference(2, START_S + 2, prediction="a"),
        outcome(2, START_S + 3, label=7.5),
        inference(3, START_S + 2, model="n", prediction=2.5),
        outcome(3, START_S + 3, label=2.0),
        inference(4, START_S + 4, model="n", prediction=2.5),
        outcome(4, START_S + 5, label="high"),
    ]
    fed_whole(made, events)
    outcomes = made.picture().join.outcomes

    assert (3, 1) == (outcomes["label", "joined"], outcomes["label", "useless"])


def test_segments_that_explode_share_one_and_are_counted() -> None:
    made = joining(TERMS)
    events = labelled(600, ["yes", "no"])
    for number, message in enumerate(events):
        if "model" in message:
            message["segment"] = {"country": f"c{number}"}
    fed_whole(made, events)
    picture, found = made.picture(), counts(made)
    segments = {segment for _, segment in found if segment}

    assert 51 == len(segments)
    assert picture.overflow["segment_values"] >= 550
    assert 600 == sum(sum(found["correct", segment][:2]) for segment in segments if ("correct", segment) in found)
    assert picture.overflow["kpi_cells"] == 52 * 2 > CELLS_MAX
    assert () == picture.kpis


def test_scores_that_are_all_the_same_say_nothing_and_break_nothing() -> None:
    made = watching()
    chance = random.Random(5)
    events = []
    for number in range(1_500):
        time_s = START_S + number / 10
        events += [
            inference(number, time_s, prediction="yes", score=0.7),
            outcome(number, time_s + 0.05, label="yes" if chance.random() < 0.7 else "no"),
        ]
    fed_whole(made, events)
    kpis = {kpi.name: kpi for kpi in made.picture().kpis if kpi.window == "365d"}

    assert (0.5, 0.5) == (kpis["auc"].value, kpis["auc_resolution"].value)
    assert kpis["ece"].value < 0.05
    assert kpis["estimated_accuracy"].low <= kpis["accuracy"].value <= kpis["estimated_accuracy"].high
    assert all(math.isfinite(kpi.value) for kpi in kpis.values())
    assert 0 == len(step(made, encoded([inference(9_999, START_S + 200.0, score=0.7)])).transitions)
