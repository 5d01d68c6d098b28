from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.join.terms import JoinTerms, Task
from tests.unit.join.traffic import (
    DAY_S,
    START_S,
    counts,
    encoded,
    fed,
    inference,
    joining,
    labelled,
    outcome,
    pending_file,
    step,
)
from tests.unit.state.keeping import Kept

YES_NO = 2


def joined(*events: dict[str, Any], terms: JoinTerms | None = None, task: Task | None = None) -> dict[str, list[int]]:
    """Give what was counted of all traffic, by field, and of results of outcomes by `kind:result`."""
    made = fed(joining(terms, task), encoded(events))
    found = {field: own for (field, segment), own in counts(made).items() if not segment}
    results = {f"{kind}:{result}": [count] for (kind, result), count in made.picture().join.outcomes.items() if count}
    return found | results


def yes_no(found: dict[str, list[int]], field: str) -> tuple[int, int]:
    """Give how many yes and no a field has."""
    no, yes = found.get(field, [0, 0])[:YES_NO]
    return yes, no


def pair(label: object, **asked: object) -> dict[str, list[int]]:
    return joined(inference(1, START_S, **asked), outcome(1, START_S + 5, label=label))


def test_counts_do_not_depend_on_how_messages_are_cut() -> None:
    messages = encoded(labelled(300, delay_s=20.0))
    whole = counts(fed(joining(), messages, lambda: len(messages)))
    chance = random.Random(3)

    assert whole == counts(fed(joining(), messages, lambda: 1))
    assert whole == counts(fed(joining(), messages, lambda: chance.randrange(1, 90)))
    assert whole["correct", ""][1] > 50


@pytest.mark.parametrize("seed", range(3))
def test_process_that_is_killed_anywhere_loses_and_doubles_no_outcome(seed: int, tmp_path: Path) -> None:
    """What was drained, half drained or not yet, and what was read since the last save, changes nothing."""
    messages = encoded(labelled(200, seed, delay_s=20.0))
    whole = counts(fed(joining(), messages))
    chance, kept = random.Random(seed), Kept()
    file = pending_file(tmp_path)
    made, at, saved_at = joining(file=file), 0, 0
    kept.save(made.sections())
    kills = 0
    while at < len(messages):
        part = messages[at : at + chance.randrange(1, 60)]
        step(made, part)
        at += len(part)
        if chance.random() < 0.4:
            kept.save(made.sections())
            saved_at = at
            if chance.random() < 0.8:
                made.saved()
                made._joining.joiner._pending.drain(chance.randrange(1, 40))
        if chance.random() < 0.2 and kills < 12:
            kills += 1
            file.close()
            file = pending_file(tmp_path)
            made, at = joining(file=file), saved_at
            made.restore(kept.states())
    made.finish()
    file.close()

    assert kills > 0
    assert whole == counts(made)


def test_outcome_may_come_before_its_inference_and_days_after() -> None:
    early = joined(outcome(1, START_S - 3, label="a"), inference(1, START_S, prediction="a"))
    late = joined(
        inference(1, START_S, prediction="a"),
        *(inference(2 + day, START_S + day * DAY_S) for day in range(1, 6)),
        outcome(1, START_S + 5 * DAY_S, label="b"),
    )

    assert ((1, 0), (0, 1)) == (yes_no(early, "correct"), yes_no(late, "correct"))


def test_outcome_of_an_unknown_id_waits_and_expires() -> None:
    terms = JoinTerms(mode="on", ttl_s=3_600.0, absence_s=60.0)
    made = joining(terms)
    fed(made, encoded([inference(1, START_S), outcome(9, START_S + 1, label="a")]))
    waits = made.picture().join
    step(made, encoded([inference(2, START_S + 2 * 3_600), inference(3, START_S + 2 * 3_600 + 10)]))
    gone = made.picture().join

    assert (1, 0) == (waits.waiting, waits.expired)
    assert (0, 1) == (gone.waiting, gone.expired)


def test_outcome_told_twice_counts_once() -> None:
    found = joined(inference(1, START_S, prediction="a"), *[outcome(1, START_S + 1, label="a")] * 3)

    assert (1, 0) == yes_no(found, "correct")
    assert ([1], [2]) == (found["label:joined"], found["label:duplicate"])


def test_outcomes_of_an_inference_that_comes_again_are_of_the_later_one() -> None:
    events = [
        inference(1, START_S, prediction="a"),
        outcome(1, START_S + 1, label="a"),
        inference(1, START_S + 1, prediction="b"),
        outcome(1, START_S + 1, label="a"),
    ]
    at_once, one_by_one = joined(*events), counts(fed(joining(), encoded(events), lambda: 1))

    assert (1, 1) == yes_no(at_once, "correct")
    assert at_once["correct"] == one_by_one["correct", ""]


