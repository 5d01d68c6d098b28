"""Two versions' counts over the same time, from totals; and totals as a JSON document, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from monitor.bins import ARENA_OF, WIDTHS
from monitor.domain import Kind
from monitor.errors import DriftdError
from monitor.gate.arms import Cells
from monitor.kpis.base import StreamCounts
from monitor.versions import ModelTotals, StreamTotal, VersionTotals

FORMAT: Final = "driftd-counts"
VERSION: Final = 1
PREVIOUS, NEWEST = "previous", "newest"
"""What stands for the version before the candidate, and for the one seen last."""


class Pair(NamedTuple):
    """Two versions, by name, and what each has counted since since_s (event time)."""

    incumbent: str
    candidate: str
    since_s: float
    cells_incumbent: Cells
    cells_candidate: Cells


def pair_of(model: ModelTotals, incumbent: str = PREVIOUS, candidate: str = NEWEST) -> Pair:
    """Give two versions of a model. Raises DriftdError that names those there are."""
    names = [version.model_version for version in model.versions]
    candidate = names[-1] if candidate == NEWEST else candidate
    if candidate in names and incumbent == PREVIOUS:
        before = names[: names.index(candidate)]
        incumbent = before[-1] if before else PREVIOUS
    missing = [name for name in (incumbent, candidate) if name not in names]
    if missing or incumbent == candidate:
        why = f"version {missing[0]!r} is not compared" if missing else "incumbent and candidate are the same version"
        raise DriftdError(f"model {model.model!r}: {why}; versions, oldest first: {', '.join(map(repr, names))}")
    at = max(names.index(incumbent), names.index(candidate))
    newer = model.versions[at]
    cells = {
        version.model_version: totals_cells(version.streams, newer.before.get(version.model_version, ()))
        for version in model.versions
        if version.model_version in {incumbent, candidate}
    }
    return Pair(incumbent, candidate, newer.since_s, cells[incumbent], cells[candidate])


def model_of(models: Sequence[ModelTotals], name: str) -> ModelTotals:
    """Give the totals of a model. Raises DriftdError that names those there are."""
    for each in models:
        if each.model == name:
            return each
    known = ", ".join(repr(each.model) for each in models) or "none"
    raise DriftdError(
        f"model {name!r} has no two versions whose counts can be compared; models that have: {known}."
        " Counts are kept from the moment a second version is seen"
    )


def totals_cells(streams: Sequence[StreamTotal], before: Sequence[StreamTotal] = ()) -> Cells:
    """Give totals by segment and field, less what was there before."""
    earlier = {(total.field, total.segment): total.counts for total in before}
    cells: dict[str, dict[str, StreamCounts]] = {"": {}}
    for total in streams:
        counts = total.counts - earlier.get((total.field, total.segment), 0)
        stream = StreamCounts(Kind(total.kind), np.asarray(counts, dtype=np.int64), exponent=total.exponent)
        cells.setdefault(total.segment, {})[total.field] = stream
    return cells


# ---- as JSON


def counts_dict(models: Sequence[ModelTotals], watermark_s: float | None) -> dict[str, Any]:
    """Give totals as JSON values: bins that are not zero, and their counts."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "watermark": watermark_s,
        "models": [
            {
                "model": model.model,
                "versions": [
                    {
                        "model_version": version.model_version,
                        "since": version.since_s,
                        "streams": [_stream_dict(total) for total in version.streams],
                        "before": {name: [_stream_dict(t) for t in totals] for name, totals in version.before.items()},
                    }
                    for version in model.versions
                ],
            }
            for model in models
        ],
    }


def _stream_dict(total: StreamTotal) -> dict[str, Any]:
    bins = np.flatnonzero(total.counts)
    return {
        "field": total.field,
        "segment": total.segment,
        "kind": total.kind,
        "exponent": total.exponent,
        "bins": bins.tolist(),
        "counts": total.counts[bins].tolist(),
    }


def totals_of(document: object, where: str) -> list[ModelTotals]:
    """Read what `counts_dict` gave. Raises DriftdError that says what is wrong with it."""
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise DriftdError(f"{where}: no counts of driftd; make them with `driftd replay --counts-out`")
    if document.get("version") != VERSION:
        raise DriftdError(f"{where}: has version {document.get('version')!r}, this driftd reads {VERSION}")
    try:
        return [
            ModelTotals(str(model["model"]), tuple(_version_of(version) for version in model["versions"]))
            for model in document["models"]
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DriftdError(f"{where}: damaged: {type(error).__name__} {error}") from None


def _version_of(found: Mapping[str, Any]) -> VersionTotals:
    before = {str(name): tuple(map(_stream_of, totals)) for name, totals in found["before"].items()}
    streams = tuple(map(_stream_of, found["streams"]))
    return VersionTotals(str(found["model_version"]), float(found["since"]), streams, before)


def _stream_of(found: Mapping[str, Any]) -> StreamTotal:
    kind = Kind(found["kind"])
    counts = np.zeros(WIDTHS[ARENA_OF[kind]], dtype=np.int64)
    bins, values = (np.array(found[name], dtype=np.int64) for name in ("bins", "counts"))
    if bins.shape != values.shape or (bins < 0).any() or (values < 0).any():
        raise ValueError(f"bins and counts of {found['field']}")
    counts[bins] = values
    return StreamTotal(str(found["field"]), str(found["segment"]), str(kind), int(found["exponent"]), counts)
