"""Loggers are made anew for every test.

A command that runs inside the tests sets up logging, and the loggers of modules would go on writing to what was
standard error then, which is closed by now.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog


@pytest.fixture(autouse=True, scope="session")
def _loggers_are_not_cached() -> Iterator[None]:
    configure = structlog.configure

    def configured(**options: Any) -> None:  # noqa: ANN401 - as structlog takes them
        configure(**{**options, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configured)
        yield