@pytest.mark.parametrize(
    ("asked", "label"),
    [({"prediction": 3.5}, "high"), ({"prediction": 2.5}, None), ({"prediction": "a"}, [1]), ({"prediction": 1.5}, {})],
)
def test_label_of_no_use_is_counted_as_such(asked: dict[str, Any], label: object) -> None:
    known = [inference(0, START_S - 9, **asked), outcome(0, START_S - 8, label=asked["prediction"])]
    found = joined(*known, inference(1, START_S, **asked), outcome(1, START_S + 5, label=label))

    assert [1] == found["label:useless"]


def test_years_late_outcome_is_unmatched() -> None:
    found = fed(
        joining(),
        encoded(
            [inference(1, START_S), inference(2, START_S + 400 * DAY_S), outcome(1, START_S + 400 * DAY_S, label="a")]
        ),
    )

    assert 1 == found.picture().join.waiting
    assert "correct" not in {field for field, _ in counts(found)}


def test_binary_scores_tell_precision_recall_and_loss() -> None:
    found = pair("yes", prediction="no", score=0.25)

    assert ((0, 1), (0, 1), (0, 0)) == tuple(yes_no(found, name) for name in ("correct", "recall", "precision"))
    assert (1, 1, 1, 1) == tuple(sum(found[name]) for name in ("score_positive", "score_wrong", "brier", "log_loss"))


def test_event_with_a_score_alone_predicts_by_the_threshold() -> None:
    task = Task(threshold=0.2)
    asked, told = inference(1, START_S, score=0.3), outcome(1, START_S + 1, label=True)

    assert (1, 0) == yes_no(joined(asked, told, task=task), "correct")
    assert (0, 1) == yes_no(joined(asked, told), "correct")


def test_named_positive_class_counts() -> None:
    task = Task(positive=("fraud",))
    found = joined(inference(1, START_S, prediction="fraud"), outcome(1, START_S + 1, label="legit"), task=task)

    assert ((0, 1), (0, 1), (0, 0)) == tuple(yes_no(found, name) for name in ("precision", "specificity", "recall"))


@pytest.mark.parametrize(("prediction", "label", "same"), [(1, True, 1), ("1", 1, 1), (1.0, "1", 1), ("a", "b", 0)])
def test_classes_are_the_same_by_value_or_name(prediction: object, label: object, same: int) -> None:
    assert (same, 1 - same) == yes_no(pair(label, prediction=prediction), "correct")


def test_regression_counts_errors_either_way() -> None:
    found = pair(10.0, prediction=12.5)

    assert {1} == {sum(found[name]) for name in ("abs_error", "squared_error", "over_error", "under_error")}
    assert 1 == found["under_error"][0]
    assert "correct" not in found


def test_what_nobody_says_is_told_by_cohorts() -> None:
    terms = JoinTerms(mode="on", absence_s=120.0)
    asked = [inference(i, START_S + i) for i in range(600)]
    told = [outcome(i, START_S + i + 30, "override") for i in range(0, 100, 4)]
    late = outcome(2, START_S + 590, "override")
    found = joined(*sorted([*asked, *told, late], key=lambda event: event["event_time"]), terms=terms)

    yes, no = yes_no(found, "overridden")
    assert (25, [25], [1]) == (yes, found["override:joined"], found["override:late"])
    assert 440 <= yes + no <= 480


def test_override_that_says_no_is_none() -> None:
    terms = JoinTerms(mode="on", absence_s=60.0)
    told = [outcome(0, START_S + 1, "override"), outcome(1, START_S + 1, "override", value=False)]
    found = joined(*[inference(i, START_S + i / 2) for i in range(3)], *told, inference(9, START_S + 300), terms=terms)

    assert (1, 2) == yes_no(found, "overridden")


def test_labels_mature() -> None:
    """Quick labels of young inferences count only when their cohort is old enough."""
    terms = JoinTerms(mode="on", maturity_s=100.0, absence_s=60.0)
    made = joining(terms)
    step(made, encoded([inference(1, START_S, prediction="a"), outcome(1, START_S + 1, label="a")]))
    step(made, encoded([inference(2, START_S + 90), inference(3, START_S + 91)]))
    young = counts(made)
    step(made, encoded([inference(4, START_S + 105), inference(5, START_S + 110)]))

    assert 0 == sum(young["correct", ""])
    assert [0, 1, 0, 0] == counts(made)["correct", ""]


