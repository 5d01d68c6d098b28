"""Inferences and outcomes that wait for each other, on disk: an LMDB file in the folder of the state.

LMDB (Symas; lmdb.tech) is a copy-on-write B+ tree in a memory map: a commit is whole or not there, whatever is killed
when, and a look-up costs no system call. What is mapped counts as resident memory while there is room, and is given
back when there is not. A generation is a tree of its own, so that dropping it does not look at its entries.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lmdb

from monitor.errors import StateError
from monitor.store.files import FOLDER_MODE

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = "pending"
GENERATIONS_MAX: Final = 128
"""Trees that the file has room for: some nine for inferences, and as many for outcomes."""
NAMELESS_TREES_MAX: Final = 4_096
"""Of a file of all partitions of a fold: so many for each of two hundred."""


class PendingFile:
    """The file. It is opened when it is first asked: making one opens nothing. Called by the loop's thread alone.

    bytes_max: how large it may grow. is_nameless: it belongs to this process alone, and ends with it however that ends;
    nothing in it outlives the machine.
    """

    def __init__(self, directory: Path, bytes_max: int, *, is_nameless: bool = False) -> None:
        self._path = directory / FOLDER
        self._bytes_max = bytes_max
        self._is_nameless = is_nameless
        self._has_part = False
        self._opened: Any = None
        self._trees: dict[bytes, Any] = {}

    @property
    def _env(self) -> Any:  # noqa: ANN401 - lmdb publishes no types
        if self._opened is None:
            with _told(self._path):
                self._opened = self._open_nameless() if self._is_nameless else self._open()
                with self._opened.begin() as found:
                    names = [bytes(name) for name in found.cursor().iternext(values=False)]
                for name in names:
                    self._trees[name] = self._opened.open_db(name)
        return self._opened

    def _open(self) -> Any:  # noqa: ANN401 - as above
        self._path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        size = self._bytes_max
        return lmdb.open(str(self._path), map_size=size, max_dbs=GENERATIONS_MAX, readahead=False, mode=0o600)

    def _open_nameless(self) -> Any:  # noqa: ANN401 - as above
        """Open a new file and take its name away: the system frees it when the process ends, also when it is killed."""
        self._path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._path.parent, prefix=f"{FOLDER}-") as folder:
            return lmdb.open(
                folder,
                map_size=self._bytes_max,
                max_dbs=NAMELESS_TREES_MAX,
                readahead=False,
                mode=0o600,
                lock=False,
                sync=False,
            )

    def part(self, name: str) -> PendingPart:
        """Give a backing of its own in the file."""
        is_first, self._has_part = not self._has_part, True
        return PendingPart(self, name, tells_bytes=is_first)

    def get_many(self, name: bytes, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Give the value of each id in a tree."""
        env = self._env
        tree = self._trees.get(name)
        if tree is None:
            return [None] * len(ids)
        with _told(self._path), env.begin(db=tree) as found:
            return list(map(found.get, ids))

    def put_many(self, name: bytes, ids: Sequence[bytes], values: Sequence[bytes]) -> bool:
        """Set values in a tree; an empty one takes the entry out. False where there is no room: nothing was set."""
        env = self._env
        with _told(self._path):
            try:
                if name not in self._trees:
                    self._trees[name] = env.open_db(name)
                with env.begin(write=True, db=self._trees[name]) as found:
                    cursor = found.cursor()
                    cursor.putmulti(sorted(pair for pair in zip(ids, values, strict=True) if pair[1]))
                    for each in [each for each, value in zip(ids, values, strict=True) if not value]:
                        found.delete(each)
            except lmdb.MapFullError:
                return False
        return True

    def drop(self, name: bytes) -> None:
        """Forget a tree."""
        env, tree = self._env, self._trees.pop(name, None)
        if tree is not None:
            with _told(self._path), env.begin(write=True) as found:
                found.drop(tree)

    def names(self) -> Iterable[bytes]:
        """Give the trees."""
        return list(self._trees) if self._env is not None else ()

    @property
    def nbytes(self) -> int:
        """Bytes of the file; 0 until it is opened."""
        if self._opened is None:
            return 0
        return int((self._opened.info()["last_pgno"] + 1) * self._opened.stat()["psize"])

    def close(self) -> None:
        """Let go of the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


class PendingPart:
    """A backing in the file: see join.pending.Backing."""

    def __init__(self, file: PendingFile, name: str, *, tells_bytes: bool) -> None:
        self._file = file
        self._tells_bytes = tells_bytes
        self._prefix = f"{name}/".encode()

    def _name(self, generation: int) -> bytes:
        return self._prefix + str(generation).encode()

    def get_many(self, generation: int, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Give values."""
        return self._file.get_many(self._name(generation), ids)

    def put_many(self, generation: int, ids: Sequence[bytes], values: Sequence[bytes]) -> bool:
        """Set values."""
        return self._file.put_many(self._name(generation), ids, values)

    def drop(self, generation: int) -> None:
        """Forget a generation."""
        self._file.drop(self._name(generation))

    def generations(self) -> Iterable[int]:
        """Give the generations."""
        names = (name for name in self._file.names() if name.startswith(self._prefix))
        return [int(name.removeprefix(self._prefix)) for name in names]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole file, told by the first part alone, so that they are not added up twice."""
        return self._file.nbytes if self._tells_bytes else 0


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn errors of the system and of LMDB into ours."""
    try:
        yield
    except (OSError, lmdb.Error) as error:
        raise StateError(
            f"{path}: {error}; see that the disk is not full. Without this folder driftd goes on, and outcomes of"
            " inferences from before are unmatched"
        ) from error
