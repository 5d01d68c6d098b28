"""What is drilled, and what came of it: found or not, by whom heard or not, and how long each step took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from monitor.domain import Alert


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be drilled. model, field, size: None: the first that fits, the incident's own size."""

    incident: str
    model: str | None = None
    field: str | None = None
    size: float | None = None
    timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Result:
    """form: twin or live. planted_s: event time from which events were of the incident.

    found: the alert as it began to fire, None: none did. lag_s: from the event time of the decision until it was made;
    of a twin, as long as late events are waited for. heard: by sink, seconds from then until its receiver accepted it,
    None: not within the time. false_alarms: what fired before anything was planted. is_over: whether the alert has been
    resolved at the receivers.
    """

    form: str
    incident: str
    words: str
    model: str
    stream: str
    planted_s: float
    found: Alert | None = None
    lag_s: float = 0.0
    heard: Mapping[str, float | None] = field(default_factory=dict)
    false_alarms: Sequence[str] = ()
    is_over: bool = False

    @property
    def is_good(self) -> bool:
        """Whether the alert fired, and every receiver has accepted it."""
        return self.found is not None and bool(self.heard) and None not in self.heard.values()

    @property
    def decision_s(self) -> float | None:
        """From the first event of the incident to the decision, in event time."""
        return None if self.found is None or self.found.firing_s is None else self.found.firing_s - self.planted_s

    @property
    def mttd_s(self) -> float | None:
        """From the first event of the incident until the last receiver had accepted the alert."""
        if not self.is_good or self.decision_s is None:
            return None
        return self.decision_s + self.lag_s + max(each for each in self.heard.values() if each is not None)

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        alert = self.found
        return {
            "ok": self.is_good,
            "form": self.form,
            "incident": self.incident,
            "words": self.words,
            "model": self.model,
            "stream": self.stream,
            "planted": self.planted_s,
            "detected": alert is not None,
            "delivered": self.is_good,
            "rule": None if alert is None else alert.rule,
            "severity": None if alert is None else alert.severity.label,
            "summary": None if alert is None else alert.summary,
            "dedup_key": None if alert is None else alert.dedup_key,
            "onset_error_s": None if alert is None else round(alert.since_s - self.planted_s, 3),
            "decision_delay_s": _rounded(self.decision_s),
            "lag_s": _rounded(self.lag_s),
            "delivery_delay_s": {sink: _rounded(delay_s) for sink, delay_s in self.heard.items()},
            "mttd_s": _rounded(self.mttd_s),
            "false_alarms": list(self.false_alarms),
            "resolved": self.is_over,
        }

    def to_text(self) -> str:
        """Give it for people."""
        planted = datetime.fromtimestamp(self.planted_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        lines = [f"planted    {self.incident} in {self.model}: {self.words}, from {planted} on"]
        lines += [f"before     {text} (fired before anything was planted)" for text in self.false_alarms]
        if self.found is None or self.decision_s is None:
            return "\n".join([*lines, f"FAILED     no alert on {self.stream} fired"])
        off_s = self.found.since_s - self.planted_s
        lines.append(f"detected   {self.found.severity.label} {self.found.summary}")
        lines.append(
            f"           {self.decision_s:.1f} s of events after it was planted, {self.lag_s:.1f} s behind them;"
        )
        lines.append(f"           the estimated onset is off by {off_s:+.1f} s")
        for sink, delay_s in self.heard.items():
            lines.append(f"{'delivered' if delay_s is not None else 'NOT TOLD':<10} {_heard(sink, delay_s)}")
        lines.append(f"resolved   {'yes' if self.is_over else 'not yet: the alert ends when healthy events prove it'}")
        if self.is_good:
            told = f"detected and delivered to {len(self.heard)} of {len(self.heard)} receivers"
            return "\n".join([*lines, f"OK         {told}, mean time to detect {self.mttd_s:.1f} s"])
        missing = ", ".join(sink for sink, delay_s in self.heard.items() if delay_s is None) or "there is no receiver"
        return "\n".join([*lines, f"FAILED     detected, but not delivered: {missing}"])


def _heard(sink: str, delay_s: float | None) -> str:
    return f"{sink}: not accepted in time" if delay_s is None else f"{sink}, {delay_s:.2f} s after the decision"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