@pytest.mark.parametrize(("pane_s", "late_s"), [(1.0, 60.0), (60.0, 60.0), (3_600.0, 3_600.0)])
def test_labels_that_mature_for_hours_count_at_whole_minutes_whatever_a_pane_is(pane_s: float, late_s: float) -> None:
    """Not at multiples of sixty panes, which are days where a pane is an hour."""
    made = joining(JoinTerms(mode="on", maturity_s=6 * 3_600.0, absence_s=60.0), pane_s=pane_s)
    step(made, encoded([inference(1, START_S, prediction="a"), outcome(1, START_S + 1, label="a")]))
    mature_s = START_S + 6 * 3_600.0
    step(made, encoded([inference(2, mature_s - 1), inference(3, mature_s - 0.5)]))
    young = counts(made)
    step(made, encoded([inference(4, mature_s + late_s + pane_s + 3.0), inference(5, mature_s + 3 * 3_600.0)]))

    assert 0 == sum(young["correct", ""])
    assert [0, 1, 0, 0] == counts(made)["correct", ""]


@given(st.floats(0.05, 0.95), st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_both_sides_keep_the_same_sample(share: float, seed: int) -> None:
    chance = random.Random(seed)
    ids = [chance.randrange(10**9) for _ in range(200)]
    events = [inference(i, START_S + at, prediction="a") for at, i in enumerate(ids)]
    events += [outcome(i, START_S + 300, label="a") for i in ids]
    found = fed(joining(JoinTerms(mode="on", sample=share)), encoded(events)).picture().join

    assert found.pending == found.outcomes["label", "joined"]
    assert 200 == found.outcomes["label", "joined"] + found.outcomes["label", "not_sampled"]
    assert 0 == found.waiting


def test_segments_are_counted_apart() -> None:
    events = labelled(200)
    found = counts(fed(joining(), encoded(events)))

    parts = [np.array(own) for (field, segment), own in found.items() if field == "correct" and segment]
    assert found["correct", ""] == sum(parts).tolist()  # type: ignore[union-attr]  # arrays


def test_no_more_inferences_wait_than_are_allowed() -> None:
    terms = JoinTerms(mode="on", pending_max=1_000, ttl_s=800.0, absence_s=60.0)
    made = fed(joining(terms), encoded([inference(i, START_S + i / 2) for i in range(3_000)]), lambda: 100)
    found = made.picture().join

    assert found.pending <= 1_000
    assert found.forgotten > 0


def test_mode_auto_remembers_from_the_first_outcome_on() -> None:
    made = joining(JoinTerms(mode="auto"))
    step(made, encoded([inference(1, START_S)]))
    before = made.picture().join
    step(made, encoded([outcome(1, START_S + 1, label="a"), inference(2, START_S + 2)]))
    step(made, encoded([inference(3, START_S + 3)]))

    assert (False, 0) == (before.is_on, before.pending)
    assert (True, 1) == (made.picture().join.is_on, made.picture().join.waiting)
    assert made.picture().join.pending >= 1


def test_mode_off_counts_outcomes_by_kind_alone() -> None:
    made = fed(joining(JoinTerms()), encoded([inference(1, START_S), outcome(1, START_S + 1, label="a")]))

    assert (0, 1) == (made.picture().join.pending, made.picture().counted["events", "label"])


def test_evaluators_beyond_the_limit_say_nothing() -> None:
    events = [inference(1, START_S)]
    events += [outcome(1, START_S + 1, "evaluation", evaluator=f"e{i}", value=True) for i in range(250)]
    found = joined(*events)

    assert ([200], [50]) == (found["evaluation:joined"], found["evaluation:useless"])


@pytest.mark.parametrize(
    ("value", "field"), [(True, "evaluation.x"), ("fail", "evaluation.x"), (0.7, "evaluation.x.score")]
)
def test_evaluation_is_yes_no_or_a_number(value: object, field: str) -> None:
    found = joined(inference(1, START_S), outcome(1, START_S + 1, "evaluation", evaluator="x", value=value))

    assert [1] == found["evaluation:joined"]
    assert field in found


def test_severity_weighs_errors_and_names_critical_modes() -> None:
    told = outcome(1, START_S + 1, label="b", severity="critical", failure_mode="wrong_amount")
    found = joined(inference(1, START_S, prediction="a"), told)

    assert (1, 1, 1) == tuple(sum(found[n]) for n in ("severity_error", "failure_mode", "critical_failure_mode"))


def test_success_is_told_once_and_with_its_cost() -> None:
    events = [
        inference(1, START_S, prediction="a", cost_usd=0.5, tokens_in=10, tokens_out=5),
        outcome(1, START_S + 1, label="a"),
        outcome(1, START_S + 2, "evaluation", evaluator="task_success", value=False),
    ]
    found = joined(*events)

    assert (1, 0) == yes_no(found, "success")
    assert (1, 1) == (sum(found["success_cost_usd"]), sum(found["success_tokens"]))
