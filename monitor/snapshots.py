"""A court's state as records of a compacted topic, and how the last whole one is found in them. Pure.

A snapshot is one record or more for each section and a manifest, whose last record is its SEAL: it is written only when
all others have been acknowledged. What is written to a key never changes: keys hold the writer and the number of the
save, so compaction takes nothing away but what has a tombstone. The manifest names the records of all sections, those
of earlier saves too where a section has not changed since, with their lengths and checksums.

Why the last whole snapshot is always there, whoever dies or goes on when he should not: let H be the sealed snapshot of
the highest writer that has any (the last of his, if there are several). (1) When its seal went out, all it names was in
the log. (2) A writer makes tombstones only after a seal of his own was acknowledged, and only for records of lower
writers, and for his own that neither of his last two sealed snapshots names. So nobody makes one for H: a higher writer
has no seal, H's writer names it, a lower one may not. (3) A reader prefers higher writers, then later saves, so H is
what he takes. He may have missed records of H only where a higher or later seal was written while he read; then the
log's end has moved, and he reads on (see snapshot_writer). Numbers of writers rise with each that begins, by a claim
in the log. Where records are damaged, the one before H is mostly whole: it is kept until the next is sealed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from monitor import codec
from monitor.domain import TopicPartition
from monitor.errors import StateError
from monitor.kept import State

FORMAT: Final = 1
"""Of manifests, and what they name. A reader takes all up to its own; a newer one it refuses. Keys never change."""
RECORD_BYTES_MAX: Final = 900_000
"""Of a record's value: with its key it is below the 1 MB that brokers and librdkafka take by default."""
CLAIM: Final = "claim"
SECTION: Final = "section"
MANIFEST: Final = "manifest"
SEAL: Final = "seal"
KINDS: Final = (CLAIM, SECTION, MANIFEST, SEAL)
_CURE: Final = (
    "to begin with nothing counted, stop all judges, delete the topic and make it anew with `driftd topics create`"
)


class Who(NamedTuple):
    """A writer. Higher is later. number: milliseconds of the wall clock or more. token: tells equal numbers apart."""

    number: int
    token: str


class Place(NamedTuple):
    """What a key says: the writer, the number of his save (claims: 0), what it is, its part of how many, the name."""

    who: Who
    save: int
    kind: str
    part: int
    name: str

    @property
    def key(self) -> bytes:
        """The key."""
        return f"{self.who.number}/{self.who.token}/{self.save}/{self.kind}/{self.part}/{self.name}".encode()


class Record(NamedTuple):
    """What is to be written. value None: a tombstone."""

    key: bytes
    value: bytes | None


class Row(NamedTuple):
    """A section as a manifest names it. save: that wrote it. data_bytes, checksum: of all its parts together."""

    name: str
    mark: str | None
    save: int
    parts: int
    data_bytes: int
    checksum: int

    def keys(self, who: Who) -> Iterator[bytes]:
        """Give the keys of its parts."""
        return (Place(who, self.save, SECTION, part, self.name).key for part in range(self.parts))


class Manifest(NamedTuple):
    """What a snapshot is made of. driftd: the version that wrote it."""

    driftd: str
    saved_wall_s: float
    positions: Mapping[TopicPartition, int]
    rows: Sequence[Row]


class Snapshot(NamedTuple):
    """A whole state. passed_over: what is wrong with those that should come before it; empty unless damaged."""

    sections: Mapping[str, State]
    positions: Mapping[TopicPartition, int]
    saved_wall_s: float
    driftd: str
    who: Who
    save: int
    state_bytes: int
    passed_over: Sequence[str]


class _TornError(Exception):
    """A snapshot is not whole; says how."""


def place_of(key: bytes | None) -> Place | None:
    """Give what a key says; None: it is none of ours."""
    try:
        number, token, save, kind, part, name = (key or b"").decode().split("/", 5)
        place = Place(Who(int(number), token), int(save), kind, int(part), name)
    except ValueError:
        return None
    return place if kind in KINDS and place.key == key else None


def claim_of(who: Who, driftd: str) -> Record:
    """Give the record by which a writer begins."""
    return Record(Place(who, 0, CLAIM, 0, "").key, codec.encode({"driftd": driftd}))


def parts_of(data: bytes, bytes_max: int) -> Sequence[bytes]:
    """Cut what is too long for one record."""
    return [data[at : at + bytes_max] for at in range(0, len(data), bytes_max)]


