"""References out of what others have kept: rows of their tables go the way of all history, profiles are taken over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from monitor.baseline import Built, Input, build_references
from monitor.config import Settings
from monitor.domain import Kind
from monitor.errors import BaselineError, ConfigError
from monitor.fields import FEATURE_PREFIX, IGNORE, VOLUME
from monitor.foreign import FORMATS, format_of
from monitor.foreign.base import Profile, Tables, Wishes
from monitor.lineage import Lineage
from monitor.plans import Plans
from monitor.references import Reference, StreamReference
from monitor.sequential.normal import Normal
from monitor.shapes import stream_of
from monitor.sources.tabular import columns_of

AUTO: Final = "auto"
NO_TIME_EVERY: Final = "1s"
"""Of rows without a time, so that they can be counted at all; what would be learned of it is left out again."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be imported, and how. renamed: field of an event by name of a column; the rest as for `build`.

    model, version, run_id, registry_version: in place of what is found, None: as found.
    """

    path: Path
    format: str = AUTO
    wishes: Wishes = field(default_factory=Wishes)
    model: str | None = None
    version: str | None = None
    run_id: str | None = None
    registry_version: str | None = None
    time_column: str = "event_time"
    every: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)

    def lineage(self, found: Lineage) -> Lineage:
        """Give what was found, with what was said in its place."""
        return found.told(self.run_id, self.registry_version)


def import_references(settings: Settings, order: Order) -> Built:
    """Give the references that a place of others' making holds. Raises BaselineError, SourceError or ConfigError."""
    if order.format not in (AUTO, *FORMATS):
        raise ConfigError(f"--format: {order.format!r} is none of {', '.join((AUTO, *FORMATS))}")
    kind = format_of(order.path) if order.format == AUTO else FORMATS[order.format]
    if not order.path.exists():
        raise BaselineError(f"{order.path}: there is no such file or folder")
    found = kind.read(order.path, order.wishes)
    return _of_profile(settings, found, order) if isinstance(found, Profile) else _of_tables(settings, found, order)


def renamed(words: Sequence[str]) -> Mapping[str, str]:
    """Give the names that `COLUMN=FIELD` says. Raises ConfigError."""
    pairs = [word.partition("=") for word in words]
    for column, sign, name in pairs:
        if not (column and sign and name):
            raise ConfigError(f"--rename: {column + sign + name!r} is not COLUMN=FIELD, such as y_hat=prediction")
    return {column: name for column, _, name in pairs}


# ---- rows


def _of_tables(settings: Settings, found: Tables, order: Order) -> Built:
    names = {order.renamed.get(name, name) for path in found.paths for name in columns_of(path)}
    is_timeless = order.every is None and order.time_column not in names
    given = Input.of_files(
        found.paths,
        model=order.model or found.model or None,
        version=found.version if order.version is None else order.version,
        time_column=order.time_column,
        every=NO_TIME_EVERY if is_timeless else order.every,
        renamed=order.renamed,
    )
    described = f"{found.described}, {given.described}"
    built = build_references(settings, replace(given, described=described, lineage=order.lineage(found.lineage)))
    if not is_timeless:
        return built
    note = "the rows have no time, so nothing is known of traffic, hours and fluctuation: volume is not judged"
    return replace(built, references=[_timeless(each) for each in built.references], notes=(note,))


def _timeless(reference: Reference) -> Reference:
    """Leave out what was learned of times that were made up."""
    streams = [_timeless_stream(each) for each in reference.streams if each.field != VOLUME]
    return replace(reference, from_s=0.0, to_s=0.0, streams=tuple(streams))


def _timeless_stream(stream: StreamReference) -> StreamReference:
    normal = stream.normal
    return stream if normal is None else replace(stream, normal=Normal(normal.classes))


# ---- profiles


def _of_profile(settings: Settings, found: Profile, order: Order) -> Built:
    if not order.model:
        raise ConfigError(f"{order.path}: a profile does not say of which model it is; say it with --model")
    version = order.version or ""
    watch = Plans(settings)(order.model, version).watch
    streams: list[StreamReference] = []
    left_out: list[str] = []
    for column, held in found.columns.items():
        name = order.renamed.get(column, column)
        configured = watch.configured(name)
        try:
            stream = None if configured == IGNORE else stream_of(name, held)
        except ValueError as error:
            raise BaselineError(
                f"{order.path}: column {column!r}: {error}; give it another name with --rename"
            ) from None
        is_other = (
            stream is not None and stream.field.startswith(FEATURE_PREFIX) and configured not in (None, stream.kind)
        )
        if stream is None or is_other:
            left_out.append(column)
        else:
            streams.append(stream)
    if not streams:
        raise BaselineError(f"{order.path}: no column of {len(found.columns)} holds enough to be a reference")
    reference = Reference(
        model=order.model,
        model_version=version,
        source=found.described,
        from_s=found.from_s,
        to_s=found.to_s,
        events=found.rows,
        streams=tuple(sorted(streams, key=lambda stream: stream.field)),
        lineage=order.lineage(found.lineage),
    )
    return Built((reference,), found.rows, {}, tuple(_notes(found, streams, left_out)))


def _notes(found: Profile, streams: Sequence[StreamReference], left_out: Sequence[str]) -> list[str]:
    notes = ["a profile knows nothing of traffic, hours and fluctuation: volume is not judged", *found.notes]
    coarse = [stream for stream in streams if stream.cells_known]
    if coarse:
        told = min(coarse, key=lambda stream: stream.cells_known)
        samples = min(int(stream.counts.sum()) for stream in coarse)
        notes.append(
            f"{len(coarse)} columns of numbers are approximate: {told.field} is known in {told.cells_known} stretches"
            f" of value, and the least well known as a sample of {samples:,} would tell it"
        )
    if any(stream.kind is Kind.LOG for stream in coarse):
        notes.append("quantiles of latency, tokens and cost are interpolated between those that are known")
    if left_out:
        notes.append(
            "left out, since ignored, empty or of another kind than configured: " + ", ".join(sorted(left_out))
        )
    return notes
