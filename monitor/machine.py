"""What the machine gives driftd: memory of its control group, and room on a disk. Read from files, never waits long."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Final

from monitor.selfwatch import Usage

ROOT: Final = Path("/")
UNLIMITED: Final = 1 << 60
"""Version 1 of control groups says "no limit" as a number near 2^63."""


def memory(root: Path = ROOT) -> Usage | None:
    """Give what the control group uses and may use, without what the kernel can take back; None: no limit, or unknown.

    The innermost group that has a limit counts. root: where /proc and /sys are, another one in tests.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    for line in groups.splitlines():
        number, controllers, path = [*line.split(":", maxsplit=2), "", "", ""][:3]
        if number == "0" and not controllers:
            found = _memory(root / "sys/fs/cgroup", path, ("memory.max", "memory.current", "inactive_file"))
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            found = _memory(root / "sys/fs/cgroup/memory", path, names)
        else:
            continue
        if found is not None:
            return found
    return None


def _memory(mount: Path, path: str, names: tuple[str, str, str]) -> Usage | None:
    """Look from the group upwards; in a container the group itself is often mounted as the root."""
    limit_name, used_name, cache_name = names
    inner = PurePosixPath("" if ".." in path else path.lstrip("/"))
    for each in (inner, *inner.parents):
        folder = mount / each
        limit, used = _number(folder / limit_name), _number(folder / used_name)
        if limit is not None and used is not None and 0 < limit < UNLIMITED:
            return Usage(max(0, used - _cache(folder / "memory.stat", cache_name)), limit)
    return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" is no limit
        return None


def _cache(path: Path, name: str) -> int:
    """Give the part that is cache of files, which is given up before anything is killed."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)
    except (OSError, ValueError, IndexError):
        return 0


def disk(folder: Path) -> Usage | None:
    """Give what of the disk that holds a folder is used, of what we may use; None: unknown."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    used, free = found.f_blocks - found.f_bfree, found.f_bavail
    return Usage(used * found.f_frsize, (used + free) * found.f_frsize)
