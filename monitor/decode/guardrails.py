"""What a guardrail did, as yes/no fields with a denominator each.

blocked, bypassed: of the events that name a guardrail_action. delivered_unsafe: of those that were delivered (no
guardrail blocked them) and checked for safety. bypass_reason: why a guardrail failed open, where the action says so, as
in "bypassed:timeout".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

BLOCKED: Final = frozenset({"block", "blocked", "deny", "denied", "reject", "rejected", "filtered", "intervened"})
BYPASSED: Final = ("bypass", "fail_open", "failed_open", "fail-open", "skipped")
"""Beginnings of actions by which an answer went out unchecked."""
UNSAID: Final = "unsaid"


def guardrail_fields(actions: Sequence[Any], unsafe: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """Give the columns that follow from two columns of a batch; none that says nothing."""
    out: dict[str, Sequence[Any]] = {}
    texts = [action.lower() if type(action) is str else None for action in actions]
    said = {text: _said(text) for text in set(texts) if text is not None}
    if said:
        out["blocked"] = [None if text is None else said[text][0] for text in texts]
        out["bypassed"] = [None if text is None else said[text][1] is not None for text in texts]
        reasons = [None if text is None else said[text][1] for text in texts]
        out |= {"bypass_reason": reasons} if any(reasons) else {}
    if unsafe.count(None) < len(unsafe):
        is_blocked = out.get("blocked", (None,) * len(unsafe))
        out["delivered_unsafe"] = [None if gone else value for gone, value in zip(is_blocked, unsafe, strict=True)]
    return out


def _said(action: str) -> tuple[bool, str | None]:
    """Give whether an action blocked the answer, and why it let it pass unchecked, None: it did not."""
    name, _, reason = action.partition(":")
    if name.startswith(BYPASSED):
        return False, reason.strip() or UNSAID
    return name in BLOCKED, None
