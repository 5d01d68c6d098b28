"""Evidently: a report as `report.save_json()` leaves it, with a small histogram of each column.

Taken from https://docs.evidentlyai.com (reports: output formats) and from what Evidently 0.4 to 0.6 write, and 0.7 by
its `evidently.legacy`: `{"metrics": [{"metric": ..., "result": ...}]}`. Used are

* `drift_by_columns` of DataDriftTable, and ColumnDriftMetric: of each column `small_distribution`, of numbers ten even
  bins (x: eleven edges, y: densities), of names their counts;
* DatasetMissingValuesMetric, DatasetSummaryMetric, ColumnSummaryMetric: how many rows, and how many nulls.

Densities become counts by the number of rows, and are then exact. Reports of 0.7 itself hold scores and no histograms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor.errors import BaselineError
from monitor.foreign.base import Profile, Wishes, head_of, read_json
from monitor.lineage import Lineage
from monitor.shapes import Bars, Column, Names

SHAPE: Final = "small_distribution"
REFERENCE, CURRENT = "reference", "current"
Result = Mapping[str, Any]


class EvidentlyFormat:
    """Gives a histogram of each column."""

    name = "evidently"

    def recognises(self, path: Path) -> bool:
        """Tell whether a file begins as a report does."""
        head = head_of(path)
        return head.lstrip().startswith(b"{") and b'"metrics"' in head

    def read(self, path: Path, wishes: Wishes) -> Profile:
        """Read what a report compared with, or the data it judged. Raises BaselineError if it has no histograms."""
        found = read_json(path)
        try:
            results = [metric["result"] for metric in found["metrics"] if "result" in metric]
            shapes = dict(_shapes(results))
            if not shapes:
                raise BaselineError(
                    f"{path}: no histograms: reports of Evidently 0.7 and later hold scores alone; save one by"
                    " evidently.legacy.report with DataDriftPreset, or build from the data"
                )
            side = (
                CURRENT if wishes.is_current or not any(REFERENCE in shape for shape in shapes.values()) else REFERENCE
            )
            rows, nulls = _rows(results, side), _nulls(results, side)
            rows = rows or wishes.rows
            if rows is None:
                raise BaselineError(
                    f"{path}: says shares and not how many rows; say it with --rows, or add"
                    " DatasetMissingValuesMetric to the report"
                )
            columns = {
                name: _column(shape[side][SHAPE], rows, nulls.get(name, 0))
                for name, shape in shapes.items()
                if (shape.get(side) or {}).get(SHAPE)
            }
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise BaselineError(
                f"{path}: not a report of Evidently, or a damaged one ({type(error).__name__}: {error}); save it again"
                " with report.save_json()"
            ) from None
        made_s = _made_s(found.get("timestamp"))
        described = f"Evidently report {path.name} ({side} data)"
        return Profile(described, Lineage("evidently"), columns, rows, made_s, made_s)


def _shapes(results: list[Result]) -> Iterator[tuple[str, Result]]:
    for result in results:
        if "drift_by_columns" in result:
            yield from result["drift_by_columns"].items()
        elif "column_name" in result and SHAPE in (result.get(CURRENT) or result.get(REFERENCE) or {}):
            yield result["column_name"], result


def _rows(results: list[Result], side: str) -> int | None:
    told = [_of(result, side).get("number_of_rows") for result in results]
    return next((int(each) for each in told if each is not None), None)


def _nulls(results: list[Result], side: str) -> dict[str, int]:
    nulls: dict[str, int] = {}
    for result in results:
        own = _of(result, side)
        if "missing" in own and "column_name" in result:
            nulls[result["column_name"]] = int(own["missing"])
        nulls |= {name: int(count) for name, count in own.get("number_of_missing_values_by_column", {}).items()}
    return nulls


def _of(result: Result, side: str) -> Result:
    own = result.get(side) or result.get(f"{side}_characteristics")
    return own if isinstance(own, dict) else {}


def _column(shape: Result, rows: int, nulls: int) -> Column:
    x, y = shape["x"], np.array(shape["y"], dtype=np.float64)
    if len(x) == len(y):
        return Names({str(name): int(count) for name, count in zip(x, y.tolist(), strict=True)}, nulls=nulls)
    edges = np.array(x, dtype=np.float64)
    if len(x) != len(y) + 1 or not np.isfinite(edges).all() or not np.isfinite(y).all() or (y < 0).any():
        raise ValueError(f"a histogram of {len(x)} edges and {len(y)} heights")
    if not (np.diff(edges) > 0).all():
        raise ValueError("edges that do not ascend")
    shares = y * np.diff(edges)
    return Bars(edges, np.rint(shares / shares.sum() * (rows - nulls)), nulls)


def _made_s(told: object) -> float:
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
