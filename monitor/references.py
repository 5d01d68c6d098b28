"""The frozen picture of what is normal for one served model version, and its one small readable file.

Everything that later comparisons rest on is in it and never changes: the grid or categories of each stream, the counts,
and how fine bins are summed into groups for PSI and its kin. Its identity is a hash of just that, so two references
with one identity judge alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from itertools import chain, islice
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.bins import ARENA_OF, OTHER, UNSEEN, VALUE_BINS, VALUE_SPANS, WIDTHS, Arena
from monitor.domain import CountArray, Kind
from monitor.errors import BaselineError
from monitor.lineage import NAME_CHARACTERS_MAX, UNKNOWN, Lineage
from monitor.sequential.features import FEATURES, SCORE_COUNTS
from monitor.sequential.normal import Normal

FORMAT: Final = "driftd-reference/2"
GROUPS: Final = 10
"""Groups of (about) equal reference mass that PSI, JS, KS, Wasserstein and chi-square compare."""
UNGROUPED: Final = GROUPS
"""Group of the bins that hold no values (null, not finite, wrong type)."""
CATEGORY_SHARE_MIN: Final = 0.01
"""Categories rarer than this share a group: a group needs expected counts for its term to mean anything."""


GroupArray = npt.NDArray[np.signedinteger[Any]]
NO_GROUPS: Final[GroupArray] = np.empty(0, dtype=np.int8)


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the bins of a numeric stream lie; see bins.numeric_bin."""

    centre: float
    width: float
    low: float
    step: float


@dataclass(frozen=True, slots=True)
class StreamReference:
    """One stream's part.

    counts: shape (width of its arena,). groups: shape (VALUE_BINS,), for VALUES streams, else empty. grid: numeric
    streams. exponent: LOG streams (the grid starts at 2**exponent). categories: categorical streams, in bin order;
    is_complete: no category had to be left out, so a new one can be told. normal: how the stream behaves
    while nothing changes; None in references that were made without. cells_known: 0 where each value was counted into
    its bin; else counts are known of so many stretches of value, within which they are spread evenly, see shapes.
    """

    field: str
    segment: str
    kind: Kind
    counts: CountArray
    groups: GroupArray
    grid: Grid | None = None
    exponent: int = 0
    categories: tuple[str, ...] = ()
    is_complete: bool = True
    normal: Normal | None = None
    cells_known: int = 0


