"""What all benchmarks share: the options, the table, the last line."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path


def options(description: str) -> argparse.Namespace:
    """Read --quick."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="end within 50 s, with less precision")
    return parser.parse_args()


def show(title: str, rows: Mapping[str, object], figures: Mapping[str, float | int | None]) -> None:
    """Print a table for people and, as the last line, one JSON object of the figures."""
    print(title)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}\n")
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"  {name:<{width}}  {value}")
    print()
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}))
    sys.stdout.flush()


def rss_mb(status: str | None = None) -> float:
    """Give the resident memory of this process in MB, or of the one whose /proc status text is given."""
    text = status or Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6
