"""How an event is taken apart, and how a feature's kind is told."""

from __future__ import annotations

import pytest

from monitor.bins import ARENA_OF, Arena
from monitor.domain import Kind
from monitor.fields import (
    ERROR_EXPONENTS,
    EXPONENTS,
    FIELDS,
    LABEL,
    OUTCOME_FIELDS,
    PREDICTION,
    VOLUME,
    Watch,
    kind_of_value,
    known_kinds,
)

KINDS = {
    "a number": (1.5, Kind.NUMERIC),
    "an integer": (3, Kind.NUMERIC),
    "NaN": (float("nan"), Kind.NUMERIC),
    "a string": ("a", Kind.CATEGORICAL),
    "digits in a string": ("5", Kind.CATEGORICAL),
    "a bool is a category and no number": (True, Kind.CATEGORICAL),
    "null": (None, None),
    "a list": ([1.0], None),
    "an object": ({}, None),
}


@pytest.mark.parametrize(("value", "kind"), KINDS.values(), ids=KINDS.keys())
def test_kind_is_told_from_a_value(value: object, kind: Kind | None) -> None:
    assert kind is kind_of_value(value)


def test_first_glob_that_fits_decides() -> None:
    watch = Watch(kinds=(("user_id", "ignore"), ("*_id", "categorical"), ("*", "numeric")))

    assert ["ignore", "categorical", "numeric"] == [watch.configured(n) for n in ("user_id", "shop_id", "amount")]


def test_kind_is_told_from_values_where_nothing_is_configured() -> None:
    assert Watch(kinds=(("zip", "categorical"),)).configured("amount") is None


def test_every_logarithmic_field_says_where_its_grid_starts() -> None:
    kinds = {**FIELDS, **OUTCOME_FIELDS}

    assert {*EXPONENTS, *ERROR_EXPONENTS} == {name for name, kind in kinds.items() if ARENA_OF[kind] is Arena.LOGS}


def test_prediction_and_volume_are_no_fixed_kinds() -> None:
    assert not {PREDICTION, VOLUME} & set(FIELDS)


@pytest.mark.parametrize(
    ("field", "kinds"),
    [
        ("latency_s", {Kind.LOG}),
        (VOLUME, {Kind.VOLUME}),
        ("correct", {Kind.YES_NO}),
        ("label", {Kind.NUMERIC, Kind.CATEGORICAL}),
        ("features.amount", {Kind.NUMERIC, Kind.CATEGORICAL}),
        ("feedback", {Kind.YES_NO}),
        ("evaluation.refusal_correct", {Kind.YES_NO}),
        ("evaluation.quality.score", {Kind.NUMERIC}),
        ("overriden", set()),
        ("feature.amount", set()),
    ],
)
def test_a_field_has_the_kinds_it_may_ever_have(field: str, kinds: set[Kind]) -> None:
    assert kinds == known_kinds(field)


def test_no_name_is_of_an_event_and_of_an_outcome() -> None:
    assert not set(OUTCOME_FIELDS) & {*FIELDS, PREDICTION, VOLUME, LABEL}
