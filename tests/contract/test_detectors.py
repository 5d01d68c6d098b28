"""What every detector promises; a new line in DETECTORS is under test when it is written."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import numpy as np
import pytest

from monitor import bins
from monitor.bins import ARENA_OF, WIDTHS, Arena
from monitor.detectors import DETECTORS
from monitor.detectors.base import Detector, Measure, View
from monitor.domain import Kind
from tests.unit.detectors.views import busy_view

ROWS = 40
CASES = pytest.mark.parametrize(
    ("detector", "kind"),
    [
        pytest.param(detector, kind, id=f"{name}-{kind}")
        for name, detector in DETECTORS.items()
        for kind in sorted(detector.kinds)
    ],
)
NAMED = pytest.mark.parametrize("name", DETECTORS)


def thresholds_of(view: View) -> np.ndarray:
    return np.resize([0.0, 0.01, 0.2, 3.0, np.nan], len(view.counts))


def rows_of(view: View, rows: np.ndarray) -> View:
    """Give the view of some rows only."""
    arrays = {field.name: getattr(view, field.name) for field in fields(view)}
    return replace(view, **{name: array[rows] for name, array in arrays.items() if isinstance(array, np.ndarray)})


def answers(detector: Detector, view: View) -> tuple[Measure, np.ndarray, np.ndarray]:
    measure = detector.measure(view)
    return measure, detector.evidence(view, measure, thresholds_of(view)), detector.of_reference(view)


def columns(detector: Detector, view: View) -> list[np.ndarray]:
    measure, nats, reference = answers(detector, view)
    return [measure.value, measure.samples, measure.low, measure.high, nats, reference]


@NAMED
def test_name_is_the_key(name: str) -> None:
    assert name == DETECTORS[name].name


@NAMED
def test_kinds_are_known_and_some(name: str) -> None:
    assert DETECTORS[name].kinds
    assert DETECTORS[name].kinds <= frozenset(Kind)
    assert isinstance(DETECTORS[name].needs_reference, bool)


@NAMED
def test_docstring_says_source_or_guarantee_and_cost(name: str) -> None:
    text = type(DETECTORS[name]).__doc__ or ""

    assert "Guarantee" in text
    assert "Cost" in text


@CASES
@pytest.mark.parametrize("rows", [0, 1, ROWS])
def test_answers_have_one_number_per_row(detector: Detector, kind: Kind, rows: int) -> None:
    for column in columns(detector, busy_view(kind, rows)):
        assert column.shape == (rows,)
        assert column.dtype == np.float64


@CASES
def test_numbers_are_finite_or_nan_and_evidence_is_finite(detector: Detector, kind: Kind) -> None:
    measure, nats, reference = answers(detector, busy_view(kind, ROWS))

    for column in (measure.value, measure.low, measure.high, reference):
        assert not np.isinf(column).any()
    assert np.isfinite(measure.samples).all()
    assert np.isfinite(nats).all()


@CASES
def test_undefined_is_nan_with_zero_samples_and_no_evidence(detector: Detector, kind: Kind) -> None:
    view = busy_view(kind, ROWS)
    measure, nats, _ = answers(detector, view)
    undefined = np.isnan(measure.value)

    assert undefined.tolist() == (measure.samples == 0.0).tolist()
    assert (nats[undefined] == 0.0).all()
    assert (nats[np.isnan(thresholds_of(view))] == 0.0).all()


@CASES
def test_interval_holds_the_value(detector: Detector, kind: Kind) -> None:
    measure = detector.measure(busy_view(kind, ROWS))
    known = ~np.isnan(measure.value)

    assert known.any()
    assert (measure.low[known] <= measure.value[known]).all()
    assert (measure.value[known] <= measure.high[known]).all()


@CASES
def test_view_is_left_alone(detector: Detector, kind: Kind) -> None:
    view = busy_view(kind, ROWS)
    before = copy.deepcopy(view)
    thresholds = thresholds_of(view)
    measure = detector.measure(view)
    kept = copy.deepcopy(measure)
    detector.evidence(view, measure, thresholds)
    detector.of_reference(view)

    for old, new in ((before, view), (kept, measure)):
        for field in fields(old):
            np.testing.assert_array_equal(getattr(old, field.name), getattr(new, field.name))
    np.testing.assert_array_equal(thresholds_of(view), thresholds)


@CASES
def test_answers_do_not_share_memory_with_the_view(detector: Detector, kind: Kind) -> None:
    view = busy_view(kind, ROWS)
    inputs = [getattr(view, field.name) for field in fields(view) if field.name != "span_s"]

    for column in columns(detector, view):
        assert not any(np.may_share_memory(column, array) for array in inputs)


@CASES
def test_same_view_same_answer_to_the_bit(detector: Detector, kind: Kind) -> None:
    for first, second in zip(
        columns(detector, busy_view(kind, ROWS)), columns(detector, busy_view(kind, ROWS)), strict=True
    ):
        np.testing.assert_array_equal(first, second)


@CASES
@pytest.mark.parametrize("rows", [[3], [0, 5, 7], list(range(ROWS))[::-1]], ids=["alone", "a few", "turned round"])
def test_a_row_never_depends_on_its_neighbours(detector: Detector, kind: Kind, rows: list[int]) -> None:
    """To the bit: a model judged by one replica must get the verdict it would get among a thousand."""
    view = busy_view(kind, ROWS)
    chosen = np.array(rows)
    part = rows_of(view, chosen)
    measure = detector.measure(view)
    measure_of_part = detector.measure(part)
    thresholds = thresholds_of(view)

    for field in fields(measure):
        np.testing.assert_array_equal(getattr(measure, field.name)[chosen], getattr(measure_of_part, field.name))
    np.testing.assert_array_equal(
        detector.evidence(view, measure, thresholds)[chosen],
        detector.evidence(part, measure_of_part, thresholds[chosen]),
    )
    np.testing.assert_array_equal(detector.of_reference(view)[chosen], detector.of_reference(part))


@CASES
def test_no_reference_is_nan_where_one_is_needed(detector: Detector, kind: Kind) -> None:
    view = busy_view(kind, ROWS)
    bare = replace(
        view,
        reference=np.zeros_like(view.reference),
        reference_grouped=np.zeros_like(view.reference_grouped),
        rate_per_s=np.full(ROWS, np.nan),
    )

    assert np.isnan(detector.of_reference(bare)).all()
    assert np.isnan(detector.measure(bare).value).all() == detector.needs_reference


@CASES
def test_empty_counts_give_no_verdict(detector: Detector, kind: Kind) -> None:
    """Except where emptiness is what is judged."""
    if kind is Kind.VOLUME:
        return
    view = busy_view(kind, ROWS)
    empty = replace(view, counts=np.zeros_like(view.counts), grouped=np.zeros_like(view.grouped))
    measure, nats, _ = answers(detector, empty)

    assert (measure.samples == 0.0).all()
    assert (nats == 0.0).all()


@CASES
def test_full_counters_do_not_overflow(detector: Detector, kind: Kind) -> None:
    width = WIDTHS[ARENA_OF[kind]]
    full = np.full((2, width), np.iinfo(np.uint32).max, dtype=np.uint32)
    groups = np.full((2, 6), float(np.iinfo(np.uint32).max))
    view = replace(
        busy_view(kind, 2),
        counts=full,
        reference=full,
        grouped=groups,
        reference_grouped=groups,
        groups_used=np.full(2, 6),
    )
    measure, nats, _ = answers(detector, view)

    assert np.isfinite(nats).all()
    if kind is Kind.LOG and detector.name.startswith("p"):
        assert measure.samples[0] == (bins.VALUE_SPANS[Arena.LOGS]) * float(np.iinfo(np.uint32).max)
