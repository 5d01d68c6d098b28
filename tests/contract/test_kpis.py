"""What every KPI promises; a new line in the registry is under test when it is written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bins import ARENA_OF, NOT_FINITE, NULL, VALUES_WIDTH, WIDTHS
from monitor.domain import Kind
from monitor.fields import FEATURE_PREFIX, FIELDS
from monitor.kpis import KPIS, KPIS_ACROSS, KPIS_AGAINST, RATES, kpi_named
from monitor.kpis.base import UNIT_GRID, Cell, Estimate, Kpi, KpiAcross, KpiAgainst, StreamCounts
from tests.unit.kpis.cells import added, binary, flags, flags_from, logs, names, numbers, regression

ALPHA = 0.05
ONE = pytest.mark.parametrize("kpi", KPIS.values(), ids=KPIS)
ACROSS = pytest.mark.parametrize("kpi", KPIS_ACROSS.values(), ids=KPIS_ACROSS)
AGAINST = pytest.mark.parametrize("kpi", KPIS_AGAINST.values(), ids=KPIS_AGAINST)
EVERY: Mapping[str, Kpi | KpiAcross | KpiAgainst] = {**KPIS, **KPIS_ACROSS, **KPIS_AGAINST}
ALL = pytest.mark.parametrize("kpi", EVERY.values(), ids=EVERY)
CASES = ("all there is", "one row", "one class", "all wrong", "all right", "the same score", "zeros")


def rows_of(case: str, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Give scores and labels of that case."""
    random = np.random.default_rng(seed)
    scores = random.uniform(size=200)
    labels = random.uniform(size=200) < scores
    return {
        "all there is": (scores, labels),
        "one row": (scores[:1], labels[:1]),
        "one class": (scores, np.ones(200, dtype=bool)),
        "all wrong": (scores, scores < 0.5),
        "all right": (scores, scores >= 0.5),
        "the same score": (np.full(200, 0.7), labels),
        "zeros": (np.zeros(200), np.zeros(200, dtype=bool)),
    }[case]


CATEGORIES = {
    "confusion": ["yes > yes", "yes > no", "no > yes", "no > no"],
    "failure_mode": ["slow", "wrong", "rude"],
    "critical_failure_mode": ["wrong"],
    "route": ["fast", "slow"],
    "features.cache_hit": ["false", "true"],
    "features.retried": ["false", "true"],
}


def cell_of(scores: np.ndarray, labels: np.ndarray) -> Cell:
    """Give a cell that holds every stream that any KPI reads; the rest are made of scores and labels as well."""
    cell: dict[str, StreamCounts] = dict(binary(scores, labels)) | dict(regression(10 * scores, 10.0 * labels))
    for kpi in KPIS.values():
        for field in kpi.fields:
            if field in CATEGORIES:
                chosen = (scores * len(CATEGORIES[field])).astype(int).clip(max=len(CATEGORIES[field]) - 1)
                cell.setdefault(field, names([CATEGORIES[field][i] for i in chosen], CATEGORIES[field]))
            elif field.startswith("evaluation."):
                cell.setdefault(field, numbers(scores) if field.endswith("_s") else flags_from(labels))
            elif field.endswith(("_s", "_usd", "_error")) or "tokens" in field:
                cell.setdefault(field, logs(10 * scores))
            elif field == "events":
                cell[field] = StreamCounts(Kind.VOLUME, np.array([len(scores), 0, 0, 0]))
            elif field == "features.*":
                cell |= {"features.age": numbers(2 * scores), "features.place": names(["a"] * len(scores), ["a"])}
            else:
                cell.setdefault(field, flags_from(labels))
    return cell


@cache
def cell_in(case: str, seed: int = 3) -> Cell:
    return cell_of(*rows_of(case, seed))


def cells_of(case: str) -> Mapping[str, Cell]:
    return {f"group={seed}": cell_in(case, seed) for seed in (1, 2, 3)}


def answer(kpi: Kpi | KpiAcross | KpiAgainst, case: str, alpha: float = ALPHA) -> Estimate:
    if kpi.name in KPIS_ACROSS:
        return KPIS_ACROSS[kpi.name].estimate_across(cells_of(case), alpha)
    if kpi.name in KPIS_AGAINST:
        return KPIS_AGAINST[kpi.name].estimate_against(cell_in("all there is", 1), cell_in(case), alpha)
    return KPIS[kpi.name].estimate(cell_in(case), alpha)


def assert_sound(estimate: Estimate) -> None:
    value, low, high, samples = estimate
    if math.isnan(value):
        assert samples == 0
        assert math.isnan(low)
        assert math.isnan(high)
    else:
        assert samples > 0
        assert low <= value <= high


@ALL
def test_words_are_there(kpi: Kpi | KpiAcross | KpiAgainst) -> None:
    assert kpi.fields
    assert kpi.unit in {"ratio", "count", "nats", "usd", "tokens", "s", "label", "weight"}
    assert kpi.is_higher_better in {True, False, None}
    assert len(EVERY) == len(KPIS) + len(KPIS_ACROSS) + len(KPIS_AGAINST)


@ALL
def test_docstring_says_how_sure_it_is(kpi: Kpi | KpiAcross | KpiAgainst) -> None:
    text = type(kpi).__doc__ or ""

    assert "uarantee" in text or "interval as" in text or "bound without chance" in text


@ALL
@pytest.mark.parametrize("case", CASES)
def test_value_lies_within_its_interval(kpi: Kpi | KpiAcross | KpiAgainst, case: str) -> None:
    assert_sound(answer(kpi, case))


