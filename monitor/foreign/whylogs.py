"""whylogs: a profile, binary as `profile.view().write()` leaves it, or the summary of `view.to_pandas()` as CSV.

Taken from https://docs.whylabs.ai (whylogs: writing and inspecting profiles), from `dataset_profile_view.py` and
`whylogs_messages.proto` of whylabs/whylogs, and from what whylogs 1.6 writes. A binary file: `WHY1`, then a segment
header and a profile header, each behind its length, then a chunk for each column. Of a column are used: the counts of
values, nulls and types, the KLL sketch of its numbers and that of its frequent items, both of Apache DataSketches.

* Names and yes/no are exact as long as the frequent items held them all (some hundred names).
* Numbers are known to within the sketch's rank error (0.3 % at k = 1024); of the CSV only nine quantiles are known, and
  between these nothing: a reference made of it tells coarse changes alone, and says so.
* Values of another type than most of a column's are left out. A file of several segments is refused.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import datasketches
import numpy as np

from monitor.errors import BaselineError
from monitor.foreign.base import Profile, Wishes, head_of, read_bytes
from monitor.foreign.wire import Message, delimited, packed
from monitor.lineage import Lineage
from monitor.shapes import Column, Names, Ranks

MAGIC: Final = b"WHY1"
POINTS: Final = 201
"""Ranks that a KLL sketch is asked for: one for each half percent."""
KLL_INTS: Final = 5
"""Words of four bytes before the items of a KLL sketch with more than one."""
CONFIDENCE_SD: Final = 2.576
"""A sketch's rank error holds in 99 of 100 cases: so many standard errors."""
QUANTILES: Final = {
    "min": 0.0,
    "q_01": 0.01,
    "q_05": 0.05,
    "q_10": 0.1,
    "q_25": 0.25,
    "median": 0.5,
    "q_75": 0.75,
    "q_90": 0.9,
    "q_95": 0.95,
    "q_99": 0.99,
    "max": 1.0,
}
ITEM: Final = re.compile(r"FrequentItem\(value=(?P<quote>['\"])(?P<name>.*?)(?P=quote), est=(?P<count>\d+)")
NUMBERS: Final = ("integral", "fractional")
Components = Mapping[str, Message]
Counts = Mapping[str, int]


class WhylogsFormat:
    """Gives a profile of each column."""

    name = "whylogs"

    def recognises(self, path: Path) -> bool:
        """Tell whether a file begins as a binary profile or as a summary does."""
        head = head_of(path)
        return head.startswith(MAGIC) or (head.startswith(b"column,") and b"cardinality/est" in head)

    def read(self, path: Path, wishes: Wishes) -> Profile:  # noqa: ARG002 - it says all by itself
        """Read it. Raises BaselineError where it is damaged or of several segments."""
        data = read_bytes(path)
        try:
            return _binary(path, data) if data.startswith(MAGIC) else _summary(path, data)
        except (ValueError, KeyError, IndexError, RuntimeError, MemoryError) as error:
            raise BaselineError(
                f"{path}: a damaged whylogs profile ({type(error).__name__}: {error}); write it again with"
                " profile.view().write()"
            ) from None


def _binary(path: Path, data: bytes) -> Profile:
    segments, at = delimited(data, len(MAGIC))
    if Message(segments).number(1):
        raise BaselineError(f"{path}: a profile of several segments; write the one that is meant by itself")
    header, start = delimited(data, at)
    head = Message(header)
    paths = {entry.number(1): entry.raw(2).decode() for entry in head.messages(5)}
    properties = Message(head.raw(1))
    columns: dict[str, Column] = {}
    rows = 0
    for entry in head.messages(2):
        offsets = Message(entry.raw(2))
        found: dict[str, Message] = {}
        for offset in packed(offsets.raw(1)):
            found |= _chunk(data, start + offset, paths)
        counts = {name: component.number(2) for name, component in found.items() if 2 in component}
        rows = max(rows, counts.get("counts/n", 0))
        column = _column(found, counts)
        if column is not None:
            columns[entry.raw(1).decode()] = column
    logged_s = properties.number(5) / 1e3
    return Profile(f"whylogs profile {path.name}", Lineage("whylogs"), columns, rows, logged_s, logged_s)


