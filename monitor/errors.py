"""The exceptions of driftd: trouble is an exception, bad data is a counted value.

DriftdError
├── ConfigError       the configuration can't be used; says the place and the cure (exit 78)
├── BaselineError     a reference file can't be read or does not fit
├── SourceError       events can't be read; `is_fatal` says whether going on makes sense
├── SinkError         a notification was not delivered; `is_retryable` says whether to try again
└── StateError        stored state can't be read or written
"""

from __future__ import annotations


class DriftdError(Exception):
    """The root: catch this at the top to tell our trouble from a bug."""


class ConfigError(DriftdError):
    """The configuration can't be used."""


class BaselineError(DriftdError):
    """A reference can't be read, written or applied."""


class SourceError(DriftdError):
    """Events can't be read."""

    def __init__(self, message: str, *, is_fatal: bool = True) -> None:
        super().__init__(message)
        self.is_fatal = is_fatal


class SinkError(DriftdError):
    """A notification was not delivered. `reason` is one of a bounded set, for metrics."""

    def __init__(self, message: str, *, is_retryable: bool, reason: str) -> None:
        super().__init__(message)
        self.is_retryable = is_retryable
        self.reason = reason


class StateError(DriftdError):
    """Stored state can't be read or written."""