def manifest_records(who: Who, save: int, manifest: Manifest, bytes_max: int) -> list[Record]:
    """Give the records of a manifest; the last one is the seal."""
    told: State = {
        "format": FORMAT,
        "driftd": manifest.driftd,
        "saved_wall_s": manifest.saved_wall_s,
        "positions": [[*place, offset] for place, offset in sorted(manifest.positions.items())],
        "sections": [list(row) for row in manifest.rows],
    }
    parts = parts_of(codec.encode(told), bytes_max)
    kinds = [MANIFEST] * (len(parts) - 1) + [SEAL]
    return [
        Record(Place(who, save, kind, part, "").key, data)
        for part, (kind, data) in enumerate(zip(kinds, parts, strict=True))
    ]


class Image:
    """The records of a log, as far as it was read: of each key the last. what: names the log in errors.

    Memory: what the log holds without its tombstones, which is at most three snapshots of each writer that lives.
    """

    def __init__(self, what: str) -> None:
        self.what: Final = what
        self.highest: Who | None = None
        self._held: dict[Place, bytes] = {}

    def fold(self, key: bytes | None, value: bytes | None) -> None:
        """Take in the next record; what is none of ours is passed over."""
        place = place_of(key)
        if place is None:
            return
        self.highest = place.who if self.highest is None else max(self.highest, place.who)
        if value is None:
            self._held.pop(place, None)
        else:
            self._held[place] = value

    def held(self) -> Iterator[bytes]:
        """Give the keys that hold something."""
        return (place.key for place in self._held)

    def last_whole(self) -> Snapshot | None:
        """Give the last whole snapshot; None where none was ever completed.

        Raises StateError where all that were completed are damaged, and where the one to be taken is of a newer
        version: an older one is not taken in its place.
        """
        wrong: list[str] = []
        for seal in sorted((place for place in self._held if place.kind == SEAL), reverse=True):
            try:
                manifest = self._manifest(seal)
                data = {row.name: self._section(seal.who, row) for row in manifest.rows}
            except _TornError as error:
                wrong.append(f"snapshot {seal.save} of writer {seal.who.number}/{seal.who.token}: {error}")
                continue
            size = sum(map(len, data.values()))
            # Out of the table one by one, so that its bytes and its values are not there twice.
            sections = {row.name: self._decoded(data.pop(row.name), row.name) for row in manifest.rows}
            return Snapshot(
                *(sections, manifest.positions, manifest.saved_wall_s, manifest.driftd),
                *(seal.who, seal.save, size, wrong),
            )
        if wrong:
            raise StateError(f"{self.what}: holds no whole state, but {len(wrong)} damaged: {wrong[0]}: {_CURE}")
        return None

    def _manifest(self, seal: Place) -> Manifest:
        first = (self._held.get(seal._replace(kind=MANIFEST, part=part)) for part in range(seal.part))
        data = _joined([*first, self._held[seal]], "its manifest")
        try:
            codec.check(data, "its manifest")
        except StateError as error:
            raise _TornError(str(error)) from None
        return _manifest_of(self._decoded(data, "manifest"), self.what)

    def _section(self, who: Who, row: Row) -> bytes:
        places = (Place(who, row.save, SECTION, part, row.name) for part in range(row.parts))
        data = _joined([self._held.get(place) for place in places], f"section {row.name}")
        try:
            codec.check(data, f"section {row.name}")
        except StateError as error:
            raise _TornError(str(error)) from None
        if (len(data), codec.checksum(data)) != (row.data_bytes, row.checksum):
            raise _TornError(f"section {row.name}: is not the one that was saved")
        return data

    def _decoded(self, data: bytes, name: str) -> State:
        try:
            return codec.decode(data, f"{self.what}: {name}")
        except StateError as error:
            raise StateError(f"{error}: or {_CURE}") from None


def _joined(parts: Sequence[bytes | None], what: str) -> bytes:
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        raise _TornError(f"{what}: {len(parts) - len(found)} of {len(parts)} records are missing")
    return found[0] if len(found) == 1 else b"".join(found)


def _manifest_of(told: Mapping[str, Any], what: str) -> Manifest:
    try:
        if told["format"] > FORMAT:
            raise StateError(
                f"{what}: was written by a newer version of driftd ({told['driftd']}, format {told['format']}; this one"
                f" reads up to {FORMAT}): run that version, or one newer still; or {_CURE}"
            )
        positions = {TopicPartition(topic, part): offset for topic, part, offset in told["positions"]}
        rows = [Row(*row) for row in told["sections"]]
        return Manifest(str(told["driftd"]), float(told["saved_wall_s"]), positions, rows)
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"{what}: a manifest can't be read: {error!r}: {_CURE}") from None
