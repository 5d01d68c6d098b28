"""A progress bar with rate and time left, when a person is watching; nothing otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class Bar(Protocol):
    """Told how far the work has come."""

    def __call__(self, done: float, events: int) -> None:
        """Say that a share of 0 to 1 is done, and how many events that was."""
        ...


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        events, elapsed_s = int(task.fields["events"]), task.finished_time or task.elapsed or 0.0
        return Text(f"{events:,} events, {events / elapsed_s:,.0f}/s" if elapsed_s > 0 else f"{events:,} events")


@contextmanager
def progress(what: str) -> Iterator[Bar]:
    """Give a bar that shows on standard error if it is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, events: None  # noqa: ARG005
        return
    columns = (TextColumn("{task.description}"), BarColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0, events=0)
        yield lambda done, events: bar.update(task, completed=done, events=events)
