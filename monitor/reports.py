"""What others report to the log: each reason at most once in a while."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

ERROR_LOG_S: Final = 30.0
"""The same error is logged again only after this long; the metric counts every one."""

log = structlog.get_logger()


class ErrorLog:
    """Logs what a source reports, each reason at most once in ERROR_LOG_S."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_s: dict[str, float] = {}
        self._since: Counter[str] = Counter()

    def __call__(self, reason: str, text: str, cure: str) -> None:
        """Log an error, or count that it came again."""
        now_s = self._clock()
        self._since[reason] += 1
        if now_s - self._last_s.get(reason, -ERROR_LOG_S) >= ERROR_LOG_S:
            log.warning("source error", error_code=reason, error=text, cure=cure or None, times=self._since.pop(reason))
            self._last_s[reason] = now_s
