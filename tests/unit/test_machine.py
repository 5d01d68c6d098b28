"""Memory of the control group, of both versions, and room on a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor import machine
from monitor.selfwatch import Usage


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


V2 = "sys/fs/cgroup/kube/pod"
V1 = "sys/fs/cgroup/memory/docker/ab"
STAT = "anon 5\ninactive_file 300\ntotal_inactive_file 300\n"
CASES: dict[str, tuple[dict[str, str], Usage | None]] = {
    "version 2, without what is cache": (
        {
            "proc/self/cgroup": "0::/kube/pod\n",
            f"{V2}/memory.max": "2000\n",
            f"{V2}/memory.current": "900\n",
            f"{V2}/memory.stat": STAT,
        },
        Usage(600, 2000),
    ),
    "version 2, the limit is of a group above": (
        {
            "proc/self/cgroup": "0::/kube/pod\n",
            f"{V2}/memory.max": "max\n",
            f"{V2}/memory.current": "900\n",
            "sys/fs/cgroup/kube/memory.max": "4000\n",
            "sys/fs/cgroup/kube/memory.current": "1000\n",
        },
        Usage(1000, 4000),
    ),
    "version 2 in a container, whose group is mounted as the root": (
        {
            "proc/self/cgroup": "0::/../../elsewhere\n",
            "sys/fs/cgroup/memory.max": "2000\n",
            "sys/fs/cgroup/memory.current": "900\n",
        },
        Usage(900, 2000),
    ),
    "version 2 without a limit": (
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "max\n",
            "sys/fs/cgroup/memory.current": "900\n",
        },
        None,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "11:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n",
            f"{V1}/memory.limit_in_bytes": "2000\n",
            f"{V1}/memory.usage_in_bytes": "900\n",
            f"{V1}/memory.stat": STAT,
        },
        Usage(600, 2000),
    ),
    "version 1 without a limit": (
        {
            "proc/self/cgroup": "4:memory:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "900\n",
        },
        None,
    ),
    "both, where version 2 knows nothing of memory": (
        {
            "proc/self/cgroup": "4:memory:/\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "900\n",
        },
        Usage(900, 2000),
    ),
    "numbers that are none": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "x", "sys/fs/cgroup/memory.current": ""},
        None,
    ),
    "lines that are none": ({"proc/self/cgroup": "what is this\n"}, None),
    "no control groups": ({}, None),
}


@pytest.mark.parametrize(("files", "found"), CASES.values(), ids=CASES)
def test_memory_is_that_of_the_innermost_group_with_a_limit(
    files: dict[str, str], found: Usage | None, tmp_path: Path
) -> None:
    assert found == machine.memory(tree(tmp_path, files))


def test_this_machine_can_be_asked() -> None:
    found = machine.memory()

    assert found is None or 0 < found.used


def test_disk_is_that_of_the_folder(tmp_path: Path) -> None:
    found = machine.disk(tmp_path)

    assert found is not None
    assert 0 < found.used < found.limit
    assert machine.disk(tmp_path / "missing") is None
