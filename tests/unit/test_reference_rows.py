"""Parts of references on their rows: many at once come to the same as one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitor.bins import NULL, VALUE_BINS, VALUES_WIDTH, Arena
from monitor.categories import Categories
from monitor.domain import Kind, StreamKey
from monitor.reference_rows import Normals, set_references
from monitor.references import GROUPS, UNGROUPED, Grid, StreamReference, categorical_groups, numeric_groups
from monitor.rows import GROUP_BLOCK, ValueRows, group_counts

NAMES = ("a", "b", "c")


def numeric(rng: np.random.Generator, name: str) -> StreamReference:
    counts = np.bincount(rng.integers(0, VALUE_BINS, 500), minlength=VALUES_WIDTH).astype(np.uint32)
    grid = Grid(rng.normal(), 1.0 + rng.random(), -0.5, 0.01)
    return StreamReference(name, "", Kind.NUMERIC, counts, numeric_groups(counts), grid)


def categorical(name: str) -> StreamReference:
    counts = np.zeros(VALUES_WIDTH, dtype=np.uint32)
    counts[:3], counts[NULL] = (60, 30, 10), 7
    return StreamReference(name, "", Kind.CATEGORICAL, counts, categorical_groups(counts, 3), categories=NAMES)


def rows_of(streams: list[StreamReference]) -> ValueRows:
    rows = ValueRows()
    for stream in streams:
        row = rows.add(StreamKey("m", "1", stream.field, ""), stream.kind, 0)
        if stream.kind is Kind.CATEGORICAL:
            rows.categories[row] = Categories()
    return rows


def held(rows: ValueRows) -> dict[str, Any]:
    names = ("reference", "is_learning", "exponents", "grid", "has_grid", "groups", "groups_used")
    return {name: getattr(rows, name)[: len(rows)].tolist() for name in names}


def test_many_at_once_are_set_as_one_after_the_other() -> None:
    rng = np.random.default_rng(1)
    streams = [categorical(f"f{at}") if at % 7 == 3 else numeric(rng, f"f{at}") for at in range(40)]
    together, apart = rows_of(streams), rows_of(streams)
    normals: tuple[Normals, Normals] = {}, {}

    set_references(together, range(40), streams, normals[0])
    for row, stream in enumerate(streams):
        set_references(apart, [row], [stream], normals[1])

    assert held(together) == held(apart)
    assert list(normals[0]) == list(normals[1])
    for place, normal in normals[0].items():
        assert normal.classes.tolist() == normals[1][place].classes.tolist()
    assert streams[5].counts.tolist() == together.reference[5].tolist()
    assert {UNGROUPED} == set(together.groups[5, VALUE_BINS:].tolist())


def test_categories_that_came_in_another_order_keep_their_bins() -> None:
    rows, normals = rows_of([categorical("f")]), Normals()
    for name in ("c", "a", "b"):
        assert rows.categories[0][name] >= 0

    set_references(rows, [0], [categorical("f")], normals)

    assert [10, 60, 30] == rows.reference[0, :3].tolist()
    classes = normals[Arena.VALUES, 0].classes
    set_references(other := rows_of([categorical("f")]), [0], [categorical("f")], normals)
    assert [classes[1], classes[2], classes[0]] == normals[Arena.VALUES, 0].classes[:3].tolist()
    assert [60, 30, 10] == other.reference[0, :3].tolist()


@pytest.mark.parametrize("rows", [0, 1, GROUP_BLOCK, 2 * GROUP_BLOCK + 3])
def test_groups_are_summed_the_same_in_any_number_of_blocks(rows: int) -> None:
    rng = np.random.default_rng(rows)
    counts = rng.integers(0, 2**32, (rows, VALUES_WIDTH)).astype(np.uint32)
    groups = rng.integers(0, GROUPS + 1, (rows, VALUES_WIDTH)).astype(np.int8)

    summed = group_counts(counts, groups)

    expected = np.stack([np.where(groups == g, counts, 0).sum(axis=1, dtype=np.uint64) for g in range(GROUPS)], axis=1)
    assert expected.tolist() == summed.astype(np.uint64).tolist()
