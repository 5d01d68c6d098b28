"""What an outcome says of an inference: the fields that are counted of the two together.

Every field is an ordinary stream (see monitor.fields.OUTCOME_FIELDS): what is yes, no or not at all, a number, or a
name. So each KPI is a function of counts, with its denominator in the same stream.
"""

from __future__ import annotations

import math
from typing import Any, Final

from monitor.fields import SCORE_SUFFIX
from monitor.join.records import Inference, Outcome
from monitor.join.terms import NEGATIVE, POSITIVE, Task

CLIP: Final = 1e-15
"""The least probability that the log loss takes a score for, so that one certain error is no infinity."""
YES: Final = frozenset({*POSITIVE, "up", "thumbs_up", "good", "pass", "passed", "accepted"})
NO: Final = frozenset({*NEGATIVE, "down", "thumbs_down", "bad", "fail", "failed", "rejected"})
"""Texts that are yes or no."""
NUMBERS: Final = (float, int)
CLASSIFICATION, REGRESSION = "classification", "regression"

Fields = dict[str, Any]


def text_of(value: object) -> str:
    """Give a class's name as text, the same for 1, 1.0 and "1"."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float and value.is_integer():
        return str(int(value))
    return str(value)


def kind_of_task(prediction: object, label: object) -> str:
    """Tell classification from regression by a first pair: numbers other than 0 and 1 are no classes."""
    pair = [value for value in (prediction, label) if value is not None]
    is_number = all(type(value) in NUMBERS for value in pair)
    return REGRESSION if is_number and any(value not in (0, 1) for value in pair) else CLASSIFICATION


def is_same(prediction: object, label: object) -> bool:
    """Tell whether two classes are the same: numbers and truth values by value, all else by name."""
    if isinstance(prediction, (float, int)) and isinstance(label, (float, int)):
        return float(prediction) == float(label)
    return text_of(prediction) == text_of(label)


def yes_or_no(value: object) -> bool | None:
    """Give what a value says, None where it is neither yes nor no."""
    if type(value) is bool:
        return value
    if type(value) in NUMBERS:
        return {0: False, 1: True}.get(value)  # type: ignore[call-overload, no-any-return]  # a number
    name = value.lower() if isinstance(value, str) else ""
    return True if name in YES else False if name in NO else None


def finite(value: object) -> float | None:
    """Give a finite number, else None."""
    if type(value) not in NUMBERS:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # a number
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def label_fields(asked: Inference, told: Outcome, task: Task, kind: str) -> Fields | None:
    """Give what a label says; None where it is of no use: no label, or of another type than the task has."""
    label = told.label
    if label is None or type(label) not in (str, bool, int, float):
        return None
    if kind == REGRESSION:
        return _regression(asked, label)
    out: Fields = {"label": text_of(label)}
    score = finite(asked.score)
    positive = task.positive or POSITIVE
    is_positive = text_of(label).lower() in positive
    is_binary = bool(task.positive) or is_positive or text_of(label).lower() in NEGATIVE
    predicted = asked.prediction
    if predicted is None and score is not None and is_binary:
        predicted = score >= task.threshold
        says_positive = bool(predicted)
        is_right = says_positive == is_positive
    elif predicted is None:
        return out
    else:
        says_positive = text_of(predicted).lower() in positive
        is_right = says_positive == is_positive if is_binary and task.positive else is_same(predicted, label)
    if task.abstentions and text_of(predicted) in task.abstentions:
        return out
    out |= {"correct": is_right, "confusion": f"{text_of(predicted)} > {text_of(label)}"}
    out["severity_error"] = 0.0 if is_right else task.severities.get(told.severity, 1.0)
    if is_binary:
        out |= {"precision": is_positive} if says_positive else {}
        out |= {"recall": says_positive} if is_positive else {"specificity": not says_positive}
    if score is not None and 0.0 <= score <= 1.0:
        out |= _scores(score, is_right=is_right, is_positive=is_positive if is_binary else None)
        confidence = max(score, 1.0 - score) if is_binary else score
        if task.abstain_below is not None and confidence < task.abstain_below:
            out["abstention"] = not is_right
    return out


def _scores(score: float, *, is_right: bool, is_positive: bool | None) -> Fields:
    """Give what a probability is worth: of the positive class, or (None) of being right."""
    out: Fields = {"score_right" if is_right else "score_wrong": score}
    came = is_right if is_positive is None else is_positive
    if is_positive is not None:
        out["score_positive" if is_positive else "score_negative"] = score
    given = score if came else 1.0 - score
    return out | {"brier": (1.0 - given) ** 2, "log_loss": -math.log(min(max(given, CLIP), 1.0))}


def _regression(asked: Inference, label: object) -> Fields | None:
    number, predicted = finite(label), finite(asked.prediction)
    if number is None:
        return None
    if predicted is None:
        return {"label": number}
    error = predicted - number
    return {
        "label": number,
        "abs_error": abs(error),
        "squared_error": error * error,
        "over_error": max(error, 0.0),
        "under_error": max(-error, 0.0),
    }


def judged_fields(told: Outcome) -> Fields | None:
    """Give what feedback or an evaluation says; None where it says nothing."""
    name = f"{told.kind}.{told.evaluator}" if told.evaluator else told.kind
    value = told.value if told.value is not None else told.label
    said = yes_or_no(value)
    if said is not None:
        return {name: said}
    number = finite(value)
    return None if number is None else {name + SCORE_SUFFIX: number}


def success_of(fields: Fields, task: Task) -> bool | None:
    """Give whether the task succeeded, None where these fields do not say."""
    if task.success == "auto":
        found = fields.get("correct", fields.get("evaluation.task_success"))
    else:
        found = fields.get(task.success)
    return found if type(found) is bool else None
