"""Rows of CSV and Parquet files as canonical events, so that they take the same path as everything else.

So do the rows of a table in JSON, `{"columns": [...], "data": [[...], ...]}`, as pandas (orient "split"), MLflow and
W&B write it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from monitor.decode.canonical import WIRE_NAMES
from monitor.errors import SourceError

BOOLS: Final = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}
NULLS: Final = frozenset({"", "NA", "N/A", "NULL", "null", "None"})
"""Texts of a CSV cell that mean that there is no value."""
PARQUET: Final = (".parquet", ".pq")
TABLE_BYTES_MAX: Final = 256 << 20
"""A JSON table is read whole; larger ones belong in Parquet."""


@dataclass(frozen=True, slots=True)
class RowTerms:
    """What rows lack.

    model, version: for rows without those columns. every_s: spacing of rows without a time, from the epoch's first day.
    renamed: the name of an event's field by the name of the column that holds it.
    """

    model: str | None = None
    version: str = ""
    time_column: str = "event_time"
    every_s: float | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)


def read_rows(path: Path, terms: RowTerms) -> Iterator[bytes]:
    """Give one canonical event per row. Columns named as fields of an event are those; every other one is a feature.

    Raises SourceError if the file can't be read, a needed column is missing, or Parquet support is not installed.
    """
    rows = _renamed(_rows(path), terms.renamed)
    first = next(rows, None)
    if first is None:
        raise SourceError(f"{path}: no rows")
    if terms.model is None and "model" not in first:
        raise SourceError(f"{path}: no column `model`; say which model these rows are of with --model")
    if terms.every_s is None and terms.time_column not in first:
        known = ", ".join(list(first)[:20])
        raise SourceError(
            f"{path}: no column `{terms.time_column}`; name the one with --time-column, or space the rows evenly with"
            f" --every 30m (columns: {known})"
        )
    for number, row in enumerate(_chain(first, rows)):
        yield msgspec.json.encode(_event(row, number, terms))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix in PARQUET:
        return _parquet(path)
    return _table(path) if path.suffix == ".json" else _csv(path)


def _renamed(rows: Iterator[dict[str, Any]], names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    return ({names.get(name, name): value for name, value in row.items()} for row in rows) if names else rows


def columns_of(path: Path) -> list[str]:
    """Give the names of a table's columns, none where it has no rows. Raises as `read_rows` does."""
    return list(next(_rows(path), {}))


def _chain(first: Mapping[str, Any], rest: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield first
    yield from rest


def _event(row: Mapping[str, Any], number: int, terms: RowTerms) -> dict[str, Any]:
    event: dict[str, Any] = {"model": terms.model, "model_version": terms.version}
    features: dict[str, Any] = {}
    for name, value in row.items():
        if name == terms.time_column:
            event["event_time"] = value
        elif name in WIRE_NAMES and name not in ("features", "segment"):
            event[name] = value if name not in ("model", "model_version") else str(value)
        else:
            features[name] = value
    if "event_time" not in event and terms.every_s is not None:
        event["event_time"] = 86_400.0 + number * terms.every_s
    event["features"] = features
    return event


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                if None in row:
                    raise SourceError(f"{path}: a row has more cells than the header has names")
                yield {name: _cell(text) for name, text in row.items()}
    except OSError as error:
        raise SourceError(f"{path}: can't be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: not a CSV file in UTF-8: {error}") from None


def _cell(text: str | None) -> object:
    """Give a cell's value: null, yes/no, a number, else the text."""
    if text is None or text in NULLS:
        return None
    if text in BOOLS:
        return BOOLS[text]
    try:
        return float(text)
    except ValueError:
        return text


def _table(path: Path) -> Iterator[dict[str, Any]]:
    try:
        if path.stat().st_size > TABLE_BYTES_MAX:
            raise SourceError(f"{path}: a JSON table of more than {TABLE_BYTES_MAX >> 20} MiB; log it as Parquet")
        found = json.loads(path.read_bytes())
        names, data = [str(name) for name in found["columns"]], found["data"]
        for row in data:
            yield dict(zip(names, row, strict=True))
    except OSError as error:
        raise SourceError(f"{path}: can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceError(f"{path}: not a table of columns and data ({type(error).__name__}: {error})") from None


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise SourceError(f"{path}: reading Parquet needs an extra: pip install 'driftd[parquet]'") from None
    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=5_000):
            for row in batch.to_pylist():
                yield {name: _plain(value) for name, value in row.items()}
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: not a Parquet file that can be read: {error}") from None


def _plain(value: object) -> object:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return value if isinstance(value, (str, int, float, bool, list, dict)) or value is None else str(value)


def batched(rows: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Give rows in lists of at most `size`."""
    while batch := list(islice(rows, size)):
        yield batch
