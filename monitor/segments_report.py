"""`driftd segments`: which segments are worse than the rest of their model's traffic, as a daemon sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from monitor.explain.finding import ask
from monitor.harmless import escaped
from monitor.worst import FALSE_SHARE


def from_daemon(url: str, model: str | None) -> dict[str, Any]:
    """Give what a running daemon says. Raises DriftdError if it can't be asked."""
    query = f"?{urlencode({'model': model})}" if model else ""
    found: dict[str, Any] = ask(url, f"/api/v1/segments{query}")
    return found


def to_text(told: Mapping[str, Any]) -> str:
    """Give it for people."""
    if told["window"] is None:
        return "no segments are counted: name them with `segments`, or have them found with `auto_segments`"
    among = f"of {told['compared']:,} segments and fields compared in the last {told['window']}"
    if not told["segments"]:
        return f"none {among} is certainly worse than the rest"
    head = f"{told['segments_count']:,} {among} are worse than the rest; at most {FALSE_SHARE:.0%} of these by chance"
    return "\n".join([head, *(_line(each) for each in told["segments"])])


def _line(each: Mapping[str, Any]) -> str:
    model = f"{each['model']} {each['model_version']}".strip()
    what = "beyond the model's p95" if each["beyond"] == "p95" else each["beyond"]
    shares = f"{each['share']:.2%} {what}, the rest {each['rest']:.2%}"
    return escaped(
        f"  {model}: {each['field']} where {each['segment']}: {shares}"
        f" ({each['samples']:,} samples, chance {each['chance']:.1e})"
    )
