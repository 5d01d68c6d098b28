"""The receivers that alerts can go to: one file and one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from monitor.sinks.alertmanager import AlertmanagerParams, make_alertmanager
from monitor.sinks.log import LogParams, LogSink
from monitor.sinks.webhook import WebhookParams, WebhookSink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from monitor.sinks.base import Sink

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class SinkKind(Generic[P]):
    """One kind of receiver.

    params: the dataclass of what can be configured. make: gives the sinks of one configured receiver, by its name and
    params; several where each replica is to be told. It opens no connection, and raises ConfigError where a named file
    can't be used.
    """

    params: type[P]
    make: Callable[[str, P], Sequence[Sink]]


SINKS: Final[Mapping[str, SinkKind[Any]]] = {
    "log": SinkKind(LogParams, lambda name, params: [LogSink(name, params)]),
    "alertmanager": SinkKind(AlertmanagerParams, make_alertmanager),
    "webhook": SinkKind(WebhookParams, lambda name, params: [WebhookSink(name, params)]),
}
"""Name in configuration -> kind."""