class Line(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A stream as its line in the file says it. groups: a digit for each bin. counts: by bin, without noughts."""

    field: str
    segment: str
    kind: Kind
    samples: int
    grid: tuple[float, float, float, float] | None = None
    exponent: int = 0
    categories: tuple[str, ...] = ()
    is_complete: bool = True
    groups: str = ""
    normal: dict[str, Any] | None = None
    cells_known: int = 0
    counts: dict[int, int]


_Name = Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS_MAX)]


class _File(msgspec.Struct):
    """The whole file. Its format and identity are looked at before anything else is believed."""

    identity: str
    model: str
    model_version: str
    source: str
    from_s: float
    to_s: float
    events: int
    streams: list[Line]
    format: str | None = None
    source_kind: _Name = ""
    run_id: _Name = ""
    registry_version: _Name = ""


class _Head(msgspec.Struct):
    format: str | None = None


def _check_format(text: str, given: str | None = None) -> None:
    """Raise BaselineError where the text is no reference, or one of another format than ours. given: if it is known."""
    try:
        given = given or msgspec.json.decode(text, type=_Head).format
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"not a reference: {error}") from None
    if given != FORMAT:
        raise BaselineError(
            f"not a reference of format {FORMAT}: found {given!r}; build it again with `driftd baseline build`"
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """What is normal for one model version. source: where it came from, in words. span_s: event time it covers.

    base: identity of the reference that this one goes on from, with streams of outcomes that were learned later; "" for
    one that stands in a file.

    The identity covers what judges. It leaves out source and lineage, which judge nothing: a model that is given
    another version in its registry keeps its windows, evidence and alerts.
    """

    model: str
    model_version: str
    source: str
    from_s: float
    to_s: float
    events: int
    streams: tuple[StreamReference, ...]
    base: str = ""
    lineage: Lineage = UNKNOWN
    identity: str = field(init=False)
    known: InitVar[str] = ""

    def __post_init__(self, known: str) -> None:
        """Compute the identity, unless it is known: twelve hexadecimal digits of the content's SHA-256."""
        object.__setattr__(self, "identity", known or self._digest())

    def _digest(self) -> str:
        return self.digest_of([_line_of(stream) for stream in self.streams])

    def digest_of(self, lines: Sequence[Line]) -> str:
        """Give the identity that it has with these streams, in the form of the file."""
        head = f"{FORMAT}|{self.model}|{self.model_version}|{self.from_s!r}|{self.to_s!r}|{self.events}|"
        return hashlib.sha256(head.encode() + msgspec.json.encode(lines)).hexdigest()[:12]

    @property
    def span_s(self) -> float:
        """Event time from the first to the last event."""
        return self.to_s - self.from_s


def numeric_groups(counts: CountArray) -> GroupArray:
    """Give the group of each value bin, shape (VALUE_BINS,): runs of bins of about equal mass, numbered gaplessly."""
    mass = counts[:VALUE_BINS].astype(np.float64)
    total = mass.sum()
    if total == 0:
        return np.zeros(VALUE_BINS, dtype=np.int8)
    middle = (np.cumsum(mass) - mass / 2) / total
    wanted = np.minimum((middle * GROUPS).astype(np.int64), GROUPS - 1)
    # A bin without mass goes with the next one that has some, so that every group has mass.
    has_mass = mass > 0
    following = np.where(has_mass, wanted, GROUPS)[::-1]
    filled = np.minimum.accumulate(following)[::-1]
    filled = np.where(filled == GROUPS, wanted[has_mass].max(), filled)
    return np.cumsum(np.diff(filled, prepend=filled[0]) > 0, dtype=np.int8)


def categorical_groups(counts: CountArray, categories: int) -> GroupArray:
    """Give the group of each value bin: the commonest categories each their own, all the others together (last)."""
    mass = counts[:VALUE_BINS].astype(np.float64)
    total = max(mass.sum(), 1.0)
    common = [int(i) for i in np.argsort(-mass[:categories], kind="stable") if mass[i] >= CATEGORY_SHARE_MIN * total]
    groups = np.full(VALUE_BINS, min(len(common), GROUPS - 1), dtype=np.int8)
    for group, at in enumerate(common[: GROUPS - 1]):
        groups[at] = group
    return groups


def to_text(reference: Reference) -> str:
    """Give the file's text: JSON, one stream per line, so that a person can read and diff it."""
    head = {
        "format": FORMAT,
        "identity": reference.identity,
        "model": reference.model,
        "model_version": reference.model_version,
        "source": reference.source,
        **{name: value for name, value in reference.lineage._asdict().items() if value},
        "from_s": reference.from_s,
        "to_s": reference.to_s,
        "events": reference.events,
    }
    lines = [msgspec.json.encode(_line_of(stream)).decode() for stream in reference.streams]
    start = json.dumps(head, ensure_ascii=False, indent=1)[:-2]
    return start + ',\n "streams": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def from_text(text: str) -> Reference:
    """Read what `to_text` wrote. Raises BaselineError with what is wrong: another format, damage, a changed content."""
    return from_texts([text])[0]


def from_texts(texts: Sequence[str]) -> list[Reference]:
    """Read what `to_text` wrote of many, at once: in half the time. Raises as `from_text` of one of them."""
    files = list(map(_file_of, texts))
    try:
        streams = _streams_of_lines([line for file in files for line in file.streams])
        return [_reference_of(file, tuple(islice(streams, len(file.streams)))) for file in files]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise BaselineError(f"a damaged reference: {type(error).__name__} {error}") from None


def _file_of(text: str) -> _File:
    try:
        found = msgspec.json.decode(text, type=_File)
    except (ValueError, RecursionError) as error:
        _check_format(text)
        raise BaselineError(f"a damaged reference: {type(error).__name__} {error}") from None
    _check_format(text, found.format)
    return found


def _reference_of(found: _File, streams: tuple[StreamReference, ...]) -> Reference:
    reference = Reference(
        model=found.model,
        model_version=found.model_version,
        source=found.source,
        from_s=found.from_s,
        to_s=found.to_s,
        events=found.events,
        streams=streams,
        lineage=Lineage(found.source_kind, found.run_id, found.registry_version),
        known=found.identity,
    )
    identity = reference.digest_of(found.streams)
    if found.identity != identity:
        raise BaselineError(
            f"the content does not match its identity {found.identity} (it is {identity}):"
            " the file was changed by hand or cut short; build it again with `driftd baseline build`"
        )
    return reference


def _line_of(stream: StreamReference) -> Line:
    hit = np.flatnonzero(stream.counts)
    grid = stream.grid
    return Line(
        field=stream.field,
        segment=stream.segment,
        kind=stream.kind,
        samples=int(stream.counts.sum()),
        grid=None if grid is None else (grid.centre, grid.width, grid.low, grid.step),
        exponent=stream.exponent,
        categories=stream.categories,
        is_complete=stream.is_complete,
        groups="".join(map(str, stream.groups.tolist())),
        normal=None if stream.normal is None else stream.normal.to_dict(),
        cells_known=stream.cells_known,
        counts=dict(zip(hit.tolist(), stream.counts[hit].tolist(), strict=True)),
    )


def _streams_of_lines(lines: Sequence[Line]) -> Iterator[StreamReference]:
    """Give what lines say, in their order. All of an arena at once: one by one takes three times as long."""
    streams: dict[int, StreamReference] = {}
    for arena in Arena:
        places = [at for at, line in enumerate(lines) if ARENA_OF[line.kind] is arena]
        own = [lines[at] for at in places]
        parts = zip(own, _counts_of(own, WIDTHS[arena]), _groups_of(own), _normals_of(own, arena), strict=True)
        streams |= zip(places, map(_stream_of_line, parts), strict=True)
    return map(streams.__getitem__, range(len(lines)))


def _counts_of(lines: Sequence[Line], width: int) -> CountArray:
    """Give the counts of lines, shape (S, width)."""
    rows = np.repeat(np.arange(len(lines)), [len(line.counts) for line in lines])
    bins = np.fromiter(chain.from_iterable(line.counts for line in lines), np.int64, len(rows))
    held = np.fromiter(chain.from_iterable(line.counts.values() for line in lines), np.int64, len(rows))
    is_wrong = (bins < 0) | (bins >= width) | (held < 0) | (held >= 2**32)
    if is_wrong.any():
        raise ValueError(f"a bin of {lines[rows[np.argmax(is_wrong)]].field} is out of range")
    counts = np.zeros((len(lines), width), dtype=np.uint32)
    counts[rows, bins] = held
    return counts


def _groups_of(lines: Sequence[Line]) -> Iterator[GroupArray]:
    """Give the groups of lines, one array each; empty where a line has none."""
    for line in lines:
        if len(line.groups) not in (0, VALUE_BINS):
            raise ValueError(f"groups of {line.field} must have {VALUE_BINS} digits, found {len(line.groups)}")
        if line.groups and not (line.groups.isascii() and line.groups.isdigit()):
            raise ValueError(f"groups of {line.field} must be digits")
    digits = np.frombuffer("".join(line.groups for line in lines).encode("ascii"), dtype=np.int8) - np.int8(ord("0"))
    groups = iter(digits.reshape(-1, VALUE_BINS))
    return (next(groups) if line.groups else NO_GROUPS for line in lines)


def _normals_of(lines: Sequence[Line], arena: Arena) -> Iterator[Normal | None]:
    """Give what is normal for streams of an arena by their lines, None where a line says nothing of it."""
    found = [line.normal for line in lines if line.normal is not None]
    features, scores = FEATURES[arena].shape[1], SCORE_COUNTS[arena]
    normals = iter(Normal.from_dicts(found, VALUE_SPANS[arena], features, scores))
    return (None if line.normal is None else next(normals) for line in lines)


def _stream_of_line(parts: tuple[Line, CountArray, GroupArray, Normal | None]) -> StreamReference:
    line, counts, groups, normal = parts
    grid = None if line.grid is None else Grid(*line.grid)
    if grid is not None and not (grid.width > 0 and grid.step > 0):
        raise ValueError(f"the grid of {line.field} must have a positive width and step")
    return StreamReference(
        field=line.field,
        segment=line.segment,
        kind=line.kind,
        counts=counts,
        groups=groups,
        grid=grid,
        exponent=line.exponent,
        categories=line.categories,
        is_complete=line.is_complete,
        normal=normal,
        cells_known=line.cells_known,
    )


def summary(stream: StreamReference) -> Sequence[tuple[str, int]]:
    """Give a categorical stream's categories with their counts, commonest first, for people."""
    named = [(name, int(stream.counts[i])) for i, name in enumerate(stream.categories)]
    named += [("(other)", int(stream.counts[OTHER])), ("(unseen)", int(stream.counts[UNSEEN]))]
    return sorted((pair for pair in named if pair[1]), key=lambda pair: -pair[1])
