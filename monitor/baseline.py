"""References from history: built, shown, compared.

Two passes: the first takes an even sample over all of the input to place the grids of numeric streams, the second
counts. So a feature that moves through the history, or one sorted by value, gets a grid that covers all of it.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from pydantic_core import PydanticCustomError

from monitor import build
from monitor.bins import LOG_INNER, VALUE_BINS, log_values
from monitor.config import Settings
from monitor.config.units import parse_duration
from monitor.detectors.base import View
from monitor.detectors.psi import Psi
from monitor.domain import Batch, Kind, TopicPartition
from monitor.errors import ConfigError, SourceError
from monitor.foreign.base import is_table
from monitor.lineage import UNKNOWN, Lineage
from monitor.pipeline import Pipeline
from monitor.progress import Bar, progress
from monitor.references import GROUPS, Reference, StreamReference, summary
from monitor.rows import group_counts
from monitor.sources.files import FileSource
from monitor.sources.kafka_range import read_range
from monitor.sources.tabular import RowTerms, batched, read_rows

SAMPLE: Final = 20_000
"""Events of the first pass, at least, if there are as many: enough values to place a grid for each of many models."""
SEED: Final = 1
"""Of the order in which the first pass sees its events: the same history gives the same grids."""
BATCH: Final = 5_000

Batches = Iterator[Sequence[bytes | None]]


@dataclass(frozen=True, slots=True)
class Input:
    """Something that can be read from the beginning more than once.

    described, lineage: where events come from, for the file.
    """

    described: str
    read: Callable[[Bar], Batches]
    lineage: Lineage = UNKNOWN

    @classmethod
    def of_files(
        cls,
        paths: Sequence[Path],
        *,
        model: str | None,
        version: str,
        time_column: str,
        every: str | None,
        renamed: Mapping[str, str] = MappingProxyType({}),
    ) -> Input:
        """Give the rows or lines of files."""
        every_s = None if every is None else _seconds(every)
        terms = RowTerms(model, version, time_column, every_s, renamed)

        def read(bar: Bar) -> Batches:
            for number, path in enumerate(paths):
                batches = batched(read_rows(path, terms), BATCH) if is_table(path) else _lines(path)
                for batch in batches:
                    yield batch
                    bar((number + 0.5) / len(paths), len(batch))

        return cls("file " + ", ".join(path.name for path in paths), read, Lineage("file"))


def kafka_range(settings: Settings, from_: str, to: str | None) -> Input:
    """Give the events of the configured topics between two times."""
    from_s, to_s = _epoch_s(from_, "--from"), _epoch_s(to, "--to") if to else time.time()
    if not from_s < to_s:
        raise ConfigError("--from must be before --to")
    options, topics = build.kafka_options(settings.kafka), settings.kafka.topics

    def read(_: Bar) -> Batches:
        yield from read_range(options, topics, from_s, to_s)

    return Input(f"topics {', '.join(topics)} from {_utc(from_s)} to {_utc(to_s)}", read, Lineage("kafka"))


@dataclass(frozen=True, slots=True)
class Built:
    """What was built, and from how much. notes: what is to be known of it."""

    references: Sequence[Reference]
    events: int
    rejected: dict[str, int]
    notes: Sequence[str] = ()

    def to_dict(self, paths: Sequence[str]) -> dict[str, Any]:
        """Give it for programs."""
        return {
            "references": [{**_head(r), "path": path} for r, path in zip(self.references, paths, strict=True)],
            "events": self.events,
            "rejected": self.rejected,
            "notes": list(self.notes),
        }

    def to_text(self, paths: Sequence[str]) -> str:
        """Give it for people."""
        lines = [f"{self.events:,} events counted"]
        if self.rejected:
            lines[0] += ", rejected: " + ", ".join(f"{n:,} {reason}" for reason, n in self.rejected.items())
        for reference, path in zip(self.references, paths, strict=True):
            name = f"{reference.model} {reference.model_version}".strip()
            lines.append(
                f"{name}: {reference.events:,} events, {len(reference.streams)} streams, {reference.identity} -> {path}"
            )
        return "\n".join([*lines, *self.notes])


def build_references(settings: Settings, given: Input) -> Built:
    """Build one reference per model version. Raises SourceError if nothing could be counted."""
    terms = build.only_learning(settings)
    with progress("sampling") as bar:
        scout = build.pipeline(settings, (), terms)
        sample = _even_sample(given.read(bar))
        # A grid is placed by a stream's first values: let those be from everywhere.
        random.Random(SEED).shuffle(sample)  # noqa: S311 - to be repeatable, not to be secret
        _feed(scout, iter([sample]))
    with progress("counting") as bar:
        whole = build.pipeline(settings, (), terms)
        whole.preset_grids(scout.grids())
        whole.preset_segments(scout.segments())
        _feed(whole, given.read(bar))
    picture = whole.picture()
    rejected = {reason: count for (_, reason), count in picture.rejected.items()}
    if not whole.subjects:
        found = ", ".join(f"{count} {reason}" for reason, count in rejected.items()) or "no messages at all"
        raise SourceError(f"{given.described}: no events to build a reference from ({found})")
    references = [replace(each, lineage=given.lineage) for each in whole.freeze_all(given.described)]
    return Built(references, sum(picture.counted.values()), rejected)


def _feed(pipeline: Pipeline, batches: Iterable[Sequence[bytes | None]]) -> None:
    source = (TopicPartition("baseline", 0),)
    pipeline.assign(source)
    for values in batches:
        pipeline.step(Batch(values, [0] * len(values), source), math.inf)
    pipeline.finish()


def _even_sample(batches: Batches) -> list[bytes | None]:
    """Give SAMPLE to twice as many messages, evenly spread over all there are, in order."""
    kept: list[bytes | None] = []
    stride, at = 1, 0
    for batch in batches:
        for value in batch:
            if at % stride == 0:
                kept.append(value)
                if len(kept) >= 2 * SAMPLE:
                    kept, stride = kept[::2], stride * 2
            at += 1
    return kept


def _lines(path: Path) -> Batches:
    source = FileSource([path], batch_records_max=BATCH)
    source.open()
    try:
        while True:
            batch = source.poll()
            if len(batch):
                yield batch.values
            if batch.is_last:
                return
    finally:
        source.close()


# ---- show and compare


@dataclass(frozen=True, slots=True)
class Shown:
    """A reference in words. rows: one per stream: field, segment, kind, samples, what it looks like."""

    reference: Reference
    rows: Sequence[tuple[str, str, str, int, str]]

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        names = ("field", "segment", "kind", "samples", "values")
        return {**_head(self.reference), "streams": [dict(zip(names, row, strict=True)) for row in self.rows]}

    def to_text(self) -> str:
        """Give it for people."""
        r = self.reference
        lines = [
            f"{r.model} {r.model_version}".strip() + f"  reference {r.identity}",
            f"  {r.events:,} events from {r.source}, {_span(r)}",
            *([f"  made from {r.lineage.text}"] if r.lineage.text else []),
        ]
        width = max((len(row[0] + row[1]) for row in self.rows), default=0) + 1
        for name, segment, kind, samples, values in self.rows:
            lines.append(f"  {f'{name} {segment}'.strip():<{width}}  {kind:<11} {samples:>10,}  {values}")
        return "\n".join(lines)


def show_text(reference: Reference) -> Shown:
    """Describe a reference."""
    rows = [(s.field, s.segment, str(s.kind), int(s.counts.sum()), _described(s)) for s in reference.streams]
    return Shown(reference, rows)


def _span(reference: Reference) -> str:
    if reference.to_s == 0.0:
        return "at no known time"
    return _utc(reference.from_s) + (f" to {_utc(reference.to_s)}" if reference.span_s else "")


def _described(stream: StreamReference) -> str:
    """Say what a stream looks like, and whether that is known in stretches of value alone."""
    return _looks(stream) + (f" (approximate: {stream.cells_known} stretches)" if stream.cells_known else "")


def _looks(stream: StreamReference) -> str:
    counts = stream.counts.astype(np.float64)
    total = max(1.0, counts.sum())
    if stream.kind is Kind.YES_NO:
        checked = max(1.0, counts[0] + counts[1])
        return f"yes {counts[1] / checked:.4%} of {int(counts[0] + counts[1]):,} checked"
    if stream.kind is Kind.VOLUME:
        return f"{int(counts[0]):,} events"
    if stream.kind is Kind.CATEGORICAL:
        return ", ".join(f"{name} {count / total:.1%}" for name, count in summary(stream)[:6])
    if stream.kind is Kind.LOG:
        share = np.cumsum(counts[: LOG_INNER + 2]) / max(1.0, counts[: LOG_INNER + 2].sum())
        values = log_values(stream.exponent)
        return ", ".join(f"p{int(q * 100)} {values[np.searchsorted(share, q)]:.4g}" for q in (0.5, 0.95, 0.99))
    nulls = f", null {counts[VALUE_BINS:].sum() / total:.2%}" if counts[VALUE_BINS:].any() else ""
    assert stream.grid is not None
    return f"centre {stream.grid.centre:.4g}, width {stream.grid.width:.4g}{nulls}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Two references compared. rows: field, segment, PSI (None: not comparable), note; the most different first."""

    before: Reference
    after: Reference
    rows: Sequence[tuple[str, str, float | None, str]]

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        names = ("field", "segment", "psi", "note")
        return {
            "before": _head(self.before),
            "after": _head(self.after),
            "streams": [dict(zip(names, row, strict=True)) for row in self.rows],
        }

    def to_text(self) -> str:
        """Give it for people."""
        if self.before.identity == self.after.identity:
            return f"the same reference ({self.before.identity})"
        lines = [f"{self.before.identity} -> {self.after.identity}"]
        for name, segment, psi, note in self.rows:
            lines.append(
                f"  {'-' if psi is None else format(psi, '.4f'):>8}  {f'{name} {segment}'.strip()}  {note}".rstrip()
            )
        return "\n".join(lines)


