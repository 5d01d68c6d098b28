"""The sink that is always there: one line per transition in the daemon's own log, pending ones too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import structlog
from pydantic import ConfigDict

from monitor.domain import AlertState
from monitor.errors import SinkError
from monitor.sinks.base import Notice, Terms
from monitor.sinks.message import describe, timestamp

_NOTICES_MAX: Final = 64  # ours: a line is cheap, and a bounded call lets shutdown in


@dataclass(frozen=True, slots=True)
class LogParams:
    """Nothing to set: where the lines go, and how they look, is the daemon's logging."""

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}


class LogSink:
    """Writes each transition as one structured line: firing as a warning, the rest for information."""

    terms: Final = Terms(notices_max=_NOTICES_MAX, is_every_change_told=True)

    def __init__(self, name: str, params: LogParams) -> None:  # noqa: ARG002 - all sinks are made the same way
        self.name: Final = name
        self._log = structlog.get_logger("monitor.alerts")

    def deliver(self, notices: Sequence[Notice], now_wall_s: float) -> None:  # noqa: ARG002 - the protocol's
        """Write the lines. Raises SinkError where the log can't be written."""
        try:
            for notice in notices:
                write = self._log.warning if notice.alert.state is AlertState.FIRING else self._log.info
                write(f"alert {notice.alert.state.value}", **_fields(notice))
        except OSError as error:  # a full disk, a pipe whose reader has gone
            raise SinkError(f"the log can't be written: {error}", is_retryable=True, reason="other") from error

    def close(self) -> None:
        """Do nothing: the log is not ours to close."""


def _fields(notice: Notice) -> dict[str, object]:
    alert = notice.alert
    words = describe(alert)
    told = {**words.labels, **words.annotations}
    # Numbers as numbers, for those who search them; a summary and the facts are enough for one line.
    for name in ("service", "description", "value", "threshold"):
        told.pop(name, None)
    return {
        "rule": told.pop("alertname", ""),
        **told,
        "value": alert.value,
        "threshold": alert.threshold,
        "samples": alert.samples,
        "reason": notice.transition.reason.value,
        "time": timestamp(notice.transition.time_s),
    }
