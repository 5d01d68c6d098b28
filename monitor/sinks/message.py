"""What people and their tools read about an alert: labels that identify it, annotations that explain it. Pure.

Labels are the identity: they hold nothing that moves while an alert lives, save the severity, which routing needs.
Where labels are the only identity (Alertmanager), the sink ends the old label set itself when the severity changes.

Field names, segments and versions come from events, so they are foreign text: control and formatting characters (line
breaks, escape codes, right-to-left overrides) are taken out, and lengths are bounded. What chats take for a command is
broken up by a look-alike: <!channel>, <@U1> and tags, @here and its kind, and links with another text than their
address. A label that had to be changed ends in a hash of the original, so that two alerts never become one.
"""

from __future__ import annotations

import hashlib
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from monitor.domain import AlertState
from monitor.harmless import is_unsafe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.domain import Alert

SERVICE: Final = "driftd"
DRILL: Final = "[DRILL] "
"""What the summary of a drill begins with, so that nobody who is woken by one takes it for the real thing."""
LABEL_CHARACTERS_MAX: Final = 200  # ours: fits the 255 of the tightest receiver (PagerDuty's key) with room to spare
SUMMARY_CHARACTERS_MAX: Final = 1024  # PagerDuty's limit, the tightest known
DESCRIPTION_CHARACTERS_MAX: Final = 4000  # ours: a page of text
ANNOTATION_CHARACTERS_MAX: Final = 1024  # ours: a long URL
DETAILS_MAX: Final = 16  # ours: what a person reads in a notification

# What Slack, Mattermost, Discord, Teams and mail readers obey. "a < b" and "team@example.com" are left alone.
_MARKUP: Final = re.compile(
    r"(?P<tag><(?=[!@#/?a-z][^<>]*>))"
    r"|(?P<at>@(?=(?:here|channel|all|everyone|group|team|online)\b))"
    r"|(?P<link>\](?=\())",
    re.IGNORECASE,
)
_LOOKALIKES: Final = {"tag": "‹", "at": "＠", "link": "］"}  # noqa: RUF001 - that they look alike is the point
_HASH_CHARACTERS: Final = 8
_YEAR_ENDS_S: Final = (0.0, 253402300799.0)  # what a date with four digits can say


