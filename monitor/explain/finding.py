"""Alerts from a running daemon or from a file of `driftd replay`, and which of them a person means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from monitor.alert_json import alert_of
from monitor.backtest import stream_text, strength
from monitor.domain import Alert, AlertState
from monitor.errors import DriftdError, SourceError

TIMEOUT_S: Final = 10.0
KEY_CHARACTERS_MIN: Final = 4
"""Shorter beginnings of a key are words."""
LISTED_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Known:
    """An alert and who was told of it. deliveries: by sink, None for one that did not accept it yet."""

    alert: Alert
    deliveries: Mapping[str, Mapping[str, float] | None] = field(default_factory=dict)


def from_daemon(url: str) -> list[Known]:
    """Give the alerts of a running daemon, those that ended lately too. Raises DriftdError if it can't be asked."""
    told = ask(url, "/api/v1/alerts")
    return [Known(alert_of(each), each.get("deliveries") or {}) for each in told["alerts"]]


def ask(url: str, path: str) -> Any:  # noqa: ANN401 - JSON, which the caller takes apart
    """Give what a daemon's API answers. Raises DriftdError that names address and cure."""
    address = url.rstrip("/") + path
    try:
        answer = httpx2.get(address, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()
    except (httpx2.HTTPStatusError, ValueError) as error:
        raise DriftdError(f"{address}: no driftd of this version answers there: {error}") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        cure = "is it running, and is this its http.host and http.port? Name another address with --url"
        raise DriftdError(f"no daemon answers at {url}: {error}; {cure}") from None


def from_file(path: Path) -> list[Known]:
    """Give the alerts of a file of transitions, each as it was last. Raises SourceError with the line that is wrong."""
    latest: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(_lines(path), 1):
        try:
            found = json.loads(line)
            latest[found["dedup_key"]] = _joined(latest.get(found["dedup_key"]), found)
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{path}:{number}: not a transition as `driftd replay` writes them: {error}") from None
    return [Known(alert_of(told)) for told in latest.values()]


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from None


def _joined(before: Mapping[str, Any] | None, line: Mapping[str, Any]) -> dict[str, Any]:
    """Give an alert after one more transition, in the form of the API. Of one that ended: as it was while it fired."""
    state, at_s = AlertState(line["status"]), line["time"]
    name, _, segment = line["stream"].partition("|")
    if before is None or before["state"] is AlertState.RESOLVED:
        before = {"pending": at_s, "firing": None}
    elif state is AlertState.RESOLVED:
        return {**before, "state": state, "resolved": at_s}
    is_first_fire = state is AlertState.FIRING and before["firing"] is None
    return {
        **line,
        "state": state,
        "band": line.get("band"),
        "field": name,
        "segment": segment,
        "pending": before["pending"],
        "firing": at_s if is_first_fire else before["firing"],
        "resolved": at_s if state is AlertState.RESOLVED else None,
    }


def select(known: Sequence[Known], wanted: str) -> list[Known]:
    """Give the alerts that a person means, the strongest first. Raises DriftdError that lists those there are.

    wanted: a dedup_key or an incident or the beginning of one; else words that name, stream or model contain.
    """
    for found in (_by_key(known, wanted), _by_incident(known, wanted), _by_words(known, wanted)):
        if found:
            return sorted(found, key=lambda each: strength(each.alert))
    what = f"no alert is named {wanted!r}" if known else f"no alert is named {wanted!r}: there are none at all"
    raise DriftdError("\n".join([what, *listed(known)]))


def _by_key(known: Iterable[Known], wanted: str) -> list[Known]:
    exact = [each for each in known if each.alert.dedup_key == wanted]
    is_long = len(wanted) >= KEY_CHARACTERS_MIN
    return exact or [each for each in known if is_long and each.alert.dedup_key.startswith(wanted)]


def _by_incident(known: Iterable[Known], wanted: str) -> list[Known]:
    is_long = len(wanted) >= KEY_CHARACTERS_MIN
    return [each for each in known if is_long and each.alert.incident.startswith(wanted)]


def _by_words(known: Iterable[Known], wanted: str) -> list[Known]:
    words = [word for word in re.split(r"[\s/|,]+", wanted.lower()) if word]

    def fits(alert: Alert) -> bool:
        said = " ".join((alert.rule, *alert.key)).lower()
        return bool(words) and all(word in said for word in words)

    return [each for each in known if fits(each.alert)]


def listed(known: Sequence[Known]) -> list[str]:
    """Give one line per alert, by which it can be asked for."""
    if not known:
        return []
    lines = ["there are:"]
    for each in known[:LISTED_MAX]:
        alert = each.alert
        model = " ".join(alert.key[:2]).strip()
        lines.append(
            f"  {alert.dedup_key[:12]}  {alert.state:<8}  {alert.severity.label}  {model}:"
            f" {alert.rule} of {stream_text(alert)}  (incident {alert.incident})"
        )
    return lines + [f"  … and {len(known) - LISTED_MAX} more"] * (len(known) > LISTED_MAX)
