"""References as they are kept in the state: numbers as they are, which is read faster than the text of their files."""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.bins import ARENA_OF, WIDTHS
from monitor.domain import Kind
from monitor.errors import StateError
from monitor.kept import State
from monitor.lineage import Lineage
from monitor.references import Grid, Reference, StreamReference
from monitor.sequential.normal import Normal

NORMAL: Final = ("classes", "events", "inflation", "profile", "scale")
"""What is kept of what is normal for a stream."""


def reference_state(reference: Reference) -> State:
    """Give a reference as it is kept: numbers as they are, which is read ten times as fast as the file's text."""
    head = {"model": reference.model, "model_version": reference.model_version, "source": reference.source}
    span = {"from_s": reference.from_s, "to_s": reference.to_s, "events": reference.events}
    streams = [_stream_state(stream) for stream in reference.streams]
    own = {"base": reference.base, "lineage": reference.lineage._asdict()}
    return {"identity": reference.identity, **own, **head, **span, "streams": streams}


def reference_of(state: State) -> Reference:
    """Give the reference that was kept. Raises StateError when it can't be one."""
    try:
        return Reference(
            model=state["model"],
            model_version=state["model_version"],
            source=state["source"],
            from_s=float(state["from_s"]),
            to_s=float(state["to_s"]),
            events=int(state["events"]),
            streams=tuple(map(_stream_of, state["streams"])),
            base=state.get("base", ""),
            lineage=Lineage.of(state.get("lineage", {})),
            known=state["identity"],
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StateError(f"a reference that was kept can't be read: {type(error).__name__} {error}") from None


def _stream_state(stream: StreamReference) -> State:
    hit = np.flatnonzero(stream.counts)
    out: State = {"field": stream.field, "segment": stream.segment, "kind": str(stream.kind), "groups": stream.groups}
    out |= {"at": hit.astype(np.uint16), "counts": stream.counts[hit]}
    if stream.grid is not None:
        out["grid"] = [stream.grid.centre, stream.grid.width, stream.grid.low, stream.grid.step]
    if stream.exponent:
        out["exponent"] = stream.exponent
    if stream.kind is Kind.CATEGORICAL:
        out |= {"categories": list(stream.categories), "is_complete": stream.is_complete}
    if stream.cells_known:
        out["cells_known"] = stream.cells_known
    if stream.normal is not None:
        out["normal"] = {name: value for name in NORMAL if (value := getattr(stream.normal, name)) is not None}
    return out


def _stream_of(state: State) -> StreamReference:
    kind = Kind(state["kind"])
    counts = np.zeros(WIDTHS[ARENA_OF[kind]], dtype=np.uint32)
    counts[state["at"]] = state["counts"]
    normal = state.get("normal")
    return StreamReference(
        field=state["field"],
        segment=state["segment"],
        kind=kind,
        counts=counts,
        groups=state["groups"].astype(np.int8),
        grid=Grid(*state["grid"]) if "grid" in state else None,
        exponent=int(state.get("exponent", 0)),
        categories=tuple(state.get("categories", ())),
        is_complete=bool(state.get("is_complete", True)),
        normal=None if normal is None else Normal(**{name: normal[name] for name in NORMAL if name in normal}),
        cells_known=int(state.get("cells_known", 0)),
    )
