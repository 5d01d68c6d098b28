"""What a state is made of, as the file and its copies tell it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from monitor import codec
from monitor.domain import TopicPartition
from monitor.kept import State

FORMAT: Final = 1
"""Of the file: its tables and what they mean. A reader takes all up to its own; a newer one it refuses."""


class Row(NamedTuple):
    """A section as stored, without its content."""

    name: str
    mark: str | None
    bytes: int
    checksum: int


class Account(NamedTuple):
    """What is known of a state beside its content. driftd: the version that saved it last. saves: how often so far."""

    format: int
    driftd: str
    created_wall_s: float
    saved_wall_s: float | None
    saves: int
    seal: str


class Contents(NamedTuple):
    """A state without the content of its sections."""

    account: Account
    rows: list[Row]
    positions: dict[TopicPartition, int]

    @property
    def bytes(self) -> int:
        """All sections together."""
        return sum(row.bytes for row in self.rows)


class Sections(Mapping[str, State]):
    """The content of sections by name, each read when it is first looked at: what nobody asks for costs nothing.

    data: as encoded, and known to be as it was saved. read: gives the content of one; raises StateError.
    """

    def __init__(self, data: Mapping[str, bytes], read: Callable[[str, bytes], State]) -> None:
        self._held: dict[str, bytes | State] = dict(data)
        self._read = read

    def __getitem__(self, name: str) -> State:
        """Give the content of a section. Raises StateError where it can't be read."""
        found = self._held[name]
        if isinstance(found, bytes):
            found = self._held[name] = self._read(name, found)
        return found

    def __iter__(self) -> Iterator[str]:
        """Give the names, in order."""
        return iter(self._held)

    def __len__(self) -> int:
        """Tell how many there are."""
        return len(self._held)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is one of this name, without reading it."""
        return name in self._held


class Stored(NamedTuple):
    """A state: all sections by name, what their marks are, and the next offset of each partition they rest on."""

    sections: Mapping[str, State]
    positions: dict[TopicPartition, int]
    saved_wall_s: float
    marks: Mapping[str, str | None]
    driftd: str
    saves: int


class Saved(NamedTuple):
    """Account of a save. bytes: written, of `sections` sections that had changed. state_bytes: all that is stored."""

    bytes: int
    sections: int
    cost_s: float
    state_bytes: int


def seal(contents: Contents) -> str:
    """Give the checksum over all that stands beside the content of the sections."""
    account = contents.account
    told = {
        "driftd": account.driftd,
        "created_wall_s": account.created_wall_s,
        "saved_wall_s": account.saved_wall_s,
        "saves": account.saves,
        "sections": [list(row) for row in contents.rows],
        "positions": [[*key, value] for key, value in contents.positions.items()],
    }
    return hashlib.blake2b(codec.encode(told), digest_size=16).hexdigest()
