"""Views: where the groups of numbers begin and end, against the same row by row."""

from __future__ import annotations

import numpy as np

from monitor.bins import VALUE_BINS, VALUES_WIDTH, numeric_edges
from monitor.domain import Kind
from monitor.fields import Watch
from monitor.references import GROUPS, Grid, Reference, StreamReference, categorical_groups, numeric_groups
from monitor.scopes import StreamLimits
from monitor.streams import StreamTable
from monitor.views import Views


def reference(used: int) -> StreamReference:
    """Give a stream whose values lie in so many bins, far apart, so that it has as many groups, or all there are."""
    counts = np.zeros(VALUES_WIDTH, dtype=np.uint32)
    counts[np.linspace(0, VALUE_BINS - 1, used).astype(int)] = 100
    return StreamReference(
        f"features.f{used}", "", Kind.NUMERIC, counts, numeric_groups(counts), Grid(0, 1, -0.5, 0.01)
    )


def test_edges_of_groups_are_those_of_their_first_bins_however_few_there_are() -> None:
    names = StreamReference(
        "features.c",
        "",
        Kind.CATEGORICAL,
        np.zeros(VALUES_WIDTH, dtype=np.uint32),
        categorical_groups(np.ones(59, dtype=np.uint32), 0),
    )
    streams = (*map(reference, (1, 2, 3, 7, 30, 59)), names)
    table = StreamTable(StreamLimits(), lambda *_: Watch(), [Reference("m", "", "test", 0.0, 10.0, 10, streams)])
    table.scopes_of(["m"], [""])
    views = Views(table, ())

    views.refresh(table.subjects[0])

    values = table.values
    assert {1, 2, 3, 7, GROUPS} <= set(values.groups_used[: len(values)].tolist())
    for row in range(len(values)):
        expected = np.full(GROUPS + 1, np.nan)
        if values.has_grid[row]:
            own, used = numeric_edges(*values.grid[row][:, None])[0], int(values.groups_used[row])
            firsts = [int(np.flatnonzero(values.groups[row] == group)[0]) for group in range(used)]
            expected[: used + 1] = [*own[np.maximum(np.array(firsts) - 1, 0)], own[-1]]
        np.testing.assert_array_equal(expected, views._edges[row])
