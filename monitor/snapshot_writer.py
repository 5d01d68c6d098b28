"""Who writes a court's state into its log, what he writes, and when he must cease. Pure: the log is given.

Beginning: read to the end, write a claim with a number above all that were seen, and read on up to it: numbers rise in
the order in which claims stand in the log. Saving: look at what others wrote since; is there a record of a higher
writer, this one has been superseded and writes no more. Then the sections that have changed and the manifest without
its seal; when all that is acknowledged, the seal; when that is, tombstones for what is no longer of use.

A zombie is so refused from the moment at which his successor has begun. One that stood still between looking and
writing does no harm either: his snapshot is lower, and he has tombstones for still lower ones only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from monitor import codec
from monitor.domain import TopicPartition
from monitor.errors import StateError
from monitor.kept import Section
from monitor.snapshots import (
    CLAIM,
    RECORD_BYTES_MAX,
    Image,
    Manifest,
    Place,
    Record,
    Row,
    Snapshot,
    Who,
    claim_of,
    manifest_records,
    parts_of,
    place_of,
)

CLAIMS_MAX: Final = 10
"""So many writers would have to begin at the same instant, one after the other."""
READS_MAX: Final = 10
"""So many times others would have to complete two snapshots, and compaction to run, while the log is read on."""


class Superseded(StateError):  # noqa: N818 - says what happened to the writer
    """A later writer has begun. If the partition is still one's own, begin anew; else let it go."""


class Log(Protocol):
    """One partition of a compacted topic. Only the writer's thread calls it."""

    def end(self) -> int:
        """Give the offset that the next record will have. Raises SourceError."""
        ...

    def read(self, first: int, upto: int) -> Iterable[tuple[bytes | None, bytes | None]]:
        """Give keys and values of the records there are in [first, upto). Raises SourceError."""
        ...

    def write(self, records: Iterable[Record]) -> Sequence[int]:
        """Append records, wait until all replicas in sync have them, and give their offsets, in whatever order.

        Raises StateError where that is not so, or not known to be: each may then be in the log or not.
        """
        ...


@dataclass(frozen=True, slots=True)
class WriterTerms:
    """what: names the log in errors. driftd: version. token: no other has it. record_bytes_max: of a record's value."""

    what: str
    driftd: str
    token: str
    record_bytes_max: int = RECORD_BYTES_MAX


class Written(NamedTuple):
    """Account of a save. bytes: of values written. sections: that had changed. buried: records that went (tombstones).

    state_bytes: all that the snapshot names.
    """

    bytes: int
    records: int
    sections: int
    buried: int
    state_bytes: int


@dataclass(slots=True)
class _Draft:
    """A snapshot on its way. written: keys of sections. told: the manifest, its seal last."""

    rows: dict[str, Row] = field(default_factory=dict)
    written: list[bytes] = field(default_factory=list)
    told: list[Record] = field(default_factory=list)
    sent_bytes: int = 0
    sections: int = 0

    def told_keys(self) -> list[bytes]:
        """Give the keys of the manifest."""
        return [record.key for record in self.told]