class Description(NamedTuple):
    """An alert in words. Both mappings hold short, printable text only, and no empty values."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def describe(alert: Alert) -> Description:
    """Give the labels and annotations of an alert. The same alert gives the same words, in the same order."""
    return Description(_labels(alert), _annotations(alert))


def timestamp(time_s: float) -> str:
    """Give a time as RFC 3339 in UTC with milliseconds; times outside the years 1970 to 9999 become the nearest end."""
    bounded_s = min(max(time_s, _YEAR_ENDS_S[0]), _YEAR_ENDS_S[1]) if math.isfinite(time_s) else 0.0
    return datetime.fromtimestamp(bounded_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(text: str, characters_max: int) -> str:
    """Give text without control or formatting characters, without what chats obey, trimmed, and cut where too long."""
    printable = _printable(text)
    return printable if len(printable) <= characters_max else printable[: characters_max - 1] + "…"


def _labels(alert: Alert) -> dict[str, str]:
    key = alert.key
    labels = {
        "alertname": alert.rule,
        "service": SERVICE,
        "model": key.model,
        "model_version": key.model_version,
        "field": key.field,
        "segment": key.segment,
        "severity": alert.severity.label,
        "owner": alert.owner,
        "drill": "true" if alert.is_drill else "",
    }
    return {name: _identity(value) for name, value in labels.items() if value}


def _annotations(alert: Alert) -> dict[str, str]:
    is_address = alert.runbook.startswith(("https://", "http://"))
    summary = clean(alert.summary, SUMMARY_CHARACTERS_MAX) or _headline(alert)
    annotations = {
        "summary": clean((DRILL if alert.is_drill else "") + summary, SUMMARY_CHARACTERS_MAX),
        "description": clean(_description(alert), DESCRIPTION_CHARACTERS_MAX),
        "response": alert.response,
        "runbook_url" if is_address else "runbook": alert.runbook,
        "statistic": alert.statistic,
        "value": _number(alert.value),
        "threshold": _number(alert.threshold),
        "band": alert.band.label,
        "since": timestamp(alert.since_s),
        "change": alert.change,
        "rank": f"{alert.rank} of {alert.together}" if alert.together > 1 else "",
        "detection_delay": "" if alert.firing_s is None else _delay(alert.firing_s - alert.since_s),
        "reference": alert.reference,
        "run_id": alert.lineage.run_id,
        "registry_version": alert.lineage.registry_version,
        "config_version": alert.config_version,
        "incident": alert.incident,
        "dedup_key": alert.dedup_key,
        "details": "; ".join(f"{name}: {value}" for name, value in list(alert.details.items())[:DETAILS_MAX]),
    }
    longer = {"summary", "description"}
    bounded = {
        name: text if name in longer else clean(text, ANNOTATION_CHARACTERS_MAX) for name, text in annotations.items()
    }
    return {name: text for name, text in bounded.items() if text}


def _headline(alert: Alert) -> str:
    return f"{alert.statistic} of {_stream(alert)} is {_number(alert.value)}"


def _stream(alert: Alert) -> str:
    key = alert.key
    version = f" version {_identity(key.model_version)}" if key.model_version else ""
    segment = f" where {_identity(key.segment)}" if key.segment else ""
    return f"{_identity(key.field)} in model {_identity(key.model)}{version}{segment}"


def _description(alert: Alert) -> str:
    low, high = alert.interval
    has_odds = alert.evidence_needed > 0  # what driftd tells of itself is known, not estimated
    parts = [
        f"{_headline(alert)} (interval {_number(low)} to {_number(high)}), threshold {_number(alert.threshold)}.",
        f"{alert.samples} samples in {_duration(alert.window_s)}.",
        *([f"Evidence {_number(alert.evidence)} nats, {_number(alert.evidence_needed)} needed."] if has_odds else []),
        f"Estimated onset {timestamp(alert.since_s)}.",
    ]
    if alert.change:
        parts.insert(1, f"Kind of change: {alert.change}.")
    if alert.together > 1:
        parts.append(f"Number {alert.rank} of {alert.together} that moved together, the strongest first.")
    if alert.firing_s is not None:
        decided = _delay(alert.firing_s - alert.since_s)
        parts.append(f"Firing since {timestamp(alert.firing_s)}, decided {decided} after the estimated onset.")
    if alert.state is AlertState.RESOLVED and alert.resolved_s is not None:
        parts.append(f"Resolved {timestamp(alert.resolved_s)}.")
    return " ".join(parts)


def _identity(text: str) -> str:
    """Give text fit for a label; distinct texts stay distinct."""
    printable = _printable(text)
    if printable == text and len(text) <= LABEL_CHARACTERS_MAX:
        return text
    fingerprint = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
    return f"{printable[: LABEL_CHARACTERS_MAX - _HASH_CHARACTERS - 1]}~{fingerprint}"


def _printable(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        text = "".join(" " if is_unsafe(each) else each for each in text)
    return _MARKUP.sub(lambda found: _LOOKALIKES[str(found.lastgroup)], text).strip()


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "unknown"


def _delay(delay_s: float) -> str:
    """Give a time between estimate and decision; the estimate is good to a second at best."""
    return f"{max(0.0, delay_s):.0f} s" if math.isfinite(delay_s) else "unknown"


def _duration(span_s: float) -> str:
    for unit_s, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if span_s >= unit_s and span_s % unit_s == 0:
            return f"{span_s / unit_s:.0f} {unit}"
    return f"{_number(span_s)} s"
