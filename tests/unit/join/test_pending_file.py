from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.join.pending import Pending
from monitor.store.pending_file import PendingFile

if TYPE_CHECKING:
    from pathlib import Path

ID = b"12345678"


def test_file_without_a_name_leaves_nothing_behind_and_parts_do_not_mix(tmp_path: Path) -> None:
    file = PendingFile(tmp_path / "state", 64 << 20, is_nameless=True)
    parts = [Pending(file.part(name)) for name in ("t-1/asked", "t-1/told", "t-11/asked")]
    for number, part in enumerate(parts):
        part.add([3], [ID], [bytes([65 + number])])
        part.saved()
        part.drain()
    found = [part.get_many([ID]) for part in parts]
    parts[0].clear()

    assert [[(3, b"A")], [(3, b"B")], [(3, b"C")]] == found
    assert [] == list((tmp_path / "state").iterdir())
    assert [[None], [(3, b"B")], [(3, b"C")]] == [part.get_many([ID]) for part in parts]
    assert (0, 1) == (len(parts[0]), len(parts[1]))
    assert parts[0].nbytes > 0 == parts[1].nbytes
    file.close()