class Writer:
    """Writes the state of one court. Make it by `begin`."""

    def __init__(self, log: Log, terms: WriterTerms) -> None:
        self._log = log
        self._terms = terms
        self.who = Who(0, terms.token)
        self._rival: Who | None = None
        self._seen = 0
        """The log was read up to here."""
        self._save = 0
        self._last = _Draft()
        """The last that was sealed."""
        self._open: _Draft | None = None
        """One that is not sealed, or perhaps is."""
        self._aging: list[bytes] = []
        """What the sealed one before names, and the last does not."""
        self._strays: list[bytes] = []
        """What was written, or perhaps was, for ones that no seal was acknowledged of."""
        self._lower: dict[bytes, None] = {}
        """What lower writers have in the log."""
        self._doomed: dict[bytes, None] = {}
        """What is to have a tombstone, since a newer one is sealed."""

    @classmethod
    def begin(cls, log: Log, terms: WriterTerms, now_wall_s: float) -> tuple[Writer, Snapshot | None]:
        """Become the writer of a log, and give the last whole snapshot in it; None: there never was one.

        Raises StateError: what is there can't be read, and says what to do; SourceError: the log can't be reached.
        """
        writer = cls(log, terms)
        image = Image(terms.what)
        writer._claim(image, now_wall_s)
        return writer, writer._last_whole(image)

    def save(self, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float) -> Written:
        """Write a snapshot of all sections that are listed; those whose mark is not None and is the last are not sent.

        Raises StateError: it may not be complete, the one before is still there, and the next call tries anew;
        Superseded: that will be refused too.
        """
        self._look()
        self._save += 1
        draft = self._open = _Draft()
        offsets = [*self._written(self._body(draft, sections, positions, now_wall_s))]
        offsets += self._written(draft.told[-1:])
        self._settle(draft)
        if sorted(offsets) == [*range(self._seen, self._seen + len(offsets))]:
            self._seen += len(offsets)  # nobody else wrote meanwhile, so there is nothing to read
        state_bytes = sum(row.data_bytes for row in draft.rows.values())
        return Written(draft.sent_bytes, len(offsets), draft.sections, self._bury(), state_bytes)

    def look(self) -> None:
        """See whether the log is still this one's to write: cheap. Raises Superseded; StateError, SourceError."""
        self._look()

    # ---- beginning

    def _claim(self, image: Image, now_wall_s: float) -> None:
        """Take a number above all that stand before it in the log."""
        self._take_in(self._log.end(), image)
        for _ in range(CLAIMS_MAX):
            above = 0 if image.highest is None else image.highest.number + 1
            self.who = Who(max(above, int(now_wall_s * 1000.0)), self._terms.token)
            (offset,) = self._log.write([claim_of(self.who, self._terms.driftd)])
            self._take_in(offset + 1, image)
            if image.highest == self.who:
                own = Place(self.who, 0, CLAIM, 0, "").key
                self._lower = {key: None for key in image.held() if key != own}
                self._rival = None  # all that was heard so far came before
                return
        raise StateError(f"{self._terms.what}: others begin to write it at once, again and again: see who they are")

    def _last_whole(self, image: Image) -> Snapshot | None:
        """Give the last whole snapshot. While others go on, parts of it may go before they are read: then read on."""
        for _ in range(READS_MAX):
            found, trouble = None, None
            try:
                found = image.last_whole()
            except StateError as error:
                trouble = error
            end = self._log.end()
            if end <= self._seen or (found is not None and not found.passed_over):
                if trouble is not None:
                    raise trouble
                return found
            self._take_in(end, image)
        raise StateError(
            f"{self._terms.what}: is written faster than it is read: see who else writes it, and try again"
        )

    def _take_in(self, upto: int, image: Image | None = None) -> None:
        for key, value in self._log.read(self._seen, upto):
            self._hear(key, value)
            if image is not None:
                image.fold(key, value)
        self._seen = upto

    def _hear(self, key: bytes | None, value: bytes | None) -> None:
        """Take note of what others have in the log, and whether one of them began later."""
        place = place_of(key)
        if key is None or place is None or place.who == self.who:
            return
        if place.who > self.who:
            self._rival = place.who
        elif value is None:
            self._lower.pop(key, None)
        else:
            self._lower[key] = None

    # ---- saving

    def _look(self) -> None:
        """See what others wrote. Raises Superseded where one of them began later."""
        if self._open is not None:
            self._strays += self._open.written + self._open.told_keys()
            self._open = None
        end = self._log.end()
        if end < self._seen:
            self._distrust()
        self._take_in(end)
        if self._rival is not None:
            raise Superseded(
                f"{self._terms.what}: not saved: another writer has begun since (its number is {self._rival.number},"
                f" this one's {self.who.number}): if this process still has the partition, let it load anew"
            )

    def _distrust(self) -> None:
        """Write all anew: the log has lost records, or is another one, so what was written may not be there."""
        for row in self._last.rows.values():
            self._strays += row.keys(self.who)
        self._strays += self._last.told_keys()
        self._last = _Draft()
        self._seen = 0

    def _written(self, records: Iterable[Record]) -> Sequence[int]:
        offsets = self._log.write(records)
        if offsets and min(offsets) < self._seen:
            self._distrust()
            raise StateError(
                f"{self._terms.what}: not saved: the log has lost records that were acknowledged, or was made anew; all"
                " is written anew with the next save: see that unclean.leader.election.enable is false"
            )
        return offsets

    def _body(
        self, draft: _Draft, sections: Iterable[Section], positions: Mapping[TopicPartition, int], now_wall_s: float
    ) -> Iterator[Record]:
        """Give the records of a snapshot but the seal. Sections are made one by one, as records are asked for."""
        size = self._terms.record_bytes_max
        for section in sections:
            if section.name in draft.rows:
                raise ValueError(f"two sections are named {section.name}")
            row = self._last.rows.get(section.name)
            if row is None or section.mark is None or section.mark != row.mark:
                data = codec.encode(section.make())
                parts = parts_of(data, size)
                row = Row(section.name, section.mark, self._save, len(parts), len(data), codec.checksum(data))
                draft.sent_bytes += len(data)
                draft.sections += 1
                for key, part in zip(row.keys(self.who), parts, strict=True):
                    draft.written.append(key)
                    yield Record(key, part)
            draft.rows[section.name] = row
        manifest = Manifest(self._terms.driftd, float(now_wall_s), positions, list(draft.rows.values()))
        draft.told = manifest_records(self.who, self._save, manifest, size)
        draft.sent_bytes += sum(len(record.value or b"") for record in draft.told)
        yield from draft.told[:-1]

    def _settle(self, draft: _Draft) -> None:
        """Take note that a snapshot is sealed, and of what is no longer of use."""
        self._doomed.update(dict.fromkeys([*self._aging, *self._strays, *self._lower]))
        self._strays, self._lower, self._open = [], {}, None
        gone = [row for name, row in self._last.rows.items() if draft.rows.get(name) != row]
        self._aging = [key for row in gone for key in row.keys(self.who)] + self._last.told_keys()
        self._last = draft

    def _bury(self) -> int:
        """Write the tombstones that are due; those that fail are due again. Give how many were written."""
        doomed = list(self._doomed)
        if not doomed:
            return 0
        try:
            offsets = self._log.write(Record(key, None) for key in doomed)
        except StateError:
            return 0  # the snapshot is sealed all the same, and these are only in the way
        self._doomed = {}
        if sorted(offsets) == [*range(self._seen, self._seen + len(offsets))]:
            self._seen += len(offsets)
        return len(offsets)
