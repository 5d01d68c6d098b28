"""Alerts to Alertmanager's API v2, which groups, silences and routes them.

Each replica is a sink of its own, with its own queue, retries and health, because Alertmanager asks its clients to tell
every replica: so one that is down or slow holds back no other, and only what it missed is sent to it again.

What Alertmanager expects, and where it is done:

* labels are the identity. Our severity is one of them, for routing, and may change while an alert lives: then the old
  label set is ended explicitly, here. For a while it is sent along at each re-send, as every resolved alert is.
* firing alerts are repeated, with an end time ahead that outlives some missed repeats; should driftd die, its alerts
  end by themselves. Resolved ones are repeated for five minutes with their true end. Delivery does the repeating.

Source: Alertmanager's documentation, "Alerts API" (alerts_api) and its OpenAPI specification; the times are those that
Prometheus uses (a repeat each minute, an end four repeats ahead).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import httpx2
from pydantic import ConfigDict

from monitor.sinks.base import RESOLVED_RESEND_S, Notice, Terms
from monitor.sinks.http import HttpParams, Poster, check_target, check_timeout, check_url
from monitor.sinks.message import describe, timestamp

_PATH: Final = "/api/v2/alerts"
_NOTICES_MAX: Final = 64  # ours: about 100 kB per request
_END_REPEATS: Final = 4.0  # how many repeats an alert outlives; the source above
_REPLICAS_MAX: Final = 16  # ours: more is a mistake in a template
_PRUNE_MIN: Final = 64


@dataclass(frozen=True, slots=True)
class AlertmanagerParams:
    """Which Alertmanager.

    urls: the base address of every replica, never a load balancer's, such as "https://alertmanager-0:9093"; a path
    before /api is kept. resend_s: how often firing alerts are repeated, 1 to 3600. timeout_s: for each wait within an
    attempt. generator_url: where a person finds more about the alerts, shown as their source; "" for none.

    An Alertmanager on this very machine is nothing odd, so loopback addresses need no http.allow_internal.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid", "hide_input_in_errors": True}

    urls: tuple[str, ...]
    resend_s: float = 60.0
    timeout_s: float = 10.0
    generator_url: str = ""
    http: HttpParams = field(default_factory=HttpParams)

    def __post_init__(self) -> None:
        if not 1 <= len(self.urls) <= _REPLICAS_MAX:
            raise ValueError(f"urls must name 1 to {_REPLICAS_MAX} replicas, got {len(self.urls)}")
        if len(set(self.urls)) != len(self.urls):
            raise ValueError("urls must not name a replica twice")
        for index, url in enumerate(self.urls):
            check_target(url, f"urls[{index}]", self.http, is_loopback_allowed=True)
        if self.generator_url:
            check_url(self.generator_url, "generator_url")
        if not 1 <= self.resend_s <= 3600:
            raise ValueError(f"resend_s must be 1 to 3600, got {self.resend_s}")
        check_timeout(self.timeout_s)


def make_alertmanager(name: str, params: AlertmanagerParams) -> Sequence["AlertmanagerSink"]:
    """Give one sink per replica; where there are several, each has its address in its name."""
    if len(params.urls) == 1:
        return (AlertmanagerSink(name, params.urls[0], params),)
    return tuple(AlertmanagerSink(f"{name}/{_address(url)}", url, params) for url in params.urls)


class AlertmanagerSink:
    """Tells one replica. Remembers, for each alert that lives, under which severities that replica was told of it."""

    def __init__(self, name: str, url: str, params: AlertmanagerParams) -> None:
        self.name: Final = name
        self.terms: Final = Terms(resend_s=params.resend_s, notices_max=_NOTICES_MAX)
        self._lead_s = _END_REPEATS * params.resend_s
        self._generator_url = params.generator_url
        self._poster = Poster(url.rstrip("/") + _PATH, params.timeout_s, params.http, is_loopback_allowed=True)
        self._label_sets = LabelSets(keep_s=max(RESOLVED_RESEND_S, self._lead_s))

    def deliver(self, notices: Sequence[Notice], now_wall_s: float) -> None:
        """Send the alerts, with the label sets that they have left, in one request. Raises SinkError."""
        alerts = [each for notice in notices for each in self._alerts(notice, now_wall_s)]
        self._poster.post(json.dumps(alerts, ensure_ascii=False).encode(), {}, now_wall_s)

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()

    def _alerts(self, notice: Notice, now_wall_s: float) -> Iterator[Mapping[str, object]]:
        alert = notice.alert
        labels, annotations = describe(alert)
        for severity, ended_wall_s in self._label_sets.leave(notice, now_wall_s).items():
            yield self._alert({**labels, "severity": severity}, annotations, alert.firing_s, ended_wall_s)
        ends_s = now_wall_s + self._lead_s
        if notice.is_resolved:
            # Event time: the true end. Never ahead, where a producer's clock is, or it would go on firing until then.
            ends_s = now_wall_s if alert.resolved_s is None else min(alert.resolved_s, now_wall_s)
        yield self._alert(labels, annotations, alert.firing_s, ends_s)

    def _alert(
        self, labels: Mapping[str, str], annotations: Mapping[str, str], starts_s: float | None, ends_s: float
    ) -> Mapping[str, object]:
        alert: dict[str, object] = {
            "labels": labels,
            "annotations": annotations,
            # Refused if it came after the end.
            "startsAt": timestamp(ends_s if starts_s is None else min(starts_s, ends_s)),
            "endsAt": timestamp(ends_s),
        }
        if self._generator_url:
            alert["generatorURL"] = self._generator_url
        return alert


class LabelSets:
    """Which label sets of each alert a replica may hold for firing, told apart by severity, the only label that moves.

    keep_s: for how long a label set that was left is named again; past the time at which it ends by itself.
    """

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._left: dict[str, dict[str, float | None]] = {}
        self._prune_at = _PRUNE_MIN

    def leave(self, notice: Notice, now_wall_s: float) -> Mapping[str, float]:
        """Note the severity told now. Give the others that are to be ended: severity -> when it was left, wall clock.

        A severity counts from the first attempt, since a failed one may have arrived.
        """
        current = notice.alert.severity.label
        sets = self._left.setdefault(notice.key, {})
        for severity, left_wall_s in sets.items():
            if severity != current and left_wall_s is None:
                sets[severity] = now_wall_s
        sets[current] = now_wall_s if notice.is_resolved else None
        self._prune(now_wall_s)
        return {
            severity: left_wall_s
            for severity, left_wall_s in sets.items()
            if severity != current and left_wall_s is not None and now_wall_s - left_wall_s <= self._keep_s
        }

    def __len__(self) -> int:
        return len(self._left)

    def _prune(self, now_wall_s: float) -> None:
        """Forget alerts that were over long ago; seldom, so that a call costs the same however many there are."""
        if len(self._left) < self._prune_at:
            return
        self._left = {key: sets for key, sets in self._left.items() if not self._is_over(sets, now_wall_s)}
        self._prune_at = max(_PRUNE_MIN, 2 * len(self._left))

    def _is_over(self, sets: Mapping[str, float | None], now_wall_s: float) -> bool:
        return all(left is not None and now_wall_s - left > self._keep_s for left in sets.values())


def _address(url: str) -> str:
    parsed = httpx2.URL(url)
    return f"{parsed.netloc.decode('ascii')}{parsed.path.rstrip('/')}"