def diff_text(before: Reference, after: Reference) -> Difference:
    """Compare two references stream by stream: PSI where their bins are the same, in words where they are not."""
    old = {(s.field, s.segment): s for s in before.streams}
    new = {(s.field, s.segment): s for s in after.streams}
    rows: list[tuple[str, str, float | None, str]] = [
        (*key, *_compared(old.get(key), new.get(key))) for key in sorted(old.keys() | new.keys())
    ]
    rows.sort(key=lambda row: -(row[2] if row[2] is not None else math.inf))
    return Difference(before, after, rows)


def _compared(old: StreamReference | None, new: StreamReference | None) -> tuple[float | None, str]:
    if old is None or new is None:
        return None, "only in the second" if old is None else "only in the first"
    if old.kind is not new.kind:
        return None, f"was {old.kind}, is {new.kind}"
    if old.kind not in (Kind.NUMERIC, Kind.CATEGORICAL):
        return None, f"{_described(old)} -> {_described(new)}"
    if old.kind is Kind.NUMERIC and old.grid != new.grid:
        return None, f"{_described(old)} -> {_described(new)}"
    if old.categories != new.categories:
        gone, came = set(old.categories) - set(new.categories), set(new.categories) - set(old.categories)
        changes = [f"gone: {', '.join(sorted(gone))}"] * bool(gone) + [f"new: {', '.join(sorted(came))}"] * bool(came)
        return None, "; ".join(changes) or "the same categories in another order"
    return _psi(old, new), ""


