"""What an annotation is: a release, an incident, a campaign, a maintenance or a note, told by people and pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

KINDS: Final = ("release", "incident", "campaign", "maintenance", "note")
CHARACTERS_MAX: Final = 1_000
SECONDS_MAX: Final = 1e11
"""Times beyond, the year 5138, are milliseconds by mistake."""
TEXTS: Final = ("text", "kind", "model", "model_version", "author")
TIMES: Final = ("time", "end")


def note_of(document: object, now_s: float | None) -> dict[str, Any]:
    """Give an annotation as it is kept, from JSON values. Raises ValueError with what is wrong and the cure.

    text: what there is to say. time: epoch seconds or RFC 3339 [default: now_s; None: it must be there]; end: where it
    lasts. kind: of KINDS. model, model_version, author: whom it is about and from, "" for all.
    """
    if not isinstance(document, Mapping):
        raise ValueError('write a JSON object, such as {"kind": "release", "text": "v2 goes to 10 %"}')  # noqa: TRY004 - a value of JSON
    unknown = sorted(str(name)[:50] for name in document.keys() - {*TEXTS, *TIMES})
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown[:5])}; these are known: {', '.join((*TEXTS, *TIMES))}")
    kept: dict[str, Any] = {name: _text(name, document.get(name, "")) for name in TEXTS}
    kept["kind"] = kept["kind"] or "note"
    if kept["kind"] not in KINDS:
        raise ValueError(f"kind: use one of {', '.join(KINDS)}")
    if not kept["text"].strip():
        raise ValueError("text: is missing; say what happened")
    time_s = _time("time", document.get("time", now_s))
    end_s = None if document.get("end") is None else _time("end", document["end"])
    if end_s is not None and end_s < time_s:
        raise ValueError("end: is before time")
    return {"time": time_s, "end": end_s, **kept}


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > CHARACTERS_MAX:
        raise ValueError(f"{name}: write text of at most {CHARACTERS_MAX} characters")
    return value


def _time(name: str, value: object) -> float:
    cure = f"{name}: write epoch seconds, or RFC 3339 such as 2026-11-28T12:00:00Z"
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(cure) from None
        if found.tzinfo is None:
            raise ValueError(f"{cure}: a zone is missing")
        return found.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < SECONDS_MAX:
        raise ValueError(cure)
    return float(value)