def _chunk(data: bytes, at: int, paths: Mapping[int, str]) -> Components:
    header, at = delimited(data, at)
    length = Message(header).number(3)
    if at + length > len(data):
        raise ValueError(f"cut short: a column of {length} bytes, {len(data) - at} left")
    return {paths[entry.number(1)]: Message(entry.raw(2)) for entry in Message(data[at : at + length]).messages(1)}


def _column(found: Components, counts: Counts) -> Column | None:
    kind = _kind(counts)
    nulls = counts.get("counts/null", 0)
    if kind == "boolean":
        return _yes_no(counts, nulls)
    if kind == "string" and "frequent_items/frequent_strings" in found:
        sketch = Message(found["frequent_items/frequent_strings"].raw(4)).raw(1)
        items = datasketches.frequent_strings_sketch.deserialize(sketch).get_frequent_items(
            datasketches.frequent_items_error_type.NO_FALSE_POSITIVES
        )
        return _names({name: int(count) for name, count, *_ in items}, counts, nulls)
    if kind == "number" and "distribution/kll" in found:
        sketch = datasketches.kll_doubles_sketch.deserialize(_aligned(Message(found["distribution/kll"].raw(6)).raw(1)))
        if sketch.is_empty():
            return None
        shares = np.linspace(0.0, 1.0, POINTS)
        values = np.array(sketch.get_quantiles(shares), dtype=np.float64)
        error = sketch.normalized_rank_error(as_pmf=False) / CONFIDENCE_SD if sketch.is_estimation_mode() else 0.0
        return Ranks(values, shares, int(sketch.n), nulls, error)
    return None


def _aligned(sketch: bytes) -> bytes:
    """Give a KLL sketch as DataSketches writes it: that of whylogs has four unused bytes more before its items."""
    return bytes([KLL_INTS, *sketch[1:20]]) + sketch[24:] if sketch[:1] == bytes([KLL_INTS + 1]) else sketch


def _kind(counts: Counts) -> str:
    """Give what most values of a column are; "" where there are none."""
    types = {name: counts.get(f"types/{name}", 0) for name in ("boolean", "string")}
    types["number"] = sum(counts.get(f"types/{name}", 0) for name in NUMBERS)
    return max(types, key=lambda name: types[name]) if any(types.values()) else ""


def _yes_no(counts: Counts, nulls: int) -> Names:
    yes = counts.get("counts/true", 0)
    return Names({"true": yes, "false": counts["types/boolean"] - yes}, nulls=nulls)


def _names(items: Mapping[str, int], counts: Counts, nulls: int) -> Names:
    return Names(items, rest=max(0, counts["types/string"] - sum(items.values())), nulls=nulls)


def _summary(path: Path, data: bytes) -> Profile:
    columns: dict[str, Column] = {}
    rows = 0
    table = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
    if "column" not in (table.fieldnames or ()):
        raise ValueError("no column named 'column'")
    for row in table:
        if None in row or None in row.values():
            raise ValueError(f"the row of {row.get('column')!r} has another number of cells than the head")
        counts = {
            name: int(float(text)) for name, text in row.items() if name.startswith(("counts/", "types/")) and text
        }
        rows = max(rows, counts.get("counts/n", 0))
        column = _summarised(row, counts)
        if column is not None:
            columns[row["column"]] = column
    note = "of numbers nine quantiles are known: the binary profile tells a hundred times as much"
    return Profile(f"whylogs summary {path.name}", Lineage("whylogs"), columns, rows, notes=(note,))


def _summarised(row: Mapping[str, str], counts: Counts) -> Column | None:
    kind, nulls = _kind(counts), counts.get("counts/null", 0)
    if kind == "boolean":
        return _yes_no(counts, nulls)
    if kind == "string":
        items = {
            each["name"]: int(each["count"]) for each in ITEM.finditer(row.get("frequent_items/frequent_strings", ""))
        }
        return _names(items, counts, nulls)
    if kind != "number":
        return None
    values = np.array([float(row[f"distribution/{name}"]) for name in QUANTILES])
    shares = np.array(list(QUANTILES.values()))
    if not np.isfinite(values).all() or (np.diff(values) < 0).any():
        raise ValueError(f"the quantiles of {row['column']!r} do not ascend")
    return Ranks(values, shares, int(float(row["distribution/n"])), nulls)