def _psi(old: StreamReference, new: StreamReference) -> float:
    groups = np.full((1, len(old.counts)), GROUPS, dtype=np.int8)
    groups[0, :VALUE_BINS] = old.groups
    none = np.full(1, np.nan)
    view = View(
        counts=new.counts[None, :],
        reference=old.counts[None, :],
        grouped=group_counts(new.counts[None, :], groups),
        reference_grouped=group_counts(old.counts[None, :], groups),
        edges=np.full((1, GROUPS + 1), np.nan),
        groups_used=np.array([int(old.groups.max()) + 1]),
        scale=none,
        low=none,
        span_s=0.0,
        rate_per_s=none,
        silence_s=none,
    )
    return float(Psi().measure(view).value[0])


def _head(reference: Reference) -> dict[str, Any]:
    return {
        "model": reference.model,
        "model_version": reference.model_version,
        "reference": reference.identity,
        "source": reference.source,
        **reference.lineage._asdict(),
        "events": reference.events,
        "from_s": reference.from_s,
        "to_s": reference.to_s,
    }


def _seconds(text: str) -> float:
    try:
        every_s = parse_duration(text)
    except PydanticCustomError:
        every_s = None
    if not isinstance(every_s, (int, float)) or not every_s > 0:
        raise ConfigError(f"--every: {text!r} is not a duration such as 30m or 1s")
    return float(every_s)


def _epoch_s(text: str, option: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a time such as 2026-11-20T08:00:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
