"""Events from files: JSON lines, plain or gzip, for replay and for building references.

Several files are read side by side, always from the one that is furthest behind in event time, so that inferences and
outcomes recorded apart come together as they once did. A file counts as a topic with one partition.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, cast

import msgspec
import numpy as np

from monitor.domain import Batch, Gap, PartitionStatus, TopicPartition
from monitor.errors import SourceError
from monitor.intake import Intake

NONE_STORED: Final[Mapping[TopicPartition, int]] = MappingProxyType({})
NO_IDS: Final[Mapping[str, str]] = MappingProxyType({})


class _Time(msgspec.Struct):
    event_time: Any = None


class FileSource:
    """Reads files to their end. Memory: a batch of lines. Lines longer than line_bytes_max are cut, and so rejected."""

    def __init__(self, paths: Sequence[Path], *, batch_records_max: int = 5_000, line_bytes_max: int = 2 << 20) -> None:
        self._paths = paths
        self._batch_records_max = batch_records_max
        self._line_bytes_max = line_bytes_max
        self._sources = [TopicPartition(str(path), 0) for path in paths]
        self._raw: list[IO[bytes]] = []
        self._files: list[IO[bytes] | None] = []
        self._latest: list[str | float] = []
        self._lines = [0] * len(paths)
        self.bytes_total = 0

    def open(
        self,
        stored: Mapping[TopicPartition, int] = NONE_STORED,  # noqa: ARG002 - read from the start
        topic_ids: Mapping[str, str] = NO_IDS,  # noqa: ARG002 - no topics
    ) -> None:
        """Open all files. stored: taken no notice of, as files are read whole."""
        for path in self._paths:
            try:
                raw = path.open("rb")
                self.bytes_total += path.stat().st_size
            except OSError as error:
                raise SourceError(f"{path}: can't be read: {error.strerror}") from error
            is_gzip = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            self._raw.append(raw)
            unpacked = gzip.open(raw) if is_gzip else raw  # noqa: SIM115 - read batch by batch, closed by close()
            self._files.append(cast("IO[bytes]", unpacked))
            self._latest.append(float("-inf"))

    def topic_ids(self) -> Mapping[str, str]:
        """Give nothing: files are no topics."""
        return NO_IDS

    @property
    def bytes_read(self) -> int:
        """Bytes taken from disk so far, for progress."""
        return sum(raw.tell() for raw in self._raw)

    def poll(self, timeout_s: float = 0.0) -> Batch:  # noqa: ARG002 - a file never waits
        """Give the next lines of the file that is furthest behind."""
        live = [i for i, file in enumerate(self._files) if file is not None]
        if not live:
            return Batch(is_last=True)
        at = min(live, key=lambda i: _order(self._latest[i]))
        file = self._files[at]
        assert file is not None
        try:
            lines = list(islice(iter(lambda: file.readline(self._line_bytes_max), b""), self._batch_records_max))
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{self._paths[at]}: damaged after line {self._lines[at]}: {error}") from error
        self._lines[at] += len(lines)
        if len(lines) < self._batch_records_max:
            self._files[at] = None
        if lines:
            self._latest[at] = _time_of(lines[-1], self._latest[at])
        values = [line for line in lines if line not in (b"\n", b"\r\n")]
        is_last = all(other is None for other in self._files)
        return Batch(values, np.full(len(values), at), self._sources, is_last=is_last)

    def positions(self) -> Mapping[TopicPartition, int]:
        """Give the number of lines read of each file."""
        return dict(zip(self._sources, self._lines, strict=True))

    def saved(self, positions: Mapping[TopicPartition, int]) -> None:
        """Nothing to tell anyone."""

    def hold(self, partitions: Collection[TopicPartition]) -> None:
        """A file is never held: who reads it waits for it."""

    def assigned(self) -> Sequence[TopicPartition]:
        """Give the files that have not ended."""
        return [source for source, file in zip(self._sources, self._files, strict=True) if file is not None]

    def away(self) -> Sequence[TopicPartition]:
        """A file belongs to whoever reads it."""
        return ()

    def gaps(self) -> Sequence[Gap]:
        """A file that lacks something is damaged, and raises."""
        return ()

    def idle(self) -> tuple[Sequence[TopicPartition], float]:
        """A file is never idle: it has more, or it has ended."""
        return (), 0.0

    def trouble(self) -> str:
        """A file that can't be read raises."""
        return ""

    def status(self) -> Sequence[PartitionStatus]:
        """Give the line each file has come to."""
        return [
            PartitionStatus(source, lines, None, None, None, 0.0)
            for source, lines in zip(self._sources, self._lines, strict=True)
        ]

    def intake(self) -> Intake:
        """A file is read, and that is all."""
        return Intake()

    def errors(self) -> Mapping[str, int]:
        """A file that fails raises."""
        return {}

    def close(self) -> None:
        """Close all files."""
        for raw in self._raw:
            raw.close()


def _time_of(line: bytes, before: str | float) -> str | float:
    """Give the event time of a line as it is written; only its order matters here."""
    try:
        found = msgspec.json.decode(line, type=_Time).event_time
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return before
    return found if isinstance(found, (str, float, int)) else before


def _order(time: str | float) -> tuple[bool, str, float]:
    return (True, time, 0.0) if isinstance(time, str) else (False, "", float(time))