@ALL
def test_every_kpi_is_known_where_all_is_there(kpi: Kpi | KpiAcross | KpiAgainst) -> None:
    assert answer(kpi, "all there is").samples > 0


@ALL
def test_a_smaller_chance_of_missing_is_a_wider_interval(kpi: Kpi | KpiAcross | KpiAgainst) -> None:
    sure, unsure = answer(kpi, "all there is", 0.001), answer(kpi, "all there is", 0.2)

    assert sure.value == unsure.value
    assert sure.low <= unsure.low
    assert sure.high >= unsure.high


@ONE
def test_nothing_counted_is_unknown(kpi: Kpi) -> None:
    full = cell_in("all there is")
    empty = {
        field: StreamCounts(s.kind, np.zeros_like(s.counts), s.grid, s.exponent, s.categories)
        for field, s in full.items()
        if s.kind is not Kind.VOLUME
    }

    assert 0 == kpi.estimate({}, ALPHA).samples
    assert math.isnan(kpi.estimate({}, ALPHA).value)
    assert math.isnan(kpi.estimate(empty, ALPHA).value)


@ACROSS
def test_fewer_than_two_groups_are_unknown(kpi: KpiAcross) -> None:
    cell = cell_in("all there is")

    assert math.isnan(kpi.estimate_across({}, ALPHA).value)
    assert math.isnan(kpi.estimate_across({"a": cell}, ALPHA).value)
    assert math.isnan(kpi.estimate_across({"a": cell, "b": {}}, ALPHA).value)


@AGAINST
def test_without_reference_or_counts_there_is_nothing_to_compare(kpi: KpiAgainst) -> None:
    cell = cell_in("all there is")

    assert math.isnan(kpi.estimate_against({}, cell, ALPHA).value)
    assert math.isnan(kpi.estimate_against(cell, {}, ALPHA).value)


@ONE
@pytest.mark.parametrize("kind", Kind)
def test_streams_of_another_kind_are_no_crash(kpi: Kpi, kind: Kind) -> None:
    counts = np.ones(WIDTHS[ARENA_OF[kind]], dtype=np.int64)
    grid = UNIT_GRID if kind is Kind.NUMERIC else None
    fields = [field.replace("*", "x") for field in kpi.fields]

    assert_sound(kpi.estimate({field: StreamCounts(kind, counts, grid) for field in fields}, ALPHA))


@pytest.mark.parametrize("kpi", [kpi for name, kpi in KPIS.items() if name != "logging_completeness"])
def test_nulls_and_invalid_values_change_nothing(kpi: Kpi) -> None:
    cell = dict(cell_in("all there is"))
    before = kpi.estimate(cell, ALPHA)
    for field, stream in cell.items():
        if len(stream.counts) == VALUES_WIDTH:
            counts = stream.counts.copy()
            counts[[NULL, NOT_FINITE]] += 100
            cell[field] = StreamCounts(stream.kind, counts, stream.grid, stream.exponent, stream.categories)

    assert before == kpi.estimate(cell, ALPHA)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=60),
    st.integers(0, 60),
)
def test_counts_of_parts_added_are_the_kpi_of_all(rows: list[tuple[float, bool]], cut: int) -> None:
    scores, labels = np.array([s for s, _ in rows]), np.array([y for _, y in rows])
    whole = cell_of(scores, labels)
    parts = added(cell_of(scores[:cut], labels[:cut]), cell_of(scores[cut:], labels[cut:]))

    for kpi in KPIS.values():
        assert_same(kpi.estimate(whole, ALPHA), kpi.estimate(parts, ALPHA))


def assert_same(first: Estimate, second: Estimate) -> None:
    assert np.array_equal(np.array(first), np.array(second), equal_nan=True)


def test_an_evaluation_of_any_name_is_a_kpi() -> None:
    kpi = kpi_named("evaluation.tone")
    assert kpi is not None

    assert 0.75 == kpi.estimate({"evaluation.tone": flags(3, 1)}, ALPHA).value
    assert kpi.estimate({"evaluation.tone": numbers([0.2, 0.4])}, ALPHA).value == pytest.approx(0.3, abs=0.01)
    assert KPIS["trust"] is kpi_named("trust")
    assert None is kpi_named("evaluation.")
    assert None is kpi_named("tone")


# ---- docs/kpis.md

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "kpis.md").read_text(encoding="utf-8")


def rows_of_page() -> Mapping[str, list[str]]:
    """Give the cells of each row of a table, by each KPI that its first cell names."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| `")]
    return {name: row for row in rows for name in re.findall(r"`([^`]+)`", row[0])}


def test_the_page_has_all_kpis_and_no_other() -> None:
    assert {*EVERY, *RATES} == rows_of_page().keys()


@ALL
def test_the_page_tells_unit_and_fields_and_whether_outcomes_are_needed(kpi: Kpi | KpiAcross | KpiAgainst) -> None:
    _, unit, _, _, fields, join = rows_of_page()[kpi.name]
    of_inferences = {*FIELDS, "events", "blocked", "bypassed", "delivered_unsafe"}
    is_stream = all(field in of_inferences or field.startswith(FEATURE_PREFIX) for field in kpi.fields)

    assert kpi.unit == unit
    assert sorted(kpi.fields) == sorted(re.findall(r"`([^`]+)`", fields))
    assert ("no" if is_stream else "yes") == join


def test_the_example_of_the_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,), (printed,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "text"))

    exec(code, {})

    assert printed == capsys.readouterr().out
