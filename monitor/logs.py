"""Logging set up once: one line per event, JSON for machines or coloured for people, to standard error."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
TEXT_CHARS_MAX: Final = 2_000


def set_up(level: str, form: str) -> None:
    """Configure structlog. form: json, console, or auto (console if standard error is a terminal)."""
    is_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if is_console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _bound,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")


def _bound(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Keep each value to a bounded length and one line, so that no name from outside can forge a line."""
    for key, value in event.items():
        if isinstance(value, str):
            short = value if len(value) <= TEXT_CHARS_MAX else value[:TEXT_CHARS_MAX] + "…"
            event[key] = short if key in ("exception", "stack") else short.replace("\r", "\\r").replace("\n", "\\n")
    return event
