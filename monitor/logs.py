"""Logging set up once: one line per event, JSON for machines or coloured for people, to standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Final, TextIO, cast

import structlog

from monitor.harmless import escaped

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
TEXT_CHARS_MAX: Final = 2_000


_least = logging.INFO


class _StandardError:
    """Standard error as it is when a line is written: a stream that took its place, and may be closed, is not kept."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def set_level(level: str) -> None:
    """Print from now on what is at least so severe."""
    global _least  # noqa: PLW0603 - structlog's loggers are cached where they were made, so the level can't be theirs
    _least = LEVELS[level]


def _severe_enough(_: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if getattr(logging, "ERROR" if method == "exception" else method.upper(), logging.ERROR) < _least:
        raise structlog.DropEvent
    return event


def set_up(level: str, form: str) -> None:
    """Configure structlog. form: json, console, or auto (console if standard error is a terminal)."""
    set_level(level)
    is_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if is_console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            _severe_enough,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _bound,
            *([_indented] if is_console else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=cast("TextIO", _StandardError()), level=logging.WARNING, format="%(message)s")


def _bound(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Keep each value to a bounded length and one line, so that no name from outside can forge a line or a colour."""
    for key, value in event.items():
        if key in {"exception", "stack"} and isinstance(value, str):
            event[key] = "\n".join(map(escaped, value.split("\n")))
        else:
            event[key] = _harmless_value(value)
    return event


def _indented(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Mark the lines of a stack, which alone may be several: what an exception says can hold a name from outside."""
    for key in {"exception", "stack"} & event.keys():
        event[key] = "\n".join(f"  | {line}" for line in str(event[key]).split("\n"))
    return event


def _harmless_value(value: object) -> object:
    if isinstance(value, str):
        return escaped(value if len(value) <= TEXT_CHARS_MAX else value[:TEXT_CHARS_MAX] + "…")
    if isinstance(value, Mapping):
        return {escaped(str(key)): _harmless_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_harmless_value(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else escaped(str(value))
