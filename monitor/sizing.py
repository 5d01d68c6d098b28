"""When to leave `driftd run`, and for how many folds and judges: arithmetic from measured costs. Pure.

    a process counts   events/s x EVENT_S
    and judges         streams x STREAM_S
    a fold counts      events/s x EVENT_S x FOLD_OVER_RUN, on a core of its own
    what travels       counts/s: of each stream, source partition and second the bins that were hit, COUNT_BYTES each
    a judge            streams x STREAM_S + counts/s x COUNT_S

Costs are those of benchmarks/README.md (`throughput`, `scaleout`): one core of a shared x86_64 machine, events of 900
bytes with 25 features. Yours differ; the README says how to measure them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from monitor.config import Settings
from monitor.fields import FIELDS
from monitor.power.analysis import Analysis
from monitor.power.assumed import CATEGORIES, NUMBERS
from monitor.references import Reference

EVENT_S: Final = 6.3e-6
"""Read by msgspec; the compiled reader takes about two thirds of it."""
FOLD_OVER_RUN: Final = 1.1
STREAM_S: Final = 6e-6
COUNT_S: Final = 0.15e-6
COUNT_BYTES: Final = 3.5
BINS: Final = 55.0
"""Of a numeric stream that are ever hit: what travels of a stream, partition and second is at most this many counts."""
RUN_CORES: Final = 0.6
"""Of the one core that a process has: what is left makes up for a restart, or a peak."""
JUDGE_CORES: Final = 0.5
PARTITIONS: Final = 12
"""Of the topics of events, where nobody was asked."""
ASSUMED_STREAMS: Final = NUMBERS + CATEGORIES + len(FIELDS) + 1


@dataclass(frozen=True, slots=True)
class Load:
    """Of one model version. streams: also how many values an event has, about."""

    events_per_s: float
    streams: int


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a load takes. run_cores: of one `driftd run`. is_to_leave: whether that is too much for it.

    folds, judges: the least that carry it. notes: what stands in the way of so many.
    """

    events_per_s: float
    streams: int
    run_cores: float
    is_to_leave: bool
    folds: int
    judges: int
    deltas_per_s: float
    bytes_per_s: float
    notes: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        return asdict(self)

    def to_lines(self) -> list[str]:
        """Give it for people."""
        load = (
            f"scale      {self.events_per_s:,.0f} events/s, {self.streams:,} streams: about {self.run_cores:.2g} cores"
        )
        if not self.is_to_leave:
            return [f"{load}; one `driftd run` carries that (up to {RUN_CORES:g})"]
        apart = (
            f"           leave `driftd run`: {_count(self.folds, 'fold')} and {_count(self.judges, 'judge')} at least,"
            f" {self.deltas_per_s:,.0f} deltas/s, {self.bytes_per_s / 1e6:.2g} MB/s between them (docs/scaling.md)"
        )
        return [f"{load}, more than the {RUN_CORES:g} that one process is good for", apart, *_indented(self.notes)]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number > 1)}"


def _indented(texts: Sequence[str]) -> list[str]:
    return [f"           {text}" for text in texts]


def loads(references: Sequence[Reference], power: Analysis) -> list[Load]:
    """Give the load of each model whose traffic is known; of one without a reference the streams are assumed."""
    streams = {reference.identity: len(reference.streams) for reference in references}
    return [Load(model.events_per_s, streams.get(model.reference, ASSUMED_STREAMS)) for model in power.models]


def _bins_hit(events: float) -> float:
    """Give how many bins so many events hit: nearly as many as there are events at first, BINS at last."""
    return BINS * -math.expm1(-events / BINS)


def sizing(settings: Settings, found: Sequence[Load], partitions: int | None = None) -> Sizing | None:
    """Give what loads take; None where nothing is known. partitions: of the topics of events, None: not asked."""
    if not found:
        return None
    split = partitions or PARTITIONS
    events_per_s, streams = sum(load.events_per_s for load in found), sum(load.streams for load in found)
    counts_per_s = sum(load.streams * split * _bins_hit(load.events_per_s / split) for load in found)
    run_cores = events_per_s * EVENT_S + streams * STREAM_S
    folds = max(1, math.ceil(events_per_s * EVENT_S * FOLD_OVER_RUN / RUN_CORES))
    judges = max(1, math.ceil((streams * STREAM_S + counts_per_s * COUNT_S) / JUDGE_CORES))
    notes = []
    if partitions is not None and folds > partitions:
        notes.append(f"{partitions} partitions of events are too few for {folds} folds: add some")
    if judges > settings.scaleout.courts:
        notes.append(f"scaleout.courts: {settings.scaleout.courts} are too few for {judges} judges")
    return Sizing(
        events_per_s=events_per_s,
        streams=streams,
        run_cores=run_cores,
        is_to_leave=run_cores > RUN_CORES,
        folds=folds,
        judges=judges,
        deltas_per_s=split * min(settings.scaleout.courts, len(found)),
        bytes_per_s=counts_per_s * COUNT_BYTES,
        notes=notes,
    )
